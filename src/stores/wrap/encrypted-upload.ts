/** An upload in parts whose bytes are encrypted on the way. */

import { CloudSyncError, throwIfAborted } from '../../errors.js';
import { hashContent } from '../compare.js';
import type { Cipher } from '../encryption/cipher.js';
import { type BlockTags, encryptedRange, forgetTags } from '../encryption/encrypt.js';
import { type ByteRange, contentOfRange, encryptedSize } from '../encryption/format.js';
import { NONCE_SIZE } from '../encryption/secretbox.js';
import type { ArrivedPart, Content, StoredObject, Upload, UploadState } from '../store.js';

/** Name of the nonce in an upload's state: what another process goes on with. */
const NONCE_DETAIL = 'encryptionNonce';

/** The state of the upload below an encrypted one, and the nonce. Throws INVALID_INPUT where it has none. */
export function storedState(state: UploadState): { inner: UploadState; nonce: Buffer } {
  const { [NONCE_DETAIL]: text, ...details } = state.details;
  const nonce = Buffer.from(String(text), 'hex');
  if (nonce.length !== NONCE_SIZE) {
    throw new CloudSyncError('INVALID_INPUT', 'The unfinished upload was not begun encrypted', {
      path: state.key,
    });
  }
  return { inner: { ...state, size: encryptedSize(state.size), details }, nonce };
}

/**
 * Parts are cut from the encrypted bytes, all of the size the store below wants; so a part of the content begins and
 * ends with whole blocks of it and shares one with its neighbour ({@link partRange}).
 */
export class EncryptedUpload implements Upload {
  private readonly tags: BlockTags = new Map();
  /** What the provider held under this nonce when it was asked. */
  private readonly found = new Map<number, ArrivedPart>();

  constructor(
    private readonly inner: Upload,
    private readonly cipher: Cipher,
    private readonly contentSize: number,
    private readonly nonce: Buffer,
  ) {}

  get state(): UploadState {
    const { state } = this.inner;
    const details = { ...state.details, [NONCE_DETAIL]: this.nonce.toString('hex') };
    return { ...state, size: this.contentSize, details };
  }

  get partCount(): number {
    return this.inner.partCount;
  }

  partRange(number: number): ByteRange {
    return contentOfRange(this.storedRange(number), this.contentSize);
  }

  storedPart(number: number, content: Content): Content {
    return this.encrypted(number, content, undefined);
  }

  async *arrived(signal?: AbortSignal): AsyncGenerator<ArrivedPart> {
    for await (const part of this.inner.arrived(signal)) {
      this.found.set(part.number, part);
      yield part;
    }
  }

  async sendPart(number: number, content: Content, signal?: AbortSignal): Promise<ArrivedPart> {
    try {
      await this.refuseOtherContent(number, content, signal);
      const part = await this.inner.sendPart(number, this.encrypted(number, content, this.tags), signal);
      forgetTags(this.tags, this.storedRange(number));
      return part;
    } catch (error) {
      // A source that gives up when it is stopped looks like one that became shorter.
      throwIfAborted(signal);
      throw error;
    }
  }

  keepPart(part: ArrivedPart): void {
    this.inner.keepPart(part);
  }

  async complete(options: Parameters<Upload['complete']>[0] = {}): Promise<StoredObject> {
    const { hashes: _plainHashes, ...rest } = options;
    const object = await this.inner.complete(rest);
    const { hashes: _hashes, claimedHashes: _claimedHashes, ...plain } = object;
    return { ...plain, size: this.contentSize };
  }

  abort(): Promise<void> {
    return this.inner.abort();
  }

  private storedRange(number: number): ByteRange {
    const { partSize } = this.inner.state;
    const offset = (number - 1) * partSize;
    return { offset, length: Math.min(partSize, encryptedSize(this.contentSize) - offset) };
  }

  private encrypted(number: number, content: Content, tags: BlockTags | undefined): Content {
    const range = this.storedRange(number);
    return encryptedRange(this.cipher, content, this.contentSize, this.nonce, range, tags);
  }

  /**
   * A part the provider had already goes again only if it is the same: another content under this nonce would give
   * away the XOR of both. Throws CHANGED.
   */
  private async refuseOtherContent(number: number, content: Content, signal?: AbortSignal): Promise<void> {
    const found = this.found.get(number);
    if (found?.hashes?.md5 === undefined) return;
    const own = await hashContent(this.encrypted(number, content, undefined), ['md5'], signal);
    if (own.md5 !== found.hashes.md5) {
      throw new CloudSyncError('CHANGED', 'The file is another one than when its upload began', {
        path: this.inner.state.key,
        advice: 'The upload has to begin anew.',
      });
    }
  }
}
