import assert from 'node:assert/strict';
import { Workbench } from './workbench.js';

/** Everything one can use, without a name a screen reader could say; computed as browsers do, in essence. */
const NAMELESS = `(() => {
  const root = document.querySelector('#red-ui-editor-stack .red-ui-tray:last-child') ?? document;
  const nameless = [];
  for (const element of root.querySelectorAll('.cloud-sync-form :is(input, select, textarea, button), .cloud-sync-sidebar :is(input, select, button)')) {
    if (element.type === 'hidden' || element.offsetParent === null) continue;
    const texts = [
      element.getAttribute('aria-label'),
      ...[...(element.labels ?? [])].map((label) => label.textContent),
      element.localName === 'button' ? element.textContent : '',
      element.getAttribute('title'),
    ];
    if (!texts.some((text) => text?.trim())) nameless.push(element.outerHTML.slice(0, 120));
  }
  return nameless;
})()`;

/** Least contrast of texts against what lies behind them (WCAG 2.1, 1.4.3), with the darkest offender. */
const CONTRAST = `((selector) => {
  const rgb = (colour) => {
    const numbers = (colour.match(/[\\d.]+/g) ?? []).map(Number);
    // What is mixed comes as 'color(srgb 0.4 0.4 0.4)'.
    return colour.startsWith('color(') ? numbers.map((number) => number * 255) : numbers;
  };
  const channel = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = rgb(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  let worst = { ratio: 21, text: '' };
  for (const element of document.querySelectorAll(selector)) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || element.offsetParent === null) continue;
    const [one, other] = [luminance(rgb(getComputedStyle(element).color)), luminance(behind(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < worst.ratio) worst = { ratio, text: element.textContent.trim().slice(0, 60) };
  }
  return worst;
})`;

describe('the pages for keyboard and screen reader', function () {
  this.timeout(120_000);
  let bench: Workbench;

  before(async () => {
    bench = await Workbench.start();
    bench.write({ 'photos/a.jpg': 'a' });
  });
  after(() => bench?.stop());
  afterEach(() => bench.close());

  const follower = (type: string) => ({
    id: type,
    type,
    z: 'flow',
    task: 'task',
    path: '/srv/restored',
    x: 200,
    y: 200,
    wires: [[], [], []],
  });

  it('have a name for everything one can use', async () => {
    const page = await bench.open([
      bench.credential(),
      bench.task({
        bandwidthLimit: [{ time: '08:00', bandwidth: 1000 }],
        encryption: true,
        credentials: { encryptionPassword: 'correct horse' },
      }),
      follower('cloud-restore'),
      follower('cloud-verify'),
    ]);
    await bench.run('task');
    await bench.showSidebar();
    await page.getByRole('button', { name: 'History and log' }).first().click();
    await page.locator('.cloud-sync-run').first().click();
    assert.deepEqual(await page.evaluate(NAMELESS), []);
    for (const id of ['task', 'cloud-restore', 'cloud-verify']) {
      await bench.edit(id);
      await page.evaluate(
        "document.querySelectorAll('.cloud-sync-form details').forEach((one) => { one.open = true; })",
      );
      assert.deepEqual(await page.evaluate(NAMELESS), [], id);
      await page.locator('#node-dialog-cancel').click();
      await page.locator('#node-dialog-cancel').waitFor({ state: 'detached' });
    }
    await bench.editCredential();
    for (const provider of ['s3', 'b2', 'azure-blob', 'google-cloud-storage', 'dropbox']) {
      await page.locator('#node-config-input-provider').selectOption(provider);
      await page.evaluate(
        "document.querySelectorAll('.cloud-sync-form details').forEach((one) => { one.open = true; })",
      );
      assert.deepEqual(await page.evaluate(NAMELESS), [], provider);
    }
  });

  it('run a task from the sidebar with the keyboard alone', async () => {
    const page = await bench.open([bench.credential(), bench.task()]);
    await bench.showSidebar();
    await page.locator('[data-action="run"]').focus();
    await page.keyboard.press('Enter');
    // The question has the focus: one more press answers it.
    await page.waitForFunction("document.activeElement?.dataset.action === 'runYes'");
    await page.keyboard.press('Enter');
    await bench.untilText('.cloud-sync-card', /1 file|up to date/);
  });

  it('choose files to restore with the keyboard alone', async () => {
    const page = await bench.open([bench.credential(), bench.task({ folder: 'plain' })]);
    await bench.run('task');
    await bench.showSidebar();
    await page.locator('[data-action="restore"]').focus();
    await page.keyboard.press('Enter');
    await page.locator('.cloud-sync-restore-tree').getByText('a.jpg').waitFor();
    await page.getByRole('checkbox', { name: 'a.jpg' }).waitFor();
    assert.deepEqual(await page.evaluate(NAMELESS), []);
    await page.locator('.cloud-sync-restore-tree .red-ui-treeList').focus();
    for (const key of ['ArrowDown', 'ArrowDown', 'Space']) await page.keyboard.press(key);
    await bench.untilText('.cloud-sync-restore', /1 ticked/);
    assert.equal(await page.getByRole('checkbox', { name: 'a.jpg' }).isChecked(), true);
  });

  it('can be read, in light and dark', async () => {
    for (const colorScheme of [undefined, 'dark'] as const) {
      const page = await bench.open([bench.credential(), bench.task()], { colorScheme });
      await bench.run('task');
      await bench.showSidebar();
      await bench.untilText('.cloud-sync-card', /1 file|up to date/);
      await bench.edit('task');
      await bench.untilText('.cloud-sync-credential-state.cloud-sync-good', /Valid/);
      const { ratio, text } = (await page.evaluate(
        `${CONTRAST}('.cloud-sync-sidebar *, .cloud-sync-form *:not(option)')`,
      )) as { ratio: number; text: string };
      assert.ok(ratio >= 4.5, `${colorScheme ?? 'light'}: "${text}" has a contrast of ${ratio.toFixed(2)}`);
    }
  });
});
