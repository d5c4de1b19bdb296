/** Listing: prefixes, pages, places to go on from, one level alone. */

import assert from 'node:assert/strict';
import {
  assertListed,
  contentOf,
  forEachParallel,
  inUtf8Order,
  listAll,
  listKeys,
  type Subject,
} from './support.js';

export function listingTests(subject: Subject): void {
  describe('listing', () => {
    it('gives what head gives', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}entry`;
      await store.write(key, contentOf('12345'), { modificationTime: 1_600_000_000_000_000_000n });
      const [entry] = await listAll(store, { prefix: key });
      const head = await store.head(key);
      assert.ok(entry && head);
      assert.equal(entry.kind, 'file');
      assert.equal(entry.size, 5);
      assert.equal(entry.etag, head.etag);
      if (store.features.walks) assert.deepEqual(entry.identity, head.identity);
      else assert.ok(Math.abs(entry.storedTime! - Date.now()) < 24 * 3600_000, 'no stored time');
    });

    it('keeps to its prefix', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      for (const name of ['photos/a', 'photos/b/c', 'photos2/a', 'photo']) {
        await store.write(prefix + name, contentOf(name));
      }
      assertListed(store, await listKeys(store, { prefix: `${prefix}photos/` }), [
        `${prefix}photos/a`,
        `${prefix}photos/b/c`,
      ]);
      assert.deepEqual(await listKeys(store, { prefix: `${prefix}absent/` }), []);
      const all = await listKeys(store);
      assert.equal(new Set(all).size, all.length);
      assert.equal(all.filter((key) => key.startsWith(prefix)).length, 4);
      if (store.features.order === 'utf8') assert.deepEqual(all, inUtf8Order(all));
    });

    it('goes on after a key', async function () {
      const { store } = subject;
      if (store.features.order !== 'utf8') this.skip();
      const prefix = subject.prefix();
      const keys = ['a b', 'a%', 'a+', 'a-b', 'a.txt', 'a/x', 'a/y/z', 'a0', '\uff0e', '\u{1f600}'].map(
        (name) => prefix + name,
      );
      for (const key of keys) await store.write(key, contentOf(key));
      for (const [index, startAfter] of inUtf8Order(keys).entries()) {
        const rest = inUtf8Order(keys).slice(index + 1);
        assert.deepEqual(await listKeys(store, { prefix, startAfter }), rest, `after ${startAfter}`);
      }
      assert.deepEqual(
        await listKeys(store, { prefix, startAfter: `${prefix}a/` }),
        inUtf8Order(keys).slice(5),
      );
    });

    it('gives one level alone', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      for (const name of ['b', 'a/1', 'a/2/3', 'c d+/4', 'z/5'])
        await store.write(prefix + name, contentOf(name));
      const entries = await listAll(store, { prefix, shallow: true });
      const seen = entries.map((entry) => `${entry.kind} ${entry.key.slice(prefix.length)}`).sort();
      assert.deepEqual(seen, ['file b', 'folder a', 'folder c d+', 'folder z']);
      const below = await listAll(store, { prefix: `${prefix}a/`, shallow: true });
      assert.deepEqual(below.map((entry) => `${entry.kind} ${entry.key.slice(prefix.length)}`).sort(), [
        'file a/1',
        'folder a/2',
      ]);
    });

    it('goes past a thousand keys, each once', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const keys = Array.from({ length: 1105 }, (_, index) => `${prefix}${index % 7}/${index} \u00e9+`);
      await forEachParallel(keys, async (key) => void (await store.write(key, contentOf(''))));
      assertListed(store, await listKeys(store, { prefix }), keys);
      let seen = 0;
      for await (const page of store.list({ prefix })) {
        seen += page.length;
        break;
      }
      assert.ok(seen > 0);
      await store.deleteMany(keys.map((key) => ({ key })));
      assert.deepEqual(await listKeys(store, { prefix }), []);
    });
  });
}
