/** S3 servers as people have them at home: addresses of all kinds, certificates of their own, and what Verify says then. */

import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { ErrorCode } from '../../src/errors.js';
import { contentOf, listAll, pseudoRandomBytes, readAll, rejectsWith } from '../conformance/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { SELF_SIGNED_CERTIFICATE, SELF_SIGNED_KEY } from '../servers/test-certificate.js';
import { BUCKET, closeAll, openAt } from './s3-support.js';

/** Quick to give up. */
const QUICK = { retryPolicy: { attempts: 2 } };

describe('S3 on networks as they are', () => {
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
    server.clock.reset();
    await closeAll();
  });
  after(() => server.stop());

  describe('reaches', () => {
    const endpoints: [name: string, make: () => string][] = [
      ['an endpoint with a slash at its end', () => `${server.url}/`],
      ['one with spaces around it', () => `  ${server.url} `],
      ['one by a name', () => `http://localhost:${server.port}`],
      ['one in capital letters', () => `HTTP://LOCALHOST:${server.port}`],
    ];
    for (const [name, make] of endpoints) {
      it(name, async () => {
        const { store } = openAt(server, { config: { endpoint: make() } });
        await store.write('a/b c', contentOf('x'));
        assert.equal((await readAll(store, 'a/b c')).toString(), 'x');
        assert.equal((await listAll(store)).length, 1);
      });
    }

    it('one by its IPv6 address', async function () {
      let six: S3Server;
      try {
        six = await startS3Server({ port: 0, host: '::1', buckets: [BUCKET] });
      } catch {
        console.warn('      NOT TESTED: this machine has no IPv6');
        this.skip();
      }
      try {
        const { account, store } = openAt(six, { config: { endpoint: `http://[::1]:${six.port}` } });
        assert.deepEqual((await account.check()).notes, []);
        await store.write('x', contentOf('x'));
        assert.equal((await readAll(store, 'x')).toString(), 'x');
        assert.equal(store.identity, `s3://[::1]:${six.port}/${BUCKET}`);
      } finally {
        await closeAll();
        await six.stop();
      }
    });

    it('one below a path, whole keys behind it', async () => {
      const asked: string[] = [];
      const far = await listen((url) => {
        asked.push(url);
        return '<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>';
      });
      try {
        const { account, store } = openAt(server, { config: { endpoint: `${far.url}/storage/s3/` } });
        await account.check();
        await store.check().catch(() => {});
        assert.equal(asked[0], '/storage/s3/');
        assert.match(asked[1]!, /^\/storage\/s3\/photos\?list-type=2/);
        assert.equal(account.identity, `s3://127.0.0.1:${far.port}/storage/s3`);
      } finally {
        await closeAll();
        far.server.close();
      }
    });

    it('one whose certificate is signed by itself, given that certificate and not without', async () => {
      const secure = await startS3Server({
        port: 0,
        buckets: [BUCKET],
        tls: { key: SELF_SIGNED_KEY, cert: SELF_SIGNED_CERTIFICATE },
      });
      try {
        const refused = await rejectsWith(
          () => openAt(secure, { tuning: QUICK }).account.check(),
          'TLS_FAILURE',
        );
        assert.match(refused.advice ?? '', /paste that authority's certificate/);
        assert.equal(refused.field, 'caCertificate');
        assert.equal(refused.retryable, false);
        for (const caCertificate of [SELF_SIGNED_CERTIFICATE, `\n${SELF_SIGNED_CERTIFICATE}\n\n`]) {
          const { store } = openAt(secure, { config: { caCertificate } });
          const bytes = pseudoRandomBytes(300_000);
          await store.write('x', contentOf(bytes));
          assert.ok((await readAll(store, 'x')).equals(bytes));
        }
        const endpoint = `https://127.0.0.2:${secure.port}`;
        const config = { endpoint, caCertificate: SELF_SIGNED_CERTIFICATE };
        // Another name than the one in the certificate, where the machine reaches the server by it at all.
        const other = await rejectsWith(
          () => openAt(secure, { config, tuning: QUICK }).account.check(),
          'TLS_FAILURE',
          'ENDPOINT_UNREACHABLE',
        );
        if (other.code === 'TLS_FAILURE') assert.match(other.advice ?? '', /name in the certificate/);
      } finally {
        await closeAll();
        await secure.stop();
      }
    });
  });

  it('gives objects stored with Content-Encoding: gzip back byte for byte', async () => {
    const plain = Buffer.from('again and again '.repeat(1000));
    const packed = gzipSync(plain);
    server.objects.put(BUCKET, 'packed', packed);
    server.objects.find(BUCKET, 'packed')!.system['content-encoding'] = 'gzip';
    const { store } = openAt(server);
    const read = await readAll(store, 'packed');
    assert.ok(read.equals(packed), 'the stored bytes, as they are');
    assert.ok(gunzipSync(read).equals(plain));
    assert.equal((await store.head('packed'))?.size, packed.length);
    const opened = await store.open('packed', { firstRead: { offset: 5, length: 9 } });
    const part: Buffer[] = [];
    for await (const chunk of opened.read(5, 9)) part.push(Buffer.from(chunk));
    await opened.close();
    assert.ok(Buffer.concat(part).equals(packed.subarray(5, 14)));
  });

  describe('Verify says', () => {
    it('that the clock is off, by how much, and that this does no harm', async () => {
      server.clock.advance(3 * 3600_000);
      const behind = await openAt(server).account.check();
      assert.match(behind.notes.join('\n'), /clock of this machine is 180 minutes behind the server's/);
      server.clock.advance(-6 * 3600_000);
      const ahead = await openAt(server).account.check();
      assert.match(ahead.notes.join('\n'), /180 minutes ahead of the server's/);
    });

    it('that http:// is readable by others, but not on this machine', async () => {
      assert.deepEqual((await openAt(server).account.check()).notes, []);
      const nas = await startS3Server({ port: 0, domain: 'nas.localhost' });
      try {
        const endpoint = `http://nas.localhost:${nas.port}`;
        const check = await openAt(nas, { config: { endpoint } }).account.check();
        assert.match(check.notes.join('\n'), /http:\/\/.*unencrypted/);
      } finally {
        await closeAll();
        await nas.stop();
      }
    });

    it('that https:// is wanted where http:// was typed, and the reverse', async () => {
      const endpoint = server.url.replace('http:', 'https:');
      const plain = await rejectsWith(
        () => openAt(server, { config: { endpoint }, tuning: QUICK }).account.check(),
        'TLS_FAILURE',
      );
      assert.match(plain.advice ?? '', /plain HTTP on this port/);
      assert.equal(plain.field, 'endpoint');
      const secure = await startS3Server({
        port: 0,
        tls: { key: SELF_SIGNED_KEY, cert: SELF_SIGNED_CERTIFICATE },
      });
      const answers = await listen(() => 'Client sent an HTTP request to an HTTPS server.\n', 400);
      try {
        const silent = { endpoint: secure.url.replace('https:', 'http:') };
        const broken = await rejectsWith(
          () => openAt(server, { config: silent, tuning: QUICK }).account.check(),
          'CONNECTION_LOST',
          'BAD_ANSWER',
        );
        assert.match(broken.advice ?? '', /https:\/\//);
        const told = await rejectsWith(
          () => openAt(server, { config: { endpoint: answers.url }, tuning: QUICK }).account.check(),
          'TLS_FAILURE',
        );
        assert.match(told.message, /speaks HTTPS on this port/);
      } finally {
        await closeAll();
        await secure.stop();
        answers.server.close();
      }
    });

    it('that the endpoint names a bucket', async () => {
      const { account } = openAt(server, { config: { endpoint: `${server.url}/${BUCKET}` } });
      const error = await rejectsWith(() => account.check(), 'INVALID_INPUT');
      assert.equal(error.field, 'endpoint');
      assert.match(error.message, /names a bucket/);
    });

    it('that the endpoint has a path too many', async () => {
      const { account } = openAt(server, { config: { endpoint: `${server.url}/minio` } });
      const error = await rejectsWith(() => account.check(), 'BUCKET_NOT_FOUND');
      assert.equal(error.field, 'endpoint');
      assert.match(error.advice ?? '', /no S3 server at the path \/minio/);
    });

    it("that the server isn't known by names with the bucket in front", async () => {
      const ask = async (endpoint: string, code: ErrorCode) => {
        const { store } = openAt(server, { config: { endpoint, forcePathStyle: false }, tuning: QUICK });
        const error = await rejectsWith(() => store.check(), code);
        assert.equal(error.field, 'forcePathStyle');
        assert.match(error.advice ?? '', /set forcePathStyle to true/i);
      };
      await ask('http://nas.invalid', 'ENDPOINT_UNREACHABLE');
      await ask(server.url, 'INVALID_INPUT');
      await ask('http://[::1]:9000', 'INVALID_INPUT');
    });

    it('that the endpoint begins with a bucket', async () => {
      const endpoint = `http://no-bucket.localhost:${server.port}`;
      const error = await rejectsWith(
        () => openAt(server, { config: { endpoint } }).account.check(),
        'INVALID_INPUT',
      );
      assert.equal(error.field, 'endpoint');
      const { account } = openAt(server, {
        config: { endpoint: `http://${BUCKET}.localhost:${server.port}` },
      });
      assert.match((await rejectsWith(() => account.check(), 'INVALID_INPUT')).message, /names a bucket/);
    });

    it('which field is wrong: key, secret, region', async () => {
      const cases = [
        { secrets: { accessKeyId: 'AKIDNOBODY' }, code: 'WRONG_KEY', field: 'accessKeyId' },
        { secrets: { secretAccessKey: 'no' }, code: 'WRONG_SECRET', field: 'secretAccessKey' },
      ] as const;
      for (const { secrets, code, field } of cases) {
        const error = await rejectsWith(() => openAt(server, { secrets }).account.check(), code);
        assert.equal(error.field, field);
        assert.ok(error.advice);
      }
      const { store } = openAt(server, { config: { region: 'mars-north-1' } });
      const error = await rejectsWith(() => store.check(), 'WRONG_REGION');
      assert.equal(error.field, 'region');
      assert.match(error.message, /is in the region us-east-1, not in mars-north-1/);
    });

    it('that a temporary key lacks its session token', async () => {
      const { account } = openAt(server, { secrets: { accessKeyId: 'ASIATEMPORARY' } });
      const error = await rejectsWith(() => account.check(), 'WRONG_KEY');
      assert.equal(error.field, 'sessionToken');
      assert.match(error.advice ?? '', /together with its session token/);
    });

    it('whose the buckets are and how many, past the first page', async () => {
      server.createBucket('another');
      const check = await openAt(server).account.check();
      assert.ok((check.bucketCount ?? 0) >= 2);
      assert.ok(check.account);
    });

    it('nothing secret, whatever goes wrong', async () => {
      for (const code of ['InvalidAccessKeyId', 'SignatureDoesNotMatch', 'ExpiredToken', 'SomethingElse']) {
        server.faults.clear();
        server.faults.add({
          action: {
            type: 'error',
            code,
            status: 403,
            message: `The key ${server.accessKeyId} with ${server.secretAccessKey} is refused`,
          },
        });
        const error: unknown = await openAt(server, { tuning: QUICK })
          .account.check()
          .catch((thrown: unknown) => thrown);
        const everything = inspect(error, { depth: 10, showHidden: true });
        assert.ok(!everything.includes(server.secretAccessKey), code);
      }
    });
  });
});

interface Listener {
  server: Server;
  port: number;
  url: string;
}

/** A server that answers every request with what `answer` gives for its URL. */
async function listen(answer: (url: string) => string, status = 200): Promise<Listener> {
  const server = createServer((incoming, response) => {
    response.writeHead(status).end(answer(incoming.url ?? ''));
  });
  server.keepAliveTimeout = 1;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { server, port, url: `http://127.0.0.1:${port}` };
}
