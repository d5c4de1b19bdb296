import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LogEntry } from '../../src/engine/report.js';
import { Runner } from '../../src/runner/runner.js';
import { interpreterOf, runScript } from '../../src/runner/scripts.js';
import type { RunRequest, TaskSettings } from '../../src/runner/task.js';
import { until } from '../until.js';
import { bundle, isRunning, Recorder, runRequest, temporaryFolder } from './support.js';

describe('Scripts', () => {
  const lines: string[] = [];
  const log = (entry: LogEntry) => lines.push(entry.message ?? '');

  beforeEach(() => {
    lines.length = 0;
  });

  function run(script: string, signal = new AbortController().signal): Promise<void> {
    return runScript({ title: 'Pre-script', script, environment: { CLOUD_SYNC_ID: 'abc' }, log, signal });
  }

  it('are run by bash, with the environment, their output in the log line by line', async () => {
    await run('[[ $BASH_VERSION ]] && echo "$CLOUD_SYNC_ID bash"\necho error >&2\nprintf "no newline"');
    assert.deepEqual(lines.sort(), [
      '[Pre-script] abc bash',
      '[Pre-script] error',
      '[Pre-script] no newline',
    ]);
  });

  it('are run by the interpreter of their shebang, with its arguments', async () => {
    await run(
      `#!${process.execPath} --no-warnings\nconsole.log(process.execArgv[0], process.env.CLOUD_SYNC_ID)`,
    );
    assert.deepEqual(lines, ['[Pre-script] --no-warnings abc']);
    assert.deepEqual(interpreterOf('#! /usr/bin/env python3\n'), ['/usr/bin/env', 'python3']);
    assert.deepEqual(interpreterOf(`#!"/opt/my tools/run" -a 'b c' d\\ e\r\nx`), [
      ...['/opt/my tools/run', '-a', 'b c', 'd e'],
    ]);
  });

  it('that are empty do nothing', async () => {
    await run(' \n\t');
  });

  it('fail with their exit code, the signal, or that they can not be started', async () => {
    await assert.rejects(run('exit 123'), {
      code: 'SCRIPT_FAILED',
      message: 'Pre-script failed with exit code 123',
    });
    await assert.rejects(run('kill -9 $$'), {
      code: 'SCRIPT_FAILED',
      message: 'Pre-script was killed by SIGKILL',
    });
    await assert.rejects(run('#!/no/such/interpreter\n'), {
      code: 'SCRIPT_FAILED',
      message: /could not be started/,
    });
  });

  it('leave no file behind, and are not waited for beyond their end', async () => {
    // Other programs use the usual folder too.
    const { TMPDIR } = process.env;
    const folder = temporaryFolder();
    process.env.TMPDIR = folder;
    try {
      const start = performance.now();
      await run('sleep 30 & echo $!');
      assert.ok(performance.now() - start < 25_000);
    } finally {
      if (TMPDIR === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = TMPDIR;
    }
    process.kill(Number(lines[0]!.split(' ').at(-1)), 'SIGKILL');
    assert.deepEqual(readdirSync(folder), []);
  });

  it('that write without end or newline are cut, not kept in memory', async () => {
    await run('head -c 1000000 /dev/zero | tr "\\0" x');
    for (const line of lines) assert.ok(line.length < 9000);
  });

  it('are ended with everything they started, also what ignores SIGTERM', async () => {
    const controller = new AbortController();
    const ended = run(
      `trap '' TERM\nsleep 60 & echo child $!\necho self $$\nwhile :; do sleep 1; done`,
      controller.signal,
    );
    await until(() => lines.length >= 2, 'the script runs');
    controller.abort();
    await assert.rejects(ended, { code: 'ABORTED' });
    for (const line of lines) {
      await until(async () => !(await isRunning(Number(line.split(' ').at(-1)))), line);
    }
  });
});

describe('Scripts around a run', () => {
  let runner: Runner;
  let dataFolder: string;
  let trace: string;
  let childFile: string;

  before(async () => {
    childFile = await bundle('fake-child');
  });

  beforeEach(() => {
    dataFolder = temporaryFolder();
    trace = join(dataFolder, 'trace');
    runner = new Runner({ dataFolder, childFile });
  });

  afterEach(() => runner.stop());

  const traced = () => (existsSync(trace) ? readFileSync(trace, 'utf8').split('\n').filter(Boolean) : []);

  async function run(task: Partial<TaskSettings>, rest: Partial<RunRequest> = {}) {
    const scripts = { preScript: `echo pre >> ${trace}`, postScript: `echo post >> ${trace}` };
    return await runner.submit(runRequest(dataFolder, { ...scripts, ...task }, rest), new Recorder())
      .finished;
  }

  it('run before and after it', async () => {
    const report = await run({});
    assert.equal(report.status, 'success');
    assert.deepEqual(traced(), ['pre', 'post']);
    const log = await runner.log(report.runId);
    const phases =
      log.ok && log.value.entries.filter((one) => one.event === 'phase').map((one) => one.message);
    assert.deepEqual(phases, ['pre-script', 'listing', 'transferring', 'post-script']);
  });

  it('stop it when the first fails', async () => {
    const report = await run({ preScript: 'exit 3' });
    assert.equal(report.status, 'failed');
    assert.equal(report.errors[0]!.message, 'Pre-script failed with exit code 3');
    assert.equal(report.checked, 0);
    assert.deepEqual(traced(), []);
  });

  it('make it failed when the last fails, with what was transferred', async () => {
    const report = await run({ postScript: 'exit 4' });
    assert.equal(report.status, 'failed');
    assert.equal(report.errors[0]!.code, 'SCRIPT_FAILED');
    assert.deepEqual(report.transferred, { files: 2, bytes: 2048 });
  });

  it('do not run after a failure, in a dry run, a restore or a verification', async () => {
    await run({ name: 'throws', preScript: '' });
    await run({ dryRun: true });
    const restore = { path: '/back', transferMode: 'copy' as const, include: [], exclude: [], thaw: false };
    await run(
      {},
      { operation: 'restore', restore: { ...restore, thawTier: '', thawDays: null, dryRun: false } },
    );
    await run({}, { operation: 'verify', verify: { method: 'metadata', sample: 100 } });
    assert.deepEqual(traced(), []);
  });

  it('see secrets only where the box is ticked; what they write of them never gets into the log', async () => {
    const script = `echo "secret [$CLOUD_SYNC_SECRET_ACCESS_KEY]"; echo "$CLOUD_SYNC_SECRET_ACCESS_KEY" >> ${trace}`;
    const without = await run({ preScript: script, postScript: '' });
    const withSecrets = await run({ preScript: script, postScript: '', scriptSecrets: true });
    assert.deepEqual(traced(), ['top/secret+value']);
    const written = [];
    for (const { runId } of [without, withSecrets]) {
      const log = await runner.log(runId, { search: '[Pre-script]' });
      written.push(log.ok && log.value.entries[0]?.message);
    }
    assert.deepEqual(written, ['[Pre-script] secret []', '[Pre-script] secret [***]']);
  });

  it('are ended with the run', async () => {
    const script = `echo $$ >> ${trace}\nsleep 60`;
    const ticket = runner.submit(runRequest(dataFolder, { preScript: script }), new Recorder());
    await until(() => traced().length > 0, 'the script runs');
    ticket.abort();
    assert.equal((await ticket.finished).status, 'aborted');
    assert.ok(!(await isRunning(Number(traced()[0]))));
  });

  it('that leave the run hanging are killed with it', async () => {
    const script = `trap '' TERM\necho $$ >> ${trace}\nwhile :; do sleep 1; done`;
    const ticket = runner.submit(runRequest(dataFolder, { preScript: script }), new Recorder());
    await until(() => traced().length > 0, 'the script runs');
    ticket.abort();
    await ticket.finished;
    await until(async () => !(await isRunning(Number(traced()[0]))), 'the script is gone');
  });
});
