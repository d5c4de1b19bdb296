import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import type { NodeMessage } from 'node-red';
import type { RunReport } from '../../src/engine/report.js';
import { type FakeRun, FakeRunner } from './fake-runner.js';
import {
  CREDENTIAL,
  completeNode,
  type FlowNode,
  HELPERS,
  helper,
  Inbox,
  NODES,
  node,
  replaceRunner,
  SECRETS,
  TASK,
} from './node-red.js';

const load = createRequire(import.meta.url);
const CORE = ['25-catch', '24-complete'].map(
  (name) => load(`@node-red/nodes/core/common/${name}.js`) as never,
);

const RESTORE: FlowNode = {
  id: 'restore',
  z: 'flow',
  type: 'cloud-restore',
  name: 'Back again',
  task: 'task',
  path: '/srv/restored',
  wires: [['success'], ['failure'], ['progress']],
};
const VERIFY: FlowNode = {
  id: 'verify',
  z: 'flow',
  type: 'cloud-verify',
  task: '',
  method: 'checksum',
  wires: [['success'], ['failure'], ['progress']],
};

describe('nodes', () => {
  let runner: FakeRunner;
  let statuses: Array<{ fill?: string; shape?: string; text?: string }>;

  before(() => helper.startServer());
  after(() => helper.stopServer());
  beforeEach(() => {
    runner = new FakeRunner();
    replaceRunner(runner);
  });
  afterEach(async () => {
    await helper.unload();
    replaceRunner(undefined);
  });

  async function deploy(...nodes: FlowNode[]): Promise<void> {
    const complete = completeNode(nodes.map(({ id }) => id));
    await helper.load([...NODES, ...CORE], [CREDENTIAL, ...HELPERS, complete, ...nodes] as never, SECRETS);
    watchStatus(nodes[0]!.id);
  }
  function watchStatus(id: string): void {
    statuses = [];
    node(id).on(
      'call:status' as never,
      ((call: { args: Array<(typeof statuses)[number]> }) => {
        statuses.push(call.args[0]!);
      }) as never,
    );
  }
  /** Sends a message and waits until its run is asked for. */
  async function run(id: string, message: NodeMessage = {}): Promise<FakeRun> {
    const submitted = once(runner, 'submit');
    node(id).receive(message);
    const [started] = (await submitted) as [FakeRun];
    return started;
  }

  it('sends a report on by the first output, keeps the message, and completes', async () => {
    await deploy(TASK);
    const success = new Inbox('success');
    const completed = new Inbox('completed');
    const started = await run('task', { topic: 'night', extra: 7, payload: 'x' });
    assert.equal(started.request.operation, 'sync');
    assert.equal(started.request.task.credential.secrets.secretAccessKey, 'the-hidden-secret');
    const report = runner.finish(started, 'success');
    const message = await success.next();
    assert.deepEqual(message.payload, report);
    assert.equal(message.topic, 'night');
    assert.equal((message as { extra?: number }).extra, 7);
    assert.deepEqual((await completed.next()).payload, report);
  });

  it('sends a failure by the second output and to Catch nodes, with the mend in the words', async () => {
    await deploy(TASK);
    const failure = new Inbox('failure');
    const caught = new Inbox('caught');
    const completed = new Inbox('completed');
    const started = await run('task');
    runner.finish(started, 'failed', {
      errorCount: 3,
      errors: [
        {
          path: 'a.jpg',
          code: 'BUCKET_NOT_FOUND',
          message: 'The bucket family is not there',
          advice: 'Create it.',
        },
      ],
    });
    assert.equal((await failure.next()).payload.status, 'failed');
    const { error, payload } = (await caught.next()) as unknown as {
      error: { message: string; code: string };
      payload: RunReport;
    };
    assert.match(error.message, /a\.jpg: The bucket family is not there \(\+2\)\. Create it\./);
    assert.equal(error.code, 'BUCKET_NOT_FOUND');
    assert.equal(payload.status, 'failed');
    assert.deepEqual(completed.messages, []);
  });

  for (const status of ['aborted', 'skipped'] as const) {
    it(`sends ${status} by the second output, completes, and bothers no Catch node`, async () => {
      await deploy(TASK);
      const failure = new Inbox('failure');
      const caught = new Inbox('caught');
      const completed = new Inbox('completed');
      runner.finish(await run('task'), status);
      assert.equal((await failure.next()).payload.status, status);
      await completed.next();
      assert.deepEqual(caught.messages, []);
    });
  }

  it('stops on msg.action abort, and says so', async () => {
    await deploy(TASK);
    const failure = new Inbox('failure');
    const completed = new Inbox('completed');
    await run('task', { topic: 'the run' });
    node('task').receive({ action: 'abort', topic: 'the abort' });
    const message = await failure.next();
    assert.equal(message.topic, 'the run');
    assert.equal(message.payload.status, 'aborted');
    const topics = [(await completed.next()).topic, (await completed.next()).topic];
    assert.deepEqual(topics.sort(), ['the abort', 'the run']);
    assert.equal(runner.runs.length, 1);
    assert.match(statuses.at(-1)?.text ?? '', /^aborted/);
  });

  it('runs on any message, but not on an action it does not know', async () => {
    await deploy(TASK);
    const failure = new Inbox('failure');
    await run('task', { action: 'run' });
    await run('task', { payload: null });
    node('task').receive({ action: 'stop' });
    const { payload } = await failure.next();
    assert.match(JSON.stringify(payload.errors), /msg\.action is \\"stop\\"/);
    assert.equal(runner.runs.length, 2);
  });

  it('tells progress by the third output and in its status, which it does not flood', async () => {
    await deploy(TASK);
    const progress = new Inbox('progress');
    const started = await run('task', { topic: 'night' });
    started.listener?.onQueued?.('Waiting for the run before');
    for (let step = 0; step < 20; step++) runner.progress(started, 'transferring', step);
    const message = await progress.next();
    assert.equal(message.topic, 'night');
    assert.deepEqual(Object.keys(message.payload).sort(), [
      'bytes',
      'bytesPerSecond',
      'etaSeconds',
      'files',
      'percent',
      'phase',
      'runId',
      'task',
      'taskId',
    ]);
    runner.finish(started, 'success');
    await new Promise((resolve) => setImmediate(resolve));
    const texts = statuses.map(({ text }) => text);
    assert.ok(
      texts.some((text) => text?.startsWith('queued')),
      String(texts),
    );
    assert.ok(texts.length <= 4, String(texts));
    assert.match(texts.at(-1) ?? '', /^3 files · 4\.5 kB · 1 Mar/);
  });

  const badMessages: Array<[string, NodeMessage, RegExp]> = [
    ['an unknown property', { cloudSync: { paths: 'x' } }, /msg\.cloudSync\.paths/],
    ['an override that is not allowed', { cloudSync: { path: '/etc' } }, /msg\.cloudSync\.path/],
    ['a secret', { cloudSync: { encryptionPassword: 'x' } }, /msg\.cloudSync\.encryptionPassword/],
    ['something else than an object', { cloudSync: 'dry' }, /object/],
  ];
  for (const [what, message, expected] of badMessages) {
    it(`runs nothing where msg.cloudSync holds ${what}`, async () => {
      await deploy(TASK);
      const failure = new Inbox('failure');
      const caught = new Inbox('caught');
      node('task').receive(message);
      const { payload } = await failure.next();
      assert.equal(payload.status, 'failed');
      assert.match(JSON.stringify(payload.errors), expected);
      assert.match(JSON.stringify((await caught.next()) as object), expected);
      assert.deepEqual(runner.runs, []);
      assert.equal(statuses.at(-1)?.fill, 'red');
    });
  }

  it('hands overrides on', async () => {
    await deploy({ ...TASK, allowOverrides: ['folder'] });
    const started = await run('task', { cloudSync: { folder: 'other', dryRun: true, transfers: 2 } });
    const { folder, dryRun, transfers } = started.request.task;
    assert.deepEqual({ folder, dryRun, transfers }, { folder: 'other', dryRun: true, transfers: 2 });
  });

  const unusable: Array<[string, FlowNode[], string, RegExp]> = [
    ['no credential', [{ ...TASK, credential: '' }], 'task', /No cloud-credential is chosen/],
    ['a removed credential', [{ ...TASK, credential: 'gone' }], 'task', /cloud-credential gone .* missing/],
    ['a relative path', [{ ...TASK, path: 'photos' }], 'task', /relative path/],
    ['a missing bucket', [{ ...TASK, bucket: '' }], 'task', /bucket is empty/],
    ['a removed task', [{ ...RESTORE, task: 'gone' }], 'restore', /cloud-sync gone .* missing/],
    ['no task', [{ ...RESTORE, task: '' }], 'restore', /No cloud-sync is chosen/],
    ['a wrong restore', [{ ...RESTORE, path: '' }, TASK], 'restore', /path is empty/],
    ['a wrong method', [{ ...VERIFY, task: 'task', method: 'guess' }, TASK], 'verify', /method/],
  ];
  for (const [what, nodes, id, expected] of unusable) {
    it(`shows ${what} at once, and fails a message with it`, async () => {
      await deploy(...nodes);
      const failure = new Inbox('failure');
      node(id).receive({});
      const { payload } = await failure.next();
      assert.match(JSON.stringify(payload.errors), expected);
      assert.deepEqual(runner.runs, []);
    });
  }

  it('names the credential node that lacks a secret, or is disabled', async () => {
    await helper.load(NODES, [CREDENTIAL, ...HELPERS, TASK] as never, {
      credential: { accessKeyId: 'AKID' },
    });
    const failure = new Inbox('failure');
    node('task').receive({});
    assert.match(JSON.stringify((await failure.next()).payload.errors), /Home.* has no secretAccessKey/);
    await helper.unload();
    await helper.load(NODES, [{ ...CREDENTIAL, d: true }, ...HELPERS, TASK] as never, SECRETS);
    const again = new Inbox('failure');
    node('task').receive({});
    assert.match(JSON.stringify((await again.next()).payload.errors), /Home.* is disabled.*Enable/);
  });

  it('keeps secrets out of messages, statuses and the log', async () => {
    await deploy({ ...TASK, encryption: true });
    const failure = new Inbox('failure');
    node('task').receive({});
    await failure.next();
    const said = JSON.stringify([statuses, helper.log().args]);
    assert.doesNotMatch(said, /the-hidden-secret/);
  });

  it('restores what a task has stored, narrowed by the message', async () => {
    await deploy(RESTORE, { ...TASK, include: ['*.jpg'], transfers: 3 });
    const success = new Inbox('success');
    const started = await run('restore', {
      payload: { paths: ['a/b.jpg'] },
      cloudSync: { asOf: '2025-03-01T00:00:00Z' },
    });
    const { operation, task, restore, nodeId } = started.request;
    assert.equal(operation, 'restore');
    assert.equal(nodeId, 'restore');
    assert.equal(task.taskId, 'task');
    assert.deepEqual(task.include, ['*.jpg']);
    assert.equal(restore?.path, '/srv/restored');
    assert.deepEqual(restore?.paths, ['a/b.jpg']);
    assert.equal(restore?.asOf, Date.UTC(2025, 2, 1));
    runner.finish(started, 'success');
    assert.equal((await success.next()).payload.operation, 'restore');
  });

  it('verifies the task of the report that comes in, as that run had it', async () => {
    await deploy({ ...TASK, wires: [['verify'], [], []] }, VERIFY);
    const success = new Inbox('success');
    const submitted = once(runner, 'submit');
    const pushed = await run('task', { cloudSync: { exclude: ['*.tmp'] } });
    await submitted;
    const verified = once(runner, 'submit');
    runner.finish(pushed, 'success');
    const [started] = (await verified) as [FakeRun];
    assert.equal(started.request.operation, 'verify');
    assert.equal(started.request.nodeId, 'verify');
    assert.deepEqual(started.request.verify, { method: 'checksum', sample: 10 });
    assert.deepEqual(started.request.task.exclude, ['*.tmp']);
    runner.finish(started, 'success', { matched: 12 });
    assert.equal((await success.next()).payload.matched, 12);
  });

  describe('a verify behind a restore', () => {
    const MAY_GO_ANYWHERE = { ...RESTORE, allowOverrides: ['path'] };
    const asOf = '2025-03-01T00:00:00.000Z';
    const restored = { nodeId: 'restore', path: '/srv/restored', include: [], exclude: [] };
    /** Sends a report to the verify node, and gives the run it asks for. */
    const verify = async (report: object) => (await run('verify', { payload: report })).request;

    it('compares what was restored, where it was restored to', async () => {
      await deploy({ ...RESTORE, wires: [['verify'], [], []] }, VERIFY, TASK);
      const started = await run('restore', {
        payload: { paths: ['a/b.jpg'] },
        cloudSync: { asOf, exclude: ['*.tmp'] },
      });
      const verified = once(runner, 'submit');
      runner.finish(started, 'success');
      const [{ request }] = (await verified) as [FakeRun];
      assert.equal(request.operation, 'verify');
      assert.equal(request.nodeId, 'verify');
      assert.equal(request.task.taskId, 'task');
      assert.deepEqual(request.restore, { ...started.request.restore });
      assert.equal(request.resumption, undefined);
    });

    it('takes a folder from the report only where the restore takes it from messages', async () => {
      await deploy(RESTORE, VERIFY, TASK);
      const failure = new Inbox('failure');
      node('verify').receive({ payload: { taskId: 'task', restored: { ...restored, path: '/etc' } } });
      assert.match(JSON.stringify((await failure.next()).payload.errors), /cloudSync\.path/);
      assert.deepEqual(runner.runs, []);
      await helper.unload();
      await deploy(MAY_GO_ANYWHERE, VERIFY, TASK);
      const request = await verify({ restored: { ...restored, path: '/srv/elsewhere' } });
      assert.equal(request.restore?.path, '/srv/elsewhere');
    });

    it('fails where the restore is there no more', async () => {
      await deploy(VERIFY, TASK);
      const failure = new Inbox('failure');
      node('verify').receive({ payload: { taskId: 'task', restored } });
      assert.match(JSON.stringify((await failure.next()).payload.errors), /cloud-restore restore .* missing/);
      assert.deepEqual(runner.runs, []);
    });

    it('verifies the task itself where the node names it', async () => {
      await deploy(RESTORE, { ...VERIFY, task: 'task' }, TASK);
      const request = await verify({ restored });
      assert.equal(request.restore, undefined);
    });
  });

  it('fails a verify that neither has a task nor gets one', async () => {
    await deploy(VERIFY, TASK);
    const failure = new Inbox('failure');
    node('verify').receive({ payload: 'x' });
    assert.match(JSON.stringify((await failure.next()).payload.errors), /No task is chosen/);
  });

  it('says once when a task has had no success for too long', async () => {
    const succeededAt = new Date(Date.now() - 3 * 3_600_000).toISOString();
    runner.lastState = { status: 'failed', succeededAt };
    await deploy({ ...TASK, id: 'stale', staleAfter: '2' });
    const failure = new Inbox('failure');
    const { payload } = await failure.next();
    assert.deepEqual(payload, {
      status: 'stale',
      taskId: 'stale',
      task: 'Photos',
      staleAfter: 2,
      succeededAt,
    });
    assert.match(statuses.at(-1)?.text ?? '', /no success for 2 h/);
    assert.deepEqual(runner.runs, []);
  });

  describe('through a deploy', () => {
    const flow = (...nodes: FlowNode[]) =>
      [CREDENTIAL, ...HELPERS, completeNode(nodes.map(({ id }) => id)), ...nodes] as never;

    async function redeploy(...nodes: FlowNode[]): Promise<void> {
      await helper.setFlows(flow(...nodes), 'full', SECRETS as never);
    }
    async function adopted(): Promise<void> {
      await once(runner, 'adopt');
    }

    it('a run goes on in the node that comes back, with outputs, status and Complete', async () => {
      await deploy(TASK);
      const started = await run('task', { topic: 'night', cloudSync: { transfers: 2 } });
      const taken = adopted();
      await redeploy({ ...TASK, name: 'Renamed', x: 100 });
      await taken;
      watchStatus('task');
      const success = new Inbox('success');
      const completed = new Inbox('completed');
      runner.progress(started, 'transferring');
      runner.finish(started, 'success');
      assert.equal((await success.next()).topic, 'night');
      await completed.next();
      assert.match(statuses.at(-1)?.text ?? '', /^3 files/);
      assert.equal(started.aborted, false);
    });

    it('a failure reaches the new Catch node', async () => {
      await deploy(TASK);
      const started = await run('task');
      const taken = adopted();
      await redeploy(TASK);
      await taken;
      const caught = new Inbox('caught');
      runner.finish(started, 'failed', {
        errorCount: 1,
        errors: [{ path: '', code: 'DISK_FULL', message: 'full' }],
      });
      assert.match(JSON.stringify(await caught.next()), /full/);
    });

    it('a changed node does not take its run over', async () => {
      await deploy(TASK);
      const started = await run('task');
      const taken = adopted();
      await redeploy({ ...TASK, folder: 'elsewhere' });
      await taken;
      assert.equal(started.aborted, true);
      assert.equal(started.listener, undefined);
    });

    for (const [what, nodes] of [
      ['removed', []],
      ['disabled', [{ ...TASK, d: true }]],
    ] as Array<[string, FlowNode[]]>) {
      it(`the run of a node that was ${what} ends at once`, async () => {
        await deploy(TASK);
        const started = await run('task');
        await redeploy(...nodes);
        assert.equal(started.aborted, true);
      });
    }

    it('what the last run came to is shown again', async () => {
      await deploy(TASK);
      runner.lastState = { status: 'success', report: runner.finish(await run('task'), 'success') };
      await redeploy(TASK);
      watchStatus('task');
      while (statuses.length === 0) await once(node('task'), 'call:status');
      assert.match(statuses.at(-1)?.text ?? '', /^3 files/);
    });
  });
});
