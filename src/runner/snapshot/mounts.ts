/** What is mounted where, from /proc/self/mountinfo (proc(5)). */

import { readFileSync } from 'node:fs';
import { CloudSyncError } from '../../errors.js';

export interface Mount {
  mountPoint: string;
  /** The folder of the file system that is seen there: `/` unless a part of it is bound elsewhere. */
  root: string;
  /** `zfs`, `btrfs`, `ext4` ... */
  type: string;
  /** Of ZFS the name of the dataset, of others mostly a device. */
  source: string;
  /** `major:minor`; the same for every mount of one file system. */
  device: string;
  /** Options of the file system, as in `rw,space_cache,subvol=/`. */
  options: string[];
}

/** All mounts of this process, in the order they were made. Throws NOT_SUPPORTED where the system doesn't tell. */
export function readMounts(): Mount[] {
  try {
    return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
  } catch (error) {
    throw new CloudSyncError('NOT_SUPPORTED', 'Snapshots work on Linux only', {
      field: 'snapshot',
      advice: 'Switch "snapshot" off.',
      cause: error,
    });
  }
}

export function parseMounts(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [, , device, root, mountPoint] = before.split(' ');
    const [type, source = '', options = ''] = after.split(' ');
    if (device === undefined || root === undefined || mountPoint === undefined || !type) continue;
    mounts.push({
      device,
      root: unescaped(root),
      mountPoint: unescaped(mountPoint),
      type: type.replace(/^fuse\.zfs$/, 'zfs'),
      source: unescaped(source),
      options: options.split(','),
    });
  }
  return mounts;
}

/** Space, tab, line feed and backslash stand as octal numbers. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** The mount that `path` (absolute, without links) lies on. */
export function mountOf(mounts: readonly Mount[], path: string): Mount | undefined {
  let found: Mount | undefined;
  for (const mount of mounts) {
    if (!isAtOrBelow(path, mount.mountPoint)) continue;
    // A later mount on the same place hides the earlier one.
    if (found === undefined || mount.mountPoint.length >= found.mountPoint.length) found = mount;
  }
  return found;
}

/** What is mounted below `path`, from the top down; what a later mount hides isn't there. */
export function mountsBelow(mounts: readonly Mount[], path: string): Mount[] {
  const below = mounts.filter(({ mountPoint }) => mountPoint !== path && isAtOrBelow(mountPoint, path));
  const seen = new Map(below.map((mount) => [mount.mountPoint, mount]));
  return [...seen.values()]
    .filter((mount) => mountOf(mounts, mount.mountPoint) === mount)
    .sort((a, b) => (a.mountPoint < b.mountPoint ? -1 : 1));
}

export function isAtOrBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`);
}

/** `path`, which lies at or below `from`, as it is seen below `to`. */
export function rebased(path: string, from: string, to: string): string {
  const rest = path.slice(from === '/' ? 0 : from.length).replace(/^\/+/, '');
  if (rest === '') return to;
  return to.endsWith('/') ? to + rest : `${to}/${rest}`;
}
