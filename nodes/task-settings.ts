/**
 * From a node as it is saved, its credential and `msg.cloudSync` to a validated run: pure functions that know nothing
 * of Node-RED. Every error is INVALID_INPUT or CREDENTIAL_MISSING and names the field and the mend.
 */

import { CloudSyncError, shortened } from '../src/errors.js';
import type { RestoreSettings, TaskCredential, TaskSettings, VerifySettings } from '../src/runner/task.js';
import { type ProviderField, providerById } from '../src/stores/registry.js';
import type { CredentialConfig, CredentialSecrets } from '../src/stores/store.js';
import { applyOverrides } from './overrides.js';
import {
  invalid,
  isAbsolutePath,
  isEmpty,
  localFolder,
  RESTORE_PROPERTIES,
  readProperties,
  remoteFolder,
  shown,
  TASK_PROPERTIES,
  type Values,
  VERIFY_PROPERTIES,
} from './properties.js';

export type SavedNode = Readonly<Record<string, unknown>> & { readonly id: string };
export type Secrets = Readonly<Record<string, string | undefined>>;

/** What settings.js says under `cloudSync`. */
export interface PackageSettings {
  /** Local folders that tasks and the folder browser are confined to; undefined: everywhere. */
  allowedPaths?: readonly string[];
  /** Memory of one run, MB. */
  runMemoryMb?: number;
  /** Days that run history and logs are kept. */
  historyDays?: number;
  /** False: tasks with a pre- or post-script don't run. Default true. */
  allowScripts?: boolean;
}

/** A region becomes part of a host name: nothing else may get in there. */
const REGION = /^[A-Za-z0-9-]{1,63}$/;

function readField(field: ProviderField, value: unknown): unknown {
  if (isEmpty(value)) return undefined;
  switch (field.type) {
    case 'boolean':
      if (value === true || value === 'true') return true;
      if (value === false || value === 'false') return false;
      throw invalid(field.name, `${field.name} has to be true or false, not ${shown(value)}`);
    case 'number': {
      const number = Number(value);
      if (!Number.isInteger(number) || number < 1) {
        throw invalid(field.name, `${field.name} has to be a whole number from 1, not ${shown(value)}`);
      }
      return number;
    }
    default: {
      if (typeof value !== 'string') throw invalid(field.name, `${field.name} has to be text`);
      const text = value.trim();
      if (field.pattern !== undefined && !new RegExp(field.pattern).test(text)) {
        throw invalid(
          field.name,
          `${field.name} has the wrong form${field.secret ? '' : `: ${shown(text)}`}`,
          adviceOnForm(field),
        );
      }
      if (field.name === 'region' && !REGION.test(text)) {
        throw invalid(
          'region',
          `region is ${shown(text)}, which is no region`,
          'Write it as in eu-central-1.',
        );
      }
      return text;
    }
  }
}

function adviceOnForm({ name, secret }: ProviderField): string | undefined {
  if (name === 'endpoint') return 'Write it as in https://s3.example.com.';
  return secret ? 'Copy it again: it holds a space, a line break or a character that none has.' : undefined;
}

/** How an error calls the config node to fix. */
function credentialLabel(node: { id: string; name: string }): string {
  return node.name === '' ? `cloud-credential ${shortened(node.id)}` : `cloud-credential ${shown(node.name)}`;
}

/**
 * A cloud-credential node, read by its provider's field table.
 * @throws CREDENTIAL_MISSING where a needed secret is empty, INVALID_INPUT for anything else.
 */
export function readCredential(saved: SavedNode, secrets: Secrets): TaskCredential {
  const provider = providerById(isEmpty(saved.provider) ? 's3' : saved.provider);
  const node = { id: saved.id, name: typeof saved.name === 'string' ? saved.name : '' };
  const config: CredentialConfig = {};
  const known: CredentialSecrets = {};
  for (const field of provider.fields) {
    const value = readField(field, field.secret ? secrets[field.name] : saved[field.name]);
    if (value === undefined && field.required) {
      throw new CloudSyncError('CREDENTIAL_MISSING', `${credentialLabel(node)} has no ${field.name}`, {
        field: field.name,
        advice: `Open ${credentialLabel(node)}, fill in ${field.name} and deploy.`,
      });
    }
    if (value === undefined) continue;
    if (field.secret) known[field.name] = String(value);
    else config[field.name] = value;
  }
  return { ...node, provider: provider.id, config, secrets: known };
}

/** Rules that hold between properties. */
function checkTogether(
  id: string,
  values: Values<typeof TASK_PROPERTIES>,
  credential: TaskCredential,
  secrets: Secrets,
  settings: PackageSettings,
): void {
  if (values.path === '') {
    throw invalid('path', 'path is empty', 'Choose the local folder in the node.');
  }
  if (providerById(credential.provider).hasBuckets && values.bucket === '') {
    throw invalid('bucket', 'bucket is empty', 'Choose a bucket in the node.');
  }
  if (values.snapshot && values.direction === 'pull') {
    throw invalid(
      'snapshot',
      'snapshot only works with push: a pull reads the cloud',
      'Switch snapshot off.',
    );
  }
  if (values.snapshot && values.transferMode === 'move') {
    throw invalid(
      'snapshot',
      "snapshot doesn't work with move: what is read can't be deleted",
      'Use copy or sync.',
    );
  }
  if (values.encryption && isEmpty(secrets.encryptionPassword)) {
    throw invalid(
      'encryptionPassword',
      `cloud-sync ${values.name === '' ? id : shown(values.name)}: encryption is on without a password`,
      'Open this node and type the password; for a backup that is there already, the one it was made with.',
    );
  }
  if (values.followSymlinks && values.keepSymlinks) {
    throw invalid(
      'keepSymlinks',
      'keepSymlinks and followSymlinks are both on',
      'A link is either kept as a link or followed: choose one.',
    );
  }
  const scripts = (['preScript', 'postScript'] as const).find((name) => values[name].trim() !== '');
  if (scripts !== undefined && settings.allowScripts === false) {
    throw invalid(
      scripts,
      `${scripts} is not allowed on this Node-RED`,
      'cloudSync.allowScripts in settings.js is false.',
    );
  }
}

