import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { CloudSyncError } from '../../src/errors.js';
import { s3Identity } from '../../src/stores/s3/identity.js';
import { encodeKey } from '../../src/stores/s3/signature.js';
import { formatModificationTime, parseModificationTime } from '../../src/stores/s3/times.js';
import { multipartEtag, partSizeFor } from '../../src/stores/s3/upload.js';
import { contentOf, listAll, md5, pseudoRandomBytes, readAll, rejectsWith } from '../conformance/support.js';
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

    it('encodes every character of a key as SigV4 wants it', () => {
      const ascii = String.fromCharCode(...Array.from({ length: 0x80 }, (_, code) => code));
      for (const text of [ascii, `${ascii}ä€😀`, 'plain-name_1.~', '', ' ', "a/b c/(d)!*'"]) {
        const wanted = [...Buffer.from(text)]
          .map((byte) => {
            const character = String.fromCharCode(byte);
            if (/[A-Za-z0-9\-_.~/]/.test(character)) return character;
            return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
          })
          .join('');
        assert.equal(encodeKey(text), wanted);
      }
      assert.throws(() => encodeKey('a\ud800'), URIError);
    });

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
