import assert from 'node:assert/strict';
import { join } from 'node:path';
import { openMemoryStore } from '../../src/stores/memory.js';
import {
  type Bench,
  readStore,
  readTree,
  removeFolder,
  runOnce,
  temporaryFolder,
  writeTree,
} from './support.js';

describe('the backup folder of two runs in one second', () => {
  let bench: Bench;
  const realNow = Date.now;

  beforeEach(() => {
    const folder = temporaryFolder();
    bench = { folder, localRoot: join(folder, 'local'), remote: openMemoryStore() };
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
