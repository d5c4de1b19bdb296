/** From a message and the deployed nodes to a run: finds the credential and the task a node refers to. */

import { randomUUID } from 'node:crypto';
import type { Node, NodeAPI, NodeDef, NodeMessage } from 'node-red';
import type { Operation } from '../src/engine/report.js';
import { CloudSyncError } from '../src/errors.js';
import { configurationHash } from '../src/runner/configuration.js';
import type { RunRequest, TaskCredential, TaskSettings } from '../src/runner/task.js';
import { deployedTaskIds } from './deployed-nodes.js';
import { confinePath } from './local-paths.js';
import { isEmpty } from './properties.js';
import {
  type PackageSettings,
  readCredential,
  readRestore,
  readTask,
  readVerify,
  type SavedNode,
  type Secrets,
} from './task-settings.js';

/** Every node of this package keeps what it was deployed with, environment variables filled in. */
export interface ConfiguredNode extends Node {
  saved: SavedNode;
}

export type RED = NodeAPI;

export function packageSettings(RED: RED): PackageSettings {
  return (RED.settings as { cloudSync?: PackageSettings }).cloudSync ?? {};
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

/** A cloud-sync node's task, `overrides` applied. */
async function readTaskNode(RED: RED, node: ConfiguredNode, overrides?: unknown): Promise<TaskSettings> {
  const settings = packageSettings(RED);
  const task = readTask({
    config: node.saved,
    secrets: (node.credentials ?? {}) as Secrets,
    credential: findCredential(RED, node.saved.credential),
    overrides,
    settings,
  });
  return { ...task, path: await confinePath(task.path, 'path', settings.allowedPaths) };
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

type Parts = Pick<RunRequest, 'task' | 'restore' | 'verify'>;

const PARTS: Record<Operation, (RED: RED, node: ConfiguredNode, message: NodeMessage) => Promise<Parts>> = {
  sync: async (RED, node, message) => ({ task: await readTaskNode(RED, node, message.cloudSync) }),
  restore: async (RED, node, message) => {
    const task = await readTaskNode(RED, findTask(RED, node.saved.task));
    const restore = readRestore(node.saved, task, { overrides: message.cloudSync, payload: message.payload });
    restore.path = await confinePath(restore.path, 'path', packageSettings(RED).allowedPaths);
    return { task, restore };
  },
  verify: async (RED, node, message) => {
    const id = isEmpty(node.saved.task) ? taskOfReport(message) : node.saved.task;
    // What the task's messages may change, they may change here too: verified is what that run has transferred.
    const task = await readTaskNode(RED, findTask(RED, id), message.cloudSync);
    return { task: { ...task, dryRun: false }, verify: readVerify(node.saved) };
  },
};

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

/** What a cloud-sync node would run now. */
export async function deployedTask(RED: RED, id: string): Promise<TaskSettings> {
  return await readTaskNode(RED, findTask(RED, id));
}

/** A restore or verification of a task, asked for in the sidebar: `saved` is what a node of its own would hold. */
export async function requestWithoutNode(
  RED: RED,
  operation: 'restore' | 'verify',
  id: string,
  saved: Readonly<Record<string, unknown>>,
  message: NodeMessage,
  dataFolder: string,
): Promise<RunRequest> {
  const node = { id, saved: { ...saved, id } } as unknown as ConfiguredNode;
  return await buildRequest(RED, node, operation, message, dataFolder);
}

/**
 * Tells the configuration a node was deployed with from another one: the runs of a node that comes back after a deploy
 * go on where this is the same. Where the node alone makes no run yet (its task or path comes with the message), the
 * saved properties tell.
 */
export async function nodeConfigurationHash(
  RED: RED,
  node: ConfiguredNode,
  operation: Operation,
): Promise<string> {
  try {
    return configurationHash(await buildRequest(RED, node, operation, {}, ''));
  } catch {
    const { name: _name, x: _x, y: _y, z: _z, wires: _wires, ...rest } = node.saved;
    return JSON.stringify(rest);
  }
}
