/**
 * rclone and whole runs of ours on one S3 bucket: what either has written is up to date for the other, byte and time,
 * large files in parts among them; nothing is transferred a second time, and verify proves what rclone has uploaded.
 */

import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type ExecutionResult, execute } from '../../src/runner/execute.js';
import type { RunRequest, TaskSettings } from '../../src/runner/task.js';
import { md5, pseudoRandomBytes } from '../conformance/support.js';
import { runRequest } from '../runner/support.js';
import { isCephInstalled, startCeph } from '../servers/ceph.js';
import { startS3Server } from '../servers/s3/server.js';
import { type RcloneResult, rcloneVersion, runRcloneAlongside } from './rclone.js';
import { setTime } from './sync-tree.js';

const MIB = 1024 * 1024;
/** Names and sizes. Both sides send the large ones in parts. */
const FILES: readonly [path: string, size: number][] = [
  ['a-b', 1],
  ['a.txt', 2],
  ['a/x', 3],
  ['a0', 4],
  ['.hidden', 5],
  ['empty', 0],
  ['empty files/one', 0],
  ['empty files/two', 0],
  ['Grüße/世界 📷.jpg', 1234],
  ['forms/e\u0301', 12],
  ['forms/\u00e9', 13],
  ['odd/＃fullwidth．', 14],
  ['odd/．', 15],
  ['odd/😀', 16],
  ['odd/ leading and trailing ', 17],
  ['odd/trailing dot.', 18],
  ['odd/back\\slash', 19],
  ['odd/plus + percent %41 # & ? = ; : @', 20],
  ['odd/quotes \'"<>`|*', 21],
  ['odd/tab\tand\nline feed', 22],
  ['odd/[brackets] {braces} ~$^', 23],
  [`long/${'n'.repeat(255)}`, 24],
  ['f1/f2/f3/f4/f5/deep.bin', 70_000],
  ['just below a part.bin', 5 * MIB - 1],
  ['parts/17 MiB and a byte.bin', 17 * MIB + 1],
  ['parts/64 MiB.bin', 64 * MIB],
];
/** Of the first file, ns since the epoch; the next ones follow by 1,000,000,007 ns. */
const FIRST_TIME = 1_500_000_000_123_456_789n;
/** One file from before 1970, and one whole second. */
const OTHER_TIMES: Record<string, bigint> = { 'a.txt': -1_000_000_001n, a0: 1_600_000_000_000_000_000n };

interface FileState {
  size: number;
  md5: string;
  /** ns since the epoch. */
  time: bigint;
}
type Tree = Map<string, FileState>;

interface Service {
  url: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
  stop(): Promise<void>;
}

/** What one test works on: a bucket of its own with both programs at it. */
interface Shared {
  bucket: string;
  remote: string;
  /** Runs a task of ours, with the state of the runs before it. */
  run(task: Partial<TaskSettings>, rest?: Partial<RunRequest>): Promise<ExecutionResult>;
  rclone(...args: string[]): Promise<RcloneResult>;
}

const suites: [name: string, start: () => Promise<Service | undefined>][] = [
  ['the strict server', () => startS3Server()],
];
if (isCephInstalled() || process.env.CI_REQUIRE_SERVERS === '1')
  suites.push(["Ceph's gateway", () => startCeph()]);

