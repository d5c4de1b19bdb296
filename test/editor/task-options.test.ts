import assert from 'node:assert/strict';
import { TASK_PROPERTIES } from '../../nodes/properties.js';
import { Workbench } from './workbench.js';

describe('the options of a task in its dialog', function () {
  this.timeout(120_000);
  let bench: Workbench;

  before(async () => {
    bench = await Workbench.start();
    bench.write({ 'photos/a.jpg': 'a' });
  });
  after(() => bench?.stop());
  afterEach(() => bench.close());

  async function openSections(): Promise<void> {
    for (const section of ['schedule', 'filters', 'safety', 'transfer', 'encryption', 'advanced']) {
      await bench.page.locator(`details[data-section="${section}"] > summary`).click();
    }
  }
  const reason = (name: string) => bench.page.locator(`#cloud-sync-reason-${name}`);

  it('can all be set', async () => {
    const page = await bench.open([bench.credential(), bench.task()]);
    await bench.edit('task');
    await openSections();
    await page.getByRole('radio', { name: 'Pull' }).check();
    await page.getByRole('radio', { name: 'Move' }).check();
    await page.locator('#cloud-sync-preset').selectOption('custom');
    await page.locator('#cloud-sync-transfers-preset').selectOption('custom');
    const texts = {
      name: 'Other photos',
      path: '/srv/other',
      bucket: 'other',
      folder: 'elsewhere',
      schedule: '15 4 * * 1',
      maxDelete: '7',
      backupFolder: 'replaced',
      transfers: '5',
      storageClass: 'STANDARD_IA',
      serverSideEncryption: 'AES256',
      chunkSize: '64',
      preScript: 'echo before',
      postScript: 'echo after',
      staleAfter: '36',
    };
    for (const [name, text] of Object.entries(texts)) await page.locator(`#node-input-${name}`).fill(text);
    await page.locator('#node-input-backupKeepDays').fill('30');
    await page.locator('#node-input-whenBusy').selectOption('skip');
    for (const kind of ['exclude', 'include']) {
      const list = page
        .locator('.cloud-sync-columns > div')
        .filter({ has: page.locator(`#cloud-sync-${kind}`) });
      await list.locator('.red-ui-editableList-addButton').click();
      await list.locator('li input').fill(`*.${kind}`);
    }
    await page.locator('details[data-section="transfer"] .red-ui-editableList-addButton').click();
    await page.locator('.cloud-sync-bandwidth-row input[type="text"]').fill('2');
    await page.locator('#cloud-sync-overrides input[value="folder"]').check();
    for (const [name, { default: value }] of Object.entries(TASK_PROPERTIES)) {
      if (typeof value !== 'boolean' || name === 'filenameEncryption') continue;
      await page.locator(`#node-input-${name}`).setChecked(!value);
    }
    await page.locator('#node-input-filenameEncryption').check();
    await page.locator('#node-input-encryptionPassword').fill('correct horse');
    await page.locator('#node-input-encryptionSalt').fill('battery');
    await page.locator('#node-dialog-ok').click();
    await page.locator('#node-dialog-ok').waitFor({ state: 'detached' });

    // Not all of them go together, so this is for looking at, not for deploying.
    const names = JSON.stringify(Object.keys(TASK_PROPERTIES));
    const saved = (await page.evaluate(
      `Object.fromEntries(${names}.map((name) => [name, RED.nodes.node('task')[name]]))`,
    )) as Record<string, unknown>;
    const unset = Object.entries(TASK_PROPERTIES)
      .filter(([name, { default: value }]) => JSON.stringify(saved[name]) === JSON.stringify(value ?? ''))
      .map(([name]) => name);
    assert.deepEqual(unset, []);
    for (const [name, text] of Object.entries(texts)) assert.equal(saved[name], text, name);
    assert.deepEqual(bench.faults, []);
  });

  it('say in words what is wrong with them, as one types', async () => {
    const page = await bench.open([bench.credential(), bench.task()]);
    await bench.edit('task');
    await openSections();
    await page.locator('#node-input-path').fill('relative/folder');
    await bench.untilText('#cloud-sync-reason-path', /a relative path.*Write the whole path/);
    await page.locator('#node-input-path').fill('/srv/photos');
    assert.equal(await reason('path').textContent(), '');
    await page.locator('#node-input-maxDelete').fill('200%');
    await bench.untilText('#cloud-sync-reason-maxDelete', /maxDelete is "200%"/);
    await page.locator('#node-input-encryption').check();
    await bench.untilText('#cloud-sync-reason-encryption', /needs a password/);
    await page.locator('#cloud-sync-generate').click();
    assert.equal(await reason('encryption').textContent(), '');
    // A field may be wrong because of another one.
    await page.locator('#node-input-snapshot').check();
    assert.equal(await reason('snapshot').textContent(), '');
    await page.getByRole('radio', { name: 'Pull' }).check();
    await bench.untilText('#cloud-sync-reason-snapshot', /only works with push/);
    await page.locator('#node-input-followSymlinks').check();
    await page.locator('#node-input-keepSymlinks').check();
    await bench.untilText('#cloud-sync-reason-keepSymlinks', /choose one/);
    await page.locator('details[data-section="filters"] .red-ui-editableList-addButton').first().click();
    await page.locator('#cloud-sync-exclude input').fill('[a');
    await bench.untilText('#cloud-sync-exclude .cloud-sync-bad', /"\[a" can't be used/);
    await page.locator('details[data-section="transfer"] .red-ui-editableList-addButton').click();
    await page.locator('.cloud-sync-bandwidth-row input[type="text"]').fill('fast');
    await bench.untilText('details[data-section="transfer"] .cloud-sync-bad', /"fast"/);
    assert.deepEqual(bench.faults, []);
  });

  it('are those of the provider', async () => {
    const dropbox = bench.credential({
      id: 'dropbox',
      name: 'Dropbox',
      provider: 'dropbox',
      endpoint: bench.s3.url,
    });
    const page = await bench.open([bench.credential(), dropbox, bench.task()]);
    await bench.edit('task');
    await page.locator('details[data-section="advanced"] > summary').click();
    await page.locator('#node-input-storageClass').waitFor();
    assert.equal(
      await page
        .locator('#node-input-storageClass')
        .evaluate((input) => (input as HTMLInputElement).list?.options[0]?.value),
      'STANDARD',
    );
    await page.locator('#node-input-credential').selectOption('dropbox');
    await page.locator('#node-input-storageClass').waitFor({ state: 'hidden' });
    assert.equal(await page.locator('#node-input-bucket').isVisible(), false);
    assert.equal(await page.locator('#node-input-deleteVersions').isVisible(), false);
    assert.equal(await page.locator('#node-input-chunkSize').getAttribute('placeholder'), '48');
  });

  it('show the next runs in the time zone of the machine, and warn where the browser has another', async () => {
    const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const timezoneId = here === 'Asia/Tokyo' ? 'America/New_York' : 'Asia/Tokyo';
    const page = await bench.open([bench.credential(), bench.task({ schedule: '30 5 * * *' })], {
      timezoneId,
    });
    await bench.edit('task');
    await page.locator('details[data-section="schedule"] > summary').click();
    await bench.untilText('.cloud-sync-next-runs', new RegExp(`Next:.*05:30.*\\(${here}\\)`));
    await bench.untilText(
      '.cloud-sync-next-runs .cloud-sync-warning',
      new RegExp(`this browser is in ${timezoneId}`),
    );
  });

  it('take ticked files of the bucket, where the task pulls', async () => {
    bench.write({ 'bucket/album/one.jpg': '1', 'bucket/list.txt': 'x' });
    const push = bench.task({ id: 'push', path: `${bench.root}/bucket`, folder: 'picked' });
    const page = await bench.open([
      bench.credential(),
      push,
      bench.task({ direction: 'pull', folder: 'picked' }),
    ]);
    assert.equal(await bench.run('push'), 'success');
    await bench.edit('task');
    await page.locator('#cloud-sync-pick').click();
    const tick = (name: string) =>
      page
        .locator('#cloud-sync-tree-include .red-ui-treeList-label')
        .filter({ hasText: name })
        .locator('.red-ui-treeList-checkbox');
    await tick('album').check();
    await tick('list.txt').check();
    await bench.untilText('.cloud-sync-picked', /only 2 patterns/);
    await page.locator('#node-dialog-ok').click();
    await bench.deploy();
    assert.deepEqual((await bench.deployed('task')).include, ['/album/**', '/list.txt']);
    assert.deepEqual(bench.faults, []);
  });
});
