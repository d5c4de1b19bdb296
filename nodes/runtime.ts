/**
 * What all nodes of this package share within one Node-RED process: the runner, and the list of nodes at work. Built as
 * a file of its own, so that there is one of it however many nodes load it.
 */

import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeDef } from 'node-red';
import type { Operation } from '../src/engine/report.js';
import { CloudSyncError } from '../src/errors.js';
import type { AnswerValues, Question } from '../src/runner/questions.js';
import { removeLog } from '../src/runner/run-log.js';
import { type NodeRunState, Runner } from '../src/runner/runner.js';
import type { DeployedNode } from './deployed-node.js';
import {
  buildRequest,
  type ConfiguredNode,
  nodeConfigurationHash,
  packageSettings,
  type RED,
  typedMessageParts,
} from './requests.js';
import { RunNode } from './run-node.js';
import { nextRun, startSchedule } from './schedule.js';
import { type SidebarRun, sidebarRun, sidebarRuns } from './sidebar-runs.js';
import { isStale, watchStaleness } from './stale-watch.js';
import { isNodeRedStopping, watchForStop } from './stopping.js';

export { asCloudSyncError, CloudSyncError } from '../src/errors.js';
export { CREDENTIAL_SECRETS } from './credential-secrets.js';
export { confinePath } from './local-paths.js';
export { previewRequest } from './preview-request.js';
export { localFolder } from './properties.js';
export { deployedTask, messageAllowing, packageSettings, requestWithoutNode } from './requests.js';
export { addRoute, type RouteInput, textOf } from './routes.js';
export { forgetSidebarRun, pathsMessage, sidebarRunId, startSidebarRun } from './sidebar-runs.js';
export { readTypedCredential } from './typed-credential.js';
export { removeLog };

/** What nodes and routes use of the runner. */
export type SharedRunner = Pick<Runner, keyof Runner>;

let runner: SharedRunner | undefined;

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
export function sharedRunner(RED: RED): SharedRunner {
  if (runner === undefined) {
    const { runMemoryMb, historyDays } = packageSettings(RED);
    runner = new Runner({
      dataFolder: dataFolder(RED),
      childFile: join(__dirname, '..', 'runner', 'child.js'),
      runMemoryMb,
      historyDays,
    });
    runner.onChange(announce);
  }
  return runner;
}

function describe({ node, context }: RunNode, { resumption: _, ...state }: NodeRunState): DeployedNode {
  const { saved } = node;
  return {
    id: node.id,
    type: node.type,
    name: String(saved.name ?? ''),
    operation: context.operation,
    schedule: String(saved.schedule ?? ''),
    enabled: saved.enabled !== false,
    nextRun: nextRun(saved),
    stale: isStale(node, state),
    state,
  };
}

function describeSidebarRun(run: SidebarRun, { resumption: _, ...state }: NodeRunState): DeployedNode {
  const { id, operation, taskId, name } = run;
  const type = `cloud-${operation}`;
  return {
    ...{ id, type, name, operation, schedule: '', enabled: true, nextRun: null, stale: false, state },
    ofTask: taskId,
  };
}

/** Every node at work, what earlier processes knew of it included. */
export async function describeNodes(RED: RED): Promise<{ nodes: DeployedNode[]; timeZone: string }> {
  const nodes = await Promise.all(
    [...runNodes.values()].map(async (runNode) =>
      describe(runNode, await sharedRunner(RED).load(runNode.node.id)),
    ),
  );
  const others = sidebarRuns().filter(({ taskId }) => runNodes.has(taskId));
  for (const run of others) nodes.push(describeSidebarRun(run, await sharedRunner(RED).load(run.id)));
  return { nodes, timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone };
}

/** The id of a node at work, or of a run that the sidebar has started. @throws NOT_FOUND */
export function runningId(id: string | undefined): string {
  return sidebarRun(id ?? '')?.id ?? deployedNode(id).node.id;
}

