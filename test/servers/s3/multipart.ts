import { createHash, randomBytes } from 'node:crypto';
import { type Answer, emptyAnswer, xmlAnswer } from './answer.js';
import { readContent, releaseContent, sliceContent } from './blobs.js';
import type { ReceivedBody } from './body.js';
import type { Bucket, MultipartUpload, ObjectVersion, StoredChecksum, UploadPart } from './buckets.js';
import {
  CHECKSUM_ALGORITHMS,
  CHECKSUM_ELEMENTS,
  type ChecksumAlgorithm,
  createDigest,
  isChecksumAlgorithm,
} from './checksums.js';
import { xmlDate } from './clock.js';
import { bucketOf, type Context, documentOf } from './context.js';
import { etagFor } from './encryption.js';
import { limitOf, nameWriter } from './listing.js';
import { versionHeader } from './read.js';
import { header, type S3Request } from './request.js';
import { invalidArgument, s3Error } from './s3-error.js';
import { compareUtf8 } from './utf8-order.js';
import { attributesOf, commit, copySource } from './write.js';
import { childText, element, onlyChildren, parseXml, type XmlElement } from './xml.js';

const MAX_PARTS = 10000;

function uploadOf(context: Context, bucket: Bucket): MultipartUpload {
  const id = context.request.query.get('uploadId') ?? '';
  const upload = bucket.uploads.get(id);
  if (upload === undefined || upload.key !== context.request.key)
    throw s3Error('NoSuchUpload', { details: { UploadId: id } });
  return upload;
}

/** Algorithm and type of the checksum, as "Checking object integrity" allows them together. */
function uploadChecksum(request: S3Request): Pick<MultipartUpload, 'checksumAlgorithm' | 'checksumType'> {
  const algorithm = header(request, 'x-amz-checksum-algorithm')?.toLowerCase();
  const type = header(request, 'x-amz-checksum-type');
  if (algorithm === undefined) {
    if (type !== undefined) {
      throw s3Error('InvalidRequest', {
        message: 'The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.',
      });
    }
    return { checksumAlgorithm: undefined, checksumType: undefined };
  }
  if (!isChecksumAlgorithm(algorithm)) {
    throw s3Error('InvalidRequest', {
      message:
        'Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]',
    });
  }
  const chosen = type ?? (algorithm === 'crc64nvme' ? 'FULL_OBJECT' : 'COMPOSITE');
  if (chosen !== 'FULL_OBJECT' && chosen !== 'COMPOSITE') {
    throw s3Error('InvalidRequest', { message: 'Value for x-amz-checksum-type header is invalid.' });
  }
  const impossible = chosen === 'COMPOSITE' ? algorithm === 'crc64nvme' : algorithm.startsWith('sha');
  if (impossible) {
    throw s3Error('InvalidRequest', {
      message: `The ${chosen} checksum type cannot be used with the ${algorithm} checksum algorithm.`,
    });
  }
  return { checksumAlgorithm: algorithm, checksumType: chosen };
}

export function createMultipartUpload(context: Context): Answer {
  const { request, state } = context;
  const bucket = bucketOf(context);
  const upload: MultipartUpload = {
    id: randomBytes(48).toString('base64url'),
    key: request.key,
    initiated: state.clock.now(),
    ...attributesOf(context),
    ...uploadChecksum(request),
    parts: new Map(),
  };
  bucket.uploads.set(upload.id, upload);
  const headers: Record<string, string> = { ...upload.encryption };
  if (upload.checksumAlgorithm !== undefined && upload.checksumType !== undefined) {
    headers['x-amz-checksum-algorithm'] = upload.checksumAlgorithm.toUpperCase();
    headers['x-amz-checksum-type'] = upload.checksumType;
  }
  return xmlAnswer(
    'InitiateMultipartUploadResult',
    element('Bucket', bucket.name) + element('Key', request.key) + element('UploadId', upload.id),
    headers,
  );
}

