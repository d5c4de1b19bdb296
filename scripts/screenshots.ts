/**
 * Writes the pictures of the documentation, `docs/images/*.png`: a real Node-RED with this package, an S3-compatible server
 * on this machine and the editor in a real browser, which is driven as a user drives it.
 *
 * `npm run screenshots -- dialog` makes only those whose names hold that word. `SCREENSHOTS=folder` writes elsewhere.
 */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Browser, Page } from 'playwright-core';
import { openEditor, startBrowser } from '../test/editor/browser.js';
import { type FlowNode, type NodeRed, startNodeRed } from './demo/node-red.js';
import { DEMO_PROVIDERS, type DemoProvider } from './demo/providers.js';
import { makeSample } from './demo/sample.js';
import { smallPng } from './screenshots/small-png.js';

const FOLDER = process.env.SCREENSHOTS ?? join('docs', 'images');
const WANTED = process.argv[2] ?? '';
const EXAMPLE = join('examples', '1 - Back up, verify and restore.json');
const TASK = 'cs-demo-sync';
const CREDENTIAL = 'cloud-sync-demo-credential';

interface View {
  width?: number;
  height?: number;
  colorScheme?: 'light' | 'dark';
}

/** Brings the page into a state; gives the selector or the part of the page to be pictured (default: all of it). */
type Act = (
  page: Page,
) => Promise<string | { x: number; y: number; width: number; height: number } | undefined>;

class Camera {
  constructor(
    private readonly browser: Browser,
    private readonly nodeRed: NodeRed,
  ) {}

  /** Opens the editor, does what `act` does, and takes the picture. */
  async take(name: string, view: View, act: Act): Promise<void> {
    if (!name.includes(WANTED)) return;
    const page = await openEditor(this.browser, this.nodeRed.url, view);
    page.setDefaultTimeout(20_000);
    try {
      const part = await act(page);
      await settle(page);
      const file = join(FOLDER, `${name}.png`);
      const options = { animations: 'disabled' } as const;
      const taken =
        typeof part === 'string'
          ? await page.locator(part).first().screenshot(options)
          : await page.screenshot({ ...options, clip: part });
      const png = smallPng(taken);
      writeFileSync(file, png);
      console.log(`${file} ${Math.round(png.length / 1024)} KiB`);
    } finally {
      await page.context().close();
    }
  }

  /** In light and dark, the second one called `<name>-dark`. */
  async takeBoth(name: string, view: View, act: Act): Promise<void> {
    await this.take(name, view, act);
    await this.take(`${name}-dark`, { ...view, colorScheme: 'dark' }, act);
  }
}

/** Nothing slides or fades any more. */
async function settle(page: Page): Promise<void> {
  await page.mouse.move(0, 0);
  await page.waitForFunction("document.getAnimations().every((one) => one.playState !== 'running')");
}

async function showSidebar(page: Page): Promise<void> {
  await page.evaluate("RED.sidebar.show('cloud-sync')");
  await page.locator('.cloud-sync-sidebar').waitFor();
}

/** The sidebar alone, as high as what stands in it. */
async function wholeSidebar(page: Page): Promise<string> {
  await page.evaluate(`(() => {
    const sidebar = document.querySelector('.cloud-sync-sidebar');
    document.body.append(sidebar);
    Object.assign(sidebar.style, { position: 'fixed', zIndex: 9999, top: 0, left: 0, width: '320px', height: 'auto' });
  })()`);
  return '.cloud-sync-sidebar';
}

async function editTask(page: Page): Promise<void> {
  await page.evaluate(`RED.editor.edit(RED.nodes.node('${TASK}'))`);
  await page.locator('#node-dialog-ok').waitFor();
  await page.locator('.cloud-sync-credential-state.cloud-sync-good').waitFor();
}

const DIALOG = '#red-ui-editor-stack .red-ui-tray:last-child';

async function editCredential(page: Page): Promise<void> {
  await page.evaluate(`RED.editor.editConfig('', 'cloud-credential', '${CREDENTIAL}')`);
  await page.locator('#node-config-dialog-ok').waitFor();
}

