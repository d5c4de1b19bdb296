/**
 * Single writes: description and bytes in one request, with the MD5 in the description, so that the service refuses what
 * was damaged on its way. https://cloud.google.com/storage/docs/json_api/v1/how-tos/multipart-upload
 */

import { randomUUID } from 'node:crypto';
import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import type { Content, ProviderOptions, StoredObject, WriteOptions } from '../store.js';
import { type GcsRequest, parseJson } from './connection.js';
import { readChecked } from './contents.js';
import { type BucketPlace, lookAt } from './looking.js';
import {
  base64ToHex,
  conditionQuery,
  hexToBase64,
  OBJECT_FIELDS,
  type ObjectResource,
  objectOf,
  resourceOf,
} from './objects.js';

/** Long enough that no content holds it by chance. */
const BOUNDARY = `cloud-sync-${randomUUID()}`;
const END = Buffer.from(`\r\n--${BOUNDARY}--\r\n`);

/** `/upload/storage/v1/b/BUCKET/o` */
export function uploadPath(bucket: string): string {
  return `/upload/storage/v1/b/${encodeURIComponent(bucket)}/o`;
}

/** Writes a whole object with one request. */
export async function writeObject(
  place: BucketPlace,
  key: string,
  content: Content,
  attributes: WriteOptions,
  options: ProviderOptions,
): Promise<StoredObject> {
  const { signal, hashes, beforeCommit } = attributes;
  const { bytes, md5 } = await readChecked(content, hashes, key, signal);
  await beforeCommit?.();
  throwIfAborted(signal);
  const resource = { ...resourceOf(key, attributes, options), md5Hash: hexToBase64(md5) };
  const request: GcsRequest = {
    kind: 'PUT',
    method: 'POST',
    action: 'write',
    path: uploadPath(place.bucket),
    query: { uploadType: 'multipart', fields: OBJECT_FIELDS, ...conditionQuery(attributes) },
    headers: { 'content-type': `multipart/related; boundary=${BOUNDARY}` },
    body: multipartBody(resource, bytes),
    bucket: place.bucket,
    key,
    ...(signal === undefined ? {} : { signal }),
  };
  try {
    const written = parseJson<ObjectResource>(await place.connection.send(request));
    const { metadata } = resource;
    return await confirmStored(place, key, written, { size: content.size, md5, metadata });
  } catch (error) {
    // An earlier attempt may have been carried out although its answer was lost.
    if (!hasCode(error, 'PRECONDITION_FAILED') || (request.sent ?? 0) < 2) throw error;
    const present = await lookAt(place, key, signal === undefined ? {} : { signal });
    if (present?.hashes?.md5 !== md5 || present.size !== content.size) throw error;
    return present;
  }
}

function multipartBody(resource: ObjectResource, bytes: Uint8Array): Buffer {
  const head = Buffer.from(
    `--${BOUNDARY}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n${JSON.stringify(resource)}\r\n` +
      `--${BOUNDARY}\r\nContent-Type: ${resource.contentType}\r\n\r\n`,
  );
  return Buffer.concat([head, bytes, END], head.byteLength + bytes.byteLength + END.byteLength);
}

/**
 * The object that was written, if the service computed the hashes we know; the hashes say nothing of the description, so
 * that it is compared with what was sent.
 * @throws CloudSyncError CHECKSUM_MISMATCH; then exactly what was written has been removed, if its bytes are wrong
 */
export async function confirmStored(
  place: BucketPlace,
  key: string,
  resource: ObjectResource,
  expected: { size: number; md5?: string; crc32c?: string; metadata?: Record<string, string> },
): Promise<StoredObject> {
  const object = objectOf(resource);
  const isRight =
    object.key === key &&
    object.size === expected.size &&
    agrees(resource.md5Hash, expected.md5) &&
    agrees(resource.crc32c, expected.crc32c) &&
    // One of them has to speak.
    ((resource.md5Hash && expected.md5) || (resource.crc32c && expected.crc32c));
  const { metadata = {} } = expected;
  const isDescribed = Object.keys(metadata).every((name) => resource.metadata?.[name] === metadata[name]);
  if (isRight && isDescribed) return object;
  // The right bytes with a wrong time are better than none.
  if (!isRight && object.key === key && object.versionId !== undefined) {
    await place.connection.send({
      kind: 'DELETE',
      method: 'DELETE',
      action: 'delete',
      path: `/storage/v1/b/${encodeURIComponent(place.bucket)}/o/${encodeURIComponent(key)}`,
      query: { generation: object.versionId },
      bucket: place.bucket,
      key,
      accepts: [403, 404],
    });
  }
  throw new CloudSyncError('CHECKSUM_MISMATCH', `"${key}" is not stored as it was sent`, { path: key });
}

function agrees(stored: string | undefined, expected: string | undefined): boolean {
  return !stored || expected === undefined || base64ToHex(stored) === expected;
}
