/** What is common to writing whole blobs and blobs of blocks: reading the source, and checking it. */

import { createHash } from 'node:crypto';
import { CloudSyncError, throwIfAborted } from '../../errors.js';
import { fill, forEachChunk, forHashing, readExactly } from '../content.js';
import type { Content, HashAlgorithm, Hashes } from '../store.js';

/** Hashes that Node.js computes; what else a caller knows can't be compared here. */
const COMPUTABLE: readonly HashAlgorithm[] = ['md5', 'sha1', 'sha256'];

/**
 * All of `content` in memory, exactly as long as it says, and its MD5.
 * @throws CloudSyncError CHANGED where it is longer or shorter, CHECKSUM_MISMATCH where it isn't what `expected` says
 */
export async function readChecked(
  content: Content,
  expected: Hashes | undefined,
  signal: AbortSignal | undefined,
): Promise<{ bytes: Uint8Array; md5: Buffer }> {
  let bytes: Uint8Array;
  if (content.bytes === undefined) {
    bytes = Buffer.allocUnsafe(content.size);
    await fill(bytes, content, signal);
  } else {
    bytes = content.bytes;
  }
  throwIfAborted(signal);
  for (const algorithm of COMPUTABLE) {
    const wanted = expected?.[algorithm];
    if (wanted === undefined) continue;
    if (createHash(algorithm).update(bytes).digest('hex') !== wanted) throw mismatch();
  }
  return { bytes, md5: createHash('md5').update(bytes).digest() };
}

/** The MD5 of `content`, read once without keeping it. */
export async function md5Of(content: Content, signal: AbortSignal | undefined): Promise<Buffer> {
  const hash = createHash('md5');
  await forEachChunk(forHashing(content), (chunk) => hash.update(chunk), signal);
  return hash.digest();
}

/** Reads a content again and throws CHANGED at its end where it isn't what it was when it was hashed. */
export class HashedSource {
  constructor(
    readonly content: Content,
    readonly md5: Buffer,
  ) {}

  async *read(): AsyncGenerator<Uint8Array> {
    const hash = createHash('md5');
    for await (const chunk of readExactly(this.content)) {
      hash.update(chunk);
      yield chunk;
    }
    if (!hash.digest().equals(this.md5)) {
      throw new CloudSyncError('CHANGED', 'The content is another one than a moment ago');
    }
  }
}

export function mismatch(): CloudSyncError {
  return new CloudSyncError('CHECKSUM_MISMATCH', 'The content is not what its hash says');
}
