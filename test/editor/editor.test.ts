import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { LOADED, openEditor, startBrowser } from './browser.js';
import { type RunningNodeRed, startNodeRed } from './node-red.js';

describe('the editor', function () {
  this.timeout(120_000);
  let s3: S3Server;
  let browser: Browser;
  let nodeRed: RunningNodeRed;
  let root: string;
  let page: Page;
  let faults: string[];

  before(async () => {
    root = mkdtempSync(join(tmpdir(), 'cloud-sync-editor-'));
    mkdirSync(join(root, 'photos', '2024', 'summer'), { recursive: true });
    for (let index = 0; index < 12; index++) {
      writeFileSync(
        join(root, 'photos', '2024', 'summer', `${index}.jpg`),
        Buffer.alloc(2000 + index, index),
      );
    }
    s3 = await startS3Server({ buckets: ['archive'] });
    [browser, nodeRed] = await Promise.all([startBrowser(), startNodeRed()]);
  });
  after(async () => {
    await browser?.close();
    await nodeRed?.stop();
    await s3?.stop();
    rmSync(root, { recursive: true, force: true });
  });
  beforeEach(async () => {
    s3.network.latencyMs = 0;
    faults = [];
  });
  afterEach(async () => {
    await page?.context().close();
  });

  async function open(flows: object[], view?: { width?: number; colorScheme?: 'dark' }): Promise<void> {
    await nodeRed.deploy(flows);
    page = await openEditor(browser, nodeRed.url, view);
    page.setDefaultTimeout(15_000);
    page.on('pageerror', (error) => faults.push(error.stack ?? error.message));
  }
  const credentialNode = (more: object = {}) => ({
    id: 'credential',
    type: 'cloud-credential',
    name: 'Home storage',
    provider: 's3',
    endpoint: s3.url,
    region: 'us-east-1',
    credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
    ...more,
  });
  const taskNode = (more: object = {}) => ({
    id: 'task',
    type: 'cloud-sync',
    z: 'flow',
    name: 'Family photos',
    credential: 'credential',
    path: join(root, 'photos'),
    bucket: 'archive',
    folder: 'photos',
    x: 200,
    y: 100,
    wires: [[], [], []],
    ...more,
  });
  const tab = { id: 'flow', type: 'tab', label: 'Flow' };
  const edit = async (id: string) => {
    await page.evaluate(`RED.editor.edit(RED.nodes.node(${JSON.stringify(id)}))`);
    await page.locator('#node-dialog-ok').waitFor();
  };
  const deploy = async () => {
    const deployed = page.waitForResponse(
      (response) => response.url().endsWith('/flows') && response.request().method() === 'POST',
    );
    await page.locator('#red-ui-header-button-deploy:not(.disabled)').click();
    await deployed;
  };
  const text = (selector: string) => page.locator(selector).first().textContent();
  const untilText = async (selector: string, expected: RegExp) => {
    await page.locator(selector).filter({ hasText: expected }).first().waitFor();
  };

  it('leads a newcomer from an empty flow to a verified credential, a new bucket and a run', async () => {
    await open([tab]);
    await page.evaluate("RED.sidebar.show('cloud-sync')");
    await page.getByText('No backup yet').waitFor();

    await page
      .locator('.red-ui-workspace-chart-event-layer')
      .click({ modifiers: ['Control'], position: { x: 200, y: 150 } });
    await page.locator('.red-ui-type-search input').fill('cloud sync');
    await page
      .locator('.red-ui-type-search .red-ui-search-result')
      .filter({ hasText: 'cloud sync' })
      .first()
      .click();
    const added = await page.waitForFunction("RED.nodes.filterNodes({ type: 'cloud-sync' })[0]?.id");
    const id = (await added.jsonValue()) as string;
    await edit(id);
    await page.locator('#node-input-name').fill('My photos');
    await page.locator('#node-input-path').fill(join(root, 'photos'));

    await page.locator('#node-input-btn-credential-add').click();
    await page.locator('#node-config-input-name').fill('My storage');
    await page.locator('#node-config-input-endpoint').fill(s3.url);
    await page.locator('#node-config-input-accessKeyId').fill(s3.accessKeyId);
    await page.locator('#node-config-input-secretAccessKey').fill('not the secret');
    await page.locator('.cloud-sync-verify button').click();
    await untilText('.cloud-sync-answer.cloud-sync-bad', /secret access key does not fit/);
    await page.locator('#node-config-input-secretAccessKey').fill(s3.secretAccessKey);
    await page.locator('.cloud-sync-verify button').click();
    await untilText('.cloud-sync-answer.cloud-sync-good', /Valid.*1 bucket/s);
    await page.locator('#node-config-dialog-ok').click();

    await untilText('.cloud-sync-credential-state.cloud-sync-good', /Valid · 1 bucket/);
    await page.locator('#node-input-bucket').fill('photos-backup');
    await page.getByRole('button', { name: 'Create photos-backup' }).click();
    await untilText('.cloud-sync-bucket-state', /was created/);
    await page.locator('#node-dialog-ok').click();
    await deploy();

    await untilText('.cloud-sync-card', /My photos.*Has not run yet/s);
    await page.locator('.cloud-sync-card [data-action="run"]').click();
    await page.locator('.cloud-sync-card [data-action="runYes"]').click();
    await untilText('.cloud-sync-card', /12 files/);
    assert.equal(s3.objects.keys('photos-backup').length, 12);
    assert.deepEqual(faults, []);
  });

  it('sends no stored secret to an endpoint that was changed', async () => {
    await open([tab, credentialNode(), taskNode()]);
    await page.evaluate("RED.editor.editConfig('', 'cloud-credential', 'credential')");
    await page.locator('#node-config-input-endpoint').fill('http://127.0.0.1:9');
    await page.locator('.cloud-sync-verify button').click();
    await untilText(
      '.cloud-sync-answer.cloud-sync-bad',
      /secretAccessKey is needed again, because endpoint was changed/,
    );
  });

  it('shows at once what is wrong with a credential, and leads to its dialog', async () => {
    const credentials = { accessKeyId: s3.accessKeyId, secretAccessKey: 'wrong' };
    await open([tab, credentialNode({ credentials }), taskNode()]);
    await edit('task');
    await untilText('.cloud-sync-credential-state.cloud-sync-bad', /does not fit/);
    await page.getByRole('button', { name: 'Fix credential' }).click();
    await page.locator('#node-config-input-secretAccessKey').fill(s3.secretAccessKey);
    await page.locator('#node-config-dialog-ok').click();
    await untilText('.cloud-sync-credential-state.cloud-sync-good', /Valid/);
  });

  it('browses local and remote folders, from where one is', async () => {
    s3.createBucket('browsed');
    await open([tab, credentialNode(), taskNode({ bucket: 'browsed', folder: '' })]);
    await nodeRed.request('POST', 'cloud-sync/tasks/task/run', {});
    await edit('task');
    await page.locator('#cloud-sync-browse-path').click();
    const tree = page.locator('#cloud-sync-tree-path');
    await tree.locator('.selected', { hasText: 'photos' }).waitFor();
    await tree.locator('.selected .red-ui-treeList-icon, .selected .fa-angle-right').first().click();
    await tree.getByText('2024').click();
    assert.equal(await page.locator('#node-input-path').inputValue(), join(root, 'photos', '2024'));
    await untilText('.cloud-sync-card', /12 files/);
    await page.locator('#cloud-sync-browse-folder').click();
    await page.locator('#cloud-sync-tree-folder').getByText('2024').click();
    assert.equal(await page.locator('#node-input-folder').inputValue(), '2024');
  });

  it('keeps every option of a task through dialog, deploy and reload', async () => {
    await open([tab, credentialNode(), taskNode()]);
    await edit('task');
    await page.getByRole('radio', { name: 'Sync' }).check();
    await untilText('.cloud-sync-consequence', /deleted from the bucket/);
    for (const section of ['schedule', 'filters', 'safety', 'transfer', 'encryption', 'advanced']) {
      await page.locator(`details[data-section="${section}"] > summary`).click();
    }
    await page.locator('#cloud-sync-preset').selectOption('daily');
    await untilText('.cloud-sync-next-runs', /Next:.*03:00/);
    await page.locator('details[data-section="filters"] .red-ui-editableList-addButton').first().click();
    await page.locator('.cloud-sync-columns input').first().fill('*.tmp');
    await page.locator('#node-input-maxDelete').fill('10%');
    await page.locator('#node-input-backupFolder').fill('replaced');
    await page.locator('#node-input-backupKeepDays').fill('30');
    await page.locator('#cloud-sync-transfers-preset').selectOption('custom');
    await page.locator('#node-input-transfers').fill('4');
    await page.locator('details[data-section="transfer"] .red-ui-editableList-addButton').click();
    await page.locator('.cloud-sync-bandwidth-row input[type="text"]').fill('1.5');
    await page.locator('#node-input-checksum').check();
    await page.locator('#node-input-encryption').check();
    await page.locator('#cloud-sync-generate').click();
    await page.locator('#node-input-preScript').fill('echo before');
    await page.locator('#cloud-sync-overrides input[value="folder"]').check();
    await page.locator('#node-dialog-ok').click();
    await deploy();

    const { flows } = await nodeRed.request<{ flows: Array<Record<string, unknown>> }>('GET', 'flows');
    const {
      id: _id,
      x: _x,
      y: _y,
      wires: _wires,
      z: _z,
      type: _type,
      ...saved
    } = flows.find(({ id }) => id === 'task')!;
    assert.deepEqual(
      Object.fromEntries(Object.entries(saved).filter(([, value]) => value !== '' && value !== false)),
      {
        name: 'Family photos',
        credential: 'credential',
        direction: 'push',
        transferMode: 'sync',
        schedule: '0 3 * * *',
        enabled: true,
        path: join(root, 'photos'),
        bucket: 'archive',
        folder: 'photos',
        include: [],
        exclude: ['*.tmp'],
        checksum: true,
        transfers: '4',
        bandwidthLimit: [{ time: '08:00', bandwidth: 1_500_000 }],
        encryption: true,
        preScript: 'echo before',
        backupFolder: 'replaced',
        backupKeepDays: '30',
        lease: true,
        maxDelete: '10%',
        whenBusy: 'queue',
        allowOverrides: ['folder'],
      },
    );
    await page.reload();
    await page.waitForFunction(LOADED);
    await edit('task');
    await page.locator('details[data-section="transfer"] > summary').click();
    assert.equal(await page.locator('.cloud-sync-bandwidth-row input[type="text"]').inputValue(), '1.5');
    assert.equal(await text('[data-section="filters"] .cloud-sync-summary'), '1 left out');
    assert.equal(await text('[data-section="encryption"] .cloud-sync-summary'), 'content');
    assert.deepEqual(faults, []);
  });

  it('says in words what can not be used, as one types', async () => {
    await open([tab, credentialNode(), taskNode()]);
    await edit('task');
    await page.locator('#node-input-path').fill('relative/folder');
    await page.locator('#node-input-path').blur();
    await page.locator('#node-input-path.input-error').waitFor();
    await page.locator('#node-dialog-ok').click();
    const reasons = (await page.evaluate("RED.nodes.node('task').validationErrors.join()")) as string;
    assert.match(reasons, /path/);
  });

  it('shows a run going on, stops it, and shows its log', async () => {
    await open([tab, credentialNode(), taskNode({ folder: 'slow', transfers: 1 })]);
    s3.network.latencyMs = 800;
    await page.evaluate("RED.sidebar.show('cloud-sync')");
    await page.locator('[data-action="run"]').click();
    await page.locator('[data-action="runYes"]').click();
    await untilText('.cloud-sync-card', /of \d+ files/);
    await page.locator('[role="progressbar"]').waitFor();
    await page.locator('[data-action="abort"]').click();
    await page.locator('[data-action="abortYes"]').click();
    await untilText('.cloud-sync-card', /Stopped before the end/);
    s3.network.latencyMs = 0;
    await page.locator('[data-action="run"]').click();
    await page.locator('[data-action="runYes"]').click();
    await untilText('.cloud-sync-card', /\d+ files? ·/);
    await page.getByRole('button', { name: 'History and log' }).click();
    await page.locator('.cloud-sync-run').first().click();
    await untilText('.cloud-sync-log-line', /\.jpg/);
    await page.locator('.cloud-sync-log input[type="text"]').fill('11.jpg');
    await page.waitForFunction(
      '[...document.querySelectorAll(".cloud-sync-log-line")].every((line) => line.textContent.includes("11.jpg"))',
    );
    assert.deepEqual(faults, []);
  });

  it('keeps references right and secrets out when nodes are copied and exported', async () => {
    const restore = {
      id: 'restore',
      type: 'cloud-restore',
      z: 'flow',
      task: 'task',
      path: '/srv/restored',
      x: 200,
      y: 200,
      wires: [[], [], []],
    };
    await open([tab, credentialNode(), taskNode(), restore]);
    const exported = (await page.evaluate(
      "JSON.stringify(RED.nodes.createExportableNodeSet([RED.nodes.node('task'), RED.nodes.node('restore'), RED.nodes.node('credential')]))",
    )) as string;
    assert.doesNotMatch(exported, new RegExp(s3.secretAccessKey.replaceAll('/', '.').replaceAll('+', '.')));
    const copied = (await page.evaluate(`(() => {
      const { nodes } = RED.nodes.import(${JSON.stringify(exported)}, { generateIds: true, addFlow: false });
      return nodes.map(({ id, type, task }) => ({ id, type, task }));
    })()`)) as Array<{ id: string; type: string; task?: string }>;
    const task = copied.find(({ type }) => type === 'cloud-sync');
    const follower = copied.find(({ type }) => type === 'cloud-restore');
    assert.ok(task !== undefined && task.id !== 'task');
    assert.equal(follower?.task, task.id);
  });

  it('offers every example, and each deploys without an error', async () => {
    const names = readdirSync('examples').filter((name) => name.endsWith('.json'));
    assert.ok(names.length >= 7);
    for (const name of names) {
      const path = `library/examples/flows/@cloud-sync/node-red-cloud-sync/${encodeURIComponent(name.slice(0, -5))}`;
      const flows = await nodeRed.request<object[]>('GET', path);
      assert.deepEqual(flows, JSON.parse(readFileSync(join('examples', name), 'utf8')));
      const before = nodeRed.output().length;
      await nodeRed.deploy(flows);
      assert.doesNotMatch(nodeRed.output().slice(before), /\[error\]|missing type|\[warn\]/i, name);
    }
  });

  it('has its texts in the dialogs and the help', async () => {
    await open([tab, credentialNode(), taskNode()]);
    const untranslated = (await page.evaluate(`(() => {
      const keys = [];
      for (const type of ['cloud-sync', 'cloud-restore', 'cloud-verify', 'cloud-credential']) {
        const template = document.querySelector('script[data-template-name="' + type + '"]').textContent;
        for (const [, attribute] of template.matchAll(/data-i18n="([^"]+)"/g)) {
          const key = attribute.replace(/^\\[[\\w-]+\\]/, '').replace(/^@[^:]*:/, '');
          const text = RED._('@cloud-sync/node-red-cloud-sync/' + type + ':' + key);
          if (text === key || text.includes(key)) keys.push(type + ' ' + key);
        }
        if (!RED.nodes.getNodeHelp(type)) keys.push('help of ' + type);
      }
      return keys;
    })()`)) as string[];
    assert.deepEqual(untranslated, []);
  });
});

