/** Deleting: one, many, missing ones, under a condition. */

import assert from 'node:assert/strict';
import { contentOf, forEachParallel, listKeys, readAll, rejectsWith, type Subject } from './support.js';

export function deletingTests(subject: Subject): void {
  describe('deleting', () => {
    it('removes one object and is content where there is none', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      await store.write(`${prefix}one`, contentOf('1'));
      await store.write(`${prefix}two`, contentOf('2'));
      await store.delete({ key: `${prefix}one` });
      await store.delete({ key: `${prefix}one` });
      await store.delete({ key: `${prefix}absent/deep` });
      assert.equal(await store.head(`${prefix}one`), undefined);
      assert.deepEqual(await listKeys(store, { prefix }), [`${prefix}two`]);
    });

    it('removes more than one batch, missing ones among them, and answers in order', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const batch = Math.min(store.features.deleteBatch, 1000);
      const numbers = Array.from({ length: batch + 51 }, (_, index) => index);
      const present = numbers.filter((number) => number % 25 === 0).map((number) => `${prefix}${number} &<`);
      await forEachParallel(present, async (key) => void (await store.write(key, contentOf(key))));
      await store.write(`${prefix}kept`, contentOf('kept'));
      const keys = numbers.map((number) => `${prefix}${number} &<`);
      const outcomes = await store.deleteMany(keys.map((key) => ({ key })));
      assert.deepEqual(
        outcomes.map((outcome) => outcome.key),
        keys,
      );
      assert.deepEqual(
        outcomes.filter((outcome) => outcome.error !== undefined),
        [],
      );
      assert.deepEqual(await listKeys(store, { prefix }), [`${prefix}kept`]);
    });

    it('does nothing for an empty batch', async () => {
      assert.deepEqual(await subject.store.deleteMany([]), []);
    });

    it('holds to its condition, for each key alone', async function () {
      const { store } = subject;
      if (!store.features.conditionalDelete) this.skip();
      const prefix = subject.prefix();
      const first = await store.write(`${prefix}a`, contentOf('first'));
      await store.write(`${prefix}a`, contentOf('second'));
      const other = await store.write(`${prefix}b`, contentOf('other'));
      await rejectsWith(
        () => store.delete({ key: `${prefix}a`, ifMatch: first.etag! }),
        'PRECONDITION_FAILED',
      );
      const outcomes = await store.deleteMany([
        { key: `${prefix}a`, ifMatch: first.etag! },
        { key: `${prefix}b`, ifMatch: other.etag! },
      ]);
      assert.equal(outcomes[0]?.error?.code, 'PRECONDITION_FAILED');
      assert.equal(outcomes[1]?.error, undefined);
      assert.equal((await readAll(store, `${prefix}a`)).toString(), 'second');
      assert.equal(await store.head(`${prefix}b`), undefined);
    });
  });
}