function partNumberOf(request: S3Request): number {
  const text = request.query.get('partNumber') ?? '';
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1 || number > MAX_PARTS) {
    throw invalidArgument(
      'partNumber',
      text,
      `Part number must be an integer between 1 and ${MAX_PARTS}, inclusive`,
    );
  }
  return number;
}

function storePart(bucket: Bucket, upload: MultipartUpload, part: UploadPart): void {
  bucket.reserve(part.size);
  const replaced = upload.parts.get(part.number);
  upload.parts.set(part.number, part);
  releaseContent(replaced?.content);
}

export function uploadPart(context: Context): Answer {
  const { request, state } = context;
  const bucket = bucketOf(context);
  const upload = uploadOf(context, bucket);
  const number = partNumberOf(request);
  const body = context.body as ReceivedBody;
  const expected = upload.checksumAlgorithm;
  if (
    expected !== undefined &&
    upload.checksumType === 'COMPOSITE' &&
    body.checksum?.algorithm !== expected
  ) {
    throw s3Error('InvalidRequest', {
      message: `Checksum Type mismatch occurred, expected checksum Type: ${expected}, actual checksum Type: ${body.checksum?.algorithm ?? 'null'}`,
    });
  }
  const part: UploadPart = {
    number,
    etag: etagFor(upload.encryption, body.md5.toString('hex')),
    md5: body.md5,
    size: body.size,
    lastModified: state.clock.now(),
    content: [{ blob: body.blob.retain(), offset: 0, size: body.size }],
    checksum: body.checksum,
  };
  try {
    storePart(bucket, upload, part);
  } catch (error) {
    releaseContent(part.content);
    throw error;
  }
  const headers: Record<string, string> = { etag: `"${part.etag}"`, ...upload.encryption };
  if (body.checksum !== undefined) headers[`x-amz-checksum-${body.checksum.algorithm}`] = body.checksum.value;
  return emptyAnswer(200, headers);
}

export function uploadPartCopy(context: Context): Answer {
  const { request, state } = context;
  const bucket = bucketOf(context);
  const upload = uploadOf(context, bucket);
  const number = partNumberOf(request);
  const { bucket: sourceBucket, version: source } = copySource(context);
  const { offset, length } = copyRange(request, source);
  const algorithm = upload.checksumAlgorithm;
  const md5 = createHash('md5');
  const digest = algorithm && createDigest(algorithm);
  for (const piece of readContent(source.content, offset, length)) {
    md5.update(piece);
    digest?.update(piece);
  }
  const md5Bytes = md5.digest();
  const part: UploadPart = {
    number,
    etag: etagFor(upload.encryption, md5Bytes.toString('hex')),
    md5: md5Bytes,
    size: length,
    lastModified: state.clock.now(),
    content: sliceContent(source.content, offset, length),
    checksum: algorithm && digest ? { algorithm, value: digest.digest().toString('base64') } : undefined,
  };
  try {
    storePart(bucket, upload, part);
  } catch (error) {
    releaseContent(part.content);
    throw error;
  }
  const headers: Record<string, string> = { ...upload.encryption };
  if (sourceBucket.versioning !== undefined) headers['x-amz-copy-source-version-id'] = source.versionId;
  return xmlAnswer(
    'CopyPartResult',
    element('LastModified', xmlDate(part.lastModified)) +
      element('ETag', `"${part.etag}"`) +
      writeChecksum(part.checksum),
    headers,
  );
}

function copyRange(request: S3Request, source: ObjectVersion): { offset: number; length: number } {
  const range = header(request, 'x-amz-copy-source-range');
  if (range === undefined) return { offset: 0, length: source.size };
  const match = /^bytes=(\d+)-(\d+)$/.exec(range);
  if (match === null) {
    throw invalidArgument(
      'x-amz-copy-source-range',
      range,
      'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy',
    );
  }
  const [first, last] = [Number(match[1]), Number(match[2])];
  if (first > last || last >= source.size) {
    throw invalidArgument(
      'x-amz-copy-source-range',
      range,
      `Range specified is not valid for source object of size: ${source.size}`,
    );
  }
  return { offset: first, length: last - first + 1 };
}

