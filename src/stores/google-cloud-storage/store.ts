/** A bucket as a {@link Store}. */

import { CloudSyncError, throwIfAborted } from '../../errors.js';
import { compareByHashes } from '../compare.js';
import { readExactly } from '../content.js';
import { algorithmsOf, Hasher } from '../hashing.js';
import { sliceContent } from '../parts.js';
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
import type { GcsConnection } from './connection.js';
import { copyObject, setObjectTime } from './copying.js';
import {
  type BatchTraits,
  DELETE_BATCH,
  deleteObject,
  deleteObjects,
  requestsForAllVersions,
} from './deleting.js';
import { listBucket } from './listing.js';
import { type BucketPlace, type BucketTraits, learnTraits, lookAt } from './looking.js';
import { confirmKey, MAX_KEY_BYTES } from './objects.js';
import { openObject } from './reading.js';
import {
  beginUpload,
  CHUNK_STEP,
  DEFAULT_PART_SIZE,
  MAX_PART_SIZE,
  MAX_PARTS,
  type OpenUploads,
  partSizeFor,
  resumeUpload,
} from './upload.js';
import { writeObject } from './writing.js';

const MIB = 1024 * 1024;
/** Smaller ones take one request instead of three. */
const UPLOAD_THRESHOLD = 16 * MIB;

export interface StoreParts {
  connection: GcsConnection;
  options: ProviderOptions;
  /** What was learned about the bucket and the service, shared by all stores of the account. */
  traits: BucketTraits & BatchTraits;
  open: OpenUploads;
}

export class GoogleCloudStorageStore implements Store {
  readonly #place: BucketPlace;
  readonly #options: ProviderOptions;
  readonly #traits: BucketTraits & BatchTraits;
  readonly #open: OpenUploads;

  constructor(
    parts: StoreParts,
    bucket: string,
    readonly identity: string,
  ) {
    this.#place = { connection: parts.connection, bucket };
    this.#options = parts.options;
    this.#traits = parts.traits;
    this.#open = parts.open;
  }

  /** Whether the bucket keeps versions is certain after {@link check}, if the service account may see it at all. */
  get features(): StoreFeatures {
    return {
      order: 'utf8',
      walks: false,
      hashes: ['md5', 'crc32c'],
      modificationTime: { precision: 1n, inListing: true, change: 'in-place' },
      caseSensitive: true,
      normalizationSensitive: true,
      // As rclone's backend: Base, CrLf and InvalidUtf8.
      names: { maxKeyBytes: MAX_KEY_BYTES, encoding: ['Zero', 'Slash', 'Dot', 'CrLf', 'InvalidUtf8'] },
      versions: this.#traits.keepsVersions !== false,
      conditionalWrite: true,
      conditionalDelete: true,
      serverSideCopy: true,
      // https://cloud.google.com/storage/docs/storage-classes: "minimum storage duration"
      minimumStorageDays: { NEARLINE: 30, COLDLINE: 90, ARCHIVE: 365 },
      deleteBatch: DELETE_BATCH,
      upload: {
        threshold: UPLOAD_THRESHOLD,
        minPartSize: CHUNK_STEP,
        maxPartSize: MAX_PART_SIZE,
        maxParts: MAX_PARTS,
        sequential: true,
        maxParallelParts: 1,
      },
      folders: 'markers',
    };
  }

