import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { openMemoryStore } from '../../src/stores/memory.js';
import { type Bench, memoryBench, readStore, readTree, removeFolder, runOnce, writeTree } from './support.js';

describe('the backup folder of two runs in one second', () => {
  let bench: Bench;
  const realNow = Date.now;

  beforeEach(() => {
    bench = memoryBench();
    const now = realNow();
    Date.now = () => now;
  });

  afterEach(() => {
    Date.now = realNow;
    removeFolder(bench.folder);
  });

  it('keeps what each of them replaced: push', async () => {
    for (const content of ['first', 'second one', 'the third']) {
      writeTree(bench.localRoot, { a: content });
      await runOnce(bench, { prefix: 'p/', backup: { prefix: 'kept/' } });
    }
    assert.deepEqual(Object.values(await readStore(bench.remote, 'kept/')), ['first', 'second one']);
  });

  it('keeps what each of them replaced: pull', async () => {
    const settings = { direction: 'pull', backup: { prefix: 'kept/' }, leaveOut: ['kept/'] } as const;
    for (const content of ['first', 'second one', 'the third']) {
      const source = join(bench.folder, content);
      writeTree(source, { a: content });
      await runOnce({ ...bench, localRoot: source }, { transferMode: 'copy', withIndex: false });
      const result = await runOnce(bench, settings);
      assert.deepEqual(result.errors, []);
    }
    const kept = Object.entries(readTree(bench.localRoot)).filter(([path]) => path.startsWith('kept/'));
    assert.deepEqual(kept.map(([, content]) => content).sort(), ['first', 'second one']);
  });
});

describe('the backup folder, where a listing of the destination fails to show a file', () => {
  let bench: Bench;

  beforeEach(() => {
    bench = memoryBench();
  });

  afterEach(() => removeFolder(bench.folder));

  const hide = (key: string) => {
    const { list } = bench.remote;
    bench.remote.list = async function* (options) {
      for await (const page of list.call(bench.remote, options)) {
        yield page.filter((object) => object.key !== key);
      }
    };
    return () => {
      bench.remote.list = list;
    };
  };

  for (const conditionalWrite of [true, false]) {
    it(`keeps it all the same: ${conditionalWrite ? 'by a condition' : 'by a question'}`, async () => {
      bench.remote = openMemoryStore({ features: { conditionalWrite } });
      const settings = { prefix: 'p/', backup: { prefix: 'kept/' } };
      writeTree(bench.localRoot, { a: 'old', b: 'b' });
      await runOnce(bench, settings);
      writeTree(bench.localRoot, { a: 'new content' });
      const show = hide('p/a');
      const result = await runOnce(bench, settings);
      show();
      assert.deepEqual([result.errors, result.transferred.files], [[], 1]);
      assert.deepEqual(Object.values(await readStore(bench.remote, 'kept/')), ['old']);
      assert.equal((await readStore(bench.remote, 'p/')).a, 'new content');
    });
  }

  it('keeps it where another file is renamed to it', async () => {
    const settings = { prefix: 'p/', backup: { prefix: 'kept/' } };
    writeTree(bench.localRoot, { a: 'old', b: 'renamed soon', c: 'c' });
    await runOnce(bench, settings);
    renameSync(join(bench.localRoot, 'b'), join(bench.localRoot, 'a'));
    const show = hide('p/a');
    const result = await runOnce(bench, settings);
    show();
    assert.deepEqual(result.errors, []);
    assert.ok(Object.values(await readStore(bench.remote, 'kept/')).includes('old'));
    assert.equal((await readStore(bench.remote, 'p/')).a, 'renamed soon');
  });
});
