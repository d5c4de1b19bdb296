import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { Host } from './host.js';
import { CREDENTIAL, type FlowNode, HELPERS, helper, Inbox, NODES, node, SIDEBAR, TASK } from './node-red.js';

const STORED = '__PWRD__';
interface Answer {
  status: number;
  body: Record<string, unknown> & { code?: string; field?: string; message?: string };
}

describe('admin routes', () => {
  let s3: S3Server;
  let host: Host;
  let root: string;

  before(async () => {
    await helper.startServer();
    s3 = await startS3Server({ buckets: ['family', 'archive'] });
  });
  after(async () => {
    await helper.stopServer();
    await s3.stop();
  });
  beforeEach(() => {
    host = new Host();
    root = host.root;
  });
  afterEach(() => host.close());

  async function deploy(nodes: FlowNode[] = [], settings: object = {}): Promise<void> {
    host.configure(settings);
    await helper.load(
      [...NODES, SIDEBAR],
      [{ ...CREDENTIAL, endpoint: s3.url }, ...HELPERS, ...nodes] as never,
      {
        credential: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
      },
    );
    await host.openAdmin();
  }
  async function ask(
    method: string,
    path: string,
    body?: unknown,
    type = 'application/json',
  ): Promise<Answer> {
    const response = await fetch(host.address(path), {
      method,
      headers: body === undefined ? {} : { 'Content-Type': type },
      body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as Answer['body'] };
  }
  const post = (path: string, body: unknown) => ask('POST', path, body);
  const typed = (config: object = {}, secrets: object = {}) => ({
    credential: {
      id: 'credential',
      name: 'Home',
      provider: 's3',
      config: { endpoint: s3.url, ...config },
      secrets: { accessKeyId: s3.accessKeyId, secretAccessKey: STORED, ...secrets },
    },
  });

  describe('verify', () => {
    it('answers with the account and its buckets, for what is deployed', async () => {
      await deploy();
      const { status, body } = await post('credential/verify', typed());
      assert.equal(status, 200, JSON.stringify(body));
      assert.ok(Number(body.bucketCount) >= 2);
    });

    it('works before anything is deployed', async () => {
      await deploy();
      const credential = { ...typed({}, { secretAccessKey: s3.secretAccessKey }).credential, id: 'new' };
      assert.equal((await post('credential/verify', { credential })).status, 200);
      const placeholder = await post('credential/verify', {
        credential: { ...typed().credential, id: 'new' },
      });
      assert.deepEqual([placeholder.status, placeholder.body.field], [400, 'secretAccessKey']);
    });

    it('says what is wrong, and never shows the secret', async () => {
      await deploy();
      const { status, body } = await post(
        'credential/verify',
        typed({}, { secretAccessKey: 'the-wrong-one' }),
      );
      assert.deepEqual([status, body.code], [400, 'WRONG_SECRET']);
      assert.doesNotMatch(JSON.stringify(body), /the-wrong-one/);
    });

    for (const [field, change] of [
      ['endpoint', { config: { endpoint: 'http://127.0.0.1:9' } }],
      ['accessKeyId', { secrets: { accessKeyId: 'AKIDOTHER' } }],
      ['caCertificate', { config: { caCertificate: 'x' } }],
    ] as Array<[string, { config?: object; secrets?: object }]>) {
      it(`sends no stored secret where ${field} was changed`, async () => {
        await deploy();
        const { status, body } = await post('credential/verify', typed(change.config, change.secrets));
        assert.deepEqual([status, body.code, body.field], [400, 'INVALID_INPUT', 'secretAccessKey']);
        assert.match(String(body.message), new RegExp(field));
      });
    }

    it('fills environment variables in for what is deployed, and for nothing else', async () => {
      process.env.CLOUD_SYNC_TEST_SECRET = s3.secretAccessKey;
      try {
        await deploy();
        const secrets = { secretAccessKey: '$' + '{CLOUD_SYNC_TEST_SECRET}' };
        const { status, body } = await post('credential/verify', typed({}, secrets));
        assert.deepEqual([status, body.field], [400, 'secretAccessKey']);
      } finally {
        delete process.env.CLOUD_SYNC_TEST_SECRET;
      }
    });

    it('says within seconds that an endpoint can not be reached', async () => {
      await deploy();
      const secrets = { secretAccessKey: 'typed' };
      const nowhere = typed({ endpoint: 'http://127.0.0.1:9' }, secrets);
      for (const path of ['credential/verify', 'buckets', 'folder', 'buckets/check']) {
        const { status, body } = await post(path, { ...nowhere, bucket: 'family' });
        assert.deepEqual([status, body.code], [400, 'ENDPOINT_UNREACHABLE'], path);
        assert.match(String(body.message), /127\.0\.0\.1:9 refuses the connection/);
        assert.match(String(body.advice), /host and port/);
      }
    });

    it('sends no request to addresses at which machines in a cloud get their keys', async () => {
      await deploy();
      for (const endpoint of [
        'http://169.254.169.254',
        'http://2852039166',
        'http://[::ffff:a9fe:a9fe]',
        'http://[fe80::1]',
      ]) {
        for (const path of ['credential/verify', 'buckets', 'folder', 'buckets/check', 'buckets/create']) {
          const body = {
            ...typed({ endpoint, forcePathStyle: true }, { secretAccessKey: 'typed' }),
            bucket: 'family',
          };
          const answer = await post(path, body);
          assert.deepEqual(
            [answer.status, answer.body.code, answer.body.field],
            [400, 'INVALID_INPUT', 'endpoint'],
            `${path} ${endpoint}`,
          );
        }
      }
    });

    it('names the field that can not be used', async () => {
      await deploy();
      const { body } = await post('credential/verify', typed({ region: 'a.example.com/' }));
      assert.equal(body.field, 'region');
      assert.equal(
        (await post('credential/verify', typed({}, { accessKeyId: '' }))).body.code,
        'CREDENTIAL_MISSING',
      );
      assert.equal((await post('credential/verify', {})).body.field, 'credential');
    });
  });

  it('takes JSON only, so that no form on another site can post', async () => {
    await deploy([TASK]);
    const answer = await ask('POST', 'tasks/task/run', 'dryRun=true', 'application/x-www-form-urlencoded');
    assert.equal(answer.status, 400);
    assert.deepEqual(await host.runner.history('task'), []);
  });

  it('lists and makes buckets, and lists their folders', async () => {
    await deploy();
    const { body } = await post('buckets', typed());
    assert.deepEqual((body.buckets as Array<{ name: string }>).map(({ name }) => name).sort(), [
      'archive',
      'family',
    ]);
    assert.equal((await post('buckets/create', { ...typed(), bucket: 'fresh' })).status, 200);
    assert.equal((await post('buckets/check', { ...typed(), bucket: 'fresh' })).status, 200);
    assert.equal(
      (await post('buckets/check', { ...typed(), bucket: 'nowhere' })).body.code,
      'BUCKET_NOT_FOUND',
    );
    const folder = await post('folder', { ...typed(), bucket: 'fresh', folder: '' });
    assert.deepEqual(folder.body.entries, []);
  });

  it('lists local folders, but only those that are allowed', async () => {
    mkdirSync(join(root, 'allowed', 'photos'), { recursive: true });
    mkdirSync(join(root, 'secret'));
    symlinkSync(join(root, 'secret'), join(root, 'allowed', 'way-out'));
    writeFileSync(join(root, 'allowed', 'file'), 'x');
    await deploy([], { allowedPaths: [join(root, 'allowed')] });
    const top = await post('local-folder', { path: '' });
    assert.deepEqual(
      (top.body.entries as Array<{ name: string }>).map(({ name }) => name),
      [join(root, 'allowed')],
    );
    const inside = await post('local-folder', { path: join(root, 'allowed') });
    assert.ok((inside.body.entries as Array<{ name: string }>).some(({ name }) => name === 'photos'));
    for (const path of [root, join(root, 'allowed', '..', 'secret'), join(root, 'allowed', 'way-out'), '/']) {
      assert.equal((await post('local-folder', { path })).body.code, 'NO_PERMISSION', path);
    }
    assert.equal((await post('local-folder', { path: 'relative' })).body.code, 'INVALID_INPUT');
  });

  it('runs no task outside the allowed folders either', async () => {
    await deploy([{ ...TASK, path: join(root, 'elsewhere') }], { allowedPaths: [join(root, 'allowed')] });
    const failure = new Inbox('failure');
    node('task').receive({});
    assert.match(JSON.stringify((await failure.next()).payload.errors), /NO_PERMISSION.*allowedPaths/);
  });

  it('restores and counts from the sidebar in the allowed folders only', async () => {
    mkdirSync(join(root, 'allowed'));
    await deploy([{ ...TASK, path: join(root, 'allowed') }], { allowedPaths: [join(root, 'allowed')] });
    const elsewhere = join(root, 'elsewhere');
    const restore = await post('tasks/task/restore', { path: elsewhere, transferMode: 'copy' });
    assert.deepEqual([restore.status, restore.body.code], [400, 'NO_PERMISSION']);
    const scan = await post('local-folder/scan', { path: elsewhere, include: [], exclude: [] });
    assert.deepEqual([scan.status, scan.body.code], [400, 'NO_PERMISSION']);
    const path = join(root, 'allowed');
    assert.equal((await post('local-folder/scan', { path, include: '*.jpg' })).body.field, 'include');
    assert.equal((await post('tasks/nobody/restore', { path: elsewhere })).status, 404);
    const mode = await post('tasks/task/restore', { path: join(root, 'allowed'), transferMode: 'move' });
    assert.deepEqual([mode.status, mode.body.field], [400, 'transferMode']);
    assert.equal((await post('tasks/task/verify', { method: 'guess' })).body.field, 'method');
  });

  it('restores from the sidebar to what was typed, and never to what the environment or an expression says', async () => {
    process.env.CLOUD_SYNC_TEST_SECRET = 'a-secret-of-the-machine';
    try {
      await deploy([{ ...TASK, path: root }]);
      for (const typed of [
        { path: 'CLOUD_SYNC_TEST_SECRET', pathType: 'env' },
        { path: '$env("CLOUD_SYNC_TEST_SECRET")', pathType: 'jsonata' },
      ]) {
        const { status, body } = await post('tasks/task/restore', { ...typed, transferMode: 'copy' });
        assert.deepEqual([status, body.field], [400, 'path']);
        assert.doesNotMatch(JSON.stringify(body), /a-secret-of/);
      }
    } finally {
      delete process.env.CLOUD_SYNC_TEST_SECRET;
    }
  });

  it('puts into a recovery sheet what is stored, and sends nothing stored to another place', async () => {
    await deploy([TASK]);
    const stored = {
      id: 'credential',
      name: '',
      provider: 's3',
      config: { endpoint: s3.url, region: 'us-east-1' },
      secrets: { accessKeyId: s3.accessKeyId, secretAccessKey: STORED },
    };
    const sheet = { task: 'task', bucket: 'family', folder: '', filenameEncryption: false };
    const typed = { ...sheet, encryptionPassword: 'typed', encryptionSalt: '' };
    const good = await post('recovery-sheet', { ...typed, credential: stored });
    assert.equal(good.status, 200, JSON.stringify(good.body));
    assert.ok(String(good.body.config).includes(`secret_access_key = ${s3.secretAccessKey}`));
    const other = { ...stored, config: { ...stored.config, endpoint: 'http://127.0.0.1:9' } };
    assert.equal((await post('recovery-sheet', { ...typed, credential: other })).status, 400);
  });

  it('tells the sidebar what there is, runs and stops it, and hands its log out', async () => {
    mkdirSync(join(root, 'source'));
    writeFileSync(join(root, 'source', 'a.txt'), 'a');
    await deploy([{ ...TASK, path: join(root, 'source'), schedule: '0 3 * * *' }]);
    const success = new Inbox('success');
    const list = await ask('GET', 'tasks');
    const [shown] = list.body.nodes as Array<Record<string, unknown>>;
    assert.equal(shown?.id, 'task');
    assert.deepEqual(shown?.state, { status: 'never' });
    assert.ok(Number(shown?.nextRun) > Date.now());
    assert.doesNotMatch(JSON.stringify(list.body), new RegExp(s3.secretAccessKey));

    assert.equal((await post('tasks/task/run', { dryRun: true })).status, 200);
    assert.equal((await success.next()).payload.dryRun, true);
    assert.deepEqual(s3.objects.keys('family'), []);
    assert.equal((await post('tasks/task/run', {})).status, 200);
    const { payload } = await success.next();
    assert.deepEqual(s3.objects.keys('family'), ['photos/a.txt']);
    const { body } = await ask('GET', 'tasks/task/runs');
    assert.equal((body.runs as Array<{ runId: string }>)[0]?.runId, payload.runId);
    const log = await ask('GET', `tasks/task/runs/${String(payload.runId)}/log?search=a.txt`);
    assert.match(JSON.stringify(log.body.entries), /a\.txt/);
    assert.deepEqual((await post('tasks/task/abort', {})).body, { aborted: 0 });
    assert.equal((await post('tasks/nobody/run', {})).status, 404);
    assert.equal((await ask('GET', 'tasks/task/runs/..%2f..%2fpasswd/log')).status, 400);
  });
});
