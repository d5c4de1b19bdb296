/**
 * A snapshot of the file system that a push reads from, so that no file changes meanwhile: taken at the start, read
 * through, destroyed after. The run's folder may hold more file systems (child datasets, subvolumes): a snapshot shows
 * an empty folder in their place, so each gets its own and they are read as one tree; where that can't be, the run refuses
 * and names them. What the filters leave out doesn't count.
 */

import { readdirSync, realpathSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { asCloudSyncError, CloudSyncError, throwIfAborted } from '../errors.js';
import { missingRoot } from '../stores/local/walk.js';
import type { ComposedTree } from '../stores/local.js';
import { btrfs, btrfsPart, subvolumesBelow } from './snapshot/btrfs.js';
import type { Log } from './snapshot/command.js';
import { isAtOrBelow, type Mount, mountOf, mountsBelow, readMounts, rebased } from './snapshot/mounts.js';
import { type Part, type SnapshotName, type SnapshotSystem, snapshotName } from './snapshot/part.js';
import { SnapshotRecord } from './snapshot/record.js';
import { zfs, zfsPart } from './snapshot/zfs.js';

export interface SnapshotOptions {
  taskId: string;
  /** The local folder of the run, absolute. */
  path: string;
  /** The task's folder of state. */
  stateFolder: string;
  /** Whether the run goes into a folder; relative path, no slash at its end. */
  entersFolder: (folder: string) => boolean;
  /** A line for the run's log. */
  log: Log;
  /** What is mounted; default: asked of the system. */
  mounts?: () => Mount[];
}

/** What a run reads in the place of its folder. */
export interface SnapshotView {
  /** Where the folder is in the snapshot. */
  path: string;
  /** Other snapshots that belong into it. */
  tree: ComposedTree;
  /** When it was taken, ms since the epoch: no later change is in it. */
  takenAt: number;
}

const SYSTEMS: Record<SnapshotName['system'], SnapshotSystem> = { zfs, btrfs };
/** A dataset just read may be in use for a moment more. */
const ATTEMPTS = 3;
const ATTEMPT_PAUSE_MS = 500;

/** The snapshots of one run. */
export class RunSnapshot {
  private readonly record: SnapshotRecord;

  constructor(private readonly options: SnapshotOptions) {
    this.record = new SnapshotRecord(options.stateFolder);
  }

  /**
   * Takes the snapshot. Throws NOT_SUPPORTED (file system, command), NO_PERMISSION, ABORTED and the like; call
   * {@link destroy} all the same.
   */
  async take(signal?: AbortSignal): Promise<SnapshotView> {
    const { log } = this.options;
    const takenAt = Date.now();
    const parts = await this.parts(snapshotName(this.options.taskId, takenAt), signal);
    // Known before they are there: whatever ends this process, the next run destroys them.
    this.record.write([...this.record.read(), ...parts.map(({ snapshot }) => snapshot)]);
    for (const system of ['zfs', 'btrfs'] as const) {
      const own = parts.filter(({ snapshot }) => snapshot.system === system);
      if (own.length > 0) await SYSTEMS[system].take(own, log, signal);
    }
    throwIfAborted(signal);
    for (const part of parts) requireReadable(part);
    return { path: parts[0]!.readPath, tree: treeOf(parts), takenAt };
  }

  /** Destroys every snapshot of this task, those that earlier runs left too. What can't be destroyed, as warnings. */
  async destroy(): Promise<CloudSyncError[]> {
    const left: SnapshotName[] = [];
    const warnings: CloudSyncError[] = [];
    for (const snapshot of this.record.read().reverse()) {
      const problem = await this.destroyOne(snapshot);
      if (problem === undefined) continue;
      left.unshift(snapshot);
      const name = snapshot.system === 'zfs' ? snapshot.name : snapshot.path;
      warnings.push(
        new CloudSyncError('IO_ERROR', `The snapshot ${name} could not be destroyed: ${problem}`, {
          path: '',
          advice: 'The next run tries again. Until then it keeps the space of what was deleted since.',
        }),
      );
    }
    try {
      this.record.write(left);
    } catch (error) {
      warnings.push(asCloudSyncError(error));
    }
    return warnings;
  }

  /** Undefined where it is gone. */
  private async destroyOne(snapshot: SnapshotName): Promise<string | undefined> {
    for (let attempt = 1; ; attempt++) {
      let problem: string | undefined;
      try {
        problem = await SYSTEMS[snapshot.system].destroy(snapshot, this.options.log);
      } catch (error) {
        problem = asCloudSyncError(error).message;
      }
      if (problem === undefined || attempt === ATTEMPTS || !/busy/i.test(problem)) return problem;
      await delay(ATTEMPT_PAUSE_MS);
    }
  }

  /** The file system of the folder, and each one in it; the folder's own first. */
  private async parts(name: string, signal: AbortSignal | undefined): Promise<Part[]> {
    const { entersFolder, log, path: given } = this.options;
    const mounts = (this.options.mounts ?? readMounts)();
    const path = realPathOf(given);
    const mount = mountOf(mounts, path);
    if (mount?.type !== 'zfs' && mount?.type !== 'btrfs') throw noSnapshots(given, mount);
    const isWanted = (folder: string) =>
      !folder.includes('/.zfs/') && isEntered(folder.slice(path === '/' ? 1 : path.length + 1), entersFolder);
    const below = mountsBelow(mounts, path).filter(({ mountPoint }) => isWanted(mountPoint));
    const others = below.filter(({ type, mountPoint }) => !isKnown(type) || mountPoint.includes('\ufffd'));
    if (others.length > 0) throw otherFileSystems(others);
    const parts = [mount, ...below].map((one) =>
      partOf(mounts, one, one === mount ? path : one.mountPoint, name),
    );
    for (const part of [...parts]) {
      if (part.snapshot.system !== 'btrfs') continue;
      for (const folder of await subvolumesBelow(part.livePath, log, signal)) {
        const isHere = mountOf(mounts, folder) === mountOf(mounts, part.livePath);
        if (isHere && isWanted(folder)) parts.push(btrfsPart(mounts, mountOf(mounts, folder)!, folder, name));
      }
    }
    return parts;
  }
}

function isKnown(type: string): boolean {
  return type === 'zfs' || type === 'btrfs';
}

function partOf(mounts: readonly Mount[], mount: Mount, path: string, name: string): Part {
  const part = (mount.type === 'zfs' ? zfsPart : btrfsPart)(mounts, mount, path, name);
  if (mount.type === 'zfs') part.liveDevice = statSync(path, { bigint: true }).dev;
  return part;
}

/** Each folder on the way has to be entered. */
function isEntered(folder: string, entersFolder: (folder: string) => boolean): boolean {
  const names = folder.split('/');
  return names.every((_, index) => entersFolder(names.slice(0, index + 1).join('/')));
}

function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    throw missingRoot(error, path) ?? asCloudSyncError(error);
  }
}

