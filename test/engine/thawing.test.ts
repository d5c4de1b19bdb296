import assert from 'node:assert/strict';
import { join } from 'node:path';
import { contentOfBytes } from '../../src/stores/content.js';
import { type MemoryStore, openMemoryStore } from '../../src/stores/memory.js';
import { type Bench, putObject, readTree, removeFolder, runOnce, temporaryFolder } from './support.js';

describe('a restore of archived objects', () => {
  let bench: Bench;
  let remote: MemoryStore;

  beforeEach(async () => {
    const folder = temporaryFolder();
    remote = openMemoryStore({ archiveClasses: ['GLACIER'] });
    bench = { folder, localRoot: join(folder, 'local'), remote };
    await putObject(remote, 'warm', 'warm');
    for (const key of ['a', 'b', 'c', 'd/e']) await putArchived(key);
  });

  afterEach(() => removeFolder(bench.folder));

  async function putArchived(key: string) {
    const bytes = Buffer.from(`frozen ${key}`);
    await remote.write(key, contentOfBytes(bytes), { storageClass: 'GLACIER', modificationTime: 0n });
  }

  const pull = { direction: 'pull', transferMode: 'copy' } as const;
  const ALL = { warm: 'warm', a: 'frozen a', b: 'frozen b', c: 'frozen c', 'd/e': 'frozen d/e' };

  it('names each of them where it is not told to thaw, and brings the rest', async () => {
    const result = await runOnce(bench, pull);
    assert.deepEqual(result.codes, ['ARCHIVED', 'ARCHIVED', 'ARCHIVED', 'ARCHIVED']);
    assert.deepEqual(readTree(bench.localRoot), { warm: 'warm' });
  });

  it('asks for them, waits, and brings each when it is ready', async () => {
    const running = runOnce(bench, { ...pull, thaw: { tier: 'Bulk', days: 3, pollMs: 5 } });
    await until(async () => (await remote.head('d/e'))?.archive === 'thawing');
    assert.deepEqual(readTree(bench.localRoot), { warm: 'warm' });
    for (const key of ['b', 'd/e']) remote.finishThaw(key);
    await until(async () => Object.keys(readTree(bench.localRoot)).length === 3);
    for (const key of ['a', 'c']) remote.finishThaw(key);
    const result = await running;
    assert.deepEqual([result.errors, result.transferred.files], [[], 5]);
    assert.deepEqual(readTree(bench.localRoot), ALL);
  });

  it('goes on where a run that was stopped had begun: frozen, thawing and thawed in one tree', async () => {
    const stop = new AbortController();
    const first = runOnce(bench, { ...pull, thaw: { tier: '', days: null, pollMs: 5 }, signal: stop.signal });
    await until(async () => (await remote.head('d/e'))?.archive === 'thawing');
    remote.finishThaw('a');
    stop.abort();
    await first;
    await putArchived('later');
    let asked = 0;
    const thaw = remote.thaw.bind(remote);
    remote.thaw = (...args) => {
      asked++;
      return thaw(...args);
    };
    const second = runOnce(bench, { ...pull, thaw: { tier: '', days: null, pollMs: 5 } });
    await until(async () => (await remote.head('later'))?.archive === 'thawing');
    for (const key of ['b', 'c', 'd/e', 'later']) remote.finishThaw(key);
    const result = await second;
    assert.deepEqual(result.errors, []);
    assert.equal(asked, 1);
    assert.deepEqual(readTree(bench.localRoot), { ...ALL, later: 'frozen later' });
  });

  it('asks for nothing that is there already', async () => {
    const running = runOnce(bench, { ...pull, thaw: { tier: '', days: null, pollMs: 5 } });
    await until(async () => (await remote.head('d/e'))?.archive === 'thawing');
    for (const key of ['a', 'b', 'c', 'd/e']) remote.finishThaw(key);
    await running;
    for (const key of ['a', 'b', 'c', 'd/e']) await putArchived(key);
    remote.thaw = () => {
      throw new Error('asked for an object that is there already');
    };
    const again = await runOnce(bench, { ...pull, thaw: { tier: '', days: null, pollMs: 5 } });
    assert.deepEqual(again.errors, []);
  });
});

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  for (let left = 1_000; left > 0; left--) {
    if (await isTrue()) return;
    await new Promise((done) => setTimeout(done, 2));
  }
  throw new Error('it did not come true');
}
