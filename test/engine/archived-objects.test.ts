/** Objects in S3's archive classes: deleted without being thawed, at what cost, never copied, read where they can be. */

import assert from 'node:assert/strict';
import { rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { execute } from '../../src/runner/execute.js';
import type { RunRequest, TaskSettings } from '../../src/runner/task.js';
import { runRequest } from '../runner/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { BUCKET, closeAll, openAt } from '../stores/s3-support.js';
import { readTree, removeFolder, temporaryFolder, writeTree } from './support.js';

const DAY = 86_400_000;

describe('archived objects', () => {
  let server: S3Server;
  let root: string;
  before(async () => {
    server = await startS3Server();
  });
  after(() => server.stop());
  beforeEach(() => {
    server.createBucket(BUCKET);
    root = temporaryFolder();
  });
  afterEach(async () => {
    await closeAll();
    removeFolder(root);
  });

  const run = async (task: Partial<TaskSettings> = {}, rest: Partial<RunRequest> = {}) => {
    const { url: endpoint, region, accessKeyId, secretAccessKey } = server;
    const secrets = { accessKeyId, secretAccessKey };
    const credential = { id: 'c', name: '', provider: 's3', config: { endpoint, region }, secrets };
    const own = { credential, bucket: BUCKET, folder: '', path: join(root, 'local'), maxDelete: null };
    const request = runRequest(join(root, 'data'), { ...own, ...task }, rest);
    const host = { signal: new AbortController().signal, phase: () => {}, log: () => {} };
    return await execute(request, host).result;
  };
  const archive = (key: string, storageClass: string, ageDays: number) => {
    const lastModified = server.clock.now() - ageDays * DAY;
    server.objects.change(BUCKET, key, { storageClass, lastModified });
  };
  const restore = () =>
    run(
      {},
      {
        nodeId: 'restore',
        operation: 'restore',
        restore: {
          path: join(root, 'restored'),
          transferMode: 'copy',
          include: [],
          exclude: [],
          thaw: false,
          thawTier: '',
          thawDays: null,
          dryRun: false,
        },
      },
    );

  it('are deleted by a sync without being thawed, with a warning of what deleting early costs', async () => {
    writeTree(join(root, 'local'), {
      a: 'a',
      young: '12345',
      deep: 'deep',
      old: 'old',
      warm: 'warm',
      kept: 'k',
    });
    await run();
    archive('young', 'GLACIER', 89);
    archive('deep', 'DEEP_ARCHIVE', 179);
    archive('old', 'GLACIER', 91);
    archive('kept', 'GLACIER', 1);
    for (const name of ['young', 'deep', 'old', 'warm']) rmSync(join(root, 'local', name));
    server.requests.reset();
    const warned = [
      [
        'EARLY_DELETION',
        '1 file (4 bytes) of class DEEP_ARCHIVE younger than 180 days, 1 file (5 bytes) of class GLACIER younger than 90 days',
      ],
    ];
    const said = (warnings: { code: string; message: string }[]) =>
      warnings.map(({ code, message }) => [code, message.replace(/ (would be|were) deleted or .*/, '')]);
    const preview = await run({ dryRun: true });
    assert.deepEqual([preview.deleted, said(preview.warnings)], [4, warned]);
    const synced = await run();
    assert.deepEqual([synced.errors, synced.deleted, said(synced.warnings)], [[], 4, warned]);
    assert.deepEqual(server.objects.keys(BUCKET), ['a', 'kept']);
    assert.equal(server.requests.counts.RestoreObject, undefined);
  });

  it('are replaced by what changed, and that may cost too', async () => {
    writeTree(join(root, 'local'), { a: 'a', b: 'b' });
    await run();
    archive('a', 'DEEP_ARCHIVE', 10);
    writeTree(join(root, 'local'), { a: 'changed' }, 1_700_000_000);
    const { errors, warnings } = await run();
    assert.deepEqual([errors, warnings.map(({ code }) => code)], [[], ['EARLY_DELETION']]);
    assert.equal(server.objects.bytes(BUCKET, 'a').toString(), 'changed');
  });

  it('are never copied just to change a time', async () => {
    writeTree(join(root, 'local'), { ice: 'ice', warm: 'warm' });
    await run();
    archive('ice', 'GLACIER', 1);
    for (const name of ['ice', 'warm']) utimesSync(join(root, 'local', name), 1_650_000_000, 1_650_000_000);
    server.requests.reset();
    const touched = await run();
    assert.deepEqual([touched.errors, touched.transferred.files], [[], 0]);
    assert.deepEqual(
      server.requests.log.filter(({ operation }) => operation === 'CopyObject').map(({ key }) => key),
      ['warm'],
    );
    const written = server.requests.log.filter(({ operation }) => operation === 'PutObject');
    assert.ok(written.every(({ key }) => key.startsWith('.node-red-cloud-sync/')));
  });

  it('are restored where somebody had them thawed, though the listing says no more than their class', async () => {
    writeTree(join(root, 'local'), { thawed: 'thawed', frozen: 'frozen', there: 'there', warm: 'warm' });
    await run();
    for (const name of ['thawed', 'frozen', 'there']) archive(name, 'GLACIER', 1);
    await openAt(server).store.thaw('thawed', { days: 2 });
    server.clock.advance(6 * 3_600_000);
    // What is there already and equal is no error.
    writeTree(join(root, 'restored'), { there: 'there' });
    const { errors, transferred } = await restore();
    server.clock.reset();
    assert.deepEqual(
      errors.map(({ code, path }) => [code, path]),
      [['ARCHIVED', 'frozen']],
    );
    assert.equal(transferred.files, 2);
    assert.deepEqual(readTree(join(root, 'restored')), { thawed: 'thawed', there: 'there', warm: 'warm' });
  });
});
