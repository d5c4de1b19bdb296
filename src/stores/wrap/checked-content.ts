/** Making sure that a content is what its hashes say, where the store below can't. */

import { createHash, type Hash } from 'node:crypto';
import { CloudSyncError } from '../../errors.js';
import type { Content, HashAlgorithm, Hashes } from '../store.js';

/** What can be computed here; one of them is enough. */
const ALGORITHMS: readonly HashAlgorithm[] = ['md5', 'sha1', 'sha256'];

/**
 * `content` whose reading ends with CHECKSUM_MISMATCH, before its last bytes are given, where it doesn't have these
 * hashes. Reading a part of it is not checked.
 */
export function checkedContent(content: Content, hashes: Hashes | undefined): Content {
  const algorithm = ALGORITHMS.find((candidate) => hashes?.[candidate] !== undefined);
  if (algorithm === undefined) return content;
  const expected = hashes![algorithm]!;
  if (content.bytes !== undefined) {
    confirm(createHash(algorithm).update(content.bytes), expected);
    return content;
  }
  return {
    size: content.size,
    read(offset = 0, length = content.size - offset) {
      const source = content.read(offset, length);
      if (length < content.size) return source;
      return checkedStream(source, length, createHash(algorithm), expected);
    },
  };
}

async function* checkedStream(
  source: AsyncIterable<Uint8Array>,
  size: number,
  hash: Hash,
  expected: string,
): AsyncGenerator<Uint8Array> {
  let left = size;
  for await (const chunk of source) {
    hash.update(chunk);
    left -= chunk.length;
    if (left === 0) confirm(hash, expected);
    yield chunk;
  }
}

function confirm(hash: Hash, expected: string): void {
  if (hash.digest('hex') !== expected) {
    throw new CloudSyncError('CHECKSUM_MISMATCH', 'The bytes read are not those their checksum was made of');
  }
}
