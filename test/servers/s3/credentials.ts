import type { S3Request } from './request.js';

/** An access key and what it may do. */
export interface Credential {
  accessKeyId: string;
  secretAccessKey: string;
  /** Where set, requests have to carry it (`x-amz-security-token`). */
  sessionToken?: string;
  /** ms since the epoch by the server's clock: from then on ExpiredToken. */
  expiresAt?: number;
  /** False: this request is AccessDenied. Default: everything is allowed. */
  allows?: (request: S3Request) => boolean;
}

/** The actions of IAM that the operations need ("Actions, resources, and condition keys for Amazon S3"). */
export function denyOperations(...operations: string[]): (request: S3Request) => boolean {
  return (request) => !operations.includes(request.operation);
}
