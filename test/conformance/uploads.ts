/** Uploads in parts: order, resuming by another process, what stays behind. */

import assert from 'node:assert/strict';
import { CloudSyncError, hasCode } from '../../src/errors.js';
import { partContent, storedPartContent } from '../../src/stores/parts.js';
import type { ArrivedPart, PendingUpload, Store, Upload, UploadState } from '../../src/stores/store.js';
import {
  assertSameTime,
  collect,
  contentOf,
  listKeys,
  md5,
  pseudoRandomBytes,
  readAll,
  rejectsWith,
  type Subject,
  streamedContent,
} from './support.js';

const TIME = 1_700_000_000_123_456_789n;

export function uploadTests(subject: Subject): void {
  describe('uploads in parts', () => {
    let bytes: Buffer;
    let partSize: number;
    before(() => {
      partSize = Math.max(subject.store.features.upload.minPartSize, 64 * 1024);
      bytes = pseudoRandomBytes(2 * partSize + 12_345, 11);
    });

    const begin = (store: Store, key: string) =>
      store.createUpload(key, bytes.length, {
        partSize,
        modificationTime: TIME,
        hashes: { md5: md5(bytes) },
      });
    const sendAll = async (upload: Upload, numbers: readonly number[]) => {
      for (const number of numbers) {
        await upload.sendPart(number, partContent(upload, contentOf(bytes), number));
      }
    };

    it('make one object of parts sent in any order the store allows', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}three parts +%`;
      const upload = await begin(store, key);
      assert.equal(upload.partCount, 3);
      assert.equal(upload.state.partSize, partSize);
      assert.equal(upload.state.size, bytes.length);
      if (store.features.upload.sequential) {
        await sendAll(upload, [1, 2, 3]);
      } else {
        await upload.sendPart(3, partContent(upload, contentOf(bytes), 3));
        await Promise.all([
          upload.sendPart(2, partContent(upload, streamedContent(bytes), 2)),
          upload.sendPart(1, partContent(upload, contentOf(bytes), 1)),
        ]);
      }
      assert.equal(await store.head(key), undefined, 'visible before complete');
      const finished = await upload.complete({ hashes: { md5: md5(bytes) } });
      assert.equal(finished.size, bytes.length);
      assert.ok((await readAll(store, key)).equals(bytes));
      const found = await store.head(key);
      assertSameTime(store, found?.modificationTime, TIME);
      if (finished.etag !== undefined) assert.equal(found?.etag, finished.etag);
      if (found?.claimedHashes?.md5 !== undefined) assert.equal(found.claimedHashes.md5, md5(bytes));
      if (found?.hashes?.md5 !== undefined) assert.equal(found.hashes.md5, md5(bytes));
    });

    it('are taken up by another process from their state alone', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}resumed`;
      const first = await begin(store, key);
      await sendAll(first, store.features.upload.sequential ? [1] : [2]);
      const state = JSON.parse(JSON.stringify(first.state)) as UploadState;

      const other = subject.reopen();
      const upload = await other.resumeUpload(state);
      assert.equal(upload.partCount, 3);
      const arrived: ArrivedPart[] = [];
      for await (const found of upload.arrived()) arrived.push(found);
      const expected = store.features.upload.sequential ? [1] : [2];
      assert.deepEqual(
        arrived.map((found) => found.number),
        expected,
      );
      for (const found of arrived) {
        const stored = storedPartContent(upload, contentOf(bytes), found.number);
        assert.equal(found.size, stored.size);
        if (found.hashes?.md5 !== undefined)
          assert.equal(found.hashes.md5, md5(await collect(stored.read())));
        upload.keepPart(found);
      }
      await sendAll(
        upload,
        [1, 2, 3].filter((number) => !expected.includes(number)),
      );
      await upload.complete({ hashes: { md5: md5(bytes) } });
      assert.ok((await readAll(store, key)).equals(bytes));
      assertSameTime(store, (await store.head(key))?.modificationTime, TIME);
    });

    it('may send a part again', async function () {
      const { store } = subject;
      if (store.features.upload.sequential) this.skip();
      const key = `${subject.prefix()}again`;
      const upload = await begin(store, key);
      const other = contentOf(pseudoRandomBytes(bytes.length, 99));
      await upload.sendPart(1, partContent(upload, other, 1));
      try {
        await sendAll(upload, [1, 2, 3]);
      } catch (error) {
        // A store that encrypts must not send two contents under one nonce.
        assert.ok(hasCode(error, 'CHANGED'), String(error));
        await upload.abort();
        return;
      }
      await upload.complete();
      assert.ok((await readAll(store, key)).equals(bytes));
    });

    it('are seen while they are pending and leave nothing when aborted', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const upload = await begin(store, `${prefix}aborted`);
      await sendAll(upload, [1]);
      const pending = await pendingOf(store, prefix);
      // A file system's temporary files need no list: the store finds its own.
      if (!store.features.walks && store.features.upload.listsPending !== false) {
        assert.deepEqual(
          pending.map((found) => found.key),
          [`${prefix}aborted`],
        );
        assert.ok(Math.abs(pending[0]!.startedAt - upload.state.startedAt) < 3600_000);
        assert.deepEqual(await pendingOf(store, `${prefix}other`), []);
      }
      const state = JSON.parse(JSON.stringify(upload.state)) as UploadState;
      await upload.abort();
      await upload.abort();
      assert.deepEqual(await pendingOf(store, prefix), []);
      assert.equal(await store.head(`${prefix}aborted`), undefined);
      assert.deepEqual(await listKeys(store, { prefix }), []);
      await rejectsWith(async () => {
        const resumed = await subject.reopen().resumeUpload(state);
        for await (const _ of resumed.arrived()) assert.fail('a part of an aborted upload');
      }, 'NOT_FOUND');
    });

    it('keep the old object until they complete, and whenever they fail', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const key = `${prefix}old`;
      await store.write(key, contentOf('old'));
      const upload = await begin(store, key);
      await sendAll(upload, [1, 2, 3]);
      const veto = async () => {
        throw new CloudSyncError('CHANGED', 'the file changed while it was read');
      };
      await rejectsWith(() => upload.complete({ beforeCommit: veto }), 'CHANGED');
      assert.equal((await readAll(store, key)).toString(), 'old');
      await upload.abort();
      assert.equal((await readAll(store, key)).toString(), 'old');
      assert.deepEqual(await listKeys(store, { prefix }), [key]);
    });

    it('do not complete while a part is missing', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}incomplete`;
      const upload = await begin(store, key);
      await sendAll(upload, [1, 2]);
      await assert.rejects(() => upload.complete(), CloudSyncError);
      assert.equal(await store.head(key), undefined);
      await upload.abort();
    });

    it('refuse a part that is not as long as it has to be', async () => {
      const { store } = subject;
      const upload = await begin(store, `${subject.prefix()}wrong part`);
      await assert.rejects(() => upload.sendPart(1, contentOf('short')), CloudSyncError);
      await upload.abort();
    });

    it('hold to the conditions of a write', async function () {
      const { store } = subject;
      if (!store.features.conditionalWrite) this.skip();
      const key = `${subject.prefix()}conditional`;
      await store.write(key, contentOf('present'));
      const upload = await begin(store, key);
      await sendAll(upload, [1, 2, 3]);
      await rejectsWith(() => upload.complete({ ifNoneMatch: '*' }), 'PRECONDITION_FAILED');
      assert.equal((await readAll(store, key)).toString(), 'present');
      await upload.abort();
    });

    it('give an object that is read in ranges like any other', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}ranges`;
      const upload = await begin(store, key);
      await sendAll(upload, [1, 2, 3]);
      await upload.complete();
      const opened = await store.open(key, { firstRead: { offset: partSize - 10, length: 20 } });
      assert.ok(
        (await collect(opened.read(partSize - 10, 20))).equals(bytes.subarray(partSize - 10, partSize + 10)),
      );
      assert.ok((await collect(opened.read(2 * partSize))).equals(bytes.subarray(2 * partSize)));
      await opened.close();
    });
  });
}

async function pendingOf(store: Store, prefix: string): Promise<PendingUpload[]> {
  const found: PendingUpload[] = [];
  for await (const upload of store.pendingUploads(prefix)) found.push(upload);
  return found;
}
