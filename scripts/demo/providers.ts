/** Where the demo backs up to, on loopback. */

import { startS3Server } from '../../test/servers/s3/server.js';
import type { Kept } from './sample.js';

export interface DemoProvider {
  /** Properties and secrets of the `cloud-credential` node. */
  credential: { config: Record<string, unknown>; secrets: Record<string, string> };
  bucket: string;
  /** What the provider itself can't keep of a file; default: it keeps all. */
  keeps?: Kept;
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

async function b2(): Promise<DemoProvider> {
  const { startB2Server } = await import('../../test/servers/b2/server.js');
  const server = await startB2Server();
  server.createBucket('backups');
  const { applicationKeyId, applicationKey } = server.addKey();
  return {
    credential: {
      config: { provider: 'b2', endpoint: server.url },
      secrets: { applicationKeyId, applicationKey },
    },
    bucket: 'backups',
    stop: () => server.stop(),
  };
}

async function azureBlob(): Promise<DemoProvider> {
  const { startAzurite } = await import('../../test/servers/azurite.js');
  const { openAzureBlobAccount } = await import('../../src/stores/azure-blob.js');
  const { endpoint, accountName, accountKey, stop } = await startAzurite();
  const config = { provider: 'azure-blob', endpoint, accountName };
  const account = openAzureBlobAccount(config, { accountKey }, {});
  await account.createBucket('backups');
  await account.close();
  return { credential: { config, secrets: { accountKey } }, bucket: 'backups', stop };
}

async function googleCloudStorage(): Promise<DemoProvider> {
  const { startGoogleCloudStorageServer } = await import('../../test/servers/google-cloud-storage/server.js');
  const server = await startGoogleCloudStorageServer({ port: 0 });
  server.createBucket('backups');
  return {
    credential: {
      config: { provider: 'google-cloud-storage', endpoint: server.url },
      secrets: { serviceAccountKey: server.serviceAccountKey },
    },
    bucket: 'backups',
    stop: () => server.stop(),
  };
}

async function dropbox(): Promise<DemoProvider> {
  const { startDropboxServer } = await import('../../test/servers/dropbox/server.js');
  const server = await startDropboxServer({ port: 0 });
  return {
    credential: {
      config: { provider: 'dropbox', endpoint: server.url },
      secrets: { appKey: server.appKey, refreshToken: server.refreshToken },
    },
    bucket: '',
    // https://www.dropbox.com/developers/documentation/http/documentation#files-upload: client_modified in seconds; names in NFC.
    keeps: { timeStepMs: 1_000, normalizesNames: true },
    stop: () => server.stop(),
  };
}

export const DEMO_PROVIDERS: Record<string, () => Promise<DemoProvider>> = {
  s3,
  b2,
  'azure-blob': azureBlob,
  'google-cloud-storage': googleCloudStorage,
  dropbox,
};
