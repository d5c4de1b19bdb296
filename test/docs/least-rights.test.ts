/** The policies that docs/providers/amazon-s3.md gives are enough for what it says they are for, and for nothing more. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ExecutionResult, execute } from '../../src/runner/execute.js';
import type { RunRequest, TaskSettings } from '../../src/runner/task.js';
import { pseudoRandomBytes } from '../conformance/support.js';
import { runRequest } from '../runner/support.js';
import { type S3Request, type S3Server, startS3Server } from '../servers/s3/server.js';

const MIB = 1024 * 1024;
const BUCKET = 'my-backup';

interface Policy {
  Statement: { Effect: string; Action: string[]; Resource: string }[];
}

/** "Actions, resources, and condition keys for Amazon S3": what each operation needs. */
function actionFor({ operation, query }: S3Request): string {
  const isVersion = query.has('versionId');
  switch (operation) {
    case 'ListObjectsV2':
    case 'HeadBucket':
      return 's3:ListBucket';
    case 'ListObjectVersions':
      return 's3:ListBucketVersions';
    case 'ListMultipartUploads':
      return 's3:ListBucketMultipartUploads';
    case 'GetObject':
    case 'HeadObject':
      return isVersion ? 's3:GetObjectVersion' : 's3:GetObject';
    case 'DeleteObject':
      return isVersion ? 's3:DeleteObjectVersion' : 's3:DeleteObject';
    case 'DeleteObjects':
      return '';
    case 'ListParts':
      return 's3:ListMultipartUploadParts';
    case 'AbortMultipartUpload':
    case 'RestoreObject':
      return `s3:${operation}`;
    default:
      return 's3:PutObject';
  }
}

function allows(policy: Policy, request: S3Request): boolean {
  const action = actionFor(request);
  // Each key of it is asked for by itself.
  if (action === '') return true;
  const resource = `arn:aws:s3:::${request.bucket}${request.key === '' ? '' : '/*'}`;
  return policy.Statement.some(
    (statement) => statement.Action.includes(action) && statement.Resource === resource,
  );
}

describe('The least rights in the documentation', () => {
  const text = readFileSync(join(__dirname, '../../docs/providers/amazon-s3.md'), 'utf8');
  const policies = [...text.matchAll(/```json\n([\s\S]*?)```/g)].map(
    ([, json]) => JSON.parse(json!) as Policy,
  );
  const [pushCopy, sync, restore] = policies as [Policy, Policy, Policy];
  let server: S3Server;
  let folder: string;
  let source: string;

  beforeEach(async () => {
    server = await startS3Server({ port: 0, buckets: [{ name: BUCKET, versioning: 'Enabled' }] });
    folder = mkdtempSync(join(tmpdir(), 'least-rights-'));
    source = join(folder, 'source');
    mkdirSync(join(source, 'sub'), { recursive: true });
    writeFileSync(join(source, 'a.txt'), 'a');
    writeFileSync(join(source, 'sub', 'b.txt'), 'b');
    writeFileSync(join(source, 'large.bin'), pseudoRandomBytes(17 * MIB));
  });
  afterEach(async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const hold = (policy: Policy | undefined) => {
    const credential = server.credentials.get(server.accessKeyId)!;
    if (policy === undefined) delete credential.allows;
    else credential.allows = (request) => allows(policy, request);
  };

  const run = async (task: Partial<TaskSettings>, rest?: Partial<RunRequest>): Promise<ExecutionResult> => {
    const request = runRequest(
      join(folder, 'data'),
      {
        taskId: 'task',
        credential: {
          id: 'credential',
          name: '',
          provider: 's3',
          config: { endpoint: server.url, region: server.region },
          secrets: { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey },
        },
        bucket: BUCKET,
        folder: 'nas',
        path: source,
        direction: 'push',
        transferMode: 'copy',
        ...task,
      },
      rest,
    );
    const host = { signal: new AbortController().signal, phase: () => {}, log: () => {} };
    return await execute(request, host).result;
  };

  const assertGood = async (...args: Parameters<typeof run>): Promise<ExecutionResult> => {
    const result = await run(...args);
    assert.deepEqual(result.errors, []);
    assert.equal(result.status, 'success');
    return result;
  };

  /** The files of the task. */
  const kept = () => server.objects.keys(BUCKET).filter((key) => key.startsWith('nas/'));

  it('are three policies', () => {
    assert.equal(policies.length, 3);
  });

  it('for push copy are enough for it, for restore and for verify, and delete nothing', async () => {
    hold(pushCopy);
    assert.equal((await assertGood({})).transferred.files, 3);
    writeFileSync(join(source, 'a.txt'), 'changed');
    assert.equal((await assertGood({})).transferred.files, 1);
    const target = join(folder, 'restored');
    assert.equal(
      (await assertGood({ direction: 'pull', path: target, taskId: 'restore' })).transferred.files,
      3,
    );
    const verify = { operation: 'verify', verify: { method: 'checksum', sample: 100 } } as const;
    assert.equal((await assertGood({ taskId: 'verify' }, verify)).verify?.matched, 3);
    rmSync(join(source, 'sub'), { recursive: true });
    const result = await run({ transferMode: 'sync' });
    assert.notEqual(result.status, 'success', 'a sync may not delete with it');
    assert.deepEqual(kept(), ['nas/a.txt', 'nas/large.bin', 'nas/sub/b.txt']);
  });

  it('for sync are enough for it', async () => {
    hold(sync);
    await assertGood({ transferMode: 'sync' });
    rmSync(join(source, 'sub'), { recursive: true });
    assert.equal((await assertGood({ transferMode: 'sync' })).deleted, 1);
    assert.deepEqual(kept(), ['nas/a.txt', 'nas/large.bin']);
  });

  it('for restore are enough for it, also as of a moment, and write nothing', async () => {
    await assertGood({});
    const then = server.clock.now();
    server.clock.advance(60_000);
    writeFileSync(join(source, 'a.txt'), 'ENCRYPTED');
    await assertGood({});
    hold(restore);
    const pulled = join(folder, 'pulled');
    await assertGood({ direction: 'pull', path: pulled, taskId: 'pull', lease: false });
    assert.equal(readFileSync(join(pulled, 'a.txt'), 'utf8'), 'ENCRYPTED');
    const restored = join(folder, 'restored');
    await assertGood(
      { lease: false },
      {
        operation: 'restore',
        restore: {
          path: restored,
          transferMode: 'copy',
          include: [],
          exclude: [],
          asOf: then,
          thaw: false,
          thawTier: '',
          thawDays: null,
          dryRun: false,
        },
      },
    );
    assert.equal(readFileSync(join(restored, 'a.txt'), 'utf8'), 'a');
    assert.notEqual((await run({ taskId: 'push' })).status, 'success');
  });
});
