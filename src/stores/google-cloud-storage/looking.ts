/** Looking at one object and at the bucket. */

import { CloudSyncError, hasCode } from '../../errors.js';
import type { StoredObject } from '../store.js';
import { bucketPath, type GcsConnection, objectPath } from './connection.js';
import { OBJECT_FIELDS, type ObjectResource, objectOf } from './objects.js';

/** A bucket, reached through a connection. */
export interface BucketPlace {
  connection: GcsConnection;
  bucket: string;
}

export interface LookOptions {
  versionId?: string;
  signal?: AbortSignal;
}

/** The description of `key`, or undefined where there is none. BUCKET_NOT_FOUND is never taken for that. */
export async function resourceAt(
  place: BucketPlace,
  key: string,
  options: LookOptions,
  fields = OBJECT_FIELDS,
): Promise<ObjectResource | undefined> {
  const { connection, bucket } = place;
  try {
    return await connection.ask<ObjectResource>({
      kind: 'HEAD',
      method: 'GET',
      action: 'look at',
      path: objectPath(bucket, key),
      query: { fields, generation: options.versionId },
      bucket,
      key,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

export async function lookAt(
  place: BucketPlace,
  key: string,
  options: LookOptions,
): Promise<StoredObject | undefined> {
  const resource = await resourceAt(place, key, options);
  if (resource === undefined) return undefined;
  const object = objectOf(resource);
  if (object.key !== key) {
    throw new CloudSyncError('BAD_ANSWER', 'The server answers with another object than was asked for', {
      path: key,
    });
  }
  return object;
}

/** What was learned about a bucket. */
export interface BucketTraits {
  /** Object Versioning is on; undefined: not known. */
  keepsVersions?: boolean;
}

/**
 * Asks the bucket itself whether it keeps versions. Many service accounts may use a bucket and not look at its settings
 * ("Storage Object Admin" has no `storage.buckets.get`): then it stays unknown, and the objects are asked for instead.
 */
export async function learnTraits(
  place: BucketPlace,
  traits: BucketTraits,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { connection, bucket } = place;
  const common = { bucket, ...(signal === undefined ? {} : { signal }) };
  try {
    const found = await connection.ask<{ versioning?: { enabled?: boolean } }>({
      kind: 'HEAD',
      method: 'GET',
      action: 'look at the bucket',
      path: bucketPath(bucket),
      query: { fields: 'name,versioning' },
      ...common,
    });
    traits.keepsVersions = found.versioning?.enabled === true;
  } catch (error) {
    if (!hasCode(error, 'NO_PERMISSION')) throw error;
    await connection.ask({
      kind: 'LIST',
      method: 'GET',
      action: 'list the objects',
      path: `${bucketPath(bucket)}/o`,
      query: { maxResults: 1, fields: 'kind' },
      ...common,
    });
  }
}
