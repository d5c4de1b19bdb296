/**
 * A store in memory: what the interface means, in as few words as possible, and the double for tests of everything
 * above it. Its features can be changed, so that it behaves like a provider that can do less.
 */

import { createHash } from 'node:crypto';
import { asCloudSyncError, CloudSyncError, hasCode, throwIfAborted } from '../errors.js';
import { contentOfBytes } from './content.js';
import { algorithmsOf, Hasher, requireHashes } from './hashing.js';
import { Contents, type Version } from './memory/contents.js';
import { listContents } from './memory/listing.js';
import { MemoryUpload } from './memory/upload.js';
import { checkKeyLength } from './names.js';
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
  Store,
  StoredObject,
  StoreFeatures,
  Upload,
  UploadState,
  WriteOptions,
} from './store.js';

export interface MemoryStoreOptions {
  /** What is to be different from {@link MEMORY_FEATURES}. `walks` can't be. */
  features?: Partial<StoreFeatures>;
  /** Keep every version and delete marker. Default false. */
  versioned?: boolean;
  identity?: string;
  /** The clock of this store, ms since the epoch. Default `Date.now`. */
  now?: () => number;
  /** Objects of these storage classes have to be thawed first. */
  archiveClasses?: readonly string[];
  /** Behave as if the bucket were not there. */
  missing?: boolean;
}

export const MEMORY_FEATURES: StoreFeatures = {
  order: 'utf8',
  walks: false,
  hashes: ['md5'],
  modificationTime: { precision: 1n, inListing: true, change: 'in-place' },
  caseSensitive: true,
  normalizationSensitive: true,
  names: { encoding: ['Slash', 'Dot', 'InvalidUtf8'], maxKeyBytes: 1024 },
  versions: true,
  conditionalWrite: true,
  conditionalDelete: true,
  serverSideCopy: true,
  deleteBatch: 1000,
  upload: {
    threshold: 8 * 1024 * 1024,
    minPartSize: 64 * 1024,
    maxPartSize: 5 * 1024 ** 3,
    maxParts: 10_000,
    sequential: false,
    maxParallelParts: 8,
  },
  folders: 'markers',
};

const READ_CHUNK = 256 * 1024;

/** An empty store. */
export function openMemoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  return new MemoryStore(options);
}

export class MemoryStore implements Store {
  readonly features: StoreFeatures;
  readonly identity: string;
  readonly #options: MemoryStoreOptions;
  readonly #contents: Contents;

  constructor(options: MemoryStoreOptions, contents?: Contents) {
    this.#options = options;
    this.features = { ...MEMORY_FEATURES, ...options.features };
    this.identity = options.identity ?? 'memory://store';
    this.#contents = contents ?? new Contents((key) => this.#fold(key));
  }

