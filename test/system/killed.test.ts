import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Fault } from '../servers/s3/server.js';
import { until } from '../until.js';
import { BUCKET, Station } from './station.js';

const MIB = 1024 * 1024;
const RESERVED = '.node-red-cloud-sync/';
const TEMPORARY = /^\.cloud-sync-[uw]-.*\.parts?$/;

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** Path to SHA-256 of every file in a folder, and the temporary files that are there besides. */
function treeOf(root: string): { files: Map<string, string>; temporary: string[] } {
  const files = new Map<string, string>();
  const temporary: string[] = [];
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    if (TEMPORARY.test(basename(file))) temporary.push(file);
    else files.set(file.slice(root.length + 1), sha256(readFileSync(file)));
  }
  return { files, temporary };
}

/** When Node-RED is killed, told by a request that stands still: a push and the pull after it. */
const MOMENTS: { what: string; push: Fault; pull: Fault; how: 'restore' | 'pull' }[] = [
  {
    what: 'small files on their way',
    push: { operation: 'PutObject', skip: 5, action: { type: 'stall-request', afterBytes: 1000 } },
    pull: {
      operation: 'GetObject',
      match: ({ key }) => key.includes('small'),
      skip: 7,
      action: { type: 'stall-response', afterBytes: 1000 },
    },
    how: 'restore',
  },
  {
    what: 'a large file half there',
    push: { operation: 'UploadPart', skip: 3, action: { type: 'stall-request', afterBytes: MIB } },
    pull: {
      operation: 'GetObject',
      match: ({ key }) => key.endsWith('large.bin'),
      skip: 2,
      action: { type: 'stall-response', afterBytes: 2 * MIB },
    },
    how: 'restore',
  },
  {
    what: 'a large file all there but for its completion; a streamed file half written',
    push: { operation: 'CompleteMultipartUpload', action: { type: 'stall-request', afterBytes: 0 } },
    pull: {
      operation: 'GetObject',
      match: ({ key }) => key.endsWith('medium.bin'),
      action: { type: 'stall-response', afterBytes: 400_000 },
    },
    how: 'pull',
  },
  {
    what: 'a large file completed, the answer lost; a large file half there',
    push: { operation: 'CompleteMultipartUpload', action: { type: 'stall-response', afterBytes: 0 } },
    pull: {
      operation: 'GetObject',
      match: ({ key }) => key.endsWith('large.bin'),
      skip: 3,
      action: { type: 'stall-response', afterBytes: 3 * MIB },
    },
    how: 'pull',
  },
  {
    what: 'deletes on their way; the listing before anything was pulled',
    push: { operation: 'DeleteObjects', action: { type: 'stall-response', afterBytes: 0 } },
    pull: { operation: 'ListObjectsV2', action: { type: 'stall-response', afterBytes: 100 } },
    how: 'pull',
  },
];

describe('A Node-RED killed in the middle of a run', function () {
  this.timeout(240_000);
  let station: Station;
  let source: string;
  let version = 0;
  /** What the source is. */
  let now = new Map<string, string>();

  function write(path: string, size: number): void {
    const file = join(source, path);
    mkdirSync(dirname(file), { recursive: true });
    const block = createHash('sha512').update(`${path} ${version}`).digest();
    writeFileSync(file, Buffer.alloc(size, block));
    const time = 1_700_000_000 + version * 100 + 0.25;
    utimesSync(file, time, time);
  }

  /** Every file gets other bytes, some another size; one goes, one comes. */
  function nextVersion(): void {
    version++;
    for (let index = 0; index < 20; index++) write(`small/${index}.txt`, 3000 + (index % 2) * version);
    write('medium.bin', 600_000);
    write('large.bin', 66 * MIB + version);
    rmSync(join(source, `only in ${version - 1}.txt`), { force: true });
    write(`only in ${version}.txt`, 100);
    now = treeOf(source).files;
  }

  /** Nothing but whole old and whole new files; what is to be deleted may still be there. */
  function assertWhole(found: Map<string, string>, old: Map<string, string>): void {
    for (const [path, hash] of found) {
      assert.ok([old.get(path), now.get(path)].includes(hash), `${path} is neither the old nor the new one`);
    }
    for (const path of old.keys()) if (now.has(path)) assert.ok(found.has(path), `${path} is gone`);
  }

  /** Keys of the task's objects; what this package keeps in the bucket for itself is none of them. */
  const keysOfTask = () => station.server.objects.keys(BUCKET).filter((key) => !key.includes(RESERVED));

  function objects(): Map<string, string> {
    const bytesOf = (key: string) => station.server.objects.bytes(BUCKET, key);
    return new Map(keysOfTask().map((key) => [key.replace(/^push\//, ''), sha256(bytesOf(key))]));
  }

  /** Nothing is left on the server of runs that were killed: no upload, no lease. */
  function assertCleanServer(): void {
    const { objects: stored } = station.server;
    assert.deepEqual(stored.pendingUploads(BUCKET), []);
    assert.deepEqual(
      stored.keys(BUCKET).filter((key) => key.includes(RESERVED)),
      [],
    );
  }

  /** Presses `node`, kills Node-RED when `fault` has struck, starts it again. */
  async function killDuring(node: string, fault: Fault, isUnderWay: () => boolean): Promise<void> {
    const { server } = station;
    const active = server.faults.add({ ...fault, times: 1 });
    await station.press(node);
    await until(() => active.hits > 0 && isUnderWay(), 'the moment to kill');
    await station.kill();
    server.faults.clear();
    await station.startNodeRed();
    const { status, report } = await station.state(node);
    assert.equal(status, 'interrupted');
    assert.equal(report?.status, 'aborted');
  }

  before(async () => {
    station = await Station.start();
    source = station.path('source');
    mkdirSync(source);
    await station.deploy([
      station.task('push', { path: source }),
      station.task('pull', { direction: 'pull', folder: 'push', path: station.path('pull') }),
      {
        id: 'restore',
        type: 'cloud-restore',
        name: 'restore',
        task: 'push',
        path: station.path('restore'),
        transferMode: 'sync',
      },
    ]);
    nextVersion();
    await station.runWell('push');
    await station.runWell('pull');
    await station.runWell('restore');
  });

  after(() => station?.stop());

  for (const { what, push, pull, how } of MOMENTS) {
    it(`leaves whole files on both sides, and the next run completes: ${what}`, async () => {
      nextVersion();
      const stored = objects();
      await killDuring('push', push, () => true);
      assertWhole(objects(), stored);
      assert.deepEqual(treeOf(source), { files: now, temporary: [] }, 'the source is as it was');
      await station.runWell('push');
      assert.deepEqual(objects(), now);
      assertCleanServer();
      assert.equal((await station.runWell('push')).transferred.files, 0);

      const target = station.path(how);
      const before = treeOf(target).files;
      // A streamed file is under way when its temporary one has bytes.
      const streams = /medium|large/.test(String(pull.match));
      await killDuring(how, pull, () => !streams || treeOf(target).temporary.length > 0);
      assertWhole(treeOf(target).files, before);
      await station.runWell(how);
      assert.deepEqual(treeOf(target), { files: now, temporary: [] });
      assert.equal((await station.runWell(how)).transferred.files, 0);
      assert.deepEqual(objects(), now, 'the bucket is as it was');
      assertCleanServer();
    });
  }
});
