/** The engine on Dropbox (its strict fake): the main job, what a second run asks, resuming, renames, restores of a day. */

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openDropboxAccount } from '../../src/stores/dropbox.js';
import { createCipher } from '../../src/stores/encryption/cipher.js';
import type { Account } from '../../src/stores/store.js';
import { pseudoRandomBytes } from '../conformance/support.js';
import { type DropboxServer, startDropboxServer } from '../servers/dropbox/server.js';
import {
  type Bench,
  editQuietly,
  readTree,
  removeFolder,
  runOnce,
  temporaryFolder,
  writeTree,
} from './support.js';

const MIB = 1024 * 1024;
const QUICK = { retry: { attempts: 5, baseDelayMs: 1, maxDelayMs: 5, maxRetryAfterMs: 60_000 } };
const APPEND = 'files/upload_session/append_v2';

describe('runs on Dropbox', function () {
  this.timeout(60_000);
  let server: DropboxServer;
  let accounts: Account[] = [];
  let bench: Bench;

  /** As a new process would open it. */
  const openStore = () => {
    const account = openDropboxAccount(
      { endpoint: server.url },
      { refreshToken: server.refreshToken, appKey: server.appKey },
      { options: { chunkSize: 5 } },
      QUICK,
    );
    accounts.push(account);
    return account.openStore('');
  };

  beforeEach(async () => {
    server = await startDropboxServer({ port: 0 });
    const folder = temporaryFolder();
    bench = { folder, localRoot: join(folder, 'local'), remote: openStore() };
  });
  afterEach(async () => {
    for (const account of accounts) await account.close();
    accounts = [];
    await server.stop();
    removeFolder(bench.folder);
  });

  const many = (count: number): Record<string, string> =>
    Object.fromEntries(
      Array.from({ length: count }, (_, index) => [
        `Many/${index % 7}/\u00fc ${index}.txt`,
        `content ${index}`,
      ]),
    );

  it('back up, find the changes, and restore every byte', async () => {
    const tree = {
      ...many(60),
      empty: '',
      '\u{1f4f7}/\uff0e\uff0e/x': 'odd',
      'a\\b': 'backslash',
      'end ': 'space',
    };
    writeTree(bench.localRoot, tree);
    assert.deepEqual((await runOnce(bench, { prefix: 'Backup/' })).errors, []);
    writeFileSync(join(bench.localRoot, 'Many/1/\u00fc 1.txt'), 'changed');
    editQuietly(join(bench.localRoot, 'Many/3/\u00fc 3.txt'), 'CONTENT 3');
    rmSync(join(bench.localRoot, 'Many/2/\u00fc 2.txt'));
    const second = await runOnce(bench, { prefix: 'Backup/' });
    assert.deepEqual(second.errors, []);
    assert.equal(second.transferred.files, 2);
    assert.equal(second.deleted, 1);
    const restored = { ...bench, localRoot: join(bench.folder, 'restored') };
    const pulled = await runOnce(restored, { prefix: 'backup/', direction: 'pull', transferMode: 'copy' });
    assert.deepEqual(pulled.errors, []);
    assert.deepEqual(readTree(restored.localRoot), readTree(bench.localRoot));
    assert.equal(Object.keys(readTree(restored.localRoot)).length, 63);
  });

  it('ask for the pages of the listing alone when nothing has changed, with and without an index', async () => {
    writeTree(bench.localRoot, many(2000));
    await runOnce(bench);
    for (const withIndex of [true, false]) {
      server.resetCounts();
      const again = await runOnce(bench, { withIndex });
      assert.equal(again.transferred.files, 0);
      assert.equal(again.checked, 2000);
      assert.deepEqual(server.counts, { 'files/list_folder': 1, 'files/list_folder/continue': 1 });
    }
  });

  it('verify by content_hash without reading anything back', async () => {
    writeTree(bench.localRoot, { same: 'content', swapped: 'content' });
    await runOnce(bench);
    server.tree.put('/swapped', Buffer.from('CONTENT'), 1_600_000_000_000);
    server.resetCounts();
    const { findings } = await runOnce(bench, {
      withIndex: false,
      verify: { method: 'checksum', sample: 100 },
    });
    assert.deepEqual([findings?.matched, findings?.differs, findings?.unverifiable], [1, ['swapped'], []]);
    assert.equal(server.counts['files/download'], undefined);
  });

  for (const isEncrypted of [false, true]) {
    it(`send nothing again of what arrived before they were stopped${isEncrypted ? ', encrypted' : ''}`, async () => {
      const content = pseudoRandomBytes(20 * MIB);
      mkdirSync(bench.localRoot);
      writeFileSync(join(bench.localRoot, 'large'), content);
      const cipher = isEncrypted
        ? await createCipher({ password: 'p', filenameEncryption: false })
        : undefined;
      const mine: Bench = cipher === undefined ? bench : { ...bench, cipher };
      const controller = new AbortController();
      server.faults.add({ route: APPEND, skip: 2, times: 1, action: { type: 'stall' } });
      const stopped = runOnce(mine, { signal: controller.signal });
      while ((server.counts[APPEND] ?? 0) < 3) await new Promise((resolve) => setTimeout(resolve, 5));
      controller.abort();
      await stopped;
      server.resetCounts();
      const resumed = await runOnce({ ...mine, remote: openStore() });
      assert.deepEqual(resumed.errors, []);
      const sent = server.bodyBytes(APPEND);
      assert.ok(sent < 0.65 * content.length && sent > 0, `${sent} bytes`);
      const restored = { ...mine, localRoot: join(bench.folder, 'restored') };
      await runOnce(restored, { direction: 'pull', transferMode: 'copy' });
      assert.ok(readFileSync(join(restored.localRoot, 'large')).equals(content));
    });
  }

  it('copy at Dropbox what was renamed here', async () => {
    writeTree(bench.localRoot, many(30));
    await runOnce(bench);
    renameSync(join(bench.localRoot, 'Many'), join(bench.localRoot, 'Renamed'));
    server.resetCounts();
    const run = await runOnce(bench);
    assert.deepEqual(run.errors, []);
    assert.equal(server.counts['files/copy_v2'], 30);
    assert.equal(server.bodyBytes('files/upload', 'files/upload_session/start'), 0);
    assert.equal(server.tree.find('/Renamed/1/\u00fc 1.txt')?.kind, 'file');
    assert.equal(server.tree.find('/Many/1/\u00fc 1.txt'), undefined);
  });

  it('report names that Dropbox takes for one and transfer none of them', async () => {
    writeTree(bench.localRoot, {
      Photo: 'upper',
      photo: 'lower',
      'caf\u00e9': '1',
      'cafe\u0301': '2',
      other: 'x',
    });
    const run = await runOnce(bench);
    assert.deepEqual(new Set(run.codes), new Set(['COLLISION']));
    assert.deepEqual(
      [...server.tree.nodes.values()].map(({ display }) => display),
      ['/other'],
    );
  });

  it('turn a file into a folder and back', async () => {
    writeTree(bench.localRoot, { a: 'file', 'b/x': 'folder', keep: '1' });
    await runOnce(bench);
    rmSync(join(bench.localRoot, 'a'));
    rmSync(join(bench.localRoot, 'b'), { recursive: true });
    writeTree(bench.localRoot, { 'a/x': 'folder now', b: 'file now' });
    const run = await runOnce(bench);
    assert.deepEqual(run.errors, []);
    const restored = { ...bench, localRoot: join(bench.folder, 'restored') };
    await runOnce(restored, { direction: 'pull', transferMode: 'copy' });
    assert.deepEqual(readTree(restored.localRoot), { 'a/x': 'folder now', b: 'file now', keep: '1' });
  });

  it('go on past content that Dropbox does not hand out, and never delete or miss it', async () => {
    writeTree(bench.localRoot, { film: 'x', photo: 'y' });
    await runOnce(bench);
    server.tree.find('/film')!.history[0]!.isRestricted = true;
    server.tree.put('/note.paper', Buffer.from('z'), 1_600_000_000_000).history[0]!.isDownloadable = false;
    const restored = { ...bench, localRoot: join(bench.folder, 'restored') };
    const pulled = await runOnce(restored, { direction: 'pull', transferMode: 'copy' });
    assert.deepEqual(
      pulled.errors.map(({ code, path }) => `${path} ${code}`),
      ['film RESTRICTED_CONTENT'],
    );
    assert.deepEqual(
      pulled.warnings.map(({ code, path }) => `${path} ${code}`),
      ['note.paper NOT_SUPPORTED'],
    );
    assert.deepEqual(readTree(restored.localRoot), { photo: 'y' });
    const pushed = await runOnce(bench);
    assert.equal(pushed.deleted, 0);
    assert.ok(server.tree.find('/note.paper'));
  });

  it('bring back a day before everything was overwritten', async () => {
    const tree = many(40);
    writeTree(bench.localRoot, tree);
    await runOnce(bench);
    const good = Math.max(
      ...[...server.tree.nodes.values()].map(({ history }) => history[0]?.serverModified ?? 0),
    );
    server.advance(24 * 3600_000);
    for (const [key, node] of [...server.tree.nodes]) {
      if (node.kind === 'file') server.tree.put(key, Buffer.from('ENCRYPTED'), 1_700_000_000_000);
    }
    server.tree.remove('/Many/3');
    server.tree.put('/ransom note', Buffer.from('pay'), 1_700_000_000_000);
    // The access token is of the day before.
    const restored = { ...bench, remote: openStore(), localRoot: join(bench.folder, 'restored') };
    const pulled = await runOnce(restored, { direction: 'pull', transferMode: 'copy', asOf: good + 60_000 });
    assert.deepEqual(pulled.errors, []);
    assert.deepEqual(readTree(restored.localRoot), tree);
  });
});