function writeChecksum(checksum: UploadPart['checksum']): string {
  return checksum === undefined ? '' : element(CHECKSUM_ELEMENTS[checksum.algorithm], checksum.value);
}

interface CompletedPart {
  number: number;
  etag: string;
  checksums: Map<ChecksumAlgorithm, string>;
}

function parseComplete(document: Buffer): CompletedPart[] {
  const root = parseXml(document, 'CompleteMultipartUpload');
  onlyChildren(root, ['Part']);
  if (root.children.length === 0 || root.children.length > MAX_PARTS) throw s3Error('MalformedXML');
  return root.children.map(parsePart);
}

function parsePart(part: XmlElement): CompletedPart {
  onlyChildren(part, ['PartNumber', 'ETag', ...Object.values(CHECKSUM_ELEMENTS)]);
  const number = Number(childText(part, 'PartNumber'));
  const etag = childText(part, 'ETag');
  if (!Number.isInteger(number) || number < 1 || etag === undefined) throw s3Error('MalformedXML');
  const checksums = new Map<ChecksumAlgorithm, string>();
  for (const algorithm of CHECKSUM_ALGORITHMS) {
    const value = childText(part, CHECKSUM_ELEMENTS[algorithm]);
    if (value !== undefined) checksums.set(algorithm, value);
  }
  return { number, etag: etag.replace(/^"(.*)"$/, '$1'), checksums };
}

/** The parts that make up the object, in order, each as the client says it is. */
function chosenParts(
  context: Context,
  upload: MultipartUpload,
  wanted: readonly CompletedPart[],
): UploadPart[] {
  const parts: UploadPart[] = [];
  let last = 0;
  for (const { number, etag, checksums } of wanted) {
    if (number <= last) throw s3Error('InvalidPartOrder', { details: { UploadId: upload.id } });
    last = number;
    const part = upload.parts.get(number);
    const differs = [...checksums].some(
      ([algorithm, value]) => part?.checksum?.algorithm === algorithm && part.checksum.value !== value,
    );
    if (part === undefined || part.etag !== etag || differs) {
      throw s3Error('InvalidPart', { details: { UploadId: upload.id, PartNumber: number, ETag: etag } });
    }
    if (
      upload.checksumType === 'COMPOSITE' &&
      !checksums.has(upload.checksumAlgorithm as ChecksumAlgorithm)
    ) {
      throw s3Error('InvalidRequest', {
        message: `The upload was created using a ${upload.checksumAlgorithm} checksum. The complete request must include the checksum for each part. It was missing for part ${number} in the request.`,
      });
    }
    parts.push(part);
  }
  for (const part of parts.slice(0, -1)) {
    if (part.size >= context.state.minPartSize) continue;
    throw s3Error('EntityTooSmall', {
      details: {
        ProposedSize: part.size,
        MinSizeAllowed: context.state.minPartSize,
        PartNumber: part.number,
        ETag: part.etag,
      },
    });
  }
  return parts;
}

