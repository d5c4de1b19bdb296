/** Whole runs between a disk that fails and each provider: what the report says, and what is safe. */

import assert from 'node:assert/strict';
import { appendFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readTree, type Tree, writeTree } from '../engine/support.js';
import { EveryFarEnd, type Place } from './every-far-end.js';
import { type DiskAction, type DiskFault, DiskFaults, installDiskFaults } from './local-disk.js';

const TREE: Tree = Object.fromEntries(
  Array.from({ length: 9 }, (_, at) => [`folder ${at % 3}/${at}.txt`, `content ${at}`]),
);
const BAD = 'folder 1/4.txt';
const without = (tree: Tree, ...paths: string[]): Tree =>
  Object.fromEntries(Object.entries(tree).filter(([path]) => !paths.includes(path)));

interface DiskCase {
  operation: DiskFault['operation'];
  key?: string;
  code: 'EIO' | 'ENOSPC' | 'EACCES';
  /** What the report says of it. */
  said: string;
}

const READING: DiskCase[] = [
  { operation: 'open', code: 'EACCES', said: `${BAD} NO_PERMISSION: Cannot use "${BAD}": permission denied` },
  {
    operation: 'read',
    code: 'EIO',
    said: `${BAD} IO_ERROR: Cannot use "${BAD}": reading or writing the disk failed`,
  },
  {
    operation: 'list',
    key: 'folder 1',
    code: 'EIO',
    said: 'folder 1 IO_ERROR: Cannot use "folder 1": reading or writing the disk failed',
  },
];
const WRITING: DiskCase[] = [
  {
    operation: 'write',
    code: 'EACCES',
    said: `${BAD} NO_PERMISSION: Cannot use "${BAD}": permission denied`,
  },
  {
    operation: 'write',
    code: 'EIO',
    said: `${BAD} IO_ERROR: Cannot use "${BAD}": reading or writing the disk failed`,
  },
];

