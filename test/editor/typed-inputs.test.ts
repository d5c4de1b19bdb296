import assert from 'node:assert/strict';
import { join } from 'node:path';
import { readTree } from '../engine/support.js';
import { Workbench } from './workbench.js';

describe('typed inputs in the dialogs', function () {
  this.timeout(120_000);
  let bench: Workbench;

  before(async () => {
    bench = await Workbench.start();
    bench.write({ 'photos/a.jpg': 'a', 'photos/b.tmp': 'b' });
  });
  after(() => bench?.stop());
  afterEach(() => bench.close());

  /** Changes a field for a typed one, `type` by its name in the menu, and fills it. */
  async function type(place: string, menu: string, text: string): Promise<void> {
    const { page } = bench;
    await page.locator(`${place} .cloud-sync-typed-toggle`).click();
    const input = page.locator(`${place} .cloud-sync-typed-input`);
    await input.locator('.red-ui-typedInput-type-select').click();
    await page.locator('.red-ui-typedInput-options a:visible').filter({ hasText: menu }).click();
    await input.locator('.red-ui-typedInput-input').fill(text);
    await input.locator('.red-ui-typedInput-input').blur();
  }
  async function closeDialog(how: 'ok' | 'cancel'): Promise<void> {
    await bench.page.locator(`#node-dialog-${how}`).click();
    await bench.page.locator('#node-dialog-ok').waitFor({ state: 'detached' });
  }
  const row = (name: string) => `.form-row:has(#node-input-${name})`;

  it('give a task its folder, bucket and filters from a flow, and a restore its target', async () => {
    const change = {
      id: 'change',
      type: 'change',
      z: 'flow',
      rules: [
        { t: 'set', p: 'library', pt: 'msg', to: join(bench.root, 'photos'), tot: 'str' },
        { t: 'set', p: 'skip', pt: 'flow', to: '*.tmp', tot: 'str' },
        { t: 'set', p: 'target', pt: 'msg', to: join(bench.root, 'restored'), tot: 'str' },
      ],
      x: 100,
      y: 50,
      wires: [['task']],
    };
    const inject = {
      id: 'inject',
      type: 'inject',
      z: 'flow',
      props: [],
      repeat: '',
      crontab: '',
      x: 50,
      y: 50,
      wires: [['change']],
    };
    const restore = {
      id: 'restore',
      type: 'cloud-restore',
      z: 'flow',
      task: 'task',
      x: 300,
      y: 100,
      wires: [[], [], []],
    };
    const task = bench.task({ path: '', bucket: '', wires: [['restore'], [], []] });
    const page = await bench.open([bench.credential(), task, restore, change, inject]);
    await bench.edit('task');
    await type(row('path'), 'msg.', 'library');
    await type(row('bucket'), 'expression', '"arch" & "ive"');
    await page.locator('details[data-section="filters"] > summary').click();
    await type('.cloud-sync-columns > div:has([data-title="exclude"])', 'flow.', 'skip');
    await page.locator('details[data-section="filters"] > summary').click();
    await bench.untilText('[data-section="filters"] .cloud-sync-summary', /from a flow/);
    await closeDialog('ok');
    await bench.edit('restore');
    await type(row('path'), 'msg.', 'target');
    await closeDialog('ok');
    await bench.deploy();

    const { path, pathType, bucket, bucketType, exclude, excludeType, folderType } =
      await bench.deployed('task');
    assert.deepEqual(
      { path, pathType, bucket, bucketType, exclude, excludeType },
      {
        ...{ path: 'library', pathType: 'msg', bucket: '"arch" & "ive"', bucketType: 'jsonata' },
        ...{ exclude: 'skip', excludeType: 'flow' },
      },
    );
    assert.ok(!folderType || folderType === 'str');

    await bench.edit('task');
    assert.equal(await page.locator(`${row('path')} .red-ui-typedInput-input`).inputValue(), 'library');
    assert.equal(await page.locator('#node-input-path').isVisible(), false);
    await closeDialog('cancel');

    await fetch(`${bench.nodeRed.url}/inject/inject`, { method: 'POST' });
    await bench.showSidebar();
    await page
      .locator('.cloud-sync-card')
      .filter({ hasText: /restore.*1 file ·/s })
      .waitFor({ timeout: 60_000 });
    assert.deepEqual(readTree(join(bench.root, 'restored')), { 'a.jpg': 'a' });
    assert.deepEqual(bench.faults, []);
  });

  it('say what is missing, and lead back to the value that was there', async () => {
    const page = await bench.open([bench.credential(), bench.task({ schedule: '0 3 * * *' })]);
    await bench.edit('task');
    await page.locator(`${row('path')} .cloud-sync-typed-toggle`).click();
    await bench.untilText('#cloud-sync-reason-path', /where the value comes from/);
    await page.locator(`${row('path')} .red-ui-typedInput-input`).fill('library');
    await page.locator(`${row('path')} .red-ui-typedInput-input`).blur();
    await bench.untilText('#cloud-sync-reason-path', /schedule starts has no message/);
    await page.locator('#cloud-sync-scan').click();
    await bench.untilText('.cloud-sync-check-answers', /known only when it runs/);
    await page.locator(`${row('path')} .cloud-sync-typed-toggle`).click();
    assert.equal(await page.locator('#node-input-path').inputValue(), join(bench.root, 'photos'));
    assert.equal(await page.locator('#cloud-sync-reason-path').textContent(), '');
    assert.deepEqual(bench.faults, []);
  });
});
