/** The engine on Azure Blob Storage (azurite): the main job, what a second run asks, resuming, and what verify can tell. */

import assert from 'node:assert/strict';
import { readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';
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
  let vendor: BlobServiceClient;
  let account: Account;
  let bench: Bench;
  let containers = 0;
  let requests: string[] = [];

  before(async () => {
    azurite = await startAzurite();
    proxy = await startFaultProxy(azurite.endpoint);
    vendor = new BlobServiceClient(
      `${azurite.endpoint}/${azurite.accountName}`,
      new StorageSharedKeyCredential(azurite.accountName, azurite.accountKey),
    );
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

  it('verify by the hashes that the service computed, and by nothing that was only claimed', async () => {
    writeTree(bench.localRoot, { same: 'content', swapped: 'content', damaged: 'content' });
    const time = '2020-09-13T12:26:40.000000000Z';
    await runOnce(bench);
    const container = vendor.getContainerClient(`runs-${containers}`);
    await container.getBlockBlobClient('damaged').upload('CONTENT', 7, { metadata: { mtime: time } });
    // The body swapped, MD5 and metadata kept: Azure believes what it is told about blobs made of blocks.
    const blob = container.getBlockBlobClient('swapped');
    const { contentMD5 } = await blob.getProperties();
    const id = Buffer.from('1').toString('base64');
    await blob.stageBlock(id, 'CONTENT', 7);
    await blob.commitBlockList([id], {
      blobHTTPHeaders: { blobContentMD5: contentMD5! },
      metadata: { mtime: time },
    });

    const { findings } = await runOnce(bench, {
      withIndex: false,
      verify: { method: 'checksum', sample: 100 },
    });
    assert.deepEqual(
      [findings?.matched, findings?.differs, findings?.unverifiable],
      [1, ['damaged'], ['swapped']],
    );
    const read = await runOnce(bench, { withIndex: false, verify: { method: 'download', sample: 100 } });
    assert.deepEqual([read.findings?.matched, read.findings?.differs.sort()], [1, ['damaged', 'swapped']]);
  });

  it('pass a changed time on, but not to an archived blob', async () => {
    writeTree(bench.localRoot, { ice: 'ice', warm: 'warm' });
    await runOnce(bench);
    await vendor.getContainerClient(`runs-${containers}`).getBlobClient('ice').setAccessTier('Archive');
    for (const name of ['ice', 'warm']) utimesSync(join(bench.localRoot, name), 1_650_000_000, 1_650_000_000);
    requests = [];
    const touched = await runOnce(bench);
    assert.deepEqual([touched.errors, touched.transferred.files], [[], 0]);
    assert.equal(requests.filter((kind) => kind === 'PUT').length, 1);
    assert.equal((await bench.remote.head('warm'))?.modificationTime, 1_650_000_000_000_000_000n);
    assert.equal((await bench.remote.head('ice'))?.archive, 'frozen');
  });

  it('take up an upload that was stopped, without sending a block again', async () => {
    const size = 112 * MIB;
    const block = 8 * MIB;
    const inFlight = 4 * block;
    writeTree(bench.localRoot, {});
    writeFileSync(join(bench.localRoot, 'large'), pseudoRandomBytes(size));
    utimesSync(join(bench.localRoot, 'large'), 1_600_000_000, 1_600_000_000);
    const sent = () =>
      proxy.requests
        .filter((request) => request.url.includes('comp=block&'))
        .reduce((total, request) => total + request.bodySize, 0);
    const controller = new AbortController();
    proxy.requests.length = 0;
    let arrived = 0;
    proxy.rule = ({ url, bodySize }) => {
      if (!url.includes('comp=block&')) return undefined;
      // One block more than half, because the last answer may not have been read yet.
      if (arrived > size / 2) controller.abort();
      const editAnswer = (bytes: Buffer) => {
        arrived += bodySize;
        return bytes;
      };
      return { editAnswer };
    };
    await runOnce(bench, { signal: controller.signal }).catch(() => {});
    proxy.rule = undefined;
    const before = sent();
    assert.ok(before < size, 'it was finished before it could be stopped');
    proxy.requests.length = 0;
    const second = await runOnce(bench);
    assert.deepEqual(second.errors, []);
    assert.ok(before + sent() <= size + inFlight, `${before} and ${sent()} of ${size} bytes were sent`);
    assert.ok(sent() <= size * 0.55, `${sent()} of ${size} bytes were sent again`);
    const restored = { ...bench, localRoot: join(bench.folder, 'restored') };
    const pulled = await runOnce(restored, { direction: 'pull', transferMode: 'copy' });
    assert.deepEqual(pulled.errors, []);
    const local = readFileSync(join(bench.localRoot, 'large'));
    assert.ok(readFileSync(join(restored.localRoot, 'large')).equals(local));
  });
});
