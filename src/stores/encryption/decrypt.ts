/** Decrypting contents: whole, in ranges, or as they come. */

import { CloudSyncError, throwIfAborted } from '../../errors.js';
import type { OpenedObject } from '../store.js';
import type { Cipher } from './cipher.js';
import {
  BLOCK_DATA_SIZE,
  BOX_SIZE,
  type ByteRange,
  blockNonce,
  boxesOfRange,
  decryptedSize,
  HEADER_SIZE,
  incrementNonce,
  nonceOfHeader,
} from './format.js';
import { TAG_SIZE } from './secretbox.js';

/** Blocks handed out at once: fewer steps for the reader, 256 KiB of memory. */
const BLOCKS_PER_CHUNK = 4;

/** The nonce in the header of the file that `source` begins. Throws CHECKSUM_MISMATCH where it is no encrypted file. */
export async function readHeader(source: AsyncIterable<Uint8Array>, path?: string): Promise<Buffer> {
  const parts = new ByteQueue(source);
  try {
    return await takeHeader(parts, path);
  } finally {
    await parts.close();
  }
}

/**
 * The content of an encrypted file that is read from its first byte on.
 * Throws CHECKSUM_MISMATCH where it is no encrypted file, is damaged or ends within a block; WRONG_PASSWORD where already
 * the first block doesn't open and nothing has been opened with this cipher before. A file cut off exactly between two
 * blocks can't be told from a whole one: the size has to be known from elsewhere.
 */
export async function* decryptedContent(
  cipher: Cipher,
  source: AsyncIterable<Uint8Array>,
  path?: string,
  onNonce?: (nonce: Buffer) => void,
): AsyncGenerator<Uint8Array> {
  const queue = new ByteQueue(source);
  try {
    const nonce = await takeHeader(queue, path);
    onNonce?.(nonce);
    yield* openBoxes(cipher, queue, nonce, 0, path);
  } finally {
    await queue.close();
  }
}

/** An opened encrypted file, read through its boxes. */
export class DecryptedReader {
  /** Bytes of content. */
  readonly size: number;
  private known?: Buffer;

  /** Throws CHECKSUM_MISMATCH where no encrypted file has the size of this one. */
  constructor(
    private readonly cipher: Cipher,
    private readonly stored: OpenedObject,
  ) {
    this.size = decryptedSize(stored.object.size);
  }

  /** What the file was encrypted under. */
  async nonce(signal?: AbortSignal): Promise<Buffer> {
    this.known ??= await readHeader(this.stored.read(0, HEADER_SIZE, signal), this.stored.object.key);
    return this.known;
  }

  /** `length` bytes of the content from `offset`, from the boxes that hold them alone. Errors as {@link decryptedContent}. */
  async *read(
    offset = 0,
    length = this.size - offset,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) {
      const message = `Bytes ${offset} to ${offset + length} lie outside a content of ${this.size}`;
      throw new CloudSyncError('INTERNAL', message);
    }
    if (length === 0) {
      // An empty file has nothing but its header to prove what it is.
      if (this.size === 0) await this.nonce(signal);
      return;
    }
    const first = Math.floor(offset / BLOCK_DATA_SIZE);
    let skip = offset - first * BLOCK_DATA_SIZE;
    let left = length;
    for await (const chunk of this.blocks(first, { offset, length }, signal)) {
      throwIfAborted(signal);
      const wanted = chunk.subarray(skip, skip + left);
      skip = 0;
      left -= wanted.length;
      yield wanted;
    }
    if (left > 0) throw damaged(this.stored.object.key, 'it ends too early');
  }

  private async *blocks(first: number, range: ByteRange, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const { offset, length } = boxesOfRange(range, this.size);
    const path = this.stored.object.key;
    if (first === 0) {
      const source = this.stored.read(0, offset + length, signal);
      yield* decryptedContent(this.cipher, source, path, (nonce) => {
        this.known = nonce;
      });
    } else {
      const nonce = await this.nonce(signal);
      yield* openStretch(this.cipher, this.stored.read(offset, length, signal), nonce, first, path);
    }
  }
}

async function* openStretch(
  cipher: Cipher,
  source: AsyncIterable<Uint8Array>,
  nonce: Buffer,
  first: number,
  path: string,
): AsyncGenerator<Uint8Array> {
  const queue = new ByteQueue(source);
  try {
    yield* openBoxes(cipher, queue, nonce, first, path);
  } finally {
    await queue.close();
  }
}

