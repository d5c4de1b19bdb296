import assert from 'node:assert/strict';
import { appendFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { DiskFaults, installDiskFaults } from '../faults/local-disk.js';
import { type Bench, memoryBench, readStore, removeFolder, runOnce, writeTree } from './support.js';

describe('a file that changes while it is compared', () => {
  let bench: Bench;
  let uninstall: () => void;
  const faults = new DiskFaults();

  beforeEach(() => {
    bench = memoryBench();
    uninstall = installDiskFaults(bench.localRoot, faults);
  });

  afterEach(() => {
    uninstall();
    faults.clear();
    removeFolder(bench.folder);
  });

  it('is sent as it is then, and is no failure', async () => {
    writeTree(bench.localRoot, { a: 'content', b: 'b' });
    await runOnce(bench);
    utimesSync(join(bench.localRoot, 'a'), 1_600_000_100, 1_600_000_100);
    const change = () => appendFileSync(join(bench.localRoot, 'a'), ' and more');
    faults.add({ operation: 'read', key: 'a', times: 1, action: { type: 'change', change } });
    const result = await runOnce(bench);
    assert.deepEqual([result.errors, result.transferred.files], [[], 1]);
    assert.equal((await readStore(bench.remote)).a, 'content and more');
  });

  it('is a warning where it never keeps still, and does not stop the deletes', async () => {
    writeTree(bench.localRoot, { a: 'content', b: 'b' });
    await runOnce(bench);
    utimesSync(join(bench.localRoot, 'a'), 1_600_000_100, 1_600_000_100);
    const change = () => appendFileSync(join(bench.localRoot, 'a'), ' and more');
    faults.add({ operation: 'read', key: 'a', action: { type: 'change', change } });
    const result = await runOnce(bench);
    assert.deepEqual(result.errors, []);
    assert.deepEqual(
      result.warnings.map(({ code, path }) => [code, path]),
      [['CHANGING', 'a']],
    );
    assert.equal((await readStore(bench.remote)).a, 'content');
  });
});
