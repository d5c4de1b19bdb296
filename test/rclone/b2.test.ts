/**
 * rclone's b2 backend, which speaks Backblaze's own interface and is what TrueNAS uses, and whole runs of ours, which speak
 * the S3-compatible one, on one bucket of the B2 server: what either has written is up to date for the other.
 */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type ExecutionResult, execute } from '../../src/runner/execute.js';
import type { RunRequest, TaskSettings } from '../../src/runner/task.js';
import { md5, pseudoRandomBytes } from '../conformance/support.js';
import { runRequest } from '../runner/support.js';
import { type B2Server, startB2Server } from '../servers/b2/server.js';
import { type RcloneResult, rcloneVersion, runRcloneAlongside } from './rclone.js';
import { setTime } from './sync-tree.js';

const MIB = 1024 * 1024;
const FILES: readonly [path: string, size: number][] = [
  ['a-b', 1],
  ['a.txt', 2],
  ['a/x', 3],
  ['empty', 0],
  ['Grüße/世界 📷.jpg', 1234],
  ['odd/back\\slash', 19],
  ['odd/plus + percent %41 # & ? = ; : @', 20],
  ['odd/tab\tand\nline feed', 22],
  ['odd/delete\u007f', 23],
  ['parts/17 MiB and a byte.bin', 17 * MIB + 1],
];
const FIRST_TIME = 1_500_000_000_123_456_789n;
const MILLISECOND = 1_000_000n;

type Tree = Map<string, { size: number; md5: string; time: bigint }>;

function writeFiles(root: string): void {
  for (const [index, [path, size]] of FILES.entries()) {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, pseudoRandomBytes(size, index + 1));
    setTime(file, FIRST_TIME + BigInt(index) * 1_000_000_007n);
  }
}

function readFiles(root: string): Tree {
  const tree: Tree = new Map();
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const { size, mtimeNs } = statSync(file, { bigint: true });
    tree.set(file.slice(root.length + 1), {
      size: Number(size),
      md5: md5(readFileSync(file)),
      time: mtimeNs,
    });
  }
  return tree;
}

/** Equal but for times, which may differ by less than `step` ns. */
function assertSame(got: Tree, expected: Tree, step: bigint): void {
  assert.deepEqual([...got.keys()].sort(), [...expected.keys()].sort());
  for (const [path, file] of expected) {
    const other = got.get(path)!;
    assert.deepEqual([other.size, other.md5], [file.size, file.md5], path);
    const difference = other.time > file.time ? other.time - file.time : file.time - other.time;
    assert.ok(difference < step, `${path}: ${other.time} instead of ${file.time}`);
  }
}

