/** A blob as the service's headers and listings show it, and the headers that make it so. */

import { CloudSyncError } from '../../errors.js';
import type { ObjectAttributes, StoredObject } from '../store.js';

/** Under which rclone keeps the modification time (backend/azureblob, `modTimeKey`), as RFC 3339 with nanoseconds. */
const TIME_NAME = 'mtime';
/** What marks a blob as a folder, by Azure's own tools (Data Lake) and by rclone. */
const FOLDER_NAME = 'hdi_isfolder';

/** Blob names: https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata */
const MAX_NAME_CHARACTERS = 1024;
const MAX_NAME_SEGMENTS = 254;

/** The MD5 of no bytes: known without asking. */
const EMPTY_MD5 = 'd41d8cd98f00b204e9800998ecf8427e';

/** What listings and headers have in common. */
export interface BlobProperties {
  key: string;
  size: number;
  lastModified?: string;
  etag?: string;
  versionId?: string;
  isCurrentVersion?: boolean;
  /** Base64. */
  contentMd5?: string;
  accessTier?: string;
  archiveStatus?: string;
  blobType?: string;
  creationTime?: string;
  resourceType?: string;
  metadata: Record<string, string>;
}

/**
 * The object of these properties.
 *
 * A blob's Content-MD5 stands among the *claimed* hashes. The service computes and checks it for blobs written whole
 * (Put Blob), but for those made of blocks (Put Block List) it keeps whatever the client says, and no listing or header
 * tells one from the other. `head` asks for the block list where it matters; see `withProvenHash`.
 */
export function objectOf(properties: BlobProperties): StoredObject {
  const { key, size, metadata } = properties;
  const isFolder =
    properties.resourceType === 'directory' ||
    (size === 0 && (key.endsWith('/') || metadata[FOLDER_NAME]?.toLowerCase() === 'true'));
  const plainKey = isFolder && key.endsWith('/') ? key.slice(0, -1) : key;
  const object: StoredObject = { key: plainKey, kind: isFolder ? 'folder' : 'file', size };
  if (plainKey !== key) object.orderKey = key;
  const time = parseTime(metadata[TIME_NAME]);
  if (time !== undefined) object.modificationTime = time;
  const storedTime = Date.parse(properties.lastModified ?? '');
  if (!Number.isNaN(storedTime)) object.storedTime = storedTime;
  // Without its own time a blob has that of its writing, as rclone shows it.
  if (time === undefined && !Number.isNaN(storedTime)) {
    object.modificationTime = BigInt(storedTime) * 1_000_000n;
  }
  if (properties.etag !== undefined) object.etag = unquoted(properties.etag);
  if (properties.versionId !== undefined) object.versionId = properties.versionId;
  if (properties.isCurrentVersion !== undefined) object.isLatest = properties.isCurrentVersion;
  if (!isFolder) {
    if (size === 0) object.hashes = { md5: EMPTY_MD5 };
    else if (properties.contentMd5) object.claimedHashes = { md5: base64ToHex(properties.contentMd5) };
  }
  if (properties.accessTier) object.storageClass = properties.accessTier;
  if (properties.accessTier === 'Archive') {
    object.archive = properties.archiveStatus?.startsWith('rehydrate-pending') ? 'thawing' : 'frozen';
  }
  object.metadata = userMetadata(metadata);
  return object;
}

/** The object whose MD5 is the service's own: nothing but Put Blob leaves a blob without blocks. */
export function withProvenHash(object: StoredObject): StoredObject {
  const md5 = object.claimedHashes?.md5;
  if (md5 === undefined) return object;
  const { claimedHashes: _, ...rest } = object;
  return { ...rest, hashes: { md5 } };
}

/** The object that the headers of Get Blob, Get Blob Properties or a write describe. */
export function objectOfHeaders(
  key: string,
  size: number,
  headers: Readonly<Record<string, string | undefined>>,
): StoredObject {
  const metadata: Record<string, string> = {};
  for (const name in headers) {
    if (name.startsWith('x-ms-meta-')) metadata[name.slice(10)] = decodeValue(headers[name] ?? '');
  }
  return objectOf({
    key,
    size,
    metadata,
    lastModified: headers['last-modified'],
    etag: headers.etag,
    versionId: headers['x-ms-version-id'],
    contentMd5: headers['x-ms-blob-content-md5'] ?? headers['content-md5'],
    accessTier: headers['x-ms-access-tier'],
    archiveStatus: headers['x-ms-archive-status'],
    resourceType: headers['x-ms-resource-type'],
  });
}

/** Metadata that is the user's: our own and Azure's names for time and folder are left out. */
function userMetadata(metadata: Record<string, string>): Record<string, string> {
  const { [TIME_NAME]: _time, [FOLDER_NAME]: _folder, ...rest } = metadata;
  return rest;
}

/**
 * The headers of metadata and time.
 * @throws CloudSyncError INVALID_INPUT for a name Azure can't hold (anything but letters, digits and underscores)
 */
