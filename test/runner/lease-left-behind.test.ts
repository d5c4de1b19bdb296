/** A lease that a killed run has left: the next run of its task removes it, whether or not it finds anything to do. */

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Lease } from '../../src/engine/lease.js';
import { execute } from '../../src/runner/execute.js';
import { LeaseFiles } from '../../src/runner/lease-record.js';
import type { RunRequest } from '../../src/runner/task.js';
import { openS3Account } from '../../src/stores/s3.js';
import type { Store } from '../../src/stores/store.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { until } from '../until.js';
import { runRequest, temporaryFolder } from './support.js';

const BUCKET = 'photos';

describe('a lease that a killed run has left', () => {
  let server: S3Server;
  let dataFolder: string;
  let request: RunRequest;

  before(async () => {
    server = await startS3Server();
  });
  after(() => server.stop());

  beforeEach(async () => {
    server.createBucket(BUCKET);
    dataFolder = temporaryFolder();
    const path = join(dataFolder, 'source');
    mkdirSync(path);
    writeFileSync(join(path, 'picture'), 'bytes');
    const { accessKeyId, secretAccessKey } = server;
    request = runRequest(dataFolder, {
      credential: {
        id: 'credential',
        name: 'Home',
        provider: 's3',
        config: { endpoint: server.url, region: server.region },
        secrets: { accessKeyId, secretAccessKey },
      },
      path,
      bucket: BUCKET,
      folder: 'data',
    });
    // A file that was just written is looked at again until its times are past, which counts as work.
    await until(async () => {
      await run();
      return server.requests.log.length === 1;
    }, 'a run has nothing to do');
    assert.deepEqual([leases(), onRecord()], [[], []]);
  });

  async function run(): Promise<void> {
    server.requests.reset();
    const host = { signal: new AbortController().signal, phase: () => {}, log: () => {} };
    const result = await execute(request, host).result;
    assert.deepEqual([result.status, result.errors], ['success', []]);
  }

  /** What a run of this task, or of the task with that id, leaves when it is killed. */
  async function leaveLease(taskId = request.task.taskId): Promise<void> {
    const killed = { ...request, runId: 'killed', task: { ...request.task, taskId } };
    await withStore(async (store) => {
      const lease = await Lease.take({
        store,
        prefixes: ['data/'],
        holder: { host: 'here', taskId, task: 'Photos' },
        record: new LeaseFiles(killed),
        signal: new AbortController().signal,
      });
      assert.ok(lease instanceof Lease);
    });
    assert.deepEqual([leases().length, onRecord().length], [1, 1]);
  }
  async function withStore(use: (store: Store) => Promise<void>): Promise<void> {
    const { config, secrets } = request.task.credential;
    const account = openS3Account(config, secrets, {});
    await use(account.openStore(BUCKET));
    await account.close();
  }
  const leases = () => server.objects.keys(BUCKET).filter((key) => key.includes('/leases/'));
  const onRecord = () => readdirSync(join(dataFolder, 'leases'));

  it('is removed by the next run, though it has nothing to do, and the one after that asks for none', async () => {
    await leaveLease();
    await run();
    assert.deepEqual([leases(), onRecord()], [[], []]);
    await run();
    assert.deepEqual(
      server.requests.log.map(({ operation }) => operation),
      ['ListObjectsV2'],
    );
  });

  it('that somebody else has removed is looked for once', async () => {
    await leaveLease();
    await withStore((store) => store.delete({ key: leases()[0]! }));
    await run();
    assert.deepEqual(onRecord(), []);
    await run();
    assert.equal(server.requests.log.length, 1);
  });

  it('is none of the business of another task that has nothing to do', async () => {
    await leaveLease('another');
    await run();
    assert.equal(server.requests.log.length, 1);
    assert.equal(leases().length, 1);
  });
});
