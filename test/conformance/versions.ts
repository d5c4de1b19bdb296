/** Versions: the store as it was at a moment, where it keeps them. */

import assert from 'node:assert/strict';
import { hasCode } from '../../src/errors.js';
import type { Store, StoredObject } from '../../src/stores/store.js';
import {
  assertListed,
  contentOf,
  forEachParallel,
  hasRealFolders,
  listAll,
  listKeys,
  type MakeStore,
  readAll,
  rejectsWith,
  Subject,
  until,
} from './support.js';

export function versionTests(plain: Subject, makeStore: MakeStore): void {
  describe('versions', () => {
    const subject = new Subject();
    before(async function () {
      if (plain.store.features.versions) subject.start(await makeStore({ versioned: true }));
      else {
        await rejectsWith(() => listAll(plain.store, { asOf: Date.now() }), 'NOT_SUPPORTED');
        await rejectsWith(() => listAll(plain.store, { versions: true }), 'NOT_SUPPORTED');
        this.skip();
      }
    });
    after(() => subject.stop());

    it('are listed newest first, delete markers among them', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      await writeLater(store, `${prefix}a`, 'one');
      await writeLater(store, `${prefix}a`, 'two');
      const below = `${prefix}a${hasRealFolders(store) ? '0' : ''}/x`;
      await store.write(below, contentOf('below'));
      await store.delete({ key: `${prefix}a` });
      const entries = await listAll(store, { prefix, versions: true });
      // Those of a key stay together; the keys come in the order of the store.
      entries.sort((one, other) => Number(one.key === below) - Number(other.key === below));
      assert.deepEqual(
        entries.map((entry) => [entry.key, entry.isDeleteMarker === true, entry.isLatest === true]),
        [
          [`${prefix}a`, true, true],
          [`${prefix}a`, false, false],
          [`${prefix}a`, false, false],
          [below, false, true],
        ],
      );
      assert.equal((await readAll(store, `${prefix}a`, entries[1]!.versionId)).toString(), 'two');
      assert.equal((await readAll(store, `${prefix}a`, entries[2]!.versionId)).toString(), 'one');
      const head = await store.head(`${prefix}a`, { versionId: entries[2]!.versionId! });
      assert.equal(head?.size, 3);
      assert.equal(await store.head(`${prefix}a`), undefined);
      assert.deepEqual(await listKeys(store, { prefix }), [below]);
    });

    it('give the store as it was', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const folder = hasRealFolders(store) ? 'a0/x' : 'a/x';
      const keys = ['a', 'a-b', folder, 'b \u00e9+', 'c'].map((name) => prefix + name);
      for (const key of keys) await store.write(key, contentOf(`good ${key}`));
      const good = Math.max(
        ...(await listAll(store, { prefix, versions: true })).map((entry) => entry.storedTime!),
      );
      await until(async () => (await serverTime(store, prefix)) > good + 1);
      for (const key of keys.slice(0, 3)) await store.write(key, contentOf('ENCRYPTED'));
      await store.deleteMany(keys.slice(3).map((key) => ({ key })));
      await store.write(`${prefix}ransom note`, contentOf('pay'));

      const now = await listKeys(store, { prefix });
      assertListed(store, now, [...keys.slice(0, 3), `${prefix}ransom note`, `${prefix}clock`]);
      const then = (await listAll(store, { prefix, asOf: good })).filter(
        (entry) => entry.key !== `${prefix}clock`,
      );
      assertListed(
        store,
        then.map((entry) => entry.key),
        keys,
      );
      for (const entry of then) {
        assert.equal(entry.kind, 'file');
        assert.equal((await readAll(store, entry.key, entry.versionId)).toString(), `good ${entry.key}`);
      }
      assert.deepEqual(await listKeys(store, { prefix, asOf: good - 24 * 3600_000 }), []);
    });

    it('stay with their key across pages', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const keys = Array.from({ length: 360 }, (_, index) => `${prefix}${String(index).padStart(3, '0')}`);
      for (const round of ['1', '2', '3']) {
        await forEachParallel(keys, async (key) => void (await store.write(key, contentOf(round))));
      }
      const pages: (readonly StoredObject[])[] = [];
      for await (const page of store.list({ prefix, versions: true })) pages.push(page);
      const all = pages.flat();
      assert.equal(all.length, 1080);
      for (const page of pages) {
        const counts = new Map<string, number>();
        for (const entry of page) counts.set(entry.key, (counts.get(entry.key) ?? 0) + 1);
        assert.ok(
          [...counts.values()].every((count) => count === 3),
          'the versions of a key are spread over pages',
        );
      }
      const asOf = Math.max(...all.map((entry) => entry.storedTime!));
      const then = await listAll(store, { prefix, asOf });
      assertListed(
        store,
        then.map((entry) => entry.key),
        keys,
      );
      assert.ok(then.every((entry) => entry.size === 1));
    });

    it('can be removed one by one', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      await writeLater(store, `${prefix}a`, 'one');
      await writeLater(store, `${prefix}a`, 'two');
      const [newest, older] = await listAll(store, { prefix, versions: true });
      try {
        await store.delete({ key: `${prefix}a`, versionId: newest!.versionId! });
      } catch (error) {
        // Dropbox keeps all of them until their time is over; then nothing may be gone either.
        assert.ok(hasCode(error, 'NOT_SUPPORTED'), String(error));
        assert.equal((await readAll(store, `${prefix}a`)).toString(), 'two');
        return;
      }
      assert.equal(await store.head(`${prefix}a`, { versionId: newest!.versionId! }), undefined);
      assert.equal((await readAll(store, `${prefix}a`, older!.versionId)).toString(), 'one');
      // S3 makes the version before it the current one again, Google Cloud Storage leaves none.
      const current = await store.head(`${prefix}a`);
      if (current !== undefined) assert.equal((await readAll(store, `${prefix}a`)).toString(), 'one');
    });

    it('keep a read on the version that was opened', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}pinned`;
      const first = await store.write(key, contentOf('first'));
      assert.ok(first.versionId, 'a write to a versioned store answers no version');
      await store.write(key, contentOf('second'));
      assert.equal((await readAll(store, key, first.versionId)).toString(), 'first');
    });
  });
}

/** Writes at a moment the store tells apart from the one before. */
async function writeLater(store: Store, key: string, text: string): Promise<void> {
  const before = (await store.head(key))?.storedTime ?? 0;
  const folder = key.slice(0, key.lastIndexOf('/') + 1);
  await until(async () => (await serverTime(store, `other-${folder}`)) > before + 1);
  await store.write(key, contentOf(text));
}

/** The store's own clock, ms since the epoch, read from what it says about an object written now. */
async function serverTime(store: Store, prefix: string): Promise<number> {
  // Another content each time: some write nothing where the content is there already.
  await store.write(`${prefix}clock`, contentOf(`tick ${performance.now()}`));
  const entries = await listAll(store, { prefix: `${prefix}clock`, versions: true });
  return entries[0]!.storedTime!;
}
