/** Links that are kept: stored as rclone's --links stores them, brought back by either program, never leading out. */

import assert from 'node:assert/strict';
import {
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execute } from '../../src/runner/execute.js';
import type { RunRequest, TaskSettings } from '../../src/runner/task.js';
import { contentOfBytes } from '../../src/stores/content.js';
import { runRequest } from '../runner/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { BUCKET, closeAll, openAt } from '../stores/s3-support.js';
import { rcloneVersion, runRcloneAlongside } from './rclone.js';

/** Name to target; a target without an arrow is a file's content. */
const LINKS: Record<string, string> = {
  'a.txt': 'a',
  'b/c/d.txt': 'd',
  'b/c/to file': '-> d.txt',
  'b/c/up and down': '-> ../../a.txt',
  'b/to folder': '-> c',
  'b/to the top': '-> ..',
  dangling: '-> not/there',
  'ünï → 日本': '-> b/ünï',
  // Its file in the bucket would be out of order beside `order-x` if it were listed by its own name.
  order: '-> a.txt',
  'order-x': 'x',
};
const TIME = 1_500_000_000;

describe('links that are kept', function () {
  this.timeout(60_000);
  let server: S3Server;
  let folder: string;
  let source: string;
  let runs = 0;

  before(async () => {
    server = await startS3Server();
  });
  after(() => server.stop());
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cloud-sync-links-'));
    source = join(folder, 'source');
    writeLinks(source, LINKS);
  });
  afterEach(async () => {
    rmSync(folder, { recursive: true, force: true });
    await closeAll();
  });

  const run = async (task: Partial<TaskSettings>, rest: Partial<RunRequest> = {}) => {
    const { url: endpoint, region, accessKeyId, secretAccessKey } = server;
    const request = runRequest(
      join(folder, 'data'),
      {
        credential: {
          id: 'c',
          name: '',
          provider: 's3',
          config: { endpoint, region },
          secrets: { accessKeyId, secretAccessKey },
        },
        bucket: BUCKET,
        folder: `links ${runs}`,
        transferMode: 'sync',
        keepSymlinks: true,
        taskId: `${task.direction} ${runs} ${task.path}`,
        ...task,
      },
      rest,
    );
    const host = { signal: new AbortController().signal, phase: () => {}, log: () => {} };
    return await execute(request, host).result;
  };
  const good = async (task: Partial<TaskSettings>, rest?: Partial<RunRequest>) => {
    const result = await run(task, rest);
    assert.deepEqual([result.errors, result.warnings, result.status], [[], [], 'success']);
    return result;
  };

  beforeEach(async () => {
    runs++;
    const { account } = openAt(server);
    const names = [];
    for await (const { name } of account.listBuckets()) names.push(name);
    if (!names.includes(BUCKET)) await account.createBucket(BUCKET);
  });

  const encryptions: [string, Partial<TaskSettings>][] = [
    ['', {}],
    [
      ', encrypted with names',
      { encryption: true, filenameEncryption: true, encryptionPassword: 'correct horse' },
    ],
    [', encrypted', { encryption: true, encryptionPassword: 'correct horse' }],
  ];
  for (const [how, settings] of encryptions) {
    it(`come back as they were${how}, are verified, and not transferred twice`, async () => {
      const pushed = await good({ direction: 'push', path: source, ...settings });
      assert.equal(pushed.transferred.files, Object.keys(LINKS).length);
      for (let again = 0; again < 2; again++) {
        const { transferred, checked } = await good({ direction: 'push', path: source, ...settings });
        assert.deepEqual([transferred.files, checked], [0, pushed.transferred.files]);
      }
      const target = join(folder, 'target');
      await good({ direction: 'pull', path: target, ...settings });
      assert.deepEqual(readLinks(target), LINKS);
      assert.equal(lstatSync(join(target, 'b/c/to file')).mtimeMs / 1000, TIME);
      const twice = await good({ direction: 'pull', path: target, ...settings });
      assert.equal(twice.transferred.files, 0);
      for (const method of ['metadata', 'download', 'checksum'] as const) {
        const { verify } = await good(
          { direction: 'push', path: target, ...settings },
          { operation: 'verify', verify: { method, sample: 100 } },
        );
        assert.equal(verify?.matched, Object.keys(LINKS).length, method);
      }
    });
  }

  it('change, go, become files and folders and come of them, on both sides', async () => {
    const target = join(folder, 'target');
    const both = async (expected: Record<string, string>) => {
      rmSync(source, { recursive: true });
      writeLinks(source, expected);
      for (const backupFolder of ['', 'kept']) {
        const task = { folder: `states ${runs} ${backupFolder}`, maxDelete: null };
        await good({ direction: 'push', path: source, ...task });
        const here = `${target}${backupFolder}`;
        await good({ direction: 'pull', path: here, backupFolder, ...task });
        rmSync(join(here, 'kept'), { recursive: true, force: true });
        assert.deepEqual(readLinks(here), expected);
      }
    };
    await both({ a: '-> x', b: 'file', 'c/1': 'in folder', d: '-> x', e: '-> x', stays: 's' });
    await both({ a: '-> yz', b: '-> x', c: '-> x', 'd/1': 'in folder', e: 'file', stays: 's' });
    await both({ b: '-> stays', 'c/d/e': '-> ../../stays', d: '-> c', 'e/1': '-> ../d', stays: 's' });
    await both({ b: 'file', c: 'file', 'd/c': '-> ../b', e: '-> b', stays: 's' });
  });

  it('are made only if they stay in the folder; others are named, and what they name is not touched', async () => {
    const target = join(folder, 'target');
    const { store } = openAt(server);
    const bad: Record<string, string> = {
      absolute: '/etc/passwd',
      beside: '../beside',
      'deep/one too many': '../../x',
      'deep/comes back': '../../target/deep',
      'after a name': 'deep/../a.txt',
      prefix: `${target}-2/x`,
      'absolute with dots': `${target}/../x`,
      empty: '',
      'with a NUL': 'a\0b',
      long: 'x/'.repeat(3000),
    };
    const fine: Record<string, string> = {
      'deep/top': '..',
      'deep/dots': './/../a.txt',
      inside: `${target}/a.txt`,
      'the top': target,
    };
    for (const [name, content] of Object.entries({ ...bad, ...fine })) {
      await store.write(`links ${runs}/${name}.rclonelink`, contentOfBytes(Buffer.from(content)));
    }
    await store.write(`links ${runs}/a.txt`, contentOfBytes(Buffer.from('a')));
    const result = await run({ direction: 'pull', path: target });
    assert.equal(result.status, 'failed');
    assert.deepEqual(
      result.errors.map(({ path, code }) => `${path} ${code}`).sort(),
      Object.keys(bad)
        .map((name) => `${name}.rclonelink INVALID_NAME`)
        .sort(),
    );
    assert.match(result.errors.find(({ path }) => path === 'absolute.rclonelink')!.message, /\/etc\/passwd/);
    const expected = Object.entries(fine).map(([name, content]) => [name, `-> ${content}`]);
    assert.deepEqual(readLinks(target), { 'a.txt': 'a', ...Object.fromEntries(expected) });
    await store.write(`links ${runs}/inside/x`, contentOfBytes(Buffer.from('through a link')));
    const through = await run({ direction: 'pull', path: target, transferMode: 'copy' });
    assert.ok(through.errors.some(({ path, code }) => path === 'inside/x' && code === 'OBSTRUCTED'));
  });

  it('are not confused with files that have such a name', async () => {
    writeFileSync(join(source, 'file.rclonelink'), 'content');
    writeFileSync(join(source, 'order.rclonelink'), 'content');
    const result = await run({ direction: 'push', path: source });
    assert.deepEqual(
      result.errors.map(({ path, code }) => `${path} ${code}`),
      ['file.rclonelink INVALID_NAME', 'order.rclonelink COLLISION'],
    );
    const { store } = openAt(server);
    for (const name of ['file', 'order']) {
      assert.equal(await store.head(`links ${runs}/${name}.rclonelink`), undefined);
    }
  });

  describe('with rclone', () => {
    before(function () {
      if (rcloneVersion() !== undefined) return;
      if (process.env.CI_REQUIRE_SERVERS === '1') assert.fail('rclone is required here and not installed');
      console.warn('      NOT TESTED: rclone is not installed, no links were shared with it');
      this.skip();
    });

    const rclone = async (...args: string[]) => {
      const result = await runRcloneAlongside(args, {
        RCLONE_CONFIG_SHARED_TYPE: 's3',
        RCLONE_CONFIG_SHARED_PROVIDER: 'Other',
        RCLONE_CONFIG_SHARED_ENDPOINT: server.url,
        RCLONE_CONFIG_SHARED_REGION: server.region,
        RCLONE_CONFIG_SHARED_ACCESS_KEY_ID: server.accessKeyId,
        RCLONE_CONFIG_SHARED_SECRET_ACCESS_KEY: server.secretAccessKey,
        RCLONE_RETRIES: '1',
      });
      assert.equal(result.exitCode, 0, `rclone ${args.join(' ')}: ${result.stderr}`);
      return result;
    };

    it('what we have pushed is up to date for it and comes back through it', async () => {
      await good({ direction: 'push', path: source });
      const remote = `shared:${BUCKET}/links ${runs}`;
      const { stderr } = await rclone('sync', '--links', source, remote, '-v');
      assert.match(stderr, /There was nothing to transfer/);
      await rclone('check', '--links', source, remote);
      await rclone('sync', '--links', remote, join(folder, 'by rclone'));
      assert.deepEqual(readLinks(join(folder, 'by rclone')), LINKS);
    });

    it('what it has pushed is up to date for us and comes back through us', async () => {
      const remote = `shared:${BUCKET}/links ${runs}`;
      await rclone('sync', '--links', source, remote);
      assert.equal((await good({ direction: 'push', path: source })).transferred.files, 0);
      await good({ direction: 'pull', path: join(folder, 'by us') });
      assert.deepEqual(readLinks(join(folder, 'by us')), LINKS);
    });
  });
});

function writeLinks(root: string, entries: Record<string, string>): void {
  for (const [name, content] of Object.entries(entries)) {
    const path = join(root, name);
    mkdirSync(dirname(path), { recursive: true });
    if (content.startsWith('-> ')) {
      symlinkSync(content.slice(3), path);
      lutimesSync(path, TIME, TIME);
    } else {
      writeFileSync(path, content);
      utimesSync(path, TIME, TIME);
    }
  }
}

function readLinks(root: string, above = ''): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(join(root, above), { withFileTypes: true })) {
    const name = join(above, entry.name);
    if (entry.isSymbolicLink()) found[name] = `-> ${readlinkSync(join(root, name))}`;
    else if (entry.isFile()) found[name] = readFileSync(join(root, name), 'utf8');
    else Object.assign(found, readLinks(root, name));
  }
  return found;
}