async function takeHeader(queue: ByteQueue, path: string | undefined): Promise<Buffer> {
  const header = await queue.take(HEADER_SIZE);
  const nonce = header.length < HEADER_SIZE ? undefined : nonceOfHeader(header);
  if (nonce === undefined) throw notEncrypted(path);
  return nonce;
}

/** Opens the boxes from number `first` on; a few at a time, each chunk a new buffer. */
async function* openBoxes(
  cipher: Cipher,
  queue: ByteQueue,
  firstNonce: Buffer,
  first: number,
  path: string | undefined,
): AsyncGenerator<Buffer> {
  const nonce = blockNonce(firstNonce, first);
  let chunk = Buffer.allocUnsafeSlow(BLOCKS_PER_CHUNK * BLOCK_DATA_SIZE);
  let filled = 0;
  for (let block = first; ; block++) {
    const box = await queue.take(BOX_SIZE);
    if (box.length === 0) break;
    const size = box.length - TAG_SIZE;
    if (size <= 0) throw damaged(path, 'it ends within a block');
    if (!cipher.open(chunk.subarray(filled, filled + size), box, nonce)) {
      throw block === 0 && !cipher.isConfirmed
        ? wrongPassword(path)
        : damaged(path, `block ${block} is damaged`);
    }
    incrementNonce(nonce);
    filled += size;
    if (filled === chunk.length) {
      yield chunk;
      chunk = Buffer.allocUnsafeSlow(BLOCKS_PER_CHUNK * BLOCK_DATA_SIZE);
      filled = 0;
    }
    if (size < BLOCK_DATA_SIZE) {
      if ((await queue.take(1)).length > 0) throw damaged(path, 'it goes on behind its end');
      break;
    }
  }
  if (filled > 0) yield chunk.subarray(0, filled);
}

/** Takes a stream apart into pieces of a wanted size; copies only what lies across two of its chunks. */
class ByteQueue {
  private readonly iterator: AsyncIterator<Uint8Array>;
  private chunk: Uint8Array = new Uint8Array(0);
  private ended = false;
  private scratch?: Buffer;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.iterator = source[Symbol.asyncIterator]();
  }

  /** The next `size` bytes, fewer only at the end; valid until the next call. */
  async take(size: number): Promise<Uint8Array> {
    if (this.chunk.length === 0) await this.fill();
    if (this.chunk.length >= size || this.ended) return this.cut(size);
    // Chunks may be used again by the source, so what is kept across two of them is copied first.
    this.scratch ??= Buffer.allocUnsafeSlow(BOX_SIZE);
    let filled = 0;
    while (filled < size && this.chunk.length > 0) {
      const piece = this.cut(size - filled);
      this.scratch.set(piece, filled);
      filled += piece.length;
      if (filled < size && this.chunk.length === 0) await this.fill();
    }
    return this.scratch.subarray(0, filled);
  }

  async close(): Promise<void> {
    if (this.ended) return;
    this.ended = true;
    await this.iterator.return?.();
  }

  private cut(size: number): Uint8Array {
    const piece = this.chunk.subarray(0, size);
    this.chunk = this.chunk.subarray(piece.length);
    return piece;
  }

  private async fill(): Promise<void> {
    while (!this.ended && this.chunk.length === 0) {
      const next = await this.iterator.next();
      if (next.done === true) this.ended = true;
      else this.chunk = next.value;
    }
  }
}

function notEncrypted(path: string | undefined): CloudSyncError {
  return new CloudSyncError('CHECKSUM_MISMATCH', 'Not a file encrypted in the format of rclone crypt', {
    path,
    retryable: false,
    advice: 'It was put there without encryption or by another program, or its beginning is damaged.',
  });
}

function wrongPassword(path: string | undefined): CloudSyncError {
  return new CloudSyncError('WRONG_PASSWORD', 'The password or salt does not open this file', {
    path,
    field: 'encryptionPassword',
    advice: 'Enter the password and salt the files were encrypted with.',
  });
}

function damaged(path: string | undefined, what: string): CloudSyncError {
  return new CloudSyncError('CHECKSUM_MISMATCH', `The encrypted file is not as it was written: ${what}`, {
    path,
  });
}
