/** A real Node-RED with this package in a folder of its own, as a user has it: for tests in a browser. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const load = createRequire(join(process.cwd(), 'package.json'));
const PACKAGE = '@cloud-sync/node-red-cloud-sync';
const START_MS = 60_000;

export interface NodeRedOptions {
  /** Deployed from the start; a node's `credentials` are taken along. */
  flows?: object[];
  /** Merged into settings.js; has to be plain data. */
  settings?: Record<string, unknown>;
  /** `red.js` of another Node-RED than the one this package is developed with. */
  redFile?: string;
  /** Folder of an installed package; default: this checkout, linked. */
  packageFolder?: string;
}

export interface RunningNodeRed {
  /** `http://127.0.0.1:port` */
  url: string;
  userDir: string;
  /** Everything it has printed so far. */
  output(): string;
  /** Deploys `flows` as the editor's full deploy does. */
  deploy(flows: object[]): Promise<void>;
  /** An admin request; JSON both ways. */
  request<T>(method: string, path: string, body?: object): Promise<T>;
  /** SIGTERM, and away with its folder. */
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

function writeUserDir(options: NodeRedOptions): string {
  const userDir = mkdtempSync(join(tmpdir(), 'cloud-sync-node-red-'));
  const scope = join(userDir, 'node_modules', '@cloud-sync');
  mkdirSync(scope, { recursive: true });
  symlinkSync(options.packageFolder ?? process.cwd(), join(userDir, 'node_modules', PACKAGE), 'dir');
  const settings = {
    flowFile: 'flows.json',
    credentialSecret: 'only for tests',
    telemetry: { enabled: false, updateNotification: false },
    editorTheme: {
      tours: false,
      projects: { enabled: false },
      palette: { catalogues: [] },
    },
    ...options.settings,
  };
  writeFileSync(
    join(userDir, 'settings.js'),
    `module.exports = ${JSON.stringify(settings, undefined, 2)};\n`,
  );
  writeFileSync(
    join(userDir, 'package.json'),
    '{ "name": "node-red-test", "version": "0.0.1", "private": true }\n',
  );
  return userDir;
}

async function untilStarted(child: ChildProcess, output: () => string): Promise<void> {
  const end = performance.now() + START_MS;
  while (!/Started flows/.test(output())) {
    if (child.exitCode !== null || performance.now() > end) {
      throw new Error(`Node-RED did not start:\n${output()}`);
    }
    await delay(50);
  }
}

export async function startNodeRed(options: NodeRedOptions = {}): Promise<RunningNodeRed> {
  const userDir = writeUserDir(options);
  const port = await freePort();
  const child = spawn(
    process.execPath,
    [
      options.redFile ?? load.resolve('node-red/red.js'),
      ...['--userDir', userDir, '--settings', join(userDir, 'settings.js'), '--port', String(port)],
      ...['-D', 'uiHost=127.0.0.1'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  }
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
    rmSync(userDir, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  const request = async <T>(method: string, path: string, body?: object): Promise<T> => {
    const response = await fetch(`${url}/${path}`, {
      method,
      headers: { 'Content-Type': 'application/json', 'Node-RED-API-Version': 'v2' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const answer = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${answer}`);
    return (answer === '' ? undefined : JSON.parse(answer)) as T;
  };
  const deploy = async (flows: object[]) => {
    await request('POST', 'flows', { flows });
  };
  try {
    await untilStarted(child, () => text);
    if (options.flows !== undefined) await deploy(options.flows);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, userDir, output: () => text, deploy, request, stop };
}
