import assert from 'node:assert/strict';
import { execFileSync, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunReport } from '../../src/engine/report.js';
import { Runner, type RunnerOptions } from '../../src/runner/runner.js';
import type { TaskSettings } from '../../src/runner/task.js';
import { until } from '../until.js';
import { Bystander, type Noticed, otherFlows, patience, type Waits } from './other-flows.js';
import { bundle, isRunning, Recorder, runRequest, temporaryFolder } from './support.js';

/** How late other flows may be: so many ms, and times the worst that a process beside noticed, which is the machine's. */
const MOST: Record<keyof Waits, number> = { typical: 50, slowest: 150 };
const TIMES_MACHINE = 4;
/** Of fewer answers each one is the slowest in a hundred. */
const FEW = 20;

/** Which of what other flows noticed isn't the machine's doing. */
function notTheMachine(noticed: Noticed, beside: Noticed): string[] {
  const found: string[] = [];
  for (const what of ['answers', 'loop'] as const) {
    for (const which of ['typical', 'slowest'] as const) {
      const [own, other] = [noticed[what][which], beside[what].slowest];
      const isTold = which === 'slowest' || noticed.count >= FEW;
      if (!isTold || own <= MOST[which] + TIMES_MACHINE * other) continue;
      found.push(`${what}, ${which}: ${own.toFixed(0)} ms, beside it at most ${other.toFixed(0)} ms`);
    }
  }
  return found;
}

