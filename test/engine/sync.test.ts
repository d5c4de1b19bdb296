import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openMemoryStore } from '../../src/stores/memory.js';
import {
  type Bench,
  editQuietly,
  memoryBench,
  putObject,
  readFolders,
  readStore,
  readTree,
  removeFolder,
  runOnce,
  writeTree,
} from './support.js';

const TREE = { 'a.txt': 'a', 'b/c.txt': 'c', 'b/d/e.txt': 'e', empty: '', 'ünï/日本.txt': 'x' };

function many(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, at) => [`many/${at}.txt`, `content ${at}`]));
}

describe('a transfer run', () => {
  let bench: Bench;

  beforeEach(() => {
    bench = memoryBench();
  });

  afterEach(() => removeFolder(bench.folder));

  describe('push', () => {
    it('copies a tree with its times', async () => {
      writeTree(bench.localRoot, TREE);
      const result = await runOnce(bench, { transferMode: 'copy', prefix: 'backup/' });
      assert.deepEqual(result.errors, []);
      assert.deepEqual(await readStore(bench.remote, 'backup/'), TREE);
      assert.equal(result.transferred.files, 5);
      assert.equal((await bench.remote.head('backup/a.txt'))?.modificationTime, 1_600_000_000_000_000_000n);
    });

    it('transfers nothing the second time, without a question per file', async () => {
      writeTree(bench.localRoot, TREE);
      await runOnce(bench);
      // The first run recorded files as not settled, because they had just been made.
      await runOnce(bench);
      let heads = 0;
      const head = bench.remote.head.bind(bench.remote);
      bench.remote.head = (...args) => {
        heads++;
        return head(...args);
      };
      const again = await runOnce(bench);
      assert.equal(again.transferred.files, 0);
      assert.equal(again.checked, 5);
      assert.equal(heads, 0);
    });

    it('finds an edit of the same size with its time put back', async () => {
      writeTree(bench.localRoot, TREE);
      await runOnce(bench);
      editQuietly(join(bench.localRoot, 'b/c.txt'), 'C');
      const result = await runOnce(bench);
      assert.equal(result.transferred.files, 1);
      assert.equal((await readStore(bench.remote))['b/c.txt'], 'C');
    });

    it('finds an object that another program overwrote with the same size and time', async () => {
      writeTree(bench.localRoot, TREE);
      await runOnce(bench);
      await putObject(bench.remote, 'b/c.txt', 'Z');
      await runOnce(bench);
      assert.equal((await readStore(bench.remote))['b/c.txt'], 'c');
    });

    it('sends nothing for a change of the time alone, but passes the time on', async () => {
      writeTree(bench.localRoot, TREE);
      await runOnce(bench);
      utimesSync(join(bench.localRoot, 'a.txt'), 1_650_000_000, 1_650_000_000);
      const result = await runOnce(bench);
      assert.equal(result.transferred.files, 0);
      assert.equal((await bench.remote.head('a.txt'))?.modificationTime, 1_650_000_000_000_000_000n);
      assert.equal((await runOnce(bench)).transferred.files, 0);
    });

    it('trusts no index of another destination, nor a damaged one', async () => {
      writeTree(bench.localRoot, TREE);
      await runOnce(bench);
      bench.remote = openMemoryStore();
      assert.equal((await runOnce(bench)).transferred.files, 5);
      writeFileSync(join(bench.folder, 'state', 'index'), 'nonsense\n1\t2\n');
      assert.equal((await runOnce(bench)).transferred.files, 0);
    });

    it('deletes with sync what the source no longer has, and with copy nothing', async () => {
      writeTree(bench.localRoot, TREE);
      await runOnce(bench);
      rmSync(join(bench.localRoot, 'b'), { recursive: true });
      assert.equal((await runOnce(bench, { transferMode: 'copy' })).deleted, 0);
      const result = await runOnce(bench);
      assert.equal(result.deleted, 2);
      assert.deepEqual(Object.keys(await readStore(bench.remote)).sort(), ['a.txt', 'empty', 'ünï/日本.txt']);
    });

    it('deletes nothing after an error', async () => {
      writeTree(bench.localRoot, TREE);
      await putObject(bench.remote, 'old.txt', 'old');
      const write = bench.remote.write.bind(bench.remote);
      bench.remote.write = async (key, content, options) => {
        if (key === 'a.txt') throw new Error('refused');
        return write(key, content, options);
      };
      const result = await runOnce(bench);
      assert.equal(result.deleted, 0);
      assert.equal(result.errors.length, 1);
      assert.equal(result.errors[0]!.path, 'a.txt');
      assert.equal((await readStore(bench.remote))['old.txt'], 'old');
    });

    it('deletes nothing where more than maxDelete is due, and says so', async () => {
      writeTree(bench.localRoot, { 'keep.txt': 'k' });
      for (const [key, content] of Object.entries(many(30))) await putObject(bench.remote, key, content);
      for (const maxDelete of [29, '50%', '96%']) {
        const result = await runOnce(bench, { maxDelete });
        assert.deepEqual(result.codes, ['MAX_DELETE']);
        assert.equal(result.deleted, 0);
        assert.match(result.errors[0]!.message, /30 of 30|30 of 31/);
      }
      assert.equal((await runOnce(bench, { maxDelete: 30 })).deleted, 30);
    });

    it('deletes nothing where another task keeps its files, and says whose', async () => {
      writeTree(bench.localRoot, { 'keep.txt': 'k' });
      await putObject(bench.remote, 'raw/theirs', 'x');
      await putObject(bench.remote, 'old', 'x');
      const result = await runOnce(bench, { otherTasks: [{ prefix: 'raw/', task: 'Raw pictures' }] });
      assert.deepEqual([result.codes, result.deleted], [['OTHER_TASK'], 0]);
      assert.match(result.errors[0]!.message, /Raw pictures/);
      const apart = await runOnce(bench, {
        exclude: ['/raw/**'],
        otherTasks: [{ prefix: 'raw/', task: 'Raw pictures' }],
      });
      assert.deepEqual([apart.codes, apart.deleted], [[], 1]);
    });

    it('counts a share of deletes only from 20 files up', async () => {
      writeTree(bench.localRoot, { 'keep.txt': 'k' });
      for (const [key, content] of Object.entries(many(10))) await putObject(bench.remote, key, content);
      assert.equal((await runOnce(bench, { maxDelete: '50%' })).deleted, 10);
    });

    it('never takes an empty or missing folder for a source', async () => {
      await putObject(bench.remote, 'x', 'x');
      const missing = await runOnce(bench).catch((error) => error);
      assert.equal(missing.field, 'path');
      mkdirSync(bench.localRoot);
      assert.deepEqual((await runOnce(bench)).codes, ['SOURCE_EMPTY']);
      assert.deepEqual(await readStore(bench.remote), { x: 'x' });
    });

    it('moves: the source goes once its copy is confirmed, folders stay', async () => {
      writeTree(bench.localRoot, TREE);
      const result = await runOnce(bench, { transferMode: 'move' });
      assert.equal(result.deleted, 5);
      assert.deepEqual(await readStore(bench.remote), TREE);
      assert.deepEqual(readTree(bench.localRoot), {});
      assert.deepEqual(readFolders(bench.localRoot), ['b', 'b/d', 'ünï']);
    });

    it('moves nothing away whose copy is another content of the same size and time', async () => {
      writeTree(bench.localRoot, { 'a.txt': 'a' });
      await putObject(bench.remote, 'a.txt', 'Q');
      await runOnce(bench, { transferMode: 'move' });
      assert.deepEqual(await readStore(bench.remote), { 'a.txt': 'a' });
    });

    it('says in a dry run what it would do, and does nothing', async () => {
      writeTree(bench.localRoot, TREE);
      await putObject(bench.remote, 'old.txt', 'old');
      const result = await runOnce(bench, { dryRun: true });
      assert.deepEqual([result.transferred, result.deleted], [{ files: 5, bytes: 4 }, 1]);
      assert.deepEqual(await readStore(bench.remote), { 'old.txt': 'old' });
      assert.equal(existsSync(join(bench.folder, 'state')), false);
    });

    it('leaves out what filters exclude on both sides', async () => {
      writeTree(bench.localRoot, { 'a.txt': 'a', 'a.tmp': 't', 'cache/x': 'x' });
      await putObject(bench.remote, 'b.tmp', 'there');
      const result = await runOnce(bench, { exclude: ['*.tmp', '/cache/**'] });
      assert.equal(result.deleted, 0);
      assert.deepEqual(await readStore(bench.remote), { 'a.txt': 'a', 'b.tmp': 'there' });
    });

    it('never touches the reserved prefix', async () => {
      writeTree(bench.localRoot, { 'a.txt': 'a', '.node-red-cloud-sync/x': 'local' });
      await putObject(bench.remote, '.node-red-cloud-sync/lease', 'lease');
      await runOnce(bench);
      assert.deepEqual(await readStore(bench.remote), {
        'a.txt': 'a',
        '.node-red-cloud-sync/lease': 'lease',
      });
    });

    it('sends large files in parts, and takes an interrupted upload up again', async () => {
      const content = 'x'.repeat(10_000) + 'y'.repeat(10_000);
      bench.remote = openMemoryStore({
        features: {
          upload: {
            threshold: 5_000,
            minPartSize: 4_000,
            maxPartSize: 4_000,
            maxParts: 10_000,
            sequential: false,
            maxParallelParts: 1,
          },
        },
      });
      writeTree(bench.localRoot, { big: content });
      const stop = new AbortController();
      const sent: number[] = [];
      const createUpload = bench.remote.createUpload.bind(bench.remote);
      const resumeUpload = bench.remote.resumeUpload.bind(bench.remote);
      const spy = (upload: Awaited<ReturnType<typeof createUpload>>, stopAt: number) => {
        const sendPart = upload.sendPart.bind(upload);
        upload.sendPart = async (number, part, signal) => {
          if (number === stopAt) stop.abort();
          const arrived = await sendPart(number, part, signal);
          sent.push(number);
          return arrived;
        };
        return upload;
      };
      bench.remote.createUpload = async (...args) => spy(await createUpload(...args), 4);
      bench.remote.resumeUpload = async (...args) => spy(await resumeUpload(...args), 0);
      await runOnce(bench, { signal: stop.signal });
      assert.deepEqual(await readStore(bench.remote), {});
      const before = sent.length;
      assert.ok(before >= 2, `${before} parts were sent before the stop`);
      const result = await runOnce(bench);
      assert.deepEqual(result.errors, []);
      assert.equal(sent.length, 5);
      assert.deepEqual([...sent].sort(), [1, 2, 3, 4, 5]);
      assert.deepEqual(await readStore(bench.remote), { big: content });
    });
  });

  describe('pull', () => {
    const pull = { direction: 'pull' } as const;

    async function fill(tree: Record<string, string>) {
      for (const [key, content] of Object.entries(tree)) await putObject(bench.remote, `p/${key}`, content);
    }

    it('makes the folder and brings files with their times', async () => {
      await fill(TREE);
      const result = await runOnce(bench, { ...pull, prefix: 'p/', transferMode: 'copy' });
      assert.deepEqual(result.errors, []);
      assert.deepEqual(readTree(bench.localRoot), TREE);
      assert.equal(statSync(join(bench.localRoot, 'a.txt')).mtimeMs, 1_600_000_000_000);
      const again = await runOnce(bench, { ...pull, prefix: 'p/', transferMode: 'copy' });
      assert.equal(again.transferred.files, 0);
    });

    it('finds a local edit of the same size with its time put back', async () => {
      await fill(TREE);
      await runOnce(bench, { ...pull, prefix: 'p/' });
      editQuietly(join(bench.localRoot, 'a.txt'), 'A');
      const result = await runOnce(bench, { ...pull, prefix: 'p/' });
      assert.equal(result.transferred.files, 1);
      assert.equal(readTree(bench.localRoot)['a.txt'], 'a');
    });

    it('removes local files and folders the source does not have', async () => {
      await fill(TREE);
      writeTree(bench.localRoot, { 'b/stale.txt': 's', 'gone/deep/x': 'x', 'a.txt': 'other' });
      mkdirSync(join(bench.localRoot, 'empty-folder'));
      const result = await runOnce(bench, { ...pull, prefix: 'p/' });
      assert.deepEqual(result.errors, []);
      assert.equal(result.deleted, 2);
      assert.deepEqual(readTree(bench.localRoot), TREE);
      assert.deepEqual(readFolders(bench.localRoot), ['b', 'b/d', 'ünï']);
    });

    it('is an error where the prefix has no object', async () => {
      writeTree(bench.localRoot, { x: 'x' });
      await putObject(bench.remote, 'p2/a', 'a');
      for (const transferMode of ['sync', 'copy', 'move'] as const) {
        const result = await runOnce(bench, { ...pull, prefix: 'p/', transferMode });
        assert.deepEqual(result.codes, ['SOURCE_EMPTY']);
      }
      assert.deepEqual(readTree(bench.localRoot), { x: 'x' });
    });

    it('lets a file become a folder and a folder a file', async () => {
      writeTree(bench.localRoot, { a: 'was a file', 'b/x': '1', 'b/y/z': '2', 'keep.txt': 'k' });
      await fill({ 'a/x': 'new', 'a/y/z': 'new too', b: 'now a file', 'keep.txt': 'k' });
      const result = await runOnce(bench, { ...pull, prefix: 'p/' });
      assert.deepEqual(result.errors, []);
      assert.equal(result.deleted, 3);
      assert.deepEqual(readTree(bench.localRoot), {
        'a/x': 'new',
        'a/y/z': 'new too',
        b: 'now a file',
        'keep.txt': 'k',
      });
    });

    it('puts an obstacle back where the new content does not arrive', async () => {
      writeTree(bench.localRoot, { a: 'was a file', 'b/x': '1' });
      await fill({ 'a/x': 'new', b: 'now a file' });
      const open = bench.remote.open.bind(bench.remote);
      let opened = 0;
      bench.remote.open = async (key, options) => {
        if (key === 'p/b' && ++opened > 1) throw new Error('cut off');
        return open(key, options);
      };
      const result = await runOnce(bench, { ...pull, prefix: 'p/' });
      assert.equal(result.deleted, 0);
      assert.ok(result.errors.length > 0);
      assert.deepEqual(readTree(bench.localRoot), { a: 'was a file', 'b/x': '1' });
    });

    it('does not put aside what a filter leaves out', async () => {
      writeTree(bench.localRoot, { 'b/x': '1', 'b/keep.me': '2' });
      await fill({ b: 'now a file' });
      const result = await runOnce(bench, { ...pull, prefix: 'p/', exclude: ['keep.me'] });
      assert.deepEqual(result.codes, ['OBSTRUCTED']);
      assert.deepEqual(readTree(bench.localRoot), { 'b/x': '1', 'b/keep.me': '2' });
    });

    it('counts obstacles under maxDelete', async () => {
      writeTree(bench.localRoot, { a: 'was a file' });
      await fill({ 'a/x': 'new' });
      const result = await runOnce(bench, { ...pull, prefix: 'p/', maxDelete: 0 });
      assert.deepEqual(result.codes, ['MAX_DELETE']);
      assert.deepEqual(readTree(bench.localRoot), { a: 'was a file' });
    });

    it('never writes outside the folder: hostile keys arrive under an encoded name', async () => {
      await fill({ '../../escape': 'x', 'a/../../b': 'y', 'ok.txt': 'z' });
      const result = await runOnce(bench, { ...pull, prefix: 'p/' });
      assert.deepEqual(result.errors, []);
      const there = { '．．/．．/escape': 'x', 'a/．．/．．/b': 'y', 'ok.txt': 'z' };
      assert.deepEqual(readTree(bench.localRoot), there);
      assert.equal(existsSync(join(bench.folder, 'escape')), false);
      const again = await runOnce(bench, { ...pull, prefix: 'p/' });
      assert.deepEqual([again.transferred.files, again.deleted], [0, 0]);
      assert.deepEqual(readTree(bench.localRoot), there);
    });

    it('transfers neither of two keys that become one name', async () => {
      await fill({ '../x': 'one', '．．/x': 'two', y: 'y' });
      const result = await runOnce(bench, { ...pull, prefix: 'p/', transferMode: 'copy' });
      assert.deepEqual(result.codes, ['COLLISION', 'COLLISION']);
      assert.deepEqual(readTree(bench.localRoot), { y: 'y' });
    });

    it('moves remote files away once they have arrived', async () => {
      await fill(TREE);
      const result = await runOnce(bench, { ...pull, prefix: 'p/', transferMode: 'move' });
      assert.deepEqual(result.errors, []);
      assert.deepEqual(readTree(bench.localRoot), TREE);
      assert.deepEqual(await readStore(bench.remote), {});
    });

    it('takes only the paths that were asked for', async () => {
      await fill(TREE);
      await runOnce(bench, { ...pull, prefix: 'p/', transferMode: 'copy', only: ['a.txt', 'b/d'] });
      assert.deepEqual(readTree(bench.localRoot), { 'a.txt': 'a', 'b/d/e.txt': 'e' });
    });
  });
});
