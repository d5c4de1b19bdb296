import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import type { CloudSyncError } from '../../src/errors.js';
import { b2Identity, readB2Place } from '../../src/stores/b2/credential.js';
import { type B2Tuning, openB2Account } from '../../src/stores/b2.js';
import { s3Identity } from '../../src/stores/s3/identity.js';
import type { Account } from '../../src/stores/store.js';
import { contentOf, listKeys, pseudoRandomBytes, readAll, rejectsWith } from '../conformance/support.js';
import type { B2Key } from '../servers/b2/keys.js';
import { type B2Server, startB2Server } from '../servers/b2/server.js';

const BUCKET = 'photos-of-ours';

describe('B2 store', () => {
  let server: B2Server;
  const opened: Account[] = [];
  beforeEach(async () => {
    server = await startB2Server();
    server.createBucket(BUCKET);
  });
  afterEach(async () => {
    for (const account of opened.splice(0)) await account.close();
    await server.stop();
  });

  /** Opens an account as the real service is opened, only that its address is another. */
  const open = (key: B2Key, config: Record<string, unknown> = {}, tuning: B2Tuning = {}): Account => {
    const { applicationKeyId, applicationKey } = key;
    const account = openB2Account(
      config,
      { applicationKeyId, applicationKey },
      {},
      { nativeOrigin: server.url, ...tuning, retryPolicy: { baseDelayMs: 5, attempts: 3 } },
    );
    opened.push(account);
    return account;
  };

  describe('identity', () => {
    const cases: [config: Record<string, unknown>, identity: string][] = [
      [{}, 's3://s3.backblazeb2.com/b'],
      [{ region: 'us-west-004' }, 's3://s3.backblazeb2.com/b'],
      [{ endpoint: 'https://s3.eu-central-003.backblazeb2.com' }, 's3://s3.backblazeb2.com/b'],
      [{ endpoint: 'http://127.0.0.1:9000/' }, 's3://127.0.0.1:9000/b'],
    ];
    for (const [config, identity] of cases) {
      it(`of ${JSON.stringify(config)} is ${identity}`, () => {
        assert.equal(b2Identity(config, 'b'), identity);
      });
    }

    it('is that of the same bucket through an S3 credential', () => {
      const endpoint = 'https://s3.us-west-004.backblazeb2.com';
      assert.equal(s3Identity({ endpoint }, 'b'), b2Identity({}, 'b'));
      assert.equal(s3Identity({ preset: 'backblaze-b2', region: 'us-east-005' }, 'b'), b2Identity({}, 'b'));
    });
  });

  it('asks once where the service is, and not at all where that was said', async () => {
    const store = open(server.addKey()).openStore(BUCKET);
    await Promise.all(['a', 'b', 'c'].map((key) => store.write(key, contentOf(key))));
    assert.deepEqual(server.nativeRequests, ['/b2api/v3/b2_authorize_account']);
    server.nativeRequests.length = 0;
    const typed = open(server.addKey(), { endpoint: server.url }).openStore(BUCKET);
    await typed.write('a', contentOf('a'));
    assert.deepEqual(server.nativeRequests, []);
  });

  it('gives the key itself to Backblaze and to this machine alone', () => {
    const asked: [endpoint: string, origin: string | undefined][] = [
      ['', 'https://api.backblazeb2.com'],
      ['https://s3.us-west-004.backblazeb2.com', 'https://api.backblazeb2.com'],
      ['http://127.0.0.1:9000', 'http://127.0.0.1:9000'],
      ['http://[::1]:9000', 'http://[::1]:9000'],
      ['https://gateway.example.org', undefined],
      ['https://s3.backblazeb2.com.example.org', undefined],
      ['http://127.0.0.1.example.org', undefined],
      ['http://192.168.1.2:9000', undefined],
    ];
    for (const [endpoint, origin] of asked)
      assert.equal(readB2Place({ endpoint }).nativeOrigin, origin, endpoint);
  });

  it('declares what Backblaze can', () => {
    const { features } = open(server.addKey()).openStore(BUCKET);
    assert.equal(features.conditionalWrite, false);
    assert.equal(features.versions, true);
    assert.equal(features.upload.threshold, 96 * 1024 * 1024);
    assert.equal(features.upload.wantsHashFirst, 'sha1');
    assert.ok(features.names.encoding.includes('BackSlash') && features.names.encoding.includes('Ctl'));
  });

  it('never sends a condition, and still refuses where it does not hold', async () => {
    const store = open(server.addKey()).openStore(BUCKET);
    const written = await store.write('a', contentOf('one'), { ifNoneMatch: '*' });
    await rejectsWith(() => store.write('a', contentOf('two'), { ifNoneMatch: '*' }), 'PRECONDITION_FAILED');
    await rejectsWith(() => store.write('a', contentOf('two'), { ifMatch: 'other' }), 'PRECONDITION_FAILED');
    await store.write('a', contentOf('two'), { ifMatch: written.etag! });
    assert.equal((await readAll(store, 'a')).toString(), 'two');
    await rejectsWith(() => store.copy('a', 'a', { ifNoneMatch: '*' }), 'PRECONDITION_FAILED');
  });

  it('hides on delete, and removes every version where that is asked', async () => {
    const key = server.addKey();
    const store = open(key).openStore(BUCKET);
    await store.write('a', contentOf('one'));
    await store.write('a', contentOf('two'));
    await store.delete({ key: 'a' });
    assert.deepEqual(await listKeys(store), []);
    assert.equal(server.s3.objects.versions(BUCKET, 'a').length, 3);
    const account = openB2Account(
      { endpoint: server.url },
      { applicationKeyId: key.applicationKeyId, applicationKey: key.applicationKey },
      { options: { deleteVersions: true } },
    );
    opened.push(account);
    await account.openStore(BUCKET).delete({ key: 'a' });
    assert.deepEqual(server.s3.objects.versions(BUCKET, 'a'), []);
  });

  it('keeps times and the SHA-1 of large files by the names of both worlds', async () => {
    const store = open(server.addKey()).openStore(BUCKET);
    const time = 1_700_000_000_123_456_789n;
    await store.write('small', contentOf('x'), { modificationTime: time });
    assert.deepEqual(server.s3.objects.find(BUCKET, 'small')?.metadata, {
      mtime: '1700000000.123456789',
      src_last_modified_millis: '1700000000123',
    });
    assert.equal((await store.head('small'))?.modificationTime, time);
    const sha1 = 'da39a3ee5e6b4b0d3255bfef95601890afd80709';
    const bytes = pseudoRandomBytes(6 * 1024 * 1024);
    const upload = await store.createUpload('large', bytes.length, {
      partSize: bytes.length,
      hashes: { sha1 },
      modificationTime: -1_500_000_000n,
    });
    await upload.sendPart(1, contentOf(bytes));
    await upload.complete();
    assert.equal(server.s3.objects.find(BUCKET, 'large')?.metadata.large_file_sha1, sha1);
    assert.equal(server.s3.objects.find(BUCKET, 'large')?.metadata.src_last_modified_millis, '-1500');
    const large = await store.head('large');
    assert.equal(large?.claimedHashes?.sha1, sha1);
    assert.equal(large?.modificationTime, -1_500_000_000n);
    assert.deepEqual(large?.metadata, {}, 'these names are no metadata of the user');
    const changed = await store.setModificationTime(large!, time);
    assert.equal(changed.modificationTime, time);
    assert.equal((await store.head('large'))?.claimedHashes?.sha1, sha1, 'kept when the time changes');
  });

  it('believes what Backblaze says of a time that was changed there', async () => {
    const store = open(server.addKey()).openStore(BUCKET);
    const times: [metadata: Record<string, string>, time: bigint][] = [
      [{ src_last_modified_millis: '1500000000123' }, 1_500_000_000_123_000_000n],
      [
        { mtime: '1500000000.123456789', src_last_modified_millis: '1500000000123' },
        1_500_000_000_123_456_789n,
      ],
      [{ mtime: '1500000000.5', src_last_modified_millis: '1600000000000' }, 1_600_000_000_000_000_000n],
      [{ mtime: '1500000000.5', src_last_modified_millis: 'yesterday' }, 1_500_000_000_500_000_000n],
      [{ mtime: '1500000000.5' }, 1_500_000_000_500_000_000n],
    ];
    for (const [metadata, time] of times) {
      server.s3.objects.put(BUCKET, 'x', Buffer.from('x'), { metadata });
      assert.equal((await store.head('x'))?.modificationTime, time, inspect(metadata));
    }
  });

  it('compares what Backblaze has of a large file by its SHA-1, never by its ETag', async () => {
    const store = open(server.addKey()).openStore(BUCKET);
    const large_file_sha1 = '11f6ad8ec52a2984abaafd7c3b516503785c2072';
    const put = (content: string) =>
      server.s3.objects.put(BUCKET, 'x', Buffer.from(content), {
        metadata: { large_file_sha1 },
        etag: 'f'.repeat(32),
      });
    put('x');
    const object = (await store.head('x'))!;
    assert.equal(object.hashes, undefined);
    const compare = (content: string, claims: boolean) =>
      store.compareContent!(object, contentOf(content), { claims });
    assert.equal(await compare('x', true), 'equal');
    assert.equal(await compare('y', true), 'different');
    assert.equal(await compare('x', false), 'unknown');
  });

  describe('check', () => {
    it('names the account and what the key may do', async () => {
      server.createBucket('another-bucket');
      const check = await open(server.addKey()).check();
      assert.equal(check.account, server.accountId);
      assert.equal(check.bucketCount, 2);
      assert.deepEqual(check.abilities, ['list', 'read', 'write', 'delete', 'versions']);
      assert.equal(check.confinedTo, undefined);
      assert.equal(check.notes.length, 1);
      assert.match(check.notes[0]!, /hide the old version, which stays and costs/);
    });

    it('takes a key for one bucket and a prefix in it', async () => {
      const key = server.addKey({
        buckets: [BUCKET],
        prefix: 'nas/',
        capabilities: ['listBuckets', 'listFiles', 'readFiles', 'writeFiles'],
      });
      const account = open(key);
      const check = await account.check();
      assert.equal(check.bucketCount, 1);
      assert.deepEqual(check.confinedTo, { buckets: [BUCKET], prefix: 'nas/' });
      assert.deepEqual(check.abilities, ['list', 'read', 'write']);
      const words = check.notes.join('\n');
      assert.match(words, new RegExp(`for ${BUCKET} alone`));
      assert.match(words, /names that begin with "nas\/"/);
      assert.match(words, /remove no version/);
      const names = [];
      for await (const bucket of account.listBuckets()) names.push(bucket.name);
      assert.deepEqual(names, [BUCKET]);
      const store = account.openStore(BUCKET);
      await store.check();
      assert.equal(store.confinedTo, 'nas/');
      await store.write('nas/x', contentOf('x'));
      assert.deepEqual(await listKeys(store, { prefix: 'nas/' }), ['nas/x']);
      await rejectsWith(() => store.write('elsewhere', contentOf('x')), 'NO_PERMISSION');
      const other = await rejectsWith(() => account.openStore('another').check(), 'NO_PERMISSION');
      assert.match(other.message, new RegExp(`is for ${BUCKET}, not for "another"`));
    });

    it('takes a key for several buckets', async () => {
      server.createBucket('second-bucket');
      const check = await open(server.addKey({ buckets: [BUCKET, 'second-bucket'] })).check();
      assert.deepEqual(check.confinedTo, { buckets: [BUCKET, 'second-bucket'] });
      assert.deepEqual(
        server.nativeRequests.filter((path) => path.includes('authorize')),
        ['/b2api/v3/b2_authorize_account', '/b2api/v4/b2_authorize_account'],
      );
    });

    it('says what a key that only reads is good for, and when it runs out', async () => {
      const expiresAt = Date.now() + 3 * 24 * 3600_000;
      const key = server.addKey({ capabilities: ['listFiles', 'readFiles'], expiresAt });
      const words = (await open(key).check()).notes.join('\n');
      assert.match(words, /may not write: good for restore and verify alone/);
      assert.match(words, /may not list buckets/);
      assert.match(words, new RegExp(`runs out at ${new Date(expiresAt).toISOString()}`));
    });

    it('names buckets from before May 2020', async () => {
      server.createBucket('ancient-bucket', { hasS3: false });
      const account = open(server.addKey());
      assert.match((await account.check()).notes.join('\n'), /Made before May 2020 .*: ancient-bucket\./);
      const error = await rejectsWith(() => account.openStore('ancient-bucket').check(), 'NOT_SUPPORTED');
      assert.match(error.message, /"ancient-bucket" was made before May 2020/);
    });
  });

  describe('says what is wrong', () => {
    const assertWords = (error: CloudSyncError, message: RegExp, advice: RegExp, key?: B2Key) => {
      assert.match(error.message, message);
      assert.match(error.advice ?? '', advice);
      const everything = inspect(error, { depth: 10, showHidden: true });
      if (key !== undefined) assert.ok(!everything.includes(key.applicationKey), 'the key is in the error');
      assert.equal(error.retryable, false);
    };

    it('with the master key', async () => {
      for (const config of [{}, { endpoint: server.url }]) {
        const account = open(server.masterKey, config);
        const error = await rejectsWith(() => account.check(), 'WRONG_KEY');
        assertWords(error, /master application key/, /Make an application key/, server.masterKey);
        assert.equal(error.field, 'applicationKeyId');
        await rejectsWith(() => account.openStore(BUCKET).check(), 'WRONG_KEY');
      }
      // At a run, without asking Backblaze's own interface.
      const write = open(server.masterKey, { endpoint: server.url })
        .openStore(BUCKET)
        .write('x', contentOf('x'));
      assertWords(await rejectsWith(() => write, 'WRONG_KEY'), /does not know/, /master application key/);
    });

    it('with a key from before May 2020', async () => {
      const key = server.addKey({ hasS3: false });
      const error = await rejectsWith(() => open(key).check(), 'WRONG_KEY');
      assertWords(error, /valid, but it was made before May 2020/, /new application key/, key);
    });

    it('with a key that is not known, and one that does not fit', async () => {
      const known = server.addKey();
      const unknown = { ...known, applicationKeyId: '0040000000000000000000001' };
      assertWords(await rejectsWith(() => open(unknown).check(), 'WRONG_KEY'), /does not know/, /Check both/);
      const unfit = { ...known, applicationKey: 'K004something' };
      await rejectsWith(() => open(unfit).check(), 'WRONG_KEY');
      // Where the region is known, the S3 side tells which of them it is.
      const error = await rejectsWith(() => open(unfit, { endpoint: server.url }).check(), 'WRONG_SECRET');
      assertWords(
        error,
        /application key does not fit the application key ID/,
        /Type the application key/,
        unfit,
      );
      assert.equal(error.field, 'applicationKey');
    });

    it('with a missing bucket', async () => {
      const store = open(server.addKey()).openStore('missing-bucket');
      await rejectsWith(() => store.check(), 'BUCKET_NOT_FOUND');
      await rejectsWith(() => store.write('x', contentOf('x')), 'BUCKET_NOT_FOUND');
    });

    it('with caps, at once and by name', async () => {
      const store = open(server.addKey()).openStore(BUCKET);
      await store.write('x', contentOf('x'));
      server.exceededCap = 'storage';
      const storage = await rejectsWith(() => store.write('y', contentOf('y')), 'QUOTA_EXCEEDED');
      assertWords(storage, /storage cap exceeded/, /Caps & Alerts/);
      server.exceededCap = 'download';
      assertWords(
        await rejectsWith(() => readAll(store, 'x'), 'QUOTA_EXCEEDED'),
        /download bandwidth/,
        /midnight/,
      );
      await rejectsWith(() => store.head('x'), 'QUOTA_EXCEEDED');
      server.exceededCap = 'transactions';
      await rejectsWith(() => listKeys(store), 'QUOTA_EXCEEDED');
    });

    it('with the network', async () => {
      const key = server.addKey();
      const nowhere = open(key, {}, { nativeOrigin: 'http://127.0.0.1:1' });
      const error = await rejectsWith(() => nowhere.check(), 'ENDPOINT_UNREACHABLE');
      assert.match(error.message, /127\.0\.0\.1:1 refuses the connection/);
    });
  });

  it('goes on without what Backblaze says of the key where that can not be asked', async () => {
    const store = open(
      server.addKey(),
      { endpoint: server.url },
      { nativeOrigin: 'http://127.0.0.1:1' },
    ).openStore(BUCKET);
    await store.check();
    await store.write('x', contentOf('x'));
  });

  it('is waited for while it asks to go slower', async () => {
    const store = open(server.addKey()).openStore(BUCKET);
    server.s3.faults.add({ times: 2, action: { type: 'error', code: 'SlowDown', status: 503 } });
    await store.write('x', contentOf('x'));
    assert.equal((await readAll(store, 'x')).toString(), 'x');
  });
});
