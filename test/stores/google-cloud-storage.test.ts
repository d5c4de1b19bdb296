import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import type { Store, StoredObject } from '../../src/stores/store.js';
import {
  collect,
  contentOf,
  forEachParallel,
  listAll,
  listKeys,
  md5,
  pseudoRandomBytes,
  readAll,
  rejectsWith,
  streamedContent,
} from '../conformance/support.js';
import {
  type GoogleCloudStorageServer,
  startGoogleCloudStorageServer,
} from '../servers/google-cloud-storage/server.js';
import { BUCKET, closeAll, openAt } from './google-cloud-storage-support.js';

const TIME = 1_700_000_000_123_456_789n;

describe('Google Cloud Storage store', function () {
  this.timeout(30_000);
  let server: GoogleCloudStorageServer;
  before(async () => {
    server = await startGoogleCloudStorageServer({ port: 0 });
  });
  beforeEach(() => {
    server.buckets.clear();
    server.createBucket(BUCKET);
    server.requests.reset();
  });
  afterEach(async () => {
    server.faults.clear();
    server.denied.clear();
    await closeAll();
  });
  after(() => server.stop());

  const live = (key: string) => server.buckets.get(BUCKET)?.live(key);

  describe('objects', () => {
    it('keep the time as rclone and gsutil keep it, and nothing else is added', async () => {
      const { store } = openAt(server);
      await store.write('x', contentOf('x'), { modificationTime: TIME, metadata: { Project: 'photos' } });
      assert.deepEqual(live('x')?.metadata, {
        project: 'photos',
        mtime: '2023-11-14T22:13:20.123456789Z',
        'goog-reserved-file-mtime': '1700000000',
      });
      await store.write('old', contentOf('x'), { modificationTime: -1n });
      assert.equal(live('old')?.metadata?.['goog-reserved-file-mtime'], '-1');
      assert.equal((await store.head('old'))?.modificationTime, -1n);
    });

    it("have the time of rclone's other offsets, of gsutil alone, or of their last change", async () => {
      const { store } = openAt(server);
      const bucket = server.buckets.get(BUCKET)!;
      const put = (name: string, metadata: Record<string, string>) =>
        bucket.put(name, { metadata }, Buffer.from(name), 1_600_000_000_000);
      put('offset', { mtime: '2023-11-14T23:13:20.123456789+01:00' });
      put('short', { mtime: '2023-11-14T22:13:20Z' });
      put('gsutil', { 'goog-reserved-file-mtime': '1700000000' });
      put('none', {});
      const times = new Map((await listAll(store)).map((entry) => [entry.key, entry.modificationTime]));
      assert.equal(times.get('offset'), TIME);
      assert.equal(times.get('short'), 1_700_000_000_000_000_000n);
      assert.equal(times.get('gsutil'), 1_700_000_000_000_000_000n);
      assert.equal(times.get('none'), 1_600_000_000_000_000_000n);
    });

    it('are told from each other by their generation', async () => {
      const { store } = openAt(server);
      const first = await store.write('x', contentOf('x'), { modificationTime: TIME });
      assert.match(first.etag ?? '', /^\d{16}$/);
      assert.equal(first.versionId, first.etag);
      const touched = await store.setModificationTime(first, TIME + 1n);
      assert.equal(touched.etag, first.etag, 'a change of metadata is no other content');
      assert.notEqual((await store.write('x', contentOf('x'))).etag, first.etag);
      await rejectsWith(() => store.setModificationTime(first, TIME), 'PRECONDITION_FAILED');
      await rejectsWith(() => store.write('x', contentOf('y'), { ifMatch: 'abc' }), 'PRECONDITION_FAILED');
    });

    it('keep class, headers and metadata in a copy; attributes replace the metadata alone', async () => {
      const { store } = openAt(server);
      await store.write('x', contentOf('x'), {
        storageClass: 'nearline',
        contentType: 'image/jpeg',
        modificationTime: TIME,
      });
      Object.assign(live('x')!, { cacheControl: 'no-store', contentLanguage: 'de' });
      server.rewriteBytesPerCall = 0.4;
      await store.copy('x', 'y');
      server.rewriteBytesPerCall = Number.POSITIVE_INFINITY;
      const { storageClass, contentType, cacheControl, contentLanguage, metadata } = live('y')!;
      assert.deepEqual(
        [storageClass, contentType, cacheControl, contentLanguage, metadata?.mtime],
        ['NEARLINE', 'image/jpeg', 'no-store', 'de', '2023-11-14T22:13:20.123456789Z'],
      );
      assert.ok((server.requests.counts['objects.rewrite'] ?? 0) > 1);
      await store.copy('x', 'z', { attributes: { modificationTime: 0n, storageClass: 'ARCHIVE' } });
      assert.equal(live('z')?.metadata?.mtime, '1970-01-01T00:00:00.000000000Z');
      assert.equal(live('z')?.storageClass, 'ARCHIVE');
      assert.equal((await store.head('z'))?.archive, undefined);
      await rejectsWith(() => store.copy('x', 'y', { ifNoneMatch: '*' }), 'PRECONDITION_FAILED');
      await rejectsWith(() => store.thaw('z', {}), 'NOT_SUPPORTED');
    });

    it("take the task's storage class", async () => {
      const { store } = openAt(server, { context: { options: { storageClass: 'COLDLINE' } } });
      await store.write('x', contentOf('x'));
      const upload = await store.createUpload('y', 3);
      await upload.sendPart(1, contentOf('abc'));
      await upload.complete();
      await store.createFolder('folder');
      assert.deepEqual(
        ['x', 'y', 'folder/'].map((key) => live(key)?.storageClass),
        ['COLDLINE', 'COLDLINE', 'STANDARD'],
      );
    });

    it('stored as gzip come byte for byte, with ranges and hashes of what is stored', async () => {
      const { store } = openAt(server);
      const packed = gzipSync(pseudoRandomBytes(50_000));
      server.buckets
        .get(BUCKET)!
        .put('z', { contentEncoding: 'gzip', contentType: 'text/plain' }, packed, Date.now());
      assert.ok((await readAll(store, 'z')).equals(packed));
      const opened = await store.open('z', { firstRead: { offset: 10, length: 20 } });
      assert.equal(opened.object.size, packed.length);
      assert.equal(opened.object.hashes?.md5, md5(packed));
      assert.ok((await collect(opened.read(10, 20))).equals(packed.subarray(10, 30)));
      assert.ok((await collect(opened.read(100))).equals(packed.subarray(100)));
      await opened.close();
    });

    it('that a gateway unpacks on the way are refused', async () => {
      const { store } = openAt(server);
      server.buckets.get(BUCKET)!.put('z', { contentEncoding: 'gzip' }, gzipSync('x'), Date.now());
      server.faults.add({
        kind: 'objects.download',
        action: { type: 'edit-answer', edit: (answer) => delete answer.headers['content-encoding'] },
      });
      const error = await rejectsWith(() => readAll(store, 'z'), 'BAD_ANSWER');
      assert.equal(error.message, 'The server does not give "z" as it is stored');
    });

    it('composed of others are compared and checked by their CRC-32C', async () => {
      const { store } = openAt(server);
      const bytes = pseudoRandomBytes(100_000);
      server.buckets.get(BUCKET)!.put('c', {}, bytes, Date.now(), 2);
      const [entry] = await listAll(store);
      assert.deepEqual(Object.keys(entry!.hashes ?? {}), ['crc32c']);
      const compare = (content: Buffer) =>
        store.compareContent!(entry!, contentOf(content), { claims: false });
      assert.equal(await compare(bytes), 'equal');
      assert.equal(await compare(pseudoRandomBytes(100_000, 2)), 'different');
      assert.ok((await readAll(store, 'c')).equals(bytes));
      server.faults.add({ kind: 'objects.download', action: { type: 'corrupt-answer', offset: 5 } });
      await rejectsWith(() => readAll(store, 'c'), 'CHECKSUM_MISMATCH');
    });
  });

  describe('requests', () => {
    it('of an unchanged listing of 2,000 files are its pages', async () => {
      const { store } = openAt(server);
      const keys = Array.from({ length: 2000 }, (_, index) => `d/${String(index).padStart(4, '0')}`);
      await forEachParallel(keys, async (key) => {
        await store.write(key, contentOf(key), { modificationTime: TIME });
      });
      const again = openAt(server);
      server.requests.reset();
      const listed = await listAll(again.store, { prefix: 'd/' });
      assert.equal(listed.length, 2000);
      assert.ok(listed.every((entry) => entry.modificationTime === TIME && entry.hashes?.md5 !== undefined));
      assert.deepEqual(server.requests.counts, { token: 1, 'objects.list': 2 });
      assert.deepEqual(
        again.requests,
        ['LIST', 'POST', 'LIST'].sort((a, b) => (a === 'POST' ? -1 : b === 'POST' ? 1 : 0)),
      );
    });

    it('for small files: one to write, one to read what was listed, two to read what was not', async () => {
      const { store } = openAt(server);
      await store.write('x', contentOf('x'), { modificationTime: TIME, metadata: { a: 'b' } });
      const [listed] = await listAll(store);
      server.requests.reset();
      await store.write('y', streamedContent(Buffer.from('y')));
      assert.deepEqual(server.requests.counts, { 'objects.insert': 1 });
      server.requests.reset();
      const opened = await store.open('x', { listed: listed! });
      assert.equal((await collect(opened.read())).toString(), 'x');
      assert.equal(opened.object.modificationTime, TIME);
      assert.deepEqual(opened.object.metadata, { a: 'b' });
      assert.deepEqual(server.requests.counts, { 'objects.download': 1 });
      server.requests.reset();
      await readAll(store, 'x');
      assert.deepEqual(server.requests.counts, { 'objects.download': 1, 'objects.get': 1 });
    });

    it('for objects replaced since the listing: opened as they are now', async () => {
      const { store } = openAt(server);
      await store.write('x', contentOf('old'), { modificationTime: TIME });
      const [listed] = await listAll(store);
      await store.write('x', contentOf('newer'), { modificationTime: TIME + 1n });
      const opened = await store.open('x', { listed: listed! });
      assert.equal(opened.object.modificationTime, TIME + 1n);
      assert.equal((await collect(opened.read())).toString(), 'newer');
      await store.delete({ key: 'x' });
      await rejectsWith(() => store.open('x', { listed: listed! }), 'NOT_FOUND');
    });

    it('delete a hundred at once, or one by one where there are no batches', async () => {
      const keys = Array.from({ length: 250 }, (_, index) => `k/${index} ü&<`);
      for (const hasBatches of [true, false]) {
        const { store } = openAt(server);
        await forEachParallel(keys, async (key) => void (await store.write(key, contentOf(''))));
        server.requests.reset();
        if (!hasBatches) {
          server.faults.add({ kind: 'batch', action: { type: 'error', status: 404, reason: 'notFound' } });
        }
        const outcomes = await store.deleteMany(keys.map((key) => ({ key })));
        assert.deepEqual(
          outcomes,
          keys.map((key) => ({ key })),
        );
        assert.deepEqual(await listKeys(store), []);
        assert.deepEqual(
          [server.requests.counts.batch, server.requests.counts['objects.delete']],
          hasBatches ? [3, undefined] : [1, 250],
        );
      }
    });

    it('of a batch that fail for a while are sent again alone', async () => {
      const { store } = openAt(server);
      for (const key of ['a', 'b', 'c']) await store.write(key, contentOf(key));
      server.faults.add({
        kind: 'objects.delete',
        key: 'b',
        times: 1,
        action: { type: 'error', status: 503 },
      });
      const outcomes = await store.deleteMany(['a', 'b', 'c'].map((key) => ({ key })));
      assert.ok(outcomes.every(({ error }) => error === undefined));
      assert.equal(server.requests.counts['objects.delete'], 1);
      assert.deepEqual(await listKeys(store), []);
    });
  });

  describe('under failures', () => {
    it('tries again through bursts of 429 and 503, waiting as long as it is told', async () => {
      const { store, retries } = openAt(server);
      server.faults.add({ kind: 'objects.insert', times: 2, action: { type: 'error', status: 503 } });
      server.faults.add({
        kind: 'objects.insert',
        skip: 2,
        times: 1,
        action: { type: 'error', status: 429, reason: 'rateLimitExceeded', retryAfter: 1 },
      });
      const started = performance.now();
      await store.write('x', contentOf('x'));
      assert.ok(performance.now() - started >= 1000, 'Retry-After was not waited for');
      assert.deepEqual(
        retries.map((error) => error.code),
        ['RATE_LIMITED', 'RATE_LIMITED', 'RATE_LIMITED'],
      );
    });

    it('an upload corrupted on its way is refused by the server and sent again', async () => {
      const { store, retries } = openAt(server);
      for (const content of [
        contentOf(pseudoRandomBytes(100_000)),
        streamedContent(pseudoRandomBytes(600_000)),
      ]) {
        server.faults.add({
          kind: 'objects.insert',
          times: 1,
          action: { type: 'corrupt-request', offset: 70_000 },
        });
        await store.write('x', content);
        assert.ok((await readAll(store, 'x')).equals(await collect(content.read())));
      }
      assert.deepEqual(
        retries.map((error) => [error.code, error.message]),
        Array.from({ length: 2 }, () => [
          'CHECKSUM_MISMATCH',
          '"x" arrived damaged and was refused by the server',
        ]),
      );
      assert.equal(server.buckets.get(BUCKET)?.objects.get('x')?.length, 1);
    });

    it('an upload that a server stores damaged without a word is removed', async () => {
      const { store } = openAt(server, { tuning: { retryPolicy: { attempts: 2 } } });
      server.faults.add({
        kind: 'objects.insert',
        action: {
          type: 'edit-answer',
          edit: (answer) => {
            const body = answer.body
              .toString()
              .replace(/"md5Hash":"[^"]+"/, '"md5Hash":"1B2M2Y8AsgTpgAmY7PhCfg=="');
            answer.body = Buffer.from(body);
            answer.headers['content-length'] = answer.body.length;
          },
        },
      });
      await rejectsWith(() => store.write('x', contentOf('x')), 'CHECKSUM_MISMATCH');
      assert.equal(await store.head('x'), undefined);
    });

    it('a download corrupted on its way is noticed before its last byte', async () => {
      const { store } = openAt(server);
      const bytes = pseudoRandomBytes(200_000);
      await store.write('x', contentOf(bytes));
      for (const offset of [0, 100_000, 199_999]) {
        server.faults.add({ kind: 'objects.download', times: 1, action: { type: 'corrupt-answer', offset } });
        const opened = await store.open('x');
        let seen = 0;
        await rejectsWith(async () => {
          for await (const chunk of opened.read()) seen += chunk.length;
        }, 'CHECKSUM_MISMATCH');
        assert.ok(seen < bytes.length);
        await opened.close();
      }
      assert.ok((await readAll(store, 'x')).equals(bytes));
    });

    it('a download that is cut is taken up where it was, of the same generation', async () => {
      const { store } = openAt(server);
      const bytes = pseudoRandomBytes(500_000);
      await store.write('x', contentOf(bytes));
      server.faults.add({
        kind: 'objects.download',
        times: 2,
        action: { type: 'cut-answer', afterBytes: 120_000 },
      });
      assert.ok((await readAll(store, 'x')).equals(bytes));
      assert.equal(server.requests.counts['objects.download'], 3);
      server.faults.add({
        kind: 'objects.download',
        times: 1,
        action: { type: 'cut-answer', afterBytes: 120_000 },
      });
      const opened = await store.open('x');
      const reading = opened.read()[Symbol.asyncIterator]();
      await reading.next();
      await store.write('x', contentOf(pseudoRandomBytes(500_000, 2)));
      await rejectsWith(async () => {
        while ((await reading.next()).done !== true);
      }, 'CHANGED');
      await opened.close();
    });

    it('a condition that fails because the answer of the first attempt was lost is none', async () => {
      const { store } = openAt(server);
      server.faults.add({ kind: 'objects.insert', times: 1, action: { type: 'drop-answer' } });
      const written = await store.write('x', contentOf('x'), { ifNoneMatch: '*' });
      assert.equal(written.etag, (await store.head('x'))?.etag);
      server.faults.add({ kind: 'objects.rewrite', times: 1, action: { type: 'drop-answer' } });
      const copied = await store.copy('x', 'y', { ifNoneMatch: '*' });
      assert.equal(copied.etag, (await store.head('y'))?.etag);
      server.faults.add({ kind: 'objects.delete', times: 1, action: { type: 'drop-answer' } });
      await store.delete({ key: 'x', ifMatch: written.etag! });
      assert.equal(await store.head('x'), undefined);
    });

    it('silence ends a request', async () => {
      const { store, retries } = openAt(server, { tuning: { silenceMs: 300 } });
      server.faults.add({ kind: 'objects.get', times: 1, action: { type: 'delay', ms: 2000 } });
      assert.equal(await store.head('x'), undefined);
      assert.deepEqual(
        retries.map((error) => error.code),
        ['TIMEOUT'],
      );
    });
  });

  describe('versions', () => {
    const entriesOf = async (store: Store, options = {}) =>
      (await listAll(store, { versions: true, ...options })).map(
        (entry: StoredObject) =>
          `${entry.key}${entry.isDeleteMarker ? ' deleted' : ''}${entry.isLatest ? ' now' : ''}`,
      );

    it('are told from buckets that keep none, also by an account that may not look', async () => {
      const { store } = openAt(server);
      const error = await rejectsWith(() => listAll(store, { asOf: Date.now() }), 'NOT_SUPPORTED');
      assert.equal(error.message, 'The bucket "photos" keeps no versions');
      assert.match(error.advice ?? '', /Object versioning/);
      assert.equal(store.features.versions, false);
      server.denied.add('storage.buckets.get');
      const blind = openAt(server).store;
      await blind.check();
      assert.equal(blind.features.versions, true);
      assert.deepEqual(await listAll(blind, { asOf: Date.now() }), []);
    });

    it('are deleted with their object where the task says so', async () => {
      server.buckets.get(BUCKET)!.versioning = true;
      const { store } = openAt(server, { context: { options: { deleteVersions: true } } });
      for (const text of ['1', '2', '3']) await store.write('a', contentOf(text));
      await store.write('a/b', contentOf('x'));
      await store.write('ab', contentOf('x'));
      await store.delete({ key: 'a' });
      assert.deepEqual(await entriesOf(store), ['a/b now', 'ab now']);
      await store.deleteMany([{ key: 'a/b' }, { key: 'ab' }, { key: 'absent' }]);
      assert.deepEqual(await entriesOf(store), []);
    });

    it('show when nothing was there between two of them', async () => {
      const bucket = server.buckets.get(BUCKET)!;
      bucket.versioning = true;
      const { store } = openAt(server);
      const day = 24 * 3600_000;
      const start = Date.now() - 10 * day;
      bucket.put('a', {}, Buffer.from('first'), start);
      bucket.delete('a', undefined, start + day);
      bucket.put('a', {}, Buffer.from('second'), start + 3 * day);
      bucket.put('a', {}, Buffer.from('third'), start + 4 * day);
      assert.deepEqual(await entriesOf(store), ['a now', 'a', 'a deleted', 'a']);
      const sizeAt = async (days: number) =>
        (await listAll(store, { asOf: start + days * day })).map(({ size }) => size);
      assert.deepEqual(
        [await sizeAt(-1), await sizeAt(0), await sizeAt(2), await sizeAt(3), await sizeAt(4)],
        [[], [5], [], [6], [5]],
      );
    });

    it('are not made by a change of the time', async () => {
      server.buckets.get(BUCKET)!.versioning = true;
      const { store } = openAt(server);
      const written = await store.write('a', contentOf('x'), { modificationTime: TIME });
      const touched = await store.setModificationTime(written, TIME + 5n);
      assert.equal(touched.modificationTime, TIME + 5n);
      assert.deepEqual(await entriesOf(store), ['a now']);
    });
  });
});
