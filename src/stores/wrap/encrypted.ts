/**
 * A store whose contents are encrypted in the format of rclone's crypt before they reach the store below. Keys pass
 * through as they are stored: the engine maps names, with `encryptedNames`.
 */

import { hasCode, throwIfAborted } from '../../errors.js';
import { compareByHashes } from '../compare.js';
import type { Cipher } from '../encryption/cipher.js';
import { DecryptedReader } from '../encryption/decrypt.js';
import { encryptedContent } from '../encryption/encrypt.js';
import {
  BLOCK_DATA_SIZE,
  boxOffset,
  encryptedSize,
  HEADER_SIZE,
  largestContent,
  newNonce,
  possibleDecryptedSize,
} from '../encryption/format.js';
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
  Store,
  StoredObject,
  StoreFeatures,
  Upload,
  UploadState,
  WriteOptions,
} from '../store.js';
import { checkedContent } from './checked-content.js';
import { EncryptedUpload, storedState } from './encrypted-upload.js';

export { checkPassword } from '../encryption/check-password.js';

/** The plain size of what is no encrypted file. */
export const IMPOSSIBLE_SIZE = -1;

/** What a provider is told of every encrypted content: that it can't tell. */
const CONTENT_TYPE = 'application/octet-stream';

/** `inner` with its contents encrypted by `cipher`. Sizes seen and asked here are those of the plain contents. */
export function encryptedStore(inner: Store, cipher: Cipher): EncryptedStore {
  return new EncryptedStore(inner, cipher);
}

export function isEncryptedStore(store: Store): store is EncryptedStore {
  return store instanceof EncryptedStore;
}

export class EncryptedStore implements Store {
  readonly features: StoreFeatures;

  constructor(
    readonly inner: Store,
    readonly cipher: Cipher,
  ) {
    const { upload } = inner.features;
    this.features = {
      ...inner.features,
      // What the provider computes are hashes of the encrypted bytes.
      hashes: [],
      upload: { ...upload, threshold: largestContent(upload.threshold), wantsHashFirst: undefined },
    };
  }

  get identity(): string {
    return this.inner.identity;
  }

  check(signal?: AbortSignal): Promise<void> {
    return this.inner.check(signal);
  }

  async *list(options?: ListOptions): AsyncGenerator<readonly StoredObject[]> {
    for await (const page of this.inner.list(options)) yield page.map(plainObject);
  }

  async head(
    key: string,
    options?: { versionId?: string; signal?: AbortSignal },
  ): Promise<StoredObject | undefined> {
    const object = await this.inner.head(key, options);
    return object === undefined ? undefined : plainObject(object);
  }

  async open(key: string, options: OpenOptions = {}): Promise<OpenedObject> {
    const opened = await this.inner.open(key, { ...options, firstRead: storedFirstRead(options.firstRead) });
    try {
      const reader = new DecryptedReader(this.cipher, opened);
      return {
        object: plainObject(opened.object),
        read: (offset, length, signal) => reader.read(offset, length, signal),
        confirmUnchanged: () => opened.confirmUnchanged(),
        close: () => opened.close(),
      };
    } catch (error) {
      await opened.close();
      if (hasCode(error, 'CHECKSUM_MISMATCH')) error.path ??= key;
      throw error;
    }
  }

  /** The nonce an object was encrypted under, by reading its first bytes. CHECKSUM_MISMATCH where it isn't encrypted. */
  async readNonce(key: string, options: Omit<OpenOptions, 'firstRead'> = {}): Promise<Buffer> {
    const { opened, nonce } = await this.openForNonce(key, options);
    await opened.close();
    return nonce;
  }

  private async openForNonce(key: string, options: Omit<OpenOptions, 'firstRead'>) {
    const opened = await this.inner.open(key, { ...options, firstRead: { offset: 0, length: HEADER_SIZE } });
    try {
      return { opened, nonce: await new DecryptedReader(this.cipher, opened).nonce(options.signal) };
    } catch (error) {
      await opened.close();
      throw error;
    }
  }

  async write(key: string, content: Content, options: WriteOptions = {}): Promise<StoredObject> {
    const { hashes, ...rest } = options;
    const checked = checkedContent(content, hashes);
    const encrypted = encryptedContent(this.cipher, checked, newNonce(), new Map());
    try {
      return plainObject(await this.inner.write(key, encrypted, { ...rest, contentType: CONTENT_TYPE }));
    } catch (error) {
      // A source that gives up when it is stopped looks like one that became shorter.
      throwIfAborted(options.signal);
      throw error;
    }
  }

  async createUpload(key: string, size: number, options: CreateUploadOptions = {}): Promise<Upload> {
    const { hashes: _plainHashes, partSize, ...rest } = options;
    const nonce = newNonce();
    const stored = encryptedSize(size);
    const { maxParts } = this.inner.features.upload;
    // No hash of the whole, even where the provider would keep one: it would cost a second encryption of everything.
    // The provider confirms each part, and every block proves itself when it is decrypted.
    const upload = await this.inner.createUpload(key, stored, {
      ...rest,
      // A part size that just fits the plain content would need a part too many.
      partSize: partSize === undefined ? undefined : Math.max(partSize, Math.ceil(stored / maxParts)),
      contentType: CONTENT_TYPE,
    });
    return new EncryptedUpload(upload, this.cipher, size, nonce);
  }

