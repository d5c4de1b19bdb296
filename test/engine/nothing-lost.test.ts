import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { datedFolder, timeOfDatedFolder } from '../../src/engine/backup-folder.js';
import { CHANGING_RUNS } from '../../src/engine/changing-files.js';
import { checkPlace, rememberPlace } from '../../src/engine/mount-guard.js';
import { openMemoryStore } from '../../src/stores/memory.js';
import {
  type Bench,
  memoryBench,
  putObject,
  readStore,
  readTree,
  removeFolder,
  runOnce,
  writeTree,
} from './support.js';

const HOUR_AGO = Date.now() / 1000 - 3_600;

function files(count: number, folder: string): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, at) => [`${folder}/${at}.jpg`, `picture ${at}`]),
  );
}

describe('nothing lost, nothing sent twice', () => {
  let bench: Bench;
  let bodies: number;
  let copies: number;

  beforeEach(() => {
    bench = memoryBench();
    bodies = 0;
    copies = 0;
    const write = bench.remote.write.bind(bench.remote);
    const copy = bench.remote.copy.bind(bench.remote);
    bench.remote.write = (key, content, options) => {
      bodies++;
      return write(key, content, options);
    };
    bench.remote.copy = (from, to, options) => {
      copies++;
      return copy(from, to, options);
    };
  });

  afterEach(() => removeFolder(bench.folder));

  /** Pushes until the index believes what it knows: times of just now are not settled. */
  async function pushTwice(tree: Record<string, string>) {
    writeTree(bench.localRoot, tree, HOUR_AGO);
    await runOnce(bench);
    bodies = 0;
    copies = 0;
  }

  describe('renames', () => {
    it('sends no byte of a folder that was renamed, and does not count it as deleted', async () => {
      await pushTwice(files(30, 'old name'));
      renameSync(join(bench.localRoot, 'old name'), join(bench.localRoot, 'new name'));
      const result = await runOnce(bench, { maxDelete: 0 });
      assert.deepEqual(result.errors, []);
      assert.deepEqual([bodies, copies, result.transferred.files, result.deleted], [0, 30, 0, 30]);
      assert.deepEqual(await readStore(bench.remote), readTree(bench.localRoot));
      assert.equal((await runOnce(bench)).transferred.files, 0);
    });

    it('keeps the old name in a copy run', async () => {
      await pushTwice({ 'a.jpg': 'picture' });
      renameSync(join(bench.localRoot, 'a.jpg'), join(bench.localRoot, 'b.jpg'));
      await runOnce(bench, { transferMode: 'copy' });
      assert.equal(bodies, 0);
      assert.deepEqual(await readStore(bench.remote), { 'a.jpg': 'picture', 'b.jpg': 'picture' });
    });

    it('sends a new file with the size and time of one that went', async () => {
      await pushTwice({ 'a.jpg': 'picture', 'keep.jpg': 'k' });
      rmSync(join(bench.localRoot, 'a.jpg'));
      writeTree(bench.localRoot, { 'b.jpg': 'PICTURE' }, HOUR_AGO);
      const result = await runOnce(bench);
      assert.deepEqual([bodies, copies, result.deleted], [1, 0, 1]);
      assert.equal((await readStore(bench.remote))['b.jpg'], 'PICTURE');
    });

    it('uses one file that went for one new one', async () => {
      await pushTwice({ 'a.jpg': 'same', 'keep.jpg': 'k' });
      rmSync(join(bench.localRoot, 'a.jpg'));
      writeTree(bench.localRoot, { 'b.jpg': 'same', 'c.jpg': 'same' }, HOUR_AGO);
      await runOnce(bench);
      assert.deepEqual([bodies, copies], [1, 1]);
      assert.deepEqual(await readStore(bench.remote), readTree(bench.localRoot));
    });

    it('sends anew where the copy is refused', async () => {
      await pushTwice({ 'a.jpg': 'picture' });
      bench.remote.copy = async () => {
        throw new Error('archived');
      };
      renameSync(join(bench.localRoot, 'a.jpg'), join(bench.localRoot, 'b.jpg'));
      const result = await runOnce(bench);
      assert.deepEqual(result.errors, []);
      assert.deepEqual(await readStore(bench.remote), { 'b.jpg': 'picture' });
    });

    it('says in a dry run what would be renamed, and copies nothing', async () => {
      await pushTwice({ 'a.jpg': 'picture' });
      renameSync(join(bench.localRoot, 'a.jpg'), join(bench.localRoot, 'b.jpg'));
      const result = await runOnce(bench, { dryRun: true });
      assert.deepEqual([copies, result.transferred.files], [0, 0]);
      assert.ok(result.log.some(({ event, path }) => event === 'would rename' && path === 'b.jpg'));
    });
  });

  describe('the backup folder', () => {
    const dated = /^\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}Z\//;

    it('keeps what a push replaces and deletes', async () => {
      writeTree(bench.localRoot, { a: 'newer', b: 'b' });
      await putObject(bench.remote, 'p/a', 'old');
      await putObject(bench.remote, 'p/gone/c', 'c');
      const result = await runOnce(bench, { prefix: 'p/', backup: { prefix: 'kept/' } });
      assert.deepEqual([result.errors, result.deleted], [[], 1]);
      const kept = Object.fromEntries(
        Object.entries(await readStore(bench.remote, 'kept/')).map(([key, text]) => [
          key.replace(dated, ''),
          text,
        ]),
      );
      assert.deepEqual(kept, { a: 'old', 'gone/c': 'c' });
      assert.deepEqual(await readStore(bench.remote, 'p/'), { a: 'newer', b: 'b' });
    });

    it('keeps what a pull replaces and deletes, obstacles too', async () => {
      writeTree(bench.localRoot, { a: 'old', 'gone/c': 'c', d: 'a file' });
      await putObject(bench.remote, 'a', 'newer');
      await putObject(bench.remote, 'd/e', 'in a folder');
      const result = await runOnce(bench, {
        direction: 'pull',
        backup: { prefix: 'kept/' },
        leaveOut: ['kept/'],
      });
      assert.deepEqual(result.errors, []);
      const all = Object.entries(readTree(bench.localRoot));
      const kept = all
        .filter(([path]) => path.startsWith('kept/'))
        .map(([path, text]) => [path.slice(5).replace(dated, ''), text]);
      assert.deepEqual(Object.fromEntries(kept), { a: 'old', 'gone/c': 'c', d: 'a file' });
      assert.deepEqual(Object.fromEntries(all.filter(([path]) => !path.startsWith('kept/'))), {
        a: 'newer',
        'd/e': 'in a folder',
      });
    });

    it('removes old dated subfolders, and nothing that has another name', async () => {
      const day = 24 * 3_600_000;
      writeTree(bench.localRoot, { a: 'a' });
      const own = Array.from({ length: 40 }, (_, at) => `kept/${datedFolder(Date.now() - at * day)}/x`);
      const others = [
        'kept/2020-01-01/x',
        'kept/photos/x',
        'kept/2020-01-01T00-00-00Z.txt',
        'kept/2020-13-01T00-00-00Z/x',
      ];
      for (const key of [...own, ...others]) await putObject(bench.remote, key, 'x');
      await runOnce(bench, { prefix: 'p/', backup: { prefix: 'kept/', keepDays: 10 } });
      const left = Object.keys(await readStore(bench.remote)).filter((key) => key.startsWith('kept/'));
      assert.deepEqual(left.sort(), [...own.slice(0, 10), ...others].sort());
    });

    it('knows its own names', () => {
      assert.equal(datedFolder(Date.UTC(2026, 1, 3, 4, 5, 6)), '2026-02-03T04-05-06Z');
      assert.equal(timeOfDatedFolder('2026-02-03T04-05-06Z'), Date.UTC(2026, 1, 3, 4, 5, 6));
      for (const name of ['2026-02-30T00-00-00Z', '2026-02-03', 'x2026-02-03T04-05-06Z', '']) {
        assert.equal(timeOfDatedFolder(name), undefined, name);
      }
    });
  });

  describe('a file in use', () => {
    it('is a warning that stops no delete, and an error after several runs', async () => {
      const growing = join(bench.localRoot, 'growing.log');
      await pushTwice(files(50, 'gone'));
      rmSync(join(bench.localRoot, 'gone'), { recursive: true });
      writeTree(bench.localRoot, { 'growing.log': 'x'.repeat(2_000_000), 'fine.txt': 'f' });
      // Grows each time it has been read.
      const stop = keepChanging(growing);
      try {
        for (let at = 1; at <= CHANGING_RUNS; at++) {
          const result = await runOnce(bench);
          assert.deepEqual(at < CHANGING_RUNS ? result.errors : [], []);
          if (at === 1) assert.equal(result.deleted, 50);
          const list = at < CHANGING_RUNS ? result.warnings : result.errors;
          assert.deepEqual(
            list.map(({ code, path }) => [code, path]),
            [['CHANGING', 'growing.log']],
          );
        }
      } finally {
        stop();
      }
      const result = await runOnce(bench);
      assert.deepEqual([result.errors, result.warnings], [[], []]);
      assert.deepEqual(await readStore(bench.remote), readTree(bench.localRoot));
    });

    /** Appends whenever the engine has looked at the file: every read sees another one. */
    function keepChanging(file: string): () => void {
      const timer = setInterval(() => appendFileSync(file, 'y'), 0);
      const immediate = () => {
        appendFileSync(file, 'z');
        handle = setImmediate(immediate);
      };
      let handle = setImmediate(immediate);
      return () => {
        clearInterval(timer);
        clearImmediate(handle);
      };
    }
  });

  describe('a disk that is not mounted', () => {
    it('is found by its mount point', function () {
      const disk = join(bench.folder, 'disk');
      const target = join(disk, 'photos');
      const state = join(bench.folder, 'state');
      mkdirSync(disk);
      try {
        execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', disk], { stdio: 'ignore' });
      } catch {
        if (process.env.CI_REQUIRE_SERVERS === '1') throw new Error('mounting a tmpfs needs root');
        console.warn('      NOT RUN: mounting a tmpfs needs root');
        this.skip();
      }
      try {
        mkdirSync(target);
        writeFileSync(join(target, 'x'), 'x');
        checkPlace(target, state);
        rememberPlace(target, state);
        checkPlace(target, state);
      } finally {
        execFileSync('umount', [disk]);
      }
      assert.throws(() => checkPlace(target, state), { code: 'NOT_MOUNTED', message: new RegExp(disk) });
      mkdirSync(target);
      assert.throws(() => checkPlace(target, state), { code: 'NOT_MOUNTED' });
      checkPlace(join(bench.folder, 'elsewhere'), state);
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', disk]);
      try {
        checkPlace(target, state);
      } finally {
        execFileSync('umount', [disk]);
      }
    });
  });

  it('a change of time alone makes no new version where versions are kept', async () => {
    bench.remote = openMemoryStore({ versioned: true });
    const tree = files(50, 'photos');
    writeTree(bench.localRoot, tree, HOUR_AGO);
    await runOnce(bench);
    for (const path of Object.keys(tree))
      utimesSync(join(bench.localRoot, path), HOUR_AGO + 60, HOUR_AGO + 60);
    const result = await runOnce(bench);
    assert.deepEqual([result.errors, result.transferred.files], [[], 0]);
    let versions = 0;
    for await (const page of bench.remote.list({ versions: true })) versions += page.length;
    assert.equal(versions, 50);
    assert.equal(existsSync(bench.localRoot), true);
  });
});
