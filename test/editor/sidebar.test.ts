import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { LOADED } from './browser.js';
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
  afterEach(async () => {
    bench.s3.network.latencyMs = 0;
    await bench.close();
  });

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
    await bench.untilText('.cloud-sync-card', /restore Family photos.*1 file ·/s);
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
    await bench.untilText('.cloud-sync-card', /restore Family photos.*4 files · .*just now/s);
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
    await page.evaluate(`{
      window.cardsGone = 0;
      const count = (changes) => { for (const { removedNodes } of changes) window.cardsGone += removedNodes.length; };
      new MutationObserver(count).observe(document.querySelector('.cloud-sync-cards'), { childList: true });
    }`);
    await bench.deploy();
    assert.equal((await bench.deployed('task')).enabled, false);
    await page.waitForFunction("!document.querySelector('.cloud-sync-card').textContent.includes('Next')");
    assert.equal(await page.evaluate('window.cardsGone'), 0, 'a deploy takes no card away');
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

  it('follows the log of a run that goes on, and hands the whole log out', async () => {
    const names = ['a.jpg', 'b.jpg', 'c.jpg'];
    bench.write(Object.fromEntries(names.map((name) => [`followed/${name}`, name])));
    bench.s3.network.latencyMs = 1200;
    const task = bench.task({
      ...{ id: 'followed', path: join(bench.root, 'followed'), folder: 'followed' },
      ...{ transfers: 1, schedule: '0 3 * * *' },
    });
    const page = await bench.open([bench.credential(), task]);
    await bench.showSidebar();
    await bench.untilText('.cloud-sync-card', /Every day at 03:00.*Next/s);
    await page.getByRole('button', { name: 'History and log' }).click();
    await page.locator('[data-action="run"]').click();
    await page.locator('[data-action="runYes"]').click();
    await page.locator('.cloud-sync-run').filter({ hasText: 'running' }).click();
    await bench.untilText('.cloud-sync-log-line', /transfer.*\.jpg/s);
    // Still going on: what follows comes by itself.
    await page.locator('[data-action="abort"]').waitFor();
    bench.s3.network.latencyMs = 0;
    await bench.untilText('.cloud-sync-card', /3 files · .*just now/s);
    for (const name of names) {
      await page.locator('.cloud-sync-log-line').filter({ hasText: name }).first().waitFor();
    }
    assert.equal(await page.locator('.cloud-sync-run').filter({ hasText: 'running' }).count(), 0);

    const saving = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download the log' }).click();
    const saved = readFileSync(await (await saving).path(), 'utf8');
    for (const name of names) assert.ok(saved.includes(name), saved);

    // All of it comes from the server: it is there again after a reload.
    await page.reload();
    await page.waitForFunction(LOADED);
    await bench.showSidebar();
    await bench.untilText('.cloud-sync-card', /3 files · .*Every day at 03:00/s);
    assert.deepEqual(bench.faults, []);
  });

  it('restores the backup as one of its runs has left it', async () => {
    bench.s3.createBucket({ name: 'states', versioning: 'Enabled' });
    const page = await bench.open([
      bench.credential(),
      bench.task({ id: 'states', bucket: 'states', name: 'States' }),
    ]);
    bench.write({ 'photos/notes.txt': 'first' });
    await bench.run('states');
    // The server keeps times in whole seconds.
    await new Promise((done) => setTimeout(done, 2100));
    bench.write({ 'photos/notes.txt': 'second' });
    await bench.run('states');
    await bench.showSidebar();
    await page.locator('[data-action="restore"]').click();
    const choice = page.locator('#cloud-sync-restore-state');
    await choice.locator('option').nth(2).waitFor({ state: 'attached' });
    await choice.selectOption({ index: 1 });
    const item = page
      .locator('.cloud-sync-restore-tree .red-ui-treeList-label')
      .filter({ hasText: 'notes.txt' });
    await item.filter({ hasText: '5 B' }).locator('.red-ui-treeList-checkbox').click();
    const target = join(bench.root, 'earlier');
    await page.locator('#cloud-sync-restore-path').fill(target);
    await page.locator('#cloud-sync-restore-now').click();
    await bench.untilText('.cloud-sync-card', /restore States.*1 file ·/s);
    assert.equal(readFileSync(join(target, 'notes.txt'), 'utf8'), 'first');

    // A moment that was not typed yet is no moment.
    await page.locator('[data-action="restore"]').first().click();
    await choice.selectOption('other');
    await page.locator('#cloud-sync-restore-path').fill(target);
    await page.locator('#cloud-sync-restore-now').click();
    await bench.untilText('.cloud-sync-restore .cloud-sync-bad', /moment to restore/);
    assert.deepEqual(bench.faults, []);
  });

  it('shows every file of a folder that is larger than a page', async () => {
    for (let index = 0; index < 1003; index++) {
      bench.s3.objects.put('archive', `many/${String(index).padStart(4, '0')}.txt`, Buffer.from('x'));
    }
    const page = await bench.open([bench.credential(), bench.task({ folder: 'many' })]);
    await bench.showSidebar();
    await page.locator('[data-action="restore"]').click();
    const label = page.locator('.cloud-sync-restore-tree .red-ui-treeList-label');
    await label.filter({ hasText: '0001.txt' }).locator('.red-ui-treeList-checkbox').click();
    assert.equal(await label.filter({ hasText: '1002.txt' }).count(), 0);
    await label.filter({ hasText: 'More' }).click();
    await label.filter({ hasText: '1002.txt' }).locator('.red-ui-treeList-checkbox').click();
    await bench.untilText('.cloud-sync-restore', /2 ticked/);
    assert.deepEqual(bench.faults, []);
  });

  it('offers no restore of a task that pulls', async () => {
    const page = await bench.open([bench.credential(), bench.task({ direction: 'pull' })]);
    await bench.showSidebar();
    await page.locator('[data-action="verify"]').waitFor();
    assert.equal(await page.locator('[data-action="restore"]').count(), 0);
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
