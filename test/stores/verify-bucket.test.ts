import assert from 'node:assert/strict';
import { RESERVED_PREFIX } from '../../src/engine/location.js';
import { openB2Account } from '../../src/stores/b2.js';
import { openMemoryStore } from '../../src/stores/memory.js';
import { openS3Account } from '../../src/stores/s3.js';
import type { Store } from '../../src/stores/store.js';
import { type BucketReport, verifyBucket } from '../../src/stores/verify-bucket.js';
import { contentOf, rejectsWith } from '../conformance/support.js';
import { startB2Server } from '../servers/b2/server.js';
import { type Ceph, startCeph } from '../servers/ceph.js';
import { denyOperations } from '../servers/s3/credentials.js';
import { type S3Request, type S3Server, startS3Server } from '../servers/s3/server.js';
import { BUCKET, closeAll, openAt } from './s3-support.js';

const verify = (store: Store, folder?: string): Promise<BucketReport> =>
  verifyBucket(store, {
    reservedPrefix: RESERVED_PREFIX,
    ...(folder === undefined ? {} : { folder }),
  });

const EVERYTHING = { pushCopy: true, pushSync: true, restore: true, verify: true };

describe('Verify bucket', () => {
  let server: S3Server;
  beforeEach(async () => {
    server = await startS3Server({ port: 0, buckets: [BUCKET] });
  });
  afterEach(async () => {
    await closeAll();
    await server.stop();
  });

  const allow = (allows: (request: S3Request) => boolean) => {
    server.credentials.get(server.accessKeyId)!.allows = allows;
  };
  const keysLeft = (): string[] => [...server.objects.bucket(BUCKET).keys.values()].map(({ key }) => key);

  /** What others have in the bucket is as it was, and nothing asked for its content. */
  const assertUntouched = () => {
    assert.equal(server.objects.bytes(BUCKET, 'theirs').toString(), 'precious');
    assert.equal(server.objects.versions(BUCKET, 'theirs').length, 1);
    const others = server.requests.log.filter(
      ({ key, operation }) =>
        key !== '' && !key.includes('.node-red-cloud-sync/probe-') && operation !== 'HeadObject',
    );
    assert.deepEqual(others, []);
  };
  const putTheirs = () => {
    server.objects.put(BUCKET, 'theirs', Buffer.from('precious'));
    server.requests.reset();
  };

  it('finds that everything works, and leaves nothing', async () => {
    putTheirs();
    const report = await verify(openAt(server).store);
    assert.deepEqual(report, {
      abilities: {
        list: 'yes',
        read: 'yes',
        readRange: 'yes',
        readCondition: 'yes',
        write: 'yes',
        writeCondition: 'yes',
        times: 'yes',
        delete: 'yes',
        versions: 'unknown',
        deleteVersions: 'unknown',
      },
      uses: EVERYTHING,
      notes: ['This key may list, read, write and delete here: every kind of task works.'],
      leftovers: [],
    });
    assert.deepEqual(keysLeft(), ['theirs']);
    assertUntouched();
  });

  it('says what a key without delete is good for, and what it left', async () => {
    putTheirs();
    allow(denyOperations('DeleteObject', 'DeleteObjects'));
    const report = await verify(openAt(server).store);
    assert.equal(report.abilities.delete, 'no');
    assert.deepEqual(report.uses, { ...EVERYTHING, pushSync: false });
    assert.match(report.notes[0]!, /may write but not delete: fine for push copy, restore and verify/);
    assert.equal(report.leftovers.length, 1);
    assert.match(report.notes.at(-1)!, /could not be removed: \.node-red-cloud-sync\/probe-/);
    assertUntouched();
  });

  it('says what a key that only reads is good for, and writes nothing', async () => {
    putTheirs();
    allow(denyOperations('PutObject', 'DeleteObject', 'DeleteObjects'));
    const report = await verify(openAt(server).store);
    assert.equal(report.abilities.write, 'no');
    assert.equal(report.abilities.read, 'yes');
    assert.deepEqual(report.uses, { pushCopy: false, pushSync: false, restore: true, verify: true });
    assert.match(report.notes[0]!, /list and read but not write: fine for restore and verify/);
    assert.deepEqual(keysLeft(), ['theirs']);
    assertUntouched();
  });

  it('says that nothing works without listing, and without reading', async () => {
    allow(denyOperations('ListObjectsV2', 'ListObjectVersions'));
    const blind = await verify(openAt(server).store);
    assert.equal(blind.abilities.list, 'no');
    assert.deepEqual(blind.uses, { pushCopy: false, pushSync: false, restore: false, verify: false });
    assert.match(blind.notes[0]!, /may not list the bucket/);
    assert.deepEqual(keysLeft(), []);
    allow(denyOperations('GetObject', 'HeadObject'));
    const mute = await verify(openAt(server).store);
    assert.equal(mute.abilities.read, 'no');
    assert.equal(mute.uses.restore, false);
    assert.match(mute.notes[0]!, /may write but not read/);
  });

  it("probes in the task's folder where the key may only write there", async () => {
    putTheirs();
    allow((request) => {
      if (request.key === '') return request.query.get('prefix')?.startsWith('nas/photos/') === true;
      return request.key.startsWith('nas/photos/');
    });
    const report = await verify(openAt(server).store, 'nas/photos');
    assert.deepEqual(report.uses, EVERYTHING);
    const written = server.requests.log.filter(
      ({ operation, status }) => operation === 'PutObject' && status === 200,
    );
    assert.ok(written.length > 0);
    assert.ok(written.every(({ key }) => key.startsWith('nas/photos/.node-red-cloud-sync/probe-')));
    assert.deepEqual(keysLeft(), ['theirs']);
  });

  it("removes its own versions and markers, and nobody else's", async () => {
    server.objects.bucket(BUCKET).versioning = 'Enabled';
    putTheirs();
    const report = await verify(openAt(server).store);
    assert.equal(report.abilities.versions, 'yes');
    assert.equal(report.abilities.deleteVersions, 'yes');
    assert.match(report.notes[1]!, /keeps old versions: .* lifecycle rule of the bucket or deleteVersions/);
    assert.deepEqual(keysLeft(), ['theirs']);
    assertUntouched();
  });

  it('says where versions are kept and can not be removed, by the key or for a lock', async () => {
    server.objects.bucket(BUCKET).versioning = 'Enabled';
    putTheirs();
    allow((request) => !(request.operation === 'DeleteObject' && request.query.has('versionId')));
    const report = await verify(openAt(server).store);
    assert.deepEqual(report.uses, EVERYTHING);
    assert.equal(report.abilities.deleteVersions, 'no');
    assert.match(report.notes[1]!, /may not remove them \(or a lock forbids it\)/);
    assert.equal(report.leftovers.length, 1);
    assert.deepEqual(server.objects.keys(BUCKET), ['theirs'], 'hidden at least');
  });

  it('warns of a server that ignores conditions', async () => {
    server.faults.add({ action: { type: 'ignore-conditions' } });
    const report = await verify(openAt(server).store);
    assert.equal(report.abilities.writeCondition, 'no');
    assert.match(report.notes.join('\n'), /ignores the conditions of writes/);
    const known = await verify(openAt(server, { config: { preset: 'garage' } }).store);
    assert.equal(known.abilities.writeCondition, 'unknown');
    assert.equal(known.notes.length, 1);
  });

  it('warns of a server whose listing lags behind, and of one that keeps no times', async () => {
    server.faults.add({
      operation: 'ListObjectsV2',
      action: { type: 'list', change: (page) => void page.items.splice(0) },
    });
    const late = await verify(openAt(server).store);
    assert.equal(late.abilities.list, 'no');
    assert.match(late.notes.join('\n'), /does not show what was written just before/);
    server.faults.clear();
    server.faults.add({
      operation: 'HeadObject',
      action: { type: 'edit-answer', edit: (answer) => void delete answer.headers['x-amz-meta-mtime'] },
    });
    const timeless = await verify(openAt(server).store);
    assert.equal(timeless.abilities.times, 'no');
    assert.match(timeless.notes.join('\n'), /does not keep modification times/);
  });

  it('warns of a server that gives back other bytes', async () => {
    server.faults.add({ operation: 'GetObject', action: { type: 'corrupt-response', offset: 3 } });
    const report = await verify(openAt(server).store);
    assert.equal(report.abilities.read, 'no');
    assert.match(report.notes.join('\n'), /must not be used/);
  });

  it('throws what makes the bucket unusable, and still cleans up', async () => {
    const { account } = openAt(server);
    await rejectsWith(() => verify(account.openStore('not-there')), 'BUCKET_NOT_FOUND');
    await rejectsWith(
      () => verify(openAt(server, { secrets: { secretAccessKey: 'wrong' } }).store),
      'WRONG_SECRET',
    );
    server.faults.add({
      operation: 'GetObject',
      action: { type: 'error', code: 'QuotaExceeded', status: 403 },
    });
    await rejectsWith(() => verify(openAt(server).store), 'QUOTA_EXCEEDED');
    assert.deepEqual(keysLeft(), []);
  });

  it('cleans up after an abort', async () => {
    const controller = new AbortController();
    server.faults.add({
      operation: 'GetObject',
      action: { type: 'edit-answer', edit: () => controller.abort() },
    });
    const { store } = openAt(server);
    await rejectsWith(
      () => verifyBucket(store, { reservedPrefix: RESERVED_PREFIX, signal: controller.signal }),
      'ABORTED',
    );
    assert.deepEqual(keysLeft(), []);
  });

  it('works for other stores: in memory, versioned or not', async () => {
    for (const versioned of [false, true]) {
      const store = openMemoryStore({ versioned });
      await store.write('theirs', contentOf('precious'));
      assert.deepEqual((await verify(store)).uses, EVERYTHING);
      const keys: string[] = [];
      for await (const page of store.list({ versions: versioned })) keys.push(...page.map(({ key }) => key));
      assert.deepEqual(keys, ['theirs']);
    }
  });

  it("finds that everything works at Ceph's gateway, versioned or not", async function () {
    this.timeout(90_000);
    const ceph = await startCeph();
    if (ceph === undefined) {
      console.warn('      NOT TESTED: Ceph is not installed');
      this.skip();
    }
    const config = { endpoint: ceph.url, region: ceph.region };
    const secrets = { accessKeyId: ceph.accessKeyId, secretAccessKey: ceph.secretAccessKey };
    const account = openS3Account(config, secrets, {});
    try {
      const name = ceph.bucketName();
      await account.createBucket(name);
      const report = await verify(account.openStore(name));
      assert.deepEqual(report.uses, EVERYTHING);
      assert.equal(report.abilities.writeCondition, 'yes');
      assert.equal(report.notes.length, 1, report.notes.join('\n'));
      assert.deepEqual(report.leftovers, []);
      await enableVersions(ceph, name);
      const versioned = await verify(account.openStore(name));
      assert.equal(versioned.abilities.deleteVersions, 'yes');
      assert.deepEqual(versioned.leftovers, []);
      for await (const page of account.openStore(name).list({ versions: true })) assert.deepEqual(page, []);
    } finally {
      await account.close();
      await ceph.stop();
    }
  });

  it('stays below the prefix a Backblaze key is confined to, and names the bucket it is for', async () => {
    const b2 = await startB2Server();
    b2.createBucket(BUCKET);
    const { applicationKeyId, applicationKey } = b2.addKey({ buckets: [BUCKET], prefix: 'nas/' });
    const account = openB2Account({ endpoint: b2.url }, { applicationKeyId, applicationKey }, {});
    try {
      const report = await verify(account.openStore(BUCKET));
      assert.deepEqual(report.uses, EVERYTHING);
      assert.equal(report.abilities.writeCondition, 'unknown');
      assert.equal(report.abilities.deleteVersions, 'yes');
      assert.equal(b2.s3.objects.bucket(BUCKET).keys.size, 0);
      const written = b2.s3.requests.log.filter(({ operation }) => operation === 'PutObject');
      assert.ok(written.every(({ key }) => key.startsWith('nas/.node-red-cloud-sync/probe-')));
      const other = await rejectsWith(() => verify(account.openStore('other-bucket')), 'NO_PERMISSION');
      assert.match(other.message, /is for photos, not for "other-bucket"/);
    } finally {
      await account.close();
      await b2.stop();
    }
  });
});

/** Through a client that isn't ours: turning versions on is nothing a store offers. */
async function enableVersions(ceph: Ceph, bucket: string): Promise<void> {
  const { PutBucketVersioningCommand, S3Client } = await import('@aws-sdk/client-s3');
  const client = new S3Client({
    endpoint: ceph.url,
    region: ceph.region,
    forcePathStyle: true,
    credentials: { accessKeyId: ceph.accessKeyId, secretAccessKey: ceph.secretAccessKey },
  });
  await client.send(
    new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }),
  );
  client.destroy();
}