function exampleFlows(provider: DemoProvider, root: string): FlowNode[] {
  const nodes = JSON.parse(readFileSync(EXAMPLE, 'utf8')) as FlowNode[];
  return nodes.map((node) => {
    if (node.id === CREDENTIAL)
      return { ...node, ...provider.credential.config, credentials: provider.credential.secrets };
    if (node.type === 'cloud-sync') return { ...node, path: join(root, 'photos'), bucket: provider.bucket };
    if (node.type === 'cloud-restore') return { ...node, path: join(root, 'restored') };
    return node;
  });
}

async function start(nodeRed: NodeRed): Promise<void> {
  const run = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' };
  await fetch(`${nodeRed.url}/cloud-sync/tasks/${TASK}/run`, run);
}

async function runOnce(nodeRed: NodeRed): Promise<void> {
  await start(nodeRed);
  const end = Date.now() + 60_000;
  for (;;) {
    const answer = await fetch(`${nodeRed.url}/cloud-sync/tasks`);
    const { nodes } = (await answer.json()) as { nodes: Array<{ state: { status: string } }> };
    if (nodes.every(({ state }) => state.status === 'success')) return;
    if (Date.now() > end) throw new Error(`The example does not succeed: ${JSON.stringify(nodes)}`);
    await delay(100);
  }
}

async function flowPictures(camera: Camera): Promise<void> {
  await camera.take('flow', { width: 1600, height: 460 }, async (page) => {
    await showSidebar(page);
    await page.locator('.cloud-sync-card .cloud-sync-status-success').nth(2).waitFor();
    // Without the palette, which says nothing about the flow.
    return { x: 212, y: 40, width: 1388, height: 420 };
  });
  for (const width of [1280, 1920]) {
    await camera.takeBoth(`editor-${width}`, { width, height: 800 }, async (page) => {
      await showSidebar(page);
      return undefined;
    });
  }
}

async function credentialPictures(camera: Camera): Promise<void> {
  await camera.takeBoth('dialog-credential', { height: 1120 }, async (page) => {
    await editCredential(page);
    await page.locator('.cloud-sync-verify button').click();
    await page.locator('.cloud-sync-answer.cloud-sync-good').waitFor();
    return DIALOG;
  });
}

async function taskPictures(camera: Camera): Promise<void> {
  await camera.takeBoth('dialog-task', { height: 860 }, async (page) => {
    await editTask(page);
    return DIALOG;
  });
  for (const section of ['schedule', 'filters', 'safety', 'transfer', 'encryption', 'advanced']) {
    await camera.take(`dialog-task-${section}`, { height: 1000 }, async (page) => {
      await editTask(page);
      await page.locator(`details[data-section="${section}"] > summary`).click();
      if (section === 'schedule') await page.locator('#cloud-sync-preset').selectOption('daily');
      if (section === 'encryption') await page.locator('#node-input-encryption').check();
      return `details[data-section="${section}"]`;
    });
  }
  await camera.take('dialog-folders', { height: 900 }, async (page) => {
    await editTask(page);
    await page.locator('#cloud-sync-browse-folder').click();
    await page.locator('#cloud-sync-tree-folder .red-ui-treeList-label').first().waitFor();
    return DIALOG;
  });
}

