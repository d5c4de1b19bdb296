/** One bucket as a {@link Store}. */

import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
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
import { xmlBody } from './bodies.js';
import { Comparer } from './comparing.js';
import type { S3Connection } from './connection.js';
import { Copier } from './copying.js';
import { DELETE_BATCH, deleteBatches, deleteOne, requestsForAllVersions } from './deleting.js';
import { listBucket, listPendingUploads } from './listing.js';
import { Looker } from './looking.js';
import { attributeHeaders, hidesMd5, md5ToBase64 } from './objects.js';
import { openObject } from './reading.js';
import { encodeQuery } from './signature.js';
import { AMAZON_TRAITS, type S3Traits } from './traits.js';
import {
  abortUpload,
  beginUpload,
  listParts,
  MAX_PART_SIZE,
  MIN_PART_SIZE,
  partSizeFor,
  S3Upload,
  type UploadContext,
} from './upload.js';
import { Writer } from './writing.js';
import { elementText } from './xml.js';

const MIB = 1024 * 1024;
const MAX_KEY_BYTES = 1024;
const DEFAULT_THAW_DAYS = 7;

export interface S3StoreOptions {
  connection: S3Connection;
  bucket: string;
  identity: string;
  options: ProviderOptions;
  /** Where only keys that begin with this can be reached: asked for before the bucket is checked. */
  findConfinement?: (signal?: AbortSignal) => Promise<string | undefined>;
  /** Sizes for tests; default: S3's own. */
  copyLimits?: { single: number; part: number };
}

export class S3Store implements Store {
  readonly features: StoreFeatures;
  readonly identity: string;
  readonly #connection: S3Connection;
  readonly #bucket: string;
  readonly #options: ProviderOptions;
  readonly #looker: Looker;
  readonly #writer: Writer;
  readonly #copier: Copier;
  #confinedTo: string | undefined;

