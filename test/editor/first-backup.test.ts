import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { openEditor, startBrowser } from './browser.js';

const MOST_CLICKS = 11;

/** Counts what a user's hand does, not what scripts do. */
const COUNT_CLICKS = `(() => {
  window.clicks = 0;
  addEventListener('mousedown', (event) => { if (event.isTrusted) window.clicks += 1; }, true);
})()`;

/** The tree has scrolled to the folder that is in the field. */
const SHOWS_CHOSEN = `(() => {
  const panel = document.querySelector('#cloud-sync-tree-path');
  const chosen = panel.querySelector('.red-ui-treeList-label.selected')?.getBoundingClientRect();
  const { top, bottom } = panel.getBoundingClientRect();
  return chosen !== undefined && chosen.top >= top - 1 && chosen.bottom <= bottom + 1;
})()`;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

describe('docs/first-backup.md', function () {
  this.timeout(180_000);
  const text = readFileSync('docs/first-backup.md', 'utf8');
  let root: string;
  let demo: ChildProcess;
  let output = '';
  let browser: Browser;
  let page: Page;

  before(async () => {
    root = mkdtempSync(join(tmpdir(), 'cloud-sync-newcomer-'));
    mkdirSync(join(root, 'my documents', 'letters'), { recursive: true });
    for (const name of ['a.txt', 'letters/b.txt', 'letters/c.txt']) {
      writeFileSync(join(root, 'my documents', name), name);
    }
    const port = await freePort();
    // What 'npm start' runs once everything is built.
    demo = spawn(process.execPath, ['--import', 'tsx', join('scripts', 'start.ts')], {
      env: { ...process.env, PORT: String(port), DEMO_FOLDER: join(root, 'demo') },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [demo.stdout!, demo.stderr!]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    }
    browser = await startBrowser();
    while (!output.includes(`Open http://127.0.0.1:${port}`)) {
      assert.equal(demo.exitCode, null, output);
      await new Promise((done) => setTimeout(done, 100));
    }
    page = await openEditor(browser, `http://127.0.0.1:${port}`);
    page.setDefaultTimeout(30_000);
  });
  after(async () => {
    await browser?.close();
    if (demo?.exitCode === null) {
      const ended = once(demo, 'exit');
      demo.kill('SIGTERM');
      await ended;
    }
    if (root !== undefined) rmSync(root, { recursive: true, force: true });
  });

  it("leads to a verified backup of a folder of one's own in as many clicks as it says", async () => {
    const nodeOnFlow = (id: string) => page.locator(`[id="${id}"]`);
    const tree = page.locator('#cloud-sync-tree-path');
    /** What is in bold in each step of the list. */
    const actions: Record<string, () => Promise<void>> = {
      'Back up photos': () => nodeOnFlow('cs-demo-sync').dblclick({ position: { x: 60, y: 15 } }),
      Browse: () => page.locator('#cloud-sync-browse-path').click(),
      'your folder': async () => {
        await page.waitForFunction(SHOWS_CHOSEN);
        await tree.getByText('my documents', { exact: true }).click();
      },
      'Bucket folder': async () => {
        await page.locator('#node-input-folder').click();
        await page.locator('#node-input-folder').press('Control+a');
        await page.keyboard.type('documents');
      },
      Done: () => page.locator('#node-dialog-ok').click(),
      Deploy: async () => {
        const deployed = page.waitForResponse(
          (response) => response.url().endsWith('/flows') && response.request().method() === 'POST',
        );
        await page.locator('#red-ui-header-button-deploy:not(.disabled)').click();
        await deployed;
      },
      Start: () => nodeOnFlow('cs-demo-start').locator('.red-ui-flow-node-button-button').click(),
    };
    await page.evaluate(COUNT_CLICKS);
    const [list] = text.split('\n## ');
    const steps = [...list!.matchAll(/^\d\. .*?\*\*(.+?)\*\*/gm)].map(([, name]) => name!);
    assert.deepEqual(steps, Object.keys(actions));
    for (const step of steps) await actions[step]!();
    await nodeOnFlow('cs-demo-verify')
      .locator('.red-ui-flow-node-status-label')
      .filter({ hasText: /^3 files match/ })
      .waitFor();

    const clicks = (await page.evaluate('window.clicks')) as number;
    assert.equal(clicks, Number(/\*\*(\d+) clicks\*\*/.exec(list!)?.[1]));
    assert.ok(clicks <= MOST_CLICKS, `${clicks} clicks`);
  });
});
