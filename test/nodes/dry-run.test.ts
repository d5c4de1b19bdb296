import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LogEntry, Progress, RunReport } from '../../src/engine/report.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { Host } from './host.js';
import { CREDENTIAL, type FlowNode, HELPERS, helper, Inbox, NODES, node, TASK } from './node-red.js';

interface State {
  progress?: Progress;
  report?: RunReport;
  entries?: LogEntry[];
}

describe('a dry run of a dialog', function () {
  this.timeout(120_000);
  let s3: S3Server;
  let host: Host;
  let root: string;
  let photos: string;

  before(() => helper.startServer());
  after(() => helper.stopServer());
  beforeEach(async () => {
    s3 = await startS3Server({ buckets: ['family'] });
    host = new Host();
    root = host.root;
    photos = join(root, 'photos');
  });
  afterEach(async () => {
    await host.close();
    await s3.stop();
  });

  function write(folder: string, files: Record<string, string>): void {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), content);
    }
  }
  async function deploy(nodes: FlowNode[] = [], settings: object = {}): Promise<void> {
    host.configure(settings);
    const flows = [{ ...CREDENTIAL, endpoint: s3.url }, ...HELPERS, ...nodes];
    await helper.load(NODES, flows as never, {
      credential: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
      task: { encryptionPassword: 'stored password' },
    });
    await host.openAdmin();
  }
  async function post<T>(path: string, body: object = {}): Promise<T> {
    const response = await fetch(host.address(path), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
    return (await response.json()) as T;
  }
  /** What stands in a dialog, stored secrets as placeholders. */
  function dialog(more: object = {}, endpoint = s3.url): object {
    const task = { ...TASK, path: photos, ...more };
    const secrets = { accessKeyId: s3.accessKeyId, secretAccessKey: '__PWRD__' };
    const config = { endpoint };
    const credential = { id: 'credential', name: 'Home', provider: 's3', config, secrets };
    return { task, credential, encryptionPassword: '__PWRD__', encryptionSalt: '' };
  }
  async function until(runId: string, isReached: (state: State) => boolean): Promise<State> {
    for (const end = Date.now() + 60_000; ; ) {
      const state = await post<State>(`dry-run/${runId}`);
      if (isReached(state)) return state;
      if (Date.now() > end) assert.fail(`stays at ${JSON.stringify(state)}`);
      await delay(50);
    }
  }
  async function dryRun(body: object): Promise<{ report: RunReport; entries: LogEntry[] }> {
    const { runId, ...problem } = await post<{ runId: string }>('dry-run', body);
    assert.ok(runId, JSON.stringify(problem));
    const { report, entries } = await until(runId, (state) => state.report !== undefined);
    return { report: report!, entries: entries! };
  }
  async function refused(body: object): Promise<{ code: string; field: string; message: string }> {
    return await post('dry-run', body);
  }
  async function run(id: string): Promise<void> {
    const success = new Inbox('success');
    node(id).receive({});
    assert.equal((await success.next()).payload.status, 'success');
  }

  it('says what a task that is not deployed would send, and leaves nothing behind', async () => {
    await deploy();
    write(photos, { 'a.jpg': 'aa', 'sub/b.jpg': 'bbb', 'c.tmp': 'c' });
    const { report, entries } = await dryRun(dialog({ exclude: ['*.tmp'] }));
    assert.deepEqual(report.errors, []);
    assert.equal(report.status, 'success');
    assert.equal(report.dryRun, true);
    assert.deepEqual(report.transferred, { files: 2, bytes: 5 });
    assert.deepEqual(
      entries.map(({ event, path, bytes }) => `${event} ${path} ${bytes}`),
      ['would transfer a.jpg 2', 'would transfer sub/b.jpg 3'],
    );
    assert.deepEqual(s3.objects.keys('family'), []);
    const left = () =>
      ['history', 'state', 'running', 'logs'].flatMap((folder) => {
        const path = join(root, 'cloud-sync', folder);
        return existsSync(path) ? readdirSync(path) : [];
      });
    // The mark that it runs is taken away while the report is on its way.
    for (const end = Date.now() + 20_000; left().length > 0 && Date.now() < end; ) await delay(50);
    assert.deepEqual(left(), []);
  });

  it('shows deletes first, and leaves what the task remembers as it is', async () => {
    write(photos, { 'a.jpg': 'a', 'b.jpg': 'b' });
    await deploy([{ ...TASK, path: photos }]);
    await run('task');
    const state = join(root, 'cloud-sync', 'state', 'task', 'index');
    const before = readFileSync(state, 'utf8');
    rmSync(join(photos, 'b.jpg'));
    write(photos, { 'c.jpg': 'c' });
    const { report, entries } = await dryRun(dialog({ transferMode: 'sync' }));
    assert.deepEqual(report.errors, []);
    assert.equal(report.deleted, 1);
    assert.deepEqual(
      entries.map(({ event, path }) => `${event} ${path}`),
      ['would delete b.jpg', 'would transfer c.jpg'],
    );
    assert.equal(readFileSync(state, 'utf8'), before);
    assert.equal((await host.runner.history('task')).length, 1);
    assert.deepEqual(s3.objects.keys('family'), ['photos/a.jpg', 'photos/b.jpg']);
  });

  it('says what a restore would overwrite', async () => {
    write(photos, { 'a.jpg': 'a', 'b.jpg': 'b' });
    await deploy([{ ...TASK, path: photos }]);
    await run('task');
    const target = join(root, 'target');
    write(target, { 'a.jpg': 'other', 'mine.jpg': 'x' });
    const restore = { id: 'restore', task: 'task', path: target, transferMode: 'sync' };
    const { report } = await dryRun({ ...dialog(), restore });
    assert.deepEqual(report.errors, []);
    assert.equal(report.operation, 'restore');
    assert.deepEqual(report.transferred, { files: 2, bytes: 2 });
    assert.equal(report.overwrites, 1);
    assert.equal(report.deleted, 1);
    assert.deepEqual(readdirSync(target).sort(), ['a.jpg', 'mine.jpg']);
  });

  it('takes the stored password where the dialog has only its placeholder', async () => {
    write(photos, { 'a.jpg': 'a' });
    const encrypted = { encryption: true, filenameEncryption: true };
    await deploy([{ ...TASK, path: photos, ...encrypted }]);
    await run('task');
    const { report } = await dryRun(dialog(encrypted));
    assert.deepEqual(report.errors, []);
    assert.deepEqual([report.checked, report.transferred.files], [1, 0]);
  });

  it('can be stopped', async () => {
    write(photos, Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`${index}.jpg`, 'x'])));
    await deploy();
    s3.network.latencyMs = 60_000;
    const { runId } = await post<{ runId: string }>('dry-run', dialog());
    await until(runId, ({ progress }) => progress?.phase === 'listing');
    await post(`dry-run/${runId}/abort`);
    const { report } = await until(runId, (state) => state.report !== undefined);
    assert.equal(report!.status, 'aborted');
    assert.match(JSON.stringify(report!.warnings), /Stopped in the dialog/);
  });

  it('begins nothing with values that can not be used, and names the field', async () => {
    write(photos, { 'a.jpg': 'a' });
    await deploy([], { allowedPaths: [photos] });
    const cases: Array<[object, string]> = [
      [dialog({ path: 'photos' }), 'path'],
      [dialog({ path: root }), 'path'],
      [dialog({ bucket: '' }), 'bucket'],
      [dialog({ snapshot: true, direction: 'pull' }), 'snapshot'],
      [dialog({ include: ['[a'] }), 'include'],
      [dialog({ encryption: true, id: 'new' }), 'encryptionPassword'],
      [dialog({ path: 'place', pathType: 'msg' }), 'path'],
      [dialog({ path: 'place', pathType: 'flow', id: 'new' }), 'path'],
      [dialog({ bucket: `\${BUCKET}`, id: 'new' }), 'bucket'],
      [dialog({}, 'http://127.0.0.1:9'), 'secretAccessKey'],
      [{ ...dialog(), restore: { id: 'restore', path: 'relative' } }, 'path'],
    ];
    for (const [body, field] of cases) {
      const problem = await refused(body);
      assert.equal(problem.field, field, JSON.stringify(problem));
    }
  });

  it('takes typed inputs as the deployed node has them', async () => {
    write(photos, { 'a.jpg': 'a' });
    await deploy([{ ...TASK, path: photos }]);
    node('task').context().flow.set('place', photos);
    const { report } = await dryRun(dialog({ path: 'place', pathType: 'flow' }));
    assert.deepEqual(report.errors, []);
    assert.equal(report.transferred.files, 1);
  });

  it('tells nobody what the environment holds, beyond what the deployed node uses of it', async () => {
    process.env.CLOUD_SYNC_TEST_PLACE = photos;
    process.env.CLOUD_SYNC_TEST_SECRET = 'a-secret-of-the-machine';
    try {
      write(photos, { 'a.jpg': 'a' });
      await deploy([{ ...TASK, path: `\${CLOUD_SYNC_TEST_PLACE}` }]);
      const { report } = await dryRun(dialog({ path: `\${CLOUD_SYNC_TEST_PLACE}` }));
      assert.deepEqual(report.errors, []);
      for (const typed of [
        { path: `\${CLOUD_SYNC_TEST_SECRET}` },
        { path: 'CLOUD_SYNC_TEST_SECRET', pathType: 'env' },
        { path: '$env("CLOUD_SYNC_TEST_SECRET")', pathType: 'jsonata' },
      ]) {
        const problem = await refused(dialog(typed));
        assert.equal(problem.field, 'path');
        assert.ok(!JSON.stringify(problem).includes('a-secret-of'), JSON.stringify(problem));
      }
    } finally {
      delete process.env.CLOUD_SYNC_TEST_PLACE;
      delete process.env.CLOUD_SYNC_TEST_SECRET;
    }
  });

  it('knows nothing of others', async () => {
    await deploy();
    assert.equal((await post<{ code: string }>('dry-run/unknown')).code, 'NOT_FOUND');
  });
});