/** Where a snapshot shows an empty folder, the snapshot of what belongs there. */
function treeOf(parts: readonly Part[]): ComposedTree {
  const replaced = new Map<string, string>();
  for (const part of parts.slice(1)) {
    const holders = parts.filter((other) => other !== part && isAtOrBelow(part.livePath, other.livePath));
    const holder = holders.reduce((a, b) => (b.livePath.length > a.livePath.length ? b : a));
    replaced.set(rebased(part.livePath, holder.livePath, holder.readPath), part.readPath);
  }
  return { replaced, marksSubvolumes: parts.some(({ marksSubvolumes }) => marksSubvolumes) };
}

/** ZFS mounts a snapshot when it is first looked at; where it can't (in some containers), an empty folder stands there. */
function requireReadable({ readPath, liveDevice }: Part): void {
  let cause: unknown;
  try {
    readdirSync(readPath);
    if (statSync(readPath, { bigint: true }).dev !== liveDevice) return;
  } catch (error) {
    cause = error;
  }
  throw new CloudSyncError('NOT_SUPPORTED', `The snapshot was taken, but can not be read at "${readPath}"`, {
    field: 'snapshot',
    advice:
      'In a container, ZFS snapshots can often not be mounted: run Node-RED outside of it, or switch "snapshot" off.',
    cause,
  });
}

function noSnapshots(path: string, mount: Mount | undefined): CloudSyncError {
  const where = mount === undefined ? 'an unknown file system' : mount.type;
  return new CloudSyncError('NOT_SUPPORTED', `"${path}" lies on ${where}, which has no snapshots`, {
    field: 'snapshot',
    advice: 'Snapshots work on ZFS and Btrfs. Switch "snapshot" off.',
  });
}

function otherFileSystems(mounts: readonly Mount[]): CloudSyncError {
  const names = mounts.slice(0, 10).map(({ mountPoint, type }) => `"${mountPoint}" (${type})`);
  if (mounts.length > names.length) names.push(`${mounts.length - names.length} more`);
  return new CloudSyncError(
    'NOT_SUPPORTED',
    `Other file systems are mounted in the folder, which no snapshot holds: ${names.join(', ')}`,
    {
      field: 'snapshot',
      advice: 'Exclude them and give each a task of its own, or switch "snapshot" off.',
    },
  );
}
