/** Where the demo backs up to, on loopback. */

import { startS3Server } from '../../test/servers/s3/server.js';

export interface DemoProvider {
  /** Properties and secrets of the `cloud-credential` node. */
  credential: { config: Record<string, unknown>; secrets: Record<string, string> };
  bucket: string;
  stop(): Promise<void>;
}

async function s3(): Promise<DemoProvider> {
  const server = await startS3Server({ port: 0, buckets: ['backups'] });
  return {
    credential: {
      config: { provider: 's3', endpoint: server.url, region: 'us-east-1', forcePathStyle: true },
      secrets: { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey },
    },
    bucket: 'backups',
    stop: () => server.stop(),
  };
}

export const DEMO_PROVIDERS: Record<string, () => Promise<DemoProvider>> = { s3 };
