/**
 * Objects as the JSON API describes them, and the descriptions that make them so.
 * https://cloud.google.com/storage/docs/json_api/v1/objects#resource
 */

import { CloudSyncError } from '../../errors.js';
import { formatRfc3339, parseRfc3339 } from '../rfc3339.js';
import type { Hashes, ObjectAttributes, ProviderOptions, StoredObject, WriteOptions } from '../store.js';

/** Under which rclone keeps the modification time (backend/googlecloudstorage, `metaMtime`). */
const MTIME = 'mtime';
/** Under which gsutil and gcloud keep it, in whole seconds; rclone writes and reads it too (`metaMtimeGsutil`). */
const GSUTIL_MTIME = 'goog-reserved-file-mtime';

/** https://cloud.google.com/storage/docs/objects#naming */
export const MAX_KEY_BYTES = 1024;

/** What of an object is asked for. */
export const OBJECT_FIELDS =
  'name,size,generation,updated,timeCreated,timeDeleted,md5Hash,crc32c,storageClass,metadata';

/** An object as answers hold it; numbers are text. */
export interface ObjectResource {
  kind?: string;
  name?: string;
  size?: string;
  generation?: string;
  metageneration?: string;
  updated?: string;
  timeCreated?: string;
  timeDeleted?: string;
  /** Base64. Objects that were composed of others have none. */
  md5Hash?: string;
  /** Base64 of the four bytes, the highest first. */
  crc32c?: string;
  storageClass?: string;
  metadata?: Record<string, string>;
  contentType?: string;
  contentEncoding?: string;
  contentDisposition?: string;
  contentLanguage?: string;
  cacheControl?: string;
}

/**
 * The object that `resource` describes.
 *
 * Its `etag` is the generation, as is its `versionId`: a generation names one content for ever, and it is what writes
 * and deletes can be bound to (`ifGenerationMatch`). Google's own ETag also counts changes of metadata and can't be
 * given to a write.
 */
export function objectOf(resource: ObjectResource): StoredObject {
  if (!isWellFormed(resource)) {
    throw new CloudSyncError('BAD_ANSWER', 'The server describes an object in a way that makes no sense');
  }
  const { name, generation } = resource;
  const size = Number(resource.size);
  const { [MTIME]: mtime, [GSUTIL_MTIME]: gsutilMtime, ...rest } = lowerCased(resource.metadata);
  const object: StoredObject = { key: name, kind: 'file', size, metadata: rest };
  if (generation !== undefined) {
    object.etag = String(generation);
    object.versionId = object.etag;
  }
  const storedTime = Date.parse(resource.timeCreated ?? '');
  if (!Number.isNaN(storedTime)) object.storedTime = storedTime;
  // As rclone: without a time of its own an object has that of its last change.
  const time = parseRfc3339(mtime) ?? secondsToNanoseconds(gsutilMtime) ?? parseRfc3339(resource.updated);
  if (time !== undefined) object.modificationTime = time;
  const hashes = hashesOf(resource.md5Hash, resource.crc32c);
  if (hashes !== undefined) object.hashes = hashes;
  if (resource.storageClass !== undefined) object.storageClass = resource.storageClass;
  return object;
}

const TEXTS = ['updated', 'timeCreated', 'timeDeleted', 'md5Hash', 'crc32c', 'storageClass'] as const;

function isTextOrLeftOut(value: unknown): boolean {
  return value === undefined || typeof value === 'string';
}

/** Whether name, size and all that is read besides are what they should be. */
function isWellFormed(resource: ObjectResource): resource is ObjectResource & { name: string } {
  if (typeof resource !== 'object' || resource === null) return false;
  const { name, size, generation, metadata = {} } = resource;
  return (
    typeof name === 'string' &&
    name !== '' &&
    /^\d+$/.test(String(size)) &&
    Number.isSafeInteger(Number(size)) &&
    (generation === undefined || /^\d+$/.test(String(generation))) &&
    TEXTS.every((field) => isTextOrLeftOut(resource[field])) &&
    typeof metadata === 'object' &&
    Object.values(metadata ?? {}).every((value) => typeof value === 'string')
  );
}

/**
 * The hashes the service computed, hexadecimal. The CRC-32C only where there is no MD5: one proof is enough, and whoever
 * is given both checks both.
 */
