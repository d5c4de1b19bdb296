/**
 * The strict S3 server, judged by a client that isn't ours: the AWS SDK as it is. Each rule names the page of AWS's
 * documentation it comes from. Requests no SDK sends are signed by hand, apart from the server's own code.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import * as sdk from '@aws-sdk/client-s3';
import { clientOf, codeOf } from './s3/sdk-client.js';
import { type S3Server, startS3Server } from './s3/server.js';
import { type Endpoint, sendSigned } from './s3/signed-request.js';

const BUCKET = 'photos';
const hex = (data: string | Buffer) => createHash('md5').update(data).digest('hex');

describe('the strict S3 server', () => {
  let server: S3Server;
  let s3: sdk.S3Client;

  beforeEach(async () => {
    server = await startS3Server({ buckets: [BUCKET], inMemoryBytes: 100_000 });
    s3 = clientOf(server);
  });

  afterEach(async () => {
    s3.destroy();
    await server.stop();
  });

  const put = (Key: string, Body: string | Buffer = Key, more: Partial<sdk.PutObjectCommandInput> = {}) =>
    s3.send(new sdk.PutObjectCommand({ Bucket: BUCKET, Key, Body, ...more }));
  const get = (Key: string, more: Partial<sdk.GetObjectCommandInput> = {}) =>
    s3.send(new sdk.GetObjectCommand({ Bucket: BUCKET, Key, ...more }));
  const head = (Key: string, more: Partial<sdk.HeadObjectCommandInput> = {}) =>
    s3.send(new sdk.HeadObjectCommand({ Bucket: BUCKET, Key, ...more }));

  describe('objects', () => {
    it('keeps metadata, system headers and class ("Working with object metadata")', async () => {
      const given = {
        ContentType: 'image/jpeg',
        CacheControl: 'no-cache',
        ContentEncoding: 'gzip',
        StorageClass: 'STANDARD_IA' as const,
      };
      await put('x', 'hello', { ...given, Metadata: { mtime: '1700000000.123456789' } });
      const { ContentType, CacheControl, ContentEncoding, StorageClass, Metadata } = await head('x');
      assert.deepEqual({ ContentType, CacheControl, ContentEncoding, StorageClass }, given);
      assert.deepEqual(Metadata, { mtime: '1700000000.123456789' });
      assert.equal(
        await codeOf(put('x', 'x', { Metadata: { a: 'x'.repeat(2048) } })),
        '400 MetadataTooLarge',
      );
      assert.equal(
        await codeOf(put('x', 'x', { StorageClass: 'COLD' as 'GLACIER' })),
        '400 InvalidStorageClass',
      );
    });

    it('serves ranges ("GetObject, Range")', async () => {
      await put('x', '0123456789');
      const range = async (Range: string) => {
        const answer = await get('x', { Range });
        return `${answer.ContentRange} ${await answer.Body?.transformToString()}`;
      };
      assert.equal(await range('bytes=2-4'), 'bytes 2-4/10 234');
      assert.equal(await range('bytes=8-20'), 'bytes 8-9/10 89');
      assert.equal(await range('bytes=-3'), 'bytes 7-9/10 789');
      assert.equal(await codeOf(get('x', { Range: 'bytes=10-' })), '416 InvalidRange');
    });

    it('reads under conditions ("Conditional requests")', async () => {
      const { ETag } = await put('x');
      assert.equal(await codeOf(get('x', { IfMatch: ETag })), 'no error');
      assert.equal(await codeOf(get('x', { IfMatch: '"other"' })), '412 PreconditionFailed');
      assert.match(await codeOf(get('x', { IfNoneMatch: ETag })), /^304 /);
    });

    it('writes and deletes under conditions ("Conditional writes", "Conditional deletes")', async () => {
      assert.equal(await codeOf(put('x', 'a', { IfMatch: '"other"' })), '404 NoSuchKey');
      const { ETag } = await put('x', 'a', { IfNoneMatch: '*' });
      assert.equal(await codeOf(put('x', 'b', { IfNoneMatch: '*' })), '412 PreconditionFailed');
      await put('x', 'b', { IfMatch: ETag });
      assert.equal(await codeOf(put('x', 'c', { IfMatch: ETag })), '412 PreconditionFailed');
      const remove = (IfMatch: string | undefined) =>
        s3.send(new sdk.DeleteObjectCommand({ Bucket: BUCKET, Key: 'x', IfMatch }));
      assert.equal(await codeOf(remove(ETag)), '412 PreconditionFailed');
      assert.equal(server.objects.bytes(BUCKET, 'x').toString(), 'b');
      assert.equal(await codeOf(remove(`"${hex('b')}"`)), 'no error');
    });

    it('copies, onto itself only with a change ("CopyObject")', async () => {
      await put('a/ü +?', 'hello', { Metadata: { mtime: '1' } });
      const copy = (Key: string, more: Partial<sdk.CopyObjectCommandInput> = {}) =>
        s3.send(
          new sdk.CopyObjectCommand({
            Bucket: BUCKET,
            Key,
            CopySource: `${BUCKET}/${encodeURIComponent('a/ü +?')}`,
            ...more,
          }),
        );
      assert.equal((await copy('b')).CopyObjectResult?.ETag, `"${hex('hello')}"`);
      assert.deepEqual((await head('b')).Metadata, { mtime: '1' });
      assert.equal(await codeOf(copy('a/ü +?')), '400 InvalidRequest');
      await copy('a/ü +?', { MetadataDirective: 'REPLACE', Metadata: { mtime: '2' } });
      assert.deepEqual((await head('a/ü +?')).Metadata, { mtime: '2' });
      assert.equal(await codeOf(copy('b', { CopySourceIfMatch: '"other"' })), '412 PreconditionFailed');
      assert.equal(await codeOf(copy('b', { CopySource: `${BUCKET}/missing` })), '404 NoSuchKey');
    });

    it('encrypts: an ETag under KMS is no MD5 ("Object, ETag")', async () => {
      const plain = await put('x', 'hello');
      assert.equal(plain.ServerSideEncryption, 'AES256');
      assert.equal(plain.ETag, `"${hex('hello')}"`);
      const kms = await put('y', 'hello', { ServerSideEncryption: 'aws:kms' });
      assert.equal(kms.ServerSideEncryption, 'aws:kms');
      assert.match(kms.ETag ?? '', /^"[0-9a-f]{32}"$/);
      assert.notEqual(kms.ETag, plain.ETag);
    });

    it('refuses keys over 1,024 bytes and objects over the quota', async () => {
      await put('é'.repeat(512));
      assert.equal(await codeOf(put('é'.repeat(513))), '400 KeyTooLongError');
      server.objects.bucket(BUCKET).quotaBytes = 2000;
      assert.equal(await codeOf(put('big', Buffer.alloc(2000))), '403 QuotaExceeded');
    });
  });

  describe('listings ("ListObjectsV2")', () => {
    // "List results are always returned in UTF-8 binary order."
    const ORDERED = ['a', 'a-b', 'a.txt', 'a/x', 'a/y', 'a0', 'e\u0301', 'é', '．', '😀'];
    const list = (more: Partial<sdk.ListObjectsV2CommandInput> = {}) =>
      s3.send(new sdk.ListObjectsV2Command({ Bucket: BUCKET, ...more }));

    beforeEach(async () => {
      for (const key of [...ORDERED].reverse()) await put(key);
    });

    it('orders by UTF-8 bytes, page after page', async () => {
      for (const MaxKeys of [1, 3, 1000]) {
        const keys: (string | undefined)[] = [];
        for await (const page of sdk.paginateListObjectsV2(
          { client: s3, pageSize: MaxKeys },
          { Bucket: BUCKET },
        )) {
          assert.ok((page.Contents?.length ?? 0) <= MaxKeys);
          keys.push(...(page.Contents ?? []).map(({ Key }) => Key));
        }
        assert.deepEqual(keys, ORDERED);
      }
    });

    it('rolls up at the delimiter, starts after a key, stays below a prefix', async () => {
      const page = await list({ Delimiter: '/' });
      assert.deepEqual(
        page.CommonPrefixes?.map(({ Prefix }) => Prefix),
        ['a/'],
      );
      assert.equal(page.KeyCount, ORDERED.length - 1);
      assert.deepEqual(
        (await list({ StartAfter: 'a.txt', MaxKeys: 2 })).Contents?.map(({ Key }) => Key),
        ['a/x', 'a/y'],
      );
      assert.deepEqual(
        (await list({ Prefix: 'a/' })).Contents?.map(({ Key }) => Key),
        ['a/x', 'a/y'],
      );
      assert.equal(await codeOf(list({ ContinuationToken: 'nonsense' })), '400 InvalidArgument');
    });

    it('encodes names for URLs on demand, a space as +', async () => {
      await put('b c+d\u0001');
      const page = await list({ EncodingType: 'url', Prefix: 'b' });
      assert.deepEqual(
        page.Contents?.map(({ Key }) => Key),
        ['b+c%2Bd%01'],
      );
    });

    it('gives 1,000 keys at most', async () => {
      for (let n = 0; n < 1001; n++) await send1000(server, n);
      const page = await list({ Prefix: 'n/', MaxKeys: 5000 });
      assert.equal(page.Contents?.length, 1000);
      assert.equal(page.IsTruncated, true);
    });
  });

  describe('multipart uploads ("Multipart upload limits", "CompleteMultipartUpload")', () => {
    const MIB = 1 << 20;
    const create = async (more: Partial<sdk.CreateMultipartUploadCommandInput> = {}) =>
      (await s3.send(new sdk.CreateMultipartUploadCommand({ Bucket: BUCKET, Key: 'big', ...more })))
        .UploadId as string;
    const part = async (UploadId: string, PartNumber: number, Body: Buffer) => ({
      PartNumber,
      ...(await s3.send(
        new sdk.UploadPartCommand({ Bucket: BUCKET, Key: 'big', UploadId, PartNumber, Body }),
      )),
    });
    const complete = (
      UploadId: string,
      Parts: sdk.CompletedPart[],
      more: Partial<sdk.CompleteMultipartUploadCommandInput> = {},
    ) =>
      s3.send(
        new sdk.CompleteMultipartUploadCommand({
          Bucket: BUCKET,
          Key: 'big',
          UploadId,
          MultipartUpload: { Parts },
          ...more,
        }),
      );

    it('joins parts, in files and in memory, with the ETag of their MD5s', async () => {
      const [one, two] = [randomBytes(5 * MIB), randomBytes(1000)];
      const id = await create({ Metadata: { mtime: '1' } });
      const parts = [await part(id, 1, one), await part(id, 5, two)];
      assert.equal(server.objects.find(BUCKET, 'big'), undefined);
      const md5s = Buffer.concat([one, two].map((bytes) => createHash('md5').update(bytes).digest()));
      assert.equal((await complete(id, parts)).ETag, `"${hex(md5s)}-2"`);
      const answer = await get('big', { Range: `bytes=${5 * MIB - 3}-${5 * MIB + 2}` });
      const around = Buffer.concat([one.subarray(-3), two.subarray(0, 3)]);
      assert.deepEqual(Buffer.from((await answer.Body?.transformToByteArray()) ?? []), around);
      assert.equal((await head('big', { PartNumber: 2 })).ContentLength, 1000);
      assert.equal((await head('big', { PartNumber: 1 })).PartsCount, 2);
      assert.deepEqual(server.objects.pendingUploads(BUCKET), []);
    });

    it('checks what Complete says', async () => {
      const id = await create();
      const parts = [await part(id, 1, Buffer.alloc(100)), await part(id, 2, Buffer.alloc(100))] as const;
      assert.equal(await codeOf(complete(id, [...parts])), '400 EntityTooSmall');
      assert.equal(await codeOf(complete(id, [parts[1], parts[0]])), '400 InvalidPartOrder');
      assert.equal(await codeOf(complete(id, [{ ...parts[0], ETag: '"x"' }])), '400 InvalidPart');
      assert.equal(await codeOf(complete(id, [{ ...parts[0], PartNumber: 3 }])), '400 InvalidPart');
      assert.equal(await codeOf(complete(id, [])), '400 MalformedXML');
      assert.equal(await codeOf(complete(id, [parts[0]], { MpuObjectSize: 99 })), '400 InvalidRequest');
      assert.equal(await codeOf(part(id, 10_001, Buffer.alloc(1))), '400 InvalidArgument');
      assert.equal(await codeOf(part(id, 0, Buffer.alloc(1))), '400 InvalidArgument');
      await complete(id, [parts[0]]);
      assert.equal(await codeOf(complete(id, [parts[0]])), '404 NoSuchUpload');
    });

    for (const [algorithm, type] of [
      ['CRC32', 'COMPOSITE'],
      ['SHA256', 'COMPOSITE'],
      ['CRC32C', 'FULL_OBJECT'],
      ['CRC64NVME', 'FULL_OBJECT'],
    ] as const) {
      it(`keeps a ${type} ${algorithm}`, async () => {
        const id = await create({ ChecksumAlgorithm: algorithm, ChecksumType: type });
        const send = async (PartNumber: number, Body: Buffer) => ({
          PartNumber,
          ...(await s3.send(
            new sdk.UploadPartCommand({
              Bucket: BUCKET,
              Key: 'big',
              UploadId: id,
              PartNumber,
              Body,
              ChecksumAlgorithm: algorithm,
            }),
          )),
        });
        const parts = [await send(1, Buffer.alloc(5 * MIB, 'a')), await send(2, Buffer.from('b'))];
        await complete(id, parts);
        const answer = await head('big', { ChecksumMode: 'ENABLED' });
        assert.equal(answer.ChecksumType, type);
        assert.equal(answer[`Checksum${algorithm}`]?.endsWith('-2'), type === 'COMPOSITE');
      });
    }

    it('copies parts, lists uploads and parts in pages, aborts', async () => {
      await put('source', '0123456789');
      const id = await create();
      for (const PartNumber of [1, 2, 3]) {
        const range = {
          CopySource: `${BUCKET}/source`,
          CopySourceRange: `bytes=${PartNumber}-${PartNumber + 1}`,
        };
        await s3.send(
          new sdk.UploadPartCopyCommand({ Bucket: BUCKET, Key: 'big', UploadId: id, PartNumber, ...range }),
        );
      }
      const numbers: (number | undefined)[] = [];
      const request = { Bucket: BUCKET, Key: 'big', UploadId: id };
      for await (const page of sdk.paginateListParts({ client: s3, pageSize: 2 }, request)) {
        numbers.push(...(page.Parts ?? []).map((found) => found.PartNumber));
      }
      assert.deepEqual(numbers, [1, 2, 3]);
      await create({});
      const uploads = await s3.send(new sdk.ListMultipartUploadsCommand({ Bucket: BUCKET, MaxUploads: 1 }));
      assert.equal(uploads.IsTruncated, true);
      const rest = { KeyMarker: uploads.NextKeyMarker, UploadIdMarker: uploads.NextUploadIdMarker };
      const second = await s3.send(new sdk.ListMultipartUploadsCommand({ Bucket: BUCKET, ...rest }));
      assert.equal(second.Uploads?.length, 1);
      await s3.send(new sdk.AbortMultipartUploadCommand(request));
      assert.equal(await codeOf(s3.send(new sdk.ListPartsCommand(request))), '404 NoSuchUpload');
    });
  });

  describe('versions ("Using versioning in S3 buckets")', () => {
    it('keeps every version, lists them in pages, deletes each for ever', async () => {
      await put('x', 'before');
      await s3.send(
        new sdk.PutBucketVersioningCommand({
          Bucket: BUCKET,
          VersioningConfiguration: { Status: 'Enabled' },
        }),
      );
      const second = (await put('x', 'second')).VersionId as string;
      const removed = await s3.send(new sdk.DeleteObjectCommand({ Bucket: BUCKET, Key: 'x' }));
      assert.equal(removed.DeleteMarker, true);
      await put('y', 'other');

      const missing = await sendSigned(server, { method: 'HEAD', target: '/photos/x' });
      assert.equal(missing.status, 404);
      assert.equal(missing.headers['x-amz-delete-marker'], 'true');
      assert.equal(await codeOf(get('x', { VersionId: removed.VersionId })), '405 MethodNotAllowed');
      assert.equal(await (await get('x', { VersionId: 'null' })).Body?.transformToString(), 'before');
      assert.equal(await (await get('x', { VersionId: second })).Body?.transformToString(), 'second');

      const found: string[] = [];
      let markers: Pick<sdk.ListObjectVersionsCommandInput, 'KeyMarker' | 'VersionIdMarker'> = {};
      for (let more = true; more; ) {
        const page = await s3.send(
          new sdk.ListObjectVersionsCommand({ Bucket: BUCKET, MaxKeys: 1, ...markers }),
        );
        for (const { Key, VersionId } of page.Versions ?? []) found.push(`${Key} ${VersionId}`);
        for (const { Key } of page.DeleteMarkers ?? []) found.push(`${Key} deleted`);
        markers = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker };
        more = page.IsTruncated === true;
      }
      assert.deepEqual(found.slice(0, 3), ['x deleted', `x ${second}`, 'x null']);
      assert.equal(found.length, 4);

      await s3.send(new sdk.DeleteObjectCommand({ Bucket: BUCKET, Key: 'x', VersionId: removed.VersionId }));
      assert.equal(await (await get('x')).Body?.transformToString(), 'second');
      await s3.send(new sdk.DeleteObjectCommand({ Bucket: BUCKET, Key: 'x', VersionId: second }));
      assert.equal(await (await get('x')).Body?.transformToString(), 'before');
      assert.equal(await codeOf(get('x', { VersionId: second })), '404 NoSuchVersion');
    });

    it('suspended: the null version is replaced', async () => {
      server.objects.bucket(BUCKET).setVersioning('Enabled');
      const kept = (await put('x', 'kept')).VersionId;
      server.objects.bucket(BUCKET).setVersioning('Suspended');
      await put('x', 'one');
      await put('x', 'two');
      assert.deepEqual(
        server.objects.versions(BUCKET, 'x').map(({ versionId }) => versionId),
        ['null', kept],
      );
    });
  });

  describe('archive classes ("Restoring an archived object")', () => {
    const HOUR = 3600_000;
    const restore = (Key: string, Days: number, Tier: 'Standard' | 'Expedited' | 'Bulk' = 'Standard') =>
      s3.send(
        new sdk.RestoreObjectCommand({
          Bucket: BUCKET,
          Key,
          RestoreRequest: { Days, GlacierJobParameters: { Tier } },
        }),
      );
    /** The SDK's own clock follows the server's, as every client's has to. */
    const later = (milliseconds: number) => {
      server.clock.advance(milliseconds);
      s3.destroy();
      s3 = clientOf(server, { systemClockOffset: server.clock.now() - Date.now() });
    };

    it('frozen, thawing, thawed and frozen again', async () => {
      await put('x', 'cold', { StorageClass: 'GLACIER' });
      assert.equal(await codeOf(get('x')), '403 InvalidObjectState');
      assert.equal((await head('x')).Restore, undefined);
      assert.equal((await restore('x', 2)).$metadata.httpStatusCode, 202);
      assert.equal((await head('x')).Restore, 'ongoing-request="true"');
      assert.equal(await codeOf(restore('x', 2)), '409 RestoreAlreadyInProgress');
      const listed = { Bucket: BUCKET, OptionalObjectAttributes: ['RestoreStatus' as const] };
      const during = await s3.send(new sdk.ListObjectsV2Command(listed));
      assert.equal(during.Contents?.[0]?.RestoreStatus?.IsRestoreInProgress, true);
      later(5 * HOUR);
      assert.match(
        (await head('x')).Restore ?? '',
        /^ongoing-request="false", expiry-date=".* 00:00:00 GMT"$/,
      );
      assert.equal(await (await get('x')).Body?.transformToString(), 'cold');
      assert.equal((await restore('x', 3)).$metadata.httpStatusCode, 200);
      later(5 * 24 * HOUR);
      assert.equal(await codeOf(get('x')), '403 InvalidObjectState');
    });

    it('what may be done with a frozen object, and what not', async () => {
      await put('x', 'cold', { StorageClass: 'DEEP_ARCHIVE' });
      const copy = s3.send(
        new sdk.CopyObjectCommand({ Bucket: BUCKET, Key: 'y', CopySource: `${BUCKET}/x` }),
      );
      assert.equal(await codeOf(copy), '403 ObjectNotInActiveTierError');
      assert.equal(await codeOf(restore('x', 1, 'Expedited')), '400 InvalidArgument');
      await s3.send(new sdk.DeleteObjectCommand({ Bucket: BUCKET, Key: 'x' }));
      await put('warm');
      assert.equal(await codeOf(restore('warm', 1)), '403 InvalidObjectState');
    });
  });

  it('buckets: names, regions, emptiness ("CreateBucket", "DeleteBucket")', async () => {
    const create = (Bucket: string) => s3.send(new sdk.CreateBucketCommand({ Bucket }));
    assert.match(await codeOf(create('X_')), /^400 InvalidBucketName$/);
    await create('second');
    assert.equal(await codeOf(create('second')), '409 BucketAlreadyOwnedByYou');
    const { Buckets } = await s3.send(new sdk.ListBucketsCommand({}));
    assert.deepEqual(
      Buckets?.map(({ Name }) => Name),
      [BUCKET, 'second'],
    );
    await put('x');
    assert.equal(
      await codeOf(s3.send(new sdk.DeleteBucketCommand({ Bucket: BUCKET }))),
      '409 BucketNotEmpty',
    );
    await s3.send(new sdk.DeleteBucketCommand({ Bucket: 'second' }));
    assert.equal(await codeOf(s3.send(new sdk.HeadBucketCommand({ Bucket: 'second' }))), '404 NotFound');
    assert.equal(
      await codeOf(s3.send(new sdk.ListObjectsV2Command({ Bucket: 'second' }))),
      '404 NoSuchBucket',
    );
  });
});

