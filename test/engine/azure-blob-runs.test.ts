/** The engine on Azure Blob Storage (azurite): the main job, what a second run asks, resuming, and what verify can tell. */

import assert from 'node:assert/strict';
import { readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openAzureBlobAccount } from '../../src/stores/azure-blob.js';
import type { Account } from '../../src/stores/store.js';
import { pseudoRandomBytes } from '../conformance/support.js';
import { type Azurite, startAzurite } from '../servers/azurite.js';
import { type FaultProxy, startFaultProxy } from '../servers/fault-proxy.js';
import { type Bench, readTree, removeFolder, runOnce, temporaryFolder, writeTree } from './support.js';

const MIB = 1024 * 1024;

describe('runs on Azure Blob Storage (azurite)', function () {
  this.timeout(60_000);
  let azurite: Azurite;
  let proxy: FaultProxy;
  let account: Account;
  let bench: Bench;
  let containers = 0;
  let requests: string[] = [];

  before(async () => {
    azurite = await startAzurite();
    proxy = await startFaultProxy(azurite.endpoint);
  });
  after(async () => {
    await proxy?.stop();
    await azurite?.stop();
  });
  beforeEach(async () => {
    account = openAzureBlobAccount(
      { accountName: azurite.accountName, endpoint: proxy.endpoint },
      { accountKey: azurite.accountKey },
      { onRequest: (kind) => requests.push(kind) },
    );
    containers += 1;
    await account.createBucket(`runs-${containers}`);
    const folder = temporaryFolder();
    bench = { folder, localRoot: join(folder, 'local'), remote: account.openStore(`runs-${containers}`) };
    requests = [];
  });
  afterEach(async () => {
    proxy.rule = undefined;
    await account.close();
    removeFolder(bench.folder);
  });

  const many = (count: number): Record<string, string> =>
    Object.fromEntries(
      Array.from({ length: count }, (_, index) => [`many/${index % 7}/ü ${index}.txt`, `content ${index}`]),
    );

  it('back up, find the changes, and restore every byte', async () => {
    const tree = { ...many(60), empty: '', '📷/．．/x': 'odd', 'a\\b': 'backslash', 'dot.': 'dot' };
    writeTree(bench.localRoot, tree);
    assert.deepEqual((await runOnce(bench, { prefix: 'backup/' })).errors, []);
    writeFileSync(join(bench.localRoot, 'many/1/ü 1.txt'), 'changed');
    rmSync(join(bench.localRoot, 'many/2/ü 2.txt'));
    const second = await runOnce(bench, { prefix: 'backup/' });
    assert.deepEqual(second.errors, []);
    assert.equal(second.transferred.files, 1);
    assert.equal(second.deleted, 1);
    const restored = { ...bench, localRoot: join(bench.folder, 'restored') };
    const pulled = await runOnce(restored, { prefix: 'backup/', direction: 'pull', transferMode: 'copy' });
    assert.deepEqual(pulled.errors, []);
    assert.deepEqual(readTree(restored.localRoot), readTree(bench.localRoot));
    assert.equal(Object.keys(readTree(restored.localRoot)).length, 63);
  });

  it('ask for pages of the listing alone when nothing has changed, with and without an index', async () => {
    writeTree(bench.localRoot, many(300));
    await runOnce(bench);
    for (const withIndex of [true, false]) {
      requests = [];
      const again = await runOnce(bench, { withIndex });
      assert.equal(again.transferred.files, 0);
      assert.equal(again.checked, 300);
      assert.ok(requests.length <= 4, requests.join());
      assert.ok(requests.every((kind) => kind === 'LIST' || kind === 'HEAD'));
    }
  });

  it('take up an upload that was stopped, without sending a block again', async () => {
    const size = 40 * MIB;
    writeTree(bench.localRoot, {});
    writeFileSync(join(bench.localRoot, 'large'), pseudoRandomBytes(size));
    utimesSync(join(bench.localRoot, 'large'), 1_600_000_000, 1_600_000_000);
    const sent = () =>
      proxy.requests
        .filter((request) => request.url.includes('comp=block&'))
        .reduce((total, request) => total + request.bodySize, 0);
    const controller = new AbortController();
    proxy.requests.length = 0;
    proxy.rule = () => {
      if (sent() >= size / 2) controller.abort();
      return undefined;
    };
    await runOnce(bench, { signal: controller.signal }).catch(() => {});
    proxy.rule = undefined;
    const before = sent();
    assert.ok(before < size, 'it was finished before it could be stopped');
    proxy.requests.length = 0;
    const second = await runOnce(bench);
    assert.deepEqual(second.errors, []);
    assert.ok(before + sent() <= size * 1.3, `${before} and ${sent()} of ${size} bytes were sent`);
    assert.ok(sent() <= size * 0.55, `${sent()} of ${size} bytes were sent again`);
    const restored = { ...bench, localRoot: join(bench.folder, 'restored') };
    const pulled = await runOnce(restored, { direction: 'pull', transferMode: 'copy' });
    assert.deepEqual(pulled.errors, []);
    const local = readFileSync(join(bench.localRoot, 'large'));
    assert.ok(readFileSync(join(restored.localRoot, 'large')).equals(local));
  });
});
