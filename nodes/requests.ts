/** From a message and the deployed nodes to a run: finds the credential and the task a node refers to. */

import { createHash, randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import type { Node, NodeAPI, NodeDef, NodeMessage } from 'node-red';
import type { Operation, RestoredFiles } from '../src/engine/report.js';
import { CloudSyncError } from '../src/errors.js';
import { configurationHash } from '../src/runner/configuration.js';
import type { RunRequest, TaskCredential, TaskSettings } from '../src/runner/task.js';
import { deployedTaskIds } from './deployed-nodes.js';
import { confineFolders, confinePath } from './local-paths.js';
import { readPackageSettings } from './package-settings.js';
import { isEmpty, RESTORE_PROPERTIES, VERIFY_PROPERTIES } from './properties.js';
import {
  type PackageSettings,
  readCredential,
  readRestore,
  readTask,
  readVerify,
  type SavedNode,
  type Secrets,
} from './task-settings.js';
import {
  type Evaluate,
  evaluateTypedInputs,
  hasTypedInput,
  inputTypeOf,
  TYPED_RESTORE_PROPERTIES,
  TYPED_TASK_PROPERTIES,
  withoutTypedFolder,
} from './typed-inputs.js';

/** Every node of this package keeps what it was deployed with, environment variables filled in. */
export interface ConfiguredNode extends Node {
  saved: SavedNode;
}

export type RED = NodeAPI;

const readSettings = new WeakMap<object, { written: unknown; settings: PackageSettings }>();

/** `cloudSync` of settings.js; what is wrong with it is logged once. */
export function packageSettings(RED: RED): PackageSettings {
  const { cloudSync: written } = RED.settings as { cloudSync?: unknown };
  const known = readSettings.get(RED.settings);
  if (known !== undefined && known.written === written) return known.settings;
  const { settings, problems } = readPackageSettings(written);
  readSettings.set(RED.settings, { written, settings });
  for (const problem of problems) RED.log.error(`cloud-sync: ${problem}`);
  return settings;
}

/** The saved form of a node that is deployed, whether it runs or is disabled. */
function findSaved(RED: RED, id: string): (NodeDef & { d?: boolean }) | undefined {
  let found: NodeDef | undefined;
  RED.nodes.eachNode((node) => {
    if (node.id === id) found = node;
  });
  return found;
}

function configuredNode(RED: RED, id: string, type: string): ConfiguredNode | undefined {
  const node = RED.nodes.getNode(id) as ConfiguredNode | null;
  return node?.type === type && node.saved !== undefined ? node : undefined;
}

/** What to say where a node refers to `id`, and there is no such node at work. */
function missingReference(RED: RED, id: unknown, type: string, field: string): CloudSyncError {
  const code = type === 'cloud-credential' ? 'CREDENTIAL_MISSING' : 'INVALID_INPUT';
  if (isEmpty(id)) {
    return new CloudSyncError(code, `No ${type} is chosen`, {
      field,
      advice: 'Choose one in the node and deploy.',
    });
  }
  const saved = findSaved(RED, String(id));
  if (saved?.type === type) {
    const label = saved.name ? `${type} "${saved.name}"` : `${type} ${saved.id}`;
    return new CloudSyncError(code, `The ${label} is disabled`, {
      field,
      advice: `Enable ${label} and deploy.`,
    });
  }
  return new CloudSyncError(code, `The ${type} ${String(id)} that this node uses is missing`, {
    field,
    advice: 'Choose another one in the node and deploy.',
  });
}

function findCredential(RED: RED, id: unknown): TaskCredential {
  const node = typeof id === 'string' ? configuredNode(RED, id, 'cloud-credential') : undefined;
  if (node === undefined) throw missingReference(RED, id, 'cloud-credential', 'credential');
  return readCredential(node.saved, node.credentials as Secrets);
}

/** Typed inputs as this node has them when `message` comes. */
function evaluatorOf(RED: RED, node: Node, message: NodeMessage): Evaluate {
  return (text, type) =>
    new Promise((resolve, reject) => {
      RED.util.evaluateNodeProperty(text, type, node, message, (error, value) => {
        if (error) reject(error);
        else resolve(value);
      });
    });
}

/** A cloud-sync node's task, with what `message` gives to its typed inputs, and `overrides` applied. */
async function readTaskNode(
  RED: RED,
  node: ConfiguredNode,
  message: NodeMessage,
  overrides?: unknown,
  saved: SavedNode = node.saved,
): Promise<TaskSettings> {
  const settings = packageSettings(RED);
  const evaluate = evaluatorOf(RED, node, message);
  const task = readTask({
    config: await evaluateTypedInputs(saved, TYPED_TASK_PROPERTIES, overrides, evaluate),
    secrets: (node.credentials ?? {}) as Secrets,
    credential: findCredential(RED, node.saved.credential),
    overrides,
    settings,
  });
  return await confineFolders(task, settings.allowedPaths);
}

/** The task as a restore and the folder browser need it: what its local folder is doesn't matter to them. */
async function readTaskOfBucket(RED: RED, id: unknown, message: NodeMessage): Promise<TaskSettings> {
  const node = findTask(RED, id);
  const saved = withoutTypedFolder(node.saved, packageSettings(RED).allowedPaths?.[0] ?? '/');
  return await readTaskNode(RED, node, message, undefined, saved);
}

function findTask(RED: RED, id: unknown): ConfiguredNode {
  const node = typeof id === 'string' ? configuredNode(RED, id, 'cloud-sync') : undefined;
  if (node === undefined) throw missingReference(RED, id, 'cloud-sync', 'task');
  return node;
}

/** The task a report is about: what cloud-verify does where no task is chosen. */
function taskOfReport(message: NodeMessage): unknown {
  const payload = message.payload;
  const taskId =
    typeof payload === 'object' && payload !== null ? (payload as { taskId?: unknown }).taskId : undefined;
  if (typeof taskId === 'string' && taskId !== '') return taskId;
  throw new CloudSyncError('INVALID_INPUT', 'No task is chosen, and the message is no report of one', {
    field: 'task',
    advice: 'Choose a task in the node, or wire it behind a cloud-sync node.',
  });
}

/** What a cloud-restore node holds, with what `message` gives to its typed inputs. */
function restoreInputs(
  RED: RED,
  node: ConfiguredNode,
  message: NodeMessage,
  overrides: unknown,
): Promise<SavedNode> {
  const evaluate = evaluatorOf(RED, node, message);
  return evaluateTypedInputs(node.saved, TYPED_RESTORE_PROPERTIES, overrides, evaluate);
}

type Parts = Pick<RunRequest, 'task' | 'restore' | 'verify'>;

const PARTS: Record<Operation, (RED: RED, node: ConfiguredNode, message: NodeMessage) => Promise<Parts>> = {
  sync: async (RED, node, message) => ({ task: await readTaskNode(RED, node, message, message.cloudSync) }),
  restore: async (RED, node, message) => {
    const task = await readTaskOfBucket(RED, node.saved.task, message);
    const overrides = message.cloudSync;
    const saved = await restoreInputs(RED, node, message, overrides);
    const restore = readRestore(saved, task, { overrides, payload: message.payload });
    restore.path = await confinePath(restore.path, 'path', packageSettings(RED).allowedPaths);
    restore.nodeId = node.id;
    return { task, restore };
  },
  verify: async (RED, node, message) => {
    const verify = readVerify(node.saved);
    const restored = isEmpty(node.saved.task) ? restoredOfReport(message) : undefined;
    if (restored !== undefined) return { ...(await readRestored(RED, restored, message)), verify };
    const id = isEmpty(node.saved.task) ? taskOfReport(message) : node.saved.task;
    // What the task's messages may change, they may change here too: verified is what that run has transferred.
    const task = await readTaskNode(RED, findTask(RED, id), message, message.cloudSync);
    return { task: { ...task, dryRun: false }, verify };
  },
};

/** What a report says of the restore it is about: nothing of it is trusted. */
type Restored = { readonly [name in keyof RestoredFiles]?: unknown };

function restoredOfReport({ payload }: NodeMessage): Restored | undefined {
  if (typeof payload !== 'object' || payload === null) return undefined;
  const { restored } = payload as { restored?: unknown };
  return typeof restored === 'object' && restored !== null ? restored : undefined;
}

/**
 * The restore whose files a verification compares. Its report may come from anywhere: it says no more than what the
 * cloud-restore node takes from a message.
 */
async function readRestored(RED: RED, restored: Restored, report: NodeMessage): Promise<Parts> {
  const { nodeId, path, include, exclude, paths, asOf } = restored;
  const node = typeof nodeId === 'string' ? configuredNode(RED, nodeId, 'cloud-restore') : undefined;
  if (node === undefined) throw missingReference(RED, nodeId, 'cloud-restore', 'restored');
  const others = { include, exclude, asOf };
  const saved = await restoreInputs(RED, node, report, others);
  const isOwnPath = typeof path === 'string' && resolve(String(saved.path ?? '')) === path;
  const overrides = { ...others, ...(isOwnPath ? {} : { path }) };
  const message = { ...report, cloudSync: overrides, payload: { paths } };
  const { task, restore } = await PARTS.restore(RED, node, message);
  return { task, restore };
}

/**
 * The run that `message` asks `node` for.
 * @throws INVALID_INPUT, CREDENTIAL_MISSING or NO_PERMISSION, naming the field and the mend
 */
export async function buildRequest(
  RED: RED,
  node: ConfiguredNode,
  operation: Operation,
  message: NodeMessage,
  dataFolder: string,
): Promise<RunRequest> {
  const parts = await PARTS[operation](RED, node, message);
  const allowedDeletes = operation === 'sync' ? takeAllowance(message) : undefined;
  return {
    runId: randomUUID(),
    nodeId: node.id,
    operation,
    dataFolder,
    deployedNodeIds: deployedTaskIds(RED),
    ...(allowedDeletes === undefined ? {} : { allowedDeletes }),
    ...parts,
  };
}

/** Lists of deletes that were allowed in the editor, by the id of the message that starts the run: good once. */
const allowances = new Map<string, string>();

/**
 * A message that starts a run with these deletes allowed. Only who knows the id can use it, and nobody outside this
 * process does: what a message says can't loosen `maxDelete`.
 */
export function messageAllowing(hash: string): NodeMessage {
  const _msgid = randomUUID();
  allowances.set(_msgid, hash);
  return { _msgid, topic: 'sidebar' };
}

function takeAllowance({ _msgid }: NodeMessage): string | undefined {
  if (_msgid === undefined) return undefined;
  const hash = allowances.get(_msgid);
  allowances.delete(_msgid);
  return hash;
}

/** What of `message` the typed inputs of `node` and of its task read. */
export function typedMessageParts(
  RED: RED,
  { saved }: ConfiguredNode,
  message: NodeMessage,
): Record<string, unknown> {
  const task: Readonly<Record<string, unknown>> =
    configuredNode(RED, String(saved.task), 'cloud-sync')?.saved ?? {};
  const overridden = Object.keys((message.cloudSync as object | undefined) ?? {});
  const own = TYPED_RESTORE_PROPERTIES.filter((name) => !overridden.includes(name));
  const ofTask = TYPED_TASK_PROPERTIES.filter((name) => name !== 'path');
  const parts = {};
  for (const [from, names] of [
    [saved, own],
    [task, ofTask],
  ] as const) {
    for (const name of names) {
      if (inputTypeOf(from, name) !== 'msg') continue;
      const expression = String(from[name]).trim();
      RED.util.setMessageProperty(parts, expression, RED.util.getMessageProperty(message, expression), true);
    }
  }
  return parts;
}

/** A task of a cloud-sync node, to look at its bucket. */
export async function deployedTask(RED: RED, id: string): Promise<TaskSettings> {
  return await readTaskOfBucket(RED, id, {});
}

/**
 * A restore or verification of a task, asked for in the sidebar: `saved` is what a node of its own would hold. Its values
 * are as they stand there: where from else a node may take them (the environment, an expression) is for who deploys.
 */
export async function requestWithoutNode(
  RED: RED,
  operation: 'restore' | 'verify',
  id: string,
  saved: Readonly<Record<string, unknown>>,
  message: NodeMessage,
  dataFolder: string,
): Promise<RunRequest> {
  const properties = operation === 'restore' ? RESTORE_PROPERTIES : VERIFY_PROPERTIES;
  const own = Object.entries(saved).filter(([name]) => name === 'task' || Object.hasOwn(properties, name));
  const node = { id, saved: { ...Object.fromEntries(own), id } } as unknown as ConfiguredNode;
  return await buildRequest(RED, node, operation, message, dataFolder);
}

/** Everything saved that decides what a node runs, the task and credential it names included. Holds secrets. */
function savedConfiguration(RED: RED, node: ConfiguredNode): object {
  const { name: _name, x: _x, y: _y, z: _z, wires: _wires, ...saved } = node.saved;
  const references = [
    configuredNode(RED, String(saved.task), 'cloud-sync'),
    configuredNode(RED, String(saved.credential), 'cloud-credential'),
  ];
  return {
    saved,
    secrets: node.credentials,
    references: references.map((one) => one && savedConfiguration(RED, one)),
  };
}

/** Whether what `node` runs depends on a flow: two runs of one configuration are then two different ones. */
function isTyped(RED: RED, { saved }: ConfiguredNode): boolean {
  const task = configuredNode(RED, String(saved.task), 'cloud-sync');
  return (
    hasTypedInput(saved, [...TYPED_TASK_PROPERTIES, ...TYPED_RESTORE_PROPERTIES]) ||
    (task !== undefined && hasTypedInput(task.saved, TYPED_TASK_PROPERTIES))
  );
}

/**
 * Tells the configuration a node was deployed with from another one: the runs of a node that comes back after a deploy
 * go on where this is the same. Where the node alone makes no run yet (its task or path comes with the message), or
 * makes another one each time, the saved properties tell.
 */
export async function nodeConfigurationHash(
  RED: RED,
  node: ConfiguredNode,
  operation: Operation,
): Promise<string> {
  try {
    if (!isTyped(RED, node)) return configurationHash(await buildRequest(RED, node, operation, {}, ''));
  } catch {
    // The saved properties tell.
  }
  return createHash('sha256')
    .update(JSON.stringify(savedConfiguration(RED, node)))
    .digest('hex');
}