  async resumeUpload(state: UploadState, options: WriteOptions = {}): Promise<Upload> {
    const { hashes: _plainHashes, ...rest } = options;
    const { inner, nonce } = storedState(state);
    const upload = await this.inner.resumeUpload(inner, { ...rest, contentType: CONTENT_TYPE });
    return new EncryptedUpload(upload, this.cipher, state.size, nonce);
  }

  pendingUploads(prefix: string, signal?: AbortSignal): AsyncIterable<PendingUpload> {
    return this.inner.pendingUploads(prefix, signal);
  }

  get serverTime(): Store['serverTime'] {
    const { inner } = this;
    return inner.serverTime?.bind(inner);
  }

  get abortUpload(): Store['abortUpload'] {
    const { inner } = this;
    return inner.abortUpload?.bind(inner);
  }

  /** The copy keeps the nonce of its source, and has its content: no second content under one nonce. */
  async copy(sourceKey: string, key: string, options: CopyOptions = {}): Promise<StoredObject> {
    const isKnown = options.size !== undefined && options.size !== IMPOSSIBLE_SIZE;
    const size = isKnown ? encryptedSize(options.size!) : undefined;
    return plainObject(await this.inner.copy(sourceKey, key, { ...options, size }));
  }

  /**
   * Encrypts `content` under the object's nonce (one request for the object's first bytes) and lets the store below
   * compare. `unknown` where the object is archived.
   */
  async compareContent(
    object: StoredObject,
    content: Content,
    trust: ComparisonTrust,
    signal?: AbortSignal,
  ): Promise<ContentComparison> {
    if (object.size !== content.size || object.kind !== 'file') return 'different';
    const { key, versionId, etag } = object;
    try {
      const { opened, nonce } = await this.openForNonce(key, { versionId, ifMatch: etag, signal });
      try {
        if (opened.object.size !== encryptedSize(content.size)) return 'different';
        const encrypted = encryptedContent(this.cipher, content, nonce);
        const { inner } = this;
        return inner.compareContent === undefined
          ? await compareByHashes(opened.object, encrypted, trust, signal)
          : await inner.compareContent(opened.object, encrypted, trust, signal);
      } finally {
        await opened.close();
      }
    } catch (error) {
      if (hasCode(error, 'ARCHIVED')) return 'unknown';
      if (hasCode(error, 'CHECKSUM_MISMATCH')) return 'different';
      throw error;
    }
  }

  delete(request: DeleteRequest, signal?: AbortSignal): Promise<void> {
    return this.inner.delete(request, signal);
  }

  deleteMany(requests: readonly DeleteRequest[], signal?: AbortSignal): Promise<DeleteOutcome[]> {
    return this.inner.deleteMany(requests, signal);
  }

  async setModificationTime(
    object: StoredObject,
    time: bigint,
    signal?: AbortSignal,
    onUploadBegins?: CopyOptions['onUploadBegins'],
  ): Promise<StoredObject> {
    const hasSize = object.kind === 'file' && object.size !== IMPOSSIBLE_SIZE;
    const stored = hasSize ? { ...object, size: encryptedSize(object.size) } : object;
    return plainObject(await this.inner.setModificationTime(stored, time, signal, onUploadBegins));
  }

  createFolder(key: string, attributes?: ObjectAttributes, signal?: AbortSignal): Promise<void> {
    return this.inner.createFolder(key, attributes, signal);
  }

  deleteFolder(key: string, signal?: AbortSignal): Promise<void> {
    return this.inner.deleteFolder(key, signal);
  }

  rename(key: string, newKey: string, signal?: AbortSignal): Promise<void> {
    return this.inner.rename(key, newKey, signal);
  }

  thaw(key: string, options: Parameters<Store['thaw']>[1]): Promise<void> {
    return this.inner.thaw(key, options);
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}

/**
 * The object with its plain size and without the hashes of its encrypted bytes. One that can't be an encrypted file (cut
 * off, or put there plain) has {@link IMPOSSIBLE_SIZE}: so it equals no file, a backup replaces it, a verification names
 * it, and reading it says what is wrong.
 */
function plainObject(object: StoredObject): StoredObject {
  if (object.kind !== 'file' || object.isDeleteMarker === true) return object;
  const { hashes: _hashes, claimedHashes: _claimedHashes, ...rest } = object;
  return { ...rest, size: possibleDecryptedSize(object.size) ?? IMPOSSIBLE_SIZE };
}

/** Which stored bytes a first read of the content needs. */
function storedFirstRead(firstRead: OpenOptions['firstRead']): OpenOptions['firstRead'] {
  if (firstRead === undefined) return undefined;
  // Reading from the middle needs the header first, which says under which nonce.
  if (firstRead.offset >= BLOCK_DATA_SIZE || firstRead.length === 0) {
    return { offset: 0, length: HEADER_SIZE };
  }
  return {
    offset: 0,
    length: boxOffset(Math.ceil((firstRead.offset + firstRead.length) / BLOCK_DATA_SIZE)),
  };
}
