import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { CloudSyncError } from '../../src/errors.js';
import { createCipher } from '../../src/stores/encryption/cipher.js';
import { openLocalStore } from '../../src/stores/local.js';
import { openS3Account } from '../../src/stores/s3.js';
import type { Account, PendingUpload, Store } from '../../src/stores/store.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { until } from '../until.js';
import {
  type Bench,
  memoryBench,
  type RunOptions,
  readStore,
  removeFolder,
  runOnce,
  temporaryFolder,
  writeTree,
} from './support.js';

const LARGE = 'x'.repeat(9 * 1024 * 1024);

async function pending(store: Store): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.pendingUploads('')) keys.push(key);
  return keys;
}

describe('what an interrupted run leaves', () => {
  let bench: Bench;

  beforeEach(() => {
    bench = memoryBench();
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

describe('an upload on S3', () => {
  let server: S3Server;
  let account: Account;
  let bench: Bench;

  beforeEach(async () => {
    server = await startS3Server({ buckets: ['uploads'] });
    const { url: endpoint, region, accessKeyId, secretAccessKey } = server;
    account = openS3Account(
      { endpoint, region },
      { accessKeyId, secretAccessKey },
      { patience: { attempts: 1, connectTimeoutMs: 5_000, silenceMs: 5_000 } },
      { copyLimits: { single: 1_000, part: 5_000_000 } },
    );
    const folder = temporaryFolder();
    bench = { folder, localRoot: join(folder, 'local'), remote: account.openStore('uploads') };
  });

  afterEach(async () => {
    removeFolder(bench.folder);
    await account.close();
    await server.stop();
  });

  const CONTENT = 'x'.repeat(2_000);
  const CHANGES: { what: string; change: (root: string) => void; options?: RunOptions }[] = [
    { what: 'for a renamed file', change: (root) => renameSync(join(root, 'old'), join(root, 'new')) },
    {
      what: 'for a new time',
      change: (root) => writeTree(root, { old: CONTENT }, 1_700_000_000),
    },
    {
      what: 'for the backup folder',
      change: (root) => writeTree(root, { old: 'edited' }, 1_700_000_000),
      options: { prefix: 'data/', backup: { prefix: 'kept/' } },
    },
  ];

  for (const { what, change, options } of CHANGES) {
    it(`that copied in parts is removed by the next run: ${what}`, async () => {
      writeTree(bench.localRoot, { old: CONTENT });
      assert.deepEqual((await runOnce(bench, options)).errors, []);
      change(bench.localRoot);
      const controller = new AbortController();
      server.faults.add({
        operation: 'UploadPartCopy',
        match: () => {
          controller.abort();
          return true;
        },
        action: { type: 'error', status: 500, code: 'InternalError' },
      });
      // As if the process had been killed: nobody cleans up.
      server.faults.add({
        operation: 'AbortMultipartUpload',
        action: { type: 'error', status: 500, code: 'InternalError' },
      });
      await runOnce(bench, { ...options, signal: controller.signal });
      await until(() => server.objects.pendingUploads('uploads').length === 1, 'an upload that is left');
      server.faults.clear();
      const next = await runOnce(bench, options);
      assert.deepEqual(next.errors, []);
      assert.deepEqual(server.objects.pendingUploads('uploads'), []);
    });
  }
});
