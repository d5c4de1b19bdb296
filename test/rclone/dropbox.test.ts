/**
 * rclone's dropbox backend and whole runs of ours on one folder of the Dropbox server: what either has written is up to date
 * for the other. rclone reaches the server under Dropbox's own addresses, through a proxy.
 */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type ExecutionResult, execute } from '../../src/runner/execute.js';
import type { RunRequest, TaskSettings } from '../../src/runner/task.js';
import { md5, pseudoRandomBytes } from '../conformance/support.js';
import { runRequest } from '../runner/support.js';
import { DROPBOX_TEST_CERTIFICATE, type DropboxProxy, startDropboxProxy } from '../servers/dropbox/proxy.js';
import { type DropboxServer, startDropboxServer } from '../servers/dropbox/server.js';
import { type RcloneResult, rcloneVersion, runRcloneAlongside } from './rclone.js';
import { setTime } from './sync-tree.js';

const MIB = 1024 * 1024;
/** 9 MiB is more than one chunk for both. */
const FILES: readonly [path: string, size: number][] = [
  ['a-b', 1],
  ['a.txt', 2],
  ['a/x', 3],
  ['empty', 0],
  ['Grüße/世界 📷.jpg', 1234],
  ['odd/back\\slash', 19],
  ['odd/plus + percent %41 # & ? = ; : @', 20],
  ['odd/ends with space ', 21],
  ['odd/delete\u007f', 23],
  ['parts/9 MiB and a byte.bin', 9 * MIB + 1],
];
const SECOND = 1_000_000_000n;
const FIRST_TIME = 1_500_000_000n * SECOND;

type Tree = Record<string, { md5: string; time: bigint }>;

function readFiles(root: string): Tree {
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map((entry) => {
      const file = join(entry.parentPath, entry.name);
      // Dropbox keeps whole seconds.
      const time = statSync(file, { bigint: true }).mtimeNs / SECOND;
      return [file.slice(root.length + 1), { md5: md5(readFileSync(file)), time }];
    }),
  );
}

