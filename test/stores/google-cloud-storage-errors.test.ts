import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { inspect } from 'node:util';
import type { CloudSyncError, ErrorCode } from '../../src/errors.js';
import { openGoogleCloudStorageAccount } from '../../src/stores/google-cloud-storage.js';
import { providerById } from '../../src/stores/registry.js';
import { contentOf, listAll, rejectsWith } from '../conformance/support.js';
import {
  type GoogleCloudStorageServer,
  startGoogleCloudStorageServer,
} from '../servers/google-cloud-storage/server.js';
import { TEST_AUTHORITY, TEST_CERTIFICATE, TEST_KEY } from '../servers/test-certificate.js';
import { BUCKET, closeAll, openAt } from './google-cloud-storage-support.js';

const IMPATIENT = { tuning: { retryPolicy: { attempts: 2 } } };

describe('Google Cloud Storage errors', () => {
  let server: GoogleCloudStorageServer;
  before(async () => {
    server = await startGoogleCloudStorageServer({ port: 0 });
  });
  beforeEach(() => {
    server.buckets.clear();
    server.createBucket(BUCKET);
    server.requests.reset();
  });
  afterEach(async () => {
    server.faults.clear();
    server.denied.clear();
    server.clockOffsetMs = 0;
    server.account.isDeleted = false;
    await closeAll();
  });
  after(() => server.stop());

  const keyWith = (changes: Record<string, unknown>): string =>
    JSON.stringify({ ...(JSON.parse(server.serviceAccountKey) as object), ...changes });

  /** What the user reads: exactly these words, what to do, and never a secret. */
  const assertWords = (error: CloudSyncError, message: string, advice?: RegExp, field?: string) => {
    assert.equal(error.message, message);
    if (advice !== undefined) assert.match(error.advice ?? '', advice);
    assert.equal(error.field, field);
    const everything = inspect(error, { depth: 10, showHidden: true });
    assert.doesNotMatch(everything, /ya29\.|eyJ|BEGIN PRIVATE KEY|upload_id=(?!…)/);
  };

  describe('of what was filled in', () => {
    const refusal = (
      config: Record<string, unknown>,
      serviceAccountKey: string | undefined,
    ): CloudSyncError => {
      try {
        openGoogleCloudStorageAccount(config, { serviceAccountKey }, {});
      } catch (error) {
        return error as CloudSyncError;
      }
      assert.fail('it was taken');
    };

    it('say what is missing or damaged in the key', () => {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      for (const [key, code, message] of [
        [undefined, 'CREDENTIAL_MISSING', 'The service account key is missing'],
        [' ', 'CREDENTIAL_MISSING', 'The service account key is missing'],
        ['{"type": "service_account"', 'INVALID_INPUT', 'The service account key is not valid JSON'],
        ['[]', 'INVALID_INPUT', 'The service account key is not a JSON object'],
        ['{}', 'INVALID_INPUT', 'This is not the key of a service account'],
        [
          '{"installed": {}}',
          'INVALID_INPUT',
          'This is the login of a person or an application, not the key of a service account',
        ],
        [
          '{"type": "authorized_user"}',
          'INVALID_INPUT',
          'This is the login of a person or an application, not the key of a service account',
        ],
        [keyWith({ private_key: '' }), 'INVALID_INPUT', 'The service account key has no "private_key"'],
        [
          keyWith({ client_email: undefined }),
          'INVALID_INPUT',
          'The service account key has no "client_email"',
        ],
        [
          keyWith({ private_key: '-----BEGIN PRIVATE KEY-----\nMIIE' }),
          'INVALID_INPUT',
          'The "private_key" in the service account key is damaged',
        ],
        [
          keyWith({ private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }) }),
          'INVALID_INPUT',
          'The "private_key" in the service account key is damaged',
        ],
        [
          keyWith({ token_uri: 'nowhere' }),
          'INVALID_INPUT',
          'The "token_uri" in the service account key is not an address',
        ],
      ] as const) {
        const error = refusal({}, key);
        assert.equal(error.code, code);
        assertWords(error, message, /JSON/, 'serviceAccountKey');
      }
    });

    it('say that the endpoint or the bucket is none', () => {
      const error = refusal({ endpoint: 'https://x?y' }, server.serviceAccountKey);
      assertWords(error, 'The endpoint "https://x?y" is not an address', /https:\/\/host/, 'endpoint');
      const { account } = openAt(server);
      for (const [name, message] of [
        ['', 'The bucket is missing'],
        ['Photos', '"Photos" can\'t be the name of a bucket'],
        ['a/b', '"a/b" can\'t be the name of a bucket'],
      ] as const) {
        assert.throws(
          () => account.openStore(name),
          (thrown: CloudSyncError) => thrown.message === message && thrown.field === 'bucket',
        );
      }
    });

    it('take a key whose line ends were pasted as \\n, and an endpoint with the path of the API', async () => {
      const { private_key: pem = '' } = JSON.parse(server.serviceAccountKey) as Record<string, string>;
      const { account } = openAt(server, {
        config: { endpoint: `${server.url}/storage/v1/` },
        secrets: { serviceAccountKey: keyWith({ private_key: pem.replaceAll('\n', '\\n') }) },
      });
      assert.equal((await account.check()).bucketCount, 1);
    });

    it('tell one identity for a bucket, whichever key reaches it', () => {
      const { identity } = providerById('google-cloud-storage');
      const secrets = { serviceAccountKey: server.serviceAccountKey };
      assert.equal(identity?.({}, secrets, 'photos'), 'gs://storage.googleapis.com/photos');
      assert.equal(identity?.({}, {}, 'photos'), 'gs://storage.googleapis.com/photos');
      const { account, store } = openAt(server);
      assert.equal(account.identity, `gs://${new URL(server.url).host}`);
      assert.equal(store.identity, identity?.({ endpoint: server.url }, {}, BUCKET));
    });
  });

  describe('of the credential', () => {
    it('wrong key: a key that was replaced', async () => {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
      const { account, store } = openAt(server, {
        secrets: { serviceAccountKey: keyWith({ private_key: pem }) },
      });
      const error = await rejectsWith(() => account.check(), 'WRONG_SECRET');
      assertWords(
        error,
        `Google does not accept this key of the service account "${server.clientEmail}"`,
        /create a new one/,
        'serviceAccountKey',
      );
      await rejectsWith(() => store.write('x', contentOf('x')), 'WRONG_SECRET');
      assert.equal(server.requests.counts['objects.insert'], undefined);
    });

    it('wrong account: one that was deleted', async () => {
      server.account.isDeleted = true;
      const error = await rejectsWith(() => openAt(server).account.check(), 'WRONG_KEY');
      assertWords(
        error,
        `Google does not know the service account "${server.clientEmail}", or it is disabled`,
        /Service accounts/,
        'serviceAccountKey',
      );
    });

    it('a clock that is off is worked around, and said', async () => {
      server.clockOffsetMs = 90 * 60_000;
      const { account, store } = openAt(server);
      const { notes } = await account.check();
      assert.deepEqual(notes, [
        "The clock of this machine is 90 minutes behind Google's; requests use Google's.",
      ]);
      await store.write('x', contentOf('x'));
      assert.equal(server.requests.counts.token, 2);
    });

    it('a clock that stays wrong', async () => {
      server.faults.add({
        kind: 'token',
        action: {
          type: 'error',
          status: 400,
          body: '{"error":"invalid_grant","error_description":"Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."}',
        },
      });
      const error = await rejectsWith(() => openAt(server).account.check(), 'CLOCK_SKEW');
      assertWords(error, "This machine's clock is too far from Google's", /NTP/);
    });

    it('the token service fails for a while, and answers nonsense', async () => {
      server.faults.add({ kind: 'token', times: 2, action: { type: 'error', status: 503 } });
      const { store, retries } = openAt(server);
      await store.write('x', contentOf('x'));
      assert.deepEqual(
        retries.map(({ code }) => code),
        ['SERVER_ERROR', 'SERVER_ERROR'],
      );
      server.faults.add({ kind: 'token', action: { type: 'error', status: 200, body: '<html>Welcome' } });
      const error = await rejectsWith(() => openAt(server).account.check(), 'BAD_ANSWER');
      const { host } = new URL(server.url);
      assertWords(error, `${host} does not answer as a token service does`, /token_uri/, 'serviceAccountKey');
    });

    it('a token that expires in the middle is replaced, once', async () => {
      const { store, retries } = openAt(server);
      await store.write('a', contentOf('a'));
      server.expireTokens();
      await store.write('b', contentOf('b'));
      assert.equal(server.requests.counts.token, 2);
      assert.deepEqual(retries, []);
      server.faults.add({
        kind: 'objects.get',
        action: { type: 'error', status: 401, reason: 'authError', message: 'Invalid Credentials' },
      });
      const error = await rejectsWith(() => store.head('a'), 'CREDENTIAL_EXPIRED');
      assertWords(
        error,
        'Google Cloud Storage does not accept the access token, a fresh one neither',
        /deleted or disabled/,
        'serviceAccountKey',
      );
      assert.equal(server.requests.counts.token, 3);
    });

    it('tokens are renewed before they run out, by one request for all', async () => {
      server.tokens.lifetime = 1;
      const { store } = openAt(server);
      await Promise.all(Array.from({ length: 20 }, (_, index) => store.head(String(index))));
      assert.equal(server.requests.counts.token, 1);
      await new Promise((resolve) => setTimeout(resolve, 600));
      server.tokens.lifetime = 3600;
      await Promise.all(Array.from({ length: 20 }, (_, index) => store.head(String(index))));
      await store.head('x');
      assert.equal(server.requests.counts.token, 2);
      assert.ok(server.requests.log.every(({ status }) => status !== 401));
    });

    it('may not list buckets, which is no fault; or knows no project', async () => {
      server.denied.add('storage.buckets.list');
      const check = await openAt(server).account.check();
      assert.deepEqual(check, {
        account: server.clientEmail,
        notes: ['This service account may not list buckets, which is no fault: type the name of the bucket.'],
      });
      const nameless = openAt(server, { secrets: { serviceAccountKey: keyWith({ project_id: undefined }) } });
      assert.match((await nameless.account.check()).notes[0]!, /names no project/);
      const error = await rejectsWith(() => nameless.account.createBucket('new-photos'), 'INVALID_INPUT');
      assertWords(error, 'To create a bucket the project has to be known', /project id/, 'projectId');
    });
  });

  describe('of requests', () => {
    it('permissions are named', async () => {
      const { store } = openAt(server);
      await store.write('x', contentOf('x'));
      for (const [permission, action, message] of [
        ['storage.objects.list', () => listAll(store), `list the objects in the bucket "photos"`],
        ['storage.objects.get', () => store.head('x'), 'look at: "x" in the bucket "photos"'],
        ['storage.objects.get', () => store.open('x', {}), 'read: "x" in the bucket "photos"'],
        [
          'storage.objects.create',
          () => store.write('x', contentOf('y')),
          'write: "x" in the bucket "photos"',
        ],
        ['storage.objects.delete', () => store.delete({ key: 'x' }), 'delete: "x" in the bucket "photos"'],
        [
          'storage.objects.update',
          async () => store.setModificationTime((await store.head('x'))!, 1n),
          'change the metadata of: "x" in the bucket "photos"',
        ],
      ] as const) {
        server.denied.add(permission);
        const error = await rejectsWith(action, 'NO_PERMISSION');
        const words = `The service account "${server.clientEmail}" may not ${message} (${permission})`;
        // Opening sends two requests at once: either may be heard first.
        if (message.startsWith('read')) assert.match(error.message, /storage\.objects\.get/);
        else assertWords(error, words, /Storage Object Admin/);
        server.denied.clear();
      }
    });

    it('a key without delete writes new objects, reads and lists', async () => {
      server.denied.add('storage.objects.delete').add('storage.buckets.get').add('storage.buckets.list');
      const { store } = openAt(server);
      await store.check();
      await store.write('new', contentOf('x'));
      assert.equal((await listAll(store)).length, 1);
      await rejectsWith(() => store.write('new', contentOf('y')), 'NO_PERMISSION');
      const [outcome] = await store.deleteMany([{ key: 'new' }, { key: 'other' }]);
      assert.equal(outcome?.error?.code, 'NO_PERMISSION');
    });

    it('buckets', async () => {
      const { account } = openAt(server);
      const missing = account.openStore('nobody-has-this');
      for (const action of [
        () => missing.check(),
        () => listAll(missing),
        () => missing.head('x'),
        () => missing.open('x'),
        () => missing.write('x', contentOf('x')),
        () => missing.createUpload('x', 1),
        () => missing.delete({ key: 'x' }),
        () => missing.deleteMany([{ key: 'x' }, { key: 'y' }]),
        () => missing.copy('x', 'y'),
      ]) {
        const error = await rejectsWith(action, 'BUCKET_NOT_FOUND');
        assertWords(error, 'There is no bucket "nobody-has-this"', /create it first/);
      }
      assertWords(
        await rejectsWith(() => account.createBucket(BUCKET), 'ALREADY_EXISTS'),
        'The bucket "photos" exists already, and is yours',
      );
      Object.assign(server.createBucket('taken'), { project: 'someone-else' });
      assertWords(
        await rejectsWith(() => account.createBucket('taken'), 'ALREADY_EXISTS'),
        'The bucket name "taken" is taken',
        /choose another/,
      );
      assertWords(
        await rejectsWith(() => account.createBucket('new-photos', { region: 'moon' }), 'INVALID_INPUT'),
        'Google Cloud Storage has no such location',
        /EU/,
        'region',
      );
    });

    it('storage classes, names, holds, retention, requester pays', async () => {
      const { store } = openAt(server);
      assertWords(
        await rejectsWith(
          () => store.write('x', contentOf('x'), { storageClass: 'GLACIER' }),
          'INVALID_INPUT',
        ),
        'Google Cloud Storage has no such storage class',
        /STANDARD, NEARLINE, COLDLINE or ARCHIVE/,
        'storageClass',
      );
      await rejectsWith(() => store.write('a\nb', contentOf('x')), 'INVALID_NAME');
      await rejectsWith(() => store.write('x\ud800', contentOf('x')), 'INVALID_NAME');
      await store.write('x', contentOf('x'));
      const bucket = server.buckets.get(BUCKET)!;
      bucket.retentionSeconds = 1000;
      for (const action of [() => store.write('x', contentOf('y')), () => store.delete({ key: 'x' })]) {
        assertWords(
          await rejectsWith(action, 'NO_PERMISSION'),
          'A retention policy protects "x"',
          /retention time/,
        );
      }
      bucket.retentionSeconds = 0;
      bucket.live('x')!.temporaryHold = true;
      const [held] = await store.deleteMany([{ key: 'x' }, { key: 'y' }]);
      assertWords(held!.error!, 'A hold protects "x"', /released/);
      bucket.requesterPays = true;
      assertWords(
        await rejectsWith(() => store.head('x'), 'NO_PERMISSION'),
        'The requester pays for the bucket "photos", which is not supported',
        /Requester pays/,
      );
    });

    it('each status and reason by its meaning', async () => {
      const cases: [number, string, string, ErrorCode, string][] = [
        [403, 'rateLimitExceeded', 'Slow', 'RATE_LIMITED', 'Google Cloud Storage asks to go slower'],
        [403, 'userRateLimitExceeded', 'Slow', 'RATE_LIMITED', 'Google Cloud Storage asks to go slower'],
        [429, 'rateLimitExceeded', 'Slow', 'RATE_LIMITED', 'Google Cloud Storage asks to go slower'],
        [403, 'quotaExceeded', 'x', 'QUOTA_EXCEEDED', 'A quota of the project is used up'],
        [403, 'dailyLimitExceeded', 'x', 'QUOTA_EXCEEDED', 'The quota of the project for today is used up'],
        [
          403,
          'accountDisabled',
          'The billing account for the owning project is disabled in state absent',
          'NO_PERMISSION',
          'The billing account of the project is closed or missing',
        ],
        [
          403,
          'accessNotConfigured',
          'Cloud Storage JSON API has not been used in project 1 before or it is disabled.',
          'NO_PERMISSION',
          'The Cloud Storage API is switched off in the project',
        ],
        [412, 'conditionNotMet', 'x', 'PRECONDITION_FAILED', '"x" is not as the condition asks'],
        [500, 'backendError', 'x', 'SERVER_ERROR', 'Google Cloud Storage failed on its side (backendError)'],
        [503, 'backendError', 'x', 'RATE_LIMITED', 'Google Cloud Storage asks to go slower'],
        [408, 'uploadBrokenConnection', 'x', 'TIMEOUT', 'The server waited too long for data'],
        [413, 'uploadTooLarge', 'x', 'NOT_SUPPORTED', '"x" is larger than the 5 TiB an object may have'],
        [
          400,
          'invalid',
          'Token ya29.a0Secret is odd',
          'INVALID_INPUT',
          'Google Cloud Storage refuses to write: Token … is odd',
        ],
      ];
      for (const [status, reason, message, code, words] of cases) {
        const { store } = openAt(server, IMPATIENT);
        server.faults.add({ kind: 'objects.insert', action: { type: 'error', status, reason, message } });
        assertWords(await rejectsWith(() => store.write('x', contentOf('x')), code), words);
        server.faults.clear();
      }
    });

    it('a page of something else is no listing, and no answer', async () => {
      const { store, account } = openAt(server, IMPATIENT);
      server.faults.add({
        action: { type: 'error', status: 200, body: '<html>Welcome to the hotel</html>' },
        kind: ['objects.list', 'objects.get', 'buckets.list'],
      });
      for (const action of [() => listAll(store), () => store.head('x'), () => account.check()]) {
        const error = await rejectsWith(action, 'BAD_ANSWER');
        assert.equal(error.message, 'The server does not answer as Google Cloud Storage does');
      }
      server.faults.clear();
      server.faults.add({ kind: 'objects.list', action: { type: 'error', status: 200, body: '{}' } });
      const error = await rejectsWith(() => listAll(store), 'BAD_ANSWER');
      assert.equal(error.message, 'The answer to a listing is no listing');
    });

    it('no network, and nobody there', async () => {
      const probe = createServer();
      await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
      const { port } = probe.address() as AddressInfo;
      await new Promise((resolve) => probe.close(resolve));
      const unreachable = openAt(server, { ...IMPATIENT, config: { endpoint: `http://127.0.0.1:${port}` } });
      assertWords(
        await rejectsWith(() => unreachable.store.check(), 'ENDPOINT_UNREACHABLE'),
        `127.0.0.1:${port} refuses the connection (ECONNREFUSED)`,
        /host and port/,
      );
      const nowhere = openAt(server, { ...IMPATIENT, config: { endpoint: 'http://nowhere.invalid' } });
      assertWords(
        await rejectsWith(() => nowhere.store.check(), 'ENDPOINT_UNREACHABLE'),
        "The name nowhere.invalid can't be resolved",
        /DNS/,
      );
    });

    it('TLS with a private authority', async () => {
      const secure = await startGoogleCloudStorageServer({
        port: 0,
        tls: { cert: TEST_CERTIFICATE, key: TEST_KEY },
        buckets: [BUCKET],
      });
      try {
        await rejectsWith(() => openAt(secure, IMPATIENT).account.check(), 'TLS_FAILURE');
        const trusting = openAt(secure, { config: { caCertificate: TEST_AUTHORITY } });
        assert.equal((await trusting.account.check()).bucketCount, 1);
      } finally {
        await closeAll();
        await secure.stop();
      }
    });
  });
});