describe('the editor with adminAuth', function () {
  this.timeout(60_000);
  let nodeRed: RunningNodeRed;

  before(async () => {
    // bcrypt of 'password'
    const password = '$2b$08$H51fSvILZ9PESptNju1Iy.ORYPvJ1norB0KlIB2biMDep5zDdd.6K';
    nodeRed = await startNodeRed({
      settings: {
        adminAuth: {
          type: 'credentials',
          users: [
            { username: 'admin', password, permissions: '*' },
            { username: 'guest', password, permissions: 'read' },
          ],
        },
      },
    });
  });
  after(async () => nodeRed?.stop());

  const ROUTES: Array<['GET' | 'POST', string]> = [
    ['GET', 'tasks'],
    ['GET', 'tasks/x/runs'],
    ['GET', 'tasks/x/runs/y/log'],
    ['POST', 'tasks/x/run'],
    ['POST', 'tasks/x/abort'],
    ['POST', 'credential/verify'],
    ['POST', 'buckets'],
    ['POST', 'buckets/create'],
    ['POST', 'buckets/check'],
    ['POST', 'folder'],
    ['POST', 'local-folder/scan'],
    ['POST', 'recovery-sheet'],
    ['POST', 'dry-run'],
    ['POST', 'dry-run/x'],
    ['POST', 'dry-run/x/abort'],
    ['POST', 'tasks/x/restore'],
    ['POST', 'tasks/x/verify'],
    ['POST', 'tasks/x/folder'],
    ['POST', 'tasks/x/forget'],
    ['POST', 'dropbox/sign-in'],
    ['POST', 'dropbox/sign-in/finish'],
    ['POST', 'local-folder'],
  ];

  async function status(method: string, path: string, token?: string): Promise<number> {
    const headers: Record<string, string> = { 'Content-Type': 'application/json' };
    if (token !== undefined) headers.Authorization = `Bearer ${token}`;
    const body = method === 'POST' ? '{}' : undefined;
    return (await fetch(`${nodeRed.url}/cloud-sync/${path}`, { method, headers, body })).status;
  }
  async function login(username: string, scope: string): Promise<string> {
    const response = await fetch(`${nodeRed.url}/auth/token`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        client_id: 'node-red-admin',
        grant_type: 'password',
        scope,
        username,
        password: 'password',
      }),
    });
    assert.equal(response.status, 200, username);
    return ((await response.json()) as { access_token: string }).access_token;
  }

  it('answers nobody without a login', async () => {
    for (const [method, path] of ROUTES) assert.equal(await status(method, path), 401, path);
  });

  it('lets a reader look, but not act', async () => {
    const token = await login('guest', 'read');
    assert.equal(await status('GET', 'tasks', token), 200);
    for (const [method, path] of ROUTES) {
      if (method === 'POST') assert.equal(await status(method, path, token), 401, path);
    }
  });
});
