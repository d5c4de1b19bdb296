/** A Dropbox account as a store. */

import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import { compareByHashes } from '../compare.js';
import { partContent } from '../parts.js';
import type {
  ComparisonTrust,
  Content,
  ContentComparison,
  CopyOptions,
  CreateUploadOptions,
  DeleteOutcome,
  DeleteRequest,
  ListOptions,
  ObjectAttributes,
  OpenedObject,
  OpenOptions,
  PendingUpload,
  ProviderOptions,
  Store,
  StoredObject,
  StoreFeatures,
  Upload,
  UploadState,
  WriteOptions,
} from '../store.js';
import { CommitCollector, CommitLane } from './commits.js';
import { dropboxContentHash } from './content-hash.js';
import { Copier } from './copying.js';
import { DELETE_BATCH, Deleter } from './deleting.js';
import { tagsOf } from './errors.js';
import { isFolderEmpty, listObjects } from './listing.js';
import { characters, checkKey, MAX_NAME_LENGTH, type Metadata, objectOf, pathOf } from './objects.js';
import { type HeadFile, openFile } from './reading.js';
import { listAsOf, listVersions } from './revisions.js';
import type { DropboxTransport } from './transport.js';
import {
  beginUpload,
  DEFAULT_CHUNK_MIB,
  MAX_FILE_SIZE,
  MAX_PART_SIZE,
  MIN_PART_SIZE,
  partSizeOf,
  resumeUpload,
} from './upload.js';
import { Writer } from './writing.js';

const MIB = 1024 * 1024;
/** rclone's backend/dropbox, its default mask: https://rclone.org/dropbox/#restricted-filename-characters */
const ENCODING = ['Slash', 'Dot', 'BackSlash', 'Del', 'RightSpace', 'InvalidUtf8'] as const;

export class DropboxStore implements Store {
  readonly features: StoreFeatures;
  readonly #transport: DropboxTransport;
  readonly #lane = new CommitLane();
  readonly #writer: Writer;
  readonly #copier: Copier;
  readonly #deleter: Deleter;
  readonly #partSize: number;

  constructor(
    transport: DropboxTransport,
    readonly identity: string,
    options: ProviderOptions,
  ) {
    this.#transport = transport;
    const headFile: HeadFile = (key, request) => this.head(key, request);
    this.#writer = new Writer(transport, new CommitCollector(transport, this.#lane));
    this.#copier = new Copier(transport, this.#lane, headFile);
    this.#deleter = new Deleter(transport, this.#lane, (key, signal) =>
      this.head(key, signal === undefined ? {} : { signal }),
    );
    this.#partSize = partSizeOf((options.chunkSize ?? DEFAULT_CHUNK_MIB) * MIB);
    this.features = featuresOf(this.#partSize);
  }

