/** Finding what runs left behind: uploads that can be taken up, and files that nobody needs any more. */

import fs from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { throwIfAborted } from '../../errors.js';
import type { PendingUpload } from '../store.js';
import { type DiskName, diskNamesOf, isTemporaryName, joinPath, SNAPSHOT_FOLDER } from './file-names.js';
import type { Root } from './folders.js';
import { systemErrorName } from './system-errors.js';
import { isUploadName, recordNameOf, writerState } from './temporary-names.js';
import { readRecord } from './upload.js';
import { removeIfThere } from './write.js';

/** After this time a file whose writer can't be asked (another machine on the same share) counts as left behind. */
const FOREIGN_AGE_MS = 24 * 3600_000;
const STEPS_PER_TURN = 1000;

/** The uploads in parts below `prefix` whose parts lie on this disk. */
export async function* pendingUploads(
  root: Root,
  prefix: string,
  signal?: AbortSignal,
): AsyncGenerator<PendingUpload> {
  throwIfAborted(signal);
  const base = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  for await (const { folder, name } of temporaryFiles(root.pathOf(diskNamesOf(base.slice(0, -1))), signal)) {
    if (!isUploadName(name)) continue;
    const header = readHeader(folder, name);
    if (header === undefined || !header.key.startsWith(prefix)) continue;
    yield { key: header.key, startedAt: header.startedAt, details: { temporaryName: name } };
  }
}

/**
 * Removes temporary files whose writers are dead. Uploads in parts stay: they may be taken up, and are removed by
 * `Upload.abort`; only a half without its other half goes.
 *
 * @param onUndecided Called for each whose writer can't be asked (another machine or container, or this one before it was
 *   started again) and that is too young to be taken for left behind.
 * @returns how many were removed
 */
export async function removeStale(
  root: Root,
  signal?: AbortSignal,
  onUndecided?: () => void,
): Promise<number> {
  let removed = 0;
  for await (const { folder, name } of temporaryFiles(root.path, signal)) {
    const path = joinPath(folder, name);
    if (!isLeftBehind(folder, path, name)) {
      if (writerState(name) === 'unknown') onUndecided?.();
      continue;
    }
    try {
      removeIfThere(path);
      removed++;
    } catch (error) {
      // What can't be removed does no harm: it is never listed.
      if (!['EACCES', 'EPERM', 'EROFS', 'ENOTDIR'].includes(systemErrorName(error))) throw error;
    }
  }
  return removed;
}

function isLeftBehind(folder: DiskName, path: DiskName, name: string): boolean {
  switch (writerState(name)) {
    case 'dead':
      return true;
    case 'alive':
      return false;
    case 'unknown':
      return isOlderThan(path, FOREIGN_AGE_MS);
    default: {
      const other = isUploadName(name) ? recordNameOf(name) : name.slice(0, -1);
      return !fs.existsSync(joinPath(folder, other)) && isOlderThan(path, FOREIGN_AGE_MS);
    }
  }
}

function isOlderThan(path: DiskName, ageMs: number): boolean {
  const stats = fs.lstatSync(path, { throwIfNoEntry: false });
  return stats !== undefined && Date.now() - Math.max(stats.mtimeMs, stats.ctimeMs) > ageMs;
}

function readHeader(folder: DiskName, name: string) {
  try {
    return readRecord({ at: (file) => joinPath(folder, file) }, name).header;
  } catch (error) {
    if (systemErrorName(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Our temporary files in a tree; folders that can't be read are passed over. */
async function* temporaryFiles(
  top: DiskName,
  signal?: AbortSignal,
): AsyncGenerator<{ folder: DiskName; name: string }> {
  const folders: DiskName[] = [top];
  let steps = 0;
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of readFolder(folder)) {
      if (entry.isDirectory()) {
        const name = entry.name.toString('utf8');
        if (name === SNAPSHOT_FOLDER) continue;
        folders.push(
          joinPath(folder, Buffer.from(name, 'utf8').equals(entry.name) ? name : Buffer.from(entry.name)),
        );
      } else if (entry.isFile() || entry.isSymbolicLink()) {
        const name = entry.name.toString('latin1');
        if (isTemporaryName(name)) yield { folder, name };
      }
      if (++steps % STEPS_PER_TURN === 0) {
        await nextTurn();
        throwIfAborted(signal);
      }
    }
  }
}

function readFolder(folder: DiskName) {
  try {
    return fs.readdirSync(folder, { withFileTypes: true, encoding: 'buffer' });
  } catch {
    return [];
  }
}
