/**
 * Node-RED in a process of its own with the packed package, an S3 server, and a flow that writes down all that leaves the
 * nodes: what a system test works with.
 */

import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FlowNode, type NodeRed, SETTINGS, startNodeRed } from '../../scripts/demo/node-red.js';
import type { Progress, RunReport } from '../../src/engine/report.js';
import { type S3Server, type S3ServerOptions, startS3Server } from '../servers/s3/server.js';
import { until } from '../until.js';
import { installedPackages } from './package.js';
import { descendantsOf, isAlive } from './processes.js';
import { filesWithSecrets, secretsIn } from './secrets.js';

export const BUCKET = 'backups';

/** Something that left a node, in the order it happened. */
export interface FlowRecord {
  /** Id of the node it came from. */
  node: string;
  kind: 'output 1' | 'output 2' | 'output 3' | 'catch' | 'status' | 'complete';
  /** ms since the epoch. */
  time: number;
  /** Of the message that was pressed; undefined where it isn't known. */
  mark?: number;
  payload: unknown;
  error?: { message: string; code?: string };
  status?: { text?: string; fill?: string };
}

export interface StationOptions {
  server?: S3ServerOptions;
  /** A program that starts Node-RED in its place. */
  wrapper?: readonly string[];
  /** A `node_modules` folder; default: the packed package, installed. */
  packages?: string;
  /** More secrets that must not come out anywhere. */
  secrets?: readonly string[];
  /** JavaScript behind Node-RED's settings. */
  settings?: string;
}

const RECORDER = `
const { req, res, ...rest } = msg;
const source = msg.error?.source ?? msg.status?.source;
const record = global.get('record');
record({
  node: node.name.split(':')[0] || source?.id,
  kind: node.name.split(':')[1],
  time: Date.now(),
  mark: msg.mark,
  payload: msg.payload,
  error: msg.error && { message: msg.error.message, code: msg.error.code },
  status: msg.status && { text: msg.status.text, fill: msg.status.fill },
});
`;

export class Station {
  nodeRed!: NodeRed;
  /** Everything Node-RED printed, over all its starts. */
  readonly lines: string[] = [];
  readonly userDir: string;
  readonly #recordFile: string;
  readonly #records: FlowRecord[] = [];
  #recordText = Buffer.alloc(0);
  #recordOffset = 0;
  #marks = 0;

  private constructor(
    readonly server: S3Server,
    /** For the test's own folders. */
    readonly folder: string,
    private readonly packages: string,
    private readonly options: StationOptions,
  ) {
    this.userDir = join(folder, 'node-red');
    this.#recordFile = join(folder, 'records.jsonl');
  }

