import { type Answer, emptyAnswer, xmlAnswer } from './answer.js';
import { isFrozen } from './archive.js';
import { readContent, releaseContent, sliceContent } from './blobs.js';
import type { ReceivedBody } from './body.js';
import type { Bucket, ObjectVersion, StoredAttributes } from './buckets.js';
import { CHECKSUM_ELEMENTS, createDigest, isChecksumAlgorithm } from './checksums.js';
import { xmlDate } from './clock.js';
import { checkCopySource, checkWrite } from './conditions.js';
import { bucketOf, type Context } from './context.js';
import { encryptionOf, etagFor } from './encryption.js';
import { checksumOf, findVersion, versionHeader } from './read.js';
import { header, type S3Request } from './request.js';
import { invalidArgument, notImplemented, s3Error } from './s3-error.js';
import { element } from './xml.js';

const MAX_METADATA = 2048;
export const MAX_PUT = 5 * 1024 ** 3;
const STORAGE_CLASSES = [
  'STANDARD',
  'REDUCED_REDUNDANCY',
  'STANDARD_IA',
  'ONEZONE_IA',
  'INTELLIGENT_TIERING',
  'GLACIER',
  'GLACIER_IR',
  'DEEP_ARCHIVE',
];
const SYSTEM_HEADERS = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'expires',
];

/** What the headers of a PUT, a copy or a new upload say about the object. */
export function attributesOf(context: Context): StoredAttributes {
  const { request, state } = context;
  checkAcl(request);
  const storageClass = header(request, 'x-amz-storage-class') ?? 'STANDARD';
  if (!STORAGE_CLASSES.includes(storageClass)) {
    throw s3Error('InvalidStorageClass', { details: { StorageClassRequested: storageClass } });
  }
  return { ...describedContent(request), storageClass, encryption: encryptionOf(request, state.secure) };
}

function describedContent(request: S3Request): Pick<StoredAttributes, 'metadata' | 'system'> {
  const metadata: Record<string, string> = {};
  const system: Record<string, string> = { 'content-type': 'binary/octet-stream' };
  let size = 0;
  for (const name in request.incoming.headers) {
    const value = header(request, name) as string;
    if (name.startsWith('x-amz-meta-')) {
      metadata[name.slice('x-amz-meta-'.length)] = value;
      size += name.length - 'x-amz-meta-'.length + value.length;
    } else if (name === 'content-encoding') {
      // "Amazon S3 stores the resulting object without the aws-chunked encoding."
      const rest = value
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== 'aws-chunked' && part !== '');
      if (rest.length > 0) system[name] = rest.join(',');
    } else if (SYSTEM_HEADERS.includes(name) && value !== '') system[name] = value;
  }
  if (size > MAX_METADATA) {
    throw s3Error('MetadataTooLarge', { details: { Size: size, MaxSizeAllowed: MAX_METADATA } });
  }
  return { metadata, system };
}

function checkAcl(request: S3Request): void {
  const acl = header(request, 'x-amz-acl');
  if (acl !== undefined && acl !== 'private' && acl !== 'bucket-owner-full-control') {
    throw s3Error('AccessControlListNotSupported');
  }
}

/** Puts a version in place, conditions and quota permitting; its content belongs to the bucket from then on. */
export function commit(context: Context, bucket: Bucket, version: ObjectVersion): void {
  checkWrite(context.request, bucket.latest(version.key), context.faults);
  bucket.reserve(version.size);
  bucket.add(version);
}

export function putObject(context: Context): Answer {
  const { request, state } = context;
  const bucket = bucketOf(context);
  const body = context.body as ReceivedBody;
  const attributes = attributesOf(context);
  const version: ObjectVersion = {
    key: request.key,
    versionId: bucket.nextVersionId(),
    lastModified: state.clock.now(),
    isDeleteMarker: false,
    size: body.size,
    etag: etagFor(attributes.encryption, body.md5.toString('hex')),
    content: body.size === 0 ? [] : [{ blob: body.blob.retain(), offset: 0, size: body.size }],
    ...attributes,
    checksum: body.checksum && { ...body.checksum, type: 'FULL_OBJECT' },
    restore: undefined,
  };
  try {
    commit(context, bucket, version);
  } catch (error) {
    releaseContent(version.content);
    throw error;
  }
  const headers: Record<string, string> = {
    etag: `"${version.etag}"`,
    ...attributes.encryption,
    ...versionHeader(bucket, version),
  };
  if (body.checksum !== undefined) {
    headers[`x-amz-checksum-${body.checksum.algorithm}`] = body.checksum.value;
    headers['x-amz-checksum-type'] = 'FULL_OBJECT';
  }
  return emptyAnswer(200, headers);
}

