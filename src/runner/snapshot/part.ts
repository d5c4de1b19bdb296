/** A file system or subvolume of which a snapshot is taken, and what there is to do with it. */

import type { Log } from './command.js';

/** Names a snapshot for good: this is what is remembered, so that a later run can destroy it. */
export type SnapshotName =
  /** `dataset@name` */
  | { system: 'zfs'; name: string }
  /** Absolute path of the snapshot. */
  | { system: 'btrfs'; path: string };

/** One file system or subvolume of the tree that is read. */
export interface Part {
  /** Where it begins in the live tree: its mount point or subvolume, or the folder asked for where that lies within. */
  livePath: string;
  /** Where that is read once the snapshot is there. */
  readPath: string;
  snapshot: SnapshotName;
  /** Which folders of the snapshot are subvolumes that it doesn't hold can be told by their inode. */
  marksSubvolumes: boolean;
  /** Whether a folder of this device is the live tree and no snapshot; ZFS only. */
  liveDevice?: bigint;
}

/** What a kind of file system can do. */
export interface SnapshotSystem {
  /** Takes all of them; throws what the user has to know. */
  take(parts: readonly Part[], log: Log, signal?: AbortSignal): Promise<void>;
  /** Undefined where it is gone (also if it never was); else why not. */
  destroy(snapshot: SnapshotName, log: Log): Promise<string | undefined>;
}

/** In the top folder of a subvolume: where its snapshots lie while they are read. No run looks into it. */
export { SNAPSHOT_FOLDER } from '../../stores/local/file-names.js';

/** What all names of ours begin with: nothing else is ever destroyed. */
const OWN_NAME = /^cloud-sync-[A-Za-z0-9_.-]+$/;

/** The name of a snapshot of `taskId` taken at `time`, ms since the epoch. */
export function snapshotName(taskId: string, time: number): string {
  const task = taskId.replace(/[^A-Za-z0-9_.-]/g, '_').slice(0, 40);
  return `cloud-sync-${task}-${new Date(time).toISOString().replace(/[-:.]/g, '')}`;
}

export function isOwnName(name: string | undefined): boolean {
  return name !== undefined && OWN_NAME.test(name);
}