/** The checksum of the finished object, compared with the one the client sent along. */
function finalChecksum(
  request: S3Request,
  upload: MultipartUpload,
  parts: readonly UploadPart[],
): StoredChecksum | undefined {
  const sent = CHECKSUM_ALGORITHMS.find((name) => header(request, `x-amz-checksum-${name}`) !== undefined);
  const type = header(request, 'x-amz-checksum-type');
  if (type !== undefined && type !== (upload.checksumType ?? 'FULL_OBJECT')) {
    throw s3Error('InvalidRequest', { message: 'The checksum type does not match the one of the upload' });
  }
  const algorithm = upload.checksumAlgorithm ?? sent;
  if (algorithm === undefined) return undefined;
  if (sent !== undefined && sent !== algorithm)
    throw s3Error('InvalidRequest', { message: `The upload was created using a ${algorithm} checksum.` });
  const composite = upload.checksumType === 'COMPOSITE';
  const digest = createDigest(algorithm);
  for (const part of parts) {
    if (composite) digest.update(Buffer.from(part.checksum?.value ?? '', 'base64'));
    else for (const piece of readContent(part.content, 0, part.size)) digest.update(piece);
  }
  const plain = digest.digest().toString('base64');
  const value = composite ? `${plain}-${parts.length}` : plain;
  const expected = sent && header(request, `x-amz-checksum-${sent}`);
  if (expected !== undefined && expected !== value && expected !== plain) {
    throw s3Error('BadDigest', {
      message: `The ${algorithm} you specified did not match the calculated checksum.`,
    });
  }
  return { algorithm, value, type: composite ? 'COMPOSITE' : 'FULL_OBJECT' };
}

export function completeMultipartUpload(context: Context): Answer {
  const { request } = context;
  const bucket = bucketOf(context);
  const upload = uploadOf(context, bucket);
  const parts = chosenParts(context, upload, parseComplete(documentOf(context)));
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const announced = header(request, 'x-amz-mp-object-size');
  if (announced !== undefined && Number(announced) !== size) {
    throw s3Error('InvalidRequest', {
      message: `The provided 'x-amz-mp-object-size' header value ${announced} does not match what was computed: ${size}`,
    });
  }
  const checksum = finalChecksum(request, upload, parts);
  const md5 = createHash('md5');
  for (const part of parts) md5.update(part.md5);
  const version: ObjectVersion = {
    key: upload.key,
    versionId: bucket.nextVersionId(),
    // "the Last-Modified ... of a multipart upload is the time it was initiated"
    lastModified: upload.initiated,
    isDeleteMarker: false,
    size,
    etag: `${etagFor(upload.encryption, md5.digest('hex'))}-${parts.length}`,
    content: parts.flatMap((part) => part.content),
    parts: parts.map((part, index) => ({
      number: index + 1,
      size: part.size,
      ...(upload.checksumAlgorithm && part.checksum ? { checksum: part.checksum.value } : {}),
    })),
    metadata: upload.metadata,
    system: upload.system,
    storageClass: upload.storageClass,
    encryption: upload.encryption,
    checksum,
    restore: undefined,
  };
  commit(context, bucket, version);
  for (const part of parts) upload.parts.delete(part.number);
  bucket.dropUpload(upload);
  return xmlAnswer(
    'CompleteMultipartUploadResult',
    element('Location', `http://${request.incoming.headers.host}${request.canonicalPath}`) +
      element('Bucket', bucket.name) +
      element('Key', upload.key) +
      element('ETag', `"${version.etag}"`) +
      (checksum
        ? element(CHECKSUM_ELEMENTS[checksum.algorithm], checksum.value) +
          element('ChecksumType', checksum.type)
        : ''),
    { ...upload.encryption, ...versionHeader(bucket, version) },
  );
}

export function abortMultipartUpload(context: Context): Answer {
  const bucket = bucketOf(context);
  bucket.dropUpload(uploadOf(context, bucket));
  return emptyAnswer(204);
}

const OWNER = ['Initiator', 'Owner']
  .map(
    (name) => `<${name}><ID>75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a</ID></${name}>`,
  )
  .join('');

