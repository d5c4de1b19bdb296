import { createHash, createHmac } from 'node:crypto';
import { type Endpoint, type SignedAnswer, type SignedRequest, sendSigned } from './signed-request.js';

/** One of the servers that are compared, and what its answers are remembered for. */
export class Side {
  readonly remembered = new Map<string, string>();

  constructor(
    readonly endpoint: Endpoint,
    readonly bucket: string,
  ) {}

  /** Sends; `{name}` in target, headers and body stands for what was remembered, `{bucket}` for the bucket. */
  send(request: SignedRequest): Promise<SignedAnswer> {
    const fill = (text: string) =>
      text.replace(/\{(\w+)\}/g, (_, name: string) =>
        name === 'bucket' ? this.bucket : (this.remembered.get(name) ?? `{${name}}`),
      );
    return sendSigned(this.endpoint, {
      ...request,
      target: fill(request.target),
      ...(typeof request.body === 'string' ? { body: fill(request.body) } : {}),
      headers: Object.fromEntries(
        Object.entries(request.headers ?? {}).map(([name, value]) => [name, fill(value)]),
      ),
    });
  }
}

export interface Step {
  name: string;
  request: SignedRequest;
  /** Headers that have to be equal. */
  headers?: readonly string[];
  /** Elements of the answer's document whose texts, in order, have to be equal. */
  elements?: readonly string[];
  /** The texts are compared as sets: their order means nothing. */
  unordered?: true;
  /** The texts are compared after decoding them as URLs, as every client does. */
  urlDecoded?: true;
  /** The answer's bytes have to be equal. */
  bytes?: true;
  /** Keeps the text of an element, or a header, for later steps. */
  remember?: { name: string; element?: string; header?: string };
  /** What is known to be different, and why; anything else different is a failure, and so is a difference that's gone. */
  differs?: Difference[];
}

export interface Difference {
  /** `status`, `code`, a header's name or `<Element>`. */
  what: string;
  ours: string;
  ceph: string;
  reason: string;
}

function differs(
  reason: string,
  facts: Record<string, [ours: string, ceph: string]>,
): { differs: Difference[] } {
  return { differs: Object.entries(facts).map(([what, [ours, ceph]]) => ({ what, ours, ceph, reason })) };
}

export const md5 = (data: string | Buffer) => createHash('md5').update(data).digest('base64');

/** A body in signed chunks of 64 KiB, as clients of old send it. */
export function chunked(body: Buffer, damage = false): NonNullable<SignedRequest['encodeBody']> {
  const sha256 = (data: Buffer | string) => createHash('sha256').update(data).digest('hex');
  return ({ key, seed, date, scope }) => {
    const pieces: Buffer[] = [];
    let previous = seed;
    for (let at = 0; ; at += 65536) {
      const chunk = body.subarray(at, at + 65536);
      const text = `AWS4-HMAC-SHA256-PAYLOAD\n${date}\n${scope}\n${previous}\n${sha256('')}\n${sha256(chunk)}`;
      previous = createHmac('sha256', key).update(text).digest('hex');
      const sent =
        damage && at === 0 ? Buffer.concat([Buffer.from([(chunk[0] ?? 0) ^ 1]), chunk.subarray(1)]) : chunk;
      pieces.push(
        Buffer.from(`${chunk.length.toString(16)};chunk-signature=${previous}\r\n`),
        sent,
        Buffer.from('\r\n'),
      );
      if (chunk.length === 0) return Buffer.concat(pieces);
    }
  };
}

const put = (key: string, body = `content of ${key}`, more: Partial<SignedRequest> = {}): SignedRequest => ({
  method: 'PUT',
  target: `/{bucket}/${key}`,
  body,
  ...more,
});
const get = (target: string, more: Partial<SignedRequest> = {}): SignedRequest => ({ target, ...more });
const xml = (target: string, body: string, more: Partial<SignedRequest> = {}): SignedRequest => ({
  method: 'POST',
  target,
  body,
  headers: { 'content-md5': md5(body) },
  ...more,
});

