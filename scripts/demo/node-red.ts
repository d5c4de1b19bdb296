/** A real Node-RED in a process of its own, with this package installed in it. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { delimiter, dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

export type FlowNode = Record<string, unknown> & { id: string; type: string };

export interface NodeRed {
  /** Without a slash at its end. */
  url: string;
  process: ChildProcess;
  /** Replaces all flows, and waits until the new ones have started; secrets of a node stand under its `credentials`. */
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
  /** A `node_modules` folder that holds the package, see {@link installTarball}; default: this checkout is linked. */
  packages?: string;
  /** A program and its arguments that start Node-RED in its place, such as `setpriv`. */
  wrapper?: readonly string[];
}

const PACKAGE = '@cloud-sync/node-red-cloud-sync';
/** Longest wait for the editor to answer and for flows to start, ms. */
const START_LIMIT = 60_000;

/** settings.js of a userDir that has none. */
export const SETTINGS = `module.exports = {
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
  install(userDir, options.packages);
  const main = join(dirname(createRequire(import.meta.url).resolve('node-red/package.json')), 'red.js');
  const command = [process.execPath, main, '--userDir', userDir, '--port', String(port)];
  const [program, ...parameters] = [...(options.wrapper ?? []), ...command];
  const child = spawn(program!, parameters, { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  let starts = 0;
  const take = (line: string) => {
    if (line === '') return;
    if (line.includes('Started flows')) starts++;
    lines.push(line);
    if (lines.length > 50) lines.shift();
    options.onLine?.(line);
  };
  createInterface({ input: child.stdout }).on('line', take);
  createInterface({ input: child.stderr }).on('line', take);
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
    deploy: async (nodes) => {
      const before = starts;
      await deploy(url, nodes);
      // It answers before the new flows have started.
      await until(() => starts > before, 'Node-RED did not start the flows');
    },
    flows: async () => (await (await fetch(`${url}/flows`)).json()) as FlowNode[],
    stop: () => stop(child),
  };
}

/**
 * Installs a file that `npm pack` made, and what it depends on, into `folder`, as Node-RED's palette manager does.
 * Dependencies that are in npm's cache are not asked for.
 */
export async function installTarball(folder: string, tarball: string): Promise<void> {
  const flags = ['--no-audit', '--no-fund', '--no-update-notifier', '--omit=dev', '--engine-strict'];
  await promisify(execFile)('npm', ['install', ...flags, '--prefer-offline', resolve(tarball)], {
    cwd: folder,
    env: { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` },
  });
}

/** The package as `npm install` of this folder would put it there, or as it was put into `packages`. */
function install(userDir: string, packages: string | undefined): void {
  const modules = join(userDir, 'node_modules');
  if (packages !== undefined) {
    mkdirSync(userDir, { recursive: true });
    if (!existsSync(modules)) symlinkSync(resolve(packages), modules, 'dir');
  } else {
    const link = join(modules, ...PACKAGE.split('/'));
    mkdirSync(dirname(link), { recursive: true });
    rmSync(link, { recursive: true, force: true });
    symlinkSync(resolve('.'), link, 'dir');
  }
  const settings = join(userDir, 'settings.js');
  if (!existsSync(settings)) writeFileSync(settings, SETTINGS);
}

async function untilReady(url: string, child: ChildProcess): Promise<void> {
  const answers = async () => {
    if (child.exitCode !== null) throw new Error(`Node-RED ended with code ${child.exitCode}`);
    const answer = await fetch(`${url}/flows`).catch(() => undefined);
    return answer?.ok === true;
  };
  await until(answers, 'Node-RED did not answer');
}

async function until(condition: () => boolean | Promise<boolean>, complaint: string): Promise<void> {
  const limit = Date.now() + START_LIMIT;
  while (!(await condition())) {
    if (Date.now() > limit) throw new Error(complaint);
    await new Promise((done) => setTimeout(done, 50));
  }
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
