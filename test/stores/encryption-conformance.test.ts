/** An encrypted store promises what every store does, whatever lies below it. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { createCipher } from '../../src/stores/encryption/cipher.js';
import { openLocalStore } from '../../src/stores/local.js';
import { MEMORY_FEATURES, openMemoryStore } from '../../src/stores/memory.js';
import { openS3Account } from '../../src/stores/s3.js';
import type { Account, StoreFeatures } from '../../src/stores/store.js';
import { encryptedStore } from '../../src/stores/wrap/encrypted.js';
import { conformanceSuite } from '../conformance/suite.js';
import type { MakeStore } from '../conformance/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';

/** The suite on stores of `make`, encrypted. */
function encryptedSuite(name: string, make: MakeStore): void {
  conformanceSuite(name, async (options) => {
    const cipher = await createCipher({ password: 'secret', salt: 'salt', filenameEncryption: true });
    const { store, reopen, missing, ...target } = await make(options);
    return {
      ...target,
      store: encryptedStore(store, cipher),
      reopen: () => encryptedStore(reopen(), cipher),
      missing: missing === undefined ? undefined : () => encryptedStore(missing(), cipher),
    };
  });
}

function memory(features: Partial<StoreFeatures>): MakeStore {
  return async ({ versioned = false }) => {
    const store = openMemoryStore({ features, versioned, archiveClasses: ['GLACIER'] });
    return {
      store,
      reopen: () => store.reopen(),
      missing: () => openMemoryStore({ features, missing: true }),
      archive: { storageClass: 'GLACIER', finishThaw: async (key) => store.finishThaw(key) },
      dispose: async () => {},
    };
  };
}

encryptedSuite('memory, encrypted', memory({}));
encryptedSuite(
  'memory with parts in order, encrypted',
  memory({
    hashes: [],
    versions: false,
    upload: { ...MEMORY_FEATURES.upload, sequential: true, maxParallelParts: 1 },
  }),
);
encryptedSuite('local folder, encrypted', async () => {
  const root = mkdtempSync(join(tmpdir(), 'cloud-sync-encrypted-'));
  return {
    store: openLocalStore(root),
    reopen: () => openLocalStore(root),
    missing: () => openLocalStore(join(root, 'missing')),
    dispose: async () => rmSync(root, { recursive: true, force: true }),
  };
});

describe('S3, encrypted', () => {
  let server: S3Server;
  let buckets = 0;
  before(async () => {
    server = await startS3Server({ port: 0, region: 'eu-test-1' });
  });
  after(() => server.stop());

  encryptedSuite('strict S3 server, encrypted', async ({ versioned = false }) => {
    const bucket = `encrypted-${++buckets}`;
    const accounts: Account[] = [];
    const open = () => {
      const account = openS3Account(
        { endpoint: server.url, region: server.region },
        { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey },
        {},
        { retryPolicy: { baseDelayMs: 10, attempts: 4 } },
      );
      accounts.push(account);
      return account;
    };
    await open().createBucket(bucket);
    if (versioned) await enableVersions(server, bucket);
    return {
      store: accounts[0]!.openStore(bucket),
      reopen: () => open().openStore(bucket),
      missing: () => open().openStore(`${bucket}-missing`),
      archive: {
        storageClass: 'GLACIER',
        finishThaw: async () => server.clock.advance(6 * 3600_000),
      },
      dispose: async () => {
        for (const account of accounts) await account.close();
      },
    };
  });
});

/** Through a client that isn't ours: turning versions on is nothing a store offers. */
async function enableVersions(server: S3Server, bucket: string): Promise<void> {
  const { accessKeyId, secretAccessKey, url, region } = server;
  const credentials = { accessKeyId, secretAccessKey };
  const client = new S3Client({ endpoint: url, region, forcePathStyle: true, credentials });
  const VersioningConfiguration = { Status: 'Enabled' } as const;
  await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }));
  client.destroy();
}