  async check(signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    await learnTraits(this.#place, this.#traits, signal);
  }

  /** What {@link check} has found out. */
  async keepsVersions(): Promise<boolean | undefined> {
    return this.#traits.keepsVersions;
  }

  async *list(options: ListOptions = {}): AsyncGenerator<readonly StoredObject[]> {
    throwIfAborted(options.signal);
    if (options.versions === true || options.asOf !== undefined) {
      if (this.#traits.keepsVersions === undefined) {
        await learnTraits(this.#place, this.#traits, options.signal);
      }
      if (this.#traits.keepsVersions === false) {
        throw new CloudSyncError('NOT_SUPPORTED', `The bucket "${this.#place.bucket}" keeps no versions`, {
          advice: 'Switch on "Object versioning" under "Protection" of the bucket; it works from then on.',
        });
      }
    }
    yield* listBucket(this.#place.connection, this.#place.bucket, options);
  }

  async head(
    key: string,
    options: { versionId?: string; signal?: AbortSignal } = {},
  ): Promise<StoredObject | undefined> {
    throwIfAborted(options.signal);
    return await lookAt(this.#place, key, options);
  }

  open(key: string, options: OpenOptions = {}): Promise<OpenedObject> {
    return openObject(this.#place, key, options);
  }

  async write(key: string, content: Content, options: WriteOptions = {}): Promise<StoredObject> {
    confirmKey(key);
    if (content.size > UPLOAD_THRESHOLD && content.bytes === undefined) {
      return await this.#writeInParts(key, content, options);
    }
    return await writeObject(this.#place, key, content, options, this.#options);
  }

  async createUpload(key: string, size: number, options: CreateUploadOptions = {}): Promise<Upload> {
    confirmKey(key);
    const { chunkSize } = this.#options;
    const wanted = options.partSize ?? (chunkSize ? chunkSize * MIB : DEFAULT_PART_SIZE);
    return await beginUpload(this.#uploads, key, size, partSizeFor(size, wanted), options, this.#options);
  }

  async resumeUpload(state: UploadState, options: WriteOptions = {}): Promise<Upload> {
    throwIfAborted(options.signal);
    return await resumeUpload(this.#uploads, state, options);
  }

  /** Only those this process has begun or taken up: the service lists none, and lets them run out after a week. */
  async *pendingUploads(prefix: string, signal?: AbortSignal): AsyncGenerator<PendingUpload> {
    throwIfAborted(signal);
    for (const { key, startedAt, details } of [...this.#open.values()]) {
      if (key.startsWith(prefix)) yield { key, startedAt, details };
    }
  }

  async copy(sourceKey: string, key: string, options: CopyOptions = {}): Promise<StoredObject> {
    confirmKey(key);
    return await copyObject(this.#place, sourceKey, key, options, this.#options);
  }

  async delete(request: DeleteRequest, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    const [outcome] = await this.#delete([request], signal);
    if (outcome?.error !== undefined) throw outcome.error;
  }

  async deleteMany(requests: readonly DeleteRequest[], signal?: AbortSignal): Promise<DeleteOutcome[]> {
    throwIfAborted(signal);
    return await this.#delete(requests, signal);
  }

  async compareContent(
    object: StoredObject,
    content: Content,
    trust: ComparisonTrust,
    signal?: AbortSignal,
  ): Promise<ContentComparison> {
    const { hashes } = object;
    if (hashes?.crc32c === undefined || hashes.md5 !== undefined) {
      return await compareByHashes(object, content, trust, signal);
    }
    // An object composed of others: the CRC-32C is all there is.
    if (object.size !== content.size) return 'different';
    const hasher = new Hasher(algorithmsOf({ crc32c: hashes.crc32c }));
    for await (const chunk of readExactly(content, signal)) hasher.update(chunk);
    return hasher.finish().crc32c === hashes.crc32c ? 'equal' : 'different';
  }

  setModificationTime(object: StoredObject, time: bigint, signal?: AbortSignal): Promise<StoredObject> {
    return setObjectTime(this.#place, object, time, signal);
  }

  async createFolder(key: string, attributes: ObjectAttributes = {}, signal?: AbortSignal): Promise<void> {
    const empty = { size: 0, bytes: new Uint8Array(0), async *read() {} };
    // A marker in a class with a least storage time would be paid for when it goes.
    const { storageClass: _, ...rest } = attributes;
    confirmKey(`${key}/`);
    const { storageClass: _class, ...options } = this.#options;
    await writeObject(this.#place, `${key}/`, empty, { ...rest, signal }, options);
  }

  async deleteFolder(key: string, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    for await (const page of this.list({ prefix: `${key}/`, signal })) if (page.length > 0) return;
    await this.delete({ key: `${key}/` }, signal);
  }

  async rename(): Promise<void> {
    throw new CloudSyncError('NOT_SUPPORTED', 'Google Cloud Storage has no renaming: copy and delete');
  }

  async thaw(): Promise<void> {
    throw new CloudSyncError(
      'NOT_SUPPORTED',
      'Google Cloud Storage has nothing to thaw: objects of all its classes can be read at once',
    );
  }

  /** The connections are the account's. */
  async close(): Promise<void> {}

  get #uploads() {
    return { ...this.#place, open: this.#open };
  }

  async #delete(
    requests: readonly DeleteRequest[],
    signal: AbortSignal | undefined,
  ): Promise<DeleteOutcome[]> {
    if (this.#options.deleteVersions !== true) {
      if (requests.length !== 1) return await deleteObjects(this.#place, this.#traits, requests, signal);
      await deleteObject(this.#place, requests[0]!, signal);
      return [{ key: requests[0]!.key }];
    }
    const outcomes: DeleteOutcome[] = [];
    for (const request of requests) {
      const all =
        request.versionId === undefined
          ? await requestsForAllVersions(this.#place, request.key, signal)
          : [request];
      const failed = (await deleteObjects(this.#place, this.#traits, all, signal)).find(
        (outcome) => outcome.error !== undefined,
      );
      outcomes.push({ key: request.key, ...(failed?.error === undefined ? {} : { error: failed.error }) });
    }
    return outcomes;
  }

  async #writeInParts(key: string, content: Content, options: WriteOptions): Promise<StoredObject> {
    const upload = await this.createUpload(key, content.size, options);
    try {
      const { partSize } = upload.state;
      for (let number = 1; number <= upload.partCount; number += 1) {
        const offset = (number - 1) * partSize;
        const part = sliceContent(content, offset, Math.min(partSize, content.size - offset));
        await upload.sendPart(number, part, options.signal);
      }
      return await upload.complete({ hashes: options.hashes, signal: options.signal });
    } catch (error) {
      await upload.abort().catch(() => {});
      throw error;
    }
  }
}