export function listParts(context: Context): Answer {
  const { request } = context;
  const bucket = bucketOf(context);
  const upload = uploadOf(context, bucket);
  const max = limitOf(request, 'max-parts');
  const markerText = request.query.get('part-number-marker') ?? '0';
  if (!/^\d*$/.test(markerText))
    throw invalidArgument('part-number-marker', markerText, 'Provided part-number-marker not an integer');
  const marker = Number(markerText);
  const rest = [...upload.parts.values()]
    .filter((part) => part.number > marker)
    .sort((a, b) => a.number - b.number);
  const page = rest.slice(0, max);
  const parts = page.map(
    (part) =>
      `<Part>${element('PartNumber', part.number)}${element('LastModified', xmlDate(part.lastModified))}${element('ETag', `"${part.etag}"`)}${element('Size', part.size)}${writeChecksum(part.checksum)}</Part>`,
  );
  return xmlAnswer(
    'ListPartsResult',
    element('Bucket', bucket.name) +
      element('Key', upload.key) +
      element('UploadId', upload.id) +
      OWNER +
      element('StorageClass', upload.storageClass) +
      element('PartNumberMarker', marker) +
      element('NextPartNumberMarker', rest.length > max ? page.at(-1)?.number : undefined) +
      element('MaxParts', max) +
      element('ChecksumAlgorithm', upload.checksumAlgorithm?.toUpperCase()) +
      element('ChecksumType', upload.checksumType) +
      element('IsTruncated', rest.length > max) +
      parts.join(''),
  );
}

function compareUploads(a: MultipartUpload, b: MultipartUpload): number {
  return compareUtf8(a.key, b.key) || a.initiated - b.initiated || compareUtf8(a.id, b.id);
}

export function listMultipartUploads(context: Context): Answer {
  const { request } = context;
  const bucket = bucketOf(context);
  const { query } = request;
  const [prefix, delimiter, keyMarker, idMarker] = [
    'prefix',
    'delimiter',
    'key-marker',
    'upload-id-marker',
  ].map((name) => query.get(name) ?? '') as [string, string, string, string];
  const max = limitOf(request, 'max-uploads');
  const names = nameWriter(request);
  const sorted = [...bucket.uploads.values()].sort(compareUploads);
  const marked = idMarker === '' ? undefined : bucket.uploads.get(idMarker);
  const behindMarker = (upload: MultipartUpload) => {
    if (keyMarker === '') return true;
    const order = compareUtf8(upload.key, keyMarker);
    return order > 0 || (order === 0 && marked !== undefined && compareUploads(upload, marked) > 0);
  };
  const items: ({ upload: MultipartUpload } | { group: string })[] = [];
  let truncated = false;
  let lastGroup = '';
  for (const upload of sorted) {
    if (!upload.key.startsWith(prefix) || !behindMarker(upload)) continue;
    const end = delimiter === '' ? -1 : upload.key.indexOf(delimiter, prefix.length);
    const group = end < 0 ? '' : upload.key.slice(0, end + delimiter.length);
    if (group !== '' && (group === lastGroup || compareUtf8(group, keyMarker) <= 0)) continue;
    if (items.length >= max) {
      truncated = max > 0;
      break;
    }
    lastGroup = group;
    items.push(group === '' ? { upload } : { group });
  }
  const last = truncated ? items.at(-1) : undefined;
  const nextKey = last === undefined ? undefined : 'upload' in last ? last.upload.key : last.group;
  const uploads = items.map((item) =>
    'group' in item
      ? `<CommonPrefixes>${element('Prefix', names.write(item.group))}</CommonPrefixes>`
      : `<Upload>${element('Key', names.write(item.upload.key))}${element('UploadId', item.upload.id)}${OWNER}${element('StorageClass', item.upload.storageClass)}${element('Initiated', xmlDate(item.upload.initiated))}</Upload>`,
  );
  return xmlAnswer(
    'ListMultipartUploadsResult',
    element('Bucket', bucket.name) +
      element('KeyMarker', names.write(keyMarker)) +
      element('UploadIdMarker', idMarker) +
      element('NextKeyMarker', nextKey === undefined ? '' : names.write(nextKey)) +
      element('NextUploadIdMarker', last !== undefined && 'upload' in last ? last.upload.id : '') +
      element('Prefix', names.write(prefix)) +
      element('Delimiter', delimiter === '' ? undefined : names.write(delimiter)) +
      element('MaxUploads', max) +
      names.element +
      element('IsTruncated', truncated) +
      uploads.join(''),
  );
}
