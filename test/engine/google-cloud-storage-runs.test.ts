/** The engine on Google Cloud Storage (strict server): the main job, what a second run asks, resuming, damage, history. */

import assert from 'node:assert/strict';
import { readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCipher } from '../../src/stores/encryption/cipher.js';
import { openGoogleCloudStorageAccount } from '../../src/stores/google-cloud-storage.js';
import type { Account } from '../../src/stores/store.js';
import { pseudoRandomBytes } from '../conformance/support.js';
import {
  type GoogleCloudStorageServer,
  startGoogleCloudStorageServer,
} from '../servers/google-cloud-storage/server.js';
import { type Bench, readTree, removeFolder, runOnce, temporaryFolder, writeTree } from './support.js';

const MIB = 1024 * 1024;

describe('runs on Google Cloud Storage (strict server)', function () {
  this.timeout(60_000);
  let server: GoogleCloudStorageServer;
  let account: Account;
  let bench: Bench;

  before(async () => {
    server = await startGoogleCloudStorageServer({ port: 0 });
  });
  after(() => server?.stop());
  beforeEach(() => {
    server.buckets.clear();
    server.createBucket('runs');
    server.requests.reset();
    account = openGoogleCloudStorageAccount(
      { endpoint: server.url },
      { serviceAccountKey: server.serviceAccountKey },
      { options: { chunkSize: 4 } },
      { retryPolicy: { baseDelayMs: 10 } },
    );
    const folder = temporaryFolder();
    bench = { folder, localRoot: join(folder, 'local'), remote: account.openStore('runs') };
  });
  afterEach(async () => {
    server.faults.clear();
    await account.close();
    removeFolder(bench.folder);
  });

  const many = (count: number): Record<string, string> =>
    Object.fromEntries(
      Array.from({ length: count }, (_, index) => [`many/${index % 7}/ü ${index}.txt`, `content ${index}`]),
    );
  const restore = async (options = {}): Promise<Bench> => {
    const restored = { ...bench, localRoot: join(bench.folder, 'restored') };
    const pulled = await runOnce(restored, { direction: 'pull', transferMode: 'copy', ...options });
    assert.deepEqual(pulled.errors, []);
    return restored;
  };
  const sessionBytes = () =>
    server.requests.log
      .filter(({ kind }) => kind === 'session.put')
      .reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);

  it('back up, find the changes, and restore every byte, a request per small file', async () => {
    const tree = { ...many(60), empty: '', '📷/．．/x': 'odd', 'a\\b': 'backslash', 'new\nline': 'line' };
    writeTree(bench.localRoot, tree);
    assert.deepEqual((await runOnce(bench, { prefix: 'backup/' })).errors, []);
    assert.equal(server.requests.counts['objects.insert'], 64);
    writeFileSync(join(bench.localRoot, 'many/1/ü 1.txt'), 'changed');
    rmSync(join(bench.localRoot, 'many/2/ü 2.txt'));
    const second = await runOnce(bench, { prefix: 'backup/' });
    assert.deepEqual([second.errors, second.transferred.files, second.deleted], [[], 1, 1]);
    server.requests.reset();
    const restored = await restore({ prefix: 'backup/' });
    assert.deepEqual(readTree(restored.localRoot), readTree(bench.localRoot));
    assert.equal(server.requests.counts['objects.download'], 63);
    assert.equal(server.requests.counts['objects.get'] ?? 0, 0);
  });

  it('ask for pages of the listing alone when nothing has changed, with and without an index', async () => {
    writeTree(bench.localRoot, many(2000));
    await runOnce(bench);
    for (const withIndex of [true, false]) {
      server.requests.reset();
      const again = await runOnce(bench, { withIndex });
      assert.deepEqual([again.transferred.files, again.checked], [0, 2000]);
      assert.deepEqual(server.requests.counts, { 'objects.list': 2 });
    }
  });

  it('pass a changed time on without a new version, and rename without sending a byte', async () => {
    server.buckets.get('runs')!.versioning = true;
    writeTree(bench.localRoot, { touched: 'same', 'old/name': 'moved' });
    await runOnce(bench);
    utimesSync(join(bench.localRoot, 'touched'), 1_650_000_000, 1_650_000_000);
    renameSync(join(bench.localRoot, 'old'), join(bench.localRoot, 'new'));
    server.requests.reset();
    const again = await runOnce(bench);
    assert.deepEqual([again.errors, again.transferred.files], [[], 0]);
    assert.equal(server.requests.counts['objects.insert'] ?? 0, 0);
    assert.equal(server.requests.counts['objects.rewrite'], 1);
    assert.equal((await bench.remote.head('touched'))?.modificationTime, 1_650_000_000_000_000_000n);
    assert.equal(server.buckets.get('runs')!.objects.get('touched')!.length, 1);
  });

  for (const isEncrypted of [false, true]) {
    const what = isEncrypted ? 'an encrypted upload' : 'an upload';
    it(`take up ${what} that was stopped, without sending a byte again`, async () => {
      const size = 24 * MIB;
      if (isEncrypted) bench.cipher = await createCipher({ password: 'secret', filenameEncryption: true });
      writeTree(bench.localRoot, {});
      writeFileSync(join(bench.localRoot, 'large'), pseudoRandomBytes(size));
      utimesSync(join(bench.localRoot, 'large'), 1_600_000_000, 1_600_000_000);
      const controller = new AbortController();
      const abort = () => controller.abort();
      server.faults.add({ kind: 'session.put', skip: 2, action: { type: 'edit-answer', edit: abort } });
      await runOnce(bench, { signal: controller.signal }).catch(() => {});
      server.faults.clear();
      const before = sessionBytes();
      assert.ok(before >= size / 2 && before < size, `${before} of ${size} bytes were sent`);
      server.requests.reset();
      const second = await runOnce(bench);
      assert.deepEqual(second.errors, []);
      assert.equal(server.requests.counts['session.start'] ?? 0, 0);
      const stored = [...server.buckets.get('runs')!.objects.values()][0]![0]!.bytes.length;
      assert.equal(before + sessionBytes(), stored);
      const restored = await restore();
      const local = readFileSync(join(bench.localRoot, 'large'));
      assert.ok(readFileSync(join(restored.localRoot, 'large')).equals(local));
    });
  }

  it('begin an upload anew where the file was changed in between', async () => {
    const size = 20 * MIB;
    const large = join(bench.localRoot, 'large');
    writeTree(bench.localRoot, {});
    writeFileSync(large, pseudoRandomBytes(size));
    const controller = new AbortController();
    server.faults.add({
      kind: 'session.put',
      action: { type: 'edit-answer', edit: () => controller.abort() },
    });
    await runOnce(bench, { signal: controller.signal }).catch(() => {});
    server.faults.clear();
    const edited = pseudoRandomBytes(size, 2);
    writeFileSync(large, edited);
    assert.deepEqual((await runOnce(bench)).errors, []);
    assert.ok(server.buckets.get('runs')!.live('large')!.bytes.equals(edited));
    assert.equal(server.requests.counts['session.cancel'], 1);
  });

  it('send and fetch again what was damaged on its way, small and large', async () => {
    writeTree(bench.localRoot, { small: 'small' });
    writeFileSync(join(bench.localRoot, 'large'), pseudoRandomBytes(17 * MIB));
    for (const kind of ['objects.insert', 'session.put'] as const) {
      server.faults.add({ kind, times: 1, action: { type: 'corrupt-request', offset: 3 } });
    }
    assert.deepEqual((await runOnce(bench)).errors, []);
    for (const key of ['small', 'large']) {
      server.faults.add({
        kind: 'objects.download',
        key,
        times: 1,
        action: { type: 'corrupt-answer', offset: 3 },
      });
    }
    const restored = await restore();
    assert.deepEqual(readTree(restored.localRoot), readTree(bench.localRoot));
  });

  it('verify by the hashes the service computed', async () => {
    writeTree(bench.localRoot, { same: 'content', damaged: 'content', composed: 'content' });
    await runOnce(bench);
    const bucket = server.buckets.get('runs')!;
    const { metadata } = bucket.live('same')!;
    bucket.put('damaged', { metadata }, Buffer.from('CONTENT'), Date.now());
    bucket.put('composed', { metadata }, Buffer.from('content'), Date.now(), 2);
    server.requests.reset();
    const { findings } = await runOnce(bench, {
      withIndex: false,
      verify: { method: 'checksum', sample: 100 },
    });
    assert.deepEqual([findings?.matched, findings?.differs, findings?.unverifiable], [2, ['damaged'], []]);
    assert.deepEqual(server.requests.counts, { 'objects.list': 1 });
  });

  it('give back what was there before everything was overwritten or deleted', async () => {
    server.buckets.get('runs')!.versioning = true;
    writeTree(bench.localRoot, many(40));
    await runOnce(bench);
    const good = readTree(bench.localRoot);
    const asOf = Date.now();
    server.clockOffsetMs = 60_000;
    for (const [index, path] of Object.keys(good).entries()) {
      if (index % 4 === 0) await bench.remote.delete({ key: path });
      else await bench.remote.write(path, { size: 1, bytes: Buffer.from('!'), async *read() {} });
    }
    server.clockOffsetMs = 0;
    const restored = await restore({ asOf });
    assert.deepEqual(readTree(restored.localRoot), good);
  });
});
