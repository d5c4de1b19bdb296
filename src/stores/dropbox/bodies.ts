/** Contents on their way to Dropbox: read, hashed before they are sent, and held to what was hashed while they are. */

import { CloudSyncError, throwIfAborted } from '../../errors.js';
import { forHashing, readExactly } from '../content.js';
import { algorithmsOf, Hasher, requireHashes } from '../hashing.js';
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
  for await (const chunk of readExactly(held === undefined ? forHashing(content) : content, signal)) {
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
  for await (const chunk of readExactly(content)) {
    hash.update(chunk);
    yield chunk;
  }
  if (hash.hex() !== contentHash) {
    throw new CloudSyncError('CHANGED', 'The content is another one than a moment ago');
  }
}
