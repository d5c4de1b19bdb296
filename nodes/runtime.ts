/**
 * What all nodes of this package share within one Node-RED process: the runner, and the list of nodes at work. Built as
 * a file of its own, so that there is one of it however many nodes load it.
 */

import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeDef } from 'node-red';
import type { Operation } from '../src/engine/report.js';
import { configurationHash, Runner } from '../src/runner/runner.js';
import { buildRequest, type ConfiguredNode, packageSettings, type RED } from './requests.js';
import { RunNode, type RunService } from './run-node.js';

export { asCloudSyncError, CloudSyncError } from '../src/errors.js';
export { addRoute, type RouteInput, textOf } from './routes.js';
export { nextRun, startSchedule } from './schedule.js';

let runner: Runner | undefined;

/** Nodes at work by id. */
const runNodes = new Map<string, RunNode>();
/** Made since the last deploy; they take over runs once every node is there. */
let arrivals: RunNode[] = [];
/** Closed since the last deploy: those that don't come back were removed or disabled. */
let departures = new Set<string>();
const watched = new WeakSet<object>();

export function dataFolder(RED: RED): string {
  const { userDir } = RED.settings;
  return userDir === undefined
    ? join(tmpdir(), `node-red-cloud-sync-${process.pid}`)
    : join(userDir, 'cloud-sync');
}

/** The one runner of this process, made when it is needed first. */
export function sharedRunner(RED: RED): Runner {
  if (runner === undefined) {
    const { runMemoryMb, historyDays } = packageSettings(RED);
    runner = new Runner({
      dataFolder: dataFolder(RED),
      childFile: join(__dirname, '..', 'runner', 'child.js'),
      runMemoryMb,
      historyDays,
    });
  }
  return runner;
}

/** Tests put a double here; undefined makes a new runner when it is needed next. */
export function replaceRunner(replacement: Runner | undefined): void {
  runner = replacement;
}

/** Called when a deploy is through: every node that will be there is there. */
async function afterDeploy(RED: RED): Promise<void> {
  const arrived = arrivals;
  const gone = [...departures].filter((id) => !runNodes.has(id));
  arrivals = [];
  departures = new Set();
  for (const id of gone) sharedRunner(RED).release(id, true);
  await Promise.all(arrived.map((runNode) => runNode.takeOver()));
}

function watchDeploys(RED: RED): void {
  if (watched.has(RED.events)) return;
  watched.add(RED.events);
  RED.events.on('flows:started', () => {
    afterDeploy(RED).catch((error: unknown) => RED.log.error(`cloud-sync: ${String(error)}`));
  });
}

/** Registers a node type that carries out runs. */
export function registerRunNode(
  RED: RED,
  type: string,
  operation: Operation,
  secrets: Record<string, { type: 'text' | 'password' }> = {},
  onReady?: (node: ConfiguredNode) => void,
): void {
  watchDeploys(RED);
  function RunNodeType(this: ConfiguredNode, definition: NodeDef): void {
    RED.nodes.createNode(this, definition);
    this.saved = definition as NodeDef & Record<string, unknown>;
    const runs: RunService = {
      submit: (request, listener) => sharedRunner(RED).submit(request, listener),
      adopt: (nodeId, hash, listen) => sharedRunner(RED).adopt(nodeId, hash, listen),
      release: (nodeId, removed) => sharedRunner(RED).release(nodeId, removed),
      abort: (nodeId) => sharedRunner(RED).abort(nodeId),
    };
    const runNode = new RunNode(this, {
      operation,
      runs,
      hash: configurationHash,
      request: (message) => buildRequest(RED, this, operation, message, dataFolder(RED)),
    });
    runNodes.set(this.id, runNode);
    arrivals.push(runNode);
    this.on('close', () => {
      if (runNodes.get(this.id) === runNode) runNodes.delete(this.id);
      departures.add(this.id);
    });
    onReady?.(this);
  }
  RED.nodes.registerType(type, RunNodeType, { credentials: secrets });
}
