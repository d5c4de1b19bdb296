/** Azure Blob Storage against azurite, Microsoft's emulator, straight and through a proxy that does harm. */

import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import {
  AccountSASPermissions,
  AccountSASResourceTypes,
  AccountSASServices,
  BlobServiceClient,
  ContainerSASPermissions,
  generateAccountSASQueryParameters,
  generateBlobSASQueryParameters,
  newPipeline,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import { CloudSyncError, type ErrorCode } from '../../src/errors.js';
import { choosePartSize } from '../../src/stores/azure-blob/upload.js';
import { openAzureBlobAccount } from '../../src/stores/azure-blob.js';
import { providerById } from '../../src/stores/registry.js';
import type { Account, AccountContext, Store, StoredObject } from '../../src/stores/store.js';
import { type BucketReport, verifyBucket } from '../../src/stores/verify-bucket.js';
import {
  closing,
  collect,
  contentOf,
  listAll,
  md5,
  pseudoRandomBytes,
  readAll,
  streamedContent,
} from '../conformance/support.js';
import { type Azurite, startAzurite } from '../servers/azurite.js';
import { type FaultProxy, type LoggedRequest, startFaultProxy } from '../servers/fault-proxy.js';

const MIB = 1024 * 1024;
const HOUR_MS = 3600_000;
const TIME = 1_700_000_000_123_456_789n;
/** Repeats at once: no test waits for a back-off. */
const QUICK = { retry: { attempts: 5, baseDelayMs: 1, maxDelayMs: 5, maxRetryAfterMs: 60_000 } };

describe('Azure Blob Storage', function () {
  this.timeout(60_000);
  let azurite: Azurite;
  let proxy: FaultProxy;
  let vendor: BlobServiceClient;
  let containers = 0;
  const opened: Account[] = [];

  before(async () => {
    azurite = await startAzurite();
    proxy = await startFaultProxy(azurite.endpoint);
    vendor = new BlobServiceClient(
      `${azurite.endpoint}/${azurite.accountName}`,
      newPipeline(sharedKey(), { retryOptions: { maxTries: 1 } }),
    );
  });
  after(async () => {
    await proxy?.stop();
    await azurite?.stop();
  });
  afterEach(async () => {
    proxy.rule = undefined;
    for (const account of opened.splice(0)) await account.close();
  });

  const sharedKey = () => new StorageSharedKeyCredential(azurite.accountName, azurite.accountKey);

  interface Way {
    endpoint?: string;
    accountName?: string;
    accountKey?: string;
    sasToken?: string;
    context?: AccountContext;
    silenceMs?: number;
  }

  const openAccount = (way: Way = {}): Account => {
    const secrets =
      way.sasToken === undefined
        ? { accountKey: way.accountKey ?? azurite.accountKey }
        : { sasToken: way.sasToken };
    const account = openAzureBlobAccount(
      { accountName: way.accountName ?? azurite.accountName, endpoint: way.endpoint ?? proxy.endpoint },
      secrets,
      way.context ?? {},
      way.silenceMs === undefined ? QUICK : { ...QUICK, silenceMs: way.silenceMs },
    );
    opened.push(account);
    return account;
  };

  /** A new container, seen through the proxy; the log is empty when this returns. */
  const newStore = async (way: Way = {}): Promise<{ store: Store; name: string }> => {
    containers += 1;
    const name = `test-${containers}`;
    await vendor.getContainerClient(name).create();
    proxy.requests.length = 0;
    return { store: openAccount(way).openStore(name), name };
  };

  const accountSas = (permissions: string, expiresInMs = HOUR_MS): string =>
    generateAccountSASQueryParameters(
      {
        services: AccountSASServices.parse('b').toString(),
        resourceTypes: AccountSASResourceTypes.parse('sco').toString(),
        permissions: AccountSASPermissions.parse(permissions),
        startsOn: new Date(Date.now() - 24 * HOUR_MS),
        expiresOn: new Date(Date.now() + expiresInMs),
      },
      sharedKey(),
    ).toString();

  const containerSas = (containerName: string, permissions: string, expiresInMs = HOUR_MS): string =>
    generateBlobSASQueryParameters(
      {
        containerName,
        permissions: ContainerSASPermissions.parse(permissions),
        expiresOn: new Date(Date.now() + expiresInMs),
      },
      sharedKey(),
    ).toString();

  /** `action` fails with exactly this; nothing secret stands anywhere in the error. */
  const failsWith = async (
    action: () => Promise<unknown> | unknown,
    code: ErrorCode,
    message: string | RegExp,
    secrets: readonly string[] = [],
  ): Promise<CloudSyncError> => {
    let error: unknown;
    try {
      await action();
    } catch (caught) {
      error = caught;
    }
    assert.ok(error instanceof CloudSyncError, `no error of ours: ${inspect(error)}`);
    assert.equal(error.code, code, error.message);
    if (typeof message === 'string') assert.equal(error.message, message);
    else assert.match(error.message, message);
    const everything = inspect(error, { depth: 10 });
    for (const secret of [azurite.accountKey, ...secrets]) {
      assert.ok(!everything.includes(secret), `a secret stands in the error: ${everything}`);
      assert.ok(!everything.includes(encodeURIComponent(secret)), 'a secret stands in the error');
    }
    return error;
  };

  describe('a credential', () => {
    it('that is right says the account and counts its containers', async () => {
      await newStore();
      const check = await openAccount().check();
      assert.equal(check.account, azurite.accountName);
      assert.ok(check.bucketCount! >= 1);
      assert.deepEqual(check.notes, []);
    });

    it('lists and makes containers', async () => {
      const account = openAccount();
      await account.createBucket('made-here');
      const names: string[] = [];
      for await (const bucket of account.listBuckets()) names.push(bucket.name);
      assert.ok(names.includes('made-here'));
      await failsWith(
        () => account.createBucket('made-here'),
        'ALREADY_EXISTS',
        'There is a container "made-here" already',
      );
      await failsWith(
        () => account.createBucket('Not_Allowed'),
        'INVALID_NAME',
        'A container can\'t be named "Not_Allowed"',
      );
    });

    it('with the wrong key says so', async () => {
      const wrong = Buffer.alloc(64, 7).toString('base64');
      const error = await failsWith(
        () => openAccount({ accountKey: wrong }).check(),
        'WRONG_SECRET',
        'The account key does not fit the storage account "devstoreaccount1"',
        [wrong],
      );
      assert.equal(error.field, 'accountKey');
      assert.match(error.advice!, /Access keys/);
      assert.equal(proxy.requests.at(-1)?.method, 'GET');
    });

    it('that is not whole is refused before anything is sent', async () => {
      proxy.requests.length = 0;
      const missing = await failsWith(
        () => openAzureBlobAccount({ accountName: 'photos' }, {}, {}),
        'CREDENTIAL_MISSING',
        'Neither an account key nor a SAS token is given',
      );
      assert.equal(missing.field, 'accountKey');
      await failsWith(
        () => openAccount({ accountKey: azurite.accountKey.slice(0, -3) }),
        'WRONG_SECRET',
        'The account key is not complete: it is no Base64',
      );
      await failsWith(
        () => openAccount({ sasToken: 'sv=2021-12-02&sp=r' }),
        'INVALID_INPUT',
        'The SAS token is not complete: it has no signature or version',
      );
      await failsWith(
        () => openAzureBlobAccount({ accountName: 'Photos.blob' }, { accountKey: 'eA==' }, {}),
        'INVALID_INPUT',
        '"Photos.blob" can\'t be the name of a storage account',
      );
      assert.equal(proxy.requests.length, 0);
    });

    it('for another account says so', async () => {
      const error = await failsWith(
        () => openAccount({ accountName: 'nosuchaccount' }).check(),
        'WRONG_KEY',
        'There is no storage account "nosuchaccount" here',
      );
      assert.equal(error.field, 'accountName');
    });

    it('that is a SAS of the account works, and tells when it ends', async () => {
      const check = await openAccount({ sasToken: `?${accountSas('rwdlac')}` }).check();
      assert.ok(check.bucketCount! >= 1);
      assert.match(check.notes[0]!, /^The SAS token runs out at 20\d\d-.*Z\.$/);
    });

    it('that is a SAS that ran out says so', async () => {
      const sas = accountSas('rwdlac', -HOUR_MS);
      const signature = new URLSearchParams(sas).get('sig')!;
      const error = await failsWith(
        () => openAccount({ sasToken: sas }).check(),
        'CREDENTIAL_EXPIRED',
        /^The SAS token ran out at 20\d\d-.*Z$/,
        [signature],
      );
      assert.equal(error.field, 'sasToken');
    });

    it('that is a SAS Azure calls out of its time says so, with the end that Azure names', async () => {
      const { name } = await newStore();
      const sas = containerSas(name, 'racwdl');
      proxy.rule = () =>
        refusal(
          403,
          'AuthenticationFailed',
          'Server failed to authenticate the request.',
          'Signature not valid in the specified time frame: Start [Thu, 01 Jan 2026 00:00:00 GMT] - Expiry [Fri, 02 Jan 2026 00:00:00 GMT] - Current [Sat, 03 Jan 2026 00:00:00 GMT]',
        );
      await failsWith(
        () => openAccount({ sasToken: sas }).openStore(name).check(),
        'CREDENTIAL_EXPIRED',
        'The SAS token ran out at 2026-01-02T00:00:00.000Z',
        [new URLSearchParams(sas).get('sig')!],
      );
    });

    it('that is a SAS for one container is valid, and does all a store does', async () => {
      const { name } = await newStore();
      const account = openAccount({ sasToken: containerSas(name, 'racwdl') });
      const check = await account.check();
      assert.equal(check.bucketCount, undefined);
      assert.equal(check.notes[0], 'This SAS token is for one container: type its name, it is checked then.');
      const store = account.openStore(name);
      await store.check();
      await store.write('a b', contentOf('x'), { modificationTime: TIME });
      await store.copy('a b', 'copy');
      const upload = await store.createUpload('parts', 2 * MIB, { partSize: MIB });
      await upload.sendPart(1, contentOf(pseudoRandomBytes(MIB)));
      await upload.sendPart(2, contentOf(pseudoRandomBytes(MIB)));
      await upload.complete();
      assert.deepEqual(
        (await listAll(store)).map((entry) => entry.key),
        ['a b', 'copy', 'parts'],
      );
      const outcomes = await store.deleteMany([{ key: 'a b' }, { key: 'copy' }, { key: 'parts' }]);
      assert.ok(outcomes.every((outcome) => outcome.error === undefined));
      assert.deepEqual(await listAll(store), []);
    });

    it('that may only read is refused what it may not', async () => {
      const { name } = await newStore();
      const sas = containerSas(name, 'rl');
      const store = openAccount({ sasToken: sas }).openStore(name);
      await store.check();
      const error = await failsWith(
        () => store.write('a', contentOf('x')),
        'NO_PERMISSION',
        /^The credential may not do this|^The storage account "devstoreaccount1" does not allow this request/,
        [new URLSearchParams(sas).get('sig')!],
      );
      assert.match(error.advice!, /permissions/);
    });

    it('says what it may do, and a bucket tried with it says what that is good for', async () => {
      const { name } = await newStore();
      const cases: [permissions: string, abilities: string[], uses: Partial<BucketReport['uses']>][] = [
        ['racwdl', ['list', 'read', 'write', 'delete'], { pushSync: true, restore: true }],
        ['racwl', ['list', 'read', 'write'], { pushSync: false, pushCopy: true, restore: true }],
        ['rl', ['list', 'read'], { pushCopy: false, restore: true, verify: true }],
      ];
      for (const [permissions, abilities, uses] of cases) {
        const account = openAccount({ sasToken: containerSas(name, permissions) });
        assert.deepEqual((await account.check()).abilities, abilities);
        const report = await verifyBucket(account.openStore(name), {
          reservedPrefix: '.node-red-cloud-sync/',
        });
        for (const [use, isGood] of Object.entries(uses)) {
          assert.equal(report.uses[use as keyof typeof uses], isGood, `${permissions}: ${use}`);
        }
        assert.equal(report.leftovers.length, permissions === 'racwl' ? 1 : 0, permissions);
      }
      const all = await openAccount().check();
      assert.deepEqual(all.abilities, ['list', 'read', 'write', 'delete', 'versions']);
    });

    it('is told when the clock of this machine is off, and goes on with the time of the server', async () => {
      const late = new Date(Date.now() + 2 * HOUR_MS).toUTCString();
      let refused = 0;
      proxy.rule = (request) => {
        const asked = Date.parse(String(request.headers['x-ms-date']));
        if (Math.abs(asked - Date.parse(late)) < 15 * 60_000) return { answerHeaders: { date: late } };
        refused += 1;
        return refusal(403, 'AuthenticationFailed', 'Server failed to authenticate the request.', '', {
          date: late,
        });
      };
      const check = await openAccount().check();
      assert.equal(refused, 1);
      assert.deepEqual(check.notes, [
        "The clock of this machine is 120 minutes behind Azure's; requests are signed with Azure's.",
      ]);
    });

    it('is CLOCK_SKEW where even that does not help', async () => {
      const late = new Date(Date.now() - 20 * 60_000).toUTCString();
      proxy.rule = () =>
        refusal(
          403,
          'AuthenticationFailed',
          'Server failed to authenticate the request.',
          'Request date header too old',
          { date: late },
        );
      const error = await failsWith(
        () => openAccount().check(),
        'CLOCK_SKEW',
        "The clock of this machine is 20 minutes ahead of Azure's",
      );
      assert.match(error.advice!, /NTP/);
    });
  });

  describe('an endpoint', () => {
    it('may name the account, or leave it out', () => {
      const identity = (endpoint: string) =>
        providerById('azure-blob').identity!({ accountName: 'photos', endpoint }, {}, 'backup');
      assert.equal(identity(''), 'azure-blob://photos.blob.core.windows.net/backup');
      assert.equal(
        identity('https://photos.blob.core.windows.net/'),
        'azure-blob://photos.blob.core.windows.net/backup',
      );
      assert.equal(
        identity('https://blob.core.chinacloudapi.cn'),
        'azure-blob://photos.blob.core.chinacloudapi.cn/backup',
      );
      for (const endpoint of ['http://127.0.0.1:10000', 'http://127.0.0.1:10000/photos/']) {
        assert.equal(identity(endpoint), 'azure-blob://photos.127.0.0.1:10000/backup');
      }
      assert.throws(() => identity('ftp://photos'), /The endpoint is no http or https address/);
      assert.equal(
        openAccount().openStore('backup').identity,
        providerById('azure-blob').identity!(
          { accountName: azurite.accountName, endpoint: proxy.endpoint },
          {},
          'backup',
        ),
      );
    });

    it('where nobody listens is ENDPOINT_UNREACHABLE', async () => {
      const error = await failsWith(
        () => openAccount({ endpoint: 'http://127.0.0.1:1' }).check(),
        'ENDPOINT_UNREACHABLE',
        /^127\.0\.0\.1:1 refuses the connection \(ECONNREFUSED\)$/,
      );
      assert.ok(error.advice);
    });

    it('whose name is unknown points at the account', async () => {
      const error = await failsWith(
        () => openAccount({ accountName: 'nosuch', endpoint: 'http://blob.invalid:1' }).check(),
        'ENDPOINT_UNREACHABLE',
        'There is no storage account "nosuch", or the network is down: the name nosuch.blob.invalid:1 can\'t be resolved',
      );
      assert.equal(error.field, 'accountName');
    });

    it('that does not speak TLS is TLS_FAILURE', async () => {
      await failsWith(
        () => openAccount({ endpoint: proxy.endpoint.replace('http:', 'https:') }).check(),
        'TLS_FAILURE',
        /^No secure connection to 127\.0\.0\.1:\d+/,
      );
    });

    it('that is something else is named', async () => {
      proxy.rule = () => ({ answer: { status: 200, body: '<html>hello</html>' } });
      const error = await failsWith(
        () => openAccount().check(),
        'BAD_ANSWER',
        'This is no Azure Blob Storage',
      );
      assert.equal(error.field, 'endpoint');
    });

    it('without the container says so, with the names of both', async () => {
      const store = openAccount().openStore('not-there');
      const message = 'There is no container "not-there" in the storage account "devstoreaccount1"';
      for (const action of [
        () => store.check(),
        () => listAll(store),
        () => store.head('a'),
        () => store.write('a', contentOf('x')),
        () => store.delete({ key: 'a' }),
      ]) {
        const error = await failsWith(action, 'BUCKET_NOT_FOUND', message);
        assert.ok(error.advice);
      }
      const outcomes = await store.deleteMany([{ key: 'a' }, { key: 'b' }]);
      assert.deepEqual(
        outcomes.map((outcome) => outcome.error?.message),
        [message, message],
      );
    });
  });

  describe('under trouble', () => {
    it('waits as Azure asks and goes on, counting each request', async () => {
      const requests: Record<string, number> = {};
      const retries: string[] = [];
      const { store } = await newStore({
        context: {
          onRequest: (kind) => {
            requests[kind] = (requests[kind] ?? 0) + 1;
          },
          onRetry: (error, attempt) => retries.push(`${error.code} ${attempt} ${error.retryAfterMs}`),
        },
      });
      proxy.rule = (_, index) =>
        index < 3 ? refusal(503, 'ServerBusy', 'The server is busy.', '', { 'retry-after': '0' }) : undefined;
      await store.write('a', contentOf('x'));
      assert.deepEqual(requests, { PUT: 4 });
      assert.deepEqual(retries, ['RATE_LIMITED 1 0', 'RATE_LIMITED 2 0', 'RATE_LIMITED 3 0']);
      assert.equal((await readAll(store, 'a')).toString(), 'x');
    });

    it('gives up after as many attempts as the policy says', async () => {
      const { store } = await newStore();
      proxy.rule = () => refusal(429, 'TooManyRequests', 'Too many requests.');
      const error = await failsWith(
        () => store.write('a', contentOf('x')),
        'RATE_LIMITED',
        'Azure asks to go slower',
      );
      assert.equal(error.path, 'a');
      assert.equal(proxy.requests.length, 5);
    });

    it('repeats requests about containers, by the same policy', async () => {
      const account = openAccount();
      proxy.requests.length = 0;
      proxy.rule = (_, index) =>
        index < 2 ? refusal(500, 'InternalError', 'The server encountered an internal error.') : undefined;
      await account.createBucket('repeated');
      assert.deepEqual(
        proxy.requests.map(({ method, url }) => `${method} ${url}`),
        Array.from({ length: 3 }, () => 'PUT /devstoreaccount1/repeated?restype=container'),
      );
    });

    it('notices an upload that was changed on its way, and sends it again', async () => {
      const retries: string[] = [];
      const { store } = await newStore({ context: { onRetry: (error) => retries.push(error.message) } });
      const bytes = pseudoRandomBytes(2 * MIB);
      proxy.rule = once((request) => request.method === 'PUT', { corruptRequest: true });
      await store.write('whole', contentOf(bytes));
      assert.ok((await readAll(store, 'whole')).equals(bytes));

      const upload = await store.createUpload('parts', 2 * MIB, { partSize: MIB });
      proxy.rule = once((request) => request.url.includes('comp=block&'), { corruptRequest: true });
      await upload.sendPart(1, streamedContent(bytes.subarray(0, MIB)));
      await upload.sendPart(2, streamedContent(bytes.subarray(MIB)));
      await upload.complete();
      assert.ok((await readAll(store, 'parts')).equals(bytes));
      assert.deepEqual(retries, [
        'The bytes that arrived for "whole" are not those that were sent',
        'The bytes that arrived for "parts" are not those that were sent',
      ]);
    });

    it('never stores an upload that is changed every time', async () => {
      const { store, name } = await newStore();
      proxy.rule = () => ({ corruptRequest: true });
      await failsWith(
        () => store.write('a', contentOf('content')),
        'CHECKSUM_MISMATCH',
        'The bytes that arrived for "a" are not those that were sent',
      );
      assert.equal(await vendor.getContainerClient(name).getBlobClient('a').exists(), false);
    });

    it('notices a download that was changed on its way, and asks for that range alone again', async () => {
      const { store } = await newStore();
      const bytes = pseudoRandomBytes(9 * MIB);
      await store.write('a', contentOf(bytes));
      const opened = await store.open('a');
      proxy.requests.length = 0;
      proxy.rule = once((request) => String(request.headers.range).startsWith('bytes=4194304-'), {
        corruptAnswer: true,
      });
      await closing(opened, async () => assert.ok((await collect(opened.read())).equals(bytes)));
      assert.deepEqual(proxy.requests.map((request) => request.headers.range).sort(), [
        'bytes=4194304-8388607',
        'bytes=4194304-8388607',
        'bytes=8388608-9437183',
      ]);
    });

    it('takes up a download that was cut off, and never hands on less', async () => {
      const { store } = await newStore();
      const bytes = pseudoRandomBytes(3 * MIB);
      await store.write('a', contentOf(bytes));
      for (const cutAnswerAfter of [0, 1, MIB]) {
        proxy.rule = once((request) => request.method === 'GET', { cutAnswerAfter });
        assert.ok((await readAll(store, 'a')).equals(bytes));
      }
      proxy.rule = () => ({ cutAnswerAfter: MIB });
      await failsWith(() => readAll(store, 'a'), 'CONNECTION_LOST', /^The connection to 127/);
    });

    it('takes a listing that was cut off for no listing', async () => {
      const { store } = await newStore();
      for (const key of ['a', 'b', 'c']) await store.write(key, contentOf(key));
      proxy.rule = once((request) => request.url.includes('comp=list'), {
        answer: { status: 200, body: '<?xml version="1.0"?><EnumerationResults><Blobs><Blob><Name>a</Name>' },
      });
      assert.equal((await listAll(store)).length, 3);
    });

    it('knows its own write again when the answer was lost', async () => {
      const { store } = await newStore();
      proxy.rule = once((request) => request.method === 'PUT', { loseAnswer: true });
      const written = await store.write('a', contentOf('x'), { ifNoneMatch: '*', modificationTime: TIME });
      assert.equal((await store.head('a'))?.etag, written.etag);

      proxy.rule = once((request) => request.method === 'PUT', { loseAnswer: true });
      const touched = await store.setModificationTime(written, TIME + 1n);
      assert.equal(touched.modificationTime, TIME + 1n);

      const upload = await store.createUpload('parts', MIB, { ifNoneMatch: '*' });
      await upload.sendPart(1, contentOf(pseudoRandomBytes(MIB)));
      proxy.rule = once((request) => request.url.includes('comp=blocklist'), { loseAnswer: true });
      await upload.complete();

      proxy.rule = once((request) => request.method === 'DELETE', { loseAnswer: true });
      await store.delete({ key: 'a', ifMatch: touched.etag! });
      assert.equal(await store.head('a'), undefined);
      // What another program wrote is not taken for ours, also when our own first attempt got no answer.
      await store.write('b', contentOf('theirs'));
      proxy.rule = once((request) => request.method === 'PUT', { loseAnswer: true });
      await failsWith(
        () => store.write('b', contentOf('ours'), { ifNoneMatch: '*' }),
        'PRECONDITION_FAILED',
        'There is a blob "b" already',
      );
    });

    it('gives up a request on which nothing moves', async () => {
      const retries: string[] = [];
      const { store } = await newStore({
        silenceMs: 300,
        context: { onRetry: (error) => retries.push(error.code) },
      });
      proxy.rule = once(() => true, { stall: true });
      await store.write('a', contentOf('x'));
      assert.deepEqual(retries, ['TIMEOUT']);
    });

    it('stops a request that is under way when the signal fires', async () => {
      const { store } = await newStore();
      proxy.rule = () => ({ stall: true });
      const controller = new AbortController();
      const writing = store.write('a', contentOf('x'), { signal: controller.signal });
      setTimeout(() => controller.abort(), 50);
      const started = performance.now();
      await failsWith(() => writing, 'ABORTED', 'Stopped before the end');
      assert.ok(performance.now() - started < 1000);
    });

    it('says what a lease, a policy or a quota forbids', async () => {
      const { store } = await newStore();
      for (const [status, azureCode, code, message] of [
        [412, 'LeaseIdMissing', 'NO_PERMISSION', 'Another program holds a lease on the blob "a"'],
        [
          409,
          'BlobImmutableDueToPolicy',
          'NO_PERMISSION',
          'An immutability policy or legal hold protects the blob "a"',
        ],
        [409, 'AccountLimitExceeded', 'QUOTA_EXCEEDED', 'The storage account "devstoreaccount1" is full'],
        [
          403,
          'KeyBasedAuthenticationNotPermitted',
          'NO_PERMISSION',
          'The storage account "devstoreaccount1" does not accept account keys',
        ],
        [
          403,
          'AuthorizationFailure',
          'NO_PERMISSION',
          'The storage account "devstoreaccount1" does not allow this request (Not allowed.)',
        ],
        [400, 'SomethingNew', 'BAD_ANSWER', 'Azure does not take the request (400): Not allowed.'],
      ] as const) {
        proxy.rule = () => refusal(status, azureCode, 'Not allowed.\nRequestId:1\nTime:2');
        proxy.requests.length = 0;
        await failsWith(() => store.write('a', contentOf('x')), code, message);
        assert.equal(proxy.requests.length, 1, `${azureCode} was asked again`);
      }
    });
  });

  describe('a listing', () => {
    it('brings times, hashes and metadata, so that no file needs a request of its own', async () => {
      const requests: string[] = [];
      const { store } = await newStore({ context: { onRequest: (kind) => requests.push(kind) } });
      for (let index = 0; index < 30; index++) {
        await store.write(`folder/${index}`, contentOf(`content ${index}`), {
          modificationTime: TIME + BigInt(index),
          metadata: { owner: 'Jürgen' },
        });
      }
      requests.length = 0;
      const entries = await listAll(store, { prefix: 'folder/' });
      assert.deepEqual(requests, ['LIST']);
      assert.equal(entries.length, 30);
      for (const entry of entries) {
        const index = Number(entry.key.slice(7));
        assert.equal(entry.modificationTime, TIME + BigInt(index));
        assert.equal(entry.claimedHashes?.md5, md5(`content ${index}`));
        assert.equal(entry.metadata?.owner, 'Jürgen');
      }
    });

    it('shows times as rclone writes them, whatever the zone', async () => {
      const { store, name } = await newStore();
      const container = vendor.getContainerClient(name);
      await container.getBlockBlobClient('zone').upload('x', 1, {
        metadata: { Mtime: '2023-11-14T23:13:20.123456789+01:00' },
      });
      await container.getBlockBlobClient('short').upload('x', 1, {
        metadata: { mtime: '2023-11-14T22:13:20.5Z' },
      });
      await container.getBlockBlobClient('none').upload('x', 1);
      const [none, short, zone] = await listAll(store);
      assert.equal(zone?.modificationTime, TIME);
      assert.equal(short?.modificationTime, 1_700_000_000_500_000_000n);
      assert.equal(none?.modificationTime, BigInt(none!.storedTime!) * 1_000_000n);
      await store.write('ours', contentOf('x'), { modificationTime: TIME });
      const properties = await container.getBlobClient('ours').getProperties();
      assert.equal(properties.metadata?.mtime, '2023-11-14T22:13:20.123456789Z');
    });

    it('tells folders from files by their metadata, not by their name alone', async () => {
      const { store, name } = await newStore();
      const container = vendor.getContainerClient(name);
      await container.getBlockBlobClient('lake').upload('', 0, { metadata: { hdi_isfolder: 'true' } });
      await container.getBlockBlobClient('marker/').upload('', 0);
      await container.getBlockBlobClient('file').upload('', 0);
      await container.getBlockBlobClient('full').upload('x', 1, { metadata: { hdi_isfolder: 'true' } });
      assert.deepEqual(
        (await listAll(store)).map((entry) => entry.key),
        ['file', 'full'],
      );
      const all = await listAll(store, { folders: true });
      assert.deepEqual(
        all.map((entry) => `${entry.kind} ${entry.key} ${entry.orderKey ?? ''}`),
        ['file file ', 'file full ', 'folder lake ', 'folder marker marker/'],
      );
    });

    it('is the store as it was at a moment, where Azure keeps versions', async () => {
      const { store } = await newStore();
      await failsWith(
        () => listAll(store, { asOf: Date.now() }),
        'NOT_SUPPORTED',
        'This storage account keeps no versions of its blobs',
      );
      // Azurite has no versions: the page is written by the documentation of List Blobs.
      proxy.rule = (request) =>
        request.url.includes('include=metadata%2Cversions')
          ? {
              answer: {
                status: 200,
                body: versionsPage([
                  ['a', '2026-01-01T10:00:00.1234567Z', false, 1],
                  ['a', '2026-01-02T10:00:00.1234567Z', false, 2],
                  ['a', '2026-01-03T10:00:00.1234567Z', true, 3],
                  ['gone', '2026-01-01T10:00:00.0000000Z', false, 4],
                  ['new', '2026-01-03T10:00:00.0000000Z', true, 5],
                ]),
              },
            }
          : undefined;
      await store.check();
      assert.equal(store.features.versions, true);
      assert.equal(store.features.modificationTime.change, 'none');
      await failsWith(
        () => store.setModificationTime({ key: 'a', kind: 'file', size: 1 }, TIME),
        'NOT_SUPPORTED',
        'This storage account keeps versions: a change of the time would make another one',
      );
      const sizes = (entries: StoredObject[]) => entries.map((entry) => `${entry.key} ${entry.size}`);
      assert.deepEqual(sizes(await listAll(store, { asOf: Date.parse('2026-01-02T12:00:00Z') })), [
        'a 2',
        'gone 4',
      ]);
      assert.deepEqual(sizes(await listAll(store, { asOf: Date.parse('2025-12-31T00:00:00Z') })), []);
      const versions = await listAll(store, { versions: true });
      assert.deepEqual(
        versions.map((entry) => `${entry.key} ${entry.size} ${entry.isLatest}`),
        ['a 3 true', 'a 2 false', 'a 1 false', 'gone 4 false', 'new 5 true'],
      );
      proxy.requests.length = 0;
      await store.open('a', { versionId: versions[1]!.versionId! }).catch(() => {});
      assert.match(proxy.requests[0]!.url, /versionid=2026-01-02T10%3A00%3A00\.1234567Z/);
    });
  });

  describe('hashes', () => {
    it('are proof where the service computed them, claims where the client said them', async () => {
      const { store, name } = await newStore();
      const container = vendor.getContainerClient(name);
      await store.write('whole', contentOf('content'));
      const whole = await store.head('whole');
      assert.equal(whole?.hashes?.md5, md5('content'));
      assert.equal(whole?.claimedHashes, undefined);

      const blob = container.getBlockBlobClient('lie');
      await blob.stageBlock(Buffer.from('1').toString('base64'), 'other!!', 7);
      await blob.commitBlockList([Buffer.from('1').toString('base64')], {
        blobHTTPHeaders: { blobContentMD5: Buffer.from(md5('content'), 'hex') },
      });
      const lie = await store.head('lie');
      assert.equal(lie?.hashes, undefined);
      assert.equal(lie?.claimedHashes?.md5, md5('content'));
      for (const entry of await listAll(store)) assert.equal(entry.hashes, undefined);
      // What is stored can be read, and is not what was claimed.
      proxy.requests.length = 0;
      assert.equal((await readAll(store, 'lie')).toString(), 'other!!');
      assert.ok(proxy.requests.length <= 2);
    });

    it('of a range are never taken for those of the blob', async () => {
      const { store, name } = await newStore();
      const blob = vendor.getContainerClient(name).getBlockBlobClient('none');
      await blob.stageBlock(Buffer.from('1').toString('base64'), 'content', 7);
      await blob.commitBlockList([Buffer.from('1').toString('base64')]);
      await store.write('whole', contentOf('content'));
      for (const firstRead of [undefined, { offset: 2, length: 3 }]) {
        const way = firstRead === undefined ? {} : { firstRead };
        const none = await store.open('none', way);
        assert.deepEqual([none.object.hashes, none.object.claimedHashes], [undefined, undefined]);
        const whole = await store.open('whole', way);
        assert.equal(whole.object.claimedHashes?.md5, md5('content'));
        await none.close();
        await whole.close();
      }
    });

    it('of uploads in parts are kept for other programs', async () => {
      const { store, name } = await newStore();
      const bytes = pseudoRandomBytes(2 * MIB);
      const upload = await store.createUpload('a', bytes.length, { partSize: MIB });
      await upload.sendPart(1, contentOf(bytes.subarray(0, MIB)));
      await upload.sendPart(2, contentOf(bytes.subarray(MIB)));
      await upload.complete({ hashes: { md5: md5(bytes) } });
      const properties = await vendor.getContainerClient(name).getBlobClient('a').getProperties();
      assert.equal(Buffer.from(properties.contentMD5!).toString('hex'), md5(bytes));
    });
  });

  describe('uploads in blocks', () => {
    it('fit 190 TiB into 50,000 blocks, and stay small as long as they can', () => {
      assert.equal(choosePartSize(20 * MIB, undefined), 8 * MIB);
      assert.equal(choosePartSize(20 * MIB, 100 * MIB), 100 * MIB);
      for (const size of [400 * 1024 * MIB, 5 * 1024 * 1024 * MIB, 50_000 * 4000 * MIB]) {
        const partSize = choosePartSize(size, undefined);
        assert.ok(Math.ceil(size / partSize) <= 50_000, `${size}: ${partSize}`);
        assert.ok(partSize <= 4000 * MIB);
      }
      assert.throws(() => choosePartSize(50_000 * 4000 * MIB + 1, undefined), CloudSyncError);
    });

    it('take the chunk size of the task', async () => {
      const { store } = await newStore({ context: { options: { chunkSize: 100 } } });
      assert.equal((await store.createUpload('a', 1000 * MIB)).state.partSize, 100 * MIB);
    });

    it('send a part that is larger than what is held in memory, read twice', async () => {
      const { store } = await newStore();
      const bytes = pseudoRandomBytes(20 * MIB);
      const upload = await store.createUpload('a', bytes.length, { partSize: 20 * MIB });
      await upload.sendPart(1, streamedContent(bytes));
      await upload.complete();
      assert.ok((await readAll(store, 'a')).equals(bytes));
    });

    it('refuse a part that changes between its two readings', async () => {
      const { store } = await newStore();
      let readings = 0;
      const content = {
        size: 17 * MIB,
        async *read() {
          readings += 1;
          yield Buffer.alloc(17 * MIB, readings);
        },
      };
      const upload = await store.createUpload('a', content.size, { partSize: content.size });
      await failsWith(
        () => upload.sendPart(1, content),
        'CHANGED',
        'The content is another one than a moment ago',
      );
      assert.equal(readings, 2);
    });

    it('go on beside the blocks of another program, whatever the length of its ids', async () => {
      for (const length of [64, 20, 6]) {
        const { store, name } = await newStore();
        const foreign = vendor.getContainerClient(name).getBlockBlobClient('a');
        await foreign.stageBlock(Buffer.alloc(length, 'f').toString('base64'), 'foreign', 7);
        const bytes = pseudoRandomBytes(2 * MIB);
        const upload = await store.createUpload('a', bytes.length, { partSize: MIB });
        await upload.sendPart(1, contentOf(bytes.subarray(0, MIB)));
        const resumed = await store.resumeUpload(JSON.parse(JSON.stringify(upload.state)));
        for await (const part of resumed.arrived()) {
          assert.equal(part.number, 1);
          resumed.keepPart(part);
        }
        await resumed.sendPart(2, contentOf(bytes.subarray(MIB)));
        await resumed.complete();
        assert.ok((await readAll(store, 'a')).equals(bytes), `ids of ${length} bytes`);
      }
    });

    it('say so where the ids of another program are too short to share', async () => {
      const { store, name } = await newStore();
      const foreign = vendor.getContainerClient(name).getBlockBlobClient('a');
      await foreign.stageBlock(Buffer.from('1').toString('base64'), 'foreign', 7);
      const upload = await store.createUpload('a', MIB);
      const error = await failsWith(
        () => upload.sendPart(1, contentOf(pseudoRandomBytes(MIB))),
        'ALREADY_EXISTS',
        'Another program has begun to upload this file and left blocks that keep ours out',
      );
      assert.match(error.advice!, /after a week/);
      await upload.abort();
      assert.equal((await foreign.getBlockList('uncommitted')).uncommittedBlocks?.length, 1);
    });

    it('bring the hashes of the blocks that have arrived', async () => {
      const { store } = await newStore();
      const bytes = pseudoRandomBytes(3 * MIB);
      const upload = await store.createUpload('a', bytes.length, { partSize: MIB });
      await upload.sendPart(3, contentOf(bytes.subarray(2 * MIB)));
      await upload.sendPart(1, contentOf(pseudoRandomBytes(MIB, 5)));
      await upload.sendPart(1, contentOf(bytes.subarray(0, MIB)));
      const resumed = await store.resumeUpload(JSON.parse(JSON.stringify(upload.state)));
      const parts = [];
      for await (const part of resumed.arrived()) parts.push(part);
      // Part 1 is there twice, and nothing tells which is meant: it is sent again.
      assert.deepEqual(parts, [{ number: 3, size: MIB, hashes: { md5: md5(bytes.subarray(2 * MIB)) } }]);
    });

    it('write a large object that is handed over at once in blocks, or not at all', async () => {
      const { store } = await newStore();
      const bytes = pseudoRandomBytes(18 * MIB);
      await store.write('a', streamedContent(bytes), { modificationTime: TIME });
      assert.ok((await readAll(store, 'a')).equals(bytes));
      assert.equal((await store.head('a'))?.modificationTime, TIME);
      const veto = async () => {
        throw new CloudSyncError('CHANGED', 'the file changed');
      };
      await failsWith(
        () => store.write('b', streamedContent(bytes), { beforeCommit: veto }),
        'CHANGED',
        'the file changed',
      );
      const pending = [];
      for await (const upload of store.pendingUploads('')) pending.push(upload);
      assert.deepEqual(pending, []);
    });
  });

  describe('tiers', () => {
    it('are those of the task, and of Azure in the listing', async () => {
      const { store } = await newStore({ context: { options: { storageClass: 'cool' } } });
      await store.write('task', contentOf('x'));
      await store.write('own', contentOf('x'), { storageClass: 'Cold' });
      const [own, task] = await listAll(store);
      assert.equal(task?.storageClass, 'Cool');
      assert.equal(own?.storageClass, 'Cold');
      const copied = await store.copy('own', 'copy');
      assert.equal(copied.storageClass, 'Cold');
      assert.equal((await store.head('copy'))?.storageClass, 'Cold');
      await store.setModificationTime(task!, TIME);
      assert.equal((await store.head('task'))?.storageClass, 'Cool');
    });

    it('that Azure does not know are the fault of storageClass', async () => {
      const { store } = await newStore();
      const error = await failsWith(
        () => store.write('a', contentOf('x'), { storageClass: 'GLACIER' }),
        'INVALID_INPUT',
        'Azure does not know this access tier',
      );
      assert.equal(error.field, 'storageClass');
    });

    it('of archived blobs: read, overwritten and copied only after a thaw', async () => {
      const { store } = await newStore();
      await store.write('ice', contentOf('ice'), { storageClass: 'Archive' });
      const [listed] = await listAll(store);
      assert.equal(listed?.archive, 'frozen');
      const message = 'The blob "ice" is in the archive tier';
      const error = await failsWith(() => store.open('ice'), 'ARCHIVED', message);
      assert.match(error.advice!, /15 hours/);
      await failsWith(() => store.write('ice', contentOf('new')), 'ARCHIVED', message);
      await store.thaw('ice', { tier: 'Cool High', days: 3 });
      // The emulator thaws at once.
      const thawed = await store.head('ice');
      assert.equal(thawed?.archive, undefined);
      assert.equal(thawed?.storageClass, 'Cool');
      assert.equal((await readAll(store, 'ice')).toString(), 'ice');
      await store.thaw('ice', {});
      assert.equal((await store.head('ice'))?.storageClass, 'Cool', 'a blob that can be read was moved');
      await failsWith(() => store.thaw('absent', {}), 'NOT_FOUND', 'There is no blob "absent"');
    });

    it('of blobs on their way back are told, and not asked again', async () => {
      const { store } = await newStore();
      await store.write('ice', contentOf('ice'), { storageClass: 'Archive' });
      proxy.rule = (request) =>
        request.method === 'HEAD'
          ? { answerHeaders: { 'x-ms-archive-status': 'rehydrate-pending-to-hot' } }
          : undefined;
      assert.equal((await store.head('ice'))?.archive, 'thawing');
      proxy.requests.length = 0;
      await store.thaw('ice', {});
      assert.deepEqual(
        proxy.requests.map((request) => request.method),
        ['HEAD'],
      );
    });

    it('do not keep archived blobs from being deleted', async () => {
      const { store } = await newStore();
      await store.write('ice', contentOf('ice'), { storageClass: 'Archive' });
      await store.delete({ key: 'ice' });
      assert.equal(await store.head('ice'), undefined);
    });
  });

  describe('deleting', () => {
    it('takes snapshots along', async () => {
      const { store, name } = await newStore();
      await store.write('a', contentOf('x'));
      await vendor.getContainerClient(name).getBlobClient('a').createSnapshot();
      await store.delete({ key: 'a' });
      assert.equal(await store.head('a'), undefined);
    });

    it('needs one request for 256 blobs', async () => {
      const { store } = await newStore();
      for (let index = 0; index < 20; index++) await store.write(`${index}`, contentOf('x'));
      proxy.requests.length = 0;
      const keys = Array.from({ length: 256 }, (_, index) => ({ key: `${index}` }));
      const outcomes = await store.deleteMany(keys);
      assert.ok(outcomes.every((outcome) => outcome.error === undefined));
      assert.equal(proxy.requests.length, 1);
      assert.deepEqual(await listAll(store), []);
    });

    it('goes on one by one where the account takes no batches', async () => {
      const { store } = await newStore();
      for (const key of ['a', 'b', 'c']) await store.write(key, contentOf('x'));
      proxy.rule = (request) =>
        request.method === 'POST'
          ? refusal(409, 'FeatureNotSupportedByAccount', 'This operation is not supported.')
          : undefined;
      const outcomes = await store.deleteMany([{ key: 'a' }, { key: 'b' }, { key: 'c' }]);
      assert.deepEqual(outcomes, [{ key: 'a' }, { key: 'b' }, { key: 'c' }]);
      assert.deepEqual(await listAll(store), []);
    });
  });

  it('gives the stored bytes, whatever encoding they are said to have', async () => {
    const { store, name } = await newStore();
    const packed = gzipSync('unpacked');
    await vendor
      .getContainerClient(name)
      .getBlockBlobClient('packed')
      .upload(packed, packed.length, { blobHTTPHeaders: { blobContentEncoding: 'gzip' } });
    assert.ok((await readAll(store, 'packed')).equals(packed));
  });

  it('removes every version where the task says so', async () => {
    const { store } = await newStore({ context: { options: { deleteVersions: true } } });
    await store.write('a', contentOf('x'));
    proxy.rule = (request) =>
      request.url.includes('versions')
        ? {
            answer: {
              status: 200,
              body: versionsPage([
                ['a', '2026-01-01T10:00:00.0000000Z', false, 1],
                ['a', '2026-01-02T10:00:00.0000000Z', false, 2],
                ['a-other', '2026-01-02T10:00:00.0000000Z', true, 2],
              ]),
            },
          }
        : undefined;
    proxy.requests.length = 0;
    await store.delete({ key: 'a' });
    assert.deepEqual(
      proxy.requests.map(
        ({ method, url }) => `${method} ${new URL(url, 'http://x').searchParams.get('versionid') ?? ''}`,
      ),
      ['DELETE ', 'GET ', 'DELETE 2026-01-01T10:00:00.0000000Z', 'DELETE 2026-01-02T10:00:00.0000000Z'],
    );
  });

  it('promises no order where the account has a hierarchical namespace, and marks folders as that does', async () => {
    const { store } = await newStore();
    proxy.rule = (request) =>
      request.url.includes('restype=account')
        ? { answerHeaders: { 'x-ms-is-hns-enabled': 'true' } }
        : undefined;
    assert.equal(store.features.order, 'utf8');
    await store.check();
    assert.equal(store.features.order, 'none');
    await store.createFolder('folder');
    const [marker] = await listAll(store, { folders: true });
    assert.deepEqual([marker?.kind, marker?.key, marker?.orderKey], ['folder', 'folder', undefined]);
    await store.deleteFolder('folder');
    assert.deepEqual(await listAll(store, { folders: true }), []);
  });

  it('takes only names that Azure can hold', async () => {
    const { store } = await newStore();
    proxy.requests.length = 0;
    await failsWith(
      () => store.write('x'.repeat(1025), contentOf('x')),
      'NAME_TOO_LONG',
      'The name has 1025 characters, Azure allows 1024',
    );
    await failsWith(
      () => store.write(`${'a/'.repeat(254)}x`, contentOf('x')),
      'NAME_TOO_LONG',
      'The name has 255 folders, Azure allows 254',
    );
    await failsWith(
      () => store.write('a/../b', contentOf('x')),
      'INVALID_NAME',
      'Azure can\'t hold a folder or file named ".."',
    );
    assert.equal(proxy.requests.length, 0);
    await store.write('\u00e9'.repeat(1024), contentOf('x'));
    assert.equal((await listAll(store)).length, 1);
  });
});

/** An answer as Azure refuses: https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2 */
function refusal(
  status: number,
  azureCode: string,
  message: string,
  detail = '',
  headers: Record<string, string> = {},
) {
  const extra = detail === '' ? '' : `<AuthenticationErrorDetail>${detail}</AuthenticationErrorDetail>`;
  return {
    answer: {
      status,
      headers: { 'x-ms-error-code': azureCode, 'content-type': 'application/xml', ...headers },
      body: `<?xml version="1.0" encoding="utf-8"?><Error><Code>${azureCode}</Code><Message>${message}</Message>${extra}</Error>`,
    },
  };
}

/** The fault for the first request that matches, and none for the others. */
function once(
  matches: (request: LoggedRequest) => boolean,
  fault: import('../servers/fault-proxy.js').Fault,
) {
  let done = false;
  return (request: LoggedRequest) => {
    if (done || !matches(request)) return undefined;
    done = true;
    return fault;
  };
}

function versionsPage(versions: [key: string, id: string, current: boolean, size: number][]): string {
  const blobs = versions.map(
    ([key, id, current, size]) =>
      `<Blob><Name>${key}</Name><VersionId>${id}</VersionId>${current ? '<IsCurrentVersion>true</IsCurrentVersion>' : ''}` +
      `<Properties><Last-Modified>Thu, 01 Jan 2026 10:00:00 GMT</Last-Modified><Etag>0x1</Etag>` +
      `<Content-Length>${size}</Content-Length></Properties><Metadata /></Blob>`,
  );
  return `<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>${blobs.join('')}</Blobs><NextMarker /></EnumerationResults>`;
}