export function metadataHeaders(
  attributes: ObjectAttributes,
  options: { folder?: boolean } = {},
): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(attributes.metadata ?? {})) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw new CloudSyncError('INVALID_INPUT', `Azure can't hold metadata of the name "${name}"`, {
        field: 'metadata',
      });
    }
    headers[`x-ms-meta-${name.toLowerCase()}`] = encodeValue(value);
  }
  const time = attributes.modificationTime;
  const formatted = time === undefined ? undefined : formatTime(time);
  if (formatted !== undefined) headers[`x-ms-meta-${TIME_NAME}`] = formatted;
  if (options.folder === true) headers[`x-ms-meta-${FOLDER_NAME}`] = 'true';
  return headers;
}

/** The headers of everything that is stored beside the bytes. */
export function attributeHeaders(
  attributes: ObjectAttributes,
  options: { folder?: boolean } = {},
): Record<string, string> {
  const headers = metadataHeaders(attributes, options);
  headers['x-ms-blob-content-type'] = attributes.contentType ?? 'application/octet-stream';
  const tier = tierName(attributes.storageClass);
  if (tier !== undefined) headers['x-ms-access-tier'] = tier;
  return headers;
}

/** `If-Match` and `If-None-Match` of a write or delete. */
export function conditionHeaders(conditions: {
  ifMatch?: string;
  ifNoneMatch?: '*';
}): Record<string, string> {
  const headers: Record<string, string> = {};
  if (conditions.ifMatch !== undefined) headers['if-match'] = quoted(conditions.ifMatch);
  if (conditions.ifNoneMatch !== undefined) headers['if-none-match'] = '*';
  return headers;
}

const TIERS = ['Hot', 'Cool', 'Cold', 'Archive', 'Smart', 'Premium'];

/** Azure's spelling of a tier; undefined for the account's default. */
export function tierName(storageClass: string | undefined): string | undefined {
  if (storageClass === undefined || storageClass === '') return undefined;
  const lower = storageClass.toLowerCase();
  return TIERS.find((tier) => tier.toLowerCase() === lower) ?? storageClass;
}

/** The path of a blob in requests. Throws NAME_TOO_LONG and INVALID_NAME where Azure can't hold the key. */
export function blobPath(bucket: string, key: string): string {
  if (key === '' || key.startsWith('/')) {
    throw new CloudSyncError('INVALID_NAME', `"${key}" can't be the name of a blob`, { path: key });
  }
  if (key.length > MAX_NAME_CHARACTERS) {
    throw new CloudSyncError(
      'NAME_TOO_LONG',
      `The name has ${key.length} characters, Azure allows ${MAX_NAME_CHARACTERS}`,
      { path: key },
    );
  }
  const segments = key.split('/');
  if (segments.length > MAX_NAME_SEGMENTS) {
    throw new CloudSyncError(
      'NAME_TOO_LONG',
      `The name has ${segments.length} folders, Azure allows ${MAX_NAME_SEGMENTS}`,
      { path: key },
    );
  }
  for (const segment of segments) {
    // A web address loses them on its way: the request would be about another blob.
    if (segment === '.' || segment === '..') {
      throw new CloudSyncError('INVALID_NAME', `Azure can't hold a folder or file named "${segment}"`, {
        path: key,
      });
    }
  }
  return `/${bucket}/${segments.map(encodeURIComponent).join('/')}`;
}

/** RFC 3339 in UTC with nine decimals, as rclone writes it; undefined for years it can't express. */
export function formatTime(time: bigint): string | undefined {
  const seconds = time >= 0n ? time / 1_000_000_000n : (time - 999_999_999n) / 1_000_000_000n;
  const nanoseconds = time - seconds * 1_000_000_000n;
  const date = new Date(Number(seconds) * 1000);
  const year = date.getUTCFullYear();
  if (Number.isNaN(year) || year < 1 || year > 9999) return undefined;
  return `${date.toISOString().slice(0, 19)}.${nanoseconds.toString().padStart(9, '0')}Z`;
}

/** ns since the epoch of an RFC 3339 time with any number of decimals and any offset. */
export function parseTime(text: string | undefined): bigint | undefined {
  const match =
    text === undefined
      ? null
      : /^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)$/.exec(text);
  if (match === null) return undefined;
  const ms = Date.parse(`${match[1]}T${match[2]}${match[4]!.toUpperCase()}`);
  if (Number.isNaN(ms)) return undefined;
  return BigInt(ms) * 1_000_000n + BigInt((match[3] ?? '').padEnd(9, '0'));
}

/** Headers are ASCII: other values are written as RFC 2047 has it. */
function encodeValue(value: string): string {
  if (/^[\x20-\x7e]*$/.test(value) && !value.startsWith('=?') && value.trim() === value) return value;
  return `=?UTF-8?B?${Buffer.from(value, 'utf8').toString('base64')}?=`;
}

export function decodeValue(value: string): string {
  const match = /^=\?UTF-8\?B\?([A-Za-z0-9+/=]*)\?=$/i.exec(value);
  return match === null ? value : Buffer.from(match[1]!, 'base64').toString('utf8');
}

export function base64ToHex(base64: string): string {
  return Buffer.from(base64, 'base64').toString('hex');
}

export function hexToBase64(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64');
}

export function quoted(etag: string): string {
  return etag.startsWith('"') ? etag : `"${etag}"`;
}

function unquoted(etag: string): string {
  return etag.replace(/^"(.*)"$/, '$1');
}
