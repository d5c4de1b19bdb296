/** Reading: ranges, and that all that is read belongs to the object that was opened. */

import assert from 'node:assert/strict';
import { CloudSyncError } from '../../src/errors.js';
import {
  closing,
  collect,
  contentOf,
  pseudoRandomBytes,
  readAll,
  rejectsWith,
  type Subject,
} from './support.js';

export function readingTests(subject: Subject): void {
  describe('reading', () => {
    it('gives any range', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}ranges`;
      const bytes = pseudoRandomBytes(300_000, 3);
      await store.write(key, contentOf(bytes));
      for (const firstRead of [undefined, { offset: 0, length: 300_000 }, { offset: 1000, length: 10 }]) {
        const opened = await store.open(key, firstRead === undefined ? {} : { firstRead });
        await closing(opened, async () => {
          assert.equal(opened.object.size, bytes.length);
          for (const [offset, length] of [
            [1000, 10],
            [0, 1],
            [299_999, 1],
            [299_999, undefined],
            [0, 0],
            [300_000, 0],
            [12_345, 200_000],
            [0, undefined],
          ] as const) {
            const got = await collect(opened.read(offset, length));
            const expected = bytes.subarray(offset, length === undefined ? undefined : offset + length);
            assert.ok(got.equals(expected), `${offset}+${length}: ${got.length} bytes`);
          }
          await opened.confirmUnchanged();
        });
      }
    });

    it('gives any range of a small object, which may come with the opening', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}small`;
      for (const size of [0, 1, 10_000]) {
        const bytes = pseudoRandomBytes(size, 6);
        await store.write(key, contentOf(bytes));
        const part = { offset: 0, length: Math.min(size, 100) };
        for (const firstRead of size < 2 ? [undefined] : [undefined, part]) {
          const opened = await store.open(key, firstRead === undefined ? {} : { firstRead });
          await closing(opened, async () => {
            if (opened.bytes !== undefined) assert.ok(bytes.equals(opened.bytes));
            assert.ok((await collect(opened.read())).equals(bytes));
            assert.ok((await collect(opened.read(size >> 1))).equals(bytes.subarray(size >> 1)));
            assert.ok((await collect(opened.read())).equals(bytes), 'read once more');
          });
        }
      }
    });

    it('gives several ranges at once', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}parallel`;
      const bytes = pseudoRandomBytes(400_000, 4);
      await store.write(key, contentOf(bytes));
      const opened = await store.open(key, { firstRead: { offset: 0, length: 100_000 } });
      await closing(opened, async () => {
        const parts = await Promise.all(
          [0, 1, 2, 3].map((index) => collect(opened.read(index * 100_000, 100_000))),
        );
        assert.ok(Buffer.concat(parts).equals(bytes));
      });
    });

    it('can be left in the middle', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}left`;
      const bytes = pseudoRandomBytes(2_000_000, 5);
      await store.write(key, contentOf(bytes));
      const opened = await store.open(key);
      await closing(opened, async () => {
        for await (const chunk of opened.read()) {
          assert.ok(chunk.length > 0);
          break;
        }
        assert.ok((await collect(opened.read(1_999_990))).equals(bytes.subarray(1_999_990)));
      });
      const unread = await store.open(key);
      await unread.close();
      assert.ok((await readAll(store, key)).equals(bytes));
    });

    it('works on an empty object', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}empty`;
      await store.write(key, contentOf(''));
      for (const firstRead of [undefined, { offset: 0, length: 0 }, { offset: 0, length: 1024 }]) {
        const opened = await store.open(key, firstRead === undefined ? {} : { firstRead });
        await closing(opened, async () => {
          assert.equal(opened.object.size, 0);
          assert.equal((await collect(opened.read())).length, 0);
          assert.equal((await collect(opened.read(0, 0))).length, 0);
        });
      }
    });

    it('asks for more than there is and gets what there is', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}short`;
      await store.write(key, contentOf('short'));
      const opened = await store.open(key, { firstRead: { offset: 0, length: 1_000_000 } });
      await closing(opened, async () => {
        assert.equal(opened.object.size, 5);
        assert.equal((await collect(opened.read())).toString(), 'short');
      });
    });

    it('never mixes two contents: an overwrite is CHANGED or not seen', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}overwritten`;
      const old = pseudoRandomBytes(200_000, 8);
      await store.write(key, contentOf(old));
      const opened = await store.open(key, { firstRead: { offset: 0, length: 1000 } });
      await closing(opened, async () => {
        const head = await collect(opened.read(0, 1000));
        assert.ok(head.equals(old.subarray(0, 1000)));
        await store.write(key, contentOf(pseudoRandomBytes(200_000, 9)));
        try {
          const rest = await collect(opened.read(1000));
          assert.ok(rest.equals(old.subarray(1000)), 'bytes of another content');
        } catch (error) {
          assert.ok(error instanceof CloudSyncError, String(error));
          assert.equal(error.code, 'CHANGED', error.message);
        }
        if (store.features.walks) await rejectsWith(async () => opened.confirmUnchanged(), 'CHANGED');
      });
    });

    it('is pinned to an ETag where there is one', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}pinned`;
      await store.write(key, contentOf('first'));
      const etag = (await store.head(key))?.etag;
      if (etag === undefined) {
        assert.ok(store.features.walks, 'only a file system may do without ETags');
        return;
      }
      const opened = await store.open(key, { ifMatch: etag });
      await closing(opened, async () => assert.equal((await collect(opened.read())).toString(), 'first'));
      await store.write(key, contentOf('second'));
      await rejectsWith(() => store.open(key, { ifMatch: etag }), 'CHANGED');
    });

    it('says what is not there', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      assert.equal(await store.head(`${prefix}absent`), undefined);
      await rejectsWith(() => store.open(`${prefix}absent`), 'NOT_FOUND');
      assert.equal(await store.head(`${prefix}absent/below`), undefined);
    });

    it('checks that the place is there', async () => {
      const { store } = subject;
      await store.check();
      assert.match(store.identity, /^[a-z0-9][a-z0-9+.-]*:/);
      const missing = subject.target.missing?.();
      if (missing === undefined) return;
      try {
        const codes = store.features.walks
          ? (['NOT_FOUND', 'BUCKET_NOT_FOUND'] as const)
          : (['BUCKET_NOT_FOUND'] as const);
        const error = await rejectsWith(() => missing.check(), ...codes);
        assert.ok(error.advice);
        await rejectsWith(() => missing.open('file'), 'BUCKET_NOT_FOUND', 'NOT_FOUND');
        await rejectsWith(
          async () => {
            for await (const _ of missing.list()) break;
          },
          ...codes,
        );
        if (!store.features.walks) {
          await rejectsWith(() => missing.head('file'), 'BUCKET_NOT_FOUND');
          await rejectsWith(() => missing.write('file', contentOf('x')), 'BUCKET_NOT_FOUND');
        }
      } finally {
        await missing.close();
      }
    });

    it('is the same through another instance', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}shared`;
      await store.write(key, contentOf('shared'));
      const other = subject.reopen();
      assert.equal(other.identity, store.identity);
      assert.equal((await readAll(other, key)).toString(), 'shared');
    });
  });
}
