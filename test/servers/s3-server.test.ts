/**
 * The strict S3 server, judged by a client that isn't ours: the AWS SDK as it is. Each rule names the page of AWS's
 * documentation it comes from. Requests no SDK sends are signed by hand, apart from the server's own code.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { Agent } from 'node:http';
import { Readable } from 'node:stream';
import * as zlib from 'node:zlib';
import * as sdk from '@aws-sdk/client-s3';
import { SignatureV4 } from '@smithy/signature-v4';
import { denyOperations, type S3Server, startS3Server } from './s3/server.js';
import { type Endpoint, type SignedRequest, send, sendSigned } from './s3/signed-request.js';

const BUCKET = 'photos';

function clientOf(server: S3Server, more: Partial<sdk.S3ClientConfig> = {}): sdk.S3Client {
  const { url, region, accessKeyId, secretAccessKey } = server;
  return new sdk.S3Client({
    endpoint: url,
    region,
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: { accessKeyId, secretAccessKey },
    ...more,
  });
}

/** Resolves to the error's name; the SDK takes it from `<Code>`, or from the status where there is no body. */
async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    const { name, $metadata } = error as sdk.S3ServiceException;
    return `${$metadata?.httpStatusCode} ${name}`;
  }
  return 'no error';
}

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

  describe('signatures ("Authenticating Requests (AWS Signature Version 4)")', () => {
    const at = (minutes: number) => Date.now() + minutes * 60_000;
    const cases: [title: string, request: Partial<SignedRequest>, answer: string][] = [
      ['signed right', {}, '200 undefined'],
      ['another secret', { secretAccessKey: 'x' }, '403 SignatureDoesNotMatch'],
      ['an unknown key', { accessKeyId: 'AKIDNOBODY' }, '403 InvalidAccessKeyId'],
      ['another region', { region: 'eu-west-1' }, '400 AuthorizationHeaderMalformed'],
      ['16 minutes old', { time: at(-16) }, '403 RequestTimeTooSkewed'],
      ['14 minutes old', { time: at(-14) }, '200 undefined'],
      ['16 minutes ahead', { time: at(16) }, '403 RequestTimeTooSkewed'],
      ['no signature', { anonymous: true }, '403 AccessDenied'],
      [
        'an x-amz- header that is not signed',
        { unsignedHeaders: { 'x-amz-acl': 'private' } },
        '403 AccessDenied',
      ],
      ['a payload hash that is none', { payload: 'x' }, '400 InvalidArgument'],
      ['an x-amz- header nobody knows', { headers: { 'x-amz-new-feature': '1' } }, '501 NotImplemented'],
      ['a parameter nobody knows', { target: '/photos?list-type=2&shiny=1' }, '501 NotImplemented'],
      ['a condition this operation has not', { headers: { 'if-match': '"x"' } }, '501 NotImplemented'],
    ];
    for (const [title, request, answer] of cases) {
      it(`${title}: ${answer}`, async () => {
        const { status, code, headers } = await sendSigned(server, {
          target: '/photos?list-type=2',
          ...request,
        });
        assert.equal(`${status} ${code}`, answer);
        assert.ok(headers.date);
      });
    }

    it('says which region is right', async () => {
      const answer = await sendSigned(server, { target: '/photos?list-type=2', region: 'eu-west-1' });
      assert.match(answer.body.toString(), /<Region>us-east-1<\/Region>/);
    });

    it("goes by the bucket's region", async () => {
      server.createBucket({ name: 'abroad', region: 'eu-central-1' });
      const answer = await sendSigned(server, { method: 'HEAD', target: '/abroad' });
      assert.equal(answer.status, 400);
      assert.equal(answer.headers['x-amz-bucket-region'], 'eu-central-1');
      assert.equal(
        (await sendSigned(server, { method: 'HEAD', target: '/abroad', region: 'eu-central-1' })).status,
        200,
      );
    });

    it('follows the clock of the server', async () => {
      server.clock.advance(3600_000);
      const answer = await sendSigned(server, { target: '/photos?list-type=2' });
      assert.equal(answer.code, 'RequestTimeTooSkewed');
      assert.ok(Date.parse(String(answer.headers.date)) > Date.now() + 3590_000);
    });

    it('takes every character of a key, in both styles of addressing', async () => {
      // "Virtual hosting of general purpose buckets"; *.localhost is led to loopback here, whatever the resolver says.
      const agent = new Agent({
        lookup: (_host, options, callback) =>
          options.all
            ? callback(null, [{ address: '127.0.0.1', family: 4 }])
            : callback(null, '127.0.0.1', 4),
      });
      const virtual = clientOf(server, {
        endpoint: `http://localhost:${server.port}`,
        forcePathStyle: false,
        requestHandler: { httpAgent: agent },
      });
      const keys = [
        'a b+c&d=e?f#g%h\'()*!~$,:;@[]{}|^`<>"\\',
        'é',
        'e\u0301',
        '😀/．',
        '../x',
        './',
        '//',
        ' ',
        '.',
        'a//b',
        '%2F',
      ];
      for (const Key of keys) {
        await put(Key);
        const answer = await virtual.send(new sdk.GetObjectCommand({ Bucket: BUCKET, Key }));
        assert.equal(await answer.Body?.transformToString(), Key);
      }
      assert.deepEqual(new Set(server.objects.keys(BUCKET)), new Set(keys));
      virtual.destroy();
      agent.destroy();
    });

    it('knows temporary credentials and when they expire ("ExpiredToken")', async () => {
      const temporary = { accessKeyId: 'ASIATEMPORARY', secretAccessKey: 'temporary', sessionToken: 'token' };
      server.credentials.set('ASIATEMPORARY', { ...temporary, expiresAt: Date.now() + 600_000 });
      const list = (credentials: typeof temporary | Omit<typeof temporary, 'sessionToken'>) =>
        codeOf(clientOf(server, { credentials }).send(new sdk.ListObjectsV2Command({ Bucket: BUCKET })));
      assert.equal(await list(temporary), 'no error');
      assert.equal(await list({ ...temporary, sessionToken: 'other' }), '400 InvalidToken');
      assert.equal(
        await list({ accessKeyId: 'ASIATEMPORARY', secretAccessKey: 'temporary' }),
        '403 InvalidAccessKeyId',
      );
      server.clock.advance(600_000);
      assert.equal(await list(temporary), '400 ExpiredToken');
    });

    it('keeps keys to what they may do', async () => {
      await put('there');
      const limited = { accessKeyId: 'AKIDLIMITED', secretAccessKey: 'limited' };
      server.credentials.set('AKIDLIMITED', {
        ...limited,
        allows: denyOperations('ListBuckets', 'ListObjectsV2', 'DeleteObject'),
      });
      const client = clientOf(server, { credentials: limited });
      assert.equal(await codeOf(client.send(new sdk.ListBucketsCommand({}))), '403 AccessDenied');
      const object = { Bucket: BUCKET, Key: 'there' };
      assert.equal(await codeOf(client.send(new sdk.GetObjectCommand(object))), 'no error');
      assert.equal(await codeOf(client.send(new sdk.DeleteObjectCommand(object))), '403 AccessDenied');
      const batch = await client.send(
        new sdk.DeleteObjectsCommand({ Bucket: BUCKET, Delete: { Objects: [{ Key: 'there' }] } }),
      );
      assert.deepEqual(
        batch.Errors?.map((error) => error.Code),
        ['AccessDenied'],
      );
      // "GetObject, permissions": without ListBucket what is missing is 403, not 404.
      assert.equal(
        await codeOf(client.send(new sdk.GetObjectCommand({ ...object, Key: 'missing' }))),
        '403 AccessDenied',
      );
      client.destroy();
    });
  });

  describe('integrity ("Checking object integrity in Amazon S3")', () => {
    for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const) {
      it(`${algorithm}, from a buffer and as the trailer of a stream`, async () => {
        const body = randomBytes(300_000);
        await put('buffer', body, { ChecksumAlgorithm: algorithm });
        const pieces = Readable.from([body.subarray(0, 70_000), body.subarray(70_000)]);
        const stream = {
          Bucket: BUCKET,
          Key: 'stream',
          Body: pieces,
          ContentLength: body.length,
          ChecksumAlgorithm: algorithm,
        };
        await s3.send(new sdk.PutObjectCommand(stream));
        for (const key of ['buffer', 'stream']) {
          const answer = await get(key, { ChecksumMode: 'ENABLED' });
          assert.deepEqual(Buffer.from((await answer.Body?.transformToByteArray()) ?? []), body);
          assert.equal(answer.ETag, `"${hex(body)}"`);
          assert.ok(answer[`Checksum${algorithm}`], algorithm);
          assert.equal(answer.ContentEncoding, undefined);
        }
      });
    }

    it('computes CRC64NVME where the uploader sent nothing', async () => {
      const plain = clientOf(server, { requestChecksumCalculation: 'WHEN_REQUIRED' });
      await plain.send(new sdk.PutObjectCommand({ Bucket: BUCKET, Key: 'x', Body: '123456789' }));
      // Check value of CRC-64/NVME: ae8b14860a799888.
      const answer = await head('x', { ChecksumMode: 'ENABLED' });
      assert.equal(answer.ChecksumCRC64NVME, Buffer.from('ae8b14860a799888', 'hex').toString('base64'));
      assert.equal(answer.ChecksumType, 'FULL_OBJECT');
      plain.destroy();
    });

    const crc = (data: string) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(zlib.crc32(data));
      return bytes.toString('base64');
    };
    const md5 = (data: string) => createHash('md5').update(data).digest('base64');
    const trailer = (value: string, name = 'x-amz-checksum-crc32'): Partial<SignedRequest> => ({
      payload: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
      headers: {
        'content-encoding': 'aws-chunked',
        'x-amz-decoded-content-length': '5',
        'x-amz-trailer': 'x-amz-checksum-crc32',
      },
      encodeBody: () => Buffer.from(`5\r\nhello\r\n0\r\n${name}:${value}\r\n\r\n`),
    });
    const cases: [title: string, request: Partial<SignedRequest>, answer: string][] = [
      ['the right Content-MD5', { headers: { 'content-md5': md5('hello') } }, '200 undefined'],
      ['another Content-MD5', { headers: { 'content-md5': md5('hallo') } }, '400 BadDigest'],
      ['a Content-MD5 that is none', { headers: { 'content-md5': 'hallo' } }, '400 InvalidDigest'],
      ['another CRC32', { headers: { 'x-amz-checksum-crc32': crc('hallo') } }, '400 BadDigest'],
      ['a CRC32 that is none', { headers: { 'x-amz-checksum-crc32': 'hallo' } }, '400 InvalidRequest'],
      [
        'two checksums',
        { headers: { 'x-amz-checksum-crc32': crc('hello'), 'x-amz-checksum-crc32c': 'AAAAAA==' } },
        '400 InvalidRequest',
      ],
      [
        'an announced checksum that does not come',
        { headers: { 'x-amz-sdk-checksum-algorithm': 'CRC32' } },
        '400 InvalidRequest',
      ],
      [
        'another payload hash',
        { payload: createHash('sha256').update('hallo').digest('hex') },
        '400 XAmzContentSHA256Mismatch',
      ],
      ['the right trailer', trailer(crc('hello')), '200 undefined'],
      ['another trailer', trailer(crc('hallo')), '400 BadDigest'],
      [
        'a trailer that was not announced',
        trailer(crc('hello'), 'x-amz-checksum-sha1'),
        '400 MalformedTrailerError',
      ],
      [
        'aws-chunked without its payload word',
        { headers: { 'content-encoding': 'aws-chunked' } },
        '400 InvalidRequest',
      ],
    ];
    for (const [title, request, answer] of cases) {
      it(`${title}: ${answer}`, async () => {
        const { status, code } = await sendSigned(server, {
          method: 'PUT',
          target: '/photos/x',
          body: 'hello',
          ...request,
        });
        assert.equal(`${status} ${code}`, answer);
        assert.equal(server.objects.find(BUCKET, 'x') !== undefined, status === 200);
      });
    }

    it('a body that ends early leaves nothing behind', async () => {
      await put('x', 'old');
      const request = {
        method: 'PUT',
        target: '/photos/x',
        body: 'hello',
        headers: { 'content-length': '6' },
      };
      await assert.rejects(
        sendSigned(server, {
          ...request,
          encodeBody: () => {
            setTimeout(() => server.refuseConnections(), 50);
            return Buffer.from('hello');
          },
        }),
      );
      assert.equal(server.objects.bytes(BUCKET, 'x').toString(), 'old');
    });

    it('DeleteObjects needs one ("DeleteObjects, Content-MD5")', async () => {
      const body = '<Delete><Object><Key>x</Key></Object></Delete>';
      const answer = await sendSigned(server, { method: 'POST', target: '/photos?delete=', body });
      assert.equal(`${answer.status} ${answer.code}`, '400 InvalidRequest');
    });
  });

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

  it('presigned requests ("Authenticating Requests: Using Query Parameters")', async () => {
    await put('a b', 'hello');
    const signer = new SignatureV4({
      service: 's3',
      region: server.region,
      credentials: server,
      sha256: s3.config.sha256,
      uriEscapePath: false,
      applyChecksum: false,
    });
    const presign = async (expiresIn: number) => {
      const host = `127.0.0.1:${server.port}`;
      const request = {
        method: 'GET',
        protocol: 'http:',
        hostname: '127.0.0.1',
        port: server.port,
        path: '/photos/a%20b',
        query: {},
        headers: { host, 'X-Amz-Content-Sha256': 'UNSIGNED-PAYLOAD' },
      };
      const signed = await signer.presign(request, { expiresIn });
      return `/photos/a%20b?${new URLSearchParams(signed.query as Record<string, string>)}`;
    };
    const target = await presign(60);
    assert.equal((await send(server, 'GET', target, {})).body.toString(), 'hello');
    assert.equal(
      (await send(server, 'GET', target.replace('Expires=60', 'Expires=61'), {})).code,
      'SignatureDoesNotMatch',
    );
    server.clock.advance(61_000);
    assert.equal((await send(server, 'GET', target, {})).code, 'AccessDenied');
  });

  it('counts and remembers requests', async () => {
    await put('x', 'hello');
    assert.equal(await codeOf(get('missing')), '404 NoSuchKey');
    assert.deepEqual(server.requests.counts, { PutObject: 1, GetObject: 1 });
    assert.deepEqual(
      server.requests.log.map(({ operation, key, status, bodyBytes }) => ({
        operation,
        key,
        status,
        bodyBytes,
      })),
      [
        { operation: 'PutObject', key: 'x', status: 200, bodyBytes: 5 },
        { operation: 'GetObject', key: 'missing', status: 404, bodyBytes: 0 },
      ],
    );
    server.requests.reset();
    assert.equal(server.requests.total, 0);
  });
});

async function send1000(endpoint: Endpoint, n: number): Promise<void> {
  await sendSigned(endpoint, { method: 'PUT', target: `/photos/n/${n}` });
}
