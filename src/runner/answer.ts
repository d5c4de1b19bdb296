/** Answers the editor's questions, in the child process: providers are loaded here and never in Node-RED's process. */

import { readdirSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { RESERVED_PREFIX, withoutOuterSlashes } from '../engine/location.js';
import { asCloudSyncError, CloudSyncError } from '../errors.js';
import { providerById } from '../stores/registry.js';
import type { Account, Bucket, Patience } from '../stores/store.js';
import { verifyBucket } from '../stores/verify-bucket.js';
import { listTaskFolder } from './browse-task.js';
import type { AnswerValues, FolderEntry, Question } from './questions.js';
import { recoverySheet, SHEET_REMOTE } from './recovery-sheet.js';
import { readLog } from './run-log.js';
import { scanLocal } from './scan-local.js';
import { scrubber, secretsOf } from './scrub.js';
import type { TaskCredential } from './task.js';

const MOST_BUCKETS = 10_000;
const MOST_ENTRIES = 1000;
/** A person waits: an endpoint that can't be reached is said within seconds. */
const PATIENCE: Patience = { attempts: 2, connectTimeoutMs: 4000, silenceMs: 15_000 };

/** The value of {@link AnswerValues} for this kind of question; throws CloudSyncError. */
export async function answer(question: Question, signal: AbortSignal): Promise<unknown> {
  switch (question.kind) {
    case 'log':
      return readLog(question.dataFolder, question.runId, question.query) satisfies AnswerValues['log'];
    case 'listLocalFolder':
      return listLocalFolder(question.path, question.after ?? '', limitOf(question.limit));
    case 'check':
      return await withAccount(question.credential, (account) => account.check(signal));
    case 'listBuckets':
      return await withAccount(question.credential, (account) => listBuckets(account, signal));
    case 'createBucket':
      return await withAccount(question.credential, async (account) => {
        await account.createBucket(question.bucket, { region: question.region, signal });
        return {} satisfies AnswerValues['createBucket'];
      });
    case 'checkBucket':
      return await withAccount(question.credential, async (account) => {
        const store = account.openStore(question.bucket);
        const folder = withoutOuterSlashes(question.folder ?? '');
        try {
          const options = { reservedPrefix: RESERVED_PREFIX, folder, signal };
          return (await verifyBucket(store, options)) satisfies AnswerValues['checkBucket'];
        } finally {
          await store.close();
        }
      });
    case 'listTaskFolder':
      return await withAccount(question.credential, async (account) => {
        const { task, folder, after, asOf } = question;
        const limit = limitOf(question.limit);
        const page = await listTaskFolder(account, task, { folder, after, asOf, limit }, signal);
        return page satisfies AnswerValues['listTaskFolder'];
      });
    case 'scanLocal':
      return (await scanLocal(question.path, question, signal)) satisfies AnswerValues['scanLocal'];
    case 'recoverySheet':
      return {
        config: recoverySheet(question.task),
        remote: SHEET_REMOTE,
      } satisfies AnswerValues['recoverySheet'];
    case 'beginSignIn': {
      const { beginSignIn } = await import('../stores/dropbox.js');
      return beginSignIn(question.appKey, question) satisfies AnswerValues['beginSignIn'];
    }
    case 'finishSignIn': {
      const { finishSignIn } = await import('../stores/dropbox.js');
      const { appKey, code, codeVerifier, endpoint, caCertificate } = question;
      const options = { endpoint, caCertificate, signal };
      return (await finishSignIn(appKey, code, codeVerifier, options)) satisfies AnswerValues['finishSignIn'];
    }
    case 'listFolder':
      return await withAccount(question.credential, (account) => listFolder(account, question, signal));
  }
}

async function withAccount<T>(credential: TaskCredential, use: (account: Account) => Promise<T>): Promise<T> {
  const scrub = scrubber(secretsOf(credential));
  try {
    const open = await providerById(credential.provider).load();
    const account = open(credential.config, credential.secrets, { patience: PATIENCE });
    try {
      return await use(account);
    } finally {
      await account.close();
    }
  } catch (error) {
    const reason = asCloudSyncError(error);
    throw new CloudSyncError(reason.code, scrub(reason.message), { ...reason, cause: undefined });
  }
}

async function listBuckets(account: Account, signal: AbortSignal): Promise<AnswerValues['listBuckets']> {
  const buckets: Bucket[] = [];
  for await (const bucket of account.listBuckets(signal)) {
    if (buckets.length === MOST_BUCKETS) return { buckets, complete: false };
    buckets.push(bucket);
  }
  return { buckets, complete: true };
}

async function listFolder(
  account: Account,
  question: Extract<Question, { kind: 'listFolder' }>,
  signal: AbortSignal,
): Promise<AnswerValues['listFolder']> {
  const folder = question.folder
    .split('/')
    .filter((segment) => segment !== '')
    .join('/');
  const prefix = folder === '' ? '' : `${folder}/`;
  const limit = limitOf(question.limit);
  const store = account.openStore(question.bucket);
  const entries: FolderEntry[] = [];
  try {
    const pages = store.list({
      prefix,
      startAfter: question.after === undefined ? undefined : prefix + question.after,
      asOf: question.asOf,
      shallow: true,
      folders: true,
      signal,
    });
    for await (const page of pages) {
      for (const object of page) {
        const name = object.key.slice(prefix.length);
        if (name === '') continue;
        if (entries.length === limit) return { entries, next: nextAfter(entries) };
        entries.push({
          name,
          kind: object.kind === 'folder' ? 'folder' : 'file',
          size: object.size,
          modifiedAt: timeOf(object.modificationTime) ?? object.storedTime,
          storageClass: object.storageClass,
        });
      }
    }
    return { entries };
  } finally {
    await store.close();
  }
}

/** Behind everything under the last name, where that is a folder. */
function nextAfter(entries: readonly FolderEntry[]): string {
  const last = entries.at(-1)!;
  return last.kind === 'folder' ? `${last.name}/\u{10FFFF}` : last.name;
}

function timeOf(nanoseconds: bigint | undefined): number | undefined {
  return nanoseconds === undefined ? undefined : Number(nanoseconds / 1_000_000n);
}

function listLocalFolder(path: string, after: string, limit: number): AnswerValues['listLocalFolder'] {
  if (!isAbsolute(path)) {
    throw new CloudSyncError('INVALID_INPUT', `"${path}" is not an absolute path`, { field: 'path' });
  }
  let names: string[];
  try {
    names = readdirSync(path).sort();
  } catch (error) {
    throw localError(error, path);
  }
  const following = names.filter((name) => name > after);
  const entries = following.slice(0, limit).map((name) => localEntry(path, name));
  return following.length > limit ? { entries, next: entries.at(-1)?.name } : { entries };
}

function localEntry(folder: string, name: string): FolderEntry {
  try {
    const stat = statSync(join(folder, name));
    return {
      name,
      kind: stat.isDirectory() ? 'folder' : 'file',
      size: stat.isDirectory() ? 0 : stat.size,
      modifiedAt: Math.floor(stat.mtimeMs),
    };
  } catch {
    // A dangling link, or gone meanwhile.
    return { name, kind: 'file', size: 0 };
  }
}

function localError(error: unknown, path: string): CloudSyncError {
  const code = (error as NodeJS.ErrnoException).code;
  const details = { field: 'path', path, cause: error };
  if (code === 'ENOENT') return new CloudSyncError('NOT_FOUND', `There is no folder ${path}`, details);
  if (code === 'ENOTDIR') return new CloudSyncError('INVALID_INPUT', `${path} is not a folder`, details);
  if (code === 'EACCES' || code === 'EPERM') {
    return new CloudSyncError('NO_PERMISSION', `Node-RED may not read ${path}`, details);
  }
  return new CloudSyncError('IO_ERROR', `${path} can't be read: ${code ?? String(error)}`, details);
}

function limitOf(limit: number | undefined): number {
  return Math.min(Math.max(Math.floor(limit ?? MOST_ENTRIES), 1), MOST_ENTRIES);
}
