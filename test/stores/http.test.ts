import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { inspect } from 'node:util';
import type { CloudSyncError } from '../../src/errors.js';
import { openB2Account } from '../../src/stores/b2.js';
import { proxyFor } from '../../src/stores/http/proxy.js';
import { HttpClient, parseRetryAfter } from '../../src/stores/http.js';
import { contentOf, pseudoRandomBytes, readAll, rejectsWith } from '../conformance/support.js';
import { startB2Server } from '../servers/b2/server.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { TEST_AUTHORITY, TEST_CERTIFICATE, TEST_KEY } from '../servers/test-certificate.js';
import { BUCKET, closeAll, openAt } from './s3-support.js';

const VARIABLES = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY'].flatMap((name) => [
  name,
  name.toLowerCase(),
]);

describe('HTTP', () => {
  describe('chooses the proxy', () => {
    const cases: [string, Record<string, string>, string | undefined][] = [
      ['https://s3.example', {}, undefined],
      ['https://s3.example', { HTTPS_PROXY: 'http://proxy:3128' }, 'http://proxy:3128/'],
      ['https://s3.example', { https_proxy: 'proxy:3128' }, 'http://proxy:3128/'],
      ['https://s3.example', { HTTP_PROXY: 'http://proxy:3128' }, undefined],
      ['http://s3.example', { HTTP_PROXY: 'http://proxy:3128' }, 'http://proxy:3128/'],
      ['http://s3.example', { ALL_PROXY: 'http://proxy:3128' }, 'http://proxy:3128/'],
      ['http://s3.example', { http_proxy: 'http://lower', HTTP_PROXY: 'http://upper' }, 'http://lower/'],
      ['http://s3.example', { HTTP_PROXY: 'http://p', NO_PROXY: 'example' }, undefined],
      ['http://s3.example', { HTTP_PROXY: 'http://p', NO_PROXY: '.example, other' }, undefined],
      ['http://s3.example', { HTTP_PROXY: 'http://p', NO_PROXY: '*.example' }, undefined],
      ['http://s3.example', { HTTP_PROXY: 'http://p', NO_PROXY: 'ample' }, 'http://p/'],
      ['http://s3.example:9000', { HTTP_PROXY: 'http://p', NO_PROXY: 's3.example:9001' }, 'http://p/'],
      ['http://s3.example:9000', { HTTP_PROXY: 'http://p', NO_PROXY: 's3.example:9000' }, undefined],
      ['https://s3.example', { HTTPS_PROXY: 'http://p', NO_PROXY: 's3.example:443' }, undefined],
      ['http://127.0.0.1:9000', { HTTP_PROXY: 'http://p', no_proxy: 'localhost,127.0.0.1' }, undefined],
      ['http://s3.example', { HTTP_PROXY: 'http://p', NO_PROXY: '*' }, undefined],
      ['http://192.168.7.8:9000', { HTTP_PROXY: 'http://p', NO_PROXY: '192.168.0.0/16' }, undefined],
      ['http://192.169.7.8:9000', { HTTP_PROXY: 'http://p', NO_PROXY: '192.168.0.0/16' }, 'http://p/'],
      ['http://s3.example', { HTTP_PROXY: 'http://p', NO_PROXY: '0.0.0.0/0,::/0' }, 'http://p/'],
      ['http://192.168.7.8', { HTTP_PROXY: 'http://p', NO_PROXY: '192.168.0.0/99,x/y' }, 'http://p/'],
      ['http://[::1]:9000', { HTTP_PROXY: 'http://p', NO_PROXY: '::1' }, undefined],
      ['http://[::1]:9000', { HTTP_PROXY: 'http://p', NO_PROXY: '[::1]' }, undefined],
      ['http://[::1]:9000', { HTTP_PROXY: 'http://p', NO_PROXY: '[::1]:9001' }, 'http://p/'],
      ['http://[fd00::7]:9000', { HTTP_PROXY: 'http://p', NO_PROXY: 'fd00::/8' }, undefined],
    ];
    for (const [origin, environment, proxy] of cases) {
      it(`for ${origin} from ${JSON.stringify(environment)}`, () => {
        assert.equal(proxyFor(new URL(origin), environment)?.href, proxy);
      });
    }
  });

  it('says that a proxy is no address, without repeating it', () => {
    for (const HTTP_PROXY of ['http://user:secret@:x', 'socks5://user:secret@proxy:1080']) {
      assert.throws(
        () => proxyFor(new URL('http://s3.example'), { HTTP_PROXY }),
        (error: CloudSyncError) => error.code === 'INVALID_INPUT' && !inspect(error).includes('secret'),
      );
    }
  });

  it('ends all requests of a signal when it fires, and listens to it no longer than they run', async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const client = new HttpClient();
    const origin = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const send = (signal: AbortSignal) =>
      client.send({ method: 'GET', origin, path: '/', headers: ['host', 'here'], signal });
    try {
      const [one, other] = [new AbortController(), new AbortController()];
      const ended = [send(one.signal), send(one.signal), send(one.signal)].map((response) =>
        rejectsWith(() => response, 'ABORTED'),
      );
      const kept = send(other.signal);
      assert.equal(getEventListeners(one.signal, 'abort').length, 1);
      one.abort();
      await Promise.all(ended);
      assert.equal(getEventListeners(one.signal, 'abort').length, 0);
      assert.equal(getEventListeners(other.signal, 'abort').length, 1);
      other.abort();
      await rejectsWith(() => kept, 'ABORTED');
      assert.equal(getEventListeners(other.signal, 'abort').length, 0);
    } finally {
      await client.close();
      silent.closeAllConnections();
      silent.close();
    }
  });

  it('reads Retry-After as seconds or as a date', () => {
    const now = Date.UTC(2026, 0, 1, 12, 0, 0);
    assert.equal(parseRetryAfter('7', now), 7000);
    assert.equal(parseRetryAfter('Thu, 01 Jan 2026 12:00:30 GMT', now), 30_000);
    assert.equal(parseRetryAfter('Thu, 01 Jan 2026 11:00:00 GMT', now), 0);
    assert.equal(parseRetryAfter('soon', now), undefined);
    assert.equal(parseRetryAfter(undefined, now), undefined);
  });

  describe('through a proxy', () => {
    const saved: Record<string, string | undefined> = {};
    let proxy: TestProxy;
    beforeEach(async () => {
      for (const name of VARIABLES) {
        saved[name] = process.env[name];
        delete process.env[name];
      }
      proxy = await startProxy();
    });
    afterEach(async () => {
      for (const name of VARIABLES) {
        if (saved[name] === undefined) delete process.env[name];
        else process.env[name] = saved[name];
      }
      await closeAll();
      await proxy.stop();
    });

    it('reaches http endpoints, and finds the regions of Amazon buckets there', async () => {
      const server = await startS3Server({ port: 0 });
      server.createBucket({ name: BUCKET, region: 'eu-central-1' });
      proxy.target = server.port;
      process.env.HTTP_PROXY = `http://user:pass%20word@127.0.0.1:${proxy.port}`;
      try {
        const { store, requests } = openAt(server, {
          config: { endpoint: 'http://s3.amazonaws.com', region: '' },
        });
        assert.equal(store.identity, `s3://s3.amazonaws.com/${BUCKET}`);
        await Promise.all(['a', 'b', 'c'].map((key) => store.write(key, contentOf(key))));
        assert.equal((await readAll(store, 'a')).toString(), 'a');
        assert.deepEqual([...new Set(proxy.hosts)].sort(), [
          's3.eu-central-1.amazonaws.com',
          's3.us-east-1.amazonaws.com',
        ]);
        assert.equal(
          proxy.hosts.filter((host) => host.includes('us-east-1')).length,
          1,
          'the region was asked once',
        );
        assert.equal(requests.length, 5);
        assert.ok(proxy.authorizations.every((value) => value === `Basic ${btoa('user:pass word')}`));
      } finally {
        await server.stop();
      }
    });

    it('reaches https endpoints by a tunnel, trusting the authority of the credential', async () => {
      const server = await startS3Server({
        port: 0,
        buckets: [BUCKET],
        tls: { key: TEST_KEY, cert: TEST_CERTIFICATE },
      });
      process.env.HTTPS_PROXY = `http://127.0.0.1:${proxy.port}`;
      try {
        const { store } = openAt(server, { config: { caCertificate: TEST_AUTHORITY } });
        const bytes = pseudoRandomBytes(2_000_000);
        await store.write('x', contentOf(bytes));
        assert.ok((await readAll(store, 'x')).equals(bytes));
        assert.deepEqual([...new Set(proxy.tunnels)], [`127.0.0.1:${server.port}`]);
        await rejectsWith(() => openAt(server).store.check(), 'TLS_FAILURE');
        process.env.NO_PROXY = '127.0.0.1';
        const before = proxy.tunnels.length;
        await openAt(server, { config: { caCertificate: TEST_AUTHORITY } }).store.check();
        assert.equal(proxy.tunnels.length, before);
      } finally {
        await closeAll();
        await server.stop();
      }
    });

    it('says that the proxy wants a password', async () => {
      const server = await startS3Server({ port: 0, buckets: [BUCKET] });
      proxy.refuses = true;
      process.env.HTTP_PROXY = `http://127.0.0.1:${proxy.port}`;
      try {
        const { store } = openAt(server, { tuning: { retryPolicy: { attempts: 2 } } });
        const error = await rejectsWith(() => store.check(), 'ENDPOINT_UNREACHABLE');
        assert.match(error.message, /proxy wants a user name/);
        assert.equal(proxy.hosts.length, 1, 'asking again does not help');
      } finally {
        await closeAll();
        await server.stop();
      }
    });

    it('says so for tunnels too, and that a proxy refuses a host', async () => {
      process.env.HTTPS_PROXY = `http://127.0.0.1:${proxy.port}`;
      const server = await startS3Server({ port: 0 });
      try {
        const config = { endpoint: 'https://s3.example' };
        const open = () => openAt(server, { config, tuning: { retryPolicy: { attempts: 3 } } }).account;
        proxy.tunnelStatus = 407;
        const wanted = await rejectsWith(() => open().check(), 'ENDPOINT_UNREACHABLE');
        assert.match(wanted.message, /proxy wants a user name/);
        assert.match(wanted.advice ?? '', /HTTPS_PROXY/);
        assert.equal(proxy.tunnels.length, 1, 'asking again does not help');
        proxy.tunnelStatus = 403;
        const refused = await rejectsWith(() => open().check(), 'ENDPOINT_UNREACHABLE');
        assert.match(refused.message, /proxy does not connect to s3\.example \(403\)/);
        assert.equal(refused.retryable, false);
        proxy.tunnelStatus = 502;
        const failed = await rejectsWith(() => open().check(), 'ENDPOINT_UNREACHABLE');
        assert.equal(failed.retryable, true);
      } finally {
        await closeAll();
        await server.stop();
      }
    });

    it('sends name and password to the proxy of a tunnel, and none of it to the server', async () => {
      const server = await startS3Server({
        port: 0,
        buckets: [BUCKET],
        tls: { key: TEST_KEY, cert: TEST_CERTIFICATE },
      });
      process.env.HTTPS_PROXY = `http://user:pass%20word@127.0.0.1:${proxy.port}`;
      try {
        await openAt(server, { config: { caCertificate: TEST_AUTHORITY } }).store.check();
        assert.deepEqual(proxy.authorizations, [`Basic ${btoa('user:pass word')}`]);
      } finally {
        await closeAll();
        await server.stop();
      }
    });

    it('reaches Backblaze, its own interface and the S3 one', async () => {
      const server = await startB2Server();
      server.createBucket(BUCKET);
      const { applicationKeyId, applicationKey } = server.addKey();
      proxy.target = Number(new URL(server.url).port);
      process.env.HTTP_PROXY = `http://127.0.0.1:${proxy.port}`;
      const tuning = { nativeOrigin: 'http://api.backblaze.example' };
      const account = openB2Account({}, { applicationKeyId, applicationKey }, {}, tuning);
      try {
        await account.openStore(BUCKET).write('x', contentOf('x'));
        assert.deepEqual([...new Set(proxy.hosts)], ['api.backblaze.example', new URL(server.url).host]);
      } finally {
        await account.close();
        await server.stop();
      }
    });
  });

  describe('over TLS', () => {
    let server: S3Server;
    before(async () => {
      server = await startS3Server({
        port: 0,
        buckets: [BUCKET],
        tls: { key: TEST_KEY, cert: TEST_CERTIFICATE },
      });
    });
    afterEach(() => closeAll());
    after(() => server.stop());

    it('uploads are checked by the server, small and large', async () => {
      const { store, retries } = openAt(server, { config: { caCertificate: TEST_AUTHORITY } });
      for (const size of [0, 1000, 1_000_000]) {
        const bytes = pseudoRandomBytes(size);
        if (size > 0) {
          server.faults.add({
            operation: 'PutObject',
            times: 1,
            action: { type: 'corrupt-request', offset: 10 },
          });
        }
        await store.write('x', contentOf(bytes));
        assert.ok((await readAll(store, 'x')).equals(bytes));
      }
      assert.deepEqual(
        retries.map((error) => error.code),
        ['CHECKSUM_MISMATCH', 'CHECKSUM_MISMATCH'],
      );
    });

    it('a certificate that is none is named', async () => {
      const { store } = openAt(server, { config: { caCertificate: '-----BEGIN CERTIFICATE-----\nrubbish' } });
      const error = await rejectsWith(() => store.check(), 'INVALID_INPUT', 'TLS_FAILURE');
      assert.ok(error.advice);
    });
  });
});

