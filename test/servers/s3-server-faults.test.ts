/** What the strict S3 server can do wrong on purpose, seen from outside. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import * as sdk from '@aws-sdk/client-s3';
import { type FaultAction, type S3Server, startS3Server } from './s3/server.js';
import { type SignedRequest, sendSigned } from './s3/signed-request.js';

const md5 = (data: Buffer | string) => createHash('md5').update(data).digest('base64');
const BODY = randomBytes(400_000);
const GET: SignedRequest = { target: '/photos/x' };

describe('faults of the strict S3 server', () => {
  let server: S3Server;

  beforeEach(async () => {
    server = await startS3Server({ buckets: ['photos'], inMemoryBytes: 100_000 });
    await put('x', BODY);
  });

  afterEach(() => server.stop());

  const put = (key: string, body: Buffer | string, more: Partial<SignedRequest> = {}) =>
    sendSigned(server, { method: 'PUT', target: `/photos/${key}`, body, ...more });
  const once = (action: FaultAction) => server.faults.add({ action, times: 1 });
  /** The status and code of the answer, or the error of the connection. */
  const outcome = async (request: SignedRequest) => {
    try {
      const { status, code } = await sendSigned(server, request);
      return `${status} ${code}`;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? String(error);
    }
  };
  const elapsed = async (call: () => Promise<unknown>) => {
    const start = performance.now();
    await call();
    return performance.now() - start;
  };

  it('strikes those it names, as often as it says', async () => {
    const fault = server.faults.add({
      operation: 'GetObject',
      match: (request) => request.key.startsWith('x'),
      skip: 1,
      times: 2,
      action: { type: 'error', code: 'SlowDown', retryAfter: 3 },
    });
    const answers = [];
    for (let n = 0; n < 5; n++) answers.push((await sendSigned(server, GET)).status);
    assert.deepEqual(answers, [200, 503, 503, 200, 200]);
    assert.equal(fault.hits, 2);
    assert.equal((await put('x', 'y')).status, 200);
    once({ type: 'error', code: 'SlowDown', retryAfter: 3 });
    assert.equal((await sendSigned(server, GET)).headers['retry-after'], '3');
  });

  it('by chance, from a seed', async () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 16807) % 2147483647;
      return seed / 2147483647;
    };
    const fault = server.faults.add({
      probability: 0.5,
      random,
      action: { type: 'error', code: 'InternalError' },
    });
    for (let n = 0; n < 20; n++) await sendSigned(server, { ...GET, method: 'HEAD' });
    assert.ok(fault.hits > 2 && fault.hits < 18, String(fault.hits));
  });

  it('refuses connections, and takes them again on the same port', async () => {
    await server.refuseConnections();
    assert.equal(await outcome(GET), 'ECONNREFUSED');
    await server.acceptConnections();
    assert.equal(await outcome(GET), '200 undefined');
  });

  it('resets while the request is sent: nothing is stored', async () => {
    once({ type: 'reset-request', afterBytes: 100_000 });
    assert.match(await outcome({ method: 'PUT', target: '/photos/new', body: BODY }), /ECONNRESET|EPIPE/);
    assert.equal(server.objects.find('photos', 'new'), undefined);
    assert.equal(server.requests.log.at(-1)?.status, 0);
  });

  it('resets while the answer is sent, or sends half of it, or stalls', async () => {
    for (const action of [
      { type: 'reset-response', afterBytes: 100_000 },
      { type: 'truncate-response', fraction: 0.5 },
      { type: 'reset-response', afterBytes: 0 },
    ] as const) {
      once(action);
      assert.equal(await outcome(GET), 'ECONNRESET', action.type);
    }
    once({ type: 'stall-response', afterBytes: 100_000, ms: 150 });
    assert.ok((await elapsed(() => sendSigned(server, GET))) >= 140);
    once({ type: 'stall-request', afterBytes: 1000, ms: 150 });
    assert.ok((await elapsed(() => put('slow', BODY))) >= 140);
    assert.deepEqual(server.objects.bytes('photos', 'slow'), BODY);
  });

  it('does the work and loses the answer', async () => {
    once({ type: 'drop-answer' });
    assert.equal(await outcome({ method: 'PUT', target: '/photos/new', body: 'new' }), 'ECONNRESET');
    assert.equal(server.objects.bytes('photos', 'new').toString(), 'new');
  });

  it('corrupts what it receives: a checksum finds it, nothing else does', async () => {
    once({ type: 'corrupt-request', offset: 7 });
    const checked = {
      method: 'PUT',
      target: '/photos/new',
      body: BODY,
      headers: { 'content-md5': md5(BODY) },
    };
    assert.equal(await outcome({ ...checked, payload: 'UNSIGNED-PAYLOAD' }), '400 BadDigest');
    once({ type: 'corrupt-request', offset: 7 });
    assert.equal(await outcome({ ...checked, headers: {} }), '400 XAmzContentSHA256Mismatch');
    assert.equal(server.objects.find('photos', 'new'), undefined);
    once({ type: 'corrupt-request', offset: 7 });
    assert.equal(await outcome({ ...checked, headers: {}, payload: 'UNSIGNED-PAYLOAD' }), '200 undefined');
    const stored = server.objects.bytes('photos', 'new');
    assert.deepEqual(
      [...stored.keys()].filter((at) => stored[at] !== BODY[at]),
      [7],
    );
  });

  it('corrupts what it sends', async () => {
    once({ type: 'corrupt-response', offset: 300_000 });
    const { body, status } = await sendSigned(server, GET);
    assert.equal(status, 200);
    assert.deepEqual(
      [...body.keys()].filter((at) => body[at] !== BODY[at]),
      [300_000],
    );
  });

  it('damages what is stored while everything else stays', () => {
    const before = server.objects.find('photos', 'x');
    server.objects.change('photos', 'x', { content: Buffer.from('rotten') });
    const after = server.objects.find('photos', 'x');
    assert.equal(after?.etag, before?.etag);
    assert.equal(server.objects.bytes('photos', 'x').toString(), 'rotten');
  });

  it('gives a wrong ETag', async () => {
    once({ type: 'wrong-etag' });
    const answer = await put('new', 'new');
    assert.notEqual(answer.headers.etag, `"${server.objects.find('photos', 'new')?.etag}"`);
  });

  it('lists wrongly: a page twice, keys missing, out of order', async () => {
    for (const key of ['a', 'b', 'c', 'd']) await put(key, key);
    const client = new sdk.S3Client({
      endpoint: server.url,
      region: server.region,
      forcePathStyle: true,
      credentials: server,
    });
    const list = async () => {
      const keys: (string | undefined)[] = [];
      for await (const page of sdk.paginateListObjectsV2({ client, pageSize: 2 }, { Bucket: 'photos' })) {
        keys.push(...(page.Contents ?? []).map(({ Key }) => Key));
      }
      return keys.join('');
    };
    assert.equal(await list(), 'abcdx');
    server.faults.add({
      operation: 'ListObjectsV2',
      skip: 1,
      times: 1,
      action: { type: 'repeat-list-page' },
    });
    assert.equal(await list(), 'ababcdx');
    once({
      type: 'list',
      change: (page) => {
        page.items = page.items.filter((item) => item.version?.key !== 'b');
      },
    });
    assert.equal(await list(), 'acdx');
    once({ type: 'list', change: (page) => page.items.reverse() });
    assert.equal(await list(), 'bacdx');
    client.destroy();
  });

  it('hides an error inside a 200', async () => {
    const xml = '<Delete><Object><Key>x</Key></Object><Object><Key>y</Key></Object></Delete>';
    const batch = {
      method: 'POST',
      target: '/photos?delete',
      body: xml,
      headers: { 'content-md5': md5(xml) },
    };
    once({ type: 'error-in-ok', code: 'InternalError', keys: (key) => key === 'x' });
    const answer = await sendSigned(server, batch);
    assert.equal(answer.status, 200);
    assert.match(
      answer.body.toString(),
      /<Error><Key>x<\/Key><Code>InternalError<\/Code>.*<Deleted><Key>y<\/Key>/,
    );
    assert.ok(server.objects.find('photos', 'x'));
    once({ type: 'error-in-ok', code: 'InternalError' });
    const copy = { method: 'PUT', target: '/photos/copy', headers: { 'x-amz-copy-source': '/photos/x' } };
    assert.equal(await outcome(copy), '200 InternalError');
    assert.equal(server.objects.find('photos', 'copy'), undefined);
  });

  it('ignores conditions and refuses chunks, as some compatible servers do', async () => {
    const condition = { headers: { 'if-none-match': '*' } };
    assert.equal((await put('x', 'new', condition)).status, 412);
    server.faults.add({ action: { type: 'ignore-conditions' } });
    assert.equal((await put('x', 'new', condition)).status, 200);
    server.faults.clear();
    server.faults.add({ action: { type: 'refuse-chunked' } });
    const chunked = {
      payload: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
      headers: { 'x-amz-decoded-content-length': '0' },
    };
    assert.equal((await put('y', '', chunked)).status, 411);
  });

  it('cuts every request after a while, closes idle sockets', async () => {
    server.network.maxRequestMs = 100;
    server.network.latencyMs = 10_000;
    assert.equal(await outcome(GET), 'ECONNRESET');
    server.network.maxRequestMs = 0;
    server.network.idleTimeoutMs = 100;
    assert.equal(await outcome(GET), 'ECONNRESET');
  });

  it('shares a bandwidth among all connections', async () => {
    server.network.bandwidth = 4_000_000;
    const up = await elapsed(() => Promise.all([put('a', BODY), put('b', BODY)]));
    assert.ok(up >= 150 && up < 2000, String(up));
    const down = await elapsed(() => Promise.all([sendSigned(server, GET), sendSigned(server, GET)]));
    assert.ok(down >= 150 && down < 2000, String(down));
  });

  it('waits before each answer', async () => {
    server.network.latencyMs = 100;
    assert.ok((await elapsed(() => sendSigned(server, GET))) >= 95);
  });
});
