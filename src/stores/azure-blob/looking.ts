/** Asking about a blob, a container and its account. */

import { hasCode, throwIfAborted } from '../../errors.js';
import type { StoredObject } from '../store.js';
import { type BlobPlace, getBlockList } from './block-list.js';
import { listPages } from './listing.js';
import { blobPath, objectOfHeaders, withProvenHash } from './objects.js';
import type { AzureAnswer } from './transport.js';

export interface LookOptions {
  versionId?: string;
  signal?: AbortSignal;
}

/** What the account is like, shared by its stores and learnt from what it answers. */
export interface AccountTraits {
  /** Data Lake: real folders, another order of listing. Undefined: not asked yet, or not told. */
  isHierarchical?: boolean;
  /** Every write keeps the old content as a version. Undefined: nothing has shown it yet. */
  keepsVersions?: boolean;
}

/** The headers of a blob; undefined where there is none. */
export async function headersOf(
  { transport, bucket }: BlobPlace,
  key: string,
  { versionId, signal }: LookOptions,
): Promise<AzureAnswer | undefined> {
  throwIfAborted(signal);
  try {
    return await transport.send({
      kind: 'HEAD',
      method: 'HEAD',
      path: blobPath(bucket, key),
      query: versionId === undefined ? {} : { versionid: versionId },
      bucket,
      key,
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

/** The blob, its MD5 among the proven hashes where the service itself computed it: that takes a second request. */
export async function lookAt(
  place: BlobPlace,
  key: string,
  options: LookOptions,
): Promise<StoredObject | undefined> {
  const answer = await headersOf(place, key, options);
  if (answer === undefined) return undefined;
  const object = objectOfHeaders(key, Number(answer.headers['content-length'] ?? 0), answer.headers);
  if (object.claimedHashes?.md5 === undefined) return object;
  return (await hasBlocks(place, key, options)) ? object : withProvenHash(object);
}

/** Whether the blob was made of blocks. True where that can't be found out. */
async function hasBlocks(place: BlobPlace, key: string, options: LookOptions): Promise<boolean> {
  try {
    return (await getBlockList(place, key, 'committed', options))?.length !== 0;
  } catch (error) {
    if (hasCode(error, 'ABORTED')) throw error;
    return true;
  }
}

/** Finds out whether there are versions, which also shows whether the container is there and may be listed. */
export async function learnVersions(
  { transport, bucket }: BlobPlace,
  traits: AccountTraits,
  signal: AbortSignal | undefined,
): Promise<void> {
  const request = { maxResults: 1, ...(signal === undefined ? {} : { signal }) };
  try {
    for await (const page of listPages(transport, bucket, { ...request, include: 'versions' })) {
      const [first] = page.blobs;
      if (first !== undefined) traits.keepsVersions = first.versionId !== undefined;
    }
  } catch (error) {
    // Accounts that know no versions refuse the question.
    if (!hasCode(error, 'BAD_ANSWER', 'NOT_SUPPORTED')) throw error;
    for await (const _ of listPages(transport, bucket, request)) break;
    traits.keepsVersions = false;
  }
}

/** Finds out, once for the account, whether it has a hierarchical namespace. */
export async function learnNamespace(
  { transport, bucket }: BlobPlace,
  traits: AccountTraits,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (traits.isHierarchical !== undefined) return;
  try {
    const answer = await transport.send({
      kind: 'HEAD',
      method: 'HEAD',
      path: `/${bucket}`,
      query: { restype: 'account', comp: 'properties' },
      bucket,
      ...(signal === undefined ? {} : { signal }),
    });
    traits.isHierarchical = answer.headers['x-ms-is-hns-enabled'] === 'true';
  } catch (error) {
    // Not every credential may ask; the engine's own guard sorts a listing in another order.
    if (hasCode(error, 'ABORTED')) throw error;
  }
}

/** Every write to an account that keeps versions answers the id of the new one. */
export function learnFromWrite(traits: AccountTraits, answer: AzureAnswer): void {
  if (answer.headers['x-ms-version-id'] !== undefined) traits.keepsVersions = true;
  else traits.keepsVersions ??= false;
}
