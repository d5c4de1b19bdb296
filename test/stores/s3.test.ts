import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { CloudSyncError } from '../../src/errors.js';
import { s3Identity } from '../../src/stores/s3/identity.js';
import { formatModificationTime, parseModificationTime } from '../../src/stores/s3/times.js';
import { multipartEtag, partSizeFor } from '../../src/stores/s3/upload.js';
import {
  collect,
  contentOf,
  listAll,
  md5,
  pseudoRandomBytes,
  readAll,
  rejectsWith,
  streamedContent,
} from '../conformance/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { BUCKET, closeAll, openAt } from './s3-support.js';

const MIB = 1024 * 1024;
const PART = 5 * MIB;

describe('S3 store', () => {
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

  describe('beside rclone', () => {
    const times: [bigint, string][] = [
      [0n, '0'],
      [1n, '0.000000001'],
      [1_700_000_000_123_456_789n, '1700000000.123456789'],
      [1_700_000_000_120_000_000n, '1700000000.12'],
      [1_700_000_000_000_000_000n, '1700000000'],
      [-1_500_000_000n, '-1.5'],
    ];
    for (const [time, text] of times) {
      it(`writes and reads the time ${text}`, () => {
        assert.equal(formatModificationTime(time), text);
        assert.equal(parseModificationTime(text), time);
      });
    }

    it('reads what others write, and nothing from nonsense', () => {
      assert.equal(parseModificationTime('1700000000.1234567891'), 1_700_000_000_123_456_789n);
      assert.equal(parseModificationTime('1700000000.'), 1_700_000_000_000_000_000n);
      assert.equal(parseModificationTime('.5'), 500_000_000n);
      for (const text of [undefined, '', '.', 'yesterday', '1e9', '12:30', '1,5']) {
        assert.equal(parseModificationTime(text), undefined, String(text));
      }
    });

    it('falls back to the time of storing where mtime is nonsense', async () => {
      const { store } = openAt(server);
      await store.write('x', contentOf('x'), { metadata: { mtime: 'yesterday' } });
      const found = await store.head('x');
      assert.equal(found?.modificationTime, BigInt(found!.storedTime!) * 1_000_000n);
    });

    it('keeps the MD5 in the metadata where the ETag is none: parts, and KMS', async () => {
      const { store } = openAt(server);
      const bytes = pseudoRandomBytes(PART + 10);
      const upload = await store.createUpload('parts', bytes.length, {
        partSize: PART,
        hashes: { md5: md5(bytes) },
        modificationTime: 1_700_000_000_123_456_789n,
      });
      await upload.sendPart(2, contentOf(bytes.subarray(PART)));
      await upload.sendPart(1, contentOf(bytes.subarray(0, PART)));
      const finished = await upload.complete();
      assert.equal(finished.etag, multipartEtag([md5(bytes.subarray(0, PART)), md5(bytes.subarray(PART))]));
      const stored = server.objects.find(BUCKET, 'parts')!;
      const base64 = createHash('md5').update(bytes).digest('base64');
      assert.equal(stored.metadata.md5chksum, base64);
      assert.equal(stored.metadata.mtime, '1700000000.123456789');
      const found = await store.head('parts');
      assert.equal(found?.claimedHashes?.md5, md5(bytes));
      assert.equal(found?.hashes, undefined);
      assert.equal(found?.metadata?.md5chksum, undefined);

      await store.write('plain', contentOf('plain'));
      assert.equal(server.objects.find(BUCKET, 'plain')?.metadata.md5chksum, undefined);
      await store.write('secret', contentOf('secret'), { serverSideEncryption: 'aws:kms' });
      const secret = await store.head('secret');
      assert.equal(secret?.claimedHashes?.md5, md5('secret'));
      assert.equal(secret?.hashes, undefined);
      assert.notEqual(secret?.etag, md5('secret'));
    });

    it('keeps all but the time when only the time changes', async () => {
      const { store } = openAt(server);
      await store.write('x', contentOf('x'), {
        metadata: { mode: '100644', note: 'a  b' },
        contentType: 'image/jpeg',
        storageClass: 'STANDARD_IA',
        serverSideEncryption: 'aws:kms',
      });
      await store.setModificationTime((await store.head('x'))!, 1_000_000_000_000_000_001n);
      const stored = server.objects.find(BUCKET, 'x')!;
      assert.equal(stored.metadata.mtime, '1000000000.000000001');
      assert.equal(stored.metadata.mode, '100644');
      assert.equal(stored.metadata.md5chksum, createHash('md5').update('x').digest('base64'));
      assert.equal(stored.storageClass, 'STANDARD_IA');
      const found = await store.head('x');
      assert.equal(found?.modificationTime, 1_000_000_000_000_000_001n);
      const stale = { ...found!, etag: md5('other') };
      await rejectsWith(() => store.setModificationTime(stale, 1n), 'CHANGED');
    });

    it('leaves folder markers out, or gives them as folders', async () => {
      const { store } = openAt(server);
      await store.createFolder('photos');
      await store.write('photos/a', contentOf('a'));
      await store.write('full/', contentOf('a file whose name ends in a slash'));
      assert.deepEqual(
        (await listAll(store)).map((entry) => `${entry.kind} ${entry.key}`),
        ['file full/', 'file photos/a'],
      );
      assert.deepEqual(
        (await listAll(store, { folders: true })).map((entry) => `${entry.kind} ${entry.key}`),
        ['file full/', 'folder photos', 'file photos/a'],
      );
      assert.deepEqual(
        (await listAll(store, { folders: true, prefix: 'photos/' })).map((entry) => entry.key),
        ['photos/a'],
      );
    });
  });

  describe('large objects', () => {
    const TIB = 1024 ** 4;
    const sizes: [number, number, number | undefined, number][] = [
      [20 * MIB, 10_000, undefined, 8 * MIB],
      [80_000 * MIB, 10_000, undefined, 8 * MIB],
      [80_000 * MIB + 1, 10_000, undefined, 9 * MIB],
      [5 * TIB, 10_000, undefined, 525 * MIB],
      [5 * TIB, 10_000, 1000 * MIB, 1000 * MIB],
      [20 * MIB, 10_000, 1, 5 * MIB],
      [9000 * MIB, 1000, undefined, 9 * MIB],
      [5 * TIB, 1024, undefined, 5120 * MIB],
    ];
    for (const [size, maxParts, wanted, partSize] of sizes) {
      it(`of ${size} bytes in ${maxParts} parts have parts of ${partSize / MIB} MiB`, () => {
        assert.equal(partSizeFor(size, maxParts, wanted), partSize);
        assert.ok(Math.ceil(size / partSize) <= maxParts);
      });
    }

    it('that no number of parts can hold are refused', () => {
      assert.throws(
        () => partSizeFor(5 * TIB, 1000),
        (error: CloudSyncError) => error.code === 'NOT_SUPPORTED',
      );
    });

    it('take chunkSize and maxUploadParts', async () => {
      const { store } = openAt(server, {
        context: { options: { chunkSize: 7 } },
        config: { maxUploadParts: 1000 },
      });
      assert.equal((await store.createUpload('a', 20 * MIB)).state.partSize, 7 * MIB);
      assert.equal((await store.createUpload('b', 7001 * MIB)).state.partSize, 8 * MIB);
      assert.equal(store.features.upload.maxParts, 1000);
    });

    it('are copied in parts, with all they have', async () => {
      const { store } = openAt(server, { tuning: { copyLimits: { single: 6 * MIB, part: PART } } });
      const bytes = pseudoRandomBytes(12 * MIB);
      await store.write('big', contentOf(bytes), {
        modificationTime: 1_700_000_000_123_456_789n,
        metadata: { project: 'photos' },
        contentType: 'video/mp4',
      });
      server.requests.reset();
      await store.copy('big', 'copy');
      assert.equal(server.requests.counts.UploadPartCopy, 3);
      assert.ok((await readAll(store, 'copy')).equals(bytes));
      const found = await store.head('copy');
      assert.equal(found?.modificationTime, 1_700_000_000_123_456_789n);
      assert.equal(found?.metadata?.project, 'photos');
      server.faults.add({
        operation: 'UploadPartCopy',
        skip: 1,
        action: { type: 'error', code: 'AccessDenied', status: 403 },
      });
      await rejectsWith(() => store.copy('big', 'never'), 'NO_PERMISSION');
      assert.deepEqual(server.objects.pendingUploads(BUCKET), []);
      assert.equal(await store.head('never'), undefined);
    });

    it('written under KMS are still checked', async () => {
      const { store } = openAt(server, { context: { options: { serverSideEncryption: 'aws:kms' } } });
      const bytes = pseudoRandomBytes(PART + 10);
      const upload = await store.createUpload('kms', bytes.length, {
        partSize: PART,
        hashes: { md5: md5(bytes) },
      });
      await upload.sendPart(1, contentOf(bytes.subarray(0, PART)));
      await upload.sendPart(2, contentOf(bytes.subarray(PART)));
      for await (const part of upload.arrived()) assert.equal(part.hashes, undefined);
      const finished = await upload.complete();
      assert.equal(finished.size, bytes.length);
      assert.ok((await readAll(store, 'kms')).equals(bytes));
    });
  });

  describe('versions', () => {
    it('all go where the task says so', async () => {
      server.createBucket({ name: BUCKET, versioning: 'Enabled' });
      const { store } = openAt(server, { context: { options: { deleteVersions: true } } });
      for (const text of ['1', '2']) {
        for (const key of ['a', 'a-b', 'a/x']) await store.write(key, contentOf(text));
      }
      await store.delete({ key: 'a' });
      assert.deepEqual(server.objects.versions(BUCKET, 'a'), []);
      assert.equal(server.objects.versions(BUCKET, 'a-b').length, 2);
      await store.deleteMany([{ key: 'a-b' }, { key: 'absent' }, { key: 'a/x' }]);
      assert.deepEqual(await listAll(store, { versions: true }), []);
      await store.createFolder('folder');
      await store.deleteFolder('folder');
      assert.deepEqual(server.objects.versions(BUCKET, 'folder/'), []);
    });

    it('stay where it does not', async () => {
      server.createBucket({ name: BUCKET, versioning: 'Enabled' });
      const { store } = openAt(server);
      await store.write('a', contentOf('1'));
      await store.delete({ key: 'a' });
      assert.equal(server.objects.versions(BUCKET, 'a').length, 2);
    });
  });

  describe('identity', () => {
    const same: [Record<string, unknown>, string, string][] = [
      [{}, 'b', 's3://s3.amazonaws.com/b'],
      [{ region: 'eu-central-1' }, 'b', 's3://s3.amazonaws.com/b'],
      [{ endpoint: 'https://s3.eu-central-1.amazonaws.com' }, 'b', 's3://s3.amazonaws.com/b'],
      [{ endpoint: 'https://s3.dualstack.eu-central-1.amazonaws.com/' }, 'b', 's3://s3.amazonaws.com/b'],
      [{ region: 'cn-north-1' }, 'b', 's3://s3.amazonaws.com.cn/b'],
      [{ endpoint: 'https://MinIO.example:443/' }, 'b', 's3://minio.example/b'],
      [{ endpoint: 'http://minio.example:9000/base/' }, 'b', 's3://minio.example:9000/base/b'],
      [{ endpoint: 'http://minio.example:9000', forcePathStyle: false }, '', 's3://minio.example:9000'],
    ];
    for (const [config, bucket, identity] of same) {
      it(`of ${JSON.stringify(config)} is ${identity}`, () =>
        assert.equal(s3Identity(config, bucket), identity));
    }
  });
});
