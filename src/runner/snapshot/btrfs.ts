/**
 * Snapshots of Btrfs, by `btrfs subvolume snapshot -r` and `btrfs subvolume delete` (btrfs-subvolume(8)). A snapshot is
 * a subvolume itself; it is laid into a folder at the top of the subvolume that it is of, because it has to be on the same
 * file system. The subvolumes within aren't part of it: each gets a snapshot of its own.
 */

import { chmodSync, lstatSync, mkdirSync, rmdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CloudSyncError } from '../../errors.js';
import { type Log, runCommand } from './command.js';
import { isAtOrBelow, type Mount, rebased } from './mounts.js';
import { isOwnName, type Part, SNAPSHOT_FOLDER, type SnapshotName, type SnapshotSystem } from './part.js';

/** The inode of a subvolume's top (BTRFS_FIRST_FREE_OBJECTID). */
const TOP_INODE = 256n;

/** What reads `path`, which lies on `mount`, in a snapshot called `name`. */
export function btrfsPart(mounts: readonly Mount[], mount: Mount, path: string, name: string): Part {
  const found = subvolumeOf(mounts, mount, path);
  if (found === undefined) {
    throw new CloudSyncError(
      'NOT_SUPPORTED',
      `Only a part of a Btrfs subvolume is mounted at "${mount.mountPoint}", without its top`,
      {
        field: 'snapshot',
        advice: 'Give Node-RED (its container) the whole subvolume, or switch "snapshot" off.',
      },
    );
  }
  requireRights(mount);
  const snapshot = join(found.top, SNAPSHOT_FOLDER, name);
  return {
    livePath: path,
    readPath: rebased(found.inside, found.top, snapshot),
    snapshot: { system: 'btrfs', path: snapshot },
    marksSubvolumes: true,
  };
}

/** The top of the subvolume that holds `path`, and the path below it; by another mount where this one begins within. */
function subvolumeOf(mounts: readonly Mount[], mount: Mount, path: string) {
  const others = mounts.filter(
    (other) => other.device === mount.device && isAtOrBelow(mount.root, other.root),
  );
  for (const other of [mount, ...others]) {
    const inside = rebased(path, mount.mountPoint, rebased(mount.root, other.root, other.mountPoint));
    for (let top = inside; isAtOrBelow(top, other.mountPoint); top = dirname(top)) {
      if (isTop(top)) return { top, inside };
      if (top === '/') break;
    }
  }
  return undefined;
}

function isTop(path: string): boolean {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats?.isDirectory() === true && stats.ino === TOP_INODE;
}

/** Asked before there is a snapshot that nobody here may remove. */
function requireRights({ options }: Mount): void {
  if (process.geteuid?.() === 0 || options.includes('user_subvol_rm_allowed')) return;
  throw new CloudSyncError('NO_PERMISSION', 'Only root may remove snapshots on this Btrfs file system', {
    field: 'snapshot',
    advice:
      'Mount it with the option user_subvol_rm_allowed and let the subvolume belong to the user that Node-RED runs as, or run Node-RED as root.',
  });
}

/**
 * Subvolumes below `path` that are mounted as part of their parent, from the top down. Only root is told; others see
 * them in the snapshot by their inode.
 */
export async function subvolumesBelow(path: string, log: Log, signal?: AbortSignal): Promise<string[]> {
  if (process.geteuid?.() !== 0) return [];
  let top = path;
  while (!isTop(top)) top = dirname(top);
  const { isOk, stdout, problem } = await runCommand('btrfs', ['subvolume', 'list', top], log, signal);
  if (!isOk) throw refused(problem, top);
  const found = new Set<string>();
  for (const line of stdout.split('\n')) {
    // Those within are told from `top` on, others from the file system's own top: a look tells which it is.
    const below = / path (.+)$/.exec(line)?.[1];
    const folder = below === undefined ? undefined : join(top, below);
    if (folder !== undefined && isAtOrBelow(folder, path) && folder !== path && isTop(folder))
      found.add(folder);
  }
  return [...found].filter((folder) => !folder.split('/').includes(SNAPSHOT_FOLDER)).sort();
}

export const btrfs: SnapshotSystem = {
  async take(parts, log, signal) {
    for (const { snapshot } of parts) {
      const path = pathOf(snapshot);
      const folder = dirname(path);
      makeFolder(folder);
      const top = dirname(folder);
      const args = ['subvolume', 'snapshot', '-r', '--', top, path];
      const { isOk, problem } = await runCommand('btrfs', args, log, signal);
      if (!isOk) throw refused(problem, top);
    }
  },

  async destroy(snapshot, log) {
    const path = pathOf(snapshot);
    try {
      if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
      const { isOk, problem } = await runCommand('btrfs', ['subvolume', 'delete', '--', path], log);
      return isOk ? undefined : problem;
    } finally {
      removeFolder(dirname(path));
    }
  },
};

/** Nobody else gets at what a snapshot keeps of files that are closed to them or gone by now. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
    return;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST') throw refused(String(code ?? error), dirname(folder));
  }
  if (!lstatSync(folder).isDirectory()) throw refused(`"${folder}" is no folder`, dirname(folder));
  chmodSync(folder, 0o700);
}

function removeFolder(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Another snapshot is in it, or it is gone.
  }
}

/** Throws where it is none of ours: a file that says what to delete is not simply believed. */
function pathOf(snapshot: SnapshotName): string {
  if (snapshot.system === 'btrfs') {
    const { path } = snapshot;
    const isOurs = isOwnName(basename(path)) && basename(dirname(path)) === SNAPSHOT_FOLDER;
    if (isOurs && path.startsWith('/') && join(path) === path) return path;
  }
  throw new CloudSyncError('INTERNAL', `${JSON.stringify(snapshot)} is no snapshot of this package`);
}

function refused(problem: string, top: string): CloudSyncError {
  if (/not permitted|permission denied|EACCES|EPERM/i.test(problem)) {
    return new CloudSyncError('NO_PERMISSION', `No right to take a snapshot of "${top}": ${problem}`, {
      field: 'snapshot',
      advice: 'Let the subvolume belong to the user that Node-RED runs as, or run Node-RED as root.',
    });
  }
  return new CloudSyncError('IO_ERROR', `No snapshot of "${top}" could be taken: ${problem}`, {
    field: 'snapshot',
    advice: 'See "btrfs filesystem usage" and the system log.',
  });
}
