/** A container as a store. */

import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import type {
  Content,
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
import { uploadIdOf } from './block-ids.js';
import { type BlobPlace, getBlockList } from './block-list.js';
import { setBlobTime, thawBlob } from './changing.js';
import { copyBlob } from './copying.js';
import { DELETE_BATCH, deleteBatch, deleteBlob } from './deleting.js';
import { listObjects, listPages } from './listing.js';
import {
  type AccountTraits,
  headersOf,
  learnFromWrite,
  learnNamespace,
  learnVersions,
  lookAt,
} from './looking.js';
import { attributeHeaders, blobPath, conditionHeaders, objectOfHeaders, withProvenHash } from './objects.js';
import { openBlob, type ReadAheadBudget } from './reading.js';
import type { AzureAnswer, AzureTransport } from './transport.js';
import { beginUpload, MAX_BLOCK_SIZE, MAX_BLOCKS, MIN_PART_SIZE, resumeUpload } from './upload.js';
import { readChecked } from './writing.js';

const MIB = 1024 * 1024;
/** Up to this size a blob is written whole: then the service itself computes, checks and keeps its MD5. */
const UPLOAD_THRESHOLD = 16 * MIB;
/** https://rclone.org/azureblob/#restricted-filename-characters; the mask is the backend's default. */
const ENCODING = ['Slash', 'Ctl', 'Del', 'BackSlash', 'RightPeriod', 'InvalidUtf8'] as const;

export interface StoreParts {
  transport: AzureTransport;
  budget: ReadAheadBudget;
  traits: AccountTraits;
  options: ProviderOptions;
}

export class AzureBlobStore implements Store {
  readonly identity: string;
  readonly #parts: StoreParts;
  readonly #bucket: string;

  constructor(parts: StoreParts, bucket: string, identity: string) {
    this.#parts = parts;
    this.#bucket = bucket;
    this.identity = identity;
  }

  /**
   * What depends on the account (`order`, `versions`, how times are changed) is known for certain after {@link check};
   * before it is as for most accounts: no hierarchical namespace, no versions.
   */
  get features(): StoreFeatures {
    const { isHierarchical, keepsVersions } = this.#parts.traits;
    return {
      order: isHierarchical === true ? 'none' : 'utf8',
      walks: false,
      hashes: ['md5'],
      modificationTime: {
        precision: 1n,
        inListing: true,
        // Where versions are kept, Set Blob Metadata makes a new one, which a change of time alone isn't worth.
        change: keepsVersions === true ? 'none' : 'in-place',
      },
      caseSensitive: true,
      normalizationSensitive: true,
      // The limit is 1,024 characters, not bytes: `blobPath` looks after it.
      names: { encoding: ENCODING },
      versions: keepsVersions === true,
      conditionalWrite: true,
      conditionalDelete: true,
      serverSideCopy: true,
      // https://learn.microsoft.com/azure/storage/blobs/access-tiers-overview: "early deletion period"
      minimumStorageDays: { Cool: 30, Cold: 90, Archive: 180 },
      deleteBatch: DELETE_BATCH,
      upload: {
        threshold: UPLOAD_THRESHOLD,
        minPartSize: MIN_PART_SIZE,
        maxPartSize: MAX_BLOCK_SIZE,
        maxParts: MAX_BLOCKS,
        sequential: false,
        maxParallelParts: 16,
      },
      folders: 'markers',
    };
  }

  async check(signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    await learnVersions(this.#place(), this.#parts.traits, signal);
    await learnNamespace(this.#place(), this.#parts.traits, signal);
  }

  async *list(options: ListOptions = {}): AsyncGenerator<readonly StoredObject[]> {
    throwIfAborted(options.signal);
    if (options.versions === true || options.asOf !== undefined) {
      if (this.#parts.traits.keepsVersions === undefined) {
        await learnVersions(this.#place(), this.#parts.traits, options.signal);
      }
      if (this.#parts.traits.keepsVersions !== true) {
        throw new CloudSyncError('NOT_SUPPORTED', 'This storage account keeps no versions of its blobs', {
          advice:
            'Switch on "versioning for blobs" under "Data protection" of the account; it works from then on.',
        });
      }
    }
    const isHierarchical = this.#parts.traits.isHierarchical === true;
    yield* listObjects(this.#parts.transport, this.#bucket, options, isHierarchical);
  }

  async head(
    key: string,
    options: { versionId?: string; signal?: AbortSignal } = {},
  ): Promise<StoredObject | undefined> {
    return await lookAt(this.#place(), key, options);
  }

  async open(key: string, options: OpenOptions = {}): Promise<OpenedObject> {
    throwIfAborted(options.signal);
    return await openBlob(this.#parts.transport, this.#parts.budget, this.#bucket, key, options);
  }

  async write(key: string, content: Content, options: WriteOptions = {}): Promise<StoredObject> {
    throwIfAborted(options.signal);
    const path = blobPath(this.#bucket, key);
    if (content.size > UPLOAD_THRESHOLD && content.bytes === undefined) {
      return await this.#writeInParts(key, content, options);
    }
    const attributes = this.#withDefaults(options);
    const headers = { ...attributeHeaders(attributes), ...conditionHeaders(options) };
    const { bytes, md5 } = await readChecked(content, options.hashes, options.signal);
    await options.beforeCommit?.();
    throwIfAborted(options.signal);
    return await this.#putBlob(key, path, bytes, md5, headers, options.signal);
  }

  async createUpload(key: string, size: number, options: CreateUploadOptions = {}): Promise<Upload> {
    throwIfAborted(options.signal);
    const { chunkSize } = this.#parts.options;
    const wanted = options.partSize ?? (chunkSize === undefined ? undefined : chunkSize * MIB);
    const { signal: _, ...rest } = this.#withDefaults(options);
    return beginUpload(this.#place(), key, size, {
      ...rest,
      ...(wanted === undefined ? {} : { partSize: wanted }),
    });
  }

  async resumeUpload(state: UploadState, options: WriteOptions = {}): Promise<Upload> {
    throwIfAborted(options.signal);
    return await resumeUpload(this.#place(), state, options);
  }

  /** Only uploads of blobs that don't exist yet: Azure lists no others. */
  async *pendingUploads(prefix: string, signal?: AbortSignal): AsyncGenerator<PendingUpload> {
    throwIfAborted(signal);
    const request = { prefix, include: 'uncommittedblobs', ...(signal === undefined ? {} : { signal }) };
    for await (const page of listPages(this.#parts.transport, this.#bucket, request)) {
      for (const blob of page.blobs) {
        // What is committed has content, an MD5 (empty blobs, too) or metadata.
        if (blob.size > 0 || blob.contentMd5 || Object.keys(blob.metadata).length > 0) continue;
        const blocks = await getBlockList(
          this.#place(),
          blob.key,
          'uncommitted',
          signal === undefined ? {} : { signal },
        );
        const first = blocks?.[0];
        if (first === undefined) continue;
        const startedAt = Date.parse(blob.creationTime ?? blob.lastModified ?? '');
        yield {
          key: blob.key,
          startedAt: Number.isNaN(startedAt) ? this.#parts.transport.now() : startedAt,
          details: { uploadId: uploadIdOf(first.name) ?? '' },
        };
      }
    }
  }

  async copy(sourceKey: string, key: string, options: CopyOptions = {}): Promise<StoredObject> {
    throwIfAborted(options.signal);
    const { storageClass } = this.#parts.options;
    const withDefaults =
      options.attributes === undefined || options.attributes.storageClass !== undefined || !storageClass
        ? options
        : { ...options, attributes: { ...options.attributes, storageClass } };
    return await copyBlob(this.#parts.transport, this.#bucket, sourceKey, key, withDefaults);
  }

  async delete(request: DeleteRequest, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    await deleteBlob(this.#parts.transport, this.#bucket, request, signal);
    if (this.#parts.options.deleteVersions === true && request.versionId === undefined) {
      await this.#deleteVersions(request.key, signal);
    }
  }

  async deleteMany(requests: readonly DeleteRequest[], signal?: AbortSignal): Promise<DeleteOutcome[]> {
    const outcomes: DeleteOutcome[] = [];
    for (let start = 0; start < requests.length; start += DELETE_BATCH) {
      throwIfAborted(signal);
      const batch = requests.slice(start, start + DELETE_BATCH);
      outcomes.push(...(await deleteBatch(this.#parts.transport, this.#bucket, batch, signal)));
    }
    if (this.#parts.options.deleteVersions !== true) return outcomes;
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.error !== undefined || requests[index]!.versionId !== undefined) continue;
      try {
        await this.#deleteVersions(outcome.key, signal);
      } catch (error) {
        if (!(error instanceof CloudSyncError) || error.code === 'ABORTED') throw error;
        outcome.error = error;
      }
    }
    return outcomes;
  }

  async setModificationTime(object: StoredObject, time: bigint, signal?: AbortSignal): Promise<StoredObject> {
    throwIfAborted(signal);
    if (this.#parts.traits.keepsVersions === true) {
      throw new CloudSyncError(
        'NOT_SUPPORTED',
        'This storage account keeps versions: a change of the time would make another one',
        { path: object.key },
      );
    }
    return await setBlobTime(this.#place(), this.#parts.traits, object, time, signal);
  }

  async createFolder(key: string, attributes: ObjectAttributes = {}, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    const marker = this.#markerKey(key);
    const { storageClass: _, ...plain } = attributes;
    const headers = attributeHeaders(plain, { folder: true });
    const path = blobPath(this.#bucket, marker);
    const { md5 } = await readChecked(EMPTY, undefined, signal);
    await this.#putBlob(marker, path, NOTHING, md5, headers, signal);
  }

  async deleteFolder(key: string, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    const below = `${key}/`;
    const request = { prefix: below, maxResults: 2, ...(signal === undefined ? {} : { signal }) };
    for await (const page of listPages(this.#parts.transport, this.#bucket, request)) {
      if (page.blobs.some((blob) => blob.key !== below)) return;
    }
    await deleteBlob(this.#parts.transport, this.#bucket, { key: below }, signal);
    // Data Lake and some tools mark the folder without a slash.
    const beside = await this.head(key, signal === undefined ? {} : { signal });
    if (beside?.kind === 'folder') {
      const ifMatch = beside.etag === undefined ? {} : { ifMatch: beside.etag };
      await deleteBlob(this.#parts.transport, this.#bucket, { key, ...ifMatch }, signal);
    }
  }

  async rename(): Promise<void> {
    throw new CloudSyncError('NOT_SUPPORTED', 'Azure Blob Storage can copy and delete, but not rename');
  }

  /** `tier` is what {@link thawBlob} says; `days` means nothing here, thawed blobs stay. */
  async thaw(
    key: string,
    options: { tier?: string; days?: number; versionId?: string; signal?: AbortSignal },
  ): Promise<void> {
    throwIfAborted(options.signal);
    await thawBlob(this.#place(), key, options);
  }

  /** The connections are the account's. */
  async close(): Promise<void> {}

  #place(): BlobPlace {
    return { transport: this.#parts.transport, bucket: this.#bucket };
  }

  /** In Data Lake a folder is what the name without slash says. */
  #markerKey(key: string): string {
    return this.#parts.traits.isHierarchical === true ? key : `${key}/`;
  }

  #withDefaults<T extends ObjectAttributes>(attributes: T): T {
    const { storageClass } = this.#parts.options;
    return attributes.storageClass === undefined && storageClass
      ? { ...attributes, storageClass }
      : attributes;
  }

  async #putBlob(
    key: string,
    path: string,
    bytes: Uint8Array,
    md5: Buffer,
    headers: Record<string, string>,
    signal: AbortSignal | undefined,
  ): Promise<StoredObject> {
    const contentMd5 = md5.toString('base64');
    try {
      const answer = await this.#parts.transport.send({
        kind: 'PUT',
        method: 'PUT',
        path,
        // Checked by the service, and kept by it.
        headers: { ...headers, 'x-ms-blob-type': 'BlockBlob', 'content-md5': contentMd5 },
        body: bytes,
        bucket: this.#bucket,
        key,
        ...(signal === undefined ? {} : { signal }),
      });
      learnFromWrite(this.#parts.traits, answer);
      const object = objectOfHeaders(key, bytes.byteLength, {
        ...headers,
        ...answer.headers,
        'content-md5': contentMd5,
      });
      return withProvenHash(object);
    } catch (error) {
      // The answer of an earlier attempt may have been lost on its way: then what is there is what we sent.
      if (!hasCode(error, 'PRECONDITION_FAILED') || !this.#parts.transport.wasRepeated(error)) throw error;
      const answer = await headersOf(this.#place(), key, signal === undefined ? {} : { signal });
      if (answer === undefined || !isSame(answer, headers, contentMd5, bytes.byteLength)) throw error;
      return withProvenHash(objectOfHeaders(key, bytes.byteLength, answer.headers));
    }
  }

  async #writeInParts(key: string, content: Content, options: WriteOptions): Promise<StoredObject> {
    const upload = await this.createUpload(key, content.size, options);
    try {
      for (let number = 1; number <= upload.partCount; number++) {
        const offset = (number - 1) * upload.state.partSize;
        const size = Math.min(upload.state.partSize, content.size - offset);
        const part: Content = {
          size,
          read: (from = 0, length = size - from) => content.read(offset + from, length),
        };
        await upload.sendPart(number, part, options.signal);
      }
      return await upload.complete(options.signal === undefined ? {} : { signal: options.signal });
    } catch (error) {
      await upload.abort().catch(() => {});
      throw error;
    }
  }

  async #deleteVersions(key: string, signal: AbortSignal | undefined): Promise<void> {
    const request = { prefix: key, include: 'versions', ...(signal === undefined ? {} : { signal }) };
    for await (const page of listPages(this.#parts.transport, this.#bucket, request)) {
      const mine = page.blobs.filter((blob) => blob.key === key && blob.versionId !== undefined);
      for (const { versionId } of mine) {
        await deleteBlob(this.#parts.transport, this.#bucket, { key, versionId: versionId! }, signal);
      }
      if (page.blobs.some((blob) => blob.key !== key)) return;
    }
  }
}

const NOTHING = new Uint8Array();
const EMPTY: Content = { size: 0, bytes: NOTHING, async *read() {} };

/** Whether the blob whose headers these are is exactly what was to be written. */
function isSame(
  answer: AzureAnswer,
  headers: Readonly<Record<string, string>>,
  contentMd5: string,
  size: number,
): boolean {
  if (answer.headers['content-md5'] !== contentMd5 || answer.headers['content-length'] !== String(size))
    return false;
  return Object.entries(headers).every(
    ([name, value]) => !name.startsWith('x-ms-meta-') || answer.headers[name] === value,
  );
}