const ODD_KEYS = [
  'a',
  'a-b',
  'a.txt',
  'a/x',
  'a0',
  '%EF%BC%8E',
  '%F0%9F%98%80',
  'e%CC%81',
  '%C3%A9',
  'a%20b',
  'a%2Bb',
  'a%26b%3D%3F%23%25',
  'x/../y',
  './z',
  'trailing%20',
  '%20leading',
  'dir//double',
  'folder/',
  'quote%27%22%3C%3E',
  'back%5Cslash',
  '~tilde',
  'tab%09',
  'k'.repeat(1024),
];

const WORDS = 'Ceph words this refusal differently than AWS (Error responses, List of error codes)';
const hex = (data: string | Buffer) => createHash('md5').update(data).digest('hex');
/** ETags of the parts below. */
const A = hex('a'.repeat(5 << 20));
const B = hex('b'.repeat(5 << 20));
const C = hex(Buffer.alloc(100000, 'abc'));

function complete(key: string, parts: [number: number, etag: string][]): SignedRequest {
  const list = parts.map(
    ([number, etag]) => `<Part><PartNumber>${number}</PartNumber><ETag>"${etag}"</ETag></Part>`,
  );
  return xml(
    `/{bucket}/${key}?uploadId={upload}`,
    `<CompleteMultipartUpload>${list.join('')}</CompleteMultipartUpload>`,
  );
}

const LISTED = ['Key', 'Prefix', 'IsTruncated', 'KeyCount', 'MaxKeys', 'Size', 'ETag', 'StorageClass'];
const OBJECT = [
  'etag',
  'content-length',
  'content-type',
  'accept-ranges',
  'x-amz-meta-mtime',
  'content-range',
  'cache-control',
  'content-encoding',
];

