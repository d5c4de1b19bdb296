import assert from 'node:assert/strict';
import type { Store } from '../../src/stores/store.js';
import {
  collect,
  contentOf,
  listAll,
  md5,
  pseudoRandomBytes,
  readAll,
  rejectsWith,
  streamedContent,
  until,
} from '../conformance/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { BUCKET, closeAll, openAt } from './s3-support.js';

const MIB = 1024 * 1024;
const PART = 5 * MIB;

describe('S3 store under failures', () => {
  let server: S3Server;
  before(async () => {
    server = await startS3Server({ port: 0 });
  });
  beforeEach(() => {
    server.createBucket(BUCKET);
    server.requests.reset();
  });
  afterEach(async () => {
    server.faults.clear();
    await closeAll();
  });
  after(() => server.stop());

  describe('tries again', () => {
    it('through bursts of 503, waiting as long as it is told', async () => {
      const { store, retries } = openAt(server);
      server.faults.add({ times: 3, action: { type: 'error', code: 'SlowDown', status: 503 } });
      server.faults.add({
        skip: 3,
        times: 1,
        action: { type: 'error', code: 'SlowDown', status: 503, retryAfter: 1 },
      });
      const started = performance.now();
      await store.write('x', contentOf('x'));
      assert.ok(performance.now() - started >= 1000, 'Retry-After was not waited for');
      assert.equal(retries.length, 4);
      assert.ok(retries.every((error) => error.code === 'RATE_LIMITED'));
      assert.equal(retries[3]?.retryAfterMs, 1000);
    });

    it('but gives up at some point, and at once where asked to wait for ages', async () => {
      const { store } = openAt(server, { tuning: { retryPolicy: { attempts: 3 } } });
      server.faults.add({
        operation: 'HeadObject',
        action: { type: 'error', code: 'InternalError', status: 500 },
      });
      await rejectsWith(() => store.head('x'), 'SERVER_ERROR');
      assert.equal(server.requests.counts.HeadObject, 3);
      server.faults.clear();
      server.faults.add({ action: { type: 'error', code: 'SlowDown', status: 503, retryAfter: 100_000 } });
      await rejectsWith(() => store.head('x'), 'RATE_LIMITED');
      assert.equal(server.requests.counts.HeadObject, 4);
    });

    it('when an upload was corrupted on the way', async () => {
      const { store, retries } = openAt(server);
      for (const content of [
        contentOf(pseudoRandomBytes(100_000)),
        streamedContent(pseudoRandomBytes(600_000)),
      ]) {
        server.faults.add({
          operation: 'PutObject',
          times: 1,
          action: { type: 'corrupt-request', offset: 70_000 },
        });
        await store.write('x', content);
        assert.ok((await readAll(store, 'x')).equals(await collect(content.read())));
      }
      assert.deepEqual(
        retries.map((error) => error.code),
        ['CHECKSUM_MISMATCH', 'CHECKSUM_MISMATCH'],
      );
    });

    it('when a part was corrupted on the way', async () => {
      const { store, retries } = openAt(server);
      const bytes = pseudoRandomBytes(PART + 10);
      const upload = await store.createUpload('parts', bytes.length, { partSize: PART });
      server.faults.add({
        operation: 'UploadPart',
        times: 1,
        action: { type: 'corrupt-request', offset: 1000 },
      });
      await upload.sendPart(1, contentOf(bytes.subarray(0, PART)));
      await upload.sendPart(2, contentOf(bytes.subarray(PART)));
      await upload.complete();
      assert.ok((await readAll(store, 'parts')).equals(bytes));
      assert.deepEqual(
        retries.map((error) => error.code),
        ['CHECKSUM_MISMATCH'],
      );
    });

    it('when the connection broke during an upload', async () => {
      const { store, retries } = openAt(server);
      const bytes = pseudoRandomBytes(900_000);
      server.faults.add({
        operation: 'PutObject',
        times: 2,
        action: { type: 'reset-request', afterBytes: 300_000 },
      });
      await store.write('x', streamedContent(bytes));
      assert.ok((await readAll(store, 'x')).equals(bytes));
      assert.deepEqual(
        retries.map((error) => error.code),
        ['CONNECTION_LOST', 'CONNECTION_LOST'],
      );
    });

    it('and knows its own object again when only the answer was lost', async () => {
      const { store } = openAt(server);
      server.faults.add({ operation: 'PutObject', times: 1, action: { type: 'drop-answer' } });
      const written = await store.write('once', contentOf('once'), { ifNoneMatch: '*' });
      assert.equal(written.etag, md5('once'));
      server.faults.add({ operation: 'PutObject', times: 1, action: { type: 'drop-answer' } });
      const second = await store.write('once', contentOf('twice'), { ifMatch: written.etag! });
      assert.equal(second.etag, md5('twice'));
      await rejectsWith(
        () => store.write('once', contentOf('other'), { ifNoneMatch: '*' }),
        'PRECONDITION_FAILED',
      );

      const bytes = pseudoRandomBytes(PART + 10);
      const upload = await store.createUpload('parts', bytes.length, { partSize: PART });
      await upload.sendPart(1, contentOf(bytes.subarray(0, PART)));
      await upload.sendPart(2, contentOf(bytes.subarray(PART)));
      server.faults.add({ operation: 'CompleteMultipartUpload', times: 1, action: { type: 'drop-answer' } });
      const finished = await upload.complete();
      assert.equal(finished.size, bytes.length);
      assert.ok((await readAll(store, 'parts')).equals(bytes));
    });

    it('and ends a request on which nothing moves, but not a slow one', async () => {
      const { store, retries } = openAt(server, { tuning: { silenceMs: 400 } });
      server.faults.add({
        operation: 'PutObject',
        times: 1,
        action: { type: 'stall-request', afterBytes: 1000 },
      });
      await store.write('x', contentOf(pseudoRandomBytes(5000)));
      await store.write('big', contentOf(pseudoRandomBytes(3 * MIB)));
      server.faults.add({
        operation: 'GetObject',
        times: 1,
        action: { type: 'stall-response', afterBytes: MIB },
      });
      assert.equal((await readAll(store, 'big')).length, 3 * MIB);
      assert.deepEqual(
        retries.map((error) => error.code),
        ['TIMEOUT'],
      );
      server.network.bandwidth = 2 * MIB;
      try {
        await store.write('slow', contentOf(pseudoRandomBytes(3 * MIB)));
        assert.equal(retries.length, 1);
      } finally {
        server.network.bandwidth = 0;
      }
    });
  });

  describe('downloads', () => {
    it('are taken up where they broke, pinned to what was opened', async () => {
      const { store } = openAt(server);
      const bytes = pseudoRandomBytes(3_000_000);
      await store.write('x', contentOf(bytes));
      server.requests.reset();
      server.faults.add({
        operation: 'GetObject',
        times: 2,
        action: { type: 'reset-response', afterBytes: 1_000_000 },
      });
      assert.ok((await readAll(store, 'x')).equals(bytes));
      assert.equal(server.requests.counts.GetObject, 3);
    });

    it('that end early are taken up too', async () => {
      const { store } = openAt(server);
      const bytes = pseudoRandomBytes(1_000_000);
      await store.write('x', contentOf(bytes));
      server.faults.add({
        operation: 'GetObject',
        times: 1,
        action: { type: 'truncate-response', fraction: 0.5 },
      });
      assert.ok((await readAll(store, 'x')).equals(bytes));
    });

    it('that broke because the object was replaced are CHANGED', async () => {
      const { store } = openAt(server);
      await store.write('x', contentOf(pseudoRandomBytes(2_000_000, 1)));
      server.faults.add({
        operation: 'GetObject',
        times: 1,
        action: { type: 'reset-response', afterBytes: 1_000_000 },
      });
      const opened = await store.open('x');
      await store.write('x', contentOf(pseudoRandomBytes(2_000_000, 2)));
      await rejectsWith(() => collect(opened.read()), 'CHANGED');
      await opened.close();
      const gone = await store.open('x', { firstRead: { offset: 0, length: 10 } });
      await collect(gone.read(0, 10));
      await store.delete({ key: 'x' });
      await rejectsWith(() => collect(gone.read(10, 10)), 'CHANGED');
      await gone.close();
    });

    it('of small objects take one request', async () => {
      const { store, requests } = openAt(server);
      await store.write('small', contentOf('small'), { modificationTime: 1_700_000_000_123_456_789n });
      requests.length = 0;
      const opened = await store.open('small', { firstRead: { offset: 0, length: 5 } });
      assert.equal((await collect(opened.read())).toString(), 'small');
      assert.equal(opened.object.modificationTime, 1_700_000_000_123_456_789n);
      assert.equal(opened.object.hashes?.md5, md5('small'));
      await opened.close();
      assert.deepEqual(requests, ['GET']);
    });
  });

  describe('an abort', () => {
    const calls: Record<string, (store: Store, signal: AbortSignal) => Promise<unknown>> = {
      list: (store, signal) => listAll(store, { signal }),
      head: (store, signal) => store.head('x', { signal }),
      open: (store, signal) => store.open('x', { signal }),
      write: (store, signal) => store.write('y', contentOf(pseudoRandomBytes(400_000)), { signal }),
      createUpload: (store, signal) => store.createUpload('y', 20 * MIB, { signal }),
      copy: (store, signal) => store.copy('x', 'y', { signal }),
      deleteMany: (store, signal) => store.deleteMany([{ key: 'z' }], signal),
    };
    for (const [name, call] of Object.entries(calls)) {
      it(`ends ${name} while the server says nothing`, async () => {
        const { store } = openAt(server);
        await store.write('x', contentOf('x'));
        server.faults.add({ times: 1, action: { type: 'delay', ms: 1000 } });
        const controller = new AbortController();
        setTimeout(() => controller.abort(), 50);
        const started = performance.now();
        await rejectsWith(() => call(store, controller.signal), 'ABORTED');
        assert.ok(performance.now() - started < 500, 'the call went on');
        await until(async () => name !== 'createUpload' || server.requests.counts.AbortMultipartUpload === 1);
        assert.deepEqual(server.objects.pendingUploads(BUCKET), []);
      });
    }

    it('ends the wait between two attempts', async () => {
      const { store } = openAt(server);
      server.faults.add({ action: { type: 'error', code: 'SlowDown', status: 503, retryAfter: 60 } });
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 50);
      const started = performance.now();
      await rejectsWith(() => store.head('x', { signal: controller.signal }), 'ABORTED');
      assert.ok(performance.now() - started < 1000);
    });
  });

  describe('answers that lie', () => {
    it('about a written object are not believed', async () => {
      const { store } = openAt(server);
      server.faults.add({ operation: 'PutObject', times: 1, action: { type: 'wrong-etag' } });
      await rejectsWith(() => store.write('x', contentOf('x')), 'CHECKSUM_MISMATCH');
    });

    for (const code of ['InternalError', 'SlowDown']) {
      it(`200 with ${code} inside is tried again`, async () => {
        const { store } = openAt(server);
        await store.write('x', contentOf('x'));
        server.faults.add({ operation: 'CopyObject', times: 1, action: { type: 'error-in-ok', code } });
        await store.copy('x', 'y');
        assert.equal(server.requests.counts.CopyObject, 2);
        const bytes = pseudoRandomBytes(PART + 10);
        const upload = await store.createUpload('parts', bytes.length, { partSize: PART });
        await upload.sendPart(1, contentOf(bytes.subarray(0, PART)));
        await upload.sendPart(2, contentOf(bytes.subarray(PART)));
        server.faults.add({
          operation: 'CompleteMultipartUpload',
          times: 1,
          action: { type: 'error-in-ok', code },
        });
        await upload.complete();
        assert.ok((await readAll(store, 'parts')).equals(bytes));
      });
    }

    it('200 with AccessDenied inside is an error', async () => {
      const { store } = openAt(server);
      await store.write('x', contentOf('x'));
      server.faults.add({ operation: 'CopyObject', action: { type: 'error-in-ok', code: 'AccessDenied' } });
      await rejectsWith(() => store.copy('x', 'y'), 'NO_PERMISSION');
      assert.equal(await store.head('y'), undefined);
    });

    it('about single keys of a batch are told for these keys', async () => {
      const { store } = openAt(server);
      for (const key of ['a', 'b', 'c']) await store.write(key, contentOf(key));
      server.faults.add({
        operation: 'DeleteObjects',
        action: { type: 'error-in-ok', code: 'AccessDenied', keys: (key) => key === 'b' },
      });
      const outcomes = await store.deleteMany([{ key: 'a' }, { key: 'b' }, { key: 'c' }]);
      assert.deepEqual(
        outcomes.map((outcome) => outcome.error?.code),
        [undefined, 'NO_PERMISSION', undefined],
      );
      assert.equal(outcomes[1]?.error?.path, 'b');
      assert.equal((await readAll(store, 'b')).toString(), 'b');
    });

    it('the same page again and again ends the listing', async () => {
      const { store } = openAt(server);
      for (let index = 0; index < 3; index += 1) {
        await Promise.all(Array.from({ length: 400 }, (_, n) => store.write(`${index}/${n}`, contentOf(''))));
      }
      server.faults.add({ operation: 'ListObjectsV2', skip: 1, action: { type: 'repeat-list-page' } });
      await rejectsWith(() => listAll(store), 'BAD_ANSWER');
    });

    it('keys out of order are passed on as they are: the engine guards the order', async () => {
      const { store } = openAt(server);
      for (const key of ['a', 'b', 'c']) await store.write(key, contentOf(key));
      server.faults.add({
        operation: 'ListObjectsV2',
        action: { type: 'list', change: (page) => void page.items.reverse() },
      });
      assert.deepEqual(
        (await listAll(store)).map((entry) => entry.key),
        ['c', 'b', 'a'],
      );
    });
  });
});
