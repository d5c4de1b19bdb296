/** What a request means to the engine. */

import { join } from 'node:path';
import { compileFilter, type Filter } from '../engine/filter.js';
import {
  keyOfPath,
  type Location,
  prefixOfFolder,
  RESERVED_PREFIX,
  withoutOuterSlashes,
} from '../engine/location.js';
import type { TransferSettings } from '../engine/run-context.js';
import type { Store } from '../stores/store.js';
import { effectiveRun } from './claims.js';
import type { RunRequest, TaskSettings } from './task.js';
import { type TaskPlace, tasksInside } from './task-places.js';

/** What the settings depend on beside the request. */
export interface Opened {
  filter: Filter;
  remote: Location;
  /** The provider's own store. */
  bare: Store;
  snapshotTime: TransferSettings['snapshotTime'];
  workFolder: string;
}

export function transferSettings(
  request: RunRequest,
  { filter, remote, bare, snapshotTime, workFolder }: Opened,
): TransferSettings {
  const { task, restore } = request;
  const { direction, transferMode, dryRun } = effectiveRun(request);
  return {
    direction,
    transferMode,
    dryRun,
    checksum: task.checksum,
    // Whoever restores doubts what is there: size and time alone don't make it the copy.
    provesContent: restore !== undefined,
    expectsFiles: restore !== undefined,
    followSymlinks: task.followSymlinks,
    createEmptySrcDirs: task.createEmptySrcDirs,
    metadata: task.metadata,
    transfers: task.transfers,
    // A restore that deletes does what it was told to: its preview is the guard.
    maxDelete: restore === undefined ? task.maxDelete : null,
    allowedDeletes: request.allowedDeletes,
    filter,
    namesEncrypted: task.encryption && task.filenameEncryption,
    only: restore?.paths?.map(withoutOuterSlashes),
    asOf: restore?.asOf,
    thaw: restore?.thaw === true ? { tier: restore.thawTier, days: restore.thawDays } : undefined,
    leaveOut: leaveOut(task, remote),
    otherTasks: direction === 'push' ? otherTasks(request, bare) : undefined,
    attributes: {
      storageClass: task.storageClass === '' ? undefined : task.storageClass,
      serverSideEncryption: task.serverSideEncryption === '' ? undefined : task.serverSideEncryption,
    },
    snapshotTime,
    workFolder,
  };
}

/** Where the task pushes to. */
export function taskPlace({ nodeId, previewOf = nodeId, task }: RunRequest, bare: Store): TaskPlace {
  return { nodeId: previewOf, task: task.name, store: bare.identity, prefix: prefixOfFolder(task.folder) };
}

/** Tasks that push into this one's prefix, relative to it. */
function otherTasks(request: RunRequest, bare: Store): { prefix: string; task: string }[] {
  const own = taskPlace(request, bare);
  const states = join(request.dataFolder, 'state');
  return tasksInside(own, states, request.deployedNodeIds).map(({ prefix, task }) => ({
    prefix: prefix.slice(own.prefix.length),
    task,
  }));
}

/** The task's filter, narrowed by the restore's. */
export function filterOf({ task, restore }: RunRequest): Filter {
  const own = compileFilter(task);
  if (restore === undefined || (restore.include.length === 0 && restore.exclude.length === 0)) return own;
  const narrower = compileFilter(restore);
  return {
    includesFile: (path) => own.includesFile(path) && narrower.includesFile(path),
    entersFolder: (folder) => own.entersFolder(folder) && narrower.entersFolder(folder),
    decideFile: (path) => {
      const decision = own.decideFile(path);
      return decision.included ? narrower.decideFile(path) : decision;
    },
  };
}

/** Relative keys that are none of the task's: what this package keeps there, and the backup folder. */
function leaveOut(task: TaskSettings, remote: Location): string[] {
  if (task.backupFolder === '') return [RESERVED_PREFIX];
  const backup = prefixOfFolder(task.backupFolder);
  // At a local destination it lies in the folder itself, and its name there is written as all others are.
  if (task.direction === 'pull')
    return [RESERVED_PREFIX, `${keyOfPath({ ...remote, prefix: '' }, backup.slice(0, -1), 'folder')}/`];
  const { prefix } = remote;
  const isInside = backup.startsWith(prefix) && backup.length > prefix.length;
  return isInside ? [RESERVED_PREFIX, backup.slice(prefix.length)] : [RESERVED_PREFIX];
}
