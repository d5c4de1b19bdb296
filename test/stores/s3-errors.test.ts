import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import type { CloudSyncError, ErrorCode } from '../../src/errors.js';
import { contentOf, readAll, rejectsWith } from '../conformance/support.js';
import { denyOperations } from '../servers/s3/credentials.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { TEST_CERTIFICATE, TEST_KEY } from '../servers/test-certificate.js';
import { BUCKET, closeAll, openAt } from './s3-support.js';

describe('S3 errors', () => {
  let server: S3Server;
  beforeEach(async () => {
    server = await startS3Server({ port: 0, buckets: [BUCKET] });
  });
  afterEach(async () => {
    await closeAll();
    await server.stop();
  });

  /** What the user reads has to say what to do, and never a secret. */
  const assertWords = (error: CloudSyncError, message: RegExp, advice?: RegExp) => {
    assert.match(error.message, message);
    if (advice !== undefined) assert.match(error.advice ?? '', advice);
    const everything = inspect(error, { depth: 10, showHidden: true });
    assert.ok(!everything.includes(server.secretAccessKey), 'the secret is in the error');
    assert.ok(!everything.includes(server.accessKeyId), 'the access key is in the error');
  };

  it('says that the access key is wrong', async () => {
    const { account, store } = openAt(server, { secrets: { accessKeyId: 'AKIDNOBODY' } });
    assertWords(await rejectsWith(() => account.check(), 'WRONG_KEY'), /access key/, /Check the access key/);
    await rejectsWith(() => store.head('x'), 'WRONG_KEY');
    await rejectsWith(() => store.write('x', contentOf('x')), 'WRONG_KEY');
  });

  it('says that the secret is wrong', async () => {
    const { account, store } = openAt(server, { secrets: { secretAccessKey: 'wrong-secret' } });
    const error = await rejectsWith(() => account.check(), 'WRONG_SECRET');
    assertWords(error, /secret access key does not fit/, /Type the secret/);
    assert.ok(!inspect(error, { depth: 10 }).includes('wrong-secret'));
    await rejectsWith(() => store.head('x'), 'WRONG_SECRET');
    await rejectsWith(() => store.check(), 'WRONG_SECRET');
  });

  it('says that a key or secret is missing, and which', async () => {
    assert.throws(
      () => openAt(server, { secrets: { accessKeyId: ' ' } }),
      (error: CloudSyncError) => error.code === 'CREDENTIAL_MISSING' && error.field === 'accessKeyId',
    );
    assert.throws(
      () => openAt(server, { secrets: { secretAccessKey: '' } }),
      (error: CloudSyncError) => error.code === 'CREDENTIAL_MISSING' && error.field === 'secretAccessKey',
    );
  });

  it('says that a session token has expired, also in the middle', async () => {
    const credential = {
      accessKeyId: 'ASIASESSION',
      secretAccessKey: 'session-secret',
      sessionToken: 'token/+=',
      expiresAt: server.clock.now() + 3600_000,
    };
    server.credentials.set(credential.accessKeyId, credential);
    const { accessKeyId, secretAccessKey, sessionToken } = credential;
    const { store } = openAt(server, { secrets: { accessKeyId, secretAccessKey, sessionToken } });
    await store.write('x', contentOf('x'));
    credential.expiresAt = server.clock.now() - 1;
    const error = await rejectsWith(() => store.write('x', contentOf('y')), 'CREDENTIAL_EXPIRED');
    assertWords(error, /session token/, /new session token/);
    assert.ok(!inspect(error, { depth: 10 }).includes(sessionToken));
  });

  it('says what the key may not do, and takes a key that may not list buckets', async () => {
    server.credentials.get(server.accessKeyId)!.allows = denyOperations(
      'ListBuckets',
      'PutObject',
      'DeleteObject',
    );
    const { account, store } = openAt(server);
    const check = await account.check();
    assert.equal(check.bucketCount, undefined);
    assert.match(check.notes.join(' '), /may not list buckets/);
    const write = await rejectsWith(() => store.write('a/x', contentOf('x')), 'NO_PERMISSION');
    assertWords(write, /may not write: "a\/x" in the bucket "photos"/, /permission/);
    assert.equal(write.retryable, false);
    await rejectsWith(() => store.delete({ key: 'a/x' }), 'NO_PERMISSION');
    await store.check();
  });

  it('counts the buckets of a key that may', async () => {
    server.createBucket('second');
    const { account } = openAt(server);
    assert.equal((await account.check()).bucketCount, 2);
    const names = [];
    for await (const bucket of account.listBuckets()) names.push(bucket.name);
    assert.deepEqual(names.sort(), [BUCKET, 'second'].sort());
    await rejectsWith(() => account.createBucket('second'), 'ALREADY_EXISTS');
    const badName = await rejectsWith(() => account.createBucket('X'), 'INVALID_INPUT');
    assert.match(badName.message, /name of a bucket/);
  });

  it('says that the bucket is missing, wherever it is asked', async () => {
    const { account } = openAt(server);
    const store = account.openStore('not-there');
    for (const call of [
      () => store.check(),
      () => store.head('x'),
      () => store.open('x'),
      () => store.write('x', contentOf('x')),
      () => store.createUpload('x', 20_000_000),
      () => store.deleteMany([{ key: 'x' }]),
    ]) {
      assertWords(await rejectsWith(call, 'BUCKET_NOT_FOUND'), /no bucket "not-there"/, /Check the bucket/);
    }
  });

  it('never takes a vanished bucket for a missing object', async () => {
    const { store } = openAt(server);
    await store.write('x', contentOf('x'));
    assert.equal(await store.head('y'), undefined);
    await store.delete({ key: 'x' });
    const other = openAt(server);
    await other.account.createBucket('later');
    const later = other.account.openStore('later');
    await rejectsWith(() => other.account.openStore('later2').head('x'), 'BUCKET_NOT_FOUND');
    assert.equal(await later.head('x'), undefined);
  });

  it('says which region a bucket is in where another was typed', async () => {
    server.createBucket({ name: 'far', region: 'ap-south-2' });
    const { account } = openAt(server, { config: { region: 'us-east-1' } });
    const store = account.openStore('far');
    for (const call of [() => store.check(), () => store.head('x'), () => store.write('x', contentOf('x'))]) {
      const error = await rejectsWith(call, 'WRONG_REGION');
      assertWords(error, /"far" is in the region ap-south-2, not in us-east-1/, /leave it empty/);
    }
  });

  const translations: [string, number, ErrorCode, boolean][] = [
    ['SlowDown', 503, 'RATE_LIMITED', true],
    ['ServiceUnavailable', 503, 'RATE_LIMITED', true],
    ['TooManyRequests', 429, 'RATE_LIMITED', true],
    ['InternalError', 500, 'SERVER_ERROR', true],
    ['BadGateway', 502, 'SERVER_ERROR', true],
    ['RequestTimeout', 400, 'TIMEOUT', true],
    ['BadDigest', 400, 'CHECKSUM_MISMATCH', true],
    ['XAmzContentSHA256Mismatch', 400, 'CHECKSUM_MISMATCH', true],
    ['IncompleteBody', 400, 'CONNECTION_LOST', true],
    ['ConditionalRequestConflict', 409, 'SERVER_ERROR', true],
    ['QuotaExceeded', 403, 'QUOTA_EXCEEDED', false],
    ['XMinioStorageFull', 507, 'QUOTA_EXCEEDED', false],
    ['InvalidObjectState', 403, 'ARCHIVED', false],
    ['AccessDenied', 403, 'NO_PERMISSION', false],
    ['KeyTooLongError', 400, 'NAME_TOO_LONG', false],
    ['InvalidStorageClass', 400, 'INVALID_INPUT', false],
    ['NotImplemented', 501, 'NOT_SUPPORTED', false],
    ['PermanentRedirect', 301, 'WRONG_REGION', false],
    ['SomethingNew', 400, 'INVALID_INPUT', false],
    ['SomethingNew', 500, 'SERVER_ERROR', true],
  ];
  for (const [code, status, ours, retryable] of translations) {
    it(`translates ${status} ${code}`, async () => {
      const { store } = openAt(server, { tuning: { retryPolicy: { attempts: 2 } } });
      server.faults.add({
        operation: 'PutObject',
        action: { type: 'error', code, status, message: 'As it is' },
      });
      const error = await rejectsWith(() => store.write('x', contentOf('x')), ours);
      assert.equal(error.retryable, retryable);
      assert.equal(error.path, 'x');
      assert.match(String(error.cause), new RegExp(code));
      assert.equal(server.requests.counts.PutObject, retryable ? 2 : 1);
    });
  }

  it('names the class of an archived object and what to do', async () => {
    const { store } = openAt(server);
    await store.write('ice', contentOf('ice'), { storageClass: 'DEEP_ARCHIVE' });
    assertWords(await rejectsWith(() => store.open('ice'), 'ARCHIVED'), /"ice" is archived/, /thaw/);
    assertWords(await rejectsWith(() => store.copy('ice', 'copy'), 'ARCHIVED'), /archived/, /thaw/);
    const object = (await store.head('ice'))!;
    await rejectsWith(() => store.setModificationTime(object, 1n), 'ARCHIVED');
  });

  it('says that nobody listens, and that the name is unknown', async () => {
    const quick = { tuning: { retryPolicy: { attempts: 2 } } };
    const { account } = openAt(server, quick);
    await server.refuseConnections();
    const refused = await rejectsWith(() => account.check(), 'ENDPOINT_UNREACHABLE');
    assert.match(refused.message, /127\.0\.0\.1:\d+ refuses the connection/);
    assert.match(refused.advice ?? '', /port/);
    await server.acceptConnections();
    const nowhere = openAt(server, { ...quick, config: { endpoint: 'http://s3.nowhere.invalid' } });
    const unknown = await rejectsWith(() => nowhere.account.check(), 'ENDPOINT_UNREACHABLE');
    assert.match(unknown.message, /s3\.nowhere\.invalid can't be resolved/);
  });

  it('says that TLS fails, and why', async () => {
    const secure = await startS3Server({ port: 0, tls: { key: TEST_KEY, cert: TEST_CERTIFICATE } });
    try {
      const untrusted = await rejectsWith(() => openAt(secure).account.check(), 'TLS_FAILURE');
      assert.match(untrusted.advice ?? '', /private authority/);
      const { account } = openAt(server, { config: { endpoint: server.url.replace('http:', 'https:') } });
      const plain = await rejectsWith(() => account.check(), 'TLS_FAILURE');
      assert.match(plain.advice ?? '', /plain HTTP/);
    } finally {
      await closeAll();
      await secure.stop();
    }
  });

  it('says that the endpoint is no S3 server', async () => {
    const { createServer } = await import('node:http');
    const pages = createServer((_, answer) => answer.end('<!doctype html><title>Welcome</title>'));
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
    const { port } = pages.address() as { port: number };
    try {
      const { account, store } = openAt(server, {
        config: { endpoint: `http://127.0.0.1:${port}` },
        tuning: { retryPolicy: { attempts: 2 } },
      });
      const error = await rejectsWith(() => account.check(), 'BAD_ANSWER');
      assert.match(error.advice ?? '', /not its web page/);
      // What is no listing must never be taken for an empty bucket.
      await rejectsWith(async () => {
        for await (const _ of store.list()) assert.fail('a page out of nothing');
      }, 'BAD_ANSWER');
    } finally {
      await closeAll();
      pages.closeAllConnections();
      pages.close();
    }
  });

  for (const endpoint of ['ftp://host', 'not an address', 'http://']) {
    it(`refuses the endpoint "${endpoint}"`, () => {
      assert.throws(
        () => openAt(server, { config: { endpoint } }),
        (error: CloudSyncError) => error.code === 'INVALID_INPUT' && error.field === 'endpoint',
      );
    });
  }

  it('corrects for a wrong clock without a word, before and in the middle', async () => {
    server.clock.advance(3 * 3600_000);
    const { store, retries } = openAt(server);
    await store.write('x', contentOf('x'));
    server.clock.advance(-6 * 3600_000);
    await store.write('y', contentOf('y'));
    assert.equal((await store.head('y'))?.size, 1);
    server.clock.advance(6 * 3600_000);
    assert.equal((await store.head('y'))?.size, 1);
    assert.deepEqual(retries, []);
    assert.equal((await readAll(store, 'x')).toString(), 'x');
  });

  it('names the minutes where a wrong clock can not be corrected', async () => {
    const { store } = openAt(server);
    await store.write('x', contentOf('x'));
    const skewed = new Date(Date.now() + 47 * 60_000).toUTCString();
    server.faults.add({ action: { type: 'error', code: 'RequestTimeTooSkewed', status: 403 } });
    server.faults.add({
      action: { type: 'edit-answer', edit: (answer) => Object.assign(answer.headers, { date: skewed }) },
    });
    const error = await rejectsWith(() => store.write('x', contentOf('x')), 'CLOCK_SKEW');
    assert.match(error.message, /clock is (47 minutes behind|too far from) the server/);
    assert.match(error.advice ?? '', /Set the clock/);
  });
});