  /** Another store on the same content. */
  reopen(): MemoryStore {
    return new MemoryStore(this.#options, this.#contents);
  }

  /** Ends the waiting for an object that was asked back from the archive. */
  finishThaw(key: string): void {
    const version = this.#contents.current(key);
    if (version?.archive === 'thawing') version.archive = 'thawed';
  }

  async check(signal?: AbortSignal): Promise<void> {
    this.#begin(signal);
  }

  async *list(options: ListOptions = {}): AsyncGenerator<readonly StoredObject[]> {
    this.#begin(options.signal);
    if (!this.features.versions && (options.asOf !== undefined || options.versions === true)) {
      throw notSupported('keep versions');
    }
    const show = (version: Version, isLatest: boolean) => {
      const object = this.#show(version, options.versions === true ? isLatest : undefined);
      delete object.metadata;
      if (!this.features.modificationTime.inListing) delete object.modificationTime;
      return object;
    };
    yield* listContents(this.#contents, options, show, this.features.order === 'utf8');
  }

  async head(
    key: string,
    options: { versionId?: string; signal?: AbortSignal } = {},
  ): Promise<StoredObject | undefined> {
    this.#begin(options.signal);
    const version = this.#find(key, options.versionId);
    return version && this.#show(version);
  }

  async open(key: string, options: OpenOptions = {}): Promise<OpenedObject> {
    this.#begin(options.signal);
    const version = this.#find(key, options.versionId);
    if (version === undefined) throw notFound(key);
    if (options.ifMatch !== undefined && options.ifMatch !== version.etag) throw changed(key);
    if (version.archive === 'frozen' || version.archive === 'thawing') {
      throw new CloudSyncError('ARCHIVED', `${JSON.stringify(key)} is archived`, {
        path: key,
        advice: 'Thaw it first.',
      });
    }
    return new OpenedBytes(this.#show(version), version.bytes);
  }

  async write(key: string, content: Content, options: WriteOptions = {}): Promise<StoredObject> {
    this.#begin(options.signal);
    this.#requireName(key);
    this.#requireConditions(key, options);
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of content.bytes === undefined ? content.read() : [content.bytes]) {
      throwIfAborted(options.signal);
      size += chunk.length;
      if (size > content.size) throw changed(key);
      chunks.push(Buffer.from(chunk));
    }
    throwIfAborted(options.signal);
    if (size !== content.size) throw changed(key);
    return await this.#store(key, Buffer.concat(chunks), options);
  }

  async createUpload(key: string, size: number, options: CreateUploadOptions = {}): Promise<Upload> {
    this.#begin(options.signal);
    this.#requireName(key);
    const { minPartSize, maxPartSize, maxParts } = this.features.upload;
    const wanted = Math.min(options.partSize ?? 2 * minPartSize, maxPartSize);
    const uploadId = this.#contents.newId();
    const startedAt = this.#now();
    this.#contents.uploads.set(uploadId, {
      key,
      startedAt,
      attributes: attributesOf(options),
      hashes: options.hashes,
      parts: new Map(),
    });
    const partSize = Math.max(minPartSize, wanted, Math.ceil(size / maxParts));
    return this.#upload({ key, size, partSize, startedAt, details: { uploadId } });
  }

  async resumeUpload(state: UploadState, options: WriteOptions = {}): Promise<Upload> {
    this.#begin(options.signal);
    const found = this.#contents.uploads.get(String(state.details.uploadId));
    if (found?.key !== state.key) throw notFound(state.key);
    return this.#upload(state);
  }

  async *pendingUploads(prefix: string, signal?: AbortSignal): AsyncGenerator<PendingUpload> {
    this.#begin(signal);
    for (const [uploadId, { key, startedAt }] of this.#contents.uploads) {
      if (key.startsWith(prefix)) yield { key, startedAt, details: { uploadId } };
    }
  }

  async abortUpload({ details }: PendingUpload, signal?: AbortSignal): Promise<void> {
    this.#begin(signal);
    this.#contents.uploads.delete(String(details.uploadId));
  }

  async copy(sourceKey: string, key: string, options: CopyOptions = {}): Promise<StoredObject> {
    this.#begin(options.signal);
    if (!this.features.serverSideCopy) throw notSupported('copy');
    this.#requireName(key);
    const source = this.#find(sourceKey, options.sourceVersionId);
    if (source === undefined) throw notFound(sourceKey);
    if (options.sourceIfMatch !== undefined && options.sourceIfMatch !== source.etag) {
      throw changed(sourceKey);
    }
    const { ifMatch, ifNoneMatch } = options;
    const attributes = options.attributes ?? source.attributes;
    return await this.#store(key, source.bytes, { ...attributes, ifMatch, ifNoneMatch });
  }

