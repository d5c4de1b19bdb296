import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Workbench } from './workbench.js';

describe('the sidebar', function () {
  this.timeout(120_000);
  let bench: Workbench;

  before(async () => {
    bench = await Workbench.start();
    bench.write({
      'photos/2023/a.jpg': 'a',
      'photos/2024/b.jpg': 'b as it was',
      'photos/2024/c [1].jpg': 'c',
      'photos/notes.txt': 'notes',
    });
  });
  after(() => bench?.stop());
  afterEach(() => bench.close());

  const card = (name: string) => bench.page.locator('.cloud-sync-card').filter({ hasText: name });

  it('speaks the language of the browser', async () => {
    for (const [locale, title] of [
      ['de', 'Noch keine Sicherung'],
      ['fr', 'Pas encore de sauvegarde'],
      ['ja', 'バックアップはまだありません'],
      ['zh-CN', '还没有备份'],
    ] as const) {
      const page = await bench.open([], { locale });
      await bench.showSidebar();
      await page.getByText(title).waitFor();
    }
  });

  it('restores ticked files of an encrypted backup, shown by their plain names', async () => {
    const encrypted = {
      encryption: true,
      filenameEncryption: true,
      folder: 'secret',
      credentials: { encryptionPassword: 'correct horse' },
    };
    const page = await bench.open([bench.credential(), bench.task(encrypted)]);
    assert.equal(await bench.run('task'), 'success');
    assert.ok(bench.s3.objects.keys('archive').every((key) => !key.includes('2024')));

    await bench.showSidebar();
    await page.locator('[data-action="restore"]').click();
    const tree = page.locator('.cloud-sync-restore-tree');
    await tree.getByText('2024', { exact: true }).waitFor();
    await tree
      .locator('.red-ui-treeList-label')
      .filter({ hasText: '2024' })
      .locator('.fa-angle-right')
      .click();
    await tree
      .locator('.red-ui-treeList-label')
      .filter({ hasText: 'c [1].jpg' })
      .locator('.red-ui-treeList-checkbox')
      .click();
    await bench.untilText('.cloud-sync-restore', /1 ticked/);
    await page.locator('#cloud-sync-restore-now').click();
    await bench.untilText('.cloud-sync-restore .cloud-sync-bad', /folder to restore into/);
    const target = join(bench.root, 'restored');
    await page.locator('#cloud-sync-restore-path').fill(target);
    await page.locator('#cloud-sync-restore-now').click();
    await bench.untilText('.cloud-sync-card', /restore Family photos.*1 file/s);
    assert.deepEqual(readdirSync(join(target, '2024')), ['c [1].jpg']);
    assert.deepEqual(readdirSync(target), ['2024']);

    // Its log is there, and it goes off the list when it is not wanted any more.
    await card('restore Family photos').getByRole('button', { name: 'Take off the list' }).click();
    await card('restore Family photos').waitFor({ state: 'detached' });
    assert.deepEqual(bench.faults, []);
  });

  it('restores a moment in the past where the bucket keeps versions', async () => {
    bench.s3.createBucket({ name: 'versioned', versioning: 'Enabled' });
    const page = await bench.open([bench.credential(), bench.task({ bucket: 'versioned' })]);
    await bench.run('task');
    await new Promise((done) => setTimeout(done, 1100));
    const before = new Date();
    await new Promise((done) => setTimeout(done, 1100));
    bench.write({ 'photos/2024/b.jpg': 'b as it is now' });
    await bench.run('task');
    const target = join(bench.root, 'past');
    await bench.nodeRed.request('POST', 'cloud-sync/tasks/task/restore', {
      path: target,
      transferMode: 'copy',
      asOf: before.toISOString(),
    });
    await bench.showSidebar();
    await bench.untilText('.cloud-sync-card', /restore Family photos.*4 files/s);
    assert.equal(readFileSync(join(target, '2024', 'b.jpg'), 'utf8'), 'b as it was');
    assert.ok(page !== undefined);
  });

  it('leaves a cloud-restore node for what was ticked', async () => {
    const page = await bench.open([bench.credential(), bench.task()]);
    await bench.run('task');
    await bench.showSidebar();
    await page.locator('[data-action="restore"]').click();
    const item = page
      .locator('.cloud-sync-restore-tree .red-ui-treeList-label')
      .filter({ hasText: 'notes.txt' });
    await item.locator('.red-ui-treeList-checkbox').click();
    await page.locator('#cloud-sync-restore-path').fill('/srv/restored');
    await page.locator('#cloud-sync-restore-node').click();
    const left = (await page.evaluate(
      "RED.nodes.filterNodes({ type: 'cloud-restore' }).map(({ task, path, include }) => ({ task, path, include }))",
    )) as object[];
    assert.deepEqual(left, [{ task: 'task', path: '/srv/restored', include: ['/notes.txt'] }]);
    await bench.deploy();
    assert.deepEqual(bench.faults, []);
  });

  it('verifies a task by the method that was chosen', async () => {
    const page = await bench.open([bench.credential(), bench.task({ folder: 'verified' })]);
    await bench.run('task');
    await bench.showSidebar();
    await page.locator('[data-action="verify"]').click();
    await page.locator('.cloud-sync-method').selectOption('download');
    await page.locator('[data-action="verifyYes"]').click();
    await bench.untilText('.cloud-sync-card', /verify Family photos.*4 files match/s);
  });

  it('switches a schedule on and off in the flow', async () => {
    const page = await bench.open([bench.credential(), bench.task({ schedule: '0 3 * * *' })]);
    await bench.showSidebar();
    await bench.untilText('.cloud-sync-card', /Next/);
    await page.locator('[data-action="enabled"]').uncheck();
    await bench.untilText('.cloud-sync-card', /deploy to apply/);
    await bench.deploy();
    assert.equal((await bench.deployed('task')).enabled, false);
    await page.waitForFunction("!document.querySelector('.cloud-sync-card').textContent.includes('Next')");
  });

  it('shows what maxDelete has stopped, and allows exactly that once', async () => {
    const task = bench.task({ transferMode: 'sync', maxDelete: '1', folder: 'pruned' });
    const page = await bench.open([bench.credential(), task]);
    await bench.run('task');
    rmSync(join(bench.root, 'photos', '2024'), { recursive: true });
    assert.equal(await bench.run('task'), 'failed');
    await bench.showSidebar();
    await page.locator('.cloud-sync-pending > summary').click();
    await bench.untilText('.cloud-sync-pending', /2 files would be deleted.*2024\/b\.jpg/s);
    await page.locator('[data-action="allow"]').click();
    // Meanwhile another file goes: that was not allowed.
    rmSync(join(bench.root, 'photos', '2023'), { recursive: true });
    await page.locator('[data-action="allowYes"]').click();
    await bench.untilText('.cloud-sync-pending', /3 files would be deleted/);
    assert.equal(bench.s3.objects.keys('archive').filter((key) => key.startsWith('pruned/')).length, 4);
    await page.locator('.cloud-sync-pending > summary').click();
    await page.locator('[data-action="allow"]').click();
    await page.locator('[data-action="allowYes"]').click();
    await bench.untilText('.cloud-sync-card', /3 deleted/);
    assert.deepEqual(
      bench.s3.objects.keys('archive').filter((key) => key.startsWith('pruned/')),
      ['pruned/notes.txt'],
    );
    assert.equal(existsSync(join(bench.root, 'photos', 'notes.txt')), true);
    assert.deepEqual(bench.faults, []);
  });

  it('lets no message allow deletes', async () => {
    bench.write({ 'photos/more/a': 'a', 'photos/more/b': 'b' });
    const inject = { id: 'inject', type: 'inject', z: 'flow', props: [], wires: [['task']], x: 1, y: 1 };
    await bench.open([
      bench.credential(),
      bench.task({ transferMode: 'sync', maxDelete: '0', folder: 'held' }),
      inject,
    ]);
    await bench.run('task');
    const held = () => bench.s3.objects.keys('archive').filter((key) => key.startsWith('held/'));
    const before = held();
    rmSync(join(bench.root, 'photos', 'more'), { recursive: true });
    await bench.run('task');
    type Runs = { runs: Array<{ pendingDeletes?: { hash: string }; status: string }> };
    const { runs } = await bench.nodeRed.request<Runs>('GET', 'cloud-sync/tasks/task/runs');
    const hash = runs[0]!.pendingDeletes!.hash;
    const props = [
      { p: 'cloudSync', v: JSON.stringify({ allowedDeletes: hash }), vt: 'json' },
      { p: 'allowedDeletes', v: hash, vt: 'str' },
    ];
    const injected = await fetch(`${bench.nodeRed.url}/inject/inject`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ __user_inject_props__: props }),
    });
    assert.equal(injected.status, 200);
    // Refused in words, which Node-RED logs.
    const end = Date.now() + 10_000;
    while (!/\[error\].*allowedDeletes/.test(bench.nodeRed.output())) {
      assert.ok(Date.now() < end, bench.nodeRed.output());
      await new Promise((done) => setTimeout(done, 50));
    }
    assert.deepEqual(held(), before);
    assert.ok(before.includes('held/more/a'));
  });
});