interface TestProxy {
  port: number;
  /** Where plain requests go, whatever host they name. */
  target: number;
  refuses: boolean;
  /** Answered to CONNECT instead of opening a tunnel; 0: it is opened. */
  tunnelStatus: number;
  hosts: string[];
  authorizations: (string | undefined)[];
  tunnels: string[];
  stop(): Promise<void>;
}

/** A forward proxy: absolute URLs for http, CONNECT for the rest. */
async function startProxy(): Promise<TestProxy> {
  const sockets = new Set<Socket>();
  const proxy: TestProxy = {
    port: 0,
    target: 0,
    refuses: false,
    tunnelStatus: 0,
    hosts: [],
    authorizations: [],
    tunnels: [],
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const server: Server = createServer((incoming, answer) => {
    const url = new URL(incoming.url!);
    proxy.hosts.push(url.host);
    proxy.authorizations.push(incoming.headers['proxy-authorization']);
    if (proxy.refuses) {
      answer.writeHead(407, { 'proxy-authenticate': 'Basic' }).end();
      return;
    }
    const { 'proxy-authorization': _, ...headers } = incoming.headers;
    const forward = request(
      {
        host: '127.0.0.1',
        port: proxy.target || Number(url.port),
        method: incoming.method,
        path: url.pathname + url.search,
        headers,
      },
      (answered) => {
        answer.writeHead(answered.statusCode!, answered.headers);
        answered.pipe(answer);
      },
    );
    incoming.pipe(forward);
  });
  server.on('connect', (incoming, socket: Socket) => {
    proxy.tunnels.push(incoming.url!);
    proxy.authorizations.push(incoming.headers['proxy-authorization']);
    if (proxy.tunnelStatus !== 0) {
      socket.end(`HTTP/1.1 ${proxy.tunnelStatus} No\r\n\r\n`);
      return;
    }
    const [host, port] = incoming.url!.split(':');
    const far = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      far.pipe(socket);
      socket.pipe(far);
    });
    far.on('error', () => socket.destroy());
    socket.on('error', () => far.destroy());
    sockets.add(far);
  });
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy.port = (server.address() as AddressInfo).port;
  return proxy;
}
