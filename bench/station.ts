/** A Node-RED with the packed package, that runs one task after the other and says how late its event loop was. */

import { mkdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { type FlowNode, type NodeRed, SETTINGS, startNodeRed } from '../scripts/demo/node-red.js';
import type { RunReport } from '../src/engine/report.js';
import { BUCKET, type FarEnd } from './far-end.js';
import type { LoopDelay, Measurement } from './measurement.js';
import { cpuTime, descendants, MemoryWatch } from './processes.js';

/** ms between two looks at the event loop's clock. */
const RESOLUTION_MS = 10;
/** ms for which an idle Node-RED is watched. */
const IDLE_MS = 3_000;
/** What an encrypting task of the benchmark uses. */
export const PASSWORD = 'benchmark';

/** Node-RED's settings with a route that gives, and then forgets, how late its event loop was: GET /bench/loop. */
const PROBE = `
const delays = require('node:perf_hooks').monitorEventLoopDelay({ resolution: ${RESOLUTION_MS} });
delays.enable();
module.exports.httpAdminMiddleware = (request, response, next) => {
  if (request.path !== '/bench/loop') return next();
  response.json({ p50: delays.percentile(50) / 1e6, p99: delays.percentile(99) / 1e6 });
  delays.reset();
};
`;

export interface Task {
  /** Its state is kept from one run to the next with the same id. No other property may be the same text. */
  id: string;
  direction: 'push' | 'pull';
  path: string;
  folder: string;
  encrypted?: boolean;
}

export class Station {
  /** CPU time that an idle Node-RED takes, ms per ms. */
  #idleCpu = 0;

  private constructor(
    private readonly nodeRed: NodeRed,
    private readonly farEnd: FarEnd,
  ) {}

  /** @param wrapper a program and its arguments that start Node-RED in its place */
  static async start(
    folder: string,
    packages: string,
    farEnd: FarEnd,
    wrapper: readonly string[],
  ): Promise<Station> {
    const userDir = join(folder, 'node-red');
    mkdirSync(userDir, { recursive: true });
    writeFileSync(join(userDir, 'settings.js'), SETTINGS + PROBE);
    const nodeRed = await startNodeRed({ userDir, packages, wrapper });
    // A benchmark that is broken off leaves nothing running.
    process.once('exit', () => nodeRed.process.kill('SIGKILL'));
    return new Station(nodeRed, farEnd);
  }

  get #pid(): number {
    return this.nodeRed.process.pid!;
  }

  /** How late the event loop was since this was last asked. */
  async takeLoopDelay(): Promise<LoopDelay> {
    const { p50, p99 } = (await (await fetch(`${this.nodeRed.url}/bench/loop`)).json()) as LoopDelay;
    return { p50: Math.max(0, p50 - RESOLUTION_MS), p99: Math.max(0, p99 - RESOLUTION_MS) };
  }

  /** Watches Node-RED while it has nothing to do. */
  async idle(): Promise<LoopDelay> {
    await this.takeLoopDelay();
    const before = cpuTime(this.#pid).own;
    await delay(IDLE_MS);
    this.#idleCpu = (cpuTime(this.#pid).own - before) / IDLE_MS;
    return this.takeLoopDelay();
  }

  /** Deploys a flow with this one task. */
  async deploy(task: Task): Promise<void> {
    const { provider, access } = this.farEnd;
    const flow: FlowNode[] = [
      { id: 'flow', type: 'tab', label: 'Benchmark' },
      {
        id: 'credential',
        type: 'cloud-credential',
        name: 'Benchmark',
        provider,
        ...access.credential,
      },
      { id: 'start', z: 'flow', type: 'http in', url: '/bench/run', method: 'post', wires: [[task.id]] },
      {
        id: task.id,
        z: 'flow',
        type: 'cloud-sync',
        name: 'Benchmark',
        credential: 'credential',
        direction: task.direction,
        transferMode: 'sync',
        path: task.path,
        bucket: BUCKET,
        folder: task.folder,
        wires: [['answer'], ['answer'], []],
        ...(task.encrypted === true
          ? { encryption: true, filenameEncryption: true, credentials: { encryptionPassword: PASSWORD } }
          : {}),
      },
      { id: 'answer', z: 'flow', type: 'http response', wires: [] },
    ];
    await this.nodeRed.deploy(flow);
  }

  /** Runs the task that was deployed, from the message to the report. Throws where it doesn't succeed. */
  async run(): Promise<Measurement & { report: RunReport }> {
    await this.farEnd.takeCounts();
    await this.takeLoopDelay();
    const server = this.farEnd.cpuMs;
    const before = cpuTime(this.#pid);
    const watch = new MemoryWatch(this.#pid, false);
    const start = performance.now();
    const report = (await post(`${this.nodeRed.url}/bench/run`)) as RunReport;
    const wallMs = performance.now() - start;
    const loop = await this.takeLoopDelay();
    while (descendants(this.#pid).length > 0) await delay(5);
    const peakBytes = watch.stop();
    const after = cpuTime(this.#pid);
    if (report.status !== 'success')
      throw new Error(`The run ${report.status}: ${JSON.stringify(report.errors)}`);
    const own = Math.max(0, after.own - before.own - this.#idleCpu * wallMs);
    return {
      wallMs,
      cpuMs: own + after.children - before.children,
      nodeRedCpuMs: own,
      peakBytes,
      requests: await this.farEnd.takeCounts(),
      loop,
      serverCpuMs: this.farEnd.cpuMs - server,
      report,
    };
  }

  async stop(): Promise<void> {
    await this.nodeRed.stop();
  }
}

/** An answer that may take an hour, which `fetch` doesn't wait for; on a connection of its own. */
function post(url: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method: 'POST', agent: false }, (answer) => {
      json(answer).then(resolve, reject);
    });
    request.once('error', reject);
    request.end();
  });
}
