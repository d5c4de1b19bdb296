/** The restore drill of the examples, as users import it, with its button pressed against the S3 server. */

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { until } from '../until.js';
import { Host } from './host.js';
import { type FlowNode, helper, Inbox, type Message, NODES, node } from './node-red.js';

const load = createRequire(import.meta.url);
const CORE = [
  'common/20-inject',
  'common/21-debug',
  'common/90-comment',
  'function/10-function',
  'function/90-exec',
].map((name) => load(`@node-red/nodes/core/${name}.js`) as never);

/** Names that mean something in patterns, and what else a camera or a person would write. */
const NAMES = [
  '[brackets] {a,b} *?.jpg',
  'back\\slash',
  '#1',
  ' spaces ',
  'ü 世界 📷',
  'plain.txt',
  'deep/er/x',
];

describe('the restore drill among the examples', function () {
  this.timeout(60_000);
  let s3: S3Server;
  let host: Host;
  let root: string;

  before(async () => {
    await helper.startServer();
    s3 = await startS3Server();
  });
  after(async () => {
    await helper.stopServer();
    await s3.stop();
  });
  beforeEach(() => {
    s3.createBucket('my-backup');
    host = new Host();
    root = host.root;
    for (const name of NAMES) {
      const file = join(root, 'photos', name);
      mkdirSync(join(file, '..'), { recursive: true });
      writeFileSync(file, `content of ${name}`);
    }
  });
  afterEach(() => host.close());

  /** The example with its places put here. */
  async function deploy(sample: number): Promise<{ passed: Inbox; failed: Inbox }> {
    const text = readFileSync('examples/3 - Restore drill.json', 'utf8')
      .replaceAll('/srv/photos', join(root, 'photos'))
      .replaceAll('/srv/restore-drill', join(root, 'scratch'))
      .replaceAll('https://s3.example.com', s3.url);
    const flow = (JSON.parse(text) as FlowNode[]).map((one) =>
      one.id === 'cs-drill-verify' ? { ...one, sample } : one,
    );
    const { accessKeyId, secretAccessKey } = s3;
    const secrets = { 'cloud-sync-demo-credential': { accessKeyId, secretAccessKey } };
    await helper.load([...NODES, ...CORE], flow as never, secrets);
    return { passed: new Inbox('cs-drill-good'), failed: new Inbox('cs-drill-bad') };
  }
  /** What arrives at `expected`: four runs take a while on a slow machine. */
  async function outcome(expected: Inbox, other: Inbox): Promise<Message> {
    const found = () => [...expected.messages, ...other.messages].length > 0;
    await until(found, 'the drill ends', 40_000);
    assert.deepEqual(other.messages, []);
    return expected.messages.shift()!;
  }
  const press = () => node('cs-drill-button').receive({});
  const scratch = () =>
    readdirSync(join(root, 'scratch'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(join(root, 'scratch').length + 1));

  it('backs up, restores what it has picked, whatever its name, and says that it came back', async () => {
    const { passed, failed } = await deploy(100);
    mkdirSync(join(root, 'scratch'));
    writeFileSync(join(root, 'scratch', 'of last month'), 'x');
    press();
    const { payload } = await outcome(passed, failed);
    assert.equal(payload, `Restore drill: ${NAMES.length} files picked at random came back whole.`);
    assert.deepEqual(scratch().sort(), [...NAMES].sort());
    for (const name of NAMES) {
      assert.equal(readFileSync(join(root, 'scratch', name), 'utf8'), `content of ${name}`);
    }
  });

  it('picks one file where one percent is less than one', async () => {
    const { passed, failed } = await deploy(1);
    press();
    const { payload } = await outcome(passed, failed);
    const count = Number(/: (\d+) files/.exec(String(payload))?.[1]);
    assert.ok(count >= 1 && count === scratch().length, String(payload));
  });

  it('fails and names the file whose backup is damaged', async () => {
    const { passed, failed } = await deploy(100);
    press();
    await outcome(passed, failed);
    s3.objects.change('my-backup', 'photos/plain.txt', { content: Buffer.from('content of PLAIN.txt') });
    press();
    const { payload } = await outcome(failed, passed);
    assert.match(String(payload), /^Restore drill FAILED: verify failed: plain\.txt/);
  });

  it('fails where the backup itself does', async () => {
    const { passed, failed } = await deploy(100);
    rmSync(join(root, 'photos'), { recursive: true });
    press();
    const { payload } = await outcome(failed, passed);
    assert.match(String(payload), /^Restore drill FAILED: sync failed: /);
  });
});
