import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { CloudSyncError } from '../../src/errors.js';
import { createCipher } from '../../src/stores/encryption/cipher.js';
import { openLocalStore } from '../../src/stores/local.js';
import { openMemoryStore } from '../../src/stores/memory.js';
import { openS3Account } from '../../src/stores/s3.js';
import type { PendingUpload, Store } from '../../src/stores/store.js';
import { until } from '../runner/support.js';
import { startS3Server } from '../servers/s3/server.js';
import { type Bench, readStore, removeFolder, runOnce, temporaryFolder, writeTree } from './support.js';

const LARGE = 'x'.repeat(9 * 1024 * 1024);

async function pending(store: Store): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.pendingUploads('')) keys.push(key);
  return keys;
}

describe('what an interrupted run leaves', () => {
  let bench: Bench;

  beforeEach(() => {
    const folder = temporaryFolder();
    bench = { folder, localRoot: join(folder, 'local'), remote: openMemoryStore() };
  });

  afterEach(() => removeFolder(bench.folder));

  for (const encrypted of [false, true]) {
    it(`is removed, although the answer that named it never came: ${encrypted ? 'encrypted' : 'plain'}`, async () => {
      if (encrypted) bench.cipher = await createCipher({ password: 'secret', filenameEncryption: false });
      const { remote } = bench;
      // Another program's upload of the same file, begun long before.
      const now = Date.now;
      Date.now = () => now() - 3_600_000;
      await remote.createUpload(encrypted ? 'large.bin' : 'large', 10_000_000);
      Date.now = now;
      writeTree(bench.localRoot, { large: LARGE });
      const create = remote.createUpload.bind(remote);
      const controller = new AbortController();
      remote.createUpload = async (...parameters) => {
        await create(...parameters);
        controller.abort();
        throw new CloudSyncError('ABORTED', 'Stopped before the end');
      };
      await runOnce(bench, { signal: controller.signal });
      assert.equal((await pending(remote)).length, 2);
      remote.createUpload = create;
      const next = await runOnce(bench);
      assert.deepEqual([next.errors, next.transferred.files], [[], 1]);
      assert.equal((await pending(remote)).length, 1, "only the other program's is left");
      if (!encrypted) assert.equal((await readStore(remote)).large, LARGE);
    });
  }

  it('is removed from a local disk too', async () => {
    mkdirSync(join(bench.localRoot, 'a'), { recursive: true });
    const store = openLocalStore(bench.localRoot);
    await store.createUpload('a/large', 100_000_000);
    const begun: PendingUpload[] = [];
    for await (const upload of store.pendingUploads('a/large')) begun.push(upload);
    assert.equal(begun.length, 1);
    await store.abortUpload!(begun[0]!);
    assert.deepEqual(readdirSync(join(bench.localRoot, 'a')), []);
    await store.abortUpload!(begun[0]!);
  });

  it('is removed by the clock of the server, whatever the one here says', async () => {
    const server = await startS3Server({ buckets: ['uploads'] });
    server.clock.advance(-3_600_000);
    const { url: endpoint, region, accessKeyId, secretAccessKey } = server;
    const account = openS3Account(
      { endpoint, region },
      { accessKeyId, secretAccessKey },
      { patience: { attempts: 1, connectTimeoutMs: 5_000, silenceMs: 5_000 } },
    );
    try {
      bench.remote = account.openStore('uploads');
      writeTree(bench.localRoot, { large: 'x'.repeat(bench.remote.features.upload.threshold) });
      const controller = new AbortController();
      server.faults.add({
        operation: 'CreateMultipartUpload',
        times: 1,
        match: () => {
          controller.abort();
          return true;
        },
        action: { type: 'drop-answer' },
      });
      await runOnce(bench, { signal: controller.signal });
      await until(() => server.objects.pendingUploads('uploads').length === 1, 'the upload that was begun');
      const next = await runOnce(bench);
      assert.deepEqual([next.errors, next.transferred.files], [[], 1]);
      assert.deepEqual(server.objects.pendingUploads('uploads'), []);
    } finally {
      await account.close();
      await server.stop();
    }
  });
});