describe('a disk that fails, with every provider', function () {
  this.timeout(120_000);
  const farEnds = new EveryFarEnd();
  before(() => farEnds.start());
  after(() => farEnds.stop());
  // Faults of the disk are put under all local stores of this process.
  const eachInTurn = (test: (place: Place) => Promise<void>) => farEnds.each(test, { oneByOne: true });

  const withFault = async <T>(root: string, fault: DiskFault, run: () => Promise<T>): Promise<T> => {
    const faults = new DiskFaults();
    faults.add(fault);
    const uninstall = installDiskFaults(root, faults);
    try {
      return await run();
    } finally {
      uninstall();
    }
  };
  const changing = (root: string, change: (file: string) => void): DiskAction => ({
    type: 'change',
    afterBytes: 3,
    change: (key) => change(join(root, key)),
  });
  const stored = async ({ bench }: Place): Promise<Tree> => {
    await bench.pull({ taskId: 'look' });
    return readTree(bench.restored);
  };

  for (const { operation, key = BAD, code, said } of READING) {
    it(`${code} on ${operation} of the source: the rest is sent, nothing is deleted, and the report says so`, () =>
      eachInTurn(async (place) => {
        const { bench } = place;
        writeTree(bench.local, { ...TREE, 'deleted later': 'x' });
        await bench.run();
        // All of them are new, and one is gone.
        const changed = Object.fromEntries(Object.keys(TREE).map((path) => [path, `changed ${path}`]));
        writeTree(bench.local, changed, 1_650_000_000);
        rmSync(join(bench.local, 'deleted later'));
        const fault: DiskFault = { operation, key, action: { type: 'error', code } };
        const run = await withFault(bench.local, fault, () => bench.run());
        assert.deepEqual([run.status, run.said[0], run.deleted], ['failed', said, 0]);
        const unread = Object.keys(TREE).filter((path) => path === key || path.startsWith(`${key}/`));
        assert.equal(run.transferred.files, 9 - unread.length);
        const expected: Tree = { ...changed, 'deleted later': 'x' };
        for (const path of unread) expected[path] = TREE[path]!;
        assert.deepEqual(await stored(place), expected);
        // The disk is well again: all is made good.
        const next = await bench.run();
        assert.deepEqual([next.status, next.said, next.deleted], ['success', [], 1]);
      }));
  }

  it('a file that vanishes while it is read: left out, and nothing of it is stored', () =>
    eachInTurn(async (place) => {
      const { bench } = place;
      writeTree(bench.local, TREE);
      const action = changing(bench.local, (file) => rmSync(file, { force: true }));
      const run = await withFault(bench.local, { operation: 'read', key: BAD, action }, () => bench.run());
      assert.ok(run.transferred.files >= 8, run.said.join());
      assert.ok(run.errors.every(({ path }) => path === BAD));
      assert.deepEqual(without(await stored(place), BAD), without(TREE, BAD));
      assert.ok([undefined, TREE[BAD]].includes((await stored(place))[BAD]));
    }));

  it('a file that grows while it is read: sent whole as it is then', () =>
    eachInTurn(async (place) => {
      const { bench } = place;
      writeTree(bench.local, TREE);
      const action = changing(bench.local, (file) => appendFileSync(file, ' and more'));
      const fault: DiskFault = { operation: 'read', key: BAD, times: 1, action };
      const run = await withFault(bench.local, fault, () => bench.run());
      assert.deepEqual([run.status, run.said, run.transferred.files], ['success', [], 9]);
      assert.deepEqual(await stored(place), { ...TREE, [BAD]: `${TREE[BAD]} and more` });
    }));

  it('a file that never stops growing: reported, and never stored half old and half new', () =>
    eachInTurn(async (place) => {
      const { bench } = place;
      writeTree(bench.local, TREE);
      const action = changing(bench.local, (file) => appendFileSync(file, ' and more'));
      const run = await withFault(bench.local, { operation: 'read', key: BAD, action }, () => bench.run());
      const told = [...run.errors, ...run.warnings].map(({ code, path }) => `${path} ${code}`);
      assert.deepEqual(told, [`${BAD} CHANGING`]);
      assert.deepEqual(await stored(place), without(TREE, BAD));
    }));

  for (const { operation, code, said } of WRITING) {
    it(`${code} on ${operation} of the target: the old file stays, and no temporary one`, () =>
      eachInTurn(async ({ bench }) => {
        writeTree(bench.local, TREE);
        await bench.run();
        writeTree(bench.restored, { [BAD]: 'old' }, 1_500_000_000);
        const fault: DiskFault = { operation, key: BAD, action: { type: 'error', code, afterBytes: 3 } };
        const run = await withFault(bench.restored, fault, () => bench.pull());
        assert.deepEqual([run.status, run.said, run.transferred.files], ['failed', [said], 8]);
        assert.deepEqual(readTree(bench.restored), { ...TREE, [BAD]: 'old' });
        const next = await bench.pull();
        assert.deepEqual([next.status, next.said], ['success', []]);
        assert.deepEqual(readTree(bench.restored), TREE);
      }));
  }

  it('ENOSPC: the run ends, what was written is whole, and the next run goes on', () =>
    eachInTurn(async ({ bench }) => {
      writeTree(bench.local, TREE);
      await bench.run();
      const fault: DiskFault = {
        operation: 'write',
        action: { type: 'error', code: 'ENOSPC', afterBytes: 3 },
      };
      const run = await withFault(bench.restored, fault, () => bench.pull());
      assert.deepEqual([run.status, run.transferred.files], ['failed', 0]);
      assert.deepEqual([...new Set(run.errors.map(({ code }) => code))], ['DISK_FULL']);
      assert.deepEqual(readTree(bench.restored), {});
      const next = await bench.pull();
      assert.deepEqual([next.status, next.said], ['success', []]);
      assert.deepEqual(readTree(bench.restored), TREE);
    }));
});
