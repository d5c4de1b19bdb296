import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { Host } from './host.js';
import {
  CREDENTIAL,
  completeNode,
  type FlowNode,
  HELPERS,
  helper,
  Inbox,
  NODES,
  node,
  TASK,
} from './node-red.js';

const load = createRequire(import.meta.url);
const CORE = ['25-catch', '24-complete'].map(
  (name) => load(`@node-red/nodes/core/common/${name}.js`) as never,
);
const WIRES = [['success'], ['failure'], ['progress']];

/** Every file below `folder` with the hash of its bytes. */
function hashes(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found[path.slice(folder.length + 1)] = createHash('sha256').update(readFileSync(path)).digest('hex');
  }
  return found;
}

describe('the main job through the nodes', () => {
  let s3: S3Server;
  let host: Host;
  let root: string;
  let source: string;

  before(async () => {
    await helper.startServer();
    s3 = await startS3Server({ buckets: ['family'] });
  });
  after(async () => {
    await helper.stopServer();
    await s3.stop();
  });
  beforeEach(() => {
    host = new Host();
    root = host.root;
    source = join(root, 'source');
    for (let index = 0; index < 30; index++) {
      write(`folder ${index % 3}/deep/file ${index}.bin`, randomBytes(index * 997));
    }
    write('empty', Buffer.alloc(0));
    write('ünïcode/ß+&%.txt', Buffer.from('x'));
  });
  afterEach(async () => {
    await host.close();
    s3.faults.clear();
    s3.network.latencyMs = 0;
  });

  function write(path: string, content: Buffer): void {
    mkdirSync(dirname(join(source, path)), { recursive: true });
    writeFileSync(join(source, path), content);
    utimesSync(join(source, path), 1_600_000_000, 1_600_000_000);
  }
  const credential = (): FlowNode => ({ ...CREDENTIAL, endpoint: s3.url, region: 'us-east-1' });
  const secrets = () => ({
    credential: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
  });
  const task = (more: object = {}): FlowNode => ({
    ...TASK,
    path: source,
    folder: `${root.slice(-6)}`,
    transferMode: 'sync',
    ...more,
  });
  async function deploy(nodes: FlowNode[], from: FlowNode = credential(), known = secrets()): Promise<void> {
    const complete = completeNode(nodes.map(({ id }) => id));
    await helper.load([...NODES, ...CORE], [from, ...HELPERS, complete, ...nodes] as never, known);
  }

  it('backs up, verifies, changes, backs up again and restores every byte', async () => {
    const restored = join(root, 'restored');
    await deploy([
      task({ wires: [['verify'], ['failure'], ['progress']] }),
      {
        id: 'verify',
        z: 'flow',
        type: 'cloud-verify',
        task: '',
        method: 'checksum',
        wires: [['restore'], ['failure'], []],
      },
      {
        id: 'restore',
        z: 'flow',
        type: 'cloud-restore',
        task: 'task',
        path: restored,
        transferMode: 'sync',
        wires: WIRES,
      },
    ]);
    const success = new Inbox('success');
    const failure = new Inbox('failure');
    const progress = new Inbox('progress');
    node('task').receive({ topic: 'first' });
    const first = await success.next();
    assert.deepEqual(failure.messages, []);
    assert.equal(first.topic, 'first');
    assert.deepEqual(hashes(restored), hashes(source));
    assert.ok(progress.messages.length > 0);

    write('folder 0/new.bin', randomBytes(5000));
    rmSync(join(source, 'empty'));
    node('task').receive({ topic: 'second' });
    const { payload } = await success.next();
    assert.equal(payload.operation, 'restore');
    assert.deepEqual(payload.transferred, { files: 1, bytes: 5000 });
    assert.equal(payload.deleted, 1);
    assert.deepEqual(hashes(restored), hashes(source));
    assert.doesNotMatch(JSON.stringify([first, payload, helper.log().args]), new RegExp(s3.secretAccessKey));
  });

  it('verifies behind a restore what was restored, though the original is gone', async () => {
    const restored = join(root, 'restored');
    const verify = { z: 'flow', type: 'cloud-verify', task: '' };
    await deploy([
      task(),
      {
        id: 'restore',
        z: 'flow',
        type: 'cloud-restore',
        task: 'task',
        path: restored,
        wires: [['by checksum'], ['failure'], []],
      },
      { ...verify, id: 'by checksum', method: 'checksum', wires: [['by download'], ['failure'], []] },
      { ...verify, id: 'by download', method: 'download', wires: WIRES },
    ]);
    const success = new Inbox('success');
    const failure = new Inbox('failure');
    node('task').receive({});
    await success.next();
    rmSync(source, { recursive: true });
    node('restore').receive({ payload: { paths: ['folder 1', 'empty'] } });
    const { payload } = await success.next();
    assert.deepEqual(failure.messages, []);
    assert.deepEqual([payload.operation, payload.matched], ['verify', 11]);
    assert.equal(Object.keys(hashes(restored)).length, 11);
  });

  it('tells what differs by the second output of cloud-verify', async () => {
    await deploy([
      task(),
      { id: 'verify', z: 'flow', type: 'cloud-verify', task: 'task', method: 'metadata', wires: WIRES },
    ]);
    const success = new Inbox('success');
    const failure = new Inbox('failure');
    node('task').receive({});
    await success.next();
    write('ünïcode/ß+&%.txt', Buffer.from('longer'));
    node('verify').receive({});
    const { payload } = await failure.next();
    assert.equal(payload.status, 'failed');
    assert.deepEqual(payload.differs, ['ünïcode/ß+&%.txt']);
  });

  it('goes on through a full deploy as one run with one report', async () => {
    await deploy([task()]);
    s3.network.latencyMs = 150;
    const progress = new Inbox('progress');
    node('task').receive({ topic: 'night' });
    await progress.next();
    await helper.setFlows(
      [credential(), ...HELPERS, completeNode(['task']), task({ name: 'Renamed' })] as never,
      'full',
      secrets(),
    );
    const success = new Inbox('success');
    const failure = new Inbox('failure');
    const completed = new Inbox('completed');
    s3.network.latencyMs = 0;
    const { topic, payload } = await success.next();
    assert.equal(topic, 'night');
    assert.equal((payload.transferred as { files: number }).files, 32);
    await completed.next();
    assert.deepEqual([success.messages, failure.messages, completed.messages], [[], [], []]);
    assert.equal((await host.runner.history('task')).length, 1);
  });

  it('stops on abort', async () => {
    await deploy([task()]);
    s3.network.latencyMs = 300;
    const failure = new Inbox('failure');
    const caught = new Inbox('caught');
    const progress = new Inbox('progress');
    node('task').receive({});
    await progress.next();
    node('task').receive({ action: 'abort' });
    assert.equal((await failure.next()).payload.status, 'aborted');
    assert.deepEqual(caught.messages, []);
  });

  const wrong: Array<[string, () => { task?: object; credential?: object; secrets?: object }, string]> = [
    ['a wrong key', () => ({ secrets: { accessKeyId: 'AKIDOTHER' } }), 'WRONG_KEY'],
    ['a wrong secret', () => ({ secrets: { secretAccessKey: 'other' } }), 'WRONG_SECRET'],
    ['a missing bucket', () => ({ task: { bucket: 'nowhere' } }), 'BUCKET_NOT_FOUND'],
    ['a folder that is not there', () => ({ task: { path: join(root, 'nowhere') } }), 'NOT_FOUND'],
  ];
  for (const [what, change, code] of wrong) {
    it(`says clearly that there is ${what}`, async () => {
      const changed = change();
      await deploy(
        [task(changed.task)],
        { ...credential(), ...changed.credential },
        { credential: { ...secrets().credential, ...changed.secrets } },
      );
      const failure = new Inbox('failure');
      const caught = new Inbox('caught');
      node('task').receive({});
      const { payload } = await failure.next();
      const [error] = payload.errors as Array<{ code: string; message: string }>;
      assert.equal(error?.code, code, JSON.stringify(payload.errors));
      const { error: shown } = (await caught.next()) as unknown as { error: { message: string } };
      assert.ok(shown.message.includes(error.message));
      assert.equal(s3.objects.keys('family').filter((key) => key.startsWith(root.slice(-6))).length, 0);
    });
  }
});
