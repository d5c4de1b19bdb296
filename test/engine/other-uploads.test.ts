import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openS3Account } from '../../src/stores/s3.js';
import type { Account } from '../../src/stores/store.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { writeTree } from './support.js';
import { TaskBench } from './task-bench.js';

const DAY = 24 * 3_600_000;

describe('unfinished uploads of other programs', () => {
  let server: S3Server;
  let bench: TaskBench;
  let account: Account;
  let count = 0;

  before(async () => {
    server = await startS3Server();
  });
  after(() => server?.stop());
  beforeEach(() => {
    count++;
    server.createBucket(`uploads-${count}`);
    bench = new TaskBench(server, `uploads-${count}`);
    writeTree(bench.local, { a: 'a' });
    account = openS3Account(bench.credential.config, bench.credential.secrets, {});
  });
  afterEach(async () => {
    await account.close();
    bench.dispose();
  });

  /** The warnings of a run that succeeds. */
  async function warnings(): Promise<string[]> {
    server.requests.reset();
    const result = await bench.run();
    assert.deepEqual([result.status, result.errors], ['success', []]);
    return result.warnings.map(({ code, message }) => `${code} ${message}`);
  }

  /** The last look becomes a day old. */
  function aDayLater(): void {
    const file = join(bench.data, 'state', 'node-1', 'other-uploads.json');
    const look = JSON.parse(readFileSync(file, 'utf8')) as { at: number };
    writeFileSync(file, JSON.stringify({ ...look, at: look.at - DAY }));
  }

  it('are counted once a day and told of by every run, and stay where they are', async () => {
    const store = account.openStore(bench.bucket);
    await store.createUpload('photos/theirs', 20_000_000);
    await store.createUpload('elsewhere/theirs', 20_000_000);
    assert.deepEqual(await warnings(), [], 'one that was just begun may go on');
    const { uploads } = server.objects.bucket(bench.bucket);
    for (const [id, upload] of uploads) uploads.set(id, { ...upload, initiated: upload.initiated - 3 * DAY });
    assert.deepEqual(await warnings(), [], 'not looked for again at once');
    assert.equal(bench.counts.ListMultipartUploads ?? 0, 0);
    aDayLater();
    const found = await warnings();
    assert.equal(bench.counts.ListMultipartUploads, 1);
    assert.match(found.join('\n'), /^UNFINISHED_UPLOADS 1 upload of other programs .*"photos\/theirs"\)$/);
    assert.deepEqual(await warnings(), found);
    assert.equal(bench.counts.ListMultipartUploads ?? 0, 0);
    assert.equal(server.objects.pendingUploads(bench.bucket).length, 2);
  });

  it('are no matter of a key that may not list them', async () => {
    server.faults.add({
      operation: 'ListMultipartUploads',
      action: { type: 'error', status: 403, code: 'AccessDenied' },
    });
    assert.deepEqual(await warnings(), []);
    server.faults.clear();
  });
});