/** The object that `x-amz-copy-source` names, checked for its conditions. */
export function copySource(context: Context): { bucket: Bucket; version: ObjectVersion } {
  const { request, state } = context;
  const source = header(request, 'x-amz-copy-source') as string;
  const match = /^\/?([^/?]+)\/([^?]+)(?:\?versionId=([^&]+))?$/.exec(source);
  if (match === null) throw invalidArgument('x-amz-copy-source', source, 'Invalid copy source object key');
  let names: string[];
  try {
    names = [match[1], match[2]].map((name) => decodeURIComponent(name as string));
  } catch {
    throw invalidArgument('x-amz-copy-source', source, 'Invalid copy source encoding.');
  }
  const [bucketName, key] = names as [string, string];
  const bucket = state.buckets.get(bucketName);
  if (bucket === undefined) throw s3Error('NoSuchBucket', { details: { BucketName: bucketName } });
  const allows = request.credential?.allows;
  const reads = { ...request, operation: 'GetObject' as const, method: 'GET', bucket: bucketName, key };
  if (allows !== undefined && !allows(reads)) throw s3Error('AccessDenied');
  const latest = bucket.latest(key);
  if (match[3] !== undefined && bucket.version(key, match[3])?.isDeleteMarker) {
    throw s3Error('InvalidRequest', {
      message: 'The source of a copy request may not specifically refer to a delete marker by version id.',
    });
  }
  if (match[3] === undefined && latest?.isDeleteMarker) throw s3Error('NoSuchKey', { details: { Key: key } });
  const version = findVersion(request, bucket, key, match[3]);
  checkCopySource(request, version);
  if (isFrozen(version, state.clock.now())) throw s3Error('ObjectNotInActiveTierError');
  return { bucket, version };
}

export function copyObject(context: Context): Answer {
  const { request, state } = context;
  const bucket = bucketOf(context);
  const directive = header(request, 'x-amz-metadata-directive') ?? 'COPY';
  if (directive !== 'COPY' && directive !== 'REPLACE') {
    throw invalidArgument('x-amz-metadata-directive', directive, 'Unknown metadata directive.');
  }
  const tagging = header(request, 'x-amz-tagging-directive');
  if (tagging !== undefined && tagging !== 'COPY') throw notImplemented('x-amz-tagging-directive');
  const { bucket: sourceBucket, version: source } = copySource(context);
  if (source.size > MAX_PUT) {
    throw s3Error('InvalidRequest', {
      message:
        'The specified copy source is larger than the maximum allowable size for a copy source: 5368709120',
    });
  }
  const given = attributesOf(context);
  const changes =
    directive === 'REPLACE' ||
    header(request, 'x-amz-storage-class') ||
    header(request, 'x-amz-server-side-encryption');
  if (
    sourceBucket === bucket &&
    source.key === request.key &&
    source === bucket.latest(request.key) &&
    !changes
  ) {
    throw s3Error('InvalidRequest', {
      message:
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
    });
  }
  const kept = directive === 'COPY' ? { metadata: source.metadata, system: source.system } : {};
  const version = copiedVersion(context, bucket, source, { ...given, ...kept });
  try {
    commit(context, bucket, version);
  } catch (error) {
    releaseContent(version.content);
    throw error;
  }
  const { checksum } = version;
  const headers = { ...given.encryption, ...versionHeader(bucket, version) };
  if (sourceBucket.versioning !== undefined)
    Object.assign(headers, { 'x-amz-copy-source-version-id': source.versionId });
  return xmlAnswer(
    'CopyObjectResult',
    element('LastModified', xmlDate(state.clock.now())) +
      element('ETag', `"${version.etag}"`) +
      (checksum
        ? element(CHECKSUM_ELEMENTS[checksum.algorithm], checksum.value) +
          element('ChecksumType', checksum.type)
        : ''),
    headers,
  );
}

/** A copy is one object again, also where its source was made of parts: so its ETag is the MD5 of the whole. */
function copiedVersion(
  context: Context,
  bucket: Bucket,
  source: ObjectVersion,
  attributes: StoredAttributes,
): ObjectVersion {
  const { request, state } = context;
  const algorithm = header(request, 'x-amz-checksum-algorithm')?.toLowerCase();
  if (algorithm !== undefined && !isChecksumAlgorithm(algorithm)) {
    throw s3Error('InvalidRequest', {
      message:
        'Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]',
    });
  }
  const old = checksumOf(source);
  const wanted = algorithm ?? old.algorithm;
  const md5 = createDigest('md5');
  const digest = createDigest(wanted);
  for (const piece of readContent(source.content, 0, source.size)) {
    md5.update(piece);
    digest.update(piece);
  }
  return {
    key: request.key,
    versionId: bucket.nextVersionId(),
    lastModified: state.clock.now(),
    isDeleteMarker: false,
    size: source.size,
    etag: etagFor(attributes.encryption, md5.digest().toString('hex')),
    content: sliceContent(source.content, 0, source.size),
    ...attributes,
    checksum: { algorithm: wanted, value: digest.digest().toString('base64'), type: 'FULL_OBJECT' },
    restore: undefined,
  };
}