  async delete(request: DeleteRequest, signal?: AbortSignal): Promise<void> {
    this.#begin(signal);
    const { key, versionId, ifMatch } = request;
    if (versionId !== undefined) {
      this.#contents.remove(key, versionId);
      return;
    }
    const present = this.#contents.current(key);
    if (present === undefined) return;
    if (this.features.conditionalDelete && ifMatch !== undefined && ifMatch !== present.etag) {
      throw preconditionFailed(key);
    }
    if (this.#options.versioned === true) this.#contents.put(this.#deleteMarker(present), true);
    else this.#contents.remove(key);
  }

  async deleteMany(requests: readonly DeleteRequest[], signal?: AbortSignal): Promise<DeleteOutcome[]> {
    this.#begin(signal);
    const outcomes: DeleteOutcome[] = [];
    for (const request of requests) {
      const { key } = request;
      try {
        await this.delete(request, signal);
        outcomes.push({ key });
      } catch (error) {
        if (hasCode(error, 'ABORTED')) throw error;
        outcomes.push({ key, error: asCloudSyncError(error) });
      }
    }
    return outcomes;
  }

  async setModificationTime(object: StoredObject, time: bigint, signal?: AbortSignal): Promise<StoredObject> {
    this.#begin(signal);
    if (this.features.modificationTime.change === 'none') throw notSupported('change the time alone');
    const version = this.#find(object.key, undefined);
    if (version === undefined) throw notFound(object.key);
    if (object.etag !== undefined && object.etag !== version.etag) throw changed(object.key);
    const attributes = { ...version.attributes, modificationTime: this.#roundedTime(time) };
    if (this.features.modificationTime.change === 'copy') {
      return await this.#store(version.key, version.bytes, attributes);
    }
    version.attributes = attributes;
    return this.#show(version);
  }

  async createFolder(key: string, attributes: ObjectAttributes = {}, signal?: AbortSignal): Promise<void> {
    this.#begin(signal);
    if (this.features.folders === 'none' || key === '') return;
    await this.#store(`${key}/`, Buffer.alloc(0), attributesOf(attributes));
  }

  async deleteFolder(key: string, signal?: AbortSignal): Promise<void> {
    this.#begin(signal);
    if (this.features.folders === 'none' || key === '') return;
    const start = this.#contents.fold(`${key}/`);
    const isUsed = this.#contents
      .keys()
      .some((other) => other.startsWith(start) && other !== start && this.#contents.current(other));
    if (!isUsed) await this.delete({ key: `${key}/` }, signal);
  }

  async rename(): Promise<void> {
    throw notSupported('rename');
  }

  async thaw(
    key: string,
    options: { tier?: string; days?: number; versionId?: string; signal?: AbortSignal } = {},
  ): Promise<void> {
    this.#begin(options.signal);
    const version = this.#find(key, options.versionId);
    if (version === undefined) throw notFound(key);
    if (version.archive === 'frozen') version.archive = 'thawing';
  }

  async close(): Promise<void> {}

  #begin(signal: AbortSignal | undefined): void {
    throwIfAborted(signal);
    if (this.#options.missing !== true) return;
    throw new CloudSyncError('BUCKET_NOT_FOUND', 'There is no such bucket', {
      field: 'bucket',
      advice: 'Check its name.',
    });
  }

  async #store(key: string, bytes: Buffer, options: WriteOptions): Promise<StoredObject> {
    const hasher = new Hasher(algorithmsOf(options.hashes));
    hasher.update(bytes);
    requireHashes(options.hashes ?? {}, hasher.finish(), key);
    await options.beforeCommit?.();
    throwIfAborted(options.signal);
    this.#requireConditions(key, options);
    const attributes = attributesOf(options);
    if (attributes.modificationTime !== undefined) {
      attributes.modificationTime = this.#roundedTime(attributes.modificationTime);
    }
    const md5 = createHash('md5').update(bytes).digest('hex');
    const version: Version = {
      key,
      id: this.#contents.newId(),
      bytes,
      storedTime: this.#now(),
      isDeleteMarker: false,
      etag: md5,
      md5,
      attributes,
    };
    if (this.#options.archiveClasses?.includes(attributes.storageClass ?? '')) version.archive = 'frozen';
    this.#contents.put(version, this.#options.versioned === true);
    return this.#show(version);
  }

  #upload(state: UploadState): MemoryUpload {
    const finish = (key: string, bytes: Buffer, options: WriteOptions) => this.#store(key, bytes, options);
    return new MemoryUpload(this.#contents, state, this.features.upload.sequential, finish);
  }

  #find(key: string, versionId: string | undefined): Version | undefined {
    if (versionId === undefined) return this.#contents.current(key);
    const version = this.#contents.version(key, versionId);
    return version?.isDeleteMarker === true ? undefined : version;
  }

  #deleteMarker(present: Version): Version {
    const nothing = { bytes: Buffer.alloc(0), etag: '', md5: '', attributes: {} };
    const { key } = present;
    return { ...nothing, key, id: this.#contents.newId(), storedTime: this.#now(), isDeleteMarker: true };
  }

  #show(version: Version, isLatest?: boolean): StoredObject {
    const isFolder = version.key.endsWith('/');
    const object: StoredObject = {
      key: isFolder ? version.key.slice(0, -1) : version.key,
      kind: isFolder ? 'folder' : 'file',
      size: version.bytes.length,
      storedTime: version.storedTime,
    };
    const { modificationTime, storageClass, metadata } = version.attributes;
    if (this.#options.versioned === true) object.versionId = version.id;
    if (isLatest !== undefined) object.isLatest = isLatest;
    if (version.isDeleteMarker) return { ...object, isDeleteMarker: true };
    object.etag = version.etag;
    object.metadata = { ...metadata };
    if (this.features.hashes.includes('md5')) object.hashes = { md5: version.md5 };
    if (modificationTime !== undefined) object.modificationTime = modificationTime;
    if (storageClass !== undefined) object.storageClass = storageClass;
    if (version.archive !== undefined) object.archive = version.archive;
    return object;
  }

  #requireConditions(key: string, { ifMatch, ifNoneMatch }: WriteOptions): void {
    if (ifMatch === undefined && ifNoneMatch === undefined) return;
    if (!this.features.conditionalWrite) throw notSupported('write under a condition');
    const present = this.#contents.current(key);
    if (ifNoneMatch !== undefined && present !== undefined) throw preconditionFailed(key);
    if (ifMatch !== undefined && present?.etag !== ifMatch) throw preconditionFailed(key);
  }

  #requireName(key: string): void {
    if (key === '' || key.startsWith('/') || key.endsWith('/') || !key.isWellFormed()) {
      throw new CloudSyncError('INVALID_NAME', `${JSON.stringify(key)} is no key`, { path: key });
    }
    const { names } = this.features;
    checkKeyLength(key, names);
    const { maxSegmentBytes } = names;
    if (maxSegmentBytes === undefined) return;
    if (key.split('/').some((segment) => Buffer.byteLength(segment) > maxSegmentBytes)) {
      throw new CloudSyncError('NAME_TOO_LONG', `A name in ${JSON.stringify(key)} is too long`, {
        path: key,
      });
    }
  }

