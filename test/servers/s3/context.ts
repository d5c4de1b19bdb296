import type { BlobFolder } from './blobs.js';
import type { ReceivedBody } from './body.js';
import type { Bucket } from './buckets.js';
import type { Clock } from './clock.js';
import type { RequestFaults } from './faults.js';
import type { S3Request } from './request.js';
import { s3Error } from './s3-error.js';

/** What the server is made of, as the operations see it. */
export interface ServerState {
  readonly clock: Clock;
  readonly blobs: BlobFolder;
  readonly buckets: Map<string, Bucket>;
  readonly region: string;
  readonly secure: boolean;
  /** Bytes a part has at least, but for the last one. */
  readonly minPartSize: number;
  /** ms until an archived object is readable, instead of the hours of the tier. */
  readonly thawMs: number | undefined;
  readonly listPageSize: number;
}

/** What an operation is given. */
export interface Context {
  readonly state: ServerState;
  readonly request: S3Request;
  readonly faults: RequestFaults;
  /** Undefined for operations without one. */
  readonly body: ReceivedBody | undefined;
}

/** The bucket of the request; NoSuchBucket where there is none. */
export function bucketOf(context: Context): Bucket {
  const { bucket } = context.request;
  const found = context.state.buckets.get(bucket);
  if (found === undefined) throw s3Error('NoSuchBucket', { details: { BucketName: bucket } });
  return found;
}

/** The body as bytes; for documents. */
export function documentOf(context: Context): Buffer {
  const { body } = context;
  if (body === undefined) return Buffer.alloc(0);
  const bytes = Buffer.from(body.blob.read(0, body.size));
  return bytes;
}
