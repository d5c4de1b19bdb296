/** Validation as one types, by the rules the runtime has. */

import { PROVIDERS } from '../../src/stores/registry.js';
import {
  isAbsolutePath,
  type Properties,
  problemOf,
  RESTORE_PROPERTIES,
  remoteFolder,
  TASK_PROPERTIES,
  VERIFY_PROPERTIES,
} from '../properties.js';
import { typePropertyOf } from '../typed-inputs.js';
import { nodeById, t } from './text.js';

interface Options {
  label?: string;
}

/** Node-RED takes true for valid, and a text as the reason why not. */
type Verdict = true | string | false;

function verdict(problem: string | undefined, options: Options | undefined): Verdict {
  if (problem === undefined) return true;
  return options === undefined ? false : problem;
}

/** A value that comes from an environment variable is known only at run time. */
function isFromEnvironment(value: unknown): boolean {
  return typeof value === 'string' && /^\$\{[^}]+\}$/.test(value.trim());
}

function check(properties: Properties, name: string, value: unknown): string | undefined {
  return isFromEnvironment(value) ? undefined : problemOf(properties, name, value);
}

/** The node whose dialog is open. */
let openNode: string | undefined;

export function dialogOpened(node: EditorNode | undefined): void {
  openNode = node?.id;
}

/** While a node's dialog is open its fields tell, not the node as it was. */
function now(node: EditorNode, name: string): unknown {
  const input = $(`#node-input-${name}`);
  if (input.length === 0 || node.id !== openNode) return node[name];
  return input.is(':checkbox') ? input.prop('checked') : input.val();
}

/** Of a typed input only the text is known: that there is one, and that an expression is one. */
function typedProblem(node: EditorNode, name: string, value: unknown): string | undefined {
  const type = String(now(node, typePropertyOf(name)));
  if (String(value ?? '').trim() === '') return t('check.typed');
  const valid = RED.utils.validateTypedProperty(value, type, {});
  if (typeof valid === 'string') return valid;
  const isScheduled = String(now(node, 'schedule') ?? '').trim() !== '' && now(node, 'enabled') !== false;
  return type === 'msg' && isScheduled ? t('check.scheduled') : undefined;
}

function isTyped(node: EditorNode, name: string): boolean {
  const type = now(node, typePropertyOf(name));
  return type !== undefined && type !== '' && type !== 'str';
}

/** What is wrong with a property of cloud-sync, in words. */
export function taskProblem(node: EditorNode, name: string, value: unknown): string | undefined {
  if (isTyped(node, name)) return typedProblem(node, name, value);
  const problem = check(TASK_PROPERTIES, name, value);
  if (problem !== undefined) return problem;
  switch (name) {
    case 'path':
      return value === '' ? t('check.path') : undefined;
    case 'bucket': {
      const credential = nodeById(now(node, 'credential'));
      const provider = PROVIDERS.find(({ id }) => id === (credential?.provider ?? 's3'));
      return value === '' && provider?.hasBuckets !== false ? t('check.bucket') : undefined;
    }
    case 'snapshot':
      if (value !== true) return undefined;
      if (now(node, 'direction') === 'pull') return t('check.snapshotPull');
      return now(node, 'transferMode') === 'move' ? t('check.snapshotMove') : undefined;
    case 'keepSymlinks':
      return value === true && now(node, 'followSymlinks') === true ? t('check.links') : undefined;
    case 'encryption':
      return value === true && !hasPassword(node) ? t('check.password') : undefined;
    case 'backupFolder':
      return backupFolderProblem(node, String(value ?? ''));
    default:
      return undefined;
  }
}

function hasPassword(node: EditorNode): boolean {
  const input = $('#node-input-encryptionPassword');
  if (input.length > 0 && node.id === openNode) return input.val() !== '';
  const { credentials } = node;
  // Not known here before the dialog was open once: the runtime says it then.
  return (
    credentials === undefined ||
    credentials.has_encryptionPassword === true ||
    !!credentials.encryptionPassword
  );
}

function backupFolderProblem(node: EditorNode, value: string): string | undefined {
  if (value === '' || isFromEnvironment(value)) return undefined;
  if (now(node, 'direction') === 'pull' && isAbsolutePath(value)) return undefined;
  const plain = { read: remoteFolder, default: '', override: 'never' } as const;
  return check({ backupFolder: plain }, 'backupFolder', value);
}

export function validateTask(node: EditorNode, name: string, value: unknown, options?: Options): Verdict {
  return verdict(taskProblem(node, name, value), options);
}

/** What is wrong with a property of cloud-restore, in words. */
export function restoreProblem(node: EditorNode, name: string, value: unknown): string | undefined {
  if (isTyped(node, name)) return typedProblem(node, name, value);
  if (name === 'path' && value === '') return t('check.restorePath');
  return check(RESTORE_PROPERTIES, name, value);
}

export function validateRestore(node: EditorNode, name: string, value: unknown, options?: Options): Verdict {
  return verdict(restoreProblem(node, name, value), options);
}

export function validateVerify(_node: EditorNode, name: string, value: unknown, options?: Options): Verdict {
  return verdict(check(VERIFY_PROPERTIES, name, value), options);
}

export function validateCredential(
  node: EditorNode | undefined,
  name: string,
  value: unknown,
  options?: Options,
): Verdict {
  const field = PROVIDERS.find(({ id }) => id === (node?.provider ?? 's3'))?.fields.find(
    (one) => one.name === name,
  );
  const text = String(value ?? '').trim();
  if (field === undefined || text === '' || isFromEnvironment(text)) return true;
  if (field.pattern !== undefined && !new RegExp(field.pattern).test(text)) {
    return verdict(t(name === 'endpoint' ? 'check.endpoint' : 'check.form', { name }), options);
  }
  if (field.type === 'number' && !/^[1-9]\d*$/.test(text))
    return verdict(t('check.number', { name }), options);
  return true;
}
