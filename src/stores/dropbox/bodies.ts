/** Contents on their way to Dropbox: read, hashed before they are sent, and held to what was hashed while they are. */

import { CloudSyncError, throwIfAborted } from '../../errors.js';
import { forHashing } from '../content.js';
import { algorithmsOf, Hasher, requireHashes } from '../hashing.js';
import { unlessAborted } from '../http.js';
import type { Content, Hashes } from '../store.js';
import { ContentHash, hashOfBlocks } from './content-hash.js';
import type { UploadCall } from './transport.js';

/** Contents up to this size are held in memory; larger ones are read a second time while they are sent. */
const HELD_SIZE = 16 * 1024 * 1024;

export interface PreparedBody {
  body: UploadCall['body'];
  size: number;
  /** SHA-256 of each block of 4 MiB. */
  blocks: readonly Buffer[];
  contentHash: string;
  /** Whether sending reads nothing any more. */
  isHeld: boolean;
}

/**
 * Reads all of `content` once.
 * @throws CloudSyncError CHANGED where it is longer or shorter than it says, CHECKSUM_MISMATCH where it isn't what
 * `expected` says, ABORTED
 */
export async function prepareBody(
  content: Content,
  options: { key: string; expected?: Hashes; signal?: AbortSignal },
): Promise<PreparedBody> {
  const { key, expected, signal } = options;
  throwIfAborted(signal);
  const { size } = content;
  const hash = new ContentHash();
  const others = new Hasher(algorithmsOf(expected).filter((algorithm) => algorithm !== 'dropbox'));
  const held = content.bytes === undefined && size <= HELD_SIZE ? Buffer.allocUnsafe(size) : undefined;
  let position = 0;
  // What is held is sent without being read again: its only reading is the one that a bandwidth limit counts.
  for await (const chunk of abortable(exactly(held === undefined ? forHashing(content) : content), signal)) {
    hash.update(chunk);
    others.update(chunk);
    held?.set(chunk, position);
    position += chunk.byteLength;
  }
  const blocks = hash.blocks();
  const contentHash = hashOfBlocks(blocks);
  if (expected !== undefined) requireHashes(expected, { ...others.finish(), dropbox: contentHash }, key);
  const bytes = content.bytes ?? held;
  const body = bytes ?? { size, read: () => readAsHashed(content, contentHash) };
  return { body, size, blocks, contentHash, isHeld: bytes !== undefined };
}

/** Reads a content again and throws CHANGED at its end where it isn't what it was when it was hashed. */
async function* readAsHashed(content: Content, contentHash: string): AsyncGenerator<Uint8Array> {
  const hash = new ContentHash();
  for await (const chunk of exactly(content)) {
    hash.update(chunk);
    yield chunk;
  }
  if (hash.hex() !== contentHash) {
    throw new CloudSyncError('CHANGED', 'The content is another one than a moment ago');
  }
}

/** Throws CHANGED where a content isn't as long as it says: the file grew or shrank since it was looked at. */
async function* exactly(content: Content): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of content.read()) {
    size += chunk.byteLength;
    if (size > content.size) throw otherSize(content.size, 'more');
    yield chunk;
  }
  if (size < content.size) throw otherSize(content.size, String(size));
}

function otherSize(expected: number, got: string): CloudSyncError {
  return new CloudSyncError('CHANGED', `${expected} bytes were to be sent, but there are ${got}`);
}

/** Ends with ABORTED as soon as `signal` fires, even while the source has nothing to give. */
async function* abortable(
  chunks: AsyncGenerator<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      const next = await unlessAborted(chunks.next(), signal);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    // Not waited for: a source that is stuck would hold us too.
    void chunks.return(undefined).catch(() => {});
  }
}
