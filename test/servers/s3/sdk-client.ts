import * as sdk from '@aws-sdk/client-s3';
import type { S3Server } from './server.js';

/** The AWS SDK's client for `server`, without retries of its own. */
export function clientOf(server: S3Server, more: Partial<sdk.S3ClientConfig> = {}): sdk.S3Client {
  const { url, region, accessKeyId, secretAccessKey } = server;
  return new sdk.S3Client({
    endpoint: url,
    region,
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: { accessKeyId, secretAccessKey },
    ...more,
  });
}

/** Resolves to the error's name; the SDK takes it from `<Code>`, or from the status where there is no body. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    const { name, $metadata } = error as sdk.S3ServiceException;
    return `${$metadata?.httpStatusCode} ${name}`;
  }
  return 'no error';
}
