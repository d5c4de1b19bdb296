/** What keeps a sync from deleting, each from task to server: nothing goes, and the report says why. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TaskSettings } from '../../src/runner/task.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { makeUnreadable, readTree, writeTree } from './support.js';
import { type BenchResult, TaskBench } from './task-bench.js';

const TREE = Object.fromEntries(
  Array.from({ length: 40 }, (_, at) => [`${at % 4}/${at}.jpg`, `picture ${at}`]),
);

/** Whether this may be tried here; says so loudly where not. */
function withTmpfs(context: Mocha.Context, folder: string, use: () => Promise<void>): Promise<void> {
  mkdirSync(folder, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    if (process.env.CI_REQUIRE_SERVERS === '1') throw new Error('mounting a tmpfs needs root');
    console.warn('      NOT RUN: mounting a tmpfs needs root');
    context.skip();
  }
  return use().finally(() => {
    try {
      execFileSync('umount', [folder], { stdio: 'ignore' });
    } catch {
      // The test has done it.
    }
  });
}

/** Root reads everything: `use` runs as somebody else, to whom `folder` belongs. */
async function withoutRoot<T>(folder: string, use: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return use();
  execFileSync('chown', ['-R', '65534:65534', folder]);
  process.seteuid!(65534);
  try {
    return await use();
  } finally {
    process.seteuid!(0);
  }
}