describe("rclone's dropbox backend and whole runs of ours", function () {
  this.timeout(120_000);
  let server: DropboxServer;
  let proxy: DropboxProxy;
  let folder: string;
  let source: string;
  let expected: Tree;
  let shares = 0;

  before(async function () {
    if (rcloneVersion() === undefined) {
      if (process.env.CI_REQUIRE_SERVERS === '1') assert.fail('rclone is required here and not installed');
      console.warn('      NOT TESTED: rclone is not installed, no Dropbox was shared with it');
      this.skip();
    }
    server = await startDropboxServer({ port: 0 });
    proxy = await startDropboxProxy(server.url);
    folder = mkdtempSync(join(tmpdir(), 'rclone-dropbox-'));
    writeFileSync(join(folder, 'certificate.pem'), DROPBOX_TEST_CERTIFICATE);
    source = join(folder, 'source');
    for (const [index, [path, size]] of FILES.entries()) {
      const file = join(source, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, pseudoRandomBytes(size, index + 1));
      setTime(file, FIRST_TIME + BigInt(index) * SECOND);
    }
    expected = readFiles(source);
  });
  after(async () => {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    await proxy?.stop();
    await server?.stop();
  });

  interface Shared {
    remote: string;
    run(task: Partial<TaskSettings>, rest?: Partial<RunRequest>): Promise<ExecutionResult>;
    rclone(...args: string[]): Promise<RcloneResult>;
  }

  const share = (): Shared => {
    const { appKey, appSecret, refreshToken } = server;
    const shared = `shared ${++shares}`;
    return {
      remote: `shared:${shared}/the tree`,
      async rclone(...args) {
        const token = {
          access_token: 'expired',
          refresh_token: refreshToken,
          expiry: '2000-01-01T00:00:00Z',
        };
        const config = join(folder, 'rclone.conf');
        writeFileSync(
          config,
          [
            '[shared]',
            'type = dropbox',
            `client_id = ${appKey}`,
            `client_secret = ${appSecret}`,
            `token = ${JSON.stringify(token)}`,
            'chunk_size = 5M',
          ].join('\n'),
        );
        const found = ['--config', config, '--ca-cert', join(folder, 'certificate.pem'), '--retries', '1'];
        const exact = ['--no-unicode-normalization'];
        const result = await runRcloneAlongside([...args, ...found, ...exact], { HTTPS_PROXY: proxy.url });
        assert.equal(result.exitCode, 0, `rclone ${args.join(' ')}: ${result.stderr}`);
        return result;
      },
      async run(task, rest) {
        const credential = {
          id: 'credential',
          name: '',
          provider: 'dropbox',
          config: { endpoint: server.url },
          secrets: { appKey, refreshToken },
        };
        const place = { credential, bucket: '', folder: `${shared}/the tree` };
        const settings = { taskId: `${task.direction}`, transferMode: 'sync', chunkSize: 5 } as const;
        const request = runRequest(join(folder, `data ${shares}`), { ...place, ...settings, ...task }, rest);
        const host = { signal: new AbortController().signal, phase: () => {}, log: () => {} };
        const result = await execute(request, host).result;
        assert.deepEqual([result.status, result.errors], ['success', []]);
        return result;
      },
    };
  };

  const nothingDone = { files: 0, bytes: 0 };

  it('what rclone has pushed is not sent again, by time and by checksum', async () => {
    const { rclone, remote, run } = share();
    await rclone('sync', source, remote);
    for (const checksum of [false, true]) {
      const { checked, transferred, deleted } = await run({ direction: 'push', path: source, checksum });
      assert.deepEqual(
        { checked, transferred, deleted },
        { checked: FILES.length, transferred: nothingDone, deleted: 0 },
      );
    }
  });

  it('what rclone has pushed comes back whole, and not twice', async () => {
    const { rclone, remote, run } = share();
    await rclone('sync', source, remote);
    const target = join(folder, `pulled-${shares}`);
    assert.equal((await run({ direction: 'pull', path: target })).transferred.files, FILES.length);
    assert.deepEqual(readFiles(target), expected);
    assert.deepEqual((await run({ direction: 'pull', path: target })).transferred, nothingDone);
  });

  it('what we have pushed is not sent again by rclone, by time and by checksum, and comes back whole', async () => {
    const { rclone, remote, run } = share();
    assert.equal((await run({ direction: 'push', path: source })).transferred.files, FILES.length);
    for (const flags of [[], ['--checksum']]) {
      const { stderr } = await rclone('sync', source, remote, '-v', ...flags);
      assert.match(stderr, /There was nothing to transfer/);
      assert.doesNotMatch(stderr, /: (Copied|Deleted|Updated)/);
    }
    const check = await rclone('check', source, remote, '-v');
    assert.match(check.stderr, new RegExp(`${FILES.length} matching files`));
    const theirs = join(folder, `rclone-${shares}`);
    await rclone('sync', remote, theirs);
    assert.deepEqual(readFiles(theirs), expected);
  });

  it('what either deletes is gone for the other', async () => {
    const { rclone, remote, run } = share();
    await run({ direction: 'push', path: source });
    await rclone('deletefile', `${remote}/a.txt`);
    const target = join(folder, `smaller-${shares}`);
    await run({ direction: 'pull', path: target });
    assert.deepEqual(
      Object.keys(readFiles(target)).sort(),
      Object.keys(expected)
        .filter((path) => path !== 'a.txt')
        .sort(),
    );
    rmSync(join(target, 'a-b'));
    assert.equal((await run({ direction: 'push', path: target })).deleted, 1);
    const { stdout } = await rclone('lsf', remote);
    assert.deepEqual(stdout.trim().split('\n').sort(), ['Grüße/', 'a/', 'empty', 'odd/', 'parts/']);
  });
});