/** On push the backup folder is a prefix in the bucket, on pull a local folder, from the task's one on or absolute. */
function readBackupFolder(values: Values<typeof TASK_PROPERTIES>): string {
  if (values.backupFolder === '') return '';
  if (values.direction === 'pull' && isAbsolutePath(values.backupFolder)) {
    return localFolder(values.backupFolder, 'backupFolder');
  }
  const backupFolder = remoteFolder(values.backupFolder, 'backupFolder');
  if (values.direction === 'push' && backupFolder === values.folder) {
    throw invalid(
      'backupFolder',
      'backupFolder is the folder that is synced itself',
      'Choose another one; it may lie within it.',
    );
  }
  return backupFolder;
}

export interface TaskInput {
  config: SavedNode;
  /** encryptionPassword and encryptionSalt. */
  secrets: Secrets;
  credential: TaskCredential;
  overrides?: unknown;
  settings?: PackageSettings;
}

/** A cloud-sync node, ready to run. */
export function readTask({ config, secrets, credential, overrides, settings = {} }: TaskInput): TaskSettings {
  const saved = readProperties(TASK_PROPERTIES, config);
  const values = applyOverrides(TASK_PROPERTIES, saved, overrides, saved.allowOverrides, 'cloud-sync');
  checkTogether(config.id, values, credential, secrets, settings);
  const { schedule: _schedule, enabled: _enabled, allowOverrides: _allowOverrides, ...task } = values;
  const encrypted: Pick<TaskSettings, 'encryptionPassword' | 'encryptionSalt'> = {};
  if (values.encryption) {
    encrypted.encryptionPassword = secrets.encryptionPassword;
    if (!isEmpty(secrets.encryptionSalt)) encrypted.encryptionSalt = secrets.encryptionSalt;
  }
  return {
    ...task,
    ...encrypted,
    taskId: config.id,
    credential,
    direction: values.direction as TaskSettings['direction'],
    transferMode: values.transferMode as TaskSettings['transferMode'],
    whenBusy: values.whenBusy as TaskSettings['whenBusy'],
    filenameEncryption: values.encryption && values.filenameEncryption,
    backupFolder: readBackupFolder(values),
  };
}

/** `msg.payload.paths`: relative files or folders to restore; undefined where the message names none. */
function readPaths(payload: unknown): string[] | undefined {
  const paths =
    typeof payload === 'object' && payload !== null ? (payload as { paths?: unknown }).paths : undefined;
  if (paths === undefined || paths === null) return undefined;
  const field = 'paths';
  if (!Array.isArray(paths)) {
    throw invalid(field, `msg.payload.paths has to be a list of files, not ${shown(paths)}`);
  }
  if (paths.length === 0) {
    throw invalid(
      field,
      'msg.payload.paths is an empty list',
      'Name the files, or leave paths out for all of them.',
    );
  }
  return paths.map((path: unknown) => {
    if (typeof path !== 'string' || path.trim() === '') {
      throw invalid(field, `msg.payload.paths holds ${shown(path)}, which is no path`);
    }
    const relative = path.replace(/^(?:\.\/)+|\/+$/g, '');
    if (relative === '' || relative.startsWith('/') || relative.split('/').includes('..')) {
      throw invalid(
        field,
        `msg.payload.paths holds ${shown(path)}`,
        'Write paths from the folder of the task on, without .. and leading slash.',
      );
    }
    return relative;
  });
}

/**
 * What a cloud-restore adds.
 * @param task the task it reverses, without overrides
 */
export function readRestore(
  config: SavedNode,
  task: TaskSettings,
  message: { overrides?: unknown; payload?: unknown } = {},
): RestoreSettings {
  const saved = readProperties(RESTORE_PROPERTIES, config);
  const values = applyOverrides(
    RESTORE_PROPERTIES,
    saved,
    message.overrides,
    saved.allowOverrides,
    'cloud-restore',
  );
  if (values.path === '') throw invalid('path', 'path is empty', 'Choose the folder to restore into.');
  if (task.direction === 'pull') {
    const problem = values.asOf !== undefined ? 'asOf' : values.thaw ? 'thaw' : undefined;
    if (problem !== undefined) {
      throw invalid(
        problem,
        `${problem} can't be used here: restoring a pull task pushes local files back to the cloud`,
        `Leave ${problem} empty.`,
      );
    }
  }
  const restore: RestoreSettings = {
    path: values.path,
    transferMode: values.transferMode as RestoreSettings['transferMode'],
    include: values.include,
    exclude: values.exclude,
    thaw: values.thaw,
    thawTier: values.thawTier,
    thawDays: values.thawDays,
    dryRun: values.dryRun,
  };
  const paths = readPaths(message.payload);
  if (paths !== undefined) restore.paths = paths;
  if (values.asOf !== undefined) restore.asOf = values.asOf;
  return restore;
}

/** What a cloud-verify adds. */
export function readVerify(config: SavedNode): VerifySettings {
  const { method, sample } = readProperties(VERIFY_PROPERTIES, config);
  return { method: method as VerifySettings['method'], sample };
}