async function trayPictures(camera: Camera): Promise<void> {
  await camera.take('dialog-preview', { height: 1000 }, async (page) => {
    await editTask(page);
    await page.locator('details[data-section="filters"] > summary').click();
    await page.locator('details[data-section="filters"] .red-ui-editableList-addButton').first().click();
    await page.locator('#cloud-sync-exclude input').first().fill('IMG_1*');
    await page.locator('#cloud-sync-scan').click();
    await page.locator('.cloud-sync-scan li').first().waitFor();
    return DIALOG;
  });
  await camera.takeBoth('restore', { height: 900 }, async (page) => {
    await showSidebar(page);
    await page.locator('[data-action="restore"]').first().click();
    const label = page.locator('.cloud-sync-restore-tree .red-ui-treeList-label');
    await label.filter({ hasText: 'documents' }).locator('.fa-angle-right').click();
    await label.filter({ hasText: 'letter.txt' }).locator('.red-ui-treeList-checkbox').click();
    await page.locator('#cloud-sync-restore-path').fill('/srv/restored');
    return DIALOG;
  });
  await camera.take('recovery-sheet', { height: 700 }, async (page) => {
    await editTask(page);
    await page.locator('details[data-section="encryption"] > summary').click();
    await page.locator('#node-input-encryption').check();
    await page.locator('#cloud-sync-generate').click();
    await page.locator('#cloud-sync-sheet').click();
    await page.locator('.cloud-sync-sheet').waitFor();
    return DIALOG;
  });
  await camera.take('dialog-credential-dropbox', { height: 900 }, async (page) => {
    await editCredential(page);
    await page.locator('#node-config-input-provider').selectOption('dropbox');
    await page.locator('#node-config-input-appKey').fill('a1b2c3d4e5f6g7h');
    await page.evaluate('window.open = () => null');
    await page.locator('#cloud-sync-dropbox').click();
    await page.locator('#cloud-sync-dropbox-code').waitFor();
    return DIALOG;
  });
}

async function sidebarPictures(camera: Camera): Promise<void> {
  await camera.takeBoth('sidebar-history', { height: 900 }, async (page) => {
    await showSidebar(page);
    await page.getByRole('button', { name: 'History and log' }).first().click();
    await page.locator('.cloud-sync-run').first().click();
    await page.locator('.cloud-sync-log-line').first().waitFor();
    return await wholeSidebar(page);
  });
}

/** A run going on, one that failed, and one that would delete too much. */
async function statePictures(
  camera: Camera,
  nodeRed: NodeRed,
  flows: FlowNode[],
  root: string,
): Promise<void> {
  const task = flows.find(({ id }) => id === TASK)!;
  const alone = (more: object): FlowNode[] => [
    ...flows.filter(({ type }) => type === 'tab' || type === 'cloud-credential'),
    { ...task, wires: [[], [], []], ...more },
  ];
  await nodeRed.deploy(
    alone({
      bandwidthLimit: [{ time: '00:00', bandwidth: 2_000_000 }],
      folder: 'slow',
      schedule: '0 3 * * *',
    }),
  );
  await start(nodeRed);
  await camera.takeBoth('sidebar-running', { height: 600 }, async (page) => {
    await showSidebar(page);
    await page.locator('.cloud-sync-card').filter({ hasText: 'left' }).waitFor();
    return await wholeSidebar(page);
  });
  await nodeRed.deploy(alone({ bucket: 'not-there' }));
  await start(nodeRed);
  await camera.takeBoth('sidebar-failed', { height: 600 }, async (page) => {
    await showSidebar(page);
    await page.locator('.cloud-sync-status-failed').waitFor();
    return await wholeSidebar(page);
  });
  await nodeRed.deploy(alone({ transferMode: 'sync', path: join(root, 'photos', 'documents') }));
  await start(nodeRed);
  await camera.takeBoth('sidebar-deletes', { height: 700 }, async (page) => {
    await showSidebar(page);
    await page.locator('.cloud-sync-pending > summary').click();
    await page.locator('[data-action="allow"]').click();
    return await wholeSidebar(page);
  });
}

async function main(): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  const root = mkdtempSync(join(tmpdir(), 'home-'));
  makeSample(join(root, 'photos'), 8);
  const provider = await DEMO_PROVIDERS.s3!();
  const browser = await startBrowser();
  const nodeRed = await startNodeRed({ userDir: join(root, 'node-red') });
  try {
    const camera = new Camera(browser, nodeRed);
    await camera.takeBoth('sidebar-empty', { height: 600 }, async (page) => {
      await showSidebar(page);
      return await wholeSidebar(page);
    });
    const flows = exampleFlows(provider, root);
    await nodeRed.deploy(flows);
    await runOnce(nodeRed);
    for (const take of [flowPictures, credentialPictures, taskPictures, trayPictures, sidebarPictures]) {
      await take(camera);
    }
    await statePictures(camera, nodeRed, flows, root);
  } finally {
    await browser.close();
    await nodeRed.stop();
    await provider.stop();
    rmSync(root, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
