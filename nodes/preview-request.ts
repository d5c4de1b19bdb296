/** From the values in an open dialog, deployed or not, to a dry run of them. */

import { randomUUID } from 'node:crypto';
import type { Node } from 'node-red';
import { CloudSyncError } from '../src/errors.js';
import type { RestoreSettings, RunRequest, TaskSettings } from '../src/runner/task.js';
import { deployedTaskIds } from './deployed-nodes.js';
import { confineFolders, confinePath } from './local-paths.js';
import { packageSettings, type RED } from './requests.js';
import { textOf } from './routes.js';
import { readRestore, readTask, type SavedNode } from './task-settings.js';
import { asFields, ENVIRONMENT, type Fields, readTypedCredential, STORED } from './typed-credential.js';
import {
  type Evaluate,
  evaluateTypedInputs,
  TYPED_RESTORE_PROPERTIES,
  TYPED_TASK_PROPERTIES,
  withoutTypedFolder,
} from './typed-inputs.js';

/**
 * Texts that the deployed node has as its properties. What the environment holds may be a secret: it is looked at only where
 * who deploys flows has said so, and not for whoever has a dialog open.
 */
function deployedTexts(RED: RED, id: string): ReadonlySet<string> {
  const texts = new Set<string>();
  RED.nodes.eachNode((node) => {
    if (node.id !== id) return;
    for (const value of Object.values(node)) if (typeof value === 'string') texts.add(value.trim());
  });
  return texts;
}

/** Typed inputs as they are now, without a message, in the contexts of the node that is deployed. */
function evaluatorOf(RED: RED, node: Node | undefined, deployed: ReadonlySet<string>): Evaluate {
  return (text, type) =>
    new Promise((resolve, reject) => {
      if (type === 'msg') return reject(new Error('there is no message now'));
      const seesEnvironment = type === 'env' || type === 'jsonata';
      if (node === undefined || (seesEnvironment && !deployed.has(text.trim())))
        return reject(new Error('it is known only after a deploy'));
      RED.util.evaluateNodeProperty(text, type, node, {}, (error, value) => {
        if (error) reject(error);
        else resolve(value);
      });
    });
}

/** The properties in a dialog as the runtime would have them: environment variables and typed inputs in place. */
async function valuesOf(RED: RED, typed: Fields, names: readonly string[]): Promise<SavedNode> {
  const id = textOf(typed, 'id');
  const node = RED.nodes.getNode(id) ?? undefined;
  const deployed = deployedTexts(RED, id);
  const values: Record<string, unknown> = { ...typed, id };
  for (const [name, value] of Object.entries(values)) {
    if (typeof value !== 'string' || !ENVIRONMENT.test(value)) continue;
    if (node === undefined || !deployed.has(value.trim())) {
      const details = { field: name, advice: 'Deploy first, or type the value itself.' };
      throw new CloudSyncError('INVALID_INPUT', `${name} is known only after a deploy`, details);
    }
    values[name] = RED.util.evaluateNodeProperty(value, 'env', node, {});
  }
  return await evaluateTypedInputs(values as SavedNode, names, undefined, evaluatorOf(RED, node, deployed));
}

/** What was typed, or what is stored for the task where the dialog shows that there is something. */
function secretOf(RED: RED, body: Fields, task: string, name: string): string {
  const typed = textOf(body, name);
  if (typed !== STORED) return typed;
  const deployed = RED.nodes.getNode(task) as { credentials?: Fields } | null;
  return String(deployed?.credentials?.[name] ?? '');
}

async function readDialogTask(RED: RED, body: Fields): Promise<TaskSettings> {
  const settings = packageSettings(RED);
  const typed = asFields(body.task, 'task');
  const saved =
    body.restore === undefined ? typed : withoutTypedFolder(typed, settings.allowedPaths?.[0] ?? '/');
  const config = await valuesOf(RED, saved, TYPED_TASK_PROPERTIES);
  const task = readTask({
    config,
    secrets: {
      encryptionPassword: secretOf(RED, body, config.id, 'encryptionPassword'),
      encryptionSalt: secretOf(RED, body, config.id, 'encryptionSalt'),
    },
    credential: readTypedCredential(RED, body),
    settings,
  });
  return { ...(await confineFolders(task, settings.allowedPaths)), dryRun: true };
}

async function readDialogRestore(RED: RED, typed: unknown, task: TaskSettings): Promise<RestoreSettings> {
  const { allowedPaths } = packageSettings(RED);
  const restore = readRestore(
    await valuesOf(RED, asFields(typed, 'restore'), TYPED_RESTORE_PROPERTIES),
    task,
  );
  return { ...restore, dryRun: true, path: await confinePath(restore.path, 'path', allowedPaths) };
}

/**
 * A dry run of what stands in a dialog.
 *
 * `body`: `credential` as {@link readTypedCredential} takes it; `task`, the id and properties of a cloud-sync node;
 * `encryptionPassword` and `encryptionSalt`, typed or the placeholder for what is stored; and, of a cloud-restore's
 * dialog, `restore`, its id and properties.
 *
 * @throws INVALID_INPUT, CREDENTIAL_MISSING or NO_PERMISSION, naming the field and the mend
 */
export async function previewRequest(RED: RED, body: Fields, dataFolder: string): Promise<RunRequest> {
  const task = await readDialogTask(RED, body);
  const restore = body.restore === undefined ? undefined : await readDialogRestore(RED, body.restore, task);
  const runId = randomUUID();
  return {
    runId,
    // Of no node: it neither waits for that node's runs nor is shown as one.
    nodeId: `preview-${runId}`,
    previewOf: restore === undefined ? task.taskId : textOf(asFields(body.restore, 'restore'), 'id'),
    operation: restore === undefined ? 'sync' : 'restore',
    task,
    ...(restore === undefined ? {} : { restore }),
    dataFolder,
    deployedNodeIds: deployedTaskIds(RED),
  };
}
