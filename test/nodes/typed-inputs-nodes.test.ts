import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { NodeMessage } from 'node-red';
import { type FakeRun, FakeRunner } from './fake-runner.js';
import {
  CREDENTIAL,
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

const RESTORE: FlowNode = {
  id: 'restore',
  z: 'flow',
  type: 'cloud-restore',
  task: 'task',
  path: 'target',
  pathType: 'msg',
  wires: [['success'], ['failure'], ['progress']],
};
const VERIFY: FlowNode = {
  id: 'verify',
  z: 'flow',
  type: 'cloud-verify',
  task: '',
  wires: [['success'], ['failure'], ['progress']],
};
const FROM_MESSAGE: FlowNode = { ...TASK, path: 'place.folder', pathType: 'msg' };

describe('typed inputs of nodes', () => {
  let runner: FakeRunner;
  let statuses: string[];

  before(() => helper.startServer());
  after(() => helper.stopServer());
  beforeEach(() => {
    runner = new FakeRunner();
    replaceRunner(runner);
  });
  afterEach(async () => {
    helper.settings({});
    await helper.unload();
    replaceRunner(undefined);
  });

  async function deploy(...nodes: FlowNode[]): Promise<void> {
    await helper.load(NODES, [CREDENTIAL, ...HELPERS, ...nodes] as never, SECRETS);
    statuses = [];
    node(nodes[0]!.id).on(
      'call:status' as never,
      ((call: { args: Array<{ text: string }> }) => {
        statuses.push(call.args[0]!.text);
      }) as never,
    );
  }
  async function run(id: string, message: object = {}): Promise<FakeRun> {
    const submitted = once(runner, 'submit');
    node(id).receive(message as NodeMessage);
    return ((await submitted) as [FakeRun])[0];
  }
  /** What the report of a message that starts no run says. */
  async function refused(id: string, message: object = {}): Promise<string> {
    const failure = new Inbox('failure');
    node(id).receive(message as NodeMessage);
    const { payload } = await failure.next();
    assert.deepEqual(runner.runs, []);
    return JSON.stringify(payload.errors);
  }

  it('come from the message, without allowOverrides', async () => {
    await deploy({ ...FROM_MESSAGE, include: 'wanted', includeType: 'msg' });
    const { request } = await run('task', { place: { folder: '/srv/library' }, wanted: ['*.jpg'] });
    assert.equal(request.task.path, '/srv/library');
    assert.deepEqual(request.task.include, ['*.jpg']);
  });

  it('come from contexts, the environment and expressions', async () => {
    process.env.CLOUD_SYNC_TEST_BUCKET = 'from-environment';
    await deploy({
      ...TASK,
      ...{ path: 'library', pathType: 'flow', exclude: 'skip', excludeType: 'global' },
      ...{ bucket: 'CLOUD_SYNC_TEST_BUCKET', bucketType: 'env' },
      ...{ folder: '"year-" & msg.year', folderType: 'jsonata' },
    });
    node('task').context().flow.set('library', '/srv/library');
    node('task').context().global.set('skip', '*.tmp\n*.bak');
    const { path, bucket, folder, exclude } = (await run('task', { year: 2025 })).request.task;
    assert.deepEqual(
      { path, bucket, folder, exclude },
      { path: '/srv/library', bucket: 'from-environment', folder: 'year-2025', exclude: ['*.tmp', '*.bak'] },
    );
    delete process.env.CLOUD_SYNC_TEST_BUCKET;
  });

  it('start nothing without a value, and name the field; a deploy is no such message', async () => {
    await deploy(FROM_MESSAGE);
    const errors = await refused('task', { payload: Date.now(), topic: 'schedule' });
    assert.match(errors, /"field":"path"/);
    assert.match(errors, /path comes from msg\.place\.folder, which/);
    assert.deepEqual(
      statuses.filter((text) => /place/.test(text)),
      [statuses.at(-1)],
    );
  });

  it('are checked like saved ones', async () => {
    await deploy(FROM_MESSAGE);
    assert.match(await refused('task', { place: { folder: 'library' } }), /"library\\", a relative path/);
  });

  it('stay in the allowed folders', async () => {
    helper.settings({ cloudSync: { allowedPaths: ['/srv/allowed'] } } as never);
    await deploy(FROM_MESSAGE);
    assert.match(await refused('task', { place: { folder: '/etc' } }), /NO_PERMISSION/);
  });

  it('leave msg.cloudSync as it is: it may change only what the node lists', async () => {
    await deploy(FROM_MESSAGE);
    const message = { place: { folder: '/srv/a' }, cloudSync: { path: '/srv/b' } };
    assert.match(await refused('task', message), /msg\.cloudSync\.path/);
  });

  it('reach a restore and the verification behind it', async () => {
    await deploy(RESTORE, FROM_MESSAGE, VERIFY);
    const message = { target: '/srv/restored', place: { folder: '/srv/library' } };
    const restoring = await run('restore', message);
    assert.equal(restoring.request.restore?.path, '/srv/restored');
    const success = new Inbox('success');
    runner.finish(restoring, 'success');
    const verifying = await run('verify', await success.next());
    assert.equal(verifying.request.restore?.path, '/srv/restored');

    runner.finish(await run('task', message), 'success');
    assert.equal((await run('verify', await success.next())).request.task.path, '/srv/library');
  });

  it('ask a restore for no local folder of its task', async () => {
    helper.settings({ cloudSync: { allowedPaths: ['/srv'] } } as never);
    const task = { ...FROM_MESSAGE, bucket: 'b', bucketType: 'msg' };
    await deploy({ ...RESTORE, path: '/srv/restored', pathType: 'str' }, task);
    const { request } = await run('restore', { b: 'archive' });
    assert.equal(request.restore?.path, '/srv/restored');
    assert.equal(request.task.bucket, 'archive');
  });

  it('are kept of the message where a restore waits for archived files, which may outlive Node-RED', async () => {
    await deploy({ ...RESTORE, thaw: true }, TASK);
    const message = { target: '/srv/restored', payload: { paths: ['a.jpg'], more: 1 }, more: 2 };
    const { resumption } = (await run('restore', message)).request;
    const { _msgid, ...kept } = resumption!.message;
    assert.deepEqual(kept, { target: '/srv/restored', payload: { paths: ['a.jpg'] } });
  });

  it('keep a run going on over a deploy that changes nothing, whatever the context says then', async () => {
    const flows = [CREDENTIAL, ...HELPERS, { ...TASK, path: 'library', pathType: 'flow' }];
    await helper.load(NODES, flows as never, SECRETS);
    node('task').context().flow.set('library', '/srv/one');
    const started = await run('task');
    const deployAgain = async (nodes: FlowNode[]) => {
      const adopted = once(runner, 'adopt');
      await helper.setFlows(nodes as never, 'full', SECRETS as never);
      await adopted;
    };
    node('task').context().flow.set('library', '/srv/two');
    await deployAgain(flows);
    assert.equal(started.aborted, false);
    await deployAgain(flows.map((one) => (one.id === 'task' ? { ...one, bucket: 'other' } : one)));
    assert.equal(started.aborted, true);
  });
});