describe('guards before the first delete', function () {
  this.timeout(60_000);
  let server: S3Server;
  let bench: TaskBench;
  let count = 0;

  before(async () => {
    server = await startS3Server();
  });
  after(() => server?.stop());
  beforeEach(async () => {
    count++;
    server.createBucket(`guards-${count}`);
    server.requests.reset();
    bench = new TaskBench(server, `guards-${count}`);
  });
  afterEach(() => {
    server.faults.clear();
    bench.dispose();
  });

  const pull: Partial<TaskSettings> = { direction: 'pull' };

  async function pushed(task: Partial<TaskSettings> = {}): Promise<void> {
    writeTree(bench.local, TREE);
    const result = await bench.run(task);
    assert.deepEqual([result.status, bench.keys.length], ['success', 40]);
    server.requests.reset();
  }

  /** Failed with exactly this, and not one delete was sent (the lease's own aside). */
  function stoppedBy(result: BenchResult, code: string, why: RegExp): void {
    assert.deepEqual([result.status, result.codes, result.deleted], ['failed', [code], 0]);
    assert.match(result.said, why);
    const deletes = server.requests.log.filter(
      ({ operation, key }) => /^DeleteObject/.test(operation) && !key.includes('.node-red-cloud-sync/'),
    );
    assert.deepEqual(deletes, []);
  }

  it('a source whose disk is not mounted', async function () {
    const disk = join(bench.root, 'disk');
    const path = join(disk, 'photos');
    await withTmpfs(this, disk, async () => {
      writeTree(path, TREE);
      assert.equal((await bench.run({ path })).status, 'success');
      execFileSync('umount', [disk]);
      server.requests.reset();
      stoppedBy(await bench.run({ path }), 'NOT_MOUNTED', /Nothing is mounted at/);
      // Somebody made the folder anew, and a program has put something into it.
      writeTree(path, { 'index.db': 'x' });
      stoppedBy(await bench.run({ path, maxDelete: null }), 'NOT_MOUNTED', /Nothing is mounted at/);
      assert.equal(bench.keys.length, 40);
    });
  });

  it('a target whose disk is not mounted', async function () {
    const disk = join(bench.root, 'disk');
    const path = join(disk, 'photos');
    await pushed();
    await withTmpfs(this, disk, async () => {
      const task = { ...pull, path };
      assert.equal((await bench.run(task, { nodeId: 'pull' })).status, 'success');
      execFileSync('umount', [disk]);
      writeTree(path, { 'mine.txt': 'on the disk below' });
      stoppedBy(await bench.run(task, { nodeId: 'pull' }), 'NOT_MOUNTED', /Nothing is mounted at/);
      assert.deepEqual(readTree(path), { 'mine.txt': 'on the disk below' });
    });
  });

  it('a source that is suddenly empty', async () => {
    await pushed();
    rmSync(bench.local, { recursive: true });
    mkdirSync(bench.local);
    stoppedBy(await bench.run({ maxDelete: null }), 'SOURCE_EMPTY', /The source has no files/);
    // Folders alone are no files.
    mkdirSync(join(bench.local, '0/1'), { recursive: true });
    stoppedBy(await bench.run({ maxDelete: null }), 'SOURCE_EMPTY', /The source has no files/);
    assert.equal(bench.keys.length, 40);
  });

  it('a source that is gone', async () => {
    await pushed();
    rmSync(bench.local, { recursive: true });
    stoppedBy(await bench.run({ maxDelete: null }), 'NOT_FOUND', /local/);
    assert.equal(bench.keys.length, 40);
  });

  it('a subfolder that can not be read', async () => {
    await pushed();
    rmSync(join(bench.local, '1/1.jpg'));
    const readable = makeUnreadable(join(bench.local, '2'));
    const result = await withoutRoot(bench.root, () => bench.run({ maxDelete: null }));
    stoppedBy(result, 'NO_PERMISSION', /./);
    assert.equal(result.errors[0]?.path, '2');
    assert.equal(bench.keys.length, 40);
    readable();
    const mended = await bench.run();
    assert.deepEqual([mended.status, mended.deleted, bench.keys.length], ['success', 1, 39]);
  });

  it('more deletes than maxDelete, and names them', async () => {
    await pushed();
    for (const path of Object.keys(TREE).slice(0, 21)) rmSync(join(bench.local, path));
    const result = await bench.run();
    stoppedBy(result, 'MAX_DELETE', /21 of 40 files would be deleted, more than 50%/);
    assert.equal(result.pendingDeletes?.count, 21);
    assert.equal(result.log.filter(({ event }) => event === 'delete due').length, 21);
    stoppedBy(await bench.run({ maxDelete: 20 }), 'MAX_DELETE', /more than 20/);
    assert.equal(bench.keys.length, 40);
    assert.equal((await bench.run({ maxDelete: 21 })).deleted, 21);
  });

  it('a prefix without any object on a pull', async () => {
    writeTree(bench.local, TREE);
    const result = await bench.run({ ...pull, maxDelete: null }, { nodeId: 'pull' });
    stoppedBy(result, 'SOURCE_EMPTY', /no object under "photos\/"/);
    assert.deepEqual(readTree(bench.local), TREE);
  });

  it("another task's files in the prefix", async () => {
    await pushed({ folder: 'all/raw' });
    const other = join(bench.root, 'other');
    writeTree(other, { 'a.txt': 'a', 'b.txt': 'b' });
    const task = { path: other, folder: 'all', maxDelete: null };
    const deployedNodeIds = ['node-1', 'node-2'];
    const node = { nodeId: 'node-2', deployedNodeIds };
    stoppedBy(await bench.run(task, node), 'OTHER_TASK', /The task "quick" keeps its files in "raw\/"/);
    assert.equal(bench.keys.filter((key) => key.startsWith('all/raw/')).length, 40);
    // What a removed node left is nobody's.
    const after = await bench.run(task, { ...node, deployedNodeIds: ['node-2'] });
    assert.deepEqual([after.status, after.deleted], ['success', 40]);
  });

  it('a listing of the source that breaks off', async () => {
    await pushed();
    const restored = join(bench.root, 'restored');
    writeTree(restored, { ...TREE, 'mine.txt': 'mine' });
    server.faults.add({
      operation: 'ListObjectsV2',
      action: { type: 'error', status: 403, code: 'AccessDenied' },
    });
    const result = await bench.run({ ...pull, path: restored, maxDelete: null }, { nodeId: 'pull' });
    assert.deepEqual([result.status, result.deleted], ['failed', 0]);
    assert.equal(result.codes[0], 'NO_PERMISSION');
    assert.ok(existsSync(join(restored, 'mine.txt')));
  });

  it('a page of the listing that leaves objects out', async () => {
    await pushed();
    const restored = join(bench.root, 'restored');
    writeTree(restored, TREE);
    const key = 'photos/2/14.jpg';
    server.faults.add({
      operation: 'ListObjectsV2',
      action: {
        type: 'list',
        change: (page) => {
          page.items = page.items.filter(({ version }) => version?.key !== key);
        },
      },
    });
    const result = await bench.run({ ...pull, path: restored }, { nodeId: 'pull' });
    assert.equal(result.deleted, 0);
    assert.deepEqual(readTree(restored), TREE);
  });

  it('an error with any other file', async () => {
    await pushed();
    rmSync(join(bench.local, '1/1.jpg'));
    writeFileSync(join(bench.local, 'new.txt'), 'n');
    server.faults.add({
      operation: 'PutObject',
      match: ({ key }) => key.endsWith('new.txt'),
      action: { type: 'error', status: 403, code: 'AccessDenied' },
    });
    stoppedBy(await bench.run(), 'NO_PERMISSION', /./);
    assert.equal(bench.keys.length, 40);
  });
});
