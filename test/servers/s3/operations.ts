import { header, type S3Request } from './request.js';
import { notImplemented, s3Error } from './s3-error.js';

const CHECKSUMS = [
  'x-amz-checksum-crc32',
  'x-amz-checksum-crc32c',
  'x-amz-checksum-crc64nvme',
  'x-amz-checksum-sha1',
  'x-amz-checksum-sha256',
];
const BODY = ['x-amz-decoded-content-length', 'x-amz-trailer', 'x-amz-sdk-checksum-algorithm', ...CHECKSUMS];
const ENCRYPTION = [
  'x-amz-server-side-encryption',
  'x-amz-server-side-encryption-aws-kms-key-id',
  'x-amz-server-side-encryption-bucket-key-enabled',
  'x-amz-server-side-encryption-context',
];
const CUSTOMER_KEY = [
  'x-amz-server-side-encryption-customer-algorithm',
  'x-amz-server-side-encryption-customer-key',
  'x-amz-server-side-encryption-customer-key-md5',
];
const ATTRIBUTES = ['x-amz-acl', 'x-amz-storage-class', ...ENCRYPTION, ...CUSTOMER_KEY];
const READ = [
  'range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'x-amz-checksum-mode',
  ...CUSTOMER_KEY,
];
const RESPONSE = [
  'response-cache-control',
  'response-content-disposition',
  'response-content-encoding',
  'response-content-language',
  'response-content-type',
  'response-expires',
];
const COPY_SOURCE = [
  'x-amz-copy-source',
  'x-amz-copy-source-if-match',
  'x-amz-copy-source-if-none-match',
  'x-amz-copy-source-if-modified-since',
  'x-amz-copy-source-if-unmodified-since',
];

interface OperationRule {
  /** Query parameters it takes, beyond those of signing and `x-id`. */
  query: readonly string[];
  /** `x-amz-` and conditional headers it takes, beyond those of every request; `x-amz-meta-*` where `metadata`. */
  headers: readonly string[];
  metadata?: true;
  /** `none`: a request with a body is refused. */
  body: 'none' | 'document' | 'object';
}

/** What each operation of the API reference takes here; all else is refused. */
export const OPERATIONS = {
  ListBuckets: {
    query: ['max-buckets', 'continuation-token', 'prefix', 'bucket-region'],
    headers: [],
    body: 'none',
  },
  CreateBucket: { query: [], headers: ['x-amz-acl', ...BODY], body: 'document' },
  HeadBucket: { query: [], headers: [], body: 'none' },
  DeleteBucket: { query: [], headers: [], body: 'none' },
  GetBucketLocation: { query: ['location'], headers: [], body: 'none' },
  GetBucketVersioning: { query: ['versioning'], headers: [], body: 'none' },
  PutBucketVersioning: { query: ['versioning'], headers: BODY, body: 'document' },
  ListObjects: {
    query: ['prefix', 'delimiter', 'marker', 'max-keys', 'encoding-type'],
    headers: ['x-amz-optional-object-attributes'],
    body: 'none',
  },
  ListObjectsV2: {
    query: [
      'list-type',
      'prefix',
      'delimiter',
      'start-after',
      'continuation-token',
      'max-keys',
      'encoding-type',
      'fetch-owner',
    ],
    headers: ['x-amz-optional-object-attributes'],
    body: 'none',
  },
  ListObjectVersions: {
    query: [
      'versions',
      'prefix',
      'delimiter',
      'key-marker',
      'version-id-marker',
      'max-keys',
      'encoding-type',
    ],
    headers: ['x-amz-optional-object-attributes'],
    body: 'none',
  },
  ListMultipartUploads: {
    query: [
      'uploads',
      'prefix',
      'delimiter',
      'key-marker',
      'upload-id-marker',
      'max-uploads',
      'encoding-type',
    ],
    headers: [],
    body: 'none',
  },
  DeleteObjects: { query: ['delete'], headers: BODY, body: 'document' },
  GetObject: { query: ['versionId', 'partNumber', ...RESPONSE], headers: READ, body: 'none' },
  HeadObject: { query: ['versionId', 'partNumber', ...RESPONSE], headers: READ, body: 'none' },
  GetObjectAttributes: {
    query: ['attributes', 'versionId'],
    headers: ['x-amz-object-attributes', 'x-amz-max-parts', 'x-amz-part-number-marker'],
    body: 'none',
  },
  PutObject: {
    query: [],
    headers: ['if-match', 'if-none-match', ...ATTRIBUTES, ...BODY],
    metadata: true,
    body: 'object',
  },
  CopyObject: {
    query: [],
    headers: [
      'if-match',
      'if-none-match',
      ...ATTRIBUTES,
      ...COPY_SOURCE,
      'x-amz-metadata-directive',
      'x-amz-tagging-directive',
      'x-amz-checksum-algorithm',
    ],
    metadata: true,
    body: 'none',
  },
  DeleteObject: { query: ['versionId'], headers: ['if-match'], body: 'none' },
  RestoreObject: { query: ['restore', 'versionId'], headers: BODY, body: 'document' },
  CreateMultipartUpload: {
    query: ['uploads'],
    headers: [...ATTRIBUTES, 'x-amz-checksum-algorithm', 'x-amz-checksum-type'],
    metadata: true,
    body: 'none',
  },
  UploadPart: { query: ['uploadId', 'partNumber'], headers: [...CUSTOMER_KEY, ...BODY], body: 'object' },
  UploadPartCopy: {
    query: ['uploadId', 'partNumber'],
    headers: [...COPY_SOURCE, 'x-amz-copy-source-range'],
    body: 'none',
  },
  CompleteMultipartUpload: {
    query: ['uploadId'],
    headers: ['if-match', 'if-none-match', 'x-amz-checksum-type', 'x-amz-mp-object-size', ...BODY],
    body: 'document',
  },
  AbortMultipartUpload: { query: ['uploadId'], headers: [], body: 'none' },
  ListParts: { query: ['uploadId', 'max-parts', 'part-number-marker'], headers: [], body: 'none' },
} as const satisfies Record<string, OperationRule>;

