/** Whether a remote object holds certain bytes, found out by hashes and without reading it. */

import { createHash } from 'node:crypto';
import { forEachChunk, forHashing } from './content.js';
import type {
  ComparisonTrust,
  Content,
  ContentComparison,
  HashAlgorithm,
  Hashes,
  StoredObject,
} from './store.js';

const NODE_HASHES: readonly HashAlgorithm[] = ['sha256', 'sha1', 'md5'];
const IS_MD5 = /^[0-9a-f]{32}$/;

/** The content's hashes, hexadecimal, in one pass. */
export async function hashContent(
  content: Content,
  algorithms: readonly HashAlgorithm[],
  signal?: AbortSignal,
): Promise<Hashes> {
  const hashes = algorithms.map((algorithm) => createHash(algorithm));
  await forEachChunk(
    forHashing(content),
    (chunk) => {
      for (const hash of hashes) hash.update(chunk);
    },
    signal,
  );
  return Object.fromEntries(algorithms.map((algorithm, index) => [algorithm, hashes[index]!.digest('hex')]));
}

/**
 * Compares by the hashes that `object` carries. An ETag that equals the MD5 proves equality; one that doesn't proves
 * nothing (encryption at the provider, multipart uploads).
 */
export async function compareByHashes(
  object: StoredObject,
  content: Content,
  trust: ComparisonTrust,
  signal?: AbortSignal,
): Promise<ContentComparison> {
  if (object.size !== content.size) return 'different';
  const proof = NODE_HASHES.find((algorithm) => object.hashes?.[algorithm] !== undefined);
  if (proof !== undefined) {
    const own = await hashContent(content, [proof], signal);
    return own[proof] === object.hashes![proof] ? 'equal' : 'different';
  }
  const claim = trust.claims ? object.claimedHashes?.md5 : undefined;
  const mayBeMd5 = object.etag !== undefined && IS_MD5.test(object.etag);
  if (claim === undefined && !mayBeMd5) return 'unknown';
  const { md5 } = await hashContent(content, ['md5'], signal);
  if (mayBeMd5 && md5 === object.etag) return 'equal';
  if (claim === undefined) return 'unknown';
  return md5 === claim ? 'equal' : 'different';
}
