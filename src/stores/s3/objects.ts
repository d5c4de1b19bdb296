/** What S3's headers say about an object, and the headers that say it. */

import type { ObjectAttributes, ProviderOptions, StoredObject } from '../store.js';
import { backblazeMetadata, takeBackblazeMetadata, trueTime } from './backblaze.js';
import { formatModificationTime, parseModificationTime } from './times.js';
import type { S3Traits } from './traits.js';

/** rclone's name for the time in the metadata. */
export const MTIME = 'mtime';
/** rclone's name for the base64 MD5 of objects whose ETag isn't it. */
export const MD5_CHECKSUM = 'md5chksum';

const META = 'x-amz-meta-';

/** The object an answer to GET or HEAD is about. `size` is given where the answer is a range. */
export function objectFromHeaders(key: string, headers: Record<string, string>, size?: number): StoredObject {
  const metadata = metadataFromHeaders(headers);
  const storedTime = timeOf(headers['last-modified'] ?? '');
  const backblaze = takeBackblazeMetadata(metadata);
  const modificationTime =
    trueTime(parseModificationTime(metadata[MTIME]), backblaze.modificationTime) ??
    (Number.isNaN(storedTime) ? undefined : BigInt(storedTime) * 1_000_000n);
  const claimed = md5FromBase64(metadata[MD5_CHECKSUM]);
  delete metadata[MTIME];
  delete metadata[MD5_CHECKSUM];
  const object: StoredObject = {
    key,
    kind: 'file',
    size: size ?? Number(headers['content-length'] ?? 0),
    metadata,
  };
  if (modificationTime !== undefined) object.modificationTime = modificationTime;
  if (!Number.isNaN(storedTime)) object.storedTime = storedTime;
  const etag = unquote(headers.etag);
  if (etag !== undefined) object.etag = etag;
  if (headers['x-amz-version-id'] !== undefined) object.versionId = headers['x-amz-version-id'];
  // The ETag of what was uploaded in parts through Backblaze's own interface is promised nowhere to be its MD5.
  const isNativeLarge = backblaze.sha1 !== undefined && claimed === undefined;
  if (etag !== undefined && isMd5(etag) && !hidesMd5(headers) && !isNativeLarge) {
    object.hashes = { md5: etag.toLowerCase() };
  }
  if (claimed !== undefined) object.claimedHashes = { md5: claimed };
  if (backblaze.sha1 !== undefined) object.claimedHashes = { ...object.claimedHashes, sha1: backblaze.sha1 };
  if (headers['x-amz-storage-class'] !== undefined) object.storageClass = headers['x-amz-storage-class'];
  const archive = archiveState(headers);
  if (archive !== undefined) object.archive = archive;
  return object;
}

let lastText = '';
let lastTime = Number.NaN;

/** `Date.parse` of a header. Many objects in a row were stored in the same second. */
function timeOf(text: string): number {
  if (text !== lastText) {
    lastTime = Date.parse(text);
    lastText = text;
  }
  return lastTime;
}

/** Whether the object is encrypted in a way that makes its ETag something else than its MD5 (SSE-KMS, SSE-C). */
export function hidesMd5(headers: Record<string, string>): boolean {
  const encryption = headers['x-amz-server-side-encryption'] ?? '';
  return (
    encryption.startsWith('aws:') || headers['x-amz-server-side-encryption-customer-algorithm'] !== undefined
  );
}

/** 32 hexadecimal digits: the MD5 of the content, unless the object is encrypted with a key of the customer. */
export function isMd5(etag: string): boolean {
  return /^[0-9a-fA-F]{32}$/.test(etag);
}

export function isArchiveClass(storageClass: string | undefined): boolean {
  return storageClass === 'GLACIER' || storageClass === 'DEEP_ARCHIVE';
}

function archiveState(headers: Record<string, string>): StoredObject['archive'] {
  const archived =
    isArchiveClass(headers['x-amz-storage-class']) || headers['x-amz-archive-status'] !== undefined;
  const restore = headers['x-amz-restore'];
  if (restore?.includes('ongoing-request="true"')) return 'thawing';
  if (restore?.includes('ongoing-request="false"')) return 'thawed';
  return archived ? 'frozen' : undefined;
}

/** What an object claims about its content, in metadata. */
export interface Claims {
  /** Base64. */
  md5?: string | undefined;
  /** Hex; by Backblaze's name. */
  sha1?: string | undefined;
}

/** Headers that store `attributes` with an object; `options` are the task's, `traits` the service's. */
export function attributeHeaders(
  attributes: ObjectAttributes,
  options: ProviderOptions,
  traits: Pick<S3Traits, 'b2Metadata'>,
  claims: Claims = {},
): Record<string, string> {
  const headers: Record<string, string> = {};
  addMetadata(headers, attributes.metadata);
  if (traits.b2Metadata) addMetadata(headers, backblazeMetadata(attributes.modificationTime, claims.sha1));
  if (attributes.modificationTime !== undefined) {
    headers[META + MTIME] = formatModificationTime(attributes.modificationTime);
  }
  if (claims.md5 !== undefined) headers[META + MD5_CHECKSUM] = claims.md5;
  if (attributes.contentType !== undefined) headers['content-type'] = attributes.contentType;
  const storageClass = attributes.storageClass || options.storageClass;
  if (storageClass) headers['x-amz-storage-class'] = storageClass;
  const encryption = attributes.serverSideEncryption || options.serverSideEncryption;
  if (encryption) Object.assign(headers, encryptionHeaders(encryption));
  return headers;
}

function addMetadata(headers: Record<string, string>, metadata: Record<string, string> | undefined): void {
  for (const name in metadata) headers[META + name.toLowerCase()] = metadata[name]!;
}

/** `AES256`, `aws:kms`, or the id (ARN) of a KMS key. */
export function encryptionHeaders(encryption: string | undefined): Record<string, string> {
  if (!encryption) return {};
  if (!encryption.startsWith('arn:')) return { 'x-amz-server-side-encryption': encryption };
  return {
    'x-amz-server-side-encryption': 'aws:kms',
    'x-amz-server-side-encryption-aws-kms-key-id': encryption,
  };
}

export function unquote(etag: string | undefined): string | undefined {
  if (etag === undefined) return undefined;
  return etag.startsWith('"') && etag.endsWith('"') && etag.length > 1 ? etag.slice(1, -1) : etag;
}

/** An ETag as a header value. */
export function quote(etag: string): string {
  return `"${etag}"`;
}

export function md5ToBase64(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64');
}

/** Hex of rclone's `md5chksum`; undefined where it isn't one. */
export function md5FromBase64(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const bytes = Buffer.from(text, 'base64');
  return bytes.length === 16 ? bytes.toString('hex') : undefined;
}

function metadataFromHeaders(headers: Record<string, string>): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const name in headers) {
    if (name.startsWith(META)) metadata[name.slice(META.length)] = decodeWords(headers[name]!);
  }
  return metadata;
}

/** Amazon answers metadata that isn't ASCII as RFC 2047 encoded words. */
function decodeWords(value: string): string {
  if (!value.startsWith('=?')) return value;
  return value.replace(/=\?utf-8\?([bq])\?([^?]*)\?=\s*/gi, (_, encoding: string, text: string) => {
    if (encoding.toLowerCase() === 'b') return Buffer.from(text, 'base64').toString();
    const bytes = text
      .replaceAll('_', ' ')
      .replace(/=([0-9a-f]{2})/gi, (_all, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
    return Buffer.from(bytes, 'latin1').toString();
  });
}
