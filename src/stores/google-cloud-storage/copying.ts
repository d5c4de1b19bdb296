/**
 * Copies within a bucket, made by the service, and changes of what stands beside the bytes.
 * https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite
 */

import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import type { CopyOptions, ProviderOptions, StoredObject } from '../store.js';
import { encodeName, type GcsRequest, objectPath } from './connection.js';
import { type BucketPlace, lookAt, resourceAt } from './looking.js';
import {
  conditionQuery,
  OBJECT_FIELDS,
  type ObjectResource,
  objectOf,
  resourceOf,
  timeMetadata,
} from './objects.js';

const SOURCE_FIELDS = `${OBJECT_FIELDS},contentType,contentEncoding,contentDisposition,contentLanguage,cacheControl`;

interface RewriteAnswer {
  done?: boolean;
  rewriteToken?: string;
  resource?: ObjectResource;
}

/** Copies exactly the generation that was looked at. Nothing of the source is lost unless attributes replace it. */
export async function copyObject(
  place: BucketPlace,
  sourceKey: string,
  key: string,
  copy: CopyOptions,
  options: ProviderOptions,
): Promise<StoredObject> {
  const { signal, attributes } = copy;
  throwIfAborted(signal);
  const source = await resourceAt(
    place,
    sourceKey,
    { versionId: copy.sourceVersionId, signal },
    SOURCE_FIELDS,
  );
  if (source === undefined) throw notThere(sourceKey);
  const { generation } = source;
  if (copy.sourceIfMatch !== undefined && generation !== copy.sourceIfMatch) throw changed(sourceKey);
  // Written out whole, because without a class the bucket's default is taken, and with one the rest isn't kept.
  const kept: ObjectResource = {
    ...(source.contentType === undefined ? {} : { contentType: source.contentType }),
    ...(source.contentEncoding === undefined ? {} : { contentEncoding: source.contentEncoding }),
    ...(source.contentDisposition === undefined ? {} : { contentDisposition: source.contentDisposition }),
    ...(source.contentLanguage === undefined ? {} : { contentLanguage: source.contentLanguage }),
    ...(source.cacheControl === undefined ? {} : { cacheControl: source.cacheControl }),
    ...(source.storageClass === undefined ? {} : { storageClass: source.storageClass }),
    ...(source.metadata === undefined ? {} : { metadata: source.metadata }),
  };
  const description = attributes === undefined ? kept : replaced(kept, key, attributes, options);
  const attempts = { last: 0 };
  try {
    const resource = await rewrite(place, sourceKey, key, generation, description, copy, attempts);
    if (isCopyOf(source, resource)) return objectOf(resource);
  } catch (error) {
    // An earlier attempt may have been carried out although its answer was lost.
    if (!hasCode(error, 'PRECONDITION_FAILED') || attempts.last < 2) throw error;
    const present = await resourceAt(place, key, { signal });
    if (present === undefined || !isCopyOf(source, present)) throw error;
    return objectOf(present);
  }
  throw new CloudSyncError('CHECKSUM_MISMATCH', `"${key}" is not what was to be copied`, { path: key });
}

function isCopyOf(source: ObjectResource, copy: ObjectResource): boolean {
  const agrees = (a: string | undefined, b: string | undefined) => !a || !b || a === b;
  return (
    source.size === copy.size && agrees(source.md5Hash, copy.md5Hash) && agrees(source.crc32c, copy.crc32c)
  );
}

/** The bytes stay what they are, and how they are packed. */
function replaced(
  kept: ObjectResource,
  key: string,
  attributes: NonNullable<CopyOptions['attributes']>,
  options: ProviderOptions,
): ObjectResource {
  const { name: _, ...fresh } = resourceOf(key, attributes, options);
  return {
    ...(kept.contentEncoding === undefined ? {} : { contentEncoding: kept.contentEncoding }),
    ...fresh,
    ...(attributes.contentType === undefined && kept.contentType !== undefined
      ? { contentType: kept.contentType }
      : {}),
  };
}

/** "If the response has done = false, call again with its rewriteToken." */
async function rewrite(
  { connection, bucket }: BucketPlace,
  sourceKey: string,
  key: string,
  generation: string | undefined,
  description: ObjectResource,
  copy: CopyOptions,
  attempts: { last: number },
): Promise<ObjectResource> {
  let rewriteToken: string | undefined;
  try {
    for (;;) {
      const request: GcsRequest = {
        kind: 'COPY',
        method: 'POST',
        action: 'copy',
        path: `${objectPath(bucket, sourceKey)}/rewriteTo/b/${encodeURIComponent(bucket)}/o/${encodeName(key)}`,
        query: {
          sourceGeneration: generation,
          rewriteToken,
          fields: `done,rewriteToken,resource(${OBJECT_FIELDS})`,
          ...conditionQuery(copy),
        },
        headers: { 'content-type': 'application/json; charset=UTF-8' },
        body: Buffer.from(JSON.stringify(description)),
        bucket,
        key,
        silenceMs: COPYING_SILENCE_MS,
        ...(copy.signal === undefined ? {} : { signal: copy.signal }),
      };
      const answer: RewriteAnswer = await connection.ask<RewriteAnswer>(request).finally(() => {
        attempts.last = request.sent ?? 0;
      });
      if (answer.done === true && answer.resource !== undefined) return answer.resource;
      if (answer.rewriteToken === undefined || answer.done === true) {
        throw new CloudSyncError('BAD_ANSWER', 'The server does not say how far it has copied', {
          path: key,
        });
      }
      rewriteToken = answer.rewriteToken;
    }
  } catch (error) {
    // The generation was there a moment ago.
    if (hasCode(error, 'NOT_FOUND')) throw changed(sourceKey, error);
    throw error;
  }
}

/** A rewrite across classes copies for up to half a minute before it answers. ms. */
const COPYING_SILENCE_MS = 180_000;

/**
 * Gives exactly this object another time. Metadata alone is changed: no new generation, no new version, and neither class
 * nor retention stand in the way. https://cloud.google.com/storage/docs/json_api/v1/objects/patch
 */
export async function setObjectTime(
  place: BucketPlace,
  object: StoredObject,
  time: bigint,
  signal: AbortSignal | undefined,
): Promise<StoredObject> {
  throwIfAborted(signal);
  const { connection, bucket } = place;
  const { key } = object;
  const resource = await connection.ask<ObjectResource>({
    kind: 'POST',
    method: 'PATCH',
    action: 'change the metadata of',
    path: objectPath(bucket, key),
    // "Patch semantics": what isn't named stays as it is.
    query: { fields: OBJECT_FIELDS, ...conditionQuery({ ifMatch: object.etag }) },
    headers: { 'content-type': 'application/json; charset=UTF-8' },
    body: Buffer.from(JSON.stringify({ metadata: timeMetadata(time) })),
    bucket,
    key,
    ...(signal === undefined ? {} : { signal }),
  });
  const patched = objectOf(resource);
  if (patched.modificationTime === time) return patched;
  return (await lookAt(place, key, { signal })) ?? patched;
}

function notThere(key: string): CloudSyncError {
  return new CloudSyncError('NOT_FOUND', `"${key}" does not exist`, { path: key });
}

function changed(key: string, cause?: unknown): CloudSyncError {
  return new CloudSyncError('CHANGED', `"${key}" is another object now than when it was looked at first`, {
    path: key,
    ...(cause === undefined ? {} : { cause }),
  });
}
