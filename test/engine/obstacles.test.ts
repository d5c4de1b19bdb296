import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CloudSyncError } from '../../src/errors.js';
import { openDropboxAccount } from '../../src/stores/dropbox.js';
import { createCipher } from '../../src/stores/encryption/cipher.js';
import { openLocalStore } from '../../src/stores/local.js';
import { startDropboxServer } from '../servers/dropbox/server.js';
import {
  type Bench,
  memoryBench,
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
    bench = memoryBench();
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

  it('is not removed where a file in it came from a key that no name maps to', async () => {
    await putObject(bench.remote, 'p/a/../x', 'from an odd key');
    await putObject(bench.remote, 'p/z', 'z');
    assert.deepEqual((await runOnce(bench, pull)).errors, []);
    const pulled = { 'a/．．/x': 'from an odd key', z: 'z' };
    assert.deepEqual(readTree(bench.localRoot), pulled);
    await putObject(bench.remote, 'p/a', 'a file of this name too');
    const result = await runOnce(bench, pull);
    assert.deepEqual([result.codes, result.deleted], [['OBSTRUCTED'], 0]);
    assert.deepEqual(readTree(bench.localRoot), pulled);
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

describe('what stood in the way when a run was cut off', () => {
  for (const encrypted of [false, true]) {
    for (const form of ['file', 'folder', 'file with a long name'] as const) {
      it(`is removed by the next one: a ${form}, ${encrypted ? 'encrypted' : 'plain'}`, async () => {
        const folder = temporaryFolder();
        const remote = openLocalStore(join(folder, 'remote'));
        const bench: Bench = { folder, localRoot: join(folder, 'local'), remote };
        if (encrypted) bench.cipher = await createCipher({ password: 'p', filenameEncryption: true });
        const name = form === 'file with a long name' ? 'n'.repeat(140) : 'a';
        const [before, after] = form === 'folder' ? [`${name}/x`, name] : [name, `${name}/x`];
        try {
          mkdirSync(join(folder, 'remote'));
          writeTree(bench.localRoot, { [before]: 'before', z: 'z' });
          assert.deepEqual((await runOnce(bench)).errors, []);
          rmSync(join(bench.localRoot, name), { recursive: true });
          writeTree(bench.localRoot, { [after]: 'after' });
          // Once it is set aside nothing goes on, as in a process that was killed.
          let isSetAside = false;
          const cutOff = new Proxy(remote, {
            get(target, property) {
              if (isSetAside) return () => Promise.reject(new CloudSyncError('IO_ERROR', 'cut off'));
              const value = Reflect.get(target, property) as unknown;
              if (property !== 'rename') return typeof value === 'function' ? value.bind(target) : value;
              return async (key: string, newKey: string) => {
                await target.rename(key, newKey);
                isSetAside = true;
              };
            },
          });
          assert.notEqual((await runOnce({ ...bench, remote: cutOff })).errors.length, 0);
          assert.ok(isSetAside);
          const next = await runOnce(bench);
          assert.deepEqual([next.errors, next.warnings], [[], []]);
          const left = Object.keys(await readStore(remote));
          assert.equal(left.length, 2, left.join(', '));
          assert.deepEqual((await runOnce(bench)).checked, 2);
        } finally {
          removeFolder(folder);
        }
      });
    }
  }
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