/** @throws NOT_FOUND where no node at work has this id */
export function deployedNode(id: string | undefined): RunNode {
  const found = runNodes.get(id ?? '');
  if (found !== undefined) return found;
  throw new CloudSyncError('NOT_FOUND', 'That node is not deployed, or disabled', {
    advice: 'Deploy first.',
  });
}

const publishers = new Set<(nodeId: string) => void>();

function announce(nodeId: string): void {
  // That a run was interrupted may be known only a little after the start: when its process is gone.
  void runNodes
    .get(nodeId)
    ?.resume()
    .catch(() => undefined);
  for (const publish of publishers) publish(nodeId);
}

/** Tells the editors of every change, over Node-RED's own websocket. */
export function publishChanges(RED: RED): void {
  publishers.clear();
  publishers.add((nodeId) => {
    const runNode = runNodes.get(nodeId);
    const run = sidebarRun(nodeId);
    if (run !== undefined) {
      const described = describeSidebarRun(run, sharedRunner(RED).state(nodeId));
      RED.comms.publish(`cloud-sync/task/${nodeId}`, described, false);
    }
    if (runNode === undefined) return;
    RED.comms.publish(`cloud-sync/task/${nodeId}`, describe(runNode, sharedRunner(RED).state(nodeId)), false);
  });
}

/** Asks in a child process; what went wrong is thrown. */
export async function askRunner<Q extends Question>(
  RED: RED,
  question: Q,
  signal?: AbortSignal,
): Promise<AnswerValues[Q['kind']]> {
  const answer = await sharedRunner(RED).ask(question, signal);
  if (!answer.ok) throw CloudSyncError.fromRecord(answer.error);
  return answer.value as AnswerValues[Q['kind']];
}

/** Tests put a double here; undefined makes a new runner when it is needed next. */
export function replaceRunner(replacement: SharedRunner | undefined): void {
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

let stopped: Promise<void> | undefined;

/** Resolves at once after a deploy; where Node-RED stops, when all runs have ended. */
function untilRunsMayGoOn(): Promise<void> {
  const current = runner;
  if (current === undefined || !isNodeRedStopping()) return Promise.resolve();
  // A program that has Node-RED built in may start it again in the same process.
  stopped ??= current.stop().finally(() => {
    stopped = undefined;
    if (runner === current) runner = undefined;
  });
  return stopped;
}

function watchDeploys(RED: RED): void {
  if (watched.has(RED.events)) return;
  watched.add(RED.events);
  RED.events.on('flows:started', () => {
    watchForStop();
    afterDeploy(RED).catch((error: unknown) => RED.log.error(`cloud-sync: ${String(error)}`));
  });
}

/** Registers a node type that carries out runs. */
export function registerRunNode(
  RED: RED,
  type: string,
  operation: Operation,
  secrets: Record<string, { type: 'text' | 'password' }> = {},
): void {
  watchDeploys(RED);
  function RunNodeType(this: ConfiguredNode, definition: NodeDef): void {
    RED.nodes.createNode(this, definition);
    this.saved = definition as NodeDef & Record<string, unknown>;
    const runNode = new RunNode(this, {
      operation,
      runs: () => sharedRunner(RED),
      request: (message) => buildRequest(RED, this, operation, message, dataFolder(RED)),
      typedParts: (message) => typedMessageParts(RED, this, message),
      configurationHash: () => nodeConfigurationHash(RED, this, operation),
    });
    runNodes.set(this.id, runNode);
    arrivals.push(runNode);
    this.on('close', (_removed: boolean, done: () => void) => {
      if (runNodes.get(this.id) === runNode) runNodes.delete(this.id);
      departures.add(this.id);
      untilRunsMayGoOn().then(done, done);
    });
    if (operation === 'sync') {
      startSchedule(this);
      watchStaleness(this, () => sharedRunner(RED).load(this.id));
    }
  }
  RED.nodes.registerType(type, RunNodeType, { credentials: secrets });
}
