/** The rules of the state index, each from task to server: what it knows never passes for what is there. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, renameSync, rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { editQuietly, readTree, writeTree } from './support.js';
import { TaskBench } from './task-bench.js';

const TREE = { 'a.txt': 'one', 'b/c.txt': 'two', 'b/d.txt': 'six' };

describe('rules of the state index', function () {
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
    server.createBucket(`rules-${count}`);
    bench = new TaskBench(server, `rules-${count}`);
    writeTree(bench.local, TREE);
    assert.equal((await bench.run()).status, 'success');
  });
  afterEach(() => bench.dispose());

  /** The next run succeeds, sends so many files, and then the bucket is what the folder is. */
  async function nextSends(files: number, asked?: number): Promise<void> {
    server.requests.reset();
    const result = await bench.run();
    assert.deepEqual([result.status, result.errors, result.transferred.files], ['success', [], files]);
    const stored = Object.fromEntries(
      bench.keys.map((key) => [
        key.slice('photos/'.length),
        server.objects.bytes(bench.bucket, key).toString(),
      ]),
    );
    assert.deepEqual(stored, readTree(bench.local));
    if (asked !== undefined) assert.equal(bench.counts.HeadObject ?? 0, asked);
    assert.equal((await bench.run()).transferred.files, 0);
  }

  it('nothing changed: nothing is sent, and no file is asked for', async () => {
    await nextSends(0, 0);
  });

  it('an edit of the same size whose time was put back is sent', async () => {
    editQuietly(join(bench.local, 'a.txt'), 'eno');
    await nextSends(1);
  });

  it("a userDir restored from an older copy doesn't hide what was changed since", async () => {
    cpSync(bench.data, join(bench.root, 'older'), { recursive: true });
    // One file changes and is pushed, then changes back to the size and time it had: the old index knows these.
    const file = join(bench.local, 'a.txt');
    editQuietly(file, 'new');
    await nextSends(1);
    rmSync(bench.data, { recursive: true });
    renameSync(join(bench.root, 'older'), bench.data);
    await nextSends(0);
    editQuietly(file, 'one');
    await nextSends(1);
  });

  it('a bucket that was deleted and made again is filled again', async () => {
    const bucket = server.objects.bucket(bench.bucket);
    for (const { key } of [...bucket.keys.values()]) bucket.keys.delete(key);
    server.createBucket(bench.bucket);
    await nextSends(3);
  });

  it('an object that another program overwrote with the same size is put right', async () => {
    const found = server.objects.find(bench.bucket, 'photos/a.txt')!;
    server.objects.put(bench.bucket, 'photos/a.txt', Buffer.from('bad'), { metadata: found.metadata });
    await nextSends(1);
  });

  it('another disk under the same path: the index of the first one is not believed', async function () {
    const other = join(bench.root, 'other disk');
    writeTree(other, { ...TREE, 'a.txt': 'eno' });
    const was = join(bench.root, 'first disk');
    renameSync(bench.local, was);
    mkdirSync(bench.local);
    try {
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', bench.local], { stdio: 'ignore' });
    } catch {
      if (process.env.CI_REQUIRE_SERVERS === '1') throw new Error('mounting a tmpfs needs root');
      console.warn('      NOT RUN: mounting a tmpfs needs root');
      this.skip();
    }
    try {
      cpSync(other, bench.local, { recursive: true, preserveTimestamps: true });
      for (const path of Object.keys(TREE)) utimesSync(join(bench.local, path), 1_600_000_000, 1_600_000_000);
      utimesSync(join(bench.local, 'a.txt'), 1_600_000_001, 1_600_000_001);
      // Every file is asked for, as if there were no index.
      await nextSends(1, 3);
    } finally {
      execFileSync('umount', [bench.local]);
    }
  });

  it('lost or damaged it is rebuilt, and sends nothing', async () => {
    rmSync(join(bench.data, 'state'), { recursive: true });
    await nextSends(0);
  });

  it('never justifies a delete: an object that it knows and the folder never had again goes only by the listing', async () => {
    const file = join(bench.local, 'a.txt');
    rmSync(file);
    // Another program has put another object there meanwhile: it is not what was pushed, and sync makes both sides equal.
    server.objects.put(bench.bucket, 'photos/a.txt', Buffer.from('theirs'));
    const result = await bench.run();
    assert.deepEqual([result.status, result.deleted], ['success', 1]);
    assert.deepEqual(bench.keys, ['photos/b/c.txt', 'photos/b/d.txt']);
  });
});