  static async start(options: StationOptions = {}): Promise<Station> {
    const packages = options.packages ?? (await installedPackages());
    const server = await startS3Server({ buckets: [BUCKET], ...options.server });
    const folder = mkdtempSync(join(tmpdir(), 'cloud-sync-system-'));
    const station = new Station(server, folder, packages, options);
    mkdirSync(station.userDir);
    const record = `(record) => require('fs').appendFileSync(${JSON.stringify(station.#recordFile)}, JSON.stringify(record) + '\\n')`;
    const settings = `${SETTINGS}module.exports.functionGlobalContext = { record: ${record} };\n${options.settings ?? ''}`;
    writeFileSync(join(station.userDir, 'settings.js'), settings);
    writeFileSync(station.#recordFile, '');
    await station.startNodeRed();
    return station;
  }

  /** Starts Node-RED (again), with what was deployed last. */
  async startNodeRed(): Promise<void> {
    const { wrapper } = this.options;
    const before = this.lines.length;
    this.nodeRed = await startNodeRed({
      userDir: this.userDir,
      packages: this.packages,
      ...(wrapper === undefined ? {} : { wrapper }),
      onLine: (line) => this.lines.push(line),
    });
    const hasStarted = () => this.lines.slice(before).some((line) => line.includes('Started flows'));
    await until(hasStarted, 'Node-RED starts the flows');
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  get dataFolder(): string {
    return join(this.userDir, 'cloud-sync');
  }

  /** A `cloud-credential` for the server. */
  credential(id = 'credential', changes: Record<string, unknown> = {}): FlowNode {
    const { url, accessKeyId, secretAccessKey } = this.server;
    const credentials = { accessKeyId, secretAccessKey };
    return {
      id,
      type: 'cloud-credential',
      name: 'My storage',
      provider: 's3',
      endpoint: url,
      region: 'us-east-1',
      credentials,
      ...changes,
    };
  }

  /** A `cloud-sync` that pushes to the server. */
  task(id: string, properties: Record<string, unknown>): FlowNode {
    return {
      id,
      type: 'cloud-sync',
      name: id,
      credential: 'credential',
      direction: 'push',
      transferMode: 'sync',
      bucket: BUCKET,
      folder: id,
      ...properties,
    };
  }

  /** Replaces all flows by `nodes`, whose outputs are recorded; see {@link flow}. */
  async deploy(nodes: readonly FlowNode[]): Promise<void> {
    await this.nodeRed.deploy(this.flow(nodes));
  }

  /** `nodes` with what presses them and writes down what leaves them, and the credential where none is among them. */
  flow(nodes: readonly FlowNode[]): FlowNode[] {
    const tasks = nodes.filter((node) => node.type !== 'cloud-credential');
    const recorder = (node: string, kind: string): FlowNode => ({
      id: `record ${node} ${kind}`,
      z: 'flow',
      type: 'function',
      name: `${node}:${kind}`,
      outputs: 0,
      func: RECORDER,
      wires: [],
    });
    const kinds = ['output 1', 'output 2', 'output 3'];
    const listener = (type: string, properties: Record<string, unknown> = {}): FlowNode[] => [
      { id: type, z: 'flow', type, scope: null, wires: [[`record  ${type}`]], ...properties },
      recorder('', type),
    ];
    const targets = tasks.map(({ id }) => id);
    const hasCredential = nodes.some(({ type }) => type === 'cloud-credential');
    const nodesOfFlow: FlowNode[] = [
      { id: 'flow', type: 'tab', label: 'System test' },
      ...(hasCredential ? [] : [this.credential()]),
      ...nodes.map((node) =>
        node.type === 'cloud-credential'
          ? node
          : { ...node, z: 'flow', wires: kinds.map((kind) => [`record ${node.id} ${kind}`]) },
      ),
      ...tasks.flatMap(({ id }) => kinds.map((kind) => recorder(id, kind))),
      ...listener('catch'),
      ...listener('status'),
      ...tasks.flatMap(({ id }) => [
        {
          id: `complete ${id}`,
          z: 'flow',
          type: 'complete',
          scope: [id],
          wires: [[`record ${id} complete`]],
        },
        recorder(id, 'complete'),
      ]),
      {
        id: 'press',
        z: 'flow',
        type: 'http in',
        url: '/press/:node',
        method: 'post',
        wires: [['distribute']],
      },
      {
        id: 'distribute',
        z: 'flow',
        type: 'function',
        outputs: targets.length + 1,
        func: `const at = ${JSON.stringify(targets)}.indexOf(msg.req.params.node);
return [...Array(${targets.length}).fill(null).map((_, index) => index === at ? msg.payload : null), msg];`,
        wires: [...targets.map((id) => [id]), ['answer']],
      },
      { id: 'answer', z: 'flow', type: 'http response', wires: [] },
    ];
    // What has no place is a config node to Node-RED.
    return nodesOfFlow.map((node) => (node.z === undefined ? node : { x: 0, y: 0, ...node }));
  }

  /** Sends a node a message; its mark, which comes out with all that belongs to it. */
  async press(node: string, message: Record<string, unknown> = {}): Promise<number> {
    const mark = ++this.#marks;
    const answer = await fetch(`${this.nodeRed.url}/press/${node}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ payload: '', ...message, mark }),
    });
    assert.equal(answer.status, 200);
    return mark;
  }

  /** The report that answers the message with this mark. */
  async report(mark: number, timeoutMs = 60_000): Promise<RunReport> {
    const record = await until(
      () => this.records.find((one) => one.mark === mark && /output [12]/.test(one.kind)),
      `the report of message ${mark}`,
      timeoutMs,
    );
    const report = record.payload as RunReport;
    assert.equal(record.kind, report.status === 'success' ? 'output 1' : 'output 2');
    return report;
  }

  /** Presses and waits for the report. */
  async run(node: string, message: Record<string, unknown> = {}): Promise<RunReport> {
    return await this.report(await this.press(node, message));
  }

  /** The same, and it has to be a success. */
  async runWell(node: string, message: Record<string, unknown> = {}): Promise<RunReport> {
    const report = await this.run(node, message);
    assert.equal(report.status, 'success', `${node}: ${JSON.stringify(report.errors)}`);
    return report;
  }

  /** All that has left the nodes until now. */
  get records(): readonly FlowRecord[] {
    const descriptor = openSync(this.#recordFile, 'r');
    try {
      const added = Buffer.alloc(fstatSync(descriptor).size - this.#recordOffset);
      readSync(descriptor, added, 0, added.length, this.#recordOffset);
      this.#recordOffset += added.length;
      this.#recordText = Buffer.concat([this.#recordText, added]);
    } finally {
      closeSync(descriptor);
    }
    for (let end = this.#recordText.indexOf(10); end >= 0; end = this.#recordText.indexOf(10)) {
      this.#records.push(JSON.parse(this.#recordText.toString('utf8', 0, end)) as FlowRecord);
      this.#recordText = this.#recordText.subarray(end + 1);
    }
    return this.#records;
  }

  /** What output 3 of `node` has told. */
  progressOf(node: string): (Progress & { time: number })[] {
    return this.records
      .filter((record) => record.node === node && record.kind === 'output 3')
      .map(({ payload, time }) => ({ ...(payload as Progress), time }));
  }

  /** Asks the sidebar's routes. */
  async ask<T>(route: string): Promise<T> {
    const answer = await fetch(`${this.nodeRed.url}/cloud-sync/${route}`);
    assert.equal(answer.status, 200, `${route}: ${answer.status}`);
    return (await answer.json()) as T;
  }

  /** Reports of the node's last runs, newest first. */
  async history(node: string): Promise<RunReport[]> {
    return (await this.ask<{ runs: RunReport[] }>(`tasks/${node}/runs`)).runs;
  }

  /** What the sidebar shows of the node. */
  async state(node: string): Promise<{ status: string; report?: RunReport }> {
    type Shown = { nodes: { id: string; state: { status: string; report?: RunReport } }[] };
    const { nodes } = await this.ask<Shown>('tasks');
    return nodes.find(({ id }) => id === node)!.state;
  }

  /** Processes that Node-RED started and that live. */
  get children(): number[] {
    return descendantsOf(this.nodeRed.process.pid!).filter(isAlive);
  }

  /** Ends Node-RED as a power cut would, and waits until nobody of it is left: its runs' processes go with it. */
  async kill(): Promise<void> {
    const children = this.children;
    const exited = new Promise((resolve) => this.nodeRed.process.once('exit', resolve));
    this.nodeRed.process.kill('SIGKILL');
    await exited;
    await until(() => !children.some(isAlive), 'the processes of a killed Node-RED end');
  }

  /** Secrets that must not come out. */
  get secrets(): string[] {
    return [this.server.secretAccessKey, ...(this.options.secrets ?? [])];
  }

  /** No secret in Node-RED's log, in what left the nodes, or in any file but that of Node-RED's credentials. */
  assertNoSecrets(): void {
    const { secrets } = this;
    assert.deepEqual(secretsIn(this.lines.join('\n'), secrets), [], 'secrets in the log of Node-RED');
    assert.deepEqual(secretsIn(JSON.stringify(this.records), secrets), [], 'secrets in messages');
    assert.deepEqual(filesWithSecrets(this.userDir, secrets), [], 'files with secrets');
  }

  /** Ends everything and removes the folders; fails where a secret came out. */
  async stop(): Promise<void> {
    try {
      await this.nodeRed.stop();
      this.assertNoSecrets();
    } finally {
      await this.server.stop();
      if (existsSync(this.folder)) rmSync(this.folder, { recursive: true, force: true });
    }
  }
}
