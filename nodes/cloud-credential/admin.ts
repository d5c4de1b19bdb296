/** What the dialogs ask while nothing is deployed yet: is this credential right, which buckets and folders are there. */

import type { NodeAPI } from 'node-red';
import type { Question } from '../../src/runner/questions.js';
import {
  addRoute,
  askRunner,
  CloudSyncError,
  confinePath,
  localFolder,
  packageSettings,
  type RouteInput,
  readTypedCredential,
  textOf,
} from '../runtime.js';
import { finishSignIn, keepSignIn } from './sign-in.js';

function patternsOf(body: RouteInput['body'], field: 'include' | 'exclude'): string[] {
  const value = body[field] ?? [];
  const isList = Array.isArray(value) && value.every((one): one is string => typeof one === 'string');
  if (isList) return value;
  throw new CloudSyncError('INVALID_INPUT', `${field} has to be a list of patterns`, { field });
}

/** Of the task `body.task`: what was typed, or what is stored where the dialog shows that there is something. */
function storedOrTyped(RED: NodeAPI, body: RouteInput['body'], name: string): string {
  const typed = textOf(body, name);
  if (typed !== '__PWRD__') return typed;
  const stored = (RED.nodes.getCredentials(textOf(body, 'task')) ?? {}) as Record<string, unknown>;
  return String(stored[name] ?? '');
}

/**
 * Adds the routes. All of them use secrets or look at the machine, so all need `cloud-sync.write`.
 *
 * | POST /cloud-sync/ | body | answer |
 * | --- | --- | --- |
 * | `credential/verify` | `credential` | `{ account?, bucketCount?, abilities?, confinedTo?, notes }` |
 * | `buckets` | `credential` | `{ buckets: [{name}], complete }` |
 * | `buckets/create` | `credential`, `bucket`, `region?` | `{}` |
 * | `buckets/check` | `credential`, `bucket`, `folder?` | `{ abilities, uses, notes, leftovers }` of verify-bucket.ts |
 * | `folder` | `credential`, `bucket`, `folder`, `after?` | `{ entries: [{name, kind, size}], next? }` |
 * | `dropbox/sign-in` | `appKey`, `endpoint?`, `caCertificate?` | `{ id, url }`: the page where the user agrees and gets a code |
 * | `dropbox/sign-in/finish` | `id`, `code` | `{ refreshToken, accountId? }` |
 * | `local-folder/scan` | `path`, `include`, `exclude` | what a filter takes, see scan-local.ts |
 * | `recovery-sheet` | `credential`, `task` (id), `bucket`, `folder`, `encryption`, `filenameEncryption`, `encryptionPassword`, `encryptionSalt` | `{ config, remote }`: secrets in plain |
 * | `local-folder` | `path`, `after?` | the same, and the `path` that was listed |
 */
export function addCredentialRoutes(RED: NodeAPI): void {
  const asks = (path: string, question: (input: RouteInput) => Question) =>
    addRoute(RED, 'post', path, (input) => askRunner(RED, question(input), input.signal));
  const credential = ({ body }: RouteInput) => readTypedCredential(RED, body);
  const after = ({ body }: RouteInput) => textOf(body, 'after') || undefined;

  asks('credential/verify', (input) => ({ kind: 'check', credential: credential(input) }));
  asks('buckets', (input) => ({ kind: 'listBuckets', credential: credential(input) }));
  asks('buckets/create', (input) => ({
    kind: 'createBucket',
    credential: credential(input),
    bucket: textOf(input.body, 'bucket'),
    region: textOf(input.body, 'region') || undefined,
  }));
  asks('buckets/check', (input) => ({
    kind: 'checkBucket',
    credential: credential(input),
    bucket: textOf(input.body, 'bucket'),
    folder: textOf(input.body, 'folder') || undefined,
  }));
  asks('folder', (input) => ({
    kind: 'listFolder',
    credential: credential(input),
    bucket: textOf(input.body, 'bucket'),
    folder: textOf(input.body, 'folder'),
    after: after(input),
  }));
  addRoute(RED, 'post', 'local-folder/scan', async ({ body, signal }) => {
    const { allowedPaths } = packageSettings(RED);
    const path = await confinePath(localFolder(textOf(body, 'path'), 'path'), 'path', allowedPaths);
    const patterns = { include: patternsOf(body, 'include'), exclude: patternsOf(body, 'exclude') };
    return await askRunner(RED, { kind: 'scanLocal', path, ...patterns }, signal);
  });
  addRoute(RED, 'post', 'recovery-sheet', async ({ body, signal }) => {
    const task = {
      credential: readTypedCredential(RED, body),
      bucket: textOf(body, 'bucket'),
      folder: textOf(body, 'folder'),
      encryption: body.encryption === true,
      filenameEncryption: body.filenameEncryption === true,
      encryptionPassword: storedOrTyped(RED, body, 'encryptionPassword'),
      encryptionSalt: storedOrTyped(RED, body, 'encryptionSalt'),
    };
    return await askRunner(RED, { kind: 'recoverySheet', credential: task.credential, task }, signal);
  });
  addRoute(RED, 'post', 'dropbox/sign-in', async ({ body, signal }) => {
    const app = {
      appKey: textOf(body, 'appKey').trim(),
      endpoint: textOf(body, 'endpoint').trim() || undefined,
      caCertificate: textOf(body, 'caCertificate') || undefined,
    };
    const { appKey, endpoint } = app;
    const { url, codeVerifier } = await askRunner(RED, { kind: 'beginSignIn', appKey, endpoint }, signal);
    return { url, id: keepSignIn({ ...app, codeVerifier }) };
  });
  addRoute(RED, 'post', 'dropbox/sign-in/finish', ({ body, signal }) => {
    const code = textOf(body, 'code').trim();
    return finishSignIn(textOf(body, 'id'), (begun) =>
      askRunner(RED, { kind: 'finishSignIn', ...begun, code }, signal),
    );
  });
  addRoute(RED, 'post', 'local-folder', async (input) => {
    const { allowedPaths } = packageSettings(RED);
    const path = textOf(input.body, 'path');
    if (path === '' && allowedPaths !== undefined) {
      return { path: '', entries: allowedPaths.map((name) => ({ name, kind: 'folder', size: 0 })) };
    }
    const folder = await confinePath(localFolder(path === '' ? '/' : path, 'path'), 'path', allowedPaths);
    const page = await askRunner(
      RED,
      { kind: 'listLocalFolder', path: folder, after: after(input) },
      input.signal,
    );
    return { path: folder, ...page };
  });
}
