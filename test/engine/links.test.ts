/** Symbolic links and special files in whole runs: followed, left out and named, never a reason to delete or to fail. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { openMemoryStore } from '../../src/stores/memory.js';
import {
  type Bench,
  memoryBench,
  putObject,
  readStore,
  removeFolder,
  runOnce,
  writeTree,
} from './support.js';

const FOLLOW = { followSymlinks: true };

describe('links and special files in a run', () => {
  let bench: Bench;
  let outside: string;
  const local = (path: string) => join(bench.localRoot, path);

  beforeEach(() => {
    bench = memoryBench();
    outside = join(bench.folder, 'outside');
    writeTree(bench.localRoot, { 'a.txt': 'a', 'b/c.txt': 'c' });
    writeTree(outside, { 'album/1.jpg': 'one', 'album/2.jpg': 'two', 'x.txt': 'x' });
  });

  afterEach(() => removeFolder(bench.folder));

  it('follows links to files and folders, and stores a file once for each path that leads to it', async () => {
    symlinkSync(join(outside, 'x.txt'), local('link.txt'));
    symlinkSync(join(outside, 'album'), local('first'));
    symlinkSync('../outside/album', local('second'));
    const result = await runOnce(bench, FOLLOW);
    assert.deepEqual([result.errors, result.warnings], [[], []]);
    assert.deepEqual(await readStore(bench.remote), {
      'a.txt': 'a',
      'b/c.txt': 'c',
      'first/1.jpg': 'one',
      'first/2.jpg': 'two',
      'link.txt': 'x',
      'second/1.jpg': 'one',
      'second/2.jpg': 'two',
    });
    assert.equal((await runOnce(bench, FOLLOW)).transferred.files, 0);
  });

  it('goes around no circle, not even once', async () => {
    symlinkSync('.', local('self'));
    symlinkSync('..', local('b/up'));
    symlinkSync('loop', local('loop'));
    mkdirSync(local('d'));
    symlinkSync('../e', local('d/to-e'));
    mkdirSync(local('e'));
    symlinkSync('../d', local('e/to-d'));
    writeFileSync(local('e/file'), 'e');
    const result = await runOnce(bench, FOLLOW);
    assert.deepEqual(result.errors, []);
    assert.deepEqual(Object.keys(await readStore(bench.remote)), [
      'a.txt',
      'b/c.txt',
      'd/to-e/file',
      'e/file',
    ]);
    assert.deepEqual(
      result.warnings.map(({ path, code }) => [path, code]),
      ['b/up', 'd/to-e/to-d', 'e/to-d/to-e', 'loop', 'self'].map((path) => [path, 'SPECIAL_FILE']),
    );
    assert.equal(result.skipped, 5);
  });

  it('leaves sockets, pipes, devices and dangling links out, names them, and deletes all the same', async () => {
    symlinkSync('/nowhere/at/all', local('dangling'));
    assert.equal(spawnSync('mkfifo', [local('pipe')]).status, 0);
    const server = await listen(local('socket'));
    const names = ['dangling', 'pipe', 'socket'];
    if (process.getuid?.() === 0) {
      assert.equal(spawnSync('mknod', [local('device'), 'c', '1', '3']).status, 0);
      names.push('device');
    }
    await putObject(bench.remote, 'gone.txt', 'due for deletion');
    const result = await runOnce(bench, FOLLOW);
    server.close();
    assert.deepEqual(result.errors, []);
    assert.deepEqual(result.warnings.map(({ path }) => path).sort(), names.sort());
    assert.equal(result.skipped, names.length);
    assert.equal(result.deleted, 1);
    assert.deepEqual(await readStore(bench.remote), { 'a.txt': 'a', 'b/c.txt': 'c' });
  });

  it('is not told of what the filters leave out', async () => {
    symlinkSync('/nowhere', local('dangling'));
    assert.equal(spawnSync('mkfifo', [local('b/pipe')]).status, 0);
    for (const followSymlinks of [true, false]) {
      const result = await runOnce(bench, { followSymlinks, exclude: ['/dangling', '/b/pipe'] });
      assert.deepEqual([result.skipped, result.warnings, result.errors], [0, [], []]);
    }
  });

  it('keeps at the destination what a link led to that leads nowhere now', async () => {
    symlinkSync(join(outside, 'album'), local('album'));
    symlinkSync(join(outside, 'x.txt'), local('x.txt'));
    await runOnce(bench, { ...FOLLOW, createEmptySrcDirs: true });
    await putObject(bench.remote, 'album-2/other', 'due for deletion');
    const before = await readStore(bench.remote);
    renameSync(outside, `${outside} unplugged`);
    for (let run = 1; run <= 2; run++) {
      const result = await runOnce(bench, { ...FOLLOW, createEmptySrcDirs: true });
      assert.deepEqual(result.errors, []);
      assert.equal(result.deleted, run === 1 ? 1 : 0);
      assert.deepEqual(result.warnings.map(({ path }) => path).sort(), ['album', 'x.txt']);
    }
    delete before['album-2/other'];
    assert.deepEqual(await readStore(bench.remote), before);
    renameSync(`${outside} unplugged`, outside);
    assert.equal((await runOnce(bench, FOLLOW)).transferred.files, 0);
  });

  it('deletes nothing where what a link leads to may not be looked at', async () => {
    if (process.getuid?.() === 0) {
      // Root may look everywhere: a name that is too long for the system is refused to it as well.
      symlinkSync('n'.repeat(300), local('refused'));
    } else {
      mkdirSync(local('locked'), { mode: 0 });
      symlinkSync('locked/x', local('refused'));
    }
    await putObject(bench.remote, 'gone.txt', 'due for deletion');
    const result = await runOnce(bench, { ...FOLLOW, exclude: ['/locked/**'] });
    assert.ok(result.errors.some(({ path }) => path === 'refused'));
    assert.equal(result.deleted, 0);
  });

  it('names links that it was not told to follow', async () => {
    symlinkSync('a.txt', local('link'));
    const result = await runOnce(bench);
    assert.deepEqual(
      result.warnings.map(({ path }) => path),
      ['link'],
    );
    assert.deepEqual(Object.keys(await readStore(bench.remote)), ['a.txt', 'b/c.txt']);
  });

  it('moves what a link leads to and takes the link away, not the file behind it', async () => {
    symlinkSync(join(outside, 'x.txt'), local('link.txt'));
    const result = await runOnce(bench, { ...FOLLOW, transferMode: 'move' });
    assert.deepEqual(result.errors, []);
    assert.equal((await readStore(bench.remote))['link.txt'], 'x');
    assert.equal(existsSync(join(outside, 'x.txt')), true);
    assert.throws(() => lstatSync(local('link.txt')));
  });

  it('deletes nothing behind a link to a folder, and says so', async () => {
    symlinkSync(join(outside, 'album'), local('album'));
    const moved = await runOnce(bench, { ...FOLLOW, transferMode: 'move' });
    assert.deepEqual(moved.codes, ['OBSTRUCTED', 'OBSTRUCTED']);
    assert.equal(moved.deleted, 2);
    rmSync(bench.localRoot, { recursive: true });
    writeTree(bench.localRoot, { 'a.txt': 'a' });
    symlinkSync(join(outside, 'album'), local('album'));
    bench.remote = openMemoryStore();
    await putObject(bench.remote, 'a.txt', 'a');
    const pulled = await runOnce(bench, { ...FOLLOW, direction: 'pull' });
    assert.deepEqual(pulled.codes, ['OBSTRUCTED', 'OBSTRUCTED']);
    assert.equal(existsSync(join(outside, 'album/1.jpg')), true);
  });

  it('restores over no special file, and says so', async () => {
    await runOnce(bench);
    rmSync(local('a.txt'));
    assert.equal(spawnSync('mkfifo', [local('a.txt')]).status, 0);
    const result = await runOnce(bench, { direction: 'pull', transferMode: 'copy' });
    assert.deepEqual(
      result.errors.map(({ path, code }) => [path, code]),
      [['a.txt', 'OBSTRUCTED']],
    );
    assert.ok(lstatSync(local('a.txt')).isFIFO());
  });

  it('restores a file in the place of a link that is not followed, and leaves its target alone', async () => {
    await runOnce(bench);
    rmSync(local('a.txt'));
    symlinkSync(join(outside, 'x.txt'), local('a.txt'));
    assert.deepEqual((await runOnce(bench, { direction: 'pull' })).errors, []);
    assert.ok(lstatSync(local('a.txt')).isFile());
    assert.equal(readFileSync(join(outside, 'x.txt'), 'utf8'), 'x');
  });

  it('verifies: a dangling link with a copy is unreadable, a link that is not followed has none', async () => {
    symlinkSync(join(outside, 'x.txt'), local('x.txt'));
    await runOnce(bench, FOLLOW);
    const verify = { method: 'metadata', sample: 100 } as const;
    const unfollowed = await runOnce(bench, { verify });
    assert.deepEqual(unfollowed.findings?.missingLocal, ['x.txt']);
    rmSync(join(outside, 'x.txt'));
    const dangling = await runOnce(bench, { ...FOLLOW, verify });
    assert.deepEqual([dangling.findings?.unreadable, dangling.findings?.matched], [['x.txt'], 2]);
  });
});

async function listen(path: string): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
  return server;
}