  #roundedTime(time: bigint): bigint {
    const { precision } = this.features.modificationTime;
    const rest = time % precision;
    return time - (rest < 0n ? rest + precision : rest);
  }

  #fold(key: string): string {
    const normal = this.features.normalizationSensitive ? key : key.normalize('NFC');
    return this.features.caseSensitive ? normal : normal.toLowerCase();
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }
}

class OpenedBytes implements OpenedObject {
  readonly object: StoredObject;
  readonly #bytes: Buffer;

  constructor(object: StoredObject, bytes: Buffer) {
    this.object = object;
    this.#bytes = bytes;
  }

  async *read(
    offset = 0,
    length = this.#bytes.length - offset,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    for await (const whole of contentOfBytes(this.#bytes).read(offset, length)) {
      for (let from = 0; from < whole.length; from += READ_CHUNK) {
        throwIfAborted(signal);
        yield Buffer.from(whole.subarray(from, from + READ_CHUNK));
      }
    }
  }

  async confirmUnchanged(): Promise<void> {}

  async close(): Promise<void> {}
}

function attributesOf(options: ObjectAttributes): ObjectAttributes {
  const { modificationTime, metadata, storageClass, serverSideEncryption, contentType } = options;
  return { modificationTime, metadata, storageClass, serverSideEncryption, contentType };
}

function notFound(key: string): CloudSyncError {
  return new CloudSyncError('NOT_FOUND', `There is no ${JSON.stringify(key)}`, { path: key });
}

function changed(key: string): CloudSyncError {
  return new CloudSyncError('CHANGED', `${JSON.stringify(key)} is not what it was`, { path: key });
}

function preconditionFailed(key: string): CloudSyncError {
  return new CloudSyncError('PRECONDITION_FAILED', `${JSON.stringify(key)} is not what was expected`, {
    path: key,
  });
}

function notSupported(what: string): CloudSyncError {
  return new CloudSyncError('NOT_SUPPORTED', `This store cannot ${what}`);
}