export function hashesOf(md5: string | undefined, crc32c: string | undefined): Hashes | undefined {
  if (md5) return { md5: base64ToHex(md5) };
  return crc32c ? { crc32c: base64ToHex(crc32c) } : undefined;
}

/** Values of `x-goog-hash: crc32c=…,md5=…`, base64. */
export function readHashHeader(header: string | undefined): { md5?: string; crc32c?: string } {
  const found: { md5?: string; crc32c?: string } = {};
  for (const part of (header ?? '').split(',')) {
    const match = /^\s*(md5|crc32c)=(\S+)\s*$/.exec(part);
    if (match !== null) found[match[1] as 'md5' | 'crc32c'] = match[2]!;
  }
  return found;
}

/** The description that stores `attributes` with an object. Never an access control list: buckets may forbid them. */
export function resourceOf(
  key: string,
  attributes: ObjectAttributes,
  options: ProviderOptions,
): ObjectResource {
  const storageClass = attributes.storageClass || options.storageClass;
  const metadata = metadataOf(attributes);
  return {
    name: key,
    contentType: attributes.contentType ?? 'application/octet-stream',
    ...(storageClass ? { storageClass: storageClass.toUpperCase() } : {}),
    ...(metadata === undefined ? {} : { metadata }),
  };
}

/** User metadata with the time among it; undefined where there is neither. */
export function metadataOf(attributes: ObjectAttributes): Record<string, string> | undefined {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(attributes.metadata ?? {})) metadata[name.toLowerCase()] = value;
  if (attributes.modificationTime !== undefined) {
    Object.assign(metadata, timeMetadata(attributes.modificationTime));
  }
  return Object.keys(metadata).length === 0 ? undefined : metadata;
}

/** The time as rclone and gsutil keep it. */
export function timeMetadata(time: bigint): Record<string, string> {
  const text = formatRfc3339(time);
  // Rounded down, before 1970 too.
  const seconds = (time - (((time % SECOND) + SECOND) % SECOND)) / SECOND;
  return text === undefined ? {} : { [MTIME]: text, [GSUTIL_MTIME]: String(seconds) };
}

const SECOND = 1_000_000_000n;

/** Conditions of a write, as parameters of a query. */
export function conditionQuery(conditions: Pick<WriteOptions, 'ifMatch' | 'ifNoneMatch'>): {
  ifGenerationMatch?: string;
} {
  // "Setting to 0 makes the operation succeed only if there are no live versions of the object."
  if (conditions.ifNoneMatch !== undefined) return { ifGenerationMatch: '0' };
  if (conditions.ifMatch === undefined) return {};
  // What isn't a number was never an ETag of this store, so no object has it.
  return { ifGenerationMatch: /^[1-9]\d*$/.test(conditions.ifMatch) ? conditions.ifMatch : NO_GENERATION };
}

const NO_GENERATION = '1';

/** Throws NAME_TOO_LONG or INVALID_NAME where the service can't hold `key`. */
export function confirmKey(key: string): void {
  if (key.length * 3 > MAX_KEY_BYTES && Buffer.byteLength(key) > MAX_KEY_BYTES) {
    throw new CloudSyncError('NAME_TOO_LONG', 'The name is longer than the 1,024 bytes an object may have', {
      path: key,
    });
  }
  const isRefused = key === '' || key === '.' || key === '..' || /[\r\n]/.test(key) || !key.isWellFormed();
  if (isRefused || key.startsWith('.well-known/acme-challenge/')) {
    throw new CloudSyncError(
      'INVALID_NAME',
      `Google Cloud Storage can't hold an object named ${JSON.stringify(key)}`,
      {
        path: key,
      },
    );
  }
}

export function base64ToHex(text: string): string {
  return Buffer.from(text, 'base64').toString('hex');
}

export function hexToBase64(text: string): string {
  return Buffer.from(text, 'hex').toString('base64');
}

function lowerCased(metadata: Record<string, string> | undefined): Record<string, string> {
  const lower: Record<string, string> = {};
  for (const name in metadata) lower[name.toLowerCase()] = metadata[name]!;
  return lower;
}

function secondsToNanoseconds(text: string | undefined): bigint | undefined {
  return text !== undefined && /^-?\d{1,12}$/.test(text) ? BigInt(text) * SECOND : undefined;
}
