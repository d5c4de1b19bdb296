/**
 * Snapshots of ZFS, by `zfs snapshot` and `zfs destroy` (zfs-snapshot(8), zfs-destroy(8)), read through the folder
 * `.zfs/snapshot` at the top of the mounted dataset (zfsconcepts(7)). All datasets of a pool are given to one command,
 * which makes their snapshots at the same moment.
 */

import { userInfo } from 'node:os';
import { CloudSyncError } from '../../errors.js';
import { runCommand } from './command.js';
import { isAtOrBelow, type Mount, rebased } from './mounts.js';
import { isOwnName, type Part, type SnapshotName, type SnapshotSystem } from './part.js';

/** What reads `path` in a snapshot called `name` of the dataset mounted there. */
export function zfsPart(mounts: readonly Mount[], mount: Mount, path: string, name: string): Part {
  const { top, inside } = wholeDataset(mounts, mount, path);
  return {
    livePath: path,
    readPath: rebased(inside, top, rebased(`/.zfs/snapshot/${name}`, '/', top)),
    snapshot: { system: 'zfs', name: `${mount.source}@${name}` },
    marksSubvolumes: false,
  };
}

/** `.zfs` is at the top of a dataset: where a part of it is bound elsewhere, its own mount has to be found. */
function wholeDataset(mounts: readonly Mount[], mount: Mount, path: string) {
  if (mount.root === '/') return { top: mount.mountPoint, inside: path };
  const whole = mounts.find(({ device, root }) => device === mount.device && root === '/');
  if (whole !== undefined) {
    const inside = rebased(path, mount.mountPoint, rebased(mount.root, '/', whole.mountPoint));
    if (isAtOrBelow(inside, whole.mountPoint)) return { top: whole.mountPoint, inside };
  }
  throw new CloudSyncError(
    'NOT_SUPPORTED',
    `Only a part of the dataset ${mount.source} is mounted at "${mount.mountPoint}", without its snapshots`,
    {
      field: 'snapshot',
      advice: 'Give Node-RED (its container) the whole dataset, or switch "snapshot" off.',
    },
  );
}

export const zfs: SnapshotSystem = {
  async take(parts, log, signal) {
    for (const names of byPool(parts)) {
      const { isOk, problem } = await runCommand('zfs', ['snapshot', ...names], log, signal);
      if (!isOk) throw refused(problem, names[0]!);
    }
  },

  async destroy(snapshot, log) {
    const name = nameOf(snapshot);
    const { isOk, problem } = await runCommand('zfs', ['destroy', name], log);
    const isGone = /does not exist|could not find any snapshots/.test(problem);
    return isOk || isGone ? undefined : problem;
  },
};

/** Names of one command each: all of one pool. */
function byPool(parts: readonly Part[]): string[][] {
  const pools = new Map<string, string[]>();
  for (const { snapshot } of parts) {
    const name = nameOf(snapshot);
    const pool = name.split(/[/@]/, 1)[0]!;
    pools.set(pool, [...(pools.get(pool) ?? []), name]);
  }
  return [...pools.values()];
}

/** Throws where it is none of ours: a file that says what to destroy is not simply believed. */
function nameOf(snapshot: SnapshotName): string {
  if (snapshot.system === 'zfs') {
    const [dataset, name, ...more] = snapshot.name.split('@');
    if (dataset && !dataset.startsWith('-') && more.length === 0 && isOwnName(name)) return snapshot.name;
  }
  throw new CloudSyncError('INTERNAL', `${JSON.stringify(snapshot)} is no snapshot of this package`);
}

function refused(problem: string, name: string): CloudSyncError {
  const dataset = name.split('@', 1)[0]!;
  if (/permission denied|not permitted|permission/i.test(problem)) {
    return new CloudSyncError('NO_PERMISSION', `No right to take a snapshot of ${dataset}: ${problem}`, {
      field: 'snapshot',
      advice: `As root: zfs allow -u ${userInfo().username} snapshot,destroy,mount ${dataset}`,
    });
  }
  return new CloudSyncError('IO_ERROR', `No snapshot of ${dataset} could be taken: ${problem}`, {
    field: 'snapshot',
    advice: 'Run "zpool status" to see how the pool is.',
  });
}
