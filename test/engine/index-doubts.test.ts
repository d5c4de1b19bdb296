import assert from 'node:assert/strict';
import { join } from 'node:path';
import { openMemoryStore } from '../../src/stores/memory.js';
import type { Store, StoredObject } from '../../src/stores/store.js';
import {
  type Bench,
  editQuietly,
  memoryBench,
  readStore,
  removeFolder,
  runOnce,
  writeTree,
} from './support.js';

/** A provider that knows no hash of what it stores. */
function withoutHashes(store: Store): void {
  const strip = (object: StoredObject): StoredObject => ({ ...object, hashes: {}, claimedHashes: {} });
  const { list, head } = store;
  store.list = async function* (options) {
    for await (const page of list.call(store, options)) yield page.map(strip);
  };
  store.head = async (key, options) => {
    const found = await head.call(store, key, options);
    return found && strip(found);
  };
}

describe('what the index can not vouch for', () => {
  let bench: Bench;

  beforeEach(() => {
    bench = memoryBench();
    writeTree(bench.localRoot, { a: 'one', b: 'two', c: 'three' });
  });

  afterEach(() => removeFolder(bench.folder));

  it('is found where an edit kept size and time, though the entry has no hash', async () => {
    await runOnce(bench, { withIndex: false });
    withoutHashes(bench.remote);
    assert.equal((await runOnce(bench)).transferred.files, 0);
    editQuietly(join(bench.localRoot, 'a'), 'eno');
    assert.equal((await runOnce(bench)).transferred.files, 1);
    assert.equal((await readStore(bench.remote)).a, 'eno');
  });

  it('is found where an edit kept size and time, though the listing had to be sorted', async () => {
    await runOnce(bench);
    editQuietly(join(bench.localRoot, 'a'), 'eno');
    const { list } = bench.remote;
    bench.remote.list = async function* (options) {
      for await (const page of list.call(bench.remote, options)) yield page.toReversed();
    };
    assert.equal((await runOnce(bench)).transferred.files, 1);
    assert.equal((await readStore(bench.remote)).a, 'eno');
  });

  it('is found where an edit kept size and time, though the provider folds case', async () => {
    bench.remote = openMemoryStore({ features: { caseSensitive: false } });
    await runOnce(bench);
    editQuietly(join(bench.localRoot, 'a'), 'eno');
    assert.equal((await runOnce(bench)).transferred.files, 1);
    assert.equal((await readStore(bench.remote)).a, 'eno');
  });
});