describe('A run whose process misbehaves', function () {
  // A busy machine may stand still for one of the two processes alone.
  this.retries(2);
  let childFile: string;
  let dataFolder: string;
  let runner: Runner;

  let bystander: Bystander;

  before(async () => {
    childFile = await bundle('fake-child');
    bystander = await Bystander.start(await bundle('bystander'));
  });

  beforeEach(() => {
    dataFolder = temporaryFolder();
  });

  afterEach(() => runner.stop());
  after(() => bystander?.stop());

  /** The report of a run that behaves as `task.name` says; meanwhile other flows must not notice anything. */
  async function endOf(task: Partial<TaskSettings>, options: Partial<RunnerOptions>): Promise<RunReport> {
    runner = new Runner({ dataFolder, childFile, ...options });
    bystander.begin();
    const endFlows = otherFlows();
    const report = await runner.submit(runRequest(dataFolder, task), new Recorder()).finished;
    const [noticed, beside] = await Promise.all([endFlows(), bystander.end()]);
    assert.deepEqual(notTheMachine(noticed, beside), []);
    return report;
  }

  const cases: {
    name: string;
    what: string;
    options?: Partial<RunnerOptions>;
    message: RegExp;
  }[] = [
    { name: 'heapMap', what: 'a growing Map', options: { runMemoryMb: 150 }, message: /memory/ },
    { name: 'heapJson', what: 'parsed JSON', options: { runMemoryMb: 150 }, message: /memory/ },
    { name: 'buffers', what: 'Buffers', options: { runMemoryMb: 200 }, message: /more than 200 MB/ },
    { name: 'abort', what: 'process.abort()', message: /SIGABRT/ },
    { name: 'exits', what: 'process.exit()', message: /exit code 7.*something went wrong/ },
    { name: 'busy', what: 'a loop that stands still', options: { hangMs: 1500 }, message: /hung/ },
  ];
  for (const { name, what, options = {}, message } of cases) {
    it(`fails, while other flows go on: ${what}`, async () => {
      const report = await endOf({ name }, options);
      assert.equal(report.status, 'failed');
      assert.equal(report.errorCount, 1);
      assert.equal(report.errors[0]!.code, 'RUN_DIED');
      assert.match(report.errors[0]!.message, message);
      assert.equal(runner.state('node-1').status, 'failed');
      const log = await runner.log(report.runId, { level: 'error' });
      assert.ok(log.ok && log.value.entries.some((entry) => message.test(entry.message ?? '')));
    });
  }

  it('fails, while other flows go on: a synchronous read of a FIFO; and the runner still stops', async () => {
    const fifo = join(dataFolder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const report = await endOf({ name: 'fifo', bucket: fifo }, { hangMs: 1500 });
    assert.match(report.errors[0]!.message, /hung/);
    await runner.stop();

    runner = new Runner({ dataFolder, childFile });
    const recorder = new Recorder();
    const ticket = runner.submit(runRequest(dataFolder, { name: 'fifo', bucket: fifo }), recorder);
    await until(() => recorder.starts > 0, 'the run starts');
    bystander.begin();
    const start = performance.now();
    await runner.stop();
    const took = performance.now() - start;
    assert.ok(took < 8000 + patience(await bystander.end()), `${took} ms`);
    assert.equal((await ticket.finished).status, 'aborted');
  });

  it('counts what its last progress said', async () => {
    const go = join(dataFolder, 'never');
    runner = new Runner({ dataFolder, childFile });
    const recorder = new Recorder();
    const ticket = runner.submit(runRequest(dataFolder, { name: 'untilFile', bucket: go }), recorder);
    const progress = await until(
      () => recorder.progress.find((one) => one.bytes.done > 0),
      'there is progress',
    );
    execFileSync('kill', ['-9', String(lockHolder(dataFolder, ticket.runId))]);
    const report = await ticket.finished;
    assert.match(report.errors[0]!.message, /SIGKILL/);
    assert.ok(report.transferred.bytes >= progress.bytes.done);
  });

  it('is shown as interrupted when the system ends it, as it does with all of a service', async () => {
    runner = new Runner({ dataFolder, childFile });
    const recorder = new Recorder();
    const ticket = runner.submit(runRequest(dataFolder, { name: 'slow' }), recorder);
    await until(() => recorder.starts > 0, 'the run starts');
    execFileSync('kill', ['-TERM', String(lockHolder(dataFolder, ticket.runId))]);
    const report = await ticket.finished;
    assert.equal(report.status, 'aborted');
    assert.match(report.warnings[0]!.message, /told to end/);
    assert.equal(runner.state('node-1').status, 'interrupted');
  });

  it('ends at once and tells the reason without secrets when something throws where nobody catches it', async () => {
    const report = await endOf({ name: 'throwsLater' }, {});
    assert.equal(report.status, 'failed');
    assert.equal(report.errors[0]!.code, 'INTERNAL');
    assert.equal(report.errors[0]!.message, 'Nobody caught this, ***');
  });

  it('fails with the words of an engine that throws', async () => {
    const report = await endOf({ name: 'throws' }, {});
    assert.equal(report.errors[0]!.message, 'The engine is broken');
  });

  it('fails before it starts where the provider is unknown', async () => {
    const { task } = runRequest(dataFolder);
    const report = await endOf({ credential: { ...task.credential, provider: 'floppy' } }, {});
    assert.equal(report.status, 'failed');
    assert.equal(report.errors[0]!.code, 'INVALID_INPUT');
    assert.equal(report.errors[0]!.field, 'provider');
  });
});

function lockHolder(dataFolder: string, runId: string): number {
  const lock = JSON.parse(readFileSync(join(dataFolder, 'locks', `${runId}.json`), 'utf8')) as {
    holder: { pid: number };
  };
  return lock.holder.pid;
}

describe('A Node-RED that is killed', () => {
  let childFile: string;
  let parentFile: string;

  before(async () => {
    [childFile, parentFile] = await Promise.all([bundle('fake-child'), bundle('fake-parent')]);
  });

  /** Starts a run in a process of its own, kills that with SIGKILL, and gives the pid of the run's process. */
  async function killedDuring(dataFolder: string, task: Partial<TaskSettings>): Promise<number> {
    const request = runRequest(dataFolder, task);
    const parent = fork(parentFile, [], { execArgv: [], stdio: 'inherit' });
    const exited = new Promise((resolve) => parent.once('exit', resolve));
    parent.send({ dataFolder, childFile, request });
    await new Promise((resolve) => parent.once('message', resolve));
    const pid = lockHolder(dataFolder, request.runId);
    assert.ok(await isRunning(pid));
    parent.kill('SIGKILL');
    await exited;
    return pid;
  }

  it('takes the process of its run with it, and shows the run as interrupted', async () => {
    const dataFolder = temporaryFolder();
    const pid = await killedDuring(dataFolder, { name: 'deaf' });
    await until(async () => !(await isRunning(pid)), 'the child ends');
    const runner = new Runner({ dataFolder, childFile });
    const state = await runner.load('node-1');
    assert.equal(state.status, 'interrupted');
    assert.equal(state.report?.status, 'aborted');
    const next = await runner.submit(runRequest(dataFolder), new Recorder()).finished;
    assert.equal(next.status, 'success');
    await runner.stop();
  });

  it('leaves nobody who writes, even if that hangs: the next run waits for it, then ends it', async () => {
    const dataFolder = temporaryFolder();
    const fifo = join(dataFolder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const pid = await killedDuring(dataFolder, { name: 'fifo', bucket: fifo });
    const runner = new Runner({ dataFolder, childFile });
    const recorder = new Recorder();
    const again = runRequest(dataFolder, { folder: 'node-1', bucket: fifo });
    const ticket = runner.submit(again, recorder);
    await until(() => recorder.queued.length > 0, 'the next run waits');
    assert.match(recorder.queued[0]!, new RegExp(`another process \\(${pid}\\)`));
    assert.ok(await isRunning(pid));
    assert.equal((await ticket.finished).status, 'success');
    assert.ok(!(await isRunning(pid)));
    await runner.stop();
  });
});
