import assert from 'node:assert/strict';
import type { LookupAddress, LookupOptions, lookup } from 'node:dns';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, LookupFunction } from 'node:net';
import { hasCode } from '../../src/errors.js';
import { confirmDestination, lookupDestination } from '../../src/stores/http/destinations.js';
import { HttpClient } from '../../src/stores/http.js';
import { PROVIDERS } from '../../src/stores/registry.js';

/** Every way to write an address at which a cloud hands out its machines' keys, and the networks they lie in. */
const REFUSED = [
  'http://169.254.169.254',
  'https://169.254.169.254:8443',
  'http://169.254.0.1',
  'http://169.254.255.255',
  'http://169.254.170.2',
  'http://2852039166',
  'http://0xa9fea9fe',
  'http://0251.0376.0251.0376',
  'http://0xa9.254.0251.254',
  'http://169.16689662',
  'http://169.254.43518',
  'http://１６９.２５４.１６９.２５４',
  'http://169.254.169.254.',
  'http://[::ffff:169.254.169.254]',
  'http://[::ffff:a9fe:a9fe]',
  'http://[0:0:0:0:0:ffff:a9fe:a9fe]',
  'http://[::169.254.169.254]',
  'http://[64:ff9b::169.254.169.254]',
  'http://[fe80::1]',
  'http://[FEBF:FFFF::1]',
  'http://[fd00:ec2::254]',
  'http://[fd00:0ec2:0:0:0:0:0:254]',
  'http://192.0.0.192',
  'http://100.100.100.200',
  'http://168.63.129.16',
  'http://[::ffff:100.100.100.200]',
];
const ALLOWED = [
  'http://127.0.0.1:9000',
  'http://localhost',
  'http://[::1]:9000',
  'http://10.0.0.1',
  'http://172.16.0.1',
  'http://192.168.1.10:9000',
  'http://100.64.0.1',
  'http://[fd00::7]',
  'http://[fd00:ec2::253]',
  'http://[fec0::1]',
  'http://169.253.169.254',
  'http://169.255.0.1',
  'https://s3.example.com',
];

/** A resolver that knows these addresses. */
const knowing = (addresses: LookupAddress[]): typeof lookup =>
  ((_name: string, options: LookupOptions, callback: (...parameters: unknown[]) => void) => {
    assert.equal(options.all, true);
    callback(null, addresses);
  }) as typeof lookup;

const resolved = (look: LookupFunction, options: LookupOptions) =>
  new Promise<unknown>((resolve, reject) => {
    look('storage.example', options, (error, address, family) => {
      if (error === null) resolve(options.all === true ? address : { address, family });
      else reject(error);
    });
  });

describe('Destinations of requests', () => {
  for (const origin of REFUSED) {
    it(`${origin} is none`, () => {
      assert.throws(
        () => confirmDestination(new URL(origin)),
        (error) =>
          hasCode(error, 'INVALID_INPUT') && error.field === 'endpoint' && error.advice !== undefined,
      );
    });
  }

  for (const origin of ALLOWED) {
    it(`${origin} is one`, () => confirmDestination(new URL(origin)));
  }

  it('are not those that a name stands for either', async () => {
    for (const address of [
      '169.254.169.254',
      'fe80::1',
      '::ffff:169.254.169.254',
      'fd00:ec2::254',
      'fe80::1%eth0',
    ]) {
      const look = lookupDestination(knowing([{ address, family: address.includes(':') ? 6 : 4 }]));
      for (const all of [true, false]) {
        await assert.rejects(resolved(look, { all }), (error) => hasCode(error, 'INVALID_INPUT'), address);
      }
    }
  });

  it('are the other addresses of such a name: a NAS has a link-local one too', async () => {
    const usable = { address: '192.168.1.10', family: 4 };
    const look = lookupDestination(knowing([{ address: 'fe80::1', family: 6 }, usable]));
    assert.deepEqual(await resolved(look, { all: true }), [usable]);
    assert.deepEqual(await resolved(look, {}), usable);
  });

  describe('at a server that sends us on', () => {
    let server: Server;
    let url: string;
    const asked: string[] = [];

    before(async () => {
      server = createServer((request, response) => {
        asked.push(request.url ?? '');
        request.resume();
        response.writeHead(307, { location: `${url}/elsewhere/latest/meta-data/` }).end();
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    });
    after(() => {
      server.closeAllConnections();
      server.close();
    });

    it('are not the addresses it names', async () => {
      const secrets: Record<string, Record<string, string>> = {
        s3: { accessKeyId: 'AKID', secretAccessKey: 'secret' },
        b2: { applicationKeyId: '004abc', applicationKey: 'secret' },
        'azure-blob': { accountKey: Buffer.alloc(64, 1).toString('base64') },
        dropbox: { accessToken: 'token' },
      };
      for (const { id, load } of PROVIDERS) {
        if (secrets[id] === undefined) continue;
        const patience = { attempts: 1, connectTimeoutMs: 4000, silenceMs: 20_000 };
        const config = { endpoint: url, region: 'us-east-1', accountName: 'photos' };
        const account = (await load())(config, secrets[id], { patience });
        asked.length = 0;
        await assert.rejects(account.check(), (error) => error instanceof Error);
        assert.ok(asked.length > 0, id);
        assert.ok(!asked.some((path) => path.includes('meta-data')), `${id} asked ${asked.join()}`);
        await account.close();
      }
    });

    it('are none of all requests that this package sends', async () => {
      for (const environment of [{}, { HTTP_PROXY: url }]) {
        asked.length = 0;
        const client = new HttpClient({ environment });
        const request = { method: 'GET', origin: 'http://169.254.169.254', path: '/', headers: [] };
        await assert.rejects(client.send(request), (error) => hasCode(error, 'INVALID_INPUT'));
        assert.deepEqual(asked, []);
        await client.close();
      }
    });
  });
});
