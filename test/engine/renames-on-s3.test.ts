/** What a renamed folder and touched files cost on S3, counted at the server. */

import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { mkdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TaskSettings } from '../../src/runner/task.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { writeTree } from './support.js';
import { TaskBench } from './task-bench.js';

const MIB = 1024 * 1024;
/** `RENAME_MIB=1024` renames a folder of that size. */
const SIZE = Number(process.env.RENAME_MIB ?? 64) * MIB;
const SMALL_FILES = 30;

describe('a renamed folder on S3', function () {
  this.timeout(process.env.RENAME_MIB === undefined ? 120_000 : 1_800_000);
  let server: S3Server;
  let bench: TaskBench;
  let count = 0;

  before(async () => {
    server = await startS3Server();
  });
  after(() => server?.stop());
  beforeEach(() => {
    count++;
    server.createBucket({ name: `renames-${count}`, versioning: 'Enabled' });
    bench = new TaskBench(server, `renames-${count}`);
  });
  afterEach(() => bench.dispose());

  /** Two files that are sent in parts, one of half the size, and small ones. */
  function writeFolder(folder: string): number {
    mkdirSync(folder, { recursive: true });
    const hourAgo = Date.now() / 1000 - 3_600;
    const sizes = [SIZE / 2, SIZE / 4, SIZE / 4, ...Array.from({ length: SMALL_FILES }, (_, at) => at + 1)];
    for (const [at, size] of sizes.entries()) {
      const file = join(folder, `${at}.bin`);
      writeFileSync(file, randomFillSync(Buffer.allocUnsafe(size)));
      utimesSync(file, hourAgo, hourAgo);
    }
    return sizes.length;
  }

  for (const encryption of [false, true]) {
    const task: Partial<TaskSettings> = encryption
      ? { encryption, filenameEncryption: true, encryptionPassword: 'a long password' }
      : {};

    it(`sends no byte of any file, and maxDelete is not hit${encryption ? ', encrypted' : ''}`, async () => {
      const files = writeFolder(join(bench.local, 'old name'));
      assert.deepEqual((await bench.run(task)).errors, []);
      renameSync(join(bench.local, 'old name'), join(bench.local, 'new name'));
      server.requests.reset();
      const result = await bench.run({ ...task, maxDelete: 0 });
      assert.deepEqual(
        [result.status, result.errors, result.transferred.files, result.deleted],
        ['success', [], 0, files],
      );
      const { counts, log } = server.requests;
      const copied = (counts.CopyObject ?? 0) + (counts.CreateMultipartUpload ?? 0);
      assert.equal(copied, files);
      assert.equal(counts.UploadPart, undefined);
      // The lease is the one thing that is written: no file's content.
      const bodies = log
        .filter(({ key }) => !key.includes('.node-red-cloud-sync/'))
        .filter(({ operation }) => operation === 'PutObject' || operation === 'UploadPart');
      assert.deepEqual(bodies, []);
      assert.ok(server.requests.bodyBytes < 64 * 1024, `${server.requests.bodyBytes} bytes`);
      assert.equal(bench.keys.length, files);
      if (!encryption) assert.ok(bench.keys.every((key) => key.startsWith('photos/new name/')));
      const verified = await bench.run(task, {
        nodeId: 'verify',
        operation: 'verify',
        verify: { method: 'download', sample: 100 },
      });
      assert.deepEqual([verified.status, verified.verify?.matched], ['success', files]);
      assert.equal((await bench.run(task)).transferred.files, 0);
    });
  }

  it('a thousand touched files make no new version on a bucket that keeps versions, and the next run asks nothing', async () => {
    const tree = Object.fromEntries(
      Array.from({ length: 1000 }, (_, at) => [`${at % 10}/${at}`, `file ${at}`]),
    );
    writeTree(bench.local, tree, Date.now() / 1000 - 7_200);
    assert.deepEqual((await bench.run()).errors, []);
    const touched = Date.now() / 1000 - 3_600;
    for (const path of Object.keys(tree)) utimesSync(join(bench.local, path), touched, touched);
    server.requests.reset();
    const result = await bench.run();
    assert.deepEqual([result.status, result.errors, result.transferred.files], ['success', [], 0]);
    assert.equal(server.requests.counts.CopyObject, undefined);
    for (const key of bench.keys) assert.equal(server.objects.versions(bench.bucket, key).length, 1, key);
    server.requests.reset();
    const again = await bench.run();
    assert.equal(again.transferred.files, 0);
    assert.equal(server.requests.counts.HeadObject ?? 0, 0);
  });
});
