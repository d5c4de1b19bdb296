import assert from 'node:assert/strict';
import { renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { writeTree } from './support.js';
import { TaskBench } from './task-bench.js';

describe('the log of a run', () => {
  let server: S3Server;
  let bench: TaskBench;

  before(async () => {
    server = await startS3Server({ buckets: ['log'] });
    bench = new TaskBench(server, 'log');
  });
  after(async () => {
    bench.dispose();
    await server?.stop();
  });

  /** `event path` of every line that is about a file or counts files. */
  const lines = ({ log }: Awaited<ReturnType<TaskBench['run']>>): string[] =>
    log
      .filter(({ path, event }) => (path !== undefined && path !== '') || event === 'unchanged')
      .map(({ event, path, message }) => `${event} ${path ?? message}`)
      .sort();

  it('says for every file what happened to it, the unchanged ones in one line', async () => {
    const hourAgo = Date.now() / 1000 - 3_600;
    const same = Object.fromEntries(Array.from({ length: 25 }, (_, at) => [`same/${at}`, `${at}`]));
    const rest = { changed: 'c', gone: 'g', 'old name': 'renamed', touched: 't' };
    writeTree(bench.local, { ...same, ...rest }, hourAgo);
    const first = await bench.run();
    assert.deepEqual(
      lines(first),
      [...Object.keys(same), ...Object.keys(rest)].map((path) => `transfer ${path}`).sort(),
    );
    const at = (name: string) => join(bench.local, name);
    writeFileSync(at('changed'), 'changed');
    rmSync(at('gone'));
    renameSync(at('old name'), at('new name'));
    utimesSync(at('touched'), hourAgo - 60, hourAgo - 60);
    writeFileSync(at('new'), 'new');
    symlinkSync('nowhere', at('link'));
    const second = await bench.run();
    assert.deepEqual([second.status, second.errors], ['success', []]);
    assert.deepEqual(lines(second), [
      'SPECIAL_FILE link',
      'delete gone',
      'delete old name',
      'rename new name',
      'time touched',
      'transfer changed',
      'transfer new',
      'unchanged 25 files were equal on both sides',
    ]);
    writeFileSync(at('refused'), 'r');
    rmSync(at('new'));
    server.faults.add({
      operation: 'PutObject',
      match: ({ key }) => key.endsWith('refused'),
      action: { type: 'error', status: 403, code: 'AccessDenied' },
    });
    const third = await bench.run();
    assert.equal(third.status, 'failed');
    const said = lines(third);
    assert.ok(said.includes('NO_PERMISSION refused'), said.join('\n'));
    assert.ok(said.includes('unchanged 28 files were equal on both sides'), said.join('\n'));
    assert.ok(
      third.log.some(
        ({ event, message }) => event === 'delete' && /Nothing is deleted.* 1 files? /.test(message ?? ''),
      ),
    );
  });
});
