import assert from 'node:assert/strict';
import {
  type Bench,
  memoryBench,
  putObject,
  readStore,
  removeFolder,
  runOnce,
  writeTree,
} from './support.js';

describe('deletes past maxDelete, allowed once', () => {
  let bench: Bench;

  beforeEach(async () => {
    bench = memoryBench();
    writeTree(bench.localRoot, { 'keep.txt': 'k' });
    for (const name of ['b', 'a', 'c']) await putObject(bench.remote, `old/${name}.txt`, name);
  });
  afterEach(() => removeFolder(bench.folder));

  async function stopped() {
    const { pendingDeletes, codes, log } = await runOnce(bench, { maxDelete: 1 });
    assert.deepEqual(codes, ['MAX_DELETE']);
    assert.ok(pendingDeletes !== undefined);
    const logged = log.filter(({ event }) => event === 'delete due').map(({ path }) => path);
    assert.deepEqual(logged.sort(), pendingDeletes.paths.toSorted());
    return pendingDeletes;
  }

  it('names what would go, and lets exactly that go', async () => {
    const { hash, count, paths } = await stopped();
    assert.equal(count, 3);
    assert.deepEqual(paths.toSorted(), ['old/a.txt', 'old/b.txt', 'old/c.txt']);
    const run = await runOnce(bench, { maxDelete: 1, allowedDeletes: hash });
    assert.deepEqual([run.codes, run.deleted, run.pendingDeletes], [[], 3, undefined]);
    assert.deepEqual(Object.keys(await readStore(bench.remote)), ['keep.txt']);
  });

  it('holds for no other list: one file more, one less, one changed', async () => {
    const { hash } = await stopped();
    const others: Array<() => Promise<unknown>> = [
      () => putObject(bench.remote, 'old/d.txt', 'd'),
      async () => writeTree(bench.localRoot, { 'old/a.txt': 'a', 'old/d.txt': 'd' }),
      () => putObject(bench.remote, 'old/b.txt', 'another'),
    ];
    for (const change of others) {
      await change();
      const run = await runOnce(bench, { maxDelete: 1, allowedDeletes: hash });
      assert.deepEqual([run.codes, run.deleted], [['MAX_DELETE'], 0]);
      assert.notEqual(run.pendingDeletes?.hash, hash);
    }
  });

  it('is told by a dry run too, and gives the same list twice', async () => {
    const { hash } = await stopped();
    const preview = await runOnce(bench, { maxDelete: 1, dryRun: true });
    assert.equal(preview.pendingDeletes?.hash, hash);
    assert.equal((await stopped()).hash, hash);
  });
});
