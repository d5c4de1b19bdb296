/** Encrypting contents: the same bytes at the same offsets, however often and from wherever they are read. */

import { CloudSyncError } from '../../errors.js';
import { sliceContent } from '../parts.js';
import type { Content } from '../store.js';
import type { Cipher } from './cipher.js';
import {
  BLOCK_DATA_SIZE,
  BOX_SIZE,
  type ByteRange,
  blockNonce,
  boxOffset,
  contentOfRange,
  encryptedSize,
  fileHeader,
  HEADER_SIZE,
  incrementNonce,
} from './format.js';
import { TAG_SIZE } from './secretbox.js';

/** Boxes handed out at once: fewer steps for the reader, 256 KiB of memory. */
const BOXES_PER_CHUNK = 4;

/**
 * The tag of every block sealed under one nonce, by block number. A block that is read again, for a retry, has to be the
 * same: two contents under one nonce would give away their XOR.
 */
export type BlockTags = Map<number, string>;

/**
 * `content` encrypted under `nonce` (24 bytes, used for no other content). Give `tags` where the bytes are sent away:
 * then a content that changed in between ends with CHANGED. They take some 80 bytes of memory per block that was read.
 */
export function encryptedContent(
  cipher: Cipher,
  content: Content,
  nonce: Uint8Array,
  tags?: BlockTags,
): Content {
  const range = { offset: 0, length: encryptedSize(content.size) };
  return encryptedRange(cipher, content, content.size, nonce, range, tags);
}

/**
 * The bytes `range` of the file that a content of `contentSize` bytes becomes under `nonce`. `content` is the stretch of
 * it that {@link contentOfRange} names, or all of it.
 */
export function encryptedRange(
  cipher: Cipher,
  content: Content,
  contentSize: number,
  nonce: Uint8Array,
  range: ByteRange,
  tags?: BlockTags,
): Content {
  const needed = contentOfRange(range, contentSize);
  const stretch =
    content.size === contentSize ? sliceContent(content, needed.offset, needed.length) : content;
  if (stretch.size !== needed.length) {
    throw new CloudSyncError(
      'INTERNAL',
      `An encrypted part needs ${needed.length} bytes, ${stretch.size} given`,
    );
  }
  async function* read(offset = 0, length = range.length - offset): AsyncGenerator<Uint8Array> {
    if (!(offset >= 0 && length >= 0 && offset + length <= range.length)) {
      throw new CloudSyncError(
        'INTERNAL',
        `Bytes ${offset} to ${offset + length} lie outside ${range.length}`,
      );
    }
    const start = range.offset + offset;
    if (length === 0) return;
    if (start < HEADER_SIZE) yield fileHeader(nonce).subarray(start, start + length);
    const asked = contentOfRange({ offset: start, length }, contentSize);
    if (asked.length === 0) return;
    const first = asked.offset / BLOCK_DATA_SIZE;
    const source = stretch.read(asked.offset - needed.offset, asked.length);
    let position = boxOffset(first);
    for await (const boxes of sealBlocks(cipher, source, asked.length, nonce, first, tags)) {
      const from = Math.max(0, start - position);
      const to = Math.min(boxes.length, start + length - position);
      if (to > from) yield boxes.subarray(from, to);
      position += boxes.length;
    }
  }
  let whole: Uint8Array | undefined;
  return {
    size: range.length,
    read,
    get bytes() {
      if (stretch.bytes === undefined) return undefined;
      whole ??= sealBytes(cipher, stretch.bytes, nonce, range, needed.offset / BLOCK_DATA_SIZE, tags);
      return whole;
    },
  };
}

