import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { configurationHash, Runner, type RunnerOptions } from '../../src/runner/runner.js';
import type { RunRequest, TaskSettings } from '../../src/runner/task.js';
import { until } from '../until.js';
import { Bystander, patience } from './other-flows.js';
import { bundle, isRunning, Recorder, runRequest, temporaryFolder } from './support.js';

describe('Runner', () => {
  let childFile: string;
  let dataFolder: string;
  let runner: Runner;

  let bystander: Bystander;

  before(async () => {
    childFile = await bundle('fake-child');
    bystander = await Bystander.start(await bundle('bystander'));
  });

  after(() => bystander?.stop());

  /** Longer only where the machine was so slow to the bystander too, who was told to begin. ms. */
  async function assertWithin(mostMs: number, tookMs: number): Promise<void> {
    const patienceMs = patience(await bystander.end());
    assert.ok(tookMs < mostMs + patienceMs, `it took ${tookMs} ms of ${mostMs} + ${patienceMs}`);
  }

  /** How often something may come in so many ms that comes at most twice a second. */
  const mostWithin = (ms: number) => 2 + ms / 500;

  function restart(options: Partial<RunnerOptions> = {}): void {
    runner = new Runner({ dataFolder, childFile, ...options });
  }

  beforeEach(() => {
    dataFolder = temporaryFolder();
    restart();
  });

  afterEach(() => runner.stop());

  function request(task: Partial<TaskSettings> = {}, rest: Partial<RunRequest> = {}): RunRequest {
    return runRequest(dataFolder, task, rest);
  }

  function submit(task: Partial<TaskSettings> = {}, rest: Partial<RunRequest> = {}) {
    const recorder = new Recorder();
    return { recorder, ticket: runner.submit(request(task, rest), recorder) };
  }

  async function submitAndStart(task: Partial<TaskSettings>, rest: Partial<RunRequest> = {}) {
    const run = submit(task, rest);
    await until(() => run.recorder.starts > 0, 'the run starts');
    return run;
  }

  describe('a run that succeeds', () => {
    it('gives a report with exactly the fields of the contract, and its environment without secrets', async () => {
      const { recorder, ticket } = submit();
      const report = await ticket.finished;
      assert.deepEqual(Object.keys(report).sort(), [
        ...[
          'checked',
          'deleted',
          'direction',
          'dryRun',
          'durationMs',
          'env',
          'errorCount',
          'errors',
          'finishedAt',
        ],
        ...[
          'operation',
          'requests',
          'runId',
          'skipped',
          'startedAt',
          'status',
          'task',
          'taskId',
          'transferMode',
        ],
        ...['transferred', 'warnings'],
      ]);
      assert.equal(report.status, 'success');
      assert.equal(report.runId, ticket.runId);
      assert.deepEqual(report.transferred, { files: 2, bytes: 2048 });
      assert.equal(new Date(report.startedAt).toISOString(), report.startedAt);
      assert.equal(Date.parse(report.finishedAt) - Date.parse(report.startedAt), report.durationMs);
      assert.equal(report.env.CLOUD_SYNC_ACCESS_KEY_ID, 'AKIAEXAMPLE');
      assert.ok(!JSON.stringify(report).includes('top/secret'));
      assert.deepEqual(recorder.reports, [report]);
      assert.equal(recorder.starts, 1);
    });

    it('gives the child no secret in arguments or environment, nor what else is in the environment', async () => {
      process.env.SOMEBODY_ELSES_TOKEN = 'not-for-the-child';
      process.env.NODE_OPTIONS = '--title=inherited';
      try {
        const file = join(dataFolder, 'told.json');
        await submit({ name: 'tells', bucket: file }).ticket.finished;
        const told = readFileSync(file, 'utf8');
        assert.ok(told.includes('"PATH"'));
        for (const unwanted of ['top/secret', 'not-for-the-child', 'NODE_OPTIONS']) {
          assert.ok(!told.includes(unwanted), unwanted);
        }
      } finally {
        delete process.env.SOMEBODY_ELSES_TOKEN;
        delete process.env.NODE_OPTIONS;
      }
    });

    it('writes a log that can be read in pages, searched and filtered', async () => {
      const { ticket } = submit();
      await ticket.finished;
      const whole = await runner.log(ticket.runId);
      assert.ok(whole.ok);
      assert.deepEqual(
        whole.value.entries.map((entry) => entry.event),
        ['phase', 'phase', 'transfer', 'error', 'end'],
      );
      const errors = await runner.log(ticket.runId, { level: 'error' });
      assert.deepEqual(errors.ok && errors.value.entries.map((entry) => entry.path), ['b.txt']);
      const found = await runner.log(ticket.runId, { search: 'A.TXT' });
      assert.deepEqual(found.ok && found.value.entries.map((entry) => entry.event), ['transfer']);
      const first = await runner.log(ticket.runId, { limit: 2 });
      assert.ok(first.ok && !first.value.end);
      const rest = await runner.log(ticket.runId, { after: first.value.next });
      assert.deepEqual(rest.ok && rest.value.entries.length, 3);
    });

    it('is remembered by the next runner', async () => {
      await submit().ticket.finished;
      await runner.stop();
      restart();
      const state = await runner.load('node-1');
      assert.equal(state.status, 'success');
      assert.equal(state.report?.transferred.bytes, 2048);
      assert.equal((await runner.history('node-1')).length, 1);
    });
  });

  it('tells progress at most twice a second, never running back', async () => {
    const startedAt = performance.now();
    const { recorder, ticket } = submit({ name: 'slow' });
    await until(() => recorder.progress.length >= 5, 'five progress messages');
    // Each of them may be late, but not the time in which all came.
    assert.ok(recorder.progress.length <= mostWithin(performance.now() - startedAt));
    ticket.abort();
    await ticket.finished;
    for (const [index, progress] of recorder.progress.entries()) {
      const before = recorder.progress[index - 1];
      if (before === undefined) continue;
      assert.ok(progress.percent >= before.percent && progress.percent <= 100);
    }
    assert.equal(recorder.progress.at(-1)?.phase, 'transferring');
    assert.ok(recorder.progress.at(-1)!.percent > 0);
  });

  describe('abort', () => {
    it('ends a run that listens within a second, as aborted, with the reason', async () => {
      const { recorder, ticket } = await submitAndStart({ name: 'slow' });
      bystander.begin();
      const start = performance.now();
      assert.equal(runner.abort('node-1'), 1);
      const report = await ticket.finished;
      await assertWithin(1000, performance.now() - start);
      assert.equal(report.status, 'aborted');
      assert.match(report.warnings[0]!.message, /Stopped/);
      assert.deepEqual(recorder.reports, [report]);
      assert.equal(runner.state('node-1').status, 'aborted');
    });

    it("kills runs that don't listen after 5 s", async () => {
      const runs = await Promise.all(
        ['deaf', 'busy'].map((name) => submitAndStart({ name, taskId: name, path: `/nowhere/${name}` })),
      );
      bystander.begin();
      const start = performance.now();
      const reports = await Promise.all(
        runs.map(({ ticket }) => {
          ticket.abort('Enough');
          return ticket.finished;
        }),
      );
      const elapsed = performance.now() - start;
      assert.ok(elapsed > 4500, `${elapsed} ms`);
      await assertWithin(7000, elapsed);
      for (const report of reports) {
        assert.equal(report.status, 'aborted');
        assert.deepEqual(
          report.warnings.map((warning) => warning.code),
          ['ABORTED', 'RUN_DIED'],
        );
      }
    });

    it('ends a run before its process is up', async () => {
      const { recorder, ticket } = submit({ name: 'slow' });
      ticket.abort();
      assert.equal((await ticket.finished).status, 'aborted');
      assert.equal(recorder.starts, 0);
    });
  });

  it('stops within 8 s whatever its runs do; they are shown as interrupted', async () => {
    await submitAndStart({ name: 'busy', taskId: 'a' });
    await submitAndStart({ name: 'slow', taskId: 'b' });
    bystander.begin();
    const start = performance.now();
    await runner.stop();
    await assertWithin(8000, performance.now() - start);
    restart();
    assert.equal((await runner.load('a')).status, 'interrupted');
    assert.equal((await runner.load('b')).status, 'interrupted');
  });

  describe('a message while the task runs', () => {
    it('waits with whenBusy queue, and a third joins the second', async () => {
      const go = join(dataFolder, 'go');
      const first = await submitAndStart({ name: 'untilFile', bucket: go });
      const second = submit();
      const third = submit();
      assert.equal(runner.state('node-1').status, 'running');
      assert.match(second.recorder.queued[0]!, /run before/);
      assert.equal(third.ticket.runId, second.ticket.runId);
      writeFileSync(go, '');
      const report = await third.ticket.finished;
      await first.ticket.finished;
      assert.deepEqual(second.recorder.reports, [report]);
      assert.deepEqual(third.recorder.reports, [report]);
      assert.equal((await runner.history('node-1')).length, 2);
    });

    it('is told when the run it joined has other settings than it asked for', async () => {
      await submitAndStart({ name: 'slow' });
      submit();
      const third = submit({ include: ['*.jpg'] });
      runner.abort('node-1');
      await until(() => third.recorder.reports[0], 'the third has a report');
      assert.ok(third.recorder.reports[0]!.warnings.some((warning) => /joined/.test(warning.message)));
    });

    it('is skipped with whenBusy skip', async () => {
      const { ticket } = await submitAndStart({ name: 'slow' });
      const second = submit({ whenBusy: 'skip' });
      assert.equal((await second.ticket.finished).status, 'skipped');
      await until(() => second.recorder.reports.length === 1, 'the listener hears of it');
      assert.equal(runner.state('node-1').status, 'running');
      ticket.abort();
      await ticket.finished;
    });

    it('does not run any more when running and waiting are aborted', async () => {
      await submitAndStart({ name: 'slow' });
      const second = submit();
      assert.equal(runner.abort('node-1'), 2);
      assert.equal((await second.ticket.finished).status, 'aborted');
      await until(() => runner.state('node-1').status === 'aborted', 'all ended');
      assert.equal(second.recorder.starts, 0);
    });
  });

  describe('two tasks that overlap', () => {
    it('wait for each other, and the waiting one says for whom', async () => {
      const path = temporaryFolder();
      const go = join(dataFolder, 'go');
      await submitAndStart({ name: 'untilFile first', taskId: 'a', bucket: go, transferMode: 'move', path });
      const second = submit({ taskId: 'b', path: join(path, 'deeper') });
      await until(() => second.recorder.queued.length > 0, 'the second waits');
      assert.match(second.recorder.queued[0]!, /"untilFile first"/);
      assert.equal(runner.state('b').status, 'queued');
      writeFileSync(go, '');
      assert.equal((await second.ticket.finished).status, 'success');
    });

    it('run side by side if both only read there', async () => {
      const path = temporaryFolder();
      await submitAndStart({ name: 'slow', taskId: 'a', path });
      assert.equal((await submit({ taskId: 'b', path }).ticket.finished).status, 'success');
    });
  });

  it('runs no more than maxRuns processes at once', async () => {
    restart({ maxRuns: 1 });
    const first = await submitAndStart({ name: 'slow', taskId: 'a' });
    const second = submit({ taskId: 'b' });
    await until(() => second.recorder.queued.length > 0, 'the second waits');
    first.ticket.abort();
    assert.equal((await second.ticket.finished).status, 'success');
  });

  describe('a deploy', () => {
    it('leaves the run of an unchanged node alone, whose new listener gets the report', async () => {
      const go = join(dataFolder, 'go');
      const task = { name: 'untilFile', bucket: go };
      const { recorder, ticket } = await submitAndStart(task);
      runner.release('node-1', false);
      const later = new Recorder();
      const adopted = runner.adopt(
        'node-1',
        configurationHash(request({ ...task, whenBusy: 'skip' })),
        () => later,
      );
      assert.deepEqual(
        adopted.map((one) => one.runId),
        [ticket.runId],
      );
      writeFileSync(go, '');
      const report = await ticket.finished;
      assert.equal(report.status, 'success');
      assert.deepEqual(later.reports, [report]);
      assert.deepEqual(recorder.reports, []);
    });

    it('keeps a report for the node that comes back after the run has ended', async () => {
      const go = join(dataFolder, 'go');
      const task = { name: 'untilFile', bucket: go };
      const { ticket } = await submitAndStart(task);
      runner.release('node-1', false);
      writeFileSync(go, '');
      const report = await ticket.finished;
      await until(() => runner.state('node-1').status === 'success', 'the runner knows');
      const later = new Recorder();
      runner.adopt('node-1', configurationHash(request(task)), () => later);
      await until(() => later.reports.length > 0, 'the report is delivered');
      assert.deepEqual(later.reports, [report]);
    });

    it('aborts the run of a node that was changed', async () => {
      const { ticket } = await submitAndStart({ name: 'slow' });
      runner.release('node-1', false);
      const hash = configurationHash(request({ name: 'slow', folder: 'elsewhere' }));
      assert.deepEqual(
        runner.adopt('node-1', hash, () => new Recorder()),
        [],
      );
      const report = await ticket.finished;
      assert.equal(report.status, 'aborted');
      assert.match(report.warnings[0]!.message, /changed/);
    });

    it('aborts the run of a node that does not come back in time', async () => {
      await runner.stop();
      restart({ adoptionMs: 300 });
      const { ticket } = await submitAndStart({ name: 'slow' });
      runner.release('node-1', false);
      const report = await ticket.finished;
      assert.match(report.warnings[0]!.message, /did not come back/);
    });

    it('aborts the run of a removed node at once', async () => {
      const { ticket } = await submitAndStart({ name: 'slow' });
      runner.release('node-1', true);
      assert.match((await ticket.finished).warnings[0]!.message, /removed/);
    });

    it('knows a run with overrides by the hash of its node', async () => {
      const hash = configurationHash(request({ name: 'slow' }));
      const { ticket } = await submitAndStart(
        { name: 'slow', include: ['*.jpg'] },
        { configurationHash: hash },
      );
      runner.release('node-1', false);
      assert.equal(runner.adopt('node-1', hash, () => new Recorder()).length, 1);
      ticket.abort();
      await ticket.finished;
    });
  });

  it('keeps a failed task marked until it succeeds, whatever dry runs say', async () => {
    await submit({ name: 'throws' }).ticket.finished;
    const { failedSince } = runner.state('node-1');
    assert.ok(failedSince);
    await submit({ dryRun: true }).ticket.finished;
    assert.equal(runner.state('node-1').failedSince, failedSince);
    await submit({ name: 'throws' }).ticket.finished;
    assert.equal(runner.state('node-1').failedSince, failedSince);
    await submit().ticket.finished;
    assert.equal(runner.state('node-1').failedSince, undefined);
    await submit({ name: 'throws', dryRun: true }).ticket.finished;
    assert.equal(runner.state('node-1').failedSince, undefined);
    assert.ok(runner.state('node-1').succeededAt);
  });

  it('tells listeners of changes, throttled, and survives listeners that throw', async () => {
    const startedAt = performance.now();
    let changes = 0;
    runner.onChange((nodeId) => {
      assert.equal(nodeId, 'node-1');
      changes++;
      throw new Error('a careless listener');
    });
    const ticket = runner.submit(request({ name: 'slow' }), {
      onStart: () => assert.fail('careless'),
      onFinish: () => assert.fail('careless'),
    });
    await until(() => changes >= 5, 'five changes');
    assert.ok(changes <= mostWithin(performance.now() - startedAt));
    ticket.abort();
    assert.equal((await ticket.finished).status, 'aborted');
  });

  it('fails the run, in words, when the child can not be started or locks can not be written', async () => {
    await runner.stop();
    restart({ childFile: join(dataFolder, 'missing.js') });
    const report = await submit().ticket.finished;
    assert.equal(report.status, 'failed');
    assert.equal(report.errors[0]!.code, 'RUN_DIED');
    await runner.stop();
    restart();
    writeFileSync(join(dataFolder, 'locks'), 'a file where a folder has to be');
    await runner.stop();
    const other = temporaryFolder();
    writeFileSync(join(other, 'locks'), 'a file where a folder has to be');
    runner = new Runner({ dataFolder: other, childFile });
    const locked = await runner.submit(runRequest(other), new Recorder()).finished;
    assert.equal(locked.errors[0]!.code, 'IO_ERROR');
    assert.match(locked.errors[0]!.message, /lock/);
  });

  it('leaves no process behind', async () => {
    const file = join(dataFolder, 'told.json');
    await submit({ name: 'tells', bucket: file }).ticket.finished;
    const { pid } = JSON.parse(readFileSync(file, 'utf8')) as { pid: number };
    await until(async () => !(await isRunning(pid)), 'the child is gone');
  });
});
