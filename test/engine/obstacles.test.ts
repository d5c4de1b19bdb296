import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { CloudSyncError } from '../../src/errors.js';
import { openDropboxAccount } from '../../src/stores/dropbox.js';
import { openMemoryStore } from '../../src/stores/memory.js';
import { startDropboxServer } from '../servers/dropbox/server.js';
import {
  type Bench,
  putObject,
  readFolders,
  readStore,
  readTree,
  removeFolder,
  runOnce,
  temporaryFolder,
  writeTree,
} from './support.js';

describe('what stands in the way at the destination', () => {
  let bench: Bench;
  const pull = { direction: 'pull', prefix: 'p/' } as const;

  beforeEach(() => {
    const folder = temporaryFolder();
    bench = { folder, localRoot: join(folder, 'local'), remote: openMemoryStore() };
  });

  afterEach(() => removeFolder(bench.folder));

  it('is not told as transferred where it had to be put back', async () => {
    writeTree(bench.localRoot, { a: 'was a file', 'b/x': '1' });
    await putObject(bench.remote, 'p/a/x', 'new');
    await putObject(bench.remote, 'p/b', 'now a file');
    await putObject(bench.remote, 'p/other', 'arrives');
    const open = bench.remote.open.bind(bench.remote);
    let opened = 0;
    bench.remote.open = async (key, options) => {
      if (key === 'p/b' && ++opened > 1) throw new CloudSyncError('IO_ERROR', 'cut off');
      return open(key, options);
    };
    const result = await runOnce(bench, pull);
    assert.deepEqual(readTree(bench.localRoot), { a: 'was a file', 'b/x': '1', other: 'arrives' });
    assert.deepEqual([result.transferred.files, result.deleted], [1, 0]);
    const told = result.log.filter(({ event }) => event === 'transfer').map(({ path }) => path);
    assert.deepEqual(told, ['other']);
  });

  it('gives way to an empty folder', async () => {
    writeTree(bench.localRoot, { a: 'was a file', z: 'z' });
    await bench.remote.createFolder('p/a');
    await putObject(bench.remote, 'p/z', 'z');
    const result = await runOnce(bench, { ...pull, createEmptySrcDirs: true });
    assert.deepEqual([result.errors, result.deleted], [[], 1]);
    assert.deepEqual(readFolders(bench.localRoot), ['a']);
  });

  it('keeps one folder from being made and nothing else from arriving', async () => {
    writeTree(bench.localRoot, { a: 'was a file' });
    await bench.remote.createFolder('p/a');
    await putObject(bench.remote, 'p/z', 'z');
    const result = await runOnce(bench, { ...pull, transferMode: 'copy', createEmptySrcDirs: true });
    assert.deepEqual(
      result.errors.map(({ code, path }) => [code, path]),
      [['OBSTRUCTED', 'a']],
    );
    assert.deepEqual(readTree(bench.localRoot), { a: 'was a file', z: 'z' });
  });

  it('is not removed where the listing of the source only failed to show it', async () => {
    writeTree(bench.localRoot, { 'b/x': 'the only copy', z: 'z' });
    await putObject(bench.remote, 'p/b', 'a file of this name too');
    await putObject(bench.remote, 'p/b/x', 'newer');
    await putObject(bench.remote, 'p/z', 'z');
    const { list } = bench.remote;
    bench.remote.list = async function* (options) {
      for await (const page of list.call(bench.remote, options)) {
        yield page.filter(({ key }) => key !== 'p/b/x');
      }
    };
    const result = await runOnce(bench, pull);
    assert.deepEqual([result.codes, result.deleted], [['OBSTRUCTED'], 0]);
    assert.equal(readTree(bench.localRoot)['b/x'], 'the only copy');
  });

  it('is named where the listing of the source only failed to show it', async () => {
    writeTree(bench.localRoot, { x: 'x', z: 'z' });
    await putObject(bench.remote, 'p/x', 'x');
    await putObject(bench.remote, 'p/z', 'z');
    const { list } = bench.remote;
    bench.remote.list = async function* (options) {
      for await (const page of list.call(bench.remote, options)) {
        yield page.filter(({ key }) => key !== 'p/x');
      }
    };
    const result = await runOnce(bench, pull);
    assert.equal(result.deleted, 0);
    assert.deepEqual(
      result.warnings.map(({ code, path }) => [code, path]),
      [['SOURCE_INCOMPLETE', 'x']],
    );
  });
});

describe('what stands in the way in Dropbox, with a backup folder', () => {
  it('is kept, whatever revision it has once it was set aside', async () => {
    const server = await startDropboxServer({ port: 0 });
    const { refreshToken, appKey } = server;
    const account = openDropboxAccount({ endpoint: server.url }, { refreshToken, appKey }, {});
    const folder = temporaryFolder();
    const bench = { folder, localRoot: join(folder, 'local'), remote: account.openStore('') };
    try {
      const settings = { prefix: 'p/', backup: { prefix: 'kept/' } };
      writeTree(bench.localRoot, { a: 'was a file', z: 'z' });
      await runOnce(bench, settings);
      rmSync(join(bench.localRoot, 'a'));
      writeTree(bench.localRoot, { 'a/b': 'in a folder' });
      const result = await runOnce(bench, settings);
      assert.deepEqual([result.errors, result.deleted], [[], 1]);
      assert.deepEqual(Object.values(await readStore(bench.remote, 'kept/')), ['was a file']);
      assert.equal((await readStore(bench.remote, 'p/'))['a/b'], 'in a folder');
    } finally {
      await account.close();
      await server.stop();
      removeFolder(folder);
    }
  });
});
