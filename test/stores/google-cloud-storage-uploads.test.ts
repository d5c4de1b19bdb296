import assert from 'node:assert/strict';
import { partContent } from '../../src/stores/parts.js';
import type { Store, Upload, UploadState } from '../../src/stores/store.js';
import {
  contentOf,
  md5,
  pseudoRandomBytes,
  readAll,
  rejectsWith,
  streamedContent,
  until,
} from '../conformance/support.js';
import {
  type GoogleCloudStorageServer,
  startGoogleCloudStorageServer,
} from '../servers/google-cloud-storage/server.js';
import { BUCKET, closeAll, openAt } from './google-cloud-storage-support.js';

const KIB = 1024;
const STEP = 256 * KIB;
const TIME = 1_700_000_000_123_456_789n;

describe('Google Cloud Storage uploads', function () {
  this.timeout(30_000);
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
    await closeAll();
  });
  after(() => server.stop());

  const SIZE = 4 * STEP + 12_345;
  const PART = STEP;
  let bytes: Buffer;
  before(() => {
    bytes = pseudoRandomBytes(SIZE, 21);
  });

  const begin = (store: Store, options = {}) =>
    store.createUpload('large', SIZE, { partSize: PART, modificationTime: TIME, ...options });
  const sendFrom = async (upload: Upload, first: number, content = contentOf(bytes)) => {
    for (let number = first; number <= upload.partCount; number += 1) {
      await upload.sendPart(number, partContent(upload, content, number));
    }
  };
  const sentBytes = () =>
    server.requests.log
      .filter(({ kind }) => kind === 'session.put')
      .reduce((sum, request) => sum + request.bodyBytes, 0);
  /** As the journal of a run keeps it: written at the beginning, read by another process. */
  const frozen = (state: UploadState) => JSON.parse(JSON.stringify(state)) as UploadState;

  it('send every byte once and are checked as a whole', async () => {
    const { store } = openAt(server);
    for (const content of [contentOf(bytes), streamedContent(bytes, 50_000)]) {
      server.requests.reset();
      const upload = await begin(store);
      await sendFrom(upload, 1, content);
      const finished = await upload.complete();
      assert.equal(finished.hashes?.md5, md5(bytes));
      assert.equal(sentBytes(), SIZE);
      assert.deepEqual(server.requests.counts, {
        ...(server.requests.counts.token === undefined ? {} : { token: 1 }),
        'session.start': 1,
        'session.put': 5,
      });
      assert.equal((await store.head('large'))?.modificationTime, TIME);
    }
  });

  it('of sizes around the steps of the service', async () => {
    const { store } = openAt(server);
    for (const size of [0, 1, STEP - 1, STEP, STEP + 1, 2 * STEP, 3 * STEP]) {
      const whole = pseudoRandomBytes(size, size + 5);
      const upload = await store.createUpload('sized', size, { partSize: STEP });
      await sendFrom(upload, 1, contentOf(whole));
      await upload.complete({ hashes: { md5: md5(whole) } });
      assert.ok((await readAll(store, 'sized')).equals(whole), `${size} bytes`);
    }
  });

  it('survive broken connections, lost answers and servers that keep less than they were sent', async () => {
    const { store, retries } = openAt(server);
    const upload = await store.createUpload('large', SIZE, { partSize: 4 * STEP });
    server.faults.add({
      kind: 'session.put',
      times: 1,
      action: { type: 'cut-request', afterBytes: 2 * STEP + 99 },
    });
    server.faults.add({ kind: 'session.put', skip: 1, times: 1, action: { type: 'drop-answer' } });
    server.faults.add({ kind: 'session.put', skip: 2, times: 1, action: { type: 'error', status: 503 } });
    server.faults.add({ kind: 'session.put', skip: 3, times: 1, action: { type: 'drop-answer' } });
    await sendFrom(upload, 1, streamedContent(bytes, 70_000));
    await upload.complete({ hashes: { md5: md5(bytes) } });
    assert.ok((await readAll(store, 'large')).equals(bytes));
    assert.equal(retries.length, 4, retries.join());
    server.faults.clear();
    server.requests.reset();
    const less = await store.createUpload('less', SIZE, { partSize: 4 * STEP });
    server.faults.add({ kind: 'session.put', times: 1, action: { type: 'keep-less', bytes: STEP + 1 } });
    await sendFrom(less, 1);
    await less.complete();
    assert.ok((await readAll(store, 'less')).equals(bytes));
    assert.equal(sentBytes(), SIZE + 3 * STEP);
  });

  it('are taken up by another process that knows only how they began', async () => {
    const { store } = openAt(server);
    const upload = await begin(store);
    const state = frozen(upload.state);
    for (const number of [1, 2, 3])
      await upload.sendPart(number, partContent(upload, contentOf(bytes), number));
    server.requests.reset();
    const resumed = await openAt(server).store.resumeUpload(state);
    await sendFrom(resumed, 1, streamedContent(bytes));
    await resumed.complete();
    assert.ok((await readAll(store, 'large')).equals(bytes));
    assert.equal(sentBytes(), SIZE - 3 * PART);
  });

  it('that go on with another content are refused at their end, and the old object stays', async () => {
    const { store } = openAt(server);
    await store.write('large', contentOf('old'));
    const other = Buffer.from(bytes);
    other[10] = other[10]! ^ 1;
    const upload = await begin(store);
    const state = frozen(upload.state);
    await upload.sendPart(1, partContent(upload, contentOf(bytes), 1));
    const resumed = await openAt(server).store.resumeUpload(state);
    await sendFrom(resumed, 1, contentOf(other));
    const error = await rejectsWith(() => resumed.complete(), 'CHECKSUM_MISMATCH');
    assert.equal(error.retryable, false);
    await resumed.abort();
    assert.equal((await readAll(store, 'large')).toString(), 'old');
  });

  it('whose parts were kept unread need the MD5 of the whole', async () => {
    const { store } = openAt(server);
    const upload = await begin(store);
    await upload.sendPart(1, partContent(upload, contentOf(bytes), 1));
    const resumed = await openAt(server).store.resumeUpload(frozen(upload.state));
    for await (const part of resumed.arrived()) resumed.keepPart(part);
    await sendFrom(resumed, 2);
    await rejectsWith(() => resumed.complete(), 'INTERNAL');
    await resumed.complete({ hashes: { md5: md5(bytes) } });
    assert.ok((await readAll(store, 'large')).equals(bytes));
  });

  it('may send a part again that was broken off', async () => {
    const { store } = openAt(server);
    const upload = await begin(store);
    const controller = new AbortController();
    const stuck = {
      size: PART,
      async *read() {
        yield bytes.subarray(0, 1000);
        setImmediate(() => controller.abort());
        await new Promise(() => {});
      },
    };
    await rejectsWith(() => upload.sendPart(1, stuck, controller.signal), 'ABORTED');
    await sendFrom(upload, 1, streamedContent(bytes));
    await upload.complete();
    assert.ok((await readAll(store, 'large')).equals(bytes));
  });

  it('corrupted on the way are refused by the server', async () => {
    const { store } = openAt(server);
    const upload = await begin(store);
    server.faults.add({
      kind: 'session.put',
      skip: 1,
      times: 1,
      action: { type: 'corrupt-request', offset: 7 },
    });
    await sendFrom(upload, 1);
    await rejectsWith(() => upload.complete(), 'CHECKSUM_MISMATCH');
    assert.equal(await store.head('large'), undefined);
    await upload.abort();
  });

  it('hold to their conditions until the object appears', async () => {
    const { store } = openAt(server);
    const upload = await begin(store, { ifNoneMatch: '*' });
    await sendFrom(upload, 1);
    await store.write('large', contentOf('meanwhile'));
    await rejectsWith(() => upload.complete({ ifNoneMatch: '*' }), 'PRECONDITION_FAILED');
    assert.equal((await readAll(store, 'large')).toString(), 'meanwhile');
    await upload.abort();
    await rejectsWith(() => begin(store, { ifNoneMatch: '*' }), 'PRECONDITION_FAILED');
  });

  it('of other ends: expired, cancelled, finished before the answer came', async () => {
    const { store } = openAt(server);
    const upload = await begin(store);
    await upload.sendPart(1, partContent(upload, contentOf(bytes), 1));
    server.clockOffsetMs = 8 * 24 * 3600_000;
    await rejectsWith(() => store.resumeUpload(frozen(upload.state)), 'NOT_FOUND');
    await upload.abort();
    server.clockOffsetMs = 0;
    const cancelled = await begin(store);
    await cancelled.abort();
    await rejectsWith(() => store.resumeUpload(frozen(cancelled.state)), 'NOT_FOUND');
    const finished = await begin(store);
    await sendFrom(finished, 1);
    await finished.complete();
    await rejectsWith(() => store.resumeUpload(frozen(finished.state)), 'NOT_FOUND');
  });

  it('leave no session when their beginning is aborted', async () => {
    const { store } = openAt(server);
    await store.head('x');
    server.faults.add({ kind: 'session.start', action: { type: 'delay', ms: 100 } });
    const controller = new AbortController();
    const known = new Set(server.sessions.keys());
    const begun = store.createUpload('large', SIZE, { signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    await rejectsWith(() => begun, 'ABORTED');
    await until(async () => {
      const fresh = [...server.sessions.values()].filter(({ id }) => !known.has(id));
      return fresh.length === 1 && fresh[0]!.isCancelled === true;
    });
  });

  it('of streams that are written at once take sessions too', async () => {
    const { store } = openAt(server);
    const large = pseudoRandomBytes(17 * 1024 * KIB);
    const written = await store.write('streamed', streamedContent(large, 1_000_000), {
      modificationTime: TIME,
    });
    assert.equal(written.hashes?.md5, md5(large));
    assert.equal(server.requests.counts['session.start'], 1);
  });
});