  async check(signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    await this.#transport.rpc({
      kind: 'LIST',
      route: 'files/list_folder',
      argument: { path: '', limit: 1 },
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** Keys come in no order, and may come again where Dropbox gave up the listing and it had to begin anew. */
  list(options: ListOptions = {}): AsyncGenerator<StoredObject[]> {
    const { asOf } = options;
    if (asOf !== undefined) return listAsOf(this.#transport, { ...options, asOf });
    if (options.versions === true) return listVersions(this.#transport, options);
    return listObjects(this.#transport, options);
  }

  async head(
    key: string,
    options: { versionId?: string; signal?: AbortSignal } = {},
  ): Promise<StoredObject | undefined> {
    const { versionId, signal } = options;
    throwIfAborted(signal);
    try {
      const metadata = await this.#transport.rpc<Metadata>({
        kind: 'HEAD',
        route: 'files/get_metadata',
        argument: { path: versionId === undefined ? pathOf(key) : `rev:${versionId}` },
        key,
        ...(signal === undefined ? {} : { signal }),
      });
      return objectOf(key, metadata);
    } catch (error) {
      // A name Dropbox can't hold is the name of nothing.
      if (/^path\/(not_found|malformed_path|not_folder)/.test(tagsOf(error))) return undefined;
      throw error;
    }
  }

  async open(key: string, options: OpenOptions = {}): Promise<OpenedObject> {
    return await openFile(this.#transport, (name, request) => this.head(name, request), key, options);
  }

  async write(key: string, content: Content, options: WriteOptions = {}): Promise<StoredObject> {
    if (content.size <= MAX_PART_SIZE) return await this.#writer.write(key, content, options);
    const upload = await this.createUpload(key, content.size, options);
    try {
      for (let number = 1; number <= upload.partCount; number++) {
        await upload.sendPart(number, partContent(upload, content, number), options.signal);
      }
      return await upload.complete(options);
    } catch (error) {
      await upload.abort().catch(() => {});
      throw error;
    }
  }

  async createUpload(key: string, size: number, options: CreateUploadOptions = {}): Promise<Upload> {
    throwIfAborted(options.signal);
    checkKey(key);
    if (size > MAX_FILE_SIZE) {
      throw new CloudSyncError('NOT_SUPPORTED', `"${key}" is larger than Dropbox can hold (2 TiB)`, {
        path: key,
      });
    }
    const partSize = partSizeOf(options.partSize ?? this.#partSize);
    return await beginUpload(this.#place, key, size, partSize, options);
  }

  async resumeUpload(state: UploadState, options: WriteOptions = {}): Promise<Upload> {
    throwIfAborted(options.signal);
    return resumeUpload(this.#place, state, options);
  }

  /** Dropbox tells nobody which sessions there are: `features.upload.listsPending` is false. */
  async *pendingUploads(_prefix: string, signal?: AbortSignal): AsyncGenerator<PendingUpload> {
    throwIfAborted(signal);
    yield* [];
  }

  async copy(sourceKey: string, key: string, options: CopyOptions = {}): Promise<StoredObject> {
    return await this.#copier.copy(sourceKey, key, options);
  }

  async delete(request: DeleteRequest, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    refuseVersion(request);
    await this.#deleter.delete(request, signal);
  }

  async deleteMany(requests: readonly DeleteRequest[], signal?: AbortSignal): Promise<DeleteOutcome[]> {
    throwIfAborted(signal);
    for (const request of requests) refuseVersion(request);
    const outcomes: DeleteOutcome[] = [];
    for (let start = 0; start < requests.length; start += DELETE_BATCH) {
      throwIfAborted(signal);
      const batch = requests.slice(start, start + DELETE_BATCH);
      outcomes.push(...(await this.#deleter.deleteBatch(batch, signal)));
    }
    return outcomes;
  }

  /** By the content_hash, which every listing carries. */
  async compareContent(
    object: StoredObject,
    content: Content,
    trust: ComparisonTrust,
    signal?: AbortSignal,
  ): Promise<ContentComparison> {
    if (object.hashes?.dropbox === undefined) return await compareByHashes(object, content, trust, signal);
    if (object.size !== content.size) return 'different';
    return (await dropboxContentHash(content, signal)) === object.hashes.dropbox ? 'equal' : 'different';
  }

  async setModificationTime(object: StoredObject): Promise<StoredObject> {
    throw new CloudSyncError('NOT_SUPPORTED', "Dropbox can't change the time of a file", {
      path: object.key,
    });
  }

  async createFolder(key: string, _attributes?: ObjectAttributes, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    checkKey(key);
    try {
      await this.#lane.run(
        () =>
          this.#transport.rpc({
            kind: 'PUT',
            route: 'files/create_folder_v2',
            argument: { path: pathOf(key), autorename: false },
            key,
            ...(signal === undefined ? {} : { signal }),
          }),
        signal,
      );
    } catch (error) {
      if (tagsOf(error) === 'path/conflict/folder') return;
      if (tagsOf(error) !== 'path/conflict/file') throw error;
      throw new CloudSyncError('OBSTRUCTED', `A file stands where the folder "${key}" has to be`, {
        path: key,
        cause: error,
      });
    }
  }

  /** Dropbox knows no delete of empty folders alone: what is put into it between question and delete goes with it. */
  async deleteFolder(key: string, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    await this.#lane.run(async () => {
      if ((await isFolderEmpty(this.#transport, key, signal)) !== true) return;
      try {
        await this.#transport.rpc({
          kind: 'DELETE',
          route: 'files/delete_v2',
          argument: { path: pathOf(key) },
          key,
          ...(signal === undefined ? {} : { signal }),
        });
      } catch (error) {
        if (!hasCode(error, 'NOT_FOUND')) throw error;
      }
    }, signal);
  }

  async rename(key: string, newKey: string, signal?: AbortSignal): Promise<void> {
    await this.#copier.rename(key, newKey, signal);
  }

  async thaw(key: string): Promise<void> {
    throw new CloudSyncError('NOT_SUPPORTED', 'Dropbox has no archive', { path: key });
  }

  async close(): Promise<void> {}

  get #place(): { transport: DropboxTransport; lane: CommitLane } {
    return { transport: this.#transport, lane: this.#lane };
  }
}

function featuresOf(partSize: number): StoreFeatures {
  return {
    order: 'none',
    walks: false,
    hashes: ['dropbox'],
    modificationTime: { precision: 1_000_000_000n, inListing: true, change: 'none' },
    caseSensitive: false,
    normalizationSensitive: false,
    metadata: false,
    names: { maxSegmentBytes: MAX_NAME_LENGTH, segmentBytes: characters, encoding: ENCODING },
    versions: true,
    // By plan 30, 180 or 365: https://help.dropbox.com/delete-restore/version-history-overview
    versionDays: 30,
    conditionalWrite: true,
    conditionalDelete: true,
    serverSideCopy: true,
    deleteBatch: DELETE_BATCH,
    upload: {
      threshold: partSize,
      minPartSize: MIN_PART_SIZE,
      maxPartSize: MAX_PART_SIZE,
      maxParts: Math.ceil(MAX_FILE_SIZE / MIN_PART_SIZE),
      sequential: true,
      maxParallelParts: 1,
      listsPending: false,
    },
    folders: 'real',
  };
}

function refuseVersion({ key, versionId }: DeleteRequest): void {
  if (versionId === undefined) return;
  throw new CloudSyncError('NOT_SUPPORTED', "Dropbox can't delete a single revision of a file", {
    path: key,
    advice: 'Dropbox removes old revisions itself, after 30 to 365 days by plan.',
  });
}
