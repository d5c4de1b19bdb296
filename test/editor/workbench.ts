/** What a test in the browser needs: Node-RED, an S3 server, a folder of files, and the editor open on some flows. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { openEditor, startBrowser } from './browser.js';
import { type NodeRedOptions, type RunningNodeRed, startNodeRed } from './node-red.js';

export const TAB = { id: 'flow', type: 'tab', label: 'Flow' };

export class Workbench {
  page!: Page;
  /** Errors of scripts on the page. */
  faults: string[] = [];

  private constructor(
    readonly s3: S3Server,
    readonly browser: Browser,
    readonly nodeRed: RunningNodeRed,
    /** Of this test alone. */
    readonly root: string,
  ) {}

  static async start(options: NodeRedOptions = {}): Promise<Workbench> {
    const root = mkdtempSync(join(tmpdir(), 'cloud-sync-editor-'));
    const s3 = await startS3Server({ buckets: ['archive'] });
    const [browser, nodeRed] = await Promise.all([startBrowser(), startNodeRed(options)]);
    return new Workbench(s3, browser, nodeRed, root);
  }

  async stop(): Promise<void> {
    await this.browser.close();
    await this.nodeRed.stop();
    await this.s3.stop();
    rmSync(this.root, { recursive: true, force: true });
  }

  /** Writes files of `root`: path to content. */
  write(files: Record<string, string>): void {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(this.root, path)), { recursive: true });
      writeFileSync(join(this.root, path), content);
    }
  }

  credential(more: object = {}): object {
    return {
      id: 'credential',
      type: 'cloud-credential',
      name: 'Home storage',
      provider: 's3',
      endpoint: this.s3.url,
      region: 'us-east-1',
      credentials: { accessKeyId: this.s3.accessKeyId, secretAccessKey: this.s3.secretAccessKey },
      ...more,
    };
  }

  task(more: object = {}): object {
    return {
      id: 'task',
      type: 'cloud-sync',
      z: 'flow',
      name: 'Family photos',
      credential: 'credential',
      path: join(this.root, 'photos'),
      bucket: 'archive',
      folder: 'photos',
      x: 200,
      y: 100,
      wires: [[], [], []],
      ...more,
    };
  }

  /** Deploys `flows` and opens the editor on them; what was open is closed. */
  async open(
    flows: object[],
    view?: { width?: number; colorScheme?: 'dark'; locale?: string; timezoneId?: string },
  ): Promise<Page> {
    await this.close();
    this.faults = [];
    await this.nodeRed.deploy([TAB, ...flows]);
    this.page = await openEditor(this.browser, this.nodeRed.url, view);
    this.page.setDefaultTimeout(15_000);
    this.page.on('pageerror', (error) => this.faults.push(error.stack ?? error.message));
    return this.page;
  }

  async close(): Promise<void> {
    await this.page?.context().close();
  }

  async edit(id: string): Promise<void> {
    await this.page.evaluate(`RED.editor.edit(RED.nodes.node(${JSON.stringify(id)}))`);
    await this.page.locator('#node-dialog-ok').waitFor();
  }

  async editCredential(id = 'credential'): Promise<void> {
    await this.page.evaluate(`RED.editor.editConfig('', 'cloud-credential', ${JSON.stringify(id)})`);
    await this.page.locator('#node-config-dialog-ok').waitFor();
  }

  async deploy(): Promise<void> {
    const deployed = this.page.waitForResponse(
      (response) => response.url().endsWith('/flows') && response.request().method() === 'POST',
    );
    await this.page.locator('#red-ui-header-button-deploy:not(.disabled)').click();
    await deployed;
  }

  async untilText(selector: string, expected: RegExp): Promise<void> {
    await this.page.locator(selector).filter({ hasText: expected }).first().waitFor();
  }

  /** The node as it is deployed. */
  async deployed(id: string): Promise<Record<string, unknown>> {
    const { flows } = await this.nodeRed.request<{ flows: Array<Record<string, unknown>> }>('GET', 'flows');
    return flows.find((node) => node.id === id)!;
  }

  async showSidebar(): Promise<void> {
    await this.page.evaluate("RED.sidebar.show('cloud-sync')");
    await this.page.locator('.cloud-sync-sidebar').waitFor();
  }

  /** Runs a node and waits for its end. */
  async run(id: string): Promise<string> {
    type Nodes = { nodes: Array<{ id: string; state: { status: string; report?: { runId: string } } }> };
    const stateOf = async () =>
      (await this.nodeRed.request<Nodes>('GET', 'cloud-sync/tasks')).nodes.find((node) => node.id === id)
        ?.state;
    const before = (await stateOf())?.report?.runId;
    await this.nodeRed.request('POST', `cloud-sync/tasks/${id}/run`, {});
    for (const end = Date.now() + 60_000; ; ) {
      if (Date.now() > end) throw new Error(`${id} does not end:\n${this.nodeRed.output()}`);
      const state = await stateOf();
      if (state?.report !== undefined && state.report.runId !== before && state.status !== 'running') {
        return state.status;
      }
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}
