/** Which files a run would delete, told apart from any other list: so that one list can be allowed, and no other. */

import { createHash } from 'node:crypto';
import type { PendingDeletes } from './report.js';

/** Paths that a report names. */
const NAMED = 1_000;
const MODULUS = 1n << 256n;

/**
 * The list in `pages`. Its hash is the sum of the SHA-256 of each key with its ETag, modulo 2^256: it doesn't depend on the
 * order, and no list has to be sorted or held in memory. A file that was added, left out or changed makes another one.
 */
export function describeDueList(
  pages: Iterable<ReadonlyArray<{ path: string; key: string; etag?: string }>>,
): PendingDeletes {
  let sum = 0n;
  let count = 0;
  const paths: string[] = [];
  for (const page of pages) {
    for (const { path, key, etag = '' } of page) {
      const digest = createHash('sha256').update(`${key}\0${etag}`).digest('hex');
      sum = (sum + BigInt(`0x${digest}`)) % MODULUS;
      count++;
      if (paths.length < NAMED) paths.push(path);
    }
  }
  return { hash: `${count}-${sum.toString(16).padStart(64, '0')}`, count, paths };
}
