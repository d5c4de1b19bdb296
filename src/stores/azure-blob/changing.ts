/** Changing a blob without its content: its time, and the tier of an archived one. */

import { CloudSyncError, hasCode } from '../../errors.js';
import type { StoredObject } from '../store.js';
import type { BlobPlace } from './block-list.js';
import { type AccountTraits, headersOf, learnFromWrite, lookAt } from './looking.js';
import { blobPath, metadataHeaders, objectOfHeaders, quoted } from './objects.js';

/**
 * Sets the time of exactly this object. Keeps tier, headers and metadata. Where versions are kept, this would make a new one.
 * https://learn.microsoft.com/rest/api/storageservices/set-blob-metadata
 */
export async function setBlobTime(
  place: BlobPlace,
  traits: AccountTraits,
  object: StoredObject,
  time: bigint,
  signal: AbortSignal | undefined,
): Promise<StoredObject> {
  const { transport, bucket } = place;
  const { key } = object;
  const looking = signal === undefined ? {} : { signal };
  const known = object.metadata === undefined ? await lookAt(place, key, looking) : object;
  if (known === undefined) throw notThere(key);
  const etag = object.etag ?? known.etag;
  const metadata = known.metadata === undefined ? {} : { metadata: known.metadata };
  try {
    const answer = await transport.send({
      kind: 'PUT',
      method: 'PUT',
      path: blobPath(bucket, key),
      query: { comp: 'metadata' },
      headers: {
        ...metadataHeaders({ ...metadata, modificationTime: time }),
        ...(etag === undefined ? {} : { 'if-match': quoted(etag) }),
      },
      bucket,
      key,
      ...looking,
    });
    learnFromWrite(traits, answer);
    const written = objectOfHeaders(key, known.size, answer.headers);
    return {
      ...known,
      ...(written.etag === undefined ? {} : { etag: written.etag }),
      ...(written.storedTime === undefined ? {} : { storedTime: written.storedTime }),
      ...(written.versionId === undefined ? {} : { versionId: written.versionId }),
      modificationTime: time,
    };
  } catch (error) {
    // The answer of an earlier attempt may have been lost on its way.
    if (!hasCode(error, 'PRECONDITION_FAILED') || !transport.wasRepeated(error)) throw error;
    const now = await lookAt(place, key, looking);
    if (now?.modificationTime === time && now.size === known.size) return now;
    throw error;
  }
}

/**
 * Brings an archived blob back to an online tier, where it stays. Others are left where they are.
 * `tier`: the tier to come back to (`Hot`, the default, `Cool`, `Cold`), how fast (`High`, else `Standard`), or both
 * (`Cool High`). https://learn.microsoft.com/azure/storage/blobs/archive-rehydrate-overview
 */
export async function thawBlob(
  place: BlobPlace,
  key: string,
  options: { tier?: string; versionId?: string; signal?: AbortSignal },
): Promise<void> {
  const { signal, versionId } = options;
  const answer = await headersOf(place, key, options);
  if (answer === undefined) throw notThere(key);
  // Anything else would move a blob that can be read to another tier.
  if (answer.headers['x-ms-access-tier'] !== 'Archive') return;
  const words = (options.tier ?? '').split(/[\s,:/+-]+/).filter((word) => word !== '');
  const isHigh = words.some((word) => /^high$/i.test(word));
  const target = words.find((word) => /^(hot|cool|cold)$/i.test(word)) ?? 'hot';
  const isPending = answer.headers['x-ms-archive-status'] !== undefined;
  if (isPending && !isHigh) return;
  try {
    await place.transport.send({
      kind: 'PUT',
      method: 'PUT',
      path: blobPath(place.bucket, key),
      query: { comp: 'tier', ...(versionId === undefined ? {} : { versionid: versionId }) },
      headers: {
        'x-ms-access-tier': target.charAt(0).toUpperCase() + target.slice(1).toLowerCase(),
        'x-ms-rehydrate-priority': isHigh ? 'High' : 'Standard',
      },
      bucket: place.bucket,
      key,
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (!(isPending && hasCode(error, 'ARCHIVED'))) throw error;
  }
}

function notThere(key: string): CloudSyncError {
  return new CloudSyncError('NOT_FOUND', `There is no blob "${key}"`, { path: key });
}
