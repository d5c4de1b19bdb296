/** The real child process against an S3 server. */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Runner } from '../../src/runner/runner.js';
import type { TaskCredential, TaskSettings } from '../../src/runner/task.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { bundle, Recorder, runRequest, temporaryFolder } from './support.js';

describe('The child process, against a server', () => {
  let server: S3Server;
  let runner: Runner;
  let dataFolder: string;
  let credential: TaskCredential;

  before(async () => {
    dataFolder = temporaryFolder();
    runner = new Runner({ dataFolder, childFile: await bundle('../../src/runner/child') });
    server = await startS3Server({ buckets: ['photos'] });
    credential = {
      id: 'c',
      name: 'Here',
      provider: 's3',
      config: { endpoint: server.url, region: server.region },
      secrets: { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey },
    };
  });

  after(async () => {
    await runner.stop();
    await server.stop();
  });

  async function run(task: Partial<TaskSettings>) {
    return await runner.submit(runRequest(dataFolder, { credential, ...task }), new Recorder()).finished;
  }

  it('pushes, and pulls back', async () => {
    const [source, target] = [temporaryFolder(), join(temporaryFolder(), 'new')];
    mkdirSync(join(source, 'deep', 'er'), { recursive: true });
    writeFileSync(join(source, 'a.txt'), 'a');
    writeFileSync(join(source, 'deep', 'er', 'b.txt'), 'bb');
    const pushed = await run({ name: 'Push', path: source, folder: 'x' });
    assert.deepEqual(
      [pushed.status, pushed.errors, pushed.transferred],
      ['success', [], { files: 2, bytes: 3 }],
    );
    assert.ok(pushed.requests.total! >= 3);
    const log = await runner.log(pushed.runId, { search: 'b.txt' });
    assert.equal(log.ok && log.value.entries.length, 1);
    const pulled = await run({ name: 'Pull', path: target, folder: 'x', direction: 'pull' });
    assert.deepEqual([pulled.status, pulled.errors], ['success', []]);
    assert.equal(readFileSync(join(target, 'deep', 'er', 'b.txt'), 'utf8'), 'bb');
  });

  it('removes what dead runs left in the work folder', async () => {
    const leftover = join(dataFolder, 'work', 'dead-run');
    mkdirSync(leftover, { recursive: true });
    await run({ path: temporaryFolder(), folder: 'y' });
    assert.ok(!existsSync(leftover));
  });

  it('checks credentials, and says what is wrong with them without showing them', async () => {
    assert.ok((await runner.ask({ kind: 'check', credential })).ok);
    const secrets = { ...credential.secrets, secretAccessKey: 'this is not the secret' };
    const answer = await runner.ask({ kind: 'check', credential: { ...credential, secrets } });
    assert.equal(!answer.ok && answer.error.code, 'WRONG_SECRET');
    assert.ok(!JSON.stringify(answer).includes('this is not'));
  });

  it('makes and lists buckets', async () => {
    const made = await runner.ask({ kind: 'createBucket', credential, bucket: 'new-bucket' });
    assert.deepEqual(made, { ok: true, value: {} });
    const listed = await runner.ask({ kind: 'listBuckets', credential });
    assert.deepEqual(listed.ok && listed.value.buckets.map((bucket) => bucket.name).sort(), [
      'new-bucket',
      'photos',
    ]);
    const checked = await runner.ask({ kind: 'checkBucket', credential, bucket: 'photos', folder: '/nas/' });
    assert.ok(checked.ok && checked.value.uses.pushSync && checked.value.uses.restore);
    assert.deepEqual(checked.value.leftovers, []);
    const missing = await runner.ask({ kind: 'checkBucket', credential, bucket: 'no-such-bucket' });
    assert.equal(!missing.ok && missing.error.code, 'BUCKET_NOT_FOUND');
  });

  it('lists folders in pages, each folder once', async () => {
    const source = temporaryFolder();
    for (const name of ['a', 'b', 'b-c', 'd']) {
      mkdirSync(join(source, name));
      for (const file of ['1', '2']) writeFileSync(join(source, name, file), '');
    }
    writeFileSync(join(source, 'b.txt'), 'x');
    await run({ path: source, folder: 'pages' });
    const names: string[] = [];
    let after: string | undefined;
    for (let page = 0; page < 10; page++) {
      const question = {
        kind: 'listFolder',
        credential,
        bucket: 'photos',
        folder: '/pages/',
        limit: 2,
        after,
      } as const;
      const answer = await runner.ask(question);
      assert.ok(answer.ok, JSON.stringify(answer));
      names.push(
        ...answer.value.entries.map((entry) => `${entry.name}${entry.kind === 'folder' ? '/' : ''}`),
      );
      after = answer.value.next;
      if (after === undefined) break;
    }
    assert.deepEqual(names.sort(), ['a/', 'b-c/', 'b.txt', 'b/', 'd/']);
  });
});
