/** Writing: what is stored beside the bytes, conditions, checks, and what a failed write leaves behind. */

import assert from 'node:assert/strict';
import { CloudSyncError } from '../../src/errors.js';
import type { Store } from '../../src/stores/store.js';
import {
  assertSameTime,
  collect,
  contentOf,
  failingContent,
  hasRealFolders,
  listKeys,
  md5,
  pseudoRandomBytes,
  readAll,
  rejectsWith,
  type Subject,
  streamedContent,
} from './support.js';

const TIMES = [
  1_700_000_000_123_456_789n,
  1_000_000_000n,
  0n,
  1_234_567_890_000_000_000n,
  4_102_444_800_000_000_001n,
];

export function contentTests(subject: Subject): void {
  describe('writing', () => {
    it('stores exactly the bytes, none among them, read at once or streamed', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      for (const size of [0, 1, 4096, 70_001, 1_500_000]) {
        const bytes = pseudoRandomBytes(size, size + 1);
        for (const [name, content] of [
          ['whole', contentOf(bytes)],
          ['streamed', streamedContent(bytes)],
        ] as const) {
          const key = `${prefix}${name}-${size}`;
          const written = await store.write(key, content);
          assert.equal(written.kind, 'file');
          assert.equal(written.size, size);
          const found = await store.head(key);
          assert.equal(found?.size, size);
          if (written.etag !== undefined) assert.equal(found?.etag, written.etag);
          assert.ok((await readAll(store, key)).equals(bytes), `${name} ${size} came back changed`);
        }
      }
    });

    it('gives hashes that are those of the bytes', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}hashed`;
      await store.write(key, contentOf('hash me'));
      const hashes = (await store.head(key))?.hashes ?? {};
      for (const algorithm of Object.keys(hashes)) {
        assert.ok((store.features.hashes as string[]).includes(algorithm), `${algorithm} is not declared`);
      }
      if (hashes.md5 !== undefined) assert.equal(hashes.md5, md5('hash me'));
    });

    it('keeps the modification time to the declared step', async () => {
      const { store } = subject;
      if (store.features.modificationTime.change === 'none' && !store.features.modificationTime.inListing) {
        const written = await store.write(`${subject.prefix()}t`, contentOf(''), {
          modificationTime: TIMES[0]!,
        });
        assert.equal(written.kind, 'file');
        return;
      }
      const prefix = subject.prefix();
      for (const [index, time] of TIMES.entries()) {
        const key = `${prefix}${index}`;
        await store.write(key, contentOf('x'), { modificationTime: time });
        assertSameTime(store, (await store.head(key))?.modificationTime, time);
        const opened = await store.open(key);
        assertSameTime(store, opened.object.modificationTime, time);
        await opened.close();
      }
      if (store.features.modificationTime.inListing) {
        for await (const page of store.list({ prefix })) {
          for (const entry of page) {
            assertSameTime(store, entry.modificationTime, TIMES[Number(entry.key.slice(prefix.length))]!);
          }
        }
      }
    });

    it('changes the modification time alone, keeping content and metadata', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}touched`;
      const attributes = keepsMetadata(store) ? { metadata: { project: 'photos' } } : {};
      await store.write(key, contentOf('touch me'), { modificationTime: TIMES[0]!, ...attributes });
      const before = await store.head(key);
      assert.ok(before);
      if (store.features.modificationTime.change === 'none') {
        await rejectsWith(() => store.setModificationTime(before, TIMES[3]!), 'NOT_SUPPORTED');
        return;
      }
      const answered = await store.setModificationTime(before, TIMES[3]!);
      assertSameTime(store, answered.modificationTime, TIMES[3]!);
      const after = await store.head(key);
      assertSameTime(store, after?.modificationTime, TIMES[3]!);
      if (keepsMetadata(store)) assert.equal(after?.metadata?.project, 'photos');
      assert.equal((await readAll(store, key)).toString(), 'touch me');
    });

    it('keeps metadata', async () => {
      const { store } = subject;
      if (!keepsMetadata(store)) return;
      const key = `${subject.prefix()}described`;
      const metadata = { owner: 'Ann Other', odd: 'a=b; c, "d"', empty: 'x', path: '/srv/photos' };
      await store.write(key, contentOf('x'), { metadata, modificationTime: TIMES[0]! });
      const found = await store.head(key);
      for (const [name, value] of Object.entries(metadata)) assert.equal(found?.metadata?.[name], value);
    });

    it('replaces the object and what was stored beside it', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}replaced`;
      const old = await store.write(key, contentOf('old content'), { modificationTime: TIMES[0]! });
      const replaced = await store.write(key, contentOf('new'), { modificationTime: TIMES[3]! });
      if (old.etag !== undefined) assert.notEqual(replaced.etag, old.etag);
      assert.equal((await readAll(store, key)).toString(), 'new');
      assert.equal((await store.head(key))?.size, 3);
    });

    it('refuses content that is not what its hash says, leaving the old object', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const wrong = { md5: md5('something else') };
      for (const content of [contentOf('new'), streamedContent(Buffer.from('new'))]) {
        await rejectsWith(
          () => store.write(`${prefix}fresh`, content, { hashes: wrong }),
          'CHECKSUM_MISMATCH',
        );
        assert.equal(await store.head(`${prefix}fresh`), undefined);
      }
      await store.write(`${prefix}old`, contentOf('old'));
      await rejectsWith(
        () => store.write(`${prefix}old`, contentOf('new'), { hashes: wrong }),
        'CHECKSUM_MISMATCH',
      );
      assert.equal((await readAll(store, `${prefix}old`)).toString(), 'old');
      await store.write(`${prefix}old`, contentOf('new'), { hashes: { md5: md5('new') } });
      assert.equal((await readAll(store, `${prefix}old`)).toString(), 'new');
    });

    it('notices a source that gives other bytes the second time, or too few, or too many', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      let reads = 0;
      const fickle = {
        size: 5,
        async *read() {
          reads += 1;
          yield Buffer.from(reads === 1 ? 'first' : 'later');
        },
      };
      try {
        await store.write(`${prefix}fickle`, fickle);
        const stored = (await readAll(store, `${prefix}fickle`)).toString();
        assert.ok(stored === 'first' || stored === 'later', `half of each was stored: ${stored}`);
      } catch (error) {
        assert.ok(error instanceof CloudSyncError, String(error));
        assert.ok(['CHANGED', 'CHECKSUM_MISMATCH'].includes(error.code), error.code);
        assert.equal(await store.head(`${prefix}fickle`), undefined);
      }
      for (const given of ['abc', 'abcdefgh']) {
        const lying = {
          size: 5,
          async *read() {
            yield Buffer.from(given);
          },
        };
        await rejectsWith(() => store.write(`${prefix}lying`, lying), 'CHANGED', 'CHECKSUM_MISMATCH');
        assert.equal(await store.head(`${prefix}lying`), undefined);
      }
    });

    it('leaves nothing when the source cannot be read', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const broken = new CloudSyncError('IO_ERROR', 'the disk is broken');
      await rejectsWith(
        () => store.write(`${prefix}broken`, failingContent(200_000, 100_000, broken)),
        'IO_ERROR',
      );
      assert.equal(await store.head(`${prefix}broken`), undefined);
      assert.deepEqual(await listKeys(store, { prefix }), []);
    });

    it('asks beforeCommit when all is read and keeps the old object if it throws', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const veto = async () => {
        throw new CloudSyncError('CHANGED', 'the file changed while it was read');
      };
      await store.write(`${prefix}kept`, contentOf('old'));
      for (const content of [contentOf('new'), streamedContent(pseudoRandomBytes(300_000))]) {
        await rejectsWith(() => store.write(`${prefix}kept`, content, { beforeCommit: veto }), 'CHANGED');
        await rejectsWith(() => store.write(`${prefix}never`, content, { beforeCommit: veto }), 'CHANGED');
      }
      assert.equal((await readAll(store, `${prefix}kept`)).toString(), 'old');
      assert.deepEqual(await listKeys(store, { prefix }), [`${prefix}kept`]);
      let asked = 0;
      await store.write(`${prefix}kept`, contentOf('new'), {
        beforeCommit: async () => {
          asked += 1;
          assert.equal((await readAll(store, `${prefix}kept`)).toString(), 'old');
        },
      });
      assert.equal(asked, 1);
    });

    it('holds to its conditions', async function () {
      const { store } = subject;
      if (!store.features.conditionalWrite) this.skip();
      const key = `${subject.prefix()}conditional`;
      const first = await store.write(key, contentOf('1'), { ifNoneMatch: '*' });
      assert.ok(first.etag);
      await rejectsWith(() => store.write(key, contentOf('2'), { ifNoneMatch: '*' }), 'PRECONDITION_FAILED');
      const second = await store.write(key, contentOf('2'), { ifMatch: first.etag });
      await rejectsWith(
        () => store.write(key, contentOf('3'), { ifMatch: first.etag! }),
        'PRECONDITION_FAILED',
      );
      assert.equal((await readAll(store, key)).toString(), '2');
      assert.equal((await store.head(key))?.etag, second.etag);
    });

    it('copies within the store, with attributes kept or replaced', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const source = `${prefix}source +%`;
      const bytes = pseudoRandomBytes(100_000, 7);
      const attributes = keepsMetadata(store) ? { metadata: { project: 'photos' } } : {};
      const written = await store.write(source, contentOf(bytes), {
        modificationTime: TIMES[0]!,
        ...attributes,
      });
      if (!store.features.serverSideCopy) {
        await rejectsWith(() => store.copy(source, `${prefix}copy`), 'NOT_SUPPORTED');
        return;
      }
      const copied = await store.copy(source, `${prefix}copy`);
      assert.equal(copied.key, `${prefix}copy`);
      assert.ok((await readAll(store, `${prefix}copy`)).equals(bytes));
      const found = await store.head(`${prefix}copy`);
      assertSameTime(store, found?.modificationTime, TIMES[0]!);
      if (keepsMetadata(store)) assert.equal(found?.metadata?.project, 'photos');

      const otherTime = () =>
        store.copy(source, `${prefix}copy`, { attributes: { modificationTime: TIMES[3]! } });
      if (store.features.modificationTime.change === 'none') {
        await rejectsWith(otherTime, 'NOT_SUPPORTED');
        await store.copy(source, `${prefix}copy`, { attributes: { modificationTime: TIMES[0]! } });
      } else {
        await otherTime();
        const replaced = await store.head(`${prefix}copy`);
        assertSameTime(store, replaced?.modificationTime, TIMES[3]!);
        assert.equal(replaced?.metadata?.project, undefined);
      }

      await rejectsWith(() => store.copy(`${prefix}absent`, `${prefix}copy`), 'NOT_FOUND');
      if (written.etag !== undefined) {
        await store.copy(source, `${prefix}pinned`, { sourceIfMatch: written.etag, size: bytes.length });
        await store.write(source, contentOf('changed'));
        await rejectsWith(
          () => store.copy(source, `${prefix}pinned`, { sourceIfMatch: written.etag! }),
          'CHANGED',
        );
        assert.ok((await readAll(store, `${prefix}pinned`)).equals(bytes));
      }
    });

    it('makes and removes folders as it declares', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const folder = `${prefix}empty folder`;
      await store.createFolder(folder, { modificationTime: TIMES[0]! });
      await store.createFolder(folder);
      assert.deepEqual(await listKeys(store, { prefix }), []);
      const entries = [];
      for await (const page of store.list({ prefix, folders: true })) entries.push(...page);
      const listed = entries.filter((entry) => entry.key === folder);
      if (store.features.folders === 'none') {
        assert.deepEqual(listed, []);
      } else {
        assert.equal(listed.length, 1);
        assert.equal(listed[0]?.kind, 'folder');
        assert.equal(listed[0]?.size, 0);
      }
      await store.write(`${folder}/file`, contentOf('x'));
      await store.deleteFolder(folder);
      assert.equal((await readAll(store, `${folder}/file`)).toString(), 'x');
      await store.delete({ key: `${folder}/file` });
      await store.deleteFolder(folder);
      await store.deleteFolder(folder);
      for await (const page of store.list({ prefix, folders: true })) {
        assert.deepEqual(
          page.filter((entry) => entry.key === folder),
          [],
        );
      }
    });

    it('renames where folders are real and nowhere else', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      await store.write(`${prefix}from/file`, contentOf('moved'));
      if (hasRealFolders(store)) {
        await store.rename(`${prefix}from`, `${prefix}to`);
        assert.deepEqual(await listKeys(store, { prefix }), [`${prefix}to/file`]);
        await rejectsWith(() => store.rename(`${prefix}absent`, `${prefix}to2`), 'NOT_FOUND');
      } else {
        await rejectsWith(() => store.rename(`${prefix}from`, `${prefix}to`), 'NOT_SUPPORTED');
      }
    });

    it('reads archived objects only after they were thawed', async () => {
      const { store } = subject;
      const { archive } = subject.target;
      const key = `${subject.prefix()}frozen`;
      if (archive === undefined) {
        await store.write(key, contentOf('warm'));
        if (store.features.walks) await rejectsWith(() => store.thaw(key, { days: 1 }), 'NOT_SUPPORTED');
        return;
      }
      await store.write(key, contentOf('ice'), { storageClass: archive.storageClass });
      const frozen = await store.head(key);
      assert.equal(frozen?.archive, 'frozen');
      assert.equal(frozen?.storageClass, archive.storageClass);
      const error = await rejectsWith(() => store.open(key), 'ARCHIVED');
      assert.ok(error.advice);
      await store.thaw(key, { days: 1 });
      await store.thaw(key, { days: 1 });
      assert.equal((await store.head(key))?.archive, 'thawing');
      await archive.finishThaw(key);
      assert.equal((await store.head(key))?.archive, 'thawed');
      const opened = await store.open(key);
      assert.equal((await collect(opened.read())).toString(), 'ice');
      await opened.close();
    });
  });
}

/** User metadata; a file system has its own instead. */
function keepsMetadata(store: Store): boolean {
  return !store.features.walks && store.features.metadata !== false;
}
