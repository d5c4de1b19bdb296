import assert from 'node:assert/strict';
import { LOADED } from './browser.js';
import { Workbench } from './workbench.js';

const PASSWORD = 'correct horse battery staple';

type FlowNode = {
  id: string;
  type: string;
  z?: string;
  credential?: string;
  task?: string;
  encryption?: boolean;
};

describe('copy, paste, export and import', function () {
  this.timeout(120_000);
  let bench: Workbench;

  before(async () => {
    bench = await Workbench.start();
    bench.write({ 'photos/a.jpg': 'a' });
  });
  after(() => bench?.stop());
  afterEach(() => bench.close());

  const follower = (type: string, y: number) => ({
    ...{ id: type, type, z: 'flow', task: 'task', path: '/srv/restored', x: 300, y, wires: [[], [], []] },
  });
  const flows = () => [
    bench.credential(),
    bench.task({ encryption: true, credentials: { encryptionPassword: PASSWORD } }),
    follower('cloud-restore', 200),
    follower('cloud-verify', 300),
  ];
  const secrets = () => [PASSWORD, bench.s3.secretAccessKey, bench.s3.accessKeyId];

  async function deployedNodes(): Promise<FlowNode[]> {
    return (await bench.nodeRed.request<{ flows: FlowNode[] }>('GET', 'flows')).flows;
  }
  const hasPassword = async (id: string) =>
    (await bench.nodeRed.request<Record<string, unknown>>('GET', `credentials/cloud-sync/${id}`))
      .has_encryptionPassword;

  it('copies followers with their task, and no password', async () => {
    const page = await bench.open(flows());
    await page.evaluate("RED.actions.invoke('core:select-all-nodes')");
    await page.evaluate("RED.actions.invoke('core:copy-selection-to-internal-clipboard')");
    await page.evaluate("RED.actions.invoke('core:paste-from-internal-clipboard')");
    // What is pasted hangs on the mouse until it is put down.
    await page.locator('.red-ui-workspace-chart-event-layer').click({ position: { x: 500, y: 400 } });
    await bench.deploy();

    const nodes = await deployedNodes();
    const of = (type: string) => nodes.filter((node) => node.type === type);
    assert.deepEqual(of('cloud-credential').length, 1, 'a credential is shared, not copied');
    const [task, copy] = [
      of('cloud-sync').find(({ id }) => id === 'task')!,
      of('cloud-sync').find(({ id }) => id !== 'task')!,
    ];
    assert.ok(copy, JSON.stringify(nodes));
    assert.equal(copy.credential, task.credential);
    for (const type of ['cloud-restore', 'cloud-verify']) {
      assert.deepEqual(
        of(type)
          .map((node) => node.task)
          .sort(),
        [task.id, copy.id].sort(),
        type,
      );
    }
    assert.equal(await hasPassword('task'), true);
    assert.notEqual(await hasPassword(copy.id), true);
    assert.deepEqual(bench.faults, []);
  });

  it('leaves every secret out of an export, and keeps references when it is imported elsewhere', async () => {
    const page = await bench.open(flows());
    await page.evaluate("RED.actions.invoke('core:show-export-dialog')");
    await page.locator('#red-ui-clipboard-dialog-export-rng-full').click();
    await page
      .locator('.red-ui-clipboard-dialog-export-tabs, #red-ui-clipboard-dialog')
      .getByText('JSON')
      .first()
      .click();
    const box = page.locator('#red-ui-clipboard-dialog-export-text');
    await box.waitFor();
    const exported = await box.inputValue();
    for (const secret of secrets()) assert.ok(!exported.includes(secret), 'a secret is in the export');
    await page.locator('#red-ui-clipboard-dialog-cancel').click();

    const other = await bench.open([]);
    // Where nothing has these ids.
    await bench.nodeRed.deploy([{ id: 'elsewhere', type: 'tab', label: 'Elsewhere' }]);
    await other.reload();
    await other.waitForFunction(LOADED);
    await other.evaluate("RED.actions.invoke('core:show-import-dialog')");
    await other.locator('#red-ui-clipboard-dialog-import-text').fill(exported);
    // Checked at the next key.
    await other.locator('#red-ui-clipboard-dialog-import-text').press('End');
    await other.locator('#red-ui-clipboard-dialog-ok').click();
    await other.waitForFunction("RED.nodes.filterNodes({ type: 'cloud-sync' }).length === 1");
    await bench.deploy();
    const nodes = await deployedNodes();
    const one = (type: string) => nodes.find((node) => node.type === type)!;
    assert.equal(one('cloud-sync').credential, one('cloud-credential').id);
    assert.equal(one('cloud-sync').encryption, true);
    assert.notEqual(await hasPassword(one('cloud-sync').id), true);
    for (const type of ['cloud-restore', 'cloud-verify']) assert.equal(one(type).task, one('cloud-sync').id);
    assert.deepEqual(bench.faults, []);
  });
});