  constructor(private readonly settings: S3StoreOptions) {
    const { connection, bucket, options, copyLimits } = settings;
    this.identity = settings.identity;
    this.#connection = connection;
    this.#bucket = bucket;
    this.#options = options;
    this.#looker = new Looker(connection, bucket);
    this.#writer = new Writer(connection, bucket, this.#looker, options);
    this.#copier = new Copier(
      connection,
      bucket,
      this.#looker,
      options,
      copyLimits?.single,
      copyLimits?.part,
    );
    this.features = featuresOf(connection.traits, options.chunkSize);
  }

  /** See {@link Store.confinedTo}. */
  get confinedTo(): string | undefined {
    return this.#confinedTo;
  }

  get listingChecks(): boolean {
    return this.settings.findConfinement === undefined;
  }

  async check(signal?: AbortSignal): Promise<void> {
    this.#confinedTo = await this.settings.findConfinement?.(signal);
    await this.#looker.check(this.#confinedTo, signal);
  }

  async keepsVersions(signal?: AbortSignal): Promise<boolean | undefined> {
    return this.features.versions ? await this.#looker.keepsVersions(signal) : false;
  }

  list(options: ListOptions = {}): AsyncIterable<readonly StoredObject[]> {
    if ((options.asOf !== undefined || options.versions === true) && !this.features.versions) {
      throw new CloudSyncError('NOT_SUPPORTED', 'This service keeps no old versions', {
        advice: 'Restore the present state: leave the time empty.',
      });
    }
    return listBucket(this.#connection, this.#bucket, options);
  }

  head(
    key: string,
    options: { versionId?: string; signal?: AbortSignal } = {},
  ): Promise<StoredObject | undefined> {
    return this.#looker.head(key, options);
  }

  open(key: string, options: OpenOptions = {}): Promise<OpenedObject> {
    return openObject(this.#connection, this.#bucket, this.#headObject, key, options);
  }

  write(key: string, content: Content, options: WriteOptions = {}): Promise<StoredObject> {
    return isTooLong(key) ? Promise.reject(nameTooLong(key)) : this.#writer.write(key, content, options);
  }

  async createUpload(key: string, size: number, options: CreateUploadOptions = {}): Promise<Upload> {
    this.#confirmKey(key);
    const { traits } = this.#connection;
    const wanted =
      options.partSize ?? (this.#options.chunkSize ? this.#options.chunkSize * MIB : traits.partSize);
    const partSize = partSizeFor(size, traits.maxUploadParts, wanted);
    const { md5, sha1 } = options.hashes ?? {};
    const headers = attributeHeaders(options, this.#options, traits, {
      ...(md5 === undefined ? {} : { md5: md5ToBase64(md5) }),
      ...(sha1 === undefined ? {} : { sha1 }),
    });
    const response = await beginUpload(this.#connection, this.#bucket, key, headers, options.signal);
    const uploadId = elementText(response.bytes.toString(), 'UploadId');
    if (!uploadId)
      throw new CloudSyncError('BAD_ANSWER', 'The server began an upload without naming it', { path: key });
    const state: UploadState = {
      key,
      size,
      partSize,
      startedAt: this.#connection.now(),
      details: { uploadId, hidesMd5: hidesMd5(response.headers) },
    };
    return new S3Upload(this.#uploadContext, state, options);
  }

  async resumeUpload(state: UploadState, options: WriteOptions = {}): Promise<Upload> {
    // One part is enough to hear NOT_FOUND where the upload is gone.
    for await (const _ of listParts(this.#uploadContext, state, options.signal, 1)) break;
    return new S3Upload(this.#uploadContext, state, options);
  }

  pendingUploads(prefix: string, signal?: AbortSignal): AsyncIterable<PendingUpload> {
    return listPendingUploads(this.#connection, this.#bucket, prefix, signal);
  }

  serverTime(): number {
    return this.#connection.now();
  }

  async abortUpload({ key, details }: PendingUpload): Promise<void> {
    await abortUpload(this.#connection, this.#bucket, key, String(details.uploadId));
  }

  async copy(sourceKey: string, key: string, options: CopyOptions = {}): Promise<StoredObject> {
    this.#confirmKey(key);
    return await this.#copier.copy(sourceKey, key, options);
  }

  compareContent(
    object: StoredObject,
    content: Content,
    trust: ComparisonTrust,
    signal?: AbortSignal,
  ): Promise<ContentComparison> {
    return new Comparer(this.#connection, this.#bucket, this.#looker).compare(object, content, trust, signal);
  }

  async delete(request: DeleteRequest, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    if (!this.#deletesVersions || request.versionId !== undefined) {
      await deleteOne(this.#connection, this.#bucket, request, signal);
      return;
    }
    const [outcome] = await this.#deleteAllVersions([request], signal);
    if (outcome?.error !== undefined) throw outcome.error;
  }

  async deleteMany(requests: readonly DeleteRequest[], signal?: AbortSignal): Promise<DeleteOutcome[]> {
    throwIfAborted(signal);
    if (this.#deletesVersions) return await this.#deleteAllVersions(requests, signal);
    return await deleteBatches(this.#connection, this.#bucket, requests, signal);
  }

  setModificationTime(
    object: StoredObject,
    time: bigint,
    signal?: AbortSignal,
    onUploadBegins?: CopyOptions['onUploadBegins'],
  ): Promise<StoredObject> {
    return this.#copier.setModificationTime(object, time, signal, onUploadBegins);
  }

  async createFolder(key: string, attributes: ObjectAttributes = {}, signal?: AbortSignal): Promise<void> {
    const empty = { size: 0, bytes: new Uint8Array(0), async *read() {} };
    await this.write(`${key}/`, empty, { ...attributes, ...(signal === undefined ? {} : { signal }) });
  }

  async deleteFolder(key: string, signal?: AbortSignal): Promise<void> {
    const options = { prefix: `${key}/`, ...(signal === undefined ? {} : { signal }) };
    for await (const page of this.list(options)) if (page.length > 0) return;
    await this.delete({ key: `${key}/` }, signal);
  }

  async rename(): Promise<void> {
    throw new CloudSyncError('NOT_SUPPORTED', 'S3 has no renaming: copy and delete');
  }

  async thaw(
    key: string,
    options: { tier?: string; days?: number; versionId?: string; signal?: AbortSignal } = {},
  ): Promise<void> {
    const object = await this.#looker.head(key, options);
    if (object === undefined) throw new CloudSyncError('NOT_FOUND', `"${key}" does not exist`, { path: key });
    if (object.archive !== 'frozen') return;
    // Objects of Intelligent-Tiering come back for good, so Amazon refuses a number of days for them.
    const days =
      object.storageClass === 'INTELLIGENT_TIERING'
        ? ''
        : `<Days>${options.days ?? DEFAULT_THAW_DAYS}</Days>`;
    const tier = `<GlacierJobParameters><Tier>${options.tier || 'Standard'}</Tier></GlacierJobParameters>`;
    await this.#connection.send({
      kind: 'POST',
      method: 'POST',
      action: 'restore from the archive',
      bucket: this.#bucket,
      key,
      query: encodeQuery({ restore: '', versionId: options.versionId }),
      body: xmlBody(
        `<RestoreRequest xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${days}${tier}</RestoreRequest>`,
      ),
      // RestoreAlreadyInProgress.
      accepts: [409],
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  }

  async close(): Promise<void> {}

  readonly #headObject = (key: string, options: { versionId?: string; signal?: AbortSignal }) =>
    this.#looker.head(key, options);

  get #deletesVersions(): boolean {
    return this.#options.deleteVersions === true && this.features.versions;
  }

  get #uploadContext(): UploadContext {
    return { connection: this.#connection, bucket: this.#bucket, head: this.#headObject };
  }

  /** Said before a byte is sent: some servers only answer that something is wrong. */
  #confirmKey(key: string): void {
    if (isTooLong(key)) throw nameTooLong(key);
  }

  async #deleteAllVersions(
    requests: readonly DeleteRequest[],
    signal?: AbortSignal,
  ): Promise<DeleteOutcome[]> {
    const outcomes: DeleteOutcome[] = [];
    for (const request of requests) {
      const versions =
        request.versionId !== undefined
          ? [request]
          : await requestsForAllVersions(this.#connection, this.#bucket, request.key, signal);
      const failed = (await deleteBatches(this.#connection, this.#bucket, versions, signal)).find(
        (outcome) => outcome.error !== undefined && !hasCode(outcome.error, 'NOT_FOUND'),
      );
      outcomes.push(
        failed?.error === undefined ? { key: request.key } : { key: request.key, error: failed.error },
      );
    }
    return outcomes;
  }
}

function isTooLong(key: string): boolean {
  return key.length * 3 > MAX_KEY_BYTES && Buffer.byteLength(key) > MAX_KEY_BYTES;
}

function nameTooLong(key: string): CloudSyncError {
  return new CloudSyncError('NAME_TOO_LONG', 'The name is longer than the 1,024 bytes a key may have', {
    path: key,
  });
}

/** @param chunkSize MiB */
function featuresOf(traits: S3Traits, chunkSize: number | undefined): StoreFeatures {
  // One part alone would be three requests instead of one.
  const threshold = chunkSize
    ? Math.max(AMAZON_TRAITS.uploadThreshold, chunkSize * MIB)
    : traits.uploadThreshold;
  return {
    order: traits.order,
    walks: false,
    hashes: ['md5'],
    modificationTime: { precision: traits.timePrecision, inListing: false, change: 'copy' },
    caseSensitive: true,
    normalizationSensitive: true,
    names: { maxKeyBytes: MAX_KEY_BYTES, encoding: traits.names },
    versions: traits.versions,
    conditionalWrite: traits.conditionalWrites,
    // Amazon has it, most of the compatible servers ignore the condition and delete.
    conditionalDelete: false,
    serverSideCopy: true,
    minimumStorageDays: traits.minimumStorageDays,
    deleteBatch: DELETE_BATCH,
    upload: {
      threshold,
      minPartSize: MIN_PART_SIZE,
      maxPartSize: MAX_PART_SIZE,
      maxParts: traits.maxUploadParts,
      sequential: false,
      maxParallelParts: 16,
      wantsHashFirst: traits.b2Metadata ? 'sha1' : 'md5',
    },
    folders: 'markers',
  };
}