/** Everything but versions, in the order it has to be done. */
export const STEPS: Step[] = [
  { name: 'HEAD of a bucket that is missing', request: { method: 'HEAD', target: '/{bucket}' } },
  { name: 'LIST of a bucket that is missing', request: get('/{bucket}?list-type=2') },
  { name: 'CreateBucket', request: { method: 'PUT', target: '/{bucket}' } },
  { name: 'CreateBucket with a bad name', request: { method: 'PUT', target: '/x_y..Z' } },
  { name: 'HEAD of a bucket', request: { method: 'HEAD', target: '/{bucket}' } },
  {
    name: 'GetBucketLocation',
    request: get('/{bucket}?location'),
    elements: ['LocationConstraint'],
    ...differs('Ceph calls its only region default', { '<LocationConstraint>': ['', 'default'] }),
  },
  { name: 'LIST of an empty bucket', request: get('/{bucket}?list-type=2'), elements: LISTED },
  ...ODD_KEYS.map(
    (key, index): Step => ({
      name: `PUT odd key ${index} ${key.slice(0, 20)}`,
      request: put(key),
      headers: ['etag'],
    }),
  ),
  ...ODD_KEYS.map(
    (key, index): Step => ({
      name: `GET odd key ${index} ${key.slice(0, 20)}`,
      request: get(`/{bucket}/${key}`),
      headers: OBJECT,
      bytes: true,
    }),
  ),
  {
    name: 'PUT a key of 1,025 bytes',
    request: put('k'.repeat(1025)),
    ...differs(WORDS, { code: ['KeyTooLongError', 'InvalidObjectName'] }),
  },
  { name: 'LIST in order', request: get('/{bucket}?list-type=2'), elements: LISTED },
  { name: 'LIST V1 in order', request: get('/{bucket}'), elements: LISTED },
  {
    name: 'LIST url encoded',
    request: get('/{bucket}?encoding-type=url&list-type=2'),
    elements: [...LISTED, 'EncodingType'],
    urlDecoded: true,
  },
  { name: 'LIST with delimiter', request: get('/{bucket}?delimiter=%2F&list-type=2'), elements: LISTED },
  {
    name: 'LIST with prefix and delimiter',
    request: get('/{bucket}?delimiter=%2F&list-type=2&prefix=x%2F'),
    elements: LISTED,
  },
  {
    name: 'LIST start-after',
    request: get('/{bucket}?list-type=2&start-after=a.txt'),
    elements: [...LISTED, 'StartAfter'],
  },
  {
    name: 'LIST start-after within a common prefix',
    request: get('/{bucket}?delimiter=%2F&list-type=2&start-after=a%2F'),
    elements: LISTED,
  },
  {
    name: 'LIST page of three',
    request: get('/{bucket}?list-type=2&max-keys=3'),
    elements: LISTED,
    remember: { name: 'token', element: 'NextContinuationToken' },
  },
  { name: 'LIST max-keys=0', request: get('/{bucket}?list-type=2&max-keys=0'), elements: LISTED },
  {
    name: 'LIST max-keys=-1',
    request: get('/{bucket}?list-type=2&max-keys=-1'),
    ...differs('Ceph takes a negative number; AWS asks for 0 to 2147483647', {
      status: ['400', '200'],
      code: ['InvalidArgument', 'undefined'],
    }),
  },
  { name: 'LIST max-keys=x', request: get('/{bucket}?list-type=2&max-keys=x') },
  { name: 'LIST V1 with marker', request: get('/{bucket}?marker=a.txt&max-keys=2'), elements: LISTED },
  {
    name: 'LIST V1 with delimiter, page of two',
    request: get('/{bucket}?delimiter=%2F&max-keys=2'),
    elements: [...LISTED, 'NextMarker'],
  },

  {
    name: 'PUT with attributes',
    request: put('attributes', 'hello', {
      headers: {
        'content-type': 'text/plain',
        'cache-control': 'no-cache',
        'content-encoding': 'gzip',
        'x-amz-meta-mtime': '1700000000.123456789',
      },
    }),
    headers: ['etag'],
  },
  {
    name: 'HEAD with attributes',
    request: { method: 'HEAD', target: '/{bucket}/attributes' },
    headers: OBJECT,
  },
  { name: 'PUT empty', request: put('empty', ''), headers: ['etag'] },
  { name: 'GET empty', request: get('/{bucket}/empty'), headers: OBJECT, bytes: true },
  { name: 'GET empty with range', request: get('/{bucket}/empty', { headers: { range: 'bytes=0-0' } }) },
  {
    name: 'GET range',
    request: get('/{bucket}/attributes', { headers: { range: 'bytes=1-3' } }),
    headers: OBJECT,
    bytes: true,
  },
  {
    name: 'GET range past the end',
    request: get('/{bucket}/attributes', { headers: { range: 'bytes=3-100' } }),
    headers: OBJECT,
    bytes: true,
  },
  {
    name: 'GET suffix range',
    request: get('/{bucket}/attributes', { headers: { range: 'bytes=-2' } }),
    headers: OBJECT,
    bytes: true,
  },
  {
    name: 'GET open range',
    request: get('/{bucket}/attributes', { headers: { range: 'bytes=2-' } }),
    headers: OBJECT,
    bytes: true,
  },
  {
    name: 'GET unsatisfiable range',
    request: get('/{bucket}/attributes', { headers: { range: 'bytes=100-' } }),
  },
  {
    name: 'GET response-content-type',
    request: get('/{bucket}/attributes?response-content-type=text%2Fx'),
    headers: ['content-type'],
  },
  {
    name: 'GET If-Match',
    request: get('/{bucket}/attributes', { headers: { 'if-match': '"5d41402abc4b2a76b9719d911017c592"' } }),
  },
  {
    name: 'GET If-Match another',
    request: get('/{bucket}/attributes', { headers: { 'if-match': '"00000000000000000000000000000000"' } }),
  },
  {
    name: 'GET If-None-Match same',
    request: get('/{bucket}/attributes', {
      headers: { 'if-none-match': '"5d41402abc4b2a76b9719d911017c592"' },
    }),
  },
  {
    name: 'GET If-Modified-Since the future',
    request: get('/{bucket}/attributes', {
      headers: { 'if-modified-since': new Date(Date.now() + 3600_000).toUTCString() },
    }),
  },
  {
    name: 'GET If-Unmodified-Since the past',
    request: get('/{bucket}/attributes', {
      headers: { 'if-unmodified-since': 'Mon, 01 Jan 2001 00:00:00 GMT' },
    }),
  },
  { name: 'GET of what is missing', request: get('/{bucket}/missing') },
  { name: 'HEAD of what is missing', request: { method: 'HEAD', target: '/{bucket}/missing' } },
  {
    name: 'GET with an unknown version',
    request: get('/{bucket}/attributes?versionId=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'),
    ...differs(WORDS, { code: ['NoSuchVersion', 'NoSuchKey'] }),
  },

  {
    name: 'PUT with the right Content-MD5',
    request: put('md5', 'hello', { headers: { 'content-md5': md5('hello') } }),
    headers: ['etag'],
  },
  {
    name: 'PUT with another Content-MD5',
    request: put('md5', 'hello', { headers: { 'content-md5': md5('other') } }),
  },
  {
    name: 'PUT with a Content-MD5 that is none',
    request: put('md5', 'hello', { headers: { 'content-md5': 'abc' } }),
  },
  {
    name: 'PUT with another payload hash',
    request: put('sha', 'hello', { payload: createHash('sha256').update('other').digest('hex') }),
  },
  {
    name: 'PUT with UNSIGNED-PAYLOAD',
    request: put('unsigned', 'hello', { payload: 'UNSIGNED-PAYLOAD' }),
    headers: ['etag'],
  },
  {
    name: 'PUT in signed chunks',
    request: put('chunked', '', {
      payload: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
      headers: { 'x-amz-decoded-content-length': '200000', 'content-encoding': 'aws-chunked' },
      encodeBody: chunked(Buffer.alloc(200000, 'abc')),
    }),
    headers: ['etag'],
  },
  {
    name: 'GET of what came in chunks',
    request: get('/{bucket}/chunked'),
    headers: ['etag', 'content-length'],
    bytes: true,
  },
  {
    name: 'PUT in signed chunks, one damaged',
    request: put('chunked-bad', '', {
      payload: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
      headers: { 'x-amz-decoded-content-length': '200000', 'content-encoding': 'aws-chunked' },
      encodeBody: chunked(Buffer.alloc(200000, 'abc'), true),
    }),
  },
  { name: 'what came damaged is not there', request: { method: 'HEAD', target: '/{bucket}/chunked-bad' } },

  {
    name: 'PUT If-None-Match * on a present key',
    request: put('md5', 'new', { headers: { 'if-none-match': '*' } }),
  },
  {
    name: 'PUT If-None-Match * on a new key',
    request: put('fresh', 'new', { headers: { 'if-none-match': '*' } }),
  },
  {
    name: 'PUT If-Match same',
    request: put('fresh', 'newer', { headers: { 'if-match': '"22af645d1859cb5ca6da0c484f1f37ea"' } }),
    ...differs('Ceph compares the quotes too, so that a quoted ETag never matches on a PUT', {
      status: ['200', '412'],
      code: ['undefined', 'PreconditionFailed'],
    }),
  },
  {
    name: 'PUT If-Match another',
    request: put('fresh', 'newest', { headers: { 'if-match': '"22af645d1859cb5ca6da0c484f1f37ea"' } }),
  },
  {
    name: 'PUT If-Match on a missing key',
    request: put('nowhere', 'x', { headers: { 'if-match': '"22af645d1859cb5ca6da0c484f1f37ea"' } }),
    ...differs('AWS answers 404, see How to prevent object overwrites with conditional writes', {
      status: ['404', '412'],
      code: ['NoSuchKey', 'PreconditionFailed'],
    }),
  },

  { name: 'signed with another secret', request: get('/{bucket}/md5', { secretAccessKey: 'wrong' }) },
  { name: 'signed with an unknown key', request: get('/{bucket}/md5', { accessKeyId: 'AKIDUNKNOWN' }) },
  { name: 'signed an hour ago', request: get('/{bucket}/md5', { time: Date.now() - 3600_000 }) },
  { name: 'signed an hour ahead', request: get('/{bucket}/md5', { time: Date.now() + 3600_000 }) },
  { name: 'no signature', request: get('/{bucket}/md5', { anonymous: true }) },

  {
    name: 'CopyObject',
    request: {
      method: 'PUT',
      target: '/{bucket}/copy',
      headers: { 'x-amz-copy-source': '/{bucket}/attributes' },
    },
    elements: ['ETag'],
  },
  { name: 'HEAD of the copy', request: { method: 'HEAD', target: '/{bucket}/copy' }, headers: OBJECT },
  {
    name: 'CopyObject, metadata replaced',
    request: {
      method: 'PUT',
      target: '/{bucket}/copy',
      headers: {
        'x-amz-copy-source': '{bucket}/copy',
        'x-amz-metadata-directive': 'REPLACE',
        'x-amz-meta-mtime': '5',
      },
    },
    elements: ['ETag'],
  },
  {
    name: 'HEAD of the changed copy',
    request: { method: 'HEAD', target: '/{bucket}/copy' },
    headers: OBJECT,
  },
  {
    name: 'CopyObject onto itself, nothing changed',
    request: { method: 'PUT', target: '/{bucket}/copy', headers: { 'x-amz-copy-source': '/{bucket}/copy' } },
  },
  {
    name: 'CopyObject of an odd name',
    request: {
      method: 'PUT',
      target: '/{bucket}/copy2',
      headers: { 'x-amz-copy-source': '/{bucket}/a%2Bb' },
    },
    elements: ['ETag'],
  },
  {
    name: 'CopyObject of what is missing',
    request: {
      method: 'PUT',
      target: '/{bucket}/copy3',
      headers: { 'x-amz-copy-source': '/{bucket}/missing' },
    },
  },
  {
    name: 'CopyObject, source changed',
    request: {
      method: 'PUT',
      target: '/{bucket}/copy3',
      headers: {
        'x-amz-copy-source': '/{bucket}/copy',
        'x-amz-copy-source-if-match': '"00000000000000000000000000000000"',
      },
    },
    ...differs('Ceph looks for x-amz-copy-if-match, which no client sends', {
      status: ['412', '200'],
      code: ['PreconditionFailed', 'undefined'],
    }),
  },
  { name: 'clean up', request: { method: 'DELETE', target: '/{bucket}/copy3' } },

  { name: 'DeleteObject', request: { method: 'DELETE', target: '/{bucket}/copy2' } },
  { name: 'DeleteObject of what is missing', request: { method: 'DELETE', target: '/{bucket}/copy2' } },
  {
    name: 'DeleteObjects',
    request: xml(
      '/{bucket}?delete',
      '<Delete><Object><Key>copy</Key></Object><Object><Key>missing</Key></Object><Object><Key>a&amp;b=?#%</Key></Object></Delete>',
    ),
    elements: ['Key'],
    unordered: true,
  },
  {
    name: 'DeleteObjects, quiet',
    request: xml('/{bucket}?delete', '<Delete><Quiet>true</Quiet><Object><Key>fresh</Key></Object></Delete>'),
    elements: ['Key'],
  },
  {
    name: 'DeleteObjects without a checksum',
    request: xml('/{bucket}?delete', '<Delete><Object><Key>nothing</Key></Object></Delete>', { headers: {} }),
    ...differs('AWS: Content-MD5 or a checksum is required for DeleteObjects', {
      status: ['400', '200'],
      code: ['InvalidRequest', 'undefined'],
    }),
  },
  {
    name: 'DeleteObjects that is no XML',
    request: xml('/{bucket}?delete', '<Delete><Object>'),
    ...differs('Ceph sends an empty 400', { code: ['MalformedXML', 'undefined'] }),
  },
  { name: 'LIST after the deletes', request: get('/{bucket}?list-type=2'), elements: LISTED },

  {
    name: 'CreateMultipartUpload',
    request: {
      method: 'POST',
      target: '/{bucket}/multi?uploads',
      headers: { 'x-amz-meta-mtime': '7', 'content-type': 'text/plain' },
    },
    elements: ['Key'],
    remember: { name: 'upload', element: 'UploadId' },
  },
  {
    name: 'UploadPart 1',
    request: put('multi?partNumber=1&uploadId={upload}', 'a'.repeat(5 << 20)),
    headers: ['etag'],
  },
  {
    name: 'UploadPart 3',
    request: put('multi?partNumber=3&uploadId={upload}', 'b'.repeat(5 << 20)),
    headers: ['etag'],
  },
  {
    name: 'UploadPart with another Content-MD5',
    request: put('multi?partNumber=2&uploadId={upload}', 'tail', {
      headers: { 'content-md5': md5('other') },
    }),
  },
  { name: 'UploadPart of an unknown upload', request: put('multi?partNumber=1&uploadId=unknown', 'x') },
  {
    name: 'UploadPartCopy',
    request: {
      method: 'PUT',
      target: '/{bucket}/multi?partNumber=4&uploadId={upload}',
      headers: { 'x-amz-copy-source': '/{bucket}/chunked', 'x-amz-copy-source-range': 'bytes=0-99999' },
    },
    elements: ['ETag'],
  },
  {
    name: 'ListParts',
    request: get('/{bucket}/multi?uploadId={upload}'),
    elements: ['PartNumber', 'ETag', 'Size', 'IsTruncated', 'MaxParts'],
  },
  {
    name: 'ListParts, a page',
    request: get('/{bucket}/multi?max-parts=1&part-number-marker=1&uploadId={upload}'),
    elements: ['PartNumber', 'IsTruncated', 'NextPartNumberMarker'],
  },
  {
    name: 'ListMultipartUploads',
    request: get('/{bucket}?uploads'),
    elements: ['Key', 'IsTruncated', 'MaxUploads'],
  },
  {
    name: 'LIST does not show an upload',
    request: get('/{bucket}?list-type=2&prefix=multi'),
    elements: LISTED,
  },
  {
    name: 'Complete with a wrong ETag',
    request: complete('multi', [
      [1, 'x'],
      [3, B],
      [4, C],
    ]),
  },
  {
    name: 'Complete with a part that is missing',
    request: complete('multi', [
      [1, A],
      [3, B],
      [9, C],
    ]),
  },
  {
    name: 'Complete in the wrong order',
    request: complete('multi', [
      [3, B],
      [1, A],
      [4, C],
    ]),
    ...differs('Ceph sorts the parts itself', {
      status: ['400', '200'],
      code: ['InvalidPartOrder', 'undefined'],
    }),
  },
  { name: 'Complete without parts', request: complete('multi', []) },
  {
    name: 'Complete',
    request: complete('multi', [
      [1, A],
      [3, B],
      [4, C],
    ]),
    elements: ['Key', 'ETag'],
  },
  {
    name: 'HEAD of the multipart object',
    request: { method: 'HEAD', target: '/{bucket}/multi' },
    headers: OBJECT,
  },
  {
    name: 'GET across parts',
    request: get('/{bucket}/multi', { headers: { range: `bytes=${(5 << 20) - 2}-${(5 << 20) + 1}` } }),
    headers: OBJECT,
    bytes: true,
  },
  {
    name: 'GET part 3',
    request: get('/{bucket}/multi?partNumber=3'),
    headers: [...OBJECT, 'x-amz-mp-parts-count'],

    ...differs('this release of Ceph ignores partNumber', {
      status: ['206', '200'],
      'content-length': ['100000', '10585760'],
      'content-range': ['bytes 10485760-10585759/10585760', 'undefined'],
      'x-amz-mp-parts-count': ['3', 'undefined'],
    }),
  },
  {
    name: 'GET part 4 of 3',
    request: get('/{bucket}/multi?partNumber=4'),
    ...differs('this release of Ceph ignores partNumber', {
      status: ['416', '200'],
      code: ['InvalidPartNumber', 'undefined'],
    }),
  },
  { name: 'UploadPart after Complete', request: put('multi?partNumber=1&uploadId={upload}', 'x') },
  {
    name: 'Abort after Complete',
    request: { method: 'DELETE', target: '/{bucket}/multi?uploadId={upload}' },
  },
  {
    name: 'CopyObject of a multipart object',
    request: {
      method: 'PUT',
      target: '/{bucket}/whole',
      headers: { 'x-amz-copy-source': '/{bucket}/multi' },
    },
    elements: ['ETag'],
    ...differs('Ceph keeps the ETag of the parts, at AWS a copy is one object with an MD5', {
      '<ETag>': [
        hex('a'.repeat(5 << 20) + 'b'.repeat(5 << 20) + Buffer.alloc(100000, 'abc')),
        '59bbec28dab1822dfdfa44179d07ad73-3',
      ],
    }),
  },
  {
    name: 'CreateMultipartUpload for small parts',
    request: { method: 'POST', target: '/{bucket}/small?uploads' },
    remember: { name: 'upload', element: 'UploadId' },
  },
  { name: 'a small part 1', request: put('small?partNumber=1&uploadId={upload}', 'one') },
  { name: 'a small part 2', request: put('small?partNumber=2&uploadId={upload}', 'two') },
  {
    name: 'Complete with a small part before the last',
    request: complete('small', [
      [1, hex('one')],
      [2, hex('two')],
    ]),
  },
  {
    name: 'UploadPart 0',
    request: put('small?partNumber=0&uploadId={upload}', 'x'),
    ...differs('Ceph takes any part number; AWS: 1 to 10,000', {
      status: ['400', '200'],
      code: ['InvalidArgument', 'undefined'],
    }),
  },
  {
    name: 'UploadPart 10001',
    request: put('small?partNumber=10001&uploadId={upload}', 'x'),
    ...differs('Ceph takes any part number; AWS: 1 to 10,000', {
      status: ['400', '200'],
      code: ['InvalidArgument', 'undefined'],
    }),
  },
  {
    name: 'Complete with the second part alone',
    request: complete('small', [[2, hex('two')]]),
    ...differs('Ceph wants every part that was uploaded to be named', {
      status: ['200', '400'],
      code: ['undefined', 'InvalidPart'],
    }),
  },
  {
    name: 'Abort of that',
    request: { method: 'DELETE', target: '/{bucket}/small?uploadId={upload}' },
    ...differs('the step before completed it here', {
      status: ['404', '204'],
      code: ['NoSuchUpload', 'undefined'],
    }),
  },
  {
    name: 'CreateMultipartUpload to abort',
    request: { method: 'POST', target: '/{bucket}/aborted?uploads' },
    remember: { name: 'upload', element: 'UploadId' },
  },
  { name: 'Abort', request: { method: 'DELETE', target: '/{bucket}/aborted?uploadId={upload}' } },
  {
    name: 'ListParts after Abort',
    request: get('/{bucket}/aborted?uploadId={upload}'),
    ...differs(WORDS, { code: ['NoSuchUpload', 'NoSuchKey'] }),
  },
  {
    name: 'PUT in a storage class',
    request: put('cold', 'x', { headers: { 'x-amz-storage-class': 'STANDARD_IA' } }),
    headers: ['etag'],
  },
  {
    name: 'HEAD in a storage class',
    request: { method: 'HEAD', target: '/{bucket}/cold' },
    headers: ['x-amz-storage-class'],
  },
  {
    name: 'PUT in a storage class that is none',
    request: put('cold', 'x', { headers: { 'x-amz-storage-class': 'NONE_SUCH' } }),
    ...differs(WORDS, { code: ['InvalidStorageClass', 'InvalidArgument'] }),
  },
  { name: 'DeleteBucket that is not empty', request: { method: 'DELETE', target: '/{bucket}' } },
];

