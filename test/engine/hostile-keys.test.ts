/** Keys that would lead out of the folder, on S3: they arrive inside under an encoded name, or are refused and named. */

import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { BUCKET, closeAll, openAt } from '../stores/s3-support.js';
import { type Bench, removeFolder, runOnce, temporaryFolder } from './support.js';

const LONG = 'n'.repeat(300);

/** Everything below `folder`, links as links. */
function snapshot(folder: string, prefix = ''): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(join(folder, prefix), { withFileTypes: true })) {
    const name = prefix + entry.name;
    const path = join(folder, name);
    if (entry.isSymbolicLink()) found[name] = `-> ${readlinkSync(path)}`;
    else if (entry.isDirectory()) Object.assign(found, snapshot(folder, `${name}/`));
    else found[name] = readFileSync(path, 'utf8');
  }
  return found;
}

describe('hostile keys in an S3 bucket', () => {
  let server: S3Server;
  let bench: Bench;
  let outside: string;
  before(async () => {
    server = await startS3Server();
  });
  after(() => server.stop());
  beforeEach(() => {
    server.createBucket(BUCKET);
    const folder = temporaryFolder();
    // Deep enough that what climbs out lands in a folder that is looked at.
    const localRoot = join(folder, 'up/up/target');
    outside = join(folder, 'outside');
    mkdirSync(localRoot, { recursive: true });
    mkdirSync(outside);
    writeFileSync(join(outside, 'file'), 'precious');
    bench = { folder, localRoot, remote: openAt(server).store };
  });
  afterEach(async () => {
    await closeAll();
    removeFolder(bench.folder);
  });

  const put = (...keys: string[]) => {
    for (const key of keys) server.objects.put(BUCKET, key, Buffer.from(`content of ${key}`));
  };
  const outsideTarget = () => {
    const all = Object.entries(snapshot(bench.folder));
    return Object.fromEntries(
      all.filter(([path]) => !path.startsWith('up/up/target/') && !/^(state|work)\//.test(path)),
    );
  };
  const named = (errors: { path: string; code: string }[]) =>
    errors.map(({ path, code }) => `${code} ${path}`).sort();
  const pull = (transferMode: 'sync' | 'copy' | 'move', options = {}) =>
    runOnce(bench, { direction: 'pull', transferMode, withIndex: false, ...options });

  for (const mode of ['copy', 'sync', 'move'] as const) {
    it(`arrive inside the folder, or are refused and named (${mode})`, async () => {
      const arriving = ['../../etc/x', 'a/../../b', './c', 'C:\\x', 'nul\0byte', 'con/aux', 'fine'];
      put(...arriving, '/abs', 'd//f', LONG, `${LONG}/x`);
      const { errors } = await pull(mode);
      assert.deepEqual(
        named(errors),
        ['INVALID_NAME /abs', 'INVALID_NAME d//f', `NAME_TOO_LONG ${LONG}`, `NAME_TOO_LONG ${LONG}/x`].sort(),
      );
      assert.deepEqual(snapshot(bench.localRoot), {
        '．．/．．/etc/x': 'content of ../../etc/x',
        'a/．．/．．/b': 'content of a/../../b',
        '．/c': 'content of ./c',
        'C:\\x': 'content of C:\\x',
        'nul␀byte': 'content of nul\0byte',
        'con/aux': 'content of con/aux',
        fine: 'content of fine',
      });
      assert.deepEqual(outsideTarget(), { 'outside/file': 'precious' });
      const left = server.objects.keys(BUCKET);
      if (mode === 'move') assert.deepEqual(left, ['/abs', 'd//f', LONG, `${LONG}/x`].sort());
      else assert.equal(left.length, 11);
    });

    for (const followSymlinks of [false, true]) {
      it(`never pass through a link planted in the target (${mode}${followSymlinks ? ', following links' : ''})`, async () => {
        symlinkSync(outside, join(bench.localRoot, 'folder'));
        symlinkSync(join(outside, 'file'), join(bench.localRoot, 'file'));
        symlinkSync('../../..', join(bench.localRoot, 'up'));
        symlinkSync(join(outside, 'made'), join(bench.localRoot, 'dangling'));
        mkdirSync(join(bench.localRoot, 'deep'));
        symlinkSync(outside, join(bench.localRoot, 'deep/folder'));
        put('folder/file', 'folder/new', 'file', 'up/outside/file', 'dangling', 'deep/folder/file', 'fine');
        const before = statSync(join(outside, 'file'));
        const { errors } = await pull(mode, { followSymlinks });
        assert.deepEqual(outsideTarget(), { 'outside/file': 'precious' });
        const after = statSync(join(outside, 'file'));
        assert.deepEqual([after.mtimeMs, after.mode, after.ino], [before.mtimeMs, before.mode, before.ino]);
        assert.equal(readFileSync(join(bench.localRoot, 'fine'), 'utf8'), 'content of fine');
        // What did not arrive is named; what did is a file of its own inside.
        for (const path of [
          'folder/file',
          'folder/new',
          'file',
          'up/outside/file',
          'dangling',
          'deep/folder/file',
        ]) {
          const isNamed = errors.some((error) => error.path === path);
          const parents = path.split('/').slice(0, -1);
          const throughLink = parents.some((_, index) =>
            lstatSync(join(bench.localRoot, ...parents.slice(0, index + 1))).isSymbolicLink(),
          );
          const isThere =
            !throughLink &&
            lstatSync(join(bench.localRoot, path), { throwIfNoEntry: false })?.isFile() === true;
          assert.ok(
            isNamed !== isThere,
            `${path}: ${isNamed ? 'named and there' : 'neither there nor named'}`,
          );
          if (isNamed) assert.ok(server.objects.find(BUCKET, path), `${path} was taken from the bucket`);
        }
      });
    }
  }

  it('never meet under one name: neither of a//b and a/b is transferred, in either order', async () => {
    const collided = ['a//b', 'a/b', 'x//y///z', 'x/y/z', '/top', 'top'];
    // Listed before the key that they collide with.
    collided.push('a/-', 'a//-', '.dot/x', '/.dot/x', 'b/-/+c', 'b//-//+c');
    const fine = ['fine', '.fine', 'b/-/+d', 'b/.e/f'];
    put(...collided, ...fine, 'lone//x');
    for (const mode of ['copy', 'sync', 'move'] as const) {
      const { errors } = await pull(mode);
      assert.deepEqual(
        named(errors),
        [...collided.map((key) => `COLLISION ${key}`), 'INVALID_NAME lone//x'].sort(),
      );
      const arrived = Object.fromEntries(fine.map((key) => [key, `content of ${key}`]));
      assert.deepEqual(snapshot(bench.localRoot), arrived);
      const left = server.objects.keys(BUCKET);
      for (const key of collided) assert.ok(left.includes(key), key);
    }
  });

  it('keep no file from arriving, however many have to wait for what might collide with them', async () => {
    const keys = Array.from({ length: 1_100 }, (_, index) => `.d/${index}`);
    put(...keys, 'a/.b', 'z');
    const { errors, transferred } = await pull('copy', { dryRun: true });
    assert.deepEqual([errors, transferred.files], [[], keys.length + 2]);
  });

  it('cost no question where there is none', async () => {
    put(...Array.from({ length: 50 }, (_, index) => `a/${index}`));
    server.requests.reset();
    await pull('copy');
    assert.deepEqual(server.requests.counts, { ListObjectsV2: 1, GetObject: 50 });
  });
});
