import { randomBytes } from 'node:crypto';
import { header, type S3Request } from './request.js';
import { invalidArgument, s3Error } from './s3-error.js';

const PREFIX = 'x-amz-server-side-encryption';
const KMS_KEY = 'arn:aws:kms:us-east-1:123456789012:key/aws-s3-default';

/** Refuses customer keys over plain HTTP, as S3 does; this server has no support for them over HTTPS. */
export function refuseCustomerKeys(request: S3Request, secure: boolean): void {
  if (header(request, `${PREFIX}-customer-algorithm`) === undefined) return;
  if (secure) throw s3Error('NotImplemented', { details: { Header: `${PREFIX}-customer-algorithm` } });
  throw s3Error('InvalidRequest', {
    message:
      'Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection.',
  });
}

/** The encryption of a new object as headers of its answers; AES256 where nothing is said, as since January 2023. */
export function encryptionOf(request: S3Request, secure: boolean): Record<string, string> {
  refuseCustomerKeys(request, secure);
  const algorithm = header(request, PREFIX) ?? 'AES256';
  const key = header(request, `${PREFIX}-aws-kms-key-id`);
  const bucketKey = header(request, `${PREFIX}-bucket-key-enabled`);
  if (algorithm === 'AES256') {
    if (key !== undefined) {
      throw invalidArgument(
        PREFIX,
        algorithm,
        'Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms',
      );
    }
    return { [PREFIX]: algorithm };
  }
  if (algorithm !== 'aws:kms' && algorithm !== 'aws:kms:dsse')
    throw s3Error('InvalidEncryptionAlgorithmError');
  const answer: Record<string, string> = {
    [PREFIX]: algorithm,
    [`${PREFIX}-aws-kms-key-id`]: key ?? KMS_KEY,
  };
  if (bucketKey !== undefined) answer[`${PREFIX}-bucket-key-enabled`] = bucketKey;
  return answer;
}

/** "The ETag ... Objects encrypted by SSE-C or SSE-KMS have ETags that are not an MD5 digest of their object data." */
export function etagFor(encryption: Record<string, string>, md5: string): string {
  return encryption[PREFIX] === 'AES256' ? md5 : randomBytes(16).toString('hex');
}
