import { randomBytes } from 'node:crypto';
import type { S3Request } from '../s3/server.js';

/** What an application key may do, and where. */
export interface B2KeyOptions {
  capabilities?: readonly string[];
  /** Names; undefined: all. */
  buckets?: readonly string[];
  prefix?: string;
  /** ms since the epoch. */
  expiresAt?: number;
  /** False: made before May 2020. */
  hasS3?: boolean;
}

export interface B2Key extends B2KeyOptions {
  applicationKeyId: string;
  applicationKey: string;
  capabilities: readonly string[];
}

/** "Application Key Capabilities": what the web page gives to a key that may read and write. */
export const ALL_CAPABILITIES = [
  'listBuckets',
  'listAllBucketNames',
  'readBuckets',
  'writeBuckets',
  'deleteBuckets',
  'listFiles',
  'readFiles',
  'writeFiles',
  'deleteFiles',
];

export function makeKey(options: B2KeyOptions): B2Key {
  return {
    ...options,
    // As they look at Backblaze: 25 digits, and 31 letters and digits.
    applicationKeyId: `004${randomBytes(11).toString('hex')}`,
    applicationKey: `K004${randomBytes(20).toString('base64url').slice(0, 27)}`,
    capabilities: options.capabilities ?? ALL_CAPABILITIES,
  };
}

/** "S3-Compatible App Keys": the capability each call needs. */
const NEEDS: Record<string, string> = {
  HeadBucket: 'listBuckets',
  GetBucketLocation: 'readBuckets',
  GetBucketVersioning: 'readBuckets',
  CreateBucket: 'writeBuckets',
  DeleteBucket: 'deleteBuckets',
  ListObjects: 'listFiles',
  ListObjectsV2: 'listFiles',
  ListObjectVersions: 'listFiles',
  ListMultipartUploads: 'listFiles',
  GetObject: 'readFiles',
  HeadObject: 'readFiles',
  PutObject: 'writeFiles',
  CopyObject: 'writeFiles',
  CreateMultipartUpload: 'writeFiles',
  UploadPart: 'writeFiles',
  UploadPartCopy: 'writeFiles',
  CompleteMultipartUpload: 'writeFiles',
  AbortMultipartUpload: 'writeFiles',
  ListParts: 'writeFiles',
  DeleteObjects: 'writeFiles',
};

const OF_BUCKETS = ['ListBuckets', 'HeadBucket', 'GetBucketLocation', 'GetBucketVersioning', 'CreateBucket'];

/** Whether `key` may send this request to the S3-compatible interface. */
export function allowsRequest(key: B2Key, request: S3Request): boolean {
  const may = (capability: string) => key.capabilities.includes(capability);
  const { operation, bucket } = request;
  // "If an app key is restricted to a bucket, the listAllBucketNames permission is required".
  if (operation === 'ListBuckets') {
    return may('listAllBucketNames') || (may('listBuckets') && key.buckets === undefined);
  }
  if (key.buckets !== undefined && !key.buckets.includes(bucket)) return false;
  if (!may(neededFor(request))) return false;
  const { prefix = '' } = key;
  if (prefix === '' || OF_BUCKETS.includes(operation) || operation === 'DeleteObjects') return true;
  const name = operation.startsWith('List') && request.key === '' ? request.query.get('prefix') : request.key;
  return name?.startsWith(prefix) === true;
}

/** "writeFiles is necessary when you delete a file by name, deleteFiles when you delete a specific version." */
function neededFor(request: S3Request): string {
  if (request.operation !== 'DeleteObject') return NEEDS[request.operation] ?? 'none';
  return request.query.has('versionId') ? 'deleteFiles' : 'writeFiles';
}