for (const [name, start] of suites) {
  describe(`rclone and whole runs on ${name}`, function () {
    this.timeout(120_000);
    let service: Service;
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
      service = (await start())!;
      folder = mkdtempSync(join(tmpdir(), 'rclone-interop-'));
      source = join(folder, 'source');
      writeFiles(source);
      expected = readFiles(source);
    });
    after(async () => {
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
      await service?.stop();
    });

    const share = async (): Promise<Shared> => {
      buckets += 1;
      const bucket = `shared-${process.pid}-${Date.now()}-${buckets}`;
      const dataFolder = join(folder, bucket);
      const { url, region, accessKeyId, secretAccessKey } = service;
      const secrets = { accessKeyId, secretAccessKey };
      const config = { endpoint: url, region };
      const rclone = async (...args: string[]): Promise<RcloneResult> => {
        const result = await runRcloneAlongside(args, {
          RCLONE_CONFIG_SHARED_TYPE: 's3',
          RCLONE_CONFIG_SHARED_PROVIDER: 'Other',
          RCLONE_CONFIG_SHARED_ENDPOINT: url,
          RCLONE_CONFIG_SHARED_REGION: region,
          RCLONE_CONFIG_SHARED_ACCESS_KEY_ID: accessKeyId,
          RCLONE_CONFIG_SHARED_SECRET_ACCESS_KEY: secretAccessKey,
          RCLONE_S3_UPLOAD_CUTOFF: '16M',
          // Without it, rclone leaves out all but one of the names that are one in composed form.
          RCLONE_NO_UNICODE_NORMALIZATION: 'true',
          RCLONE_RETRIES: '1',
        });
        assert.equal(result.exitCode, 0, `rclone ${args.join(' ')}: ${result.stderr}`);
        return result;
      };
      await rclone('mkdir', `shared:${bucket}`);
      return {
        bucket,
        remote: `shared:${bucket}/the tree`,
        rclone,
        run: async (task, rest) => {
          const request = runRequest(
            dataFolder,
            {
              taskId: `${task.direction}`,
              credential: { id: 'credential', name: '', provider: 's3', config, secrets },
              bucket,
              folder: 'the tree',
              transferMode: 'sync',
              ...task,
            },
            rest,
          );
          const host = { signal: new AbortController().signal, phase: () => {}, log: () => {} };
          const result = await execute(request, host).result;
          assert.deepEqual(result.errors, []);
          assert.deepEqual(result.warnings, []);
          assert.equal(result.status, 'success');
          return result;
        },
      };
    };

    const pushed = async (): Promise<Shared> => {
      const shared = await share();
      const { transferred } = await shared.run({ direction: 'push', path: source });
      assert.equal(transferred.files, expected.size);
      return shared;
    };

    const pushedByRclone = async (): Promise<Shared> => {
      const shared = await share();
      await shared.rclone('sync', source, shared.remote);
      return shared;
    };

    it('what we have pushed has the same names, sizes and times for rclone, to the nanosecond', async () => {
      const { remote, rclone } = await pushed();
      const listed = JSON.parse((await rclone('lsjson', '-R', '--files-only', remote)).stdout) as {
        Path: string;
        Size: number;
        ModTime: string;
      }[];
      assert.deepEqual(
        inOrder(listed.map((file) => [file.Path, file.Size, nanoseconds(file.ModTime)])),
        inOrder([...expected].map(([path, { size, time }]) => [shown(path), size, time])),
      );
    });

    it('what we have pushed has the same bytes for rclone, and it has nothing to transfer', async () => {
      const { remote, rclone } = await pushed();
      const byHash = await rclone('check', source, remote, '-v');
      assert.match(byHash.stderr, new RegExp(`${expected.size} matching files`));
      assert.doesNotMatch(byHash.stderr, /could not be checked/);
      const byBytes = await rclone('check', '--download', source, remote, '-v');
      assert.match(byBytes.stderr, new RegExp(`${expected.size} matching files`));
      for (const flags of [[], ['--checksum']]) {
        const { stderr } = await rclone('sync', source, remote, '-v', ...flags);
        assert.match(stderr, /There was nothing to transfer/);
        assert.doesNotMatch(stderr, /: (Copied|Deleted|Updated)/);
      }
    });

    it('what rclone has pushed is up to date for us, by time and by checksum', async () => {
      const { run } = await pushedByRclone();
      for (const checksum of [false, true]) {
        // Without a lease, which is written and deleted.
        const settings = {
          direction: 'push',
          path: source,
          checksum,
          taskId: `push-${checksum}`,
          lease: false,
        } as const;
        for (const attempt of ['first', 'second']) {
          const { checked, transferred, deleted, requests } = await run(settings);
          assert.deepEqual(
            { checked, transferred, deleted },
            { checked: expected.size, transferred: { files: 0, bytes: 0 }, deleted: 0 },
            `${attempt} run`,
          );
          const { LIST: _list, HEAD: _head, ...others } = requests;
          assert.deepEqual(others, {}, 'nothing but looks');
        }
      }
    });

    it('what rclone has pushed comes back whole, byte and time, and not twice', async () => {
      const { run, remote, rclone } = await pushedByRclone();
      const target = join(folder, `pulled-${buckets}`);
      const { transferred } = await run({ direction: 'pull', path: target });
      assert.equal(transferred.files, expected.size);
      assertSameToTheMicrosecond(readFiles(target), expected);
      assert.deepEqual((await run({ direction: 'pull', path: target })).transferred, { files: 0, bytes: 0 });
      // Node.js sets microseconds; for rclone, which compares nanoseconds, the window has to be as wide.
      const { stderr } = await rclone('sync', remote, target, '-v', '--modify-window', '1us');
      assert.match(stderr, /There was nothing to transfer/);
      rmSync(target, { recursive: true });
    });

    it('what we have pushed comes back whole through rclone', async () => {
      const { remote, rclone } = await pushed();
      const target = join(folder, `pulled-${buckets}`);
      await rclone('sync', remote, target);
      assert.deepEqual(readFiles(target), expected);
      rmSync(target, { recursive: true });
    });

    it('verify proves every byte, whichever of the two has uploaded it', async () => {
      for (const shared of [await pushed(), await pushedByRclone()]) {
        const { verify } = await shared.run(
          { direction: 'push', path: source, taskId: 'verify' },
          { operation: 'verify', verify: { method: 'checksum', sample: 100 } },
        );
        assert.equal(verify?.matched, expected.size);
      }
    });

    it('a file that either changes is the only one that the other transfers', async () => {
      const { run, remote, rclone } = await pushed();
      const changed = join(folder, `changed-${buckets}`);
      writeFiles(changed);
      writeFileSync(join(changed, 'a0'), 'by rclone');
      await rclone('sync', changed, remote);
      const pulled = await run({ direction: 'pull', path: changed, taskId: 'unchanged' });
      assert.equal(pulled.transferred.files, 0);
      const back = await run({ direction: 'push', path: source });
      assert.equal(back.transferred.files, 1);
      const { stderr } = await rclone('sync', remote, changed, '-v');
      assert.match(stderr, /a0: Copied/);
      assert.deepEqual(readFiles(changed), expected);
      rmSync(changed, { recursive: true });
    });

    it('owner and mode that either has kept, the other brings back', async () => {
      const own = join(folder, 'modes');
      for (const [path, mode] of MODES) {
        mkdirSync(own, { recursive: true });
        writeFileSync(join(own, path), path);
        chmodSync(join(own, path), mode);
      }
      const { run, remote, rclone } = await share();
      await run({ direction: 'push', path: own, metadata: true });
      await rclone('copy', '--metadata', remote, join(folder, 'modes by rclone'));
      assert.deepEqual(modesIn(join(folder, 'modes by rclone')), modesIn(own));
      await rclone('copy', '--metadata', own, `${remote} 2`);
      await run({
        direction: 'pull',
        path: join(folder, 'modes by us'),
        folder: 'the tree 2',
        metadata: true,
      });
      assert.deepEqual(modesIn(join(folder, 'modes by us')), modesIn(own));
    });
  });
}