describe("rclone's b2 backend and whole runs of ours", function () {
  this.timeout(120_000);
  let server: B2Server;
  let folder: string;
  let source: string;
  let expected: Tree;
  let buckets = 0;

  before(async function () {
    if (rcloneVersion() === undefined) {
      if (process.env.CI_REQUIRE_SERVERS === '1') assert.fail('rclone is required here and not installed');
      console.warn('      NOT TESTED: rclone is not installed, no bucket was shared with it');
      this.skip();
    }
    server = await startB2Server();
    folder = mkdtempSync(join(tmpdir(), 'rclone-b2-'));
    source = join(folder, 'source');
    writeFiles(source);
    expected = readFiles(source);
  });
  after(async () => {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    await server?.stop();
  });

  interface Shared {
    bucket: string;
    remote: string;
    run(task: Partial<TaskSettings>, rest?: Partial<RunRequest>): Promise<ExecutionResult>;
    rclone(...args: string[]): Promise<RcloneResult>;
  }

  const share = (): Shared => {
    buckets += 1;
    const bucket = `shared-${buckets}`;
    server.createBucket(bucket);
    const { applicationKeyId, applicationKey } = server.addKey();
    return {
      bucket,
      remote: `shared:${bucket}/the tree`,
      async rclone(...args) {
        const result = await runRcloneAlongside(args, {
          RCLONE_CONFIG_SHARED_TYPE: 'b2',
          RCLONE_CONFIG_SHARED_ENDPOINT: server.url,
          RCLONE_CONFIG_SHARED_ACCOUNT: applicationKeyId,
          RCLONE_CONFIG_SHARED_KEY: applicationKey,
          RCLONE_B2_UPLOAD_CUTOFF: '6M',
          RCLONE_B2_CHUNK_SIZE: '5M',
          RCLONE_NO_UNICODE_NORMALIZATION: 'true',
          RCLONE_RETRIES: '1',
        });
        assert.equal(result.exitCode, 0, `rclone ${args.join(' ')}: ${result.stderr}`);
        return result;
      },
      async run(task, rest) {
        const request = runRequest(
          join(folder, bucket),
          {
            taskId: `${task.direction}`,
            credential: {
              id: 'credential',
              name: '',
              provider: 'b2',
              config: { endpoint: server.url },
              secrets: { applicationKeyId, applicationKey },
            },
            bucket,
            folder: 'the tree',
            transferMode: 'sync',
            chunkSize: 5,
            ...task,
          },
          rest,
        );
        const host = { signal: new AbortController().signal, phase: () => {}, log: () => {} };
        const result = await execute(request, host).result;
        assert.deepEqual(result.errors, []);
        assert.deepEqual(result.warnings, []);
        if (rest?.operation !== 'verify') assert.equal(result.status, 'success');
        return result;
      },
    };
  };

  const nothingDone = { files: 0, bytes: 0 };

  it('what rclone has pushed is not sent again, by time and by checksum', async () => {
    const { rclone, remote, run } = share();
    await rclone('sync', source, remote);
    for (const checksum of [false, true]) {
      const settings = { direction: 'push', path: source, checksum, taskId: `push-${checksum}` } as const;
      for (const attempt of ['first', 'second']) {
        const { checked, transferred, deleted } = await run(settings);
        assert.deepEqual(
          { checked, transferred, deleted },
          { checked: expected.size, transferred: nothingDone, deleted: 0 },
          `${attempt} run`,
        );
      }
    }
  });

  it('what rclone has pushed comes back whole, and not twice', async () => {
    const { rclone, remote, run } = share();
    await rclone('sync', source, remote);
    const target = join(folder, `pulled-${buckets}`);
    const { transferred } = await run({ direction: 'pull', path: target });
    assert.equal(transferred.files, expected.size);
    assertSame(readFiles(target), expected, MILLISECOND);
    assert.deepEqual((await run({ direction: 'pull', path: target })).transferred, nothingDone);
  });

  it('what we have pushed is not sent again by rclone, by time and by checksum', async () => {
    const { rclone, remote, run } = share();
    const { transferred } = await run({ direction: 'push', path: source });
    assert.equal(transferred.files, expected.size);
    for (const flags of [[], ['--checksum']]) {
      const { stderr } = await rclone('sync', source, remote, '-v', ...flags);
      assert.match(stderr, /There was nothing to transfer/);
      assert.doesNotMatch(stderr, /: (Copied|Deleted|Updated)/);
    }
    const check = await rclone('check', source, remote, '-v');
    assert.match(check.stderr, new RegExp(`${expected.size} matching files`));
    assert.doesNotMatch(check.stderr, /could not be checked/, 'the SHA-1 of large files is there too');
  });

  it('what we have pushed comes back whole through rclone, and with every nanosecond through us', async () => {
    const { rclone, remote, run } = share();
    await run({ direction: 'push', path: source });
    const theirs = join(folder, `rclone-${buckets}`);
    await rclone('sync', remote, theirs);
    assertSame(readFiles(theirs), expected, MILLISECOND);
    const ours = join(folder, `ours-${buckets}`);
    await run({ direction: 'pull', path: ours });
    // Node.js sets microseconds.
    assertSame(readFiles(ours), expected, 1000n);
  });

  it('a time that rclone changes is the one that counts, and no content is sent for it', async () => {
    const { rclone, remote, run, bucket } = share();
    await run({ direction: 'push', path: source });
    const changed = join(folder, 'changed');
    await rclone('copy', source, changed);
    setTime(join(changed, 'a.txt'), 1_555_555_555_555_000_000n);
    await rclone('sync', changed, remote, '--checksum=false');
    const stored = server.s3.objects.find(bucket, 'the tree/a.txt')!;
    assert.equal(stored.metadata.src_last_modified_millis, '1555555555555');
    const target = join(folder, `timed-${buckets}`);
    await run({ direction: 'pull', path: target });
    assert.equal(readFiles(target).get('a.txt')?.time, 1_555_555_555_555_000_000n);
  });

  it('verify proves what we have pushed, and says of what it has no proof of', async () => {
    const ours = share();
    await ours.run({ direction: 'push', path: source });
    const verifying = [
      { direction: 'push', path: source, taskId: 'verify' },
      { operation: 'verify', verify: { method: 'checksum', sample: 100 } },
    ] as const;
    assert.equal((await ours.run(...verifying)).verify?.matched, expected.size);
    const theirs = share();
    await theirs.rclone('sync', source, theirs.remote);
    const { verify } = await theirs.run(...verifying);
    assert.equal(verify?.matched, expected.size - 1);
    assert.deepEqual(verify?.unverifiable, ['parts/17 MiB and a byte.bin']);
    assert.deepEqual(verify?.differs, []);
  });

  it('what either deletes is hidden, and can be brought back', async () => {
    const { rclone, remote, run, bucket } = share();
    await run({ direction: 'push', path: source });
    await rclone('deletefile', `${remote}/a.txt`);
    const smaller = join(folder, `smaller-${buckets}`);
    await rclone('copy', source, smaller);
    rmSync(join(smaller, 'a-b'));
    rmSync(join(smaller, 'a.txt'));
    const { deleted } = await run({ direction: 'push', path: smaller });
    assert.equal(deleted, 1);
    for (const name of ['a.txt', 'a-b']) {
      const versions = server.s3.objects.versions(bucket, `the tree/${name}`);
      assert.deepEqual(
        versions.map((version) => version.isDeleteMarker),
        [true, false],
        name,
      );
    }
    rmSync(join(smaller, 'a'), { recursive: true });
    await run({ direction: 'push', path: smaller, deleteVersions: true });
    assert.deepEqual(server.s3.objects.versions(bucket, 'the tree/a/x'), []);
  });
});
