import { type Answer, emptyAnswer, xmlAnswer } from './answer.js';
import { refuseFrozen, restoreHeader } from './archive.js';
import { readContent } from './blobs.js';
import type { Bucket, ObjectVersion, StoredChecksum } from './buckets.js';
import { CHECKSUM_ELEMENTS, createDigest } from './checksums.js';
import { httpDate } from './clock.js';
import { checkRead } from './conditions.js';
import { bucketOf, type Context } from './context.js';
import { refuseCustomerKeys } from './encryption.js';
import { header, type S3Request } from './request.js';
import { invalidArgument, s3Error } from './s3-error.js';
import { element } from './xml.js';

/** NoSuchKey, or AccessDenied for those who may not list: "If you don't have s3:ListBucket permission, 403". */
export function noSuchKey(request: S3Request, key: string, headers: Record<string, string> = {}) {
  const allows = request.credential?.allows;
  if (allows !== undefined && !allows({ ...request, operation: 'ListObjectsV2' }))
    return s3Error('AccessDenied');
  return s3Error('NoSuchKey', { details: { Key: key }, headers });
}

/** The version called `versionId`; errors as "GetObject" and "Working with delete markers" describe them. */
export function findVersion(
  request: S3Request,
  bucket: Bucket,
  key: string,
  versionId: string | undefined,
): ObjectVersion {
  if (versionId === undefined) {
    const latest = bucket.latest(key);
    if (latest === undefined) throw noSuchKey(request, key);
    if (latest.isDeleteMarker) {
      throw noSuchKey(request, key, { 'x-amz-delete-marker': 'true', 'x-amz-version-id': latest.versionId });
    }
    return latest;
  }
  if (!isVersionId(versionId)) throw invalidArgument('versionId', versionId, 'Invalid version id specified');
  const version = bucket.version(key, versionId);
  if (version === undefined) {
    throw s3Error('NoSuchVersion', { details: { Key: key, VersionId: versionId } });
  }
  if (version.isDeleteMarker) {
    throw s3Error('MethodNotAllowed', {
      details: { Method: request.method, ResourceType: 'DeleteMarker' },
      headers: {
        'x-amz-delete-marker': 'true',
        'x-amz-version-id': versionId,
        allow: 'DELETE',
        'last-modified': httpDate(version.lastModified),
      },
    });
  }
  return version;
}

export function isVersionId(text: string): boolean {
  return text === 'null' || /^[A-Za-z0-9._-]{32}$/.test(text);
}

export function wantedVersion(context: Context, bucket: Bucket, key: string): ObjectVersion {
  return findVersion(context.request, bucket, key, context.request.query.get('versionId'));
}

/** The checksum over the whole object; CRC64NVME is computed where the uploader sent none, as S3 does. */
export function checksumOf(version: ObjectVersion): StoredChecksum {
  if (version.checksum === undefined) {
    const digest = createDigest('crc64nvme');
    for (const piece of readContent(version.content, 0, version.size)) digest.update(piece);
    version.checksum = {
      algorithm: 'crc64nvme',
      value: digest.digest().toString('base64'),
      type: 'FULL_OBJECT',
    };
  }
  return version.checksum;
}

export function versionHeader(bucket: Bucket, version: { versionId: string }): Record<string, string> {
  return bucket.versioning === undefined ? {} : { 'x-amz-version-id': version.versionId };
}

const PRINTABLE = /^[\x20-\x7e]*$/;

/** "Working with object metadata": what isn't US-ASCII comes back encoded as RFC 2047 says. */
function metadataHeader(value: string): string {
  if (PRINTABLE.test(value)) return value;
  return `=?UTF-8?B?${Buffer.from(value, 'latin1').toString('base64')}?=`;
}

function objectHeaders(context: Context, bucket: Bucket, version: ObjectVersion): Record<string, string> {
  const headers: Record<string, string> = {
    etag: `"${version.etag}"`,
    'last-modified': httpDate(version.lastModified),
    'accept-ranges': 'bytes',
    ...version.system,
    ...version.encryption,
    ...versionHeader(bucket, version),
  };
  for (const [name, value] of Object.entries(version.metadata))
    headers[`x-amz-meta-${name}`] = metadataHeader(value);
  if (version.storageClass !== 'STANDARD') headers['x-amz-storage-class'] = version.storageClass;
  const restore = restoreHeader(version, context.state.clock.now());
  if (restore !== undefined) headers['x-amz-restore'] = restore;
  for (const [name, value] of context.request.query) {
    if (name.startsWith('response-')) headers[name.slice('response-'.length)] = value;
  }
  return headers;
}

interface Stretch {
  offset: number;
  length: number;
  partial: boolean;
  partsCount?: number;
}

function stretchOf(request: S3Request, version: ObjectVersion): Stretch {
  const whole = { offset: 0, length: version.size, partial: false };
  const range = header(request, 'range');
  const partNumber = request.query.get('partNumber');
  if (partNumber !== undefined) {
    if (range !== undefined)
      throw s3Error('InvalidRequest', {
        message: 'Cannot specify both Range header and partNumber query parameter',
      });
    return partStretch(version, partNumber);
  }
  if (range === undefined) return whole;
  const match = /^bytes=(\d*)-(\d*)$/.exec(range);
  if (match === null || (match[1] === '' && match[2] === '')) {
    // S3 would send everything; nothing of ours should ever ask such a thing.
    throw invalidArgument('Range', range, 'This server takes a single range of bytes only');
  }
  const unsatisfiable = () =>
    s3Error('InvalidRange', { details: { RangeRequested: range, ActualObjectSize: version.size } });
  if (match[1] === '') {
    const length = Math.min(Number(match[2]), version.size);
    if (length === 0) throw unsatisfiable();
    return { offset: version.size - length, length, partial: true };
  }
  const first = Number(match[1]);
  const last = match[2] === '' ? version.size - 1 : Math.min(Number(match[2]), version.size - 1);
  if (first >= version.size) throw unsatisfiable();
  if (match[2] !== '' && Number(match[2]) < first) throw unsatisfiable();
  return { offset: first, length: last - first + 1, partial: true };
}

