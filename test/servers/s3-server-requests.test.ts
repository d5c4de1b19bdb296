/**
 * Who may ask the strict S3 server what, and what it checks of a request: by the AWS SDK as it is, and by requests signed by
 * hand that no SDK sends. Each rule names the page of AWS's documentation it comes from.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { Agent } from 'node:http';
import { Readable } from 'node:stream';
import * as zlib from 'node:zlib';
import * as sdk from '@aws-sdk/client-s3';
import { SignatureV4 } from '@smithy/signature-v4';
import { clientOf, codeOf } from './s3/sdk-client.js';
import { denyOperations, type S3Server, startS3Server } from './s3/server.js';
import { type SignedRequest, send, sendSigned } from './s3/signed-request.js';

const BUCKET = 'photos';
const hex = (data: string | Buffer) => createHash('md5').update(data).digest('hex');

describe('requests to the strict S3 server', () => {
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
    // Read when the test runs: much may have run since this file was loaded.
    const at = (minutes: number) => ({
      get time() {
        return Date.now() + minutes * 60_000;
      },
    });
    const cases: [title: string, request: Partial<SignedRequest>, answer: string][] = [
      ['signed right', {}, '200 undefined'],
      ['another secret', { secretAccessKey: 'x' }, '403 SignatureDoesNotMatch'],
      ['an unknown key', { accessKeyId: 'AKIDNOBODY' }, '403 InvalidAccessKeyId'],
      ['another region', { region: 'eu-west-1' }, '400 AuthorizationHeaderMalformed'],
      ['16 minutes old', at(-16), '403 RequestTimeTooSkewed'],
      ['14 minutes old', at(-14), '200 undefined'],
      ['16 minutes ahead', at(16), '403 RequestTimeTooSkewed'],
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
