/** Every call ends soon with ABORTED when its signal fires, and leaves nothing. */

import assert from 'node:assert/strict';
import type { Store, StoredObject } from '../../src/stores/store.js';
import {
  collect,
  contentOf,
  listKeys,
  pseudoRandomBytes,
  readAll,
  rejectsWith,
  type Subject,
} from './support.js';

type Call = (store: Store, prefix: string, signal: AbortSignal) => Promise<unknown>;

const CALLS: Record<string, Call> = {
  check: (store, _prefix, signal) => store.check(signal),
  list: (store, prefix, signal) => drain(store.list({ prefix, signal })),
  head: (store, prefix, signal) => store.head(`${prefix}present`, { signal }),
  open: (store, prefix, signal) => store.open(`${prefix}present`, { signal }),
  write: (store, prefix, signal) => store.write(`${prefix}new`, contentOf('new'), { signal }),
  createUpload: (store, prefix, signal) => store.createUpload(`${prefix}new`, 30_000_000, { signal }),
  pendingUploads: (store, prefix, signal) => drain(store.pendingUploads(prefix, signal)),
  copy: (store, prefix, signal) => store.copy(`${prefix}present`, `${prefix}new`, { signal }),
  delete: (store, prefix, signal) => store.delete({ key: `${prefix}present` }, signal),
  deleteMany: (store, prefix, signal) => store.deleteMany([{ key: `${prefix}present` }], signal),
  setModificationTime: (store, prefix, signal) =>
    store.setModificationTime(presentObject(prefix), 1_000_000_000n, signal),
  createFolder: (store, prefix, signal) => store.createFolder(`${prefix}new`, {}, signal),
  deleteFolder: (store, prefix, signal) => store.deleteFolder(`${prefix}new`, signal),
};

export function signalTests(subject: Subject): void {
  describe('an abort signal', () => {
    for (const [name, call] of Object.entries(CALLS)) {
      it(`that has fired already stops ${name}`, async function () {
        const { store } = subject;
        const { features } = store;
        if (name === 'copy' && !features.serverSideCopy) this.skip();
        if (name === 'setModificationTime' && features.modificationTime.change === 'none') this.skip();
        if (name.endsWith('Folder') && features.folders === 'none') this.skip();
        const prefix = subject.prefix();
        await store.write(`${prefix}present`, contentOf('present'));
        await rejectsWith(() => call(store, prefix, AbortSignal.abort()), 'ABORTED');
        assert.equal((await readAll(store, `${prefix}present`)).toString(), 'present');
        assert.deepEqual(await listKeys(store, { prefix, folders: true }), [`${prefix}present`]);
      });
    }

    it('stops a write whose source has nothing to give', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const controller = new AbortController();
      const stuck = {
        size: 1_000_000,
        async *read() {
          yield new Uint8Array(1000);
          setImmediate(() => controller.abort());
          await new Promise((resolve) => controller.signal.addEventListener('abort', resolve));
          yield new Uint8Array(1000);
        },
      };
      await rejectsWith(() => store.write(`${prefix}stuck`, stuck, { signal: controller.signal }), 'ABORTED');
      assert.equal(await store.head(`${prefix}stuck`), undefined);
      assert.deepEqual(await listKeys(store, { prefix }), []);
    });

    it('stops a read in the middle', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}long`;
      await store.write(key, contentOf(pseudoRandomBytes(3_000_000)));
      const controller = new AbortController();
      const opened = await store.open(key, { firstRead: { offset: 0, length: 10 } });
      let seen = 0;
      await rejectsWith(async () => {
        for await (const chunk of opened.read(0, undefined, controller.signal)) {
          seen += chunk.length;
          controller.abort();
        }
      }, 'ABORTED');
      assert.ok(seen < 3_000_000);
      await opened.close();
    });

    it('stops a part, and the upload can still be aborted', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const partSize = Math.max(store.features.upload.minPartSize, 64 * 1024);
      const upload = await store.createUpload(`${prefix}part`, partSize * 2, { partSize });
      await rejectsWith(
        () => upload.sendPart(1, contentOf(new Uint8Array(partSize)), AbortSignal.abort()),
        'ABORTED',
      );
      await upload.abort();
      assert.deepEqual(await listKeys(store, { prefix }), []);
      assert.equal((await drain(store.pendingUploads(prefix))).length, 0);
    });

    it('that never fires changes nothing', async () => {
      const { store } = subject;
      const key = `${subject.prefix()}calm`;
      const { signal } = new AbortController();
      await store.write(key, contentOf('calm'), { signal });
      const opened = await store.open(key, { signal });
      assert.equal((await collect(opened.read(0, undefined, signal))).toString(), 'calm');
      await opened.close();
      await store.delete({ key }, signal);
    });
  });
}

function presentObject(prefix: string): StoredObject {
  return { key: `${prefix}present`, kind: 'file', size: 7 };
}

async function drain<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