function partStretch(version: ObjectVersion, text: string): Stretch {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1 || number > 10000) {
    throw invalidArgument(
      'partNumber',
      text,
      'Part number must be an integer between 1 and 10000, inclusive',
    );
  }
  const parts = version.parts ?? [{ number: 1, size: version.size }];
  if (number > parts.length) {
    throw s3Error('InvalidPartNumber', {
      details: { PartNumberRequested: number, ActualPartCount: parts.length },
    });
  }
  let offset = 0;
  for (const part of parts.slice(0, number - 1)) offset += part.size;
  const length = parts[number - 1]?.size ?? 0;
  const stretch = { offset, length, partial: version.size > 0 };
  return version.parts === undefined ? stretch : { ...stretch, partsCount: parts.length };
}

/** GetObject and HeadObject. */
export function getObject(context: Context): Answer {
  const { request, state } = context;
  const bucket = bucketOf(context);
  refuseCustomerKeys(request, state.secure);
  const version = wantedVersion(context, bucket, request.key);
  if (checkRead(request, version) === 'not modified') {
    return emptyAnswer(304, { etag: `"${version.etag}"`, 'last-modified': httpDate(version.lastModified) });
  }
  if (request.method === 'GET') refuseFrozen(version, state.clock.now());
  const stretch = stretchOf(request, version);
  const headers = objectHeaders(context, bucket, version);
  if (stretch.partial) {
    headers['content-range'] =
      `bytes ${stretch.offset}-${stretch.offset + stretch.length - 1}/${version.size}`;
  }
  if (stretch.partsCount !== undefined) headers['x-amz-mp-parts-count'] = String(stretch.partsCount);
  addChecksum(request, version, stretch, headers);
  const { content } = version;
  for (const slice of content) slice.blob.retain();
  return {
    status: stretch.partial ? 206 : 200,
    headers,
    content: {
      content,
      offset: stretch.offset,
      length: stretch.length,
      release: () => {
        for (const slice of content) slice.blob.release();
      },
    },
  };
}

function addChecksum(
  request: S3Request,
  version: ObjectVersion,
  stretch: Stretch,
  headers: Record<string, string>,
): void {
  const mode = header(request, 'x-amz-checksum-mode');
  if (mode === undefined) return;
  if (mode !== 'ENABLED') throw invalidArgument('x-amz-checksum-mode', mode, 'Invalid checksum mode');
  // The checksum of the whole would not fit a stretch of it.
  if (stretch.length !== version.size) return;
  const checksum = checksumOf(version);
  headers[`x-amz-checksum-${checksum.algorithm}`] = checksum.value;
  headers['x-amz-checksum-type'] = checksum.type;
}

const ATTRIBUTES = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize'];

export function getObjectAttributes(context: Context): Answer {
  const { request } = context;
  const bucket = bucketOf(context);
  const version = wantedVersion(context, bucket, request.key);
  const wanted = (header(request, 'x-amz-object-attributes') ?? '').split(',').map((name) => name.trim());
  for (const name of wanted) {
    if (!ATTRIBUTES.includes(name))
      throw invalidArgument('x-amz-object-attributes', name, 'Invalid attribute name specified.');
  }
  const checksum = checksumOf(version);
  const fields = {
    ETag: () => element('ETag', version.etag),
    Checksum: () =>
      `<Checksum>${element(CHECKSUM_ELEMENTS[checksum.algorithm], checksum.value)}${element('ChecksumType', checksum.type)}</Checksum>`,
    ObjectParts: () => writeParts(request, version, checksum),
    StorageClass: () => element('StorageClass', version.storageClass),
    ObjectSize: () => element('ObjectSize', version.size),
  };
  const body = Object.entries(fields).map(([name, write]) => (wanted.includes(name) ? write() : ''));
  return xmlAnswer('GetObjectAttributesResponse', body.join(''), {
    'last-modified': httpDate(version.lastModified),
    ...versionHeader(bucket, version),
  });
}

/** "For general purpose buckets, part details come only where the parts have checksums." */
function writeParts(request: S3Request, version: ObjectVersion, checksum: StoredChecksum): string {
  if (version.parts === undefined) return '';
  const marker = Number(header(request, 'x-amz-part-number-marker') ?? 0);
  const max = Math.min(Number(header(request, 'x-amz-max-parts') ?? 1000), 1000);
  const rest = version.parts.filter((part) => part.checksum !== undefined && part.number > marker);
  const page = rest.slice(0, max);
  const parts = page.map(
    (part) =>
      `<Part>${element('PartNumber', part.number)}${element('Size', part.size)}${element(CHECKSUM_ELEMENTS[checksum.algorithm], part.checksum)}</Part>`,
  );
  return `<ObjectParts>${element('PartsCount', version.parts.length)}${element('PartNumberMarker', marker)}${element('NextPartNumberMarker', page.at(-1)?.number ?? 0)}${element('MaxParts', max)}${element('IsTruncated', rest.length > max)}${parts.join('')}</ObjectParts>`;
}