/** The bytes `range` of an encrypted file, where the content they are made of is in memory and begins block `first`. */
function sealBytes(
  cipher: Cipher,
  content: Uint8Array,
  firstNonce: Uint8Array,
  range: ByteRange,
  first: number,
  tags: BlockTags | undefined,
): Uint8Array {
  const withHeader = range.offset < HEADER_SIZE;
  const headerSize = withHeader ? HEADER_SIZE : 0;
  const tagBytes = Math.ceil(content.length / BLOCK_DATA_SIZE) * TAG_SIZE;
  const result = Buffer.allocUnsafeSlow(headerSize + content.length + tagBytes);
  if (withHeader) result.set(fileHeader(firstNonce));
  const nonce = blockNonce(firstNonce, first);
  let position = headerSize;
  for (let from = 0, block = first; from < content.length; from += BLOCK_DATA_SIZE, block++) {
    const message = content.subarray(from, from + BLOCK_DATA_SIZE);
    const box = result.subarray(position, position + TAG_SIZE + message.length);
    cipher.seal(box, message, nonce);
    rememberTag(tags, block, box);
    incrementNonce(nonce);
    position += box.length;
  }
  const start = range.offset - (withHeader ? 0 : boxOffset(first));
  return result.subarray(start, start + range.length);
}

/** Seals `length` bytes of content that begin with block `first`; a few boxes at a time, each chunk a new buffer. */
async function* sealBlocks(
  cipher: Cipher,
  source: AsyncIterable<Uint8Array>,
  length: number,
  firstNonce: Uint8Array,
  first: number,
  tags: BlockTags | undefined,
): AsyncGenerator<Buffer> {
  const nonce = blockNonce(firstNonce, first);
  let block = first;
  let left = length;
  let chunk = newChunk(left);
  let boxStart = 0;
  let filled = 0;

  const seal = (message: Uint8Array): void => {
    const box = chunk.subarray(boxStart, boxStart + TAG_SIZE + message.length);
    cipher.seal(box, message, nonce);
    rememberTag(tags, block, box);
    incrementNonce(nonce);
    block++;
    left -= message.length;
    boxStart += box.length;
    filled = 0;
  };

  for await (const bytes of source) {
    let used = 0;
    while (used < bytes.length) {
      const blockSize = Math.min(BLOCK_DATA_SIZE, left);
      if (blockSize === 0) throw changedSize();
      if (filled === 0 && bytes.length - used >= blockSize) {
        seal(bytes.subarray(used, used + blockSize));
        used += blockSize;
      } else {
        const count = Math.min(blockSize - filled, bytes.length - used);
        chunk.set(bytes.subarray(used, used + count), boxStart + TAG_SIZE + filled);
        filled += count;
        used += count;
        if (filled === blockSize) {
          seal(chunk.subarray(boxStart + TAG_SIZE, boxStart + TAG_SIZE + filled));
        }
      }
      if (boxStart === chunk.length) {
        yield chunk;
        chunk = newChunk(left);
        boxStart = 0;
      }
    }
  }
  if (left > 0) throw changedSize();
}

/** Room for the next boxes, as long as `left` bytes of content need. */
function newChunk(left: number): Buffer {
  const content = Math.min(left, BOXES_PER_CHUNK * BLOCK_DATA_SIZE);
  return Buffer.allocUnsafe(content + Math.ceil(content / BLOCK_DATA_SIZE) * TAG_SIZE);
}

function rememberTag(tags: BlockTags | undefined, block: number, box: Buffer): void {
  if (tags === undefined) return;
  const tag = box.toString('latin1', 0, TAG_SIZE);
  const before = tags.get(block);
  if (before === undefined) tags.set(block, tag);
  else if (before !== tag) {
    throw new CloudSyncError('CHANGED', 'The file changed while it was being encrypted');
  }
}

function changedSize(): CloudSyncError {
  return new CloudSyncError('CHANGED', 'The file changed its size while it was being encrypted');
}

/** Forgets the tags of blocks that won't be read again: those of part `range`, but for the ones it shares. */
export function forgetTags(tags: BlockTags, range: ByteRange): void {
  const first = Math.floor((range.offset - HEADER_SIZE) / BOX_SIZE) + 1;
  const last = Math.floor((range.offset + range.length - HEADER_SIZE) / BOX_SIZE) - 1;
  for (let block = Math.max(0, first); block <= last; block++) tags.delete(block);
}