async function send1000(endpoint: Endpoint, n: number): Promise<void> {
  await sendSigned(endpoint, { method: 'PUT', target: `/photos/n/${n}` });
}

describe('the strict S3 server as a program', () => {
  it('says where it is, serves, ends on SIGTERM and leaves no file', async () => {
    const main = path.join(__dirname, 's3', 'main.ts');
    const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 's3-main-'));
    const options = [
      '--bucket',
      'one',
      '--versioned-bucket',
      'two',
      '--access-key',
      'KEY',
      '--secret-key',
      'SECRET',
      '--in-memory',
      '0',
    ];
    const child = spawn(process.execPath, ['--import', 'tsx', main, ...options], {
      env: { ...process.env, TMPDIR: temporary },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const [line] = (await once(child.stdout, 'data')) as [Buffer];
      const { url } = JSON.parse(line.toString()) as { url: string };
      const endpoint = { url, region: 'us-east-1', accessKeyId: 'KEY', secretAccessKey: 'SECRET' };
      const put = await sendSigned(endpoint, { method: 'PUT', target: '/two/x', body: 'hello' });
      assert.equal(put.status, 200);
      assert.ok(put.headers['x-amz-version-id']);
      assert.equal((await sendSigned(endpoint, { target: '/two/x' })).body.toString(), 'hello');
      child.kill('SIGTERM');
      const [code] = await once(child, 'exit');
      assert.equal(code, 0);
      assert.deepEqual(
        fs.readdirSync(temporary).filter((name) => name.startsWith('s3-server-')),
        [],
      );
    } finally {
      child.kill('SIGKILL');
      fs.rmSync(temporary, { recursive: true, force: true });
    }
  });
});
