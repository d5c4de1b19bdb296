/** A folder of a task's remote as people know it: paths from the task's folder on, encrypted names in plain. */

import { keyOfPath, type Location, pathOfKey, prefixOfFolder, RESERVED_PREFIX } from '../engine/location.js';
import { createCipher } from '../stores/encryption/cipher.js';
import { encryptedNames } from '../stores/encryption/names.js';
import { providerNames } from '../stores/names.js';
import type { Account } from '../stores/store.js';
import { encryptedStore } from '../stores/wrap/encrypted.js';
import type { FolderEntry, FolderPage } from './questions.js';
import type { TaskSettings } from './task.js';

export interface TaskFolder {
  /** From the task's folder on; '' for the top. */
  folder: string;
  /** `next` of the answer before. */
  after?: string;
  limit: number;
  /** ms since the epoch: as it was then. */
  asOf?: number;
}

async function locationOf(account: Account, task: TaskSettings): Promise<Location> {
  const bare = account.openStore(task.bucket);
  const prefix = prefixOfFolder(task.folder);
  const names = providerNames(bare.features.names);
  if (!task.encryption) return { store: bare, prefix, names };
  const cipher = await createCipher({
    password: task.encryptionPassword ?? '',
    salt: task.encryptionSalt,
    filenameEncryption: task.filenameEncryption,
  });
  return { store: encryptedStore(bare, cipher), prefix, names: encryptedNames(cipher, names) };
}

/** One level of it. What another password has encrypted, or nothing of this task has written, is left out. */
export async function listTaskFolder(
  account: Account,
  task: TaskSettings,
  { folder, after, limit, asOf }: TaskFolder,
  signal: AbortSignal,
): Promise<FolderPage> {
  const location = await locationOf(account, task);
  const { store } = location;
  const entries: FolderEntry[] = [];
  try {
    await store.check(signal);
    const prefix = folder === '' ? location.prefix : `${keyOfPath(location, folder, 'folder')}/`;
    const startAfter = after === undefined ? undefined : prefix + after;
    let last: string | undefined;
    const pages = store.list({ prefix, startAfter, asOf, shallow: true, folders: true, signal });
    for await (const page of pages) {
      for (const object of page) {
        const stored = object.key.slice(prefix.length);
        const kind = object.kind === 'folder' ? 'folder' : 'file';
        if (stored === '' || `${stored}/` === RESERVED_PREFIX) continue;
        if (entries.length === limit) return { entries, next: last };
        last = kind === 'folder' ? `${stored}/\u{10FFFF}` : stored;
        const name = nameOf(location, stored, kind);
        if (name === undefined) continue;
        const modifiedAt =
          object.modificationTime === undefined ? undefined : Number(object.modificationTime / 1_000_000n);
        entries.push({
          name,
          kind,
          size: Math.max(0, object.size),
          modifiedAt: modifiedAt ?? object.storedTime,
          storageClass: object.storageClass,
        });
      }
    }
    entries.sort((one, other) => one.name.localeCompare(other.name));
    return { entries };
  } finally {
    await store.close();
  }
}

function nameOf(location: Location, stored: string, kind: 'file' | 'folder'): string | undefined {
  try {
    return pathOfKey(location, stored, kind);
  } catch {
    return undefined;
  }
}
