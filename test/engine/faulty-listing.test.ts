import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { openMemoryStore } from '../../src/stores/memory.js';
import type { Store, StoredObject } from '../../src/stores/store.js';
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

/** Gives the store's listing in pages of three, rearranged. */
function rearrange(store: Store, change: (pages: StoredObject[][]) => StoredObject[][]): void {
  const list = store.list.bind(store);
  store.list = async function* (options) {
    const all: StoredObject[] = [];
    for await (const page of list(options)) all.push(...page);
    const pages: StoredObject[][] = [];
    for (let at = 0; at < all.length; at += 3) pages.push(all.slice(at, at + 3));
    yield* change(pages);
  };
}

const NAMES = ['a', 'a-b', 'a.txt', 'a0', 'b', 'c/d', 'c/e', 'm', '．', '😀', 'e\u0301', '\u00e9'];

describe('a listing that breaks its promises', () => {
  let bench: Bench;

  beforeEach(() => {
    bench = memoryBench();
    writeTree(bench.localRoot, Object.fromEntries(NAMES.map((name) => [name, `content of ${name}`])));
  });

  afterEach(() => removeFolder(bench.folder));

  const arrangements: Record<string, (pages: StoredObject[][]) => StoredObject[][]> = {
    'a page twice': (pages) => [pages[0]!, pages[1]!, pages[1]!, ...pages.slice(2)],
    'pages in reverse': (pages) => pages.toReversed(),
    'UTF-16 order': (pages) => [pages.flat().sort((a, b) => (a.key < b.key ? -1 : 1))],
    'entries in reverse': (pages) => [pages.flat().reverse()],
  };

  for (const [name, change] of Object.entries(arrangements)) {
    it(`is sorted and deletes nothing: ${name}`, async () => {
      await runOnce(bench);
      rearrange(bench.remote, change);
      const result = await runOnce(bench);
      assert.deepEqual(result.errors, []);
      assert.deepEqual([result.transferred.files, result.deleted], [0, 0]);
      assert.equal(result.checked, NAMES.length);
      assert.equal(Object.keys(await readStore(bench.remote)).length, NAMES.length);
    });

    it(`is sorted and verified once: ${name}`, async () => {
      await runOnce(bench);
      rearrange(bench.remote, change);
      const { findings, errors, checked } = await runOnce(bench, {
        verify: { method: 'metadata', sample: 100 },
      });
      assert.deepEqual([errors, checked], [[], NAMES.length]);
      assert.deepEqual(findings?.counts, {
        matched: NAMES.length,
        differs: 0,
        missingLocal: 0,
        missingRemote: 0,
        unreadable: 0,
        unverifiable: 0,
      });
    });
  }

  it('does not delete what a page that went missing hid at the source', async () => {
    await runOnce(bench);
    const prefix = '';
    await runOnce(bench, { direction: 'pull', prefix });
    rearrange(bench.remote, (pages) => pages.filter((_, index) => index !== 1));
    const result = await runOnce(bench, { direction: 'pull', prefix });
    assert.equal(result.deleted, 0);
    assert.equal(Object.keys(readTree(bench.localRoot)).length, NAMES.length);
  });

  it('deletes nothing where the listing fails in the middle', async () => {
    await runOnce(bench);
    rmSync(join(bench.localRoot, 'a'));
    const list = bench.remote.list.bind(bench.remote);
    bench.remote.list = async function* (options) {
      for await (const page of list(options)) yield page.slice(0, 4);
      throw new Error('connection lost');
    };
    const result = await runOnce(bench);
    assert.equal(result.deleted, 0);
    assert.equal(result.errors.length, 1);
  });

  it('is sorted where the store promises no order, past what memory holds too', async () => {
    const unordered = openMemoryStore({ features: { order: 'none' } });
    bench.remote = unordered;
    for (const name of NAMES) await putObject(unordered, name, `content of ${name}`);
    rearrange(unordered, (pages) => pages.toReversed());
    const result = await runOnce(bench);
    assert.deepEqual([result.transferred.files, result.deleted, result.errors.length], [0, 0, 0]);
  });

  it('refuses names that the destination can not tell apart', async () => {
    bench.remote = openMemoryStore({ features: { caseSensitive: false } });
    writeTree(bench.localRoot, { 'Photo.jpg': '1', 'photo.JPG': '2', other: '3' });
    const result = await runOnce(bench, { transferMode: 'copy' });
    assert.deepEqual(result.codes, ['COLLISION', 'COLLISION']);
    const there = await readStore(bench.remote);
    assert.equal(there.other, '3');
    assert.equal(
      Object.keys(there).some((key) => key.toLowerCase() === 'photo.jpg'),
      false,
    );
  });
});
