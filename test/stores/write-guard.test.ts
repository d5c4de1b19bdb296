/** No provider sends a request that changes something without the consent of the guard; reading needs none. */

import assert from 'node:assert/strict';
import { CloudSyncError } from '../../src/errors.js';
import { openAzureBlobAccount } from '../../src/stores/azure-blob.js';
import { contentOfBytes } from '../../src/stores/content.js';
import { openDropboxAccount } from '../../src/stores/dropbox.js';
import { openGoogleCloudStorageAccount } from '../../src/stores/google-cloud-storage.js';
import { openS3Account } from '../../src/stores/s3.js';
import type { Account, AccountContext, Store, WriteGuard } from '../../src/stores/store.js';
import { startAzurite } from '../servers/azurite.js';
import { startDropboxServer } from '../servers/dropbox/server.js';
import { startGoogleCloudStorageServer } from '../servers/google-cloud-storage/server.js';
import { startS3Server } from '../servers/s3/server.js';

const LARGE = 20 * 1024 * 1024;

interface Place {
  bucket: string;
  open(context: AccountContext): Account;
  stop(): Promise<void>;
}

const PLACES: Record<string, () => Promise<Place>> = {
  async S3() {
    const server = await startS3Server({ buckets: ['b'] });
    const { url, region, accessKeyId, secretAccessKey } = server;
    const config = { endpoint: url, region };
    const open = (context: AccountContext) =>
      openS3Account(config, { accessKeyId, secretAccessKey }, context);
    return { bucket: 'b', open, stop: () => server.stop() };
  },
  async 'Azure Blob Storage'() {
    const { endpoint, accountName, accountKey, stop } = await startAzurite();
    const config = { endpoint: `${endpoint}/${accountName}`, accountName };
    const open = (context: AccountContext) => openAzureBlobAccount(config, { accountKey }, context);
    const account = open({});
    await account.createBucket('bucket');
    await account.close();
    return { bucket: 'bucket', open, stop };
  },
  async 'Google Cloud Storage'() {
    const server = await startGoogleCloudStorageServer({ port: 0 });
    server.createBucket('bucket');
    const { url, serviceAccountKey } = server;
    const open = (context: AccountContext) =>
      openGoogleCloudStorageAccount({ endpoint: url }, { serviceAccountKey }, context);
    return { bucket: 'bucket', open, stop: () => server.stop() };
  },
  async Dropbox() {
    const server = await startDropboxServer({ port: 0 });
    const { url, refreshToken, appKey } = server;
    const open = (context: AccountContext) =>
      openDropboxAccount({ endpoint: url }, { refreshToken, appKey }, context);
    return { bucket: '', open, stop: () => server.stop() };
  },
};

/** Allows or refuses what it is asked for. */
class Guard implements WriteGuard {
  isValid = true;
  asked = 0;

  confirm(): Promise<void> | undefined {
    this.asked++;
    return this.isValid ? undefined : Promise.reject(new CloudSyncError('BUSY', 'not now'));
  }
}

describe('a guard over what is changed', () => {
  for (const [name, start] of Object.entries(PLACES)) {
    it(`is asked by each request that changes something: ${name}`, async function () {
      this.timeout(60_000);
      const place = await start();
      const guard = new Guard();
      const account = place.open({ guard });
      try {
        const store = account.openStore(place.bucket);
        await store.check();
        const content = contentOfBytes(Buffer.from('content'));
        await store.write('a', content);
        await store.write('b', content);
        assert.ok(guard.asked >= 2);

        guard.isValid = false;
        const object = (await store.head('a'))!;
        const before = await keysOf(store);
        const changes: Record<string, () => Promise<unknown>> = {
          write: () => store.write('a', contentOfBytes(Buffer.from('other'))),
          // Azure's begin with their first part.
          upload: async () => {
            const upload = await store.createUpload('c', LARGE);
            await upload.sendPart(1, contentOfBytes(Buffer.alloc(Math.min(upload.state.partSize, LARGE))));
          },
          delete: () => store.delete({ key: 'a' }),
          deleteMany: async () => {
            const outcomes = await store.deleteMany([{ key: 'a' }, { key: 'b' }]);
            for (const { error } of outcomes) if (error !== undefined) throw error;
          },
          copy: () => store.copy('a', 'd', { size: object.size }),
        };
        for (const [what, change] of Object.entries(changes)) {
          await assert.rejects(change(), { code: 'BUSY' }, what);
        }
        assert.deepEqual(await keysOf(store), before);
        assert.equal((await store.head('a'))!.etag, object.etag);
        guard.isValid = true;
        await store.delete({ key: 'a' });
        assert.deepEqual(await keysOf(store), ['b']);
      } finally {
        await account.close();
        await place.stop();
      }
    });
  }

  it('is asked once more when the connection is there: what it allowed before may have waited for that', async () => {
    const place = await PLACES.S3!();
    // Valid when it is asked, not any more when the request is about to go out.
    let looks = 0;
    const guard: WriteGuard = {
      confirm: () => undefined,
      get isValid() {
        return ++looks > 1;
      },
    };
    const retries: string[] = [];
    const account = place.open({ guard, onRetry: ({ code }) => retries.push(code) });
    try {
      await account.openStore('b').write('a', contentOfBytes(Buffer.from('content')));
      assert.deepEqual(retries, ['BUSY']);
    } finally {
      await account.close();
      await place.stop();
    }
  });
});

async function keysOf(store: Store): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of store.list()) keys.push(...page.map(({ key }) => key));
  return keys.sort();
}
