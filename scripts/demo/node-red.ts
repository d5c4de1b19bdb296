/** A real Node-RED in a process of its own, with this checkout's package installed in it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';

export type FlowNode = Record<string, unknown> & { id: string; type: string };

export interface NodeRed {
  /** Without a slash at its end. */
  url: string;
  process: ChildProcess;
  /** Replaces all flows; secrets of a node stand under its `credentials`. */
  deploy(nodes: readonly FlowNode[]): Promise<void>;
  /** What is deployed, without secrets. */
  flows(): Promise<FlowNode[]>;
  stop(): Promise<void>;
}

export interface NodeRedOptions {
  /** Made if it isn't there. */
  userDir: string;
  /** Default: a free one. */
  port?: number;
  /** Gets each line that Node-RED prints. */
  onLine?: (line: string) => void;
}

const PACKAGE = '@cloud-sync/node-red-cloud-sync';
/** Longest wait for the editor to answer, ms. */
const START_LIMIT = 60_000;

const SETTINGS = `module.exports = {
  flowFile: 'flows.json',
  credentialSecret: false,
  uiHost: '127.0.0.1',
  telemetry: { enabled: false, updateNotification: false },
  editorTheme: { tours: false, palette: { catalogues: [] }, projects: { enabled: false } },
  logging: { console: { level: 'info', metrics: false, audit: false } },
};
`;

/** Starts Node-RED and returns when its editor answers. Throws with its last lines where it doesn't. */
export async function startNodeRed(options: NodeRedOptions): Promise<NodeRed> {
  const userDir = resolve(options.userDir);
  const port = options.port ?? (await freePort());
  install(userDir);
  const main = join(dirname(createRequire(import.meta.url).resolve('node-red/package.json')), 'red.js');
  const child = spawn(process.execPath, [main, '--userDir', userDir, '--port', String(port)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const take = (text: Buffer) => {
    for (const line of text.toString('utf8').split('\n').filter(Boolean)) {
      lines.push(line);
      if (lines.length > 50) lines.shift();
      options.onLine?.(line);
    }
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  const url = `http://127.0.0.1:${port}`;
  try {
    await untilReady(url, child);
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`${(error as Error).message}\n${lines.join('\n')}`);
  }
  return {
    url,
    process: child,
    deploy: (nodes) => deploy(url, nodes),
    flows: async () => (await (await fetch(`${url}/flows`)).json()) as FlowNode[],
    stop: () => stop(child),
  };
}

/** The package as `npm install` of this folder would put it there. */
function install(userDir: string): void {
  const link = join(userDir, 'node_modules', ...PACKAGE.split('/'));
  mkdirSync(dirname(link), { recursive: true });
  rmSync(link, { recursive: true, force: true });
  symlinkSync(resolve('.'), link, 'dir');
  const settings = join(userDir, 'settings.js');
  if (!existsSync(settings)) writeFileSync(settings, SETTINGS);
}

async function untilReady(url: string, child: ChildProcess): Promise<void> {
  const limit = Date.now() + START_LIMIT;
  while (Date.now() < limit) {
    if (child.exitCode !== null) throw new Error(`Node-RED ended with code ${child.exitCode}`);
    const answer = await fetch(`${url}/flows`).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error('Node-RED did not answer');
}

async function deploy(url: string, nodes: readonly FlowNode[]): Promise<void> {
  const answer = await fetch(`${url}/flows`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'Node-RED-Deployment-Type': 'full' },
    body: JSON.stringify(nodes),
  });
  if (!answer.ok) throw new Error(`Node-RED refused the flows: ${answer.status} ${await answer.text()}`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await new Promise<void>((done) => {
    child.once('exit', () => done());
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), 20_000).unref();
  });
}

async function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once('error', fail);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });
}