export type Operation = keyof typeof OPERATIONS;

/** Which operation a request asks for; NotImplemented or MethodNotAllowed where none of those above. */
export function identifyOperation(request: S3Request): Operation {
  const { method, bucket, key, query } = request;
  const has = (name: string) => query.has(name);
  if (bucket === '') {
    if (method === 'GET') return 'ListBuckets';
    throw s3Error('MethodNotAllowed');
  }
  if (key === '') {
    switch (method) {
      case 'GET':
        if (has('location')) return 'GetBucketLocation';
        if (has('versioning')) return 'GetBucketVersioning';
        if (has('versions')) return 'ListObjectVersions';
        if (has('uploads')) return 'ListMultipartUploads';
        return has('list-type') ? 'ListObjectsV2' : 'ListObjects';
      case 'PUT':
        return has('versioning') ? 'PutBucketVersioning' : 'CreateBucket';
      case 'HEAD':
        return 'HeadBucket';
      case 'DELETE':
        return 'DeleteBucket';
      case 'POST':
        if (has('delete')) return 'DeleteObjects';
    }
    throw s3Error('MethodNotAllowed');
  }
  const copies = header(request, 'x-amz-copy-source') !== undefined;
  switch (method) {
    case 'GET':
      if (has('uploadId')) return 'ListParts';
      return has('attributes') ? 'GetObjectAttributes' : 'GetObject';
    case 'HEAD':
      return 'HeadObject';
    case 'PUT':
      if (has('uploadId') || has('partNumber')) return copies ? 'UploadPartCopy' : 'UploadPart';
      return copies ? 'CopyObject' : 'PutObject';
    case 'POST':
      if (has('uploads')) return 'CreateMultipartUpload';
      if (has('uploadId')) return 'CompleteMultipartUpload';
      if (has('restore')) return 'RestoreObject';
      break;
    case 'DELETE':
      return has('uploadId') ? 'AbortMultipartUpload' : 'DeleteObject';
  }
  throw s3Error('MethodNotAllowed');
}

const SIGNING_QUERY = new Set([
  'X-Amz-Algorithm',
  'X-Amz-Credential',
  'X-Amz-Date',
  'X-Amz-Expires',
  'X-Amz-Security-Token',
  'X-Amz-SignedHeaders',
  'X-Amz-Signature',
  'X-Amz-Content-Sha256',
]);
const EVERYWHERE = new Set([
  'x-amz-date',
  'x-amz-content-sha256',
  'x-amz-security-token',
  'x-amz-user-agent',
]);
const CONDITIONAL = new Set([
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'range',
]);

const allowed = new Map(
  Object.entries(OPERATIONS).map(([operation, rule]) => [
    operation,
    {
      query: new Set<string>(rule.query),
      headers: new Set<string>(rule.headers),
      metadata: 'metadata' in rule,
    },
  ]),
);

/** Refuses what the operation doesn't take: nothing is ignored silently. */
export function refuseUnknown(request: S3Request, operation: Operation): void {
  const rule = allowed.get(operation)!;
  for (const [name, value] of request.query) {
    if (rule.query.has(name) || SIGNING_QUERY.has(name)) continue;
    // The SDKs name the operation in `x-id`.
    if (name === 'x-id' && value === operation) continue;
    // SDKs may send signed headers as query parameters in presigned URLs; they would have to be understood.
    throw s3Error('NotImplemented', {
      message: `This server does not know the query parameter ${name} for ${operation}`,
      details: { Parameter: name },
    });
  }
  for (const name in request.incoming.headers) {
    if (name.startsWith('x-amz-')) {
      if (rule.headers.has(name) || EVERYWHERE.has(name)) continue;
      if (rule.metadata && name.startsWith('x-amz-meta-')) continue;
      throw notImplemented(name);
    }
    if (CONDITIONAL.has(name) && !rule.headers.has(name)) throw notImplemented(name);
  }
}
