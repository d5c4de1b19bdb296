/** What is pictured: a real Node-RED with the example flow, an S3-compatible server and a folder of samples. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type FlowNode, type NodeRed, SETTINGS, startNodeRed } from '../demo/node-red.js';
import { DEMO_PROVIDERS, type DemoProvider } from '../demo/providers.js';
import { makeSample } from '../demo/sample.js';

const EXAMPLE = join('examples', '1 - Back up, verify and restore.json');
export const TASK = 'cs-demo-sync';
export const CREDENTIAL = 'cloud-sync-demo-credential';

interface NodeState {
  id: string;
  state: { status: string };
}

export class Stage {
  private constructor(
    readonly nodeRed: NodeRed,
    private readonly provider: DemoProvider,
    /** Of these pictures alone. */
    readonly root: string,
  ) {}

  static async build(): Promise<Stage> {
    const root = mkdtempSync(join(tmpdir(), 'home-'));
    makeSample(join(root, 'photos'), 8);
    for (const name of ['documents', 'music']) mkdirSync(join(root, name));
    const userDir = join(root, 'node-red');
    mkdirSync(userDir);
    // What else lies on this machine is nothing for a picture.
    const confined = `module.exports.cloudSync = ${JSON.stringify({ allowedPaths: [root] })};\n`;
    writeFileSync(join(userDir, 'settings.js'), SETTINGS + confined);
    const provider = await DEMO_PROVIDERS.s3!();
    return new Stage(await startNodeRed({ userDir }), provider, root);
  }

  async close(): Promise<void> {
    await this.nodeRed.stop();
    await this.provider.stop();
    rmSync(this.root, { recursive: true, force: true });
  }

  get photos(): string {
    return join(this.root, 'photos');
  }

  /** The example flow, filled in for this machine. */
  example(): FlowNode[] {
    const nodes = JSON.parse(readFileSync(EXAMPLE, 'utf8')) as FlowNode[];
    return nodes.map((node) => {
      const { config, secrets } = this.provider.credential;
      if (node.id === CREDENTIAL) return { ...node, ...config, credentials: secrets };
      if (node.type === 'cloud-sync') return { ...node, path: this.photos, bucket: this.provider.bucket };
      if (node.type === 'cloud-restore') return { ...node, path: join(this.root, 'restored') };
      return node;
    });
  }

  /** Its tab and credential with these tasks instead of its nodes: each is the example's, changed. */
  tasks(...changes: Array<Record<string, unknown>>): FlowNode[] {
    const flows = this.example();
    const task = flows.find(({ id }) => id === TASK)!;
    return [
      ...flows.filter(({ type }) => type === 'tab' || type === 'cloud-credential'),
      ...changes.map((change, index) => ({ ...task, wires: [[], [], []], y: 100 + index * 60, ...change })),
    ];
  }

  async start(id: string, what = 'run', body: object = {}): Promise<void> {
    await fetch(`${this.nodeRed.url}/cloud-sync/tasks/${id}/${what}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  }

  /** Waits until each of these nodes has the state it is to have. */
  async until(wanted: Readonly<Record<string, string>>): Promise<void> {
    for (const end = Date.now() + 60_000; ; await delay(100)) {
      const answer = await fetch(`${this.nodeRed.url}/cloud-sync/tasks`);
      const { nodes } = (await answer.json()) as { nodes: NodeState[] };
      const states = new Map(nodes.map(({ id, state }) => [id, state.status]));
      if (Object.entries(wanted).every(([id, status]) => states.get(id) === status)) return;
      if (Date.now() > end)
        throw new Error(`Not ${JSON.stringify(wanted)} but ${JSON.stringify([...states])}`);
    }
  }
}
