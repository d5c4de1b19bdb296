/** Bytes to send, from memory or from an opened object. */

import { CloudSyncError, throwIfAborted } from '../errors.js';
import { unlessAborted } from './http/retry.js';
import type { Content, OpenedObject } from './store.js';

/** Memory that is read into again and again. Bytes. */
const REUSED_CHUNK = 1024 * 1024;

/**
 * Content that is in memory. The bytes must not be changed while it is in use.
 *
 * @param md5 theirs, hexadecimal, where the caller has computed it
 */
export function contentOfBytes(bytes: Uint8Array, md5?: string): Content {
  return {
    size: bytes.byteLength,
    bytes,
    md5,
    async *read(offset = 0, length = bytes.byteLength - offset) {
      checkRange(offset, length, bytes.byteLength);
      if (length > 0) yield bytes.subarray(offset, offset + length);
    },
  };
}

/**
 * Content that is `length` bytes (default: all that follow) of an opened object from `offset` (default 0). Stays usable
 * as long as the object is open.
 */
export function contentOfOpened(
  opened: OpenedObject,
  offset = 0,
  length = opened.object.size - offset,
): Content {
  checkRange(offset, length, opened.object.size);
  const content: Content = {
    size: length,
    read(from = 0, count = length - from) {
      checkRange(from, count, length);
      return opened.read(offset + from, count);
    },
  };
  if (opened.readInto === undefined) return content;
  return {
    ...content,
    readInto(target, from) {
      checkRange(from, target.byteLength, length);
      return opened.readInto!(target, offset + from);
    },
  };
}

/** `content` for a reading after which nothing was sent: a bandwidth limit has no part in it. */
export function forHashing(content: Content): Content {
  return content.unlimited ?? content;
}

/**
 * The bytes of `content`, exactly as many as it says: CHANGED where there are more or fewer, for then it changed since it
 * was looked at. Ends with ABORTED as soon as `signal` fires, even while the source has nothing to give.
 */
export async function* readExactly(content: Content, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  throwIfAborted(signal);
  const iterator = content.read()[Symbol.asyncIterator]();
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await unlessAborted(iterator.next(), signal);
      if (done === true) break;
      size += value.byteLength;
      if (size > content.size) throw sizeChanged(content.size, size);
      yield value;
    }
  } finally {
    // Not awaited: it may be the very call that hangs.
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
  if (size !== content.size) throw sizeChanged(content.size, size);
}

/**
 * Puts all of `content` into `target`, which is as long. Errors as {@link readExactly}; after one, `target` may still be
 * written to and must not be used again. Undefined where it is done at once.
 */
export function fill(target: Uint8Array, content: Content, signal?: AbortSignal): Promise<void> | undefined {
  throwIfAborted(signal);
  if (target.byteLength !== content.size) throw sizeChanged(target.byteLength, content.size);
  if (content.readInto === undefined) return fillFromStream(target, content, signal);
  const reading = content.readInto(target, 0);
  return reading === undefined ? undefined : unlessAborted(reading, signal);
}

async function fillFromStream(
  target: Uint8Array,
  content: Content,
  signal: AbortSignal | undefined,
): Promise<void> {
  let position = 0;
  for await (const chunk of readExactly(content, signal)) {
    target.set(chunk, position);
    position += chunk.byteLength;
  }
}

/**
 * Calls `use` with the bytes of `content` in order, for hashing them: a chunk is valid only during the call, since its
 * memory is used again. Errors as {@link readExactly}.
 */
export async function forEachChunk(
  content: Content,
  use: (chunk: Uint8Array) => void,
  signal?: AbortSignal,
): Promise<void> {
  if (content.readInto === undefined) {
    for await (const chunk of readExactly(content, signal)) use(chunk);
    return;
  }
  const length = Math.min(REUSED_CHUNK, content.size);
  // Two buffers: one is read into while the other is used.
  const buffers = [Buffer.allocUnsafe(length), Buffer.allocUnsafe(content.size > length ? length : 0)];
  const readAt = async (offset: number): Promise<Uint8Array> => {
    const chunk = buffers[(offset / length) & 1]!.subarray(0, content.size - offset);
    await content.readInto!(chunk, offset);
    return chunk;
  };
  throwIfAborted(signal);
  let reading = content.size === 0 ? undefined : readAt(0);
  for (let next = length; reading !== undefined; next += length) {
    const chunk: Uint8Array = await unlessAborted(reading, signal);
    reading = next < content.size ? readAt(next) : undefined;
    // Its error is met at the next turn, where there is one.
    reading?.catch(() => {});
    use(chunk);
  }
}

/** A content that was found to have other than its `expected` bytes. */
export function sizeChanged(expected: number, found: number): CloudSyncError {
  return new CloudSyncError(
    'CHANGED',
    `The content has ${found} bytes and not ${expected}: it changed while it was read`,
  );
}

/** All of it in one Buffer: for small contents and tests. */
export async function readAll(source: Content | AsyncIterable<Uint8Array>): Promise<Buffer> {
  const isContent = 'read' in source;
  if (isContent && source.bytes !== undefined) return Buffer.from(source.bytes);
  const chunks: Buffer[] = [];
  for await (const chunk of isContent ? source.read() : source) {
    // Copied, because a source may use its buffer again for the next chunk.
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks);
}

function checkRange(offset: number, length: number, size: number): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= size)) {
    throw new CloudSyncError(
      'INTERNAL',
      `Bytes ${offset} to ${offset + length} lie outside a content of ${size}`,
    );
  }
}
