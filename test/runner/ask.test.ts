import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AskOptions, QuestionPool } from '../../src/runner/ask.js';
import { Launcher } from '../../src/runner/launcher.js';
import type { TaskCredential } from '../../src/runner/task.js';
import { until } from '../until.js';
import { bundle, isRunning, runRequest, temporaryFolder } from './support.js';

describe('Questions of the editor', () => {
  let childFile: string;
  let pool: QuestionPool;
  let credential: TaskCredential;

  before(async () => {
    childFile = await bundle('fake-child');
    credential = runRequest('/data').task.credential;
  });

  afterEach(() => pool.close());

  function open(options: Partial<AskOptions> = {}): void {
    pool = new QuestionPool({ launcher: new Launcher({ childFile }), ...options });
  }

  /** The fake child answers with its process id. */
  async function pidOf(bucket: string): Promise<number> {
    const answer = await pool.ask({ kind: 'checkBucket', credential, bucket });
    assert.ok(answer.ok);
    return (answer.value as unknown as { pid: number }).pid;
  }

  it('are answered by a child that waits for the next one, for a while', async () => {
    open({ idleMs: 300 });
    const pid = await pidOf('a');
    assert.equal(await pidOf('b'), pid);
    await until(async () => !(await isRunning(pid)), 'the idle child ends');
    assert.notEqual(await pidOf('c'), pid);
  });

  it('have two children at most', async () => {
    open();
    const pids = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((bucket) => pidOf(bucket)));
    assert.equal(new Set(pids).size, 2);
  });

  it('that take too long are answered with TIMEOUT, and their child ends', async () => {
    open({ timeLimitMs: 500, maxChildren: 1 });
    const pid = await pidOf('a');
    const answer = await pool.ask({ kind: 'checkBucket', credential, bucket: 'hangs' });
    assert.equal(!answer.ok && answer.error.code, 'TIMEOUT');
    assert.notEqual(await pidOf('b'), pid);
    assert.ok(!(await isRunning(pid)));
  });

  it('nobody wants an answer to any more are given up', async () => {
    open();
    const controller = new AbortController();
    const asked = pool.ask({ kind: 'checkBucket', credential, bucket: 'hangs' }, controller.signal);
    controller.abort();
    const answer = await asked;
    assert.equal(!answer.ok && answer.error.code, 'ABORTED');
  });

  it('that kill their child are answered, and the next one too', async () => {
    open({ maxChildren: 1 });
    const [dead, alive] = await Promise.all([
      pool.ask({ kind: 'checkBucket', credential, bucket: 'dies' }),
      pool.ask({ kind: 'checkBucket', credential, bucket: 'a' }),
    ]);
    assert.equal(!dead.ok && dead.error.code, 'RUN_DIED');
    assert.ok(alive.ok);
  });

  it('about the provider come back with an error record where something is wrong', async () => {
    open();
    const answer = await pool.ask({ kind: 'check', credential: { ...credential, provider: 'floppy' } });
    assert.deepEqual(!answer.ok && [answer.error.code, answer.error.field], ['INVALID_INPUT', 'provider']);
  });

  it('list local folders in pages', async () => {
    open();
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'b'));
    for (const name of ['a', 'c', 'd']) writeFileSync(join(folder, name), name);
    const first = await pool.ask({ kind: 'listLocalFolder', path: folder, limit: 3 });
    assert.ok(first.ok);
    assert.deepEqual(
      first.value.entries.map((entry) => [entry.name, entry.kind, entry.size]),
      [
        ['a', 'file', 1],
        ['b', 'folder', 0],
        ['c', 'file', 1],
      ],
    );
    const second = await pool.ask({ kind: 'listLocalFolder', path: folder, after: first.value.next });
    assert.deepEqual(second.ok && second.value.entries.map((entry) => entry.name), ['d']);
    assert.equal(second.ok && second.value.next, undefined);
    const relative = await pool.ask({ kind: 'listLocalFolder', path: 'photos' });
    assert.equal(!relative.ok && relative.error.field, 'path');
    const missing = await pool.ask({ kind: 'listLocalFolder', path: join(folder, 'nowhere') });
    assert.equal(!missing.ok && missing.error.code, 'NOT_FOUND');
  });
});
