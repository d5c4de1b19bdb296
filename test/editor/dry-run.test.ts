import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Workbench } from './workbench.js';

/** A dry run starts a process of its own, which takes its time on a busy machine. */
const PATIENCE = { timeout: 60_000 };

describe('a dry run from a dialog', function () {
  this.timeout(180_000);
  let bench: Workbench;

  before(async () => {
    bench = await Workbench.start();
  });
  after(() => bench?.stop());
  beforeEach(() => {
    bench.s3.network.latencyMs = 0;
    rmSync(join(bench.root, 'photos'), { recursive: true, force: true });
    bench.write({ 'photos/a.jpg': 'a', 'photos/sub/b.jpg': 'bb', 'photos/c.tmp': 'ccc' });
  });
  afterEach(() => bench.close());

  async function outcome(expected: RegExp): Promise<void> {
    await bench.page.locator('.cloud-sync-outcome').filter({ hasText: expected }).waitFor(PATIENCE);
  }

  it('says what the values in it would do, before anything is deployed', async () => {
    const page = await bench.open([bench.credential(), bench.task({ folder: 'dry' })]);
    await bench.edit('task');
    await page.locator('details[data-section="filters"] > summary').click();
    await page.locator('details[data-section="filters"] .red-ui-editableList-addButton').first().click();
    await page.locator('#cloud-sync-exclude input').fill('*.tmp');
    await page.locator('#cloud-sync-dry-run').click();
    await outcome(/^2 files, 3 B would be uploaded\.$/);
    await bench.untilText('.cloud-sync-dry-run li', /sub\/b\.jpg/);
    assert.deepEqual(bench.s3.objects.keys('archive'), []);
    await page.locator('#node-input-path').fill('relative');
    await page.locator('#cloud-sync-dry-run').click();
    await bench.untilText('.cloud-sync-dry-run.cloud-sync-bad', /relative path/);
    assert.deepEqual(bench.faults, []);
  });

  it('says what would be deleted and replaced, also by a restore', async () => {
    const target = join(bench.root, 'target');
    const restore = {
      id: 'restore',
      type: 'cloud-restore',
      z: 'flow',
      task: 'task',
      path: target,
      x: 200,
      y: 200,
      wires: [[], [], []],
    };
    const page = await bench.open([bench.credential(), bench.task({ folder: 'kept' }), restore]);
    assert.equal(await bench.run('task'), 'success');
    rmSync(join(bench.root, 'photos', 'a.jpg'));
    bench.write({ 'photos/c.tmp': 'longer', 'target/c.tmp': 'other', 'target/mine.txt': 'mine' });
    await bench.edit('task');
    await page.getByRole('radio', { name: 'Sync' }).check();
    await page.locator('#cloud-sync-dry-run').click();
    await outcome(
      /1 file, 6 B would be uploaded\. 1 file there would be replaced\. 1 file would be deleted\./,
    );
    await bench.untilText('.cloud-sync-dry-run li.cloud-sync-deleted', /a\.jpg/);
    // What the dialog says of deletes counts too.
    await page.locator('details[data-section="safety"] > summary').click();
    await page.locator('#node-input-maxDelete').fill('0');
    await page.locator('#cloud-sync-dry-run').click();
    await outcome(/It would fail:/);
    await bench.untilText('.cloud-sync-dry-run .cloud-sync-pending', /1 file would be deleted/);
    await page.locator('#node-dialog-cancel').click();
    await page.locator('#node-dialog-ok').waitFor({ state: 'detached' });

    await bench.edit('restore');
    await page.locator('#cloud-sync-dry-run').click();
    await outcome(/3 files, 6 B would be downloaded\. 1 file there would be replaced\.$/);
    // The backup's files can be ticked there too.
    await page.locator('#cloud-sync-pick').click();
    await page
      .locator('#cloud-sync-tree-include .red-ui-treeList-label')
      .filter({ hasText: 'sub' })
      .locator('.red-ui-treeList-checkbox')
      .check();
    await bench.untilText('.cloud-sync-picked', /1 pattern/);
    await page.locator('#cloud-sync-dry-run').click();
    await outcome(/^1 file, 2 B would be downloaded\.$/);
    assert.deepEqual(bench.faults, []);
  });

  it('can be stopped, and ends with its dialog', async () => {
    const page = await bench.open([bench.credential(), bench.task({ folder: 'slow' })]);
    await bench.edit('task');
    await page.locator('.cloud-sync-credential-state.cloud-sync-good').waitFor();
    bench.s3.network.latencyMs = 120_000;
    await page.locator('#cloud-sync-dry-run').click();
    await page.locator('.cloud-sync-dry-run').getByRole('button', { name: 'Abort' }).waitFor();
    await page.locator('.cloud-sync-dry-run-progress').filter({ hasText: 'Comparing' }).waitFor(PATIENCE);
    await page.locator('.cloud-sync-dry-run').getByRole('button', { name: 'Abort' }).click();
    await page.locator('.cloud-sync-dry-run').filter({ hasText: 'Stopped before the end' }).waitFor(PATIENCE);
    await page.locator('#cloud-sync-dry-run').click();
    await page.locator('.cloud-sync-dry-run-progress').filter({ hasText: 'Comparing' }).waitFor(PATIENCE);
    const aborted = page.waitForResponse((response) => /dry-run\/[\w-]+\/abort$/.test(response.url()));
    await page.locator('#node-dialog-cancel').click();
    assert.equal((await aborted).status(), 200);
    assert.deepEqual(bench.faults, []);
  });
});