const VERSION = ['x-amz-delete-marker'];

/** Versions, in a bucket of its own. */
export const VERSION_STEPS: Step[] = [
  { name: 'CreateBucket', request: { method: 'PUT', target: '/{bucket}' } },
  { name: 'GetBucketVersioning, never set', request: get('/{bucket}?versioning'), elements: ['Status'] },
  { name: 'PUT before versioning', request: put('old', 'null version') },
  {
    name: 'PutBucketVersioning',
    request: {
      method: 'PUT',
      target: '/{bucket}?versioning',
      body: '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>',
    },
  },
  { name: 'GetBucketVersioning', request: get('/{bucket}?versioning'), elements: ['Status'] },
  {
    name: 'PUT over the null version',
    request: put('old', 'second'),
    remember: { name: 'second', header: 'x-amz-version-id' },
  },
  {
    name: 'GET the null version',
    request: get('/{bucket}/old?versionId=null'),
    headers: OBJECT,
    bytes: true,
  },
  { name: 'GET the newest', request: get('/{bucket}/old'), headers: OBJECT, bytes: true },
  {
    name: 'DELETE makes a marker',
    request: { method: 'DELETE', target: '/{bucket}/old' },
    headers: VERSION,
    remember: { name: 'marker', header: 'x-amz-version-id' },
  },
  {
    name: 'GET behind a marker',
    request: get('/{bucket}/old'),
    headers: VERSION,
    ...differs('Ceph does not say that a delete marker is in the way; AWS: Working with delete markers', {
      'x-amz-delete-marker': ['true', 'undefined'],
    }),
  },
  {
    name: 'HEAD behind a marker',
    request: { method: 'HEAD', target: '/{bucket}/old' },
    headers: VERSION,
    ...differs('Ceph does not say that a delete marker is in the way; AWS: Working with delete markers', {
      'x-amz-delete-marker': ['true', 'undefined'],
    }),
  },
  {
    name: 'GET of the marker',
    request: get('/{bucket}/old?versionId={marker}'),
    headers: VERSION,
    ...differs('Ceph does not say that a delete marker is in the way; AWS: Working with delete markers', {
      status: ['405', '404'],
      code: ['MethodNotAllowed', 'NoSuchKey'],
      'x-amz-delete-marker': ['true', 'undefined'],
    }),
  },
  {
    name: 'GET of a version behind the marker',
    request: get('/{bucket}/old?versionId={second}'),
    headers: OBJECT,
    bytes: true,
  },
  {
    name: 'DELETE of what never was',
    request: { method: 'DELETE', target: '/{bucket}/never' },
    headers: VERSION,
  },
  { name: 'LIST hides it', request: get('/{bucket}?list-type=2'), elements: LISTED },
  {
    name: 'LIST versions',
    request: get('/{bucket}?versions'),
    elements: ['Key', 'IsLatest', 'Size', 'ETag', 'IsTruncated'],
  },
  {
    name: 'LIST versions, a page',
    request: get('/{bucket}?max-keys=2&versions'),
    elements: ['Key', 'IsLatest', 'IsTruncated', 'NextKeyMarker'],
  },
  {
    name: 'LIST versions after a key',
    request: get('/{bucket}?key-marker=never&versions'),
    elements: ['Key', 'IsLatest'],
    ...differs(
      'a key marker without a version marker, which no page ever gives: Ceph begins with that key, here it is left out as in the other listings',
      {
        '<Key>': ['old | old | old', 'never | old | old | old'],
        '<IsLatest>': ['true | false | false', 'true | true | false | false'],
      },
    ),
  },
  {
    name: 'LIST versions after a version',
    request: get('/{bucket}?key-marker=old&version-id-marker={marker}&versions'),
    elements: ['Key', 'IsLatest', 'Size'],
  },
  {
    name: 'DELETE of the marker',
    request: { method: 'DELETE', target: '/{bucket}/old?versionId={marker}' },
    headers: VERSION,
  },
  { name: 'it is back', request: get('/{bucket}/old'), headers: OBJECT, bytes: true },
  {
    name: 'CopyObject of a version',
    request: {
      method: 'PUT',
      target: '/{bucket}/back',
      headers: { 'x-amz-copy-source': '/{bucket}/old?versionId=null' },
    },
    elements: ['ETag'],
  },
  {
    name: 'DELETE of a version',
    request: { method: 'DELETE', target: '/{bucket}/old?versionId={second}' },
    headers: VERSION,
  },
  { name: 'the null version is the newest', request: get('/{bucket}/old'), headers: OBJECT, bytes: true },
  {
    name: 'GET of the deleted version',
    request: get('/{bucket}/old?versionId={second}'),
    ...differs(WORDS, { code: ['NoSuchVersion', 'NoSuchKey'] }),
  },
  { name: 'DELETE of it again', request: { method: 'DELETE', target: '/{bucket}/old?versionId={second}' } },
  {
    name: 'suspend',
    request: {
      method: 'PUT',
      target: '/{bucket}?versioning',
      body: '<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>',
    },
  },
  { name: 'PUT while suspended', request: put('old', 'replaces the null version') },
  {
    name: 'LIST versions while suspended',
    request: get('/{bucket}?prefix=old&versions'),
    elements: ['Key', 'VersionId', 'IsLatest', 'Size'],
  },
  {
    name: 'DELETE while suspended',
    request: { method: 'DELETE', target: '/{bucket}/old' },
    headers: [...VERSION, 'x-amz-version-id'],
  },
  {
    name: 'LIST versions after that',
    request: get('/{bucket}?prefix=old&versions'),
    elements: ['Key', 'VersionId', 'IsLatest', 'Size'],
  },
  {
    name: 'PutBucketVersioning with nonsense',
    request: {
      method: 'PUT',
      target: '/{bucket}?versioning',
      body: '<VersioningConfiguration><Status>Perhaps</Status></VersioningConfiguration>',
    },
    ...differs(WORDS, { code: ['IllegalVersioningConfigurationException', 'InvalidArgument'] }),
  },
];