const MODES: readonly [string, number][] = [
  ['private', 0o600],
  ['program', 0o755],
  ['read-only', 0o444],
];

function modesIn(root: string): [string, string][] {
  return readdirSync(root)
    .sort()
    .map((name) => [name, (statSync(join(root, name)).mode & 0o7777).toString(8)]);
}

function writeFiles(root: string): void {
  for (const [index, [path, size]] of FILES.entries()) {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, pseudoRandomBytes(size, index + 1));
    setTime(file, OTHER_TIMES[path] ?? FIRST_TIME + BigInt(index) * 1_000_000_007n);
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
  return new Map([...tree].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
}

function assertSameToTheMicrosecond(found: Tree, expected: Tree): void {
  assert.deepEqual([...found.keys()], [...expected.keys()]);
  for (const [path, file] of expected) {
    const other = found.get(path)!;
    assert.deepEqual([other.size, other.md5], [file.size, file.md5], path);
    const difference = other.time - file.time;
    assert.ok(difference > -1000n && difference < 1000n, `${path}: ${difference} ns apart`);
  }
}

/** A path as rclone prints it: control characters as pictures of them. */
function shown(path: string): string {
  return path.replace(/[\t\n]/g, (control) => String.fromCodePoint(0x2400 + control.codePointAt(0)!));
}

/** Of a time as RFC 3339 has it, in ns since the epoch. */
function nanoseconds(text: string): bigint {
  const [, seconds, decimals = '', zone] = /^([^.Z+]*)(?:\.(\d+))?(.*)$/.exec(text)!;
  return BigInt(Date.parse(`${seconds}${zone}`)) * 1_000_000n + BigInt(decimals.padEnd(9, '0'));
}

function inOrder(files: [string, number, bigint][]): string[] {
  return files.map((file) => file.join(' ')).sort();
}
