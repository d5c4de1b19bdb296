/** Reading what is to be sent, exactly as long as it says. */

import { throwIfAborted } from '../../errors.js';
import { fill, sizeChanged } from '../content.js';
import { algorithmsOf, Hasher, requireHashes } from '../hashing.js';
import type { Content, Hashes } from '../store.js';

/**
 * All of `content` in memory, and its MD5 as hex.
 * @throws CloudSyncError CHANGED where it is longer or shorter, CHECKSUM_MISMATCH where it isn't what `expected` says
 */
export async function readChecked(
  content: Content,
  expected: Hashes | undefined,
  key: string,
  signal: AbortSignal | undefined,
): Promise<{ bytes: Uint8Array; md5: string }> {
  throwIfAborted(signal);
  const bytes = await readWhole(content, signal);
  throwIfAborted(signal);
  const hasher = new Hasher(['md5', ...algorithmsOf(expected)]);
  hasher.update(bytes);
  const found = hasher.finish();
  if (expected !== undefined) requireHashes(expected, found, key);
  return { bytes, md5: found.md5! };
}

/** All of `content` in memory. */
export async function readWhole(content: Content, signal: AbortSignal | undefined): Promise<Uint8Array> {
  if (content.bytes !== undefined) {
    if (content.bytes.byteLength !== content.size) throw sizeChanged(content.size, content.bytes.byteLength);
    return content.bytes;
  }
  const whole = Buffer.allocUnsafe(content.size);
  await fill(whole, content, signal);
  return whole;
}
