/**
 * A file that became a folder, or the reverse: what stands in the way at the destination is set aside, the new content
 * arrives, and only then the old one goes; on failure it is put back.
 */

import { randomBytes } from 'node:crypto';
import { CloudSyncError, hasCode } from '../errors.js';
import type { Store } from '../stores/store.js';
import type { Deletions, DueDelete } from './deletions.js';
import { keyOfPath, type Location, pathOfKey } from './location.js';
import { settleTransferred } from './outcome.js';
import type { RunContext } from './run-context.js';
import { type TransferJob, type Transferred, transferFile } from './transfer.js';

/** Transfers what was obstructed, if nothing went wrong so far and the limit of deletes allows it. */
export async function transferObstructed(
  run: RunContext,
  jobs: readonly TransferJob[],
  deletions: Deletions,
): Promise<void> {
  if (jobs.length === 0) return;
  if (run.problems.any) {
    for (const job of jobs) run.fail(obstructed(job), job.path);
    return;
  }
  if (run.settings.dryRun) {
    await foretell(run, jobs, deletions);
    return;
  }
  const aside = new Map<string, Obstacle>();
  const arrived: { job: TransferJob; transferred: Transferred }[] = [];
  let current: TransferJob | undefined;
  try {
    for (const job of jobs) {
      current = job;
      const key = await obstacleOf(run.destination.store, job.destinationKey);
      if (key !== undefined && !aside.has(key)) aside.set(key, await setAside(run, key, deletions, job));
      arrived.push({ job, transferred: await transferOne(run, job) });
    }
  } catch (error) {
    run.fail(error, current?.path);
  }
  const isUndone = run.problems.any || run.signal.aborted;
  const settled = new Set<TransferJob>();
  for (const { job, transferred } of arrived) {
    // What lies in the place of something that is put back is removed again.
    if (isUndone && isInPlaceOf(job, aside.keys())) continue;
    settled.add(job);
    await settleTransferred(run, job, transferred);
  }
  if (run.problems.any) {
    // All that was set aside is put back, so that none of the others is there either.
    for (const job of jobs) if (job !== current && !settled.has(job)) run.fail(obstructed(job), job.path);
  }
  for (const obstacle of aside.values()) {
    try {
      if (isUndone) await putBack(run, obstacle);
      else await removeObstacle(run, obstacle, deletions);
    } catch (error) {
      run.fail(error, obstacle.key);
    }
  }
}

/** What a dry run says: the same decisions, nothing moved. */
async function foretell(run: RunContext, jobs: readonly TransferJob[], deletions: Deletions): Promise<void> {
  const { store } = run.destination;
  const inTheWay = new Map<string, DueDelete[]>();
  const arrived: TransferJob[] = [];
  let current: TransferJob | undefined;
  try {
    for (const job of jobs) {
      current = job;
      const key = await obstacleOf(store, job.destinationKey);
      if (key !== undefined && !inTheWay.has(key)) {
        inTheWay.set(key, (await whatGoes(run, key, deletions, job)).files);
      }
      arrived.push(job);
    }
  } catch (error) {
    run.fail(error, current?.path);
  }
  const isUndone = run.problems.any;
  const told = new Set(arrived.filter((job) => !isUndone || !isInPlaceOf(job, inTheWay.keys())));
  for (const job of told) {
    run.counts.transferred.files++;
    run.counts.transferred.bytes += job.source.size;
    run.log('would transfer', job.path, { bytes: job.source.size });
  }
  if (isUndone) {
    for (const job of jobs) if (job !== current && !told.has(job)) run.fail(obstructed(job), job.path);
    return;
  }
  for (const due of [...inTheWay.values()].flat()) {
    deletions.settle(due.key);
    run.counts.deleted++;
    run.log('would delete', due.path);
  }
}

function isInPlaceOf({ destinationKey }: TransferJob, keys: Iterable<string>): boolean {
  for (const key of keys) {
    if (destinationKey === key || destinationKey.startsWith(`${key}/`)) return true;
  }
  return false;
}

interface Obstacle {
  key: string;
  asideKey: string;
  /** The files that go with it, by their keys before it was set aside. */
  files: DueDelete[];
  isFolder: boolean;
}

/** The error of a transfer that something stands in the way of. */
export function obstructed(job: TransferJob, cause?: unknown): CloudSyncError {
  return new CloudSyncError('OBSTRUCTED', 'A file stands where a folder has to be, or the reverse', {
    path: job.path,
    advice: 'Move it away at the destination; only a sync without errors does that by itself.',
    cause,
  });
}

/** The key of what has to go so that `key` can be a file: one of its folders that is a file, or a folder in its place. */
export async function obstacleOf(store: Store, key: string): Promise<string | undefined> {
  const segments = key.split('/');
  for (let count = 1; count < segments.length; count++) {
    const folder = segments.slice(0, count).join('/');
    const occupant = await store.occupant?.(folder);
    if (occupant !== undefined) return occupant.key;
    const found = await store.head(folder);
    if (found !== undefined && found.kind !== 'folder') return folder;
  }
  const occupant = await store.occupant?.(key);
  if (occupant !== undefined) return occupant.key;
  const found = await store.head(key);
  return found?.kind === 'folder' ? key : undefined;
}

/** Only what this sync would delete anyway may be in the way: nothing that a filter leaves out is moved. */
async function whatGoes(run: RunContext, key: string, deletions: Deletions, job: TransferJob) {
  const { store } = run.destination;
  const found = await store.head(key);
  const isFolder = found?.kind === 'folder';
  const files: DueDelete[] = [];
  for (const page of deletions.pages()) {
    for (const due of page) if (due.key === key || due.key.startsWith(`${key}/`)) files.push(due);
  }
  const dueKeys = new Set(files.map((due) => due.key));
  if (isFolder) {
    for await (const page of store.list({ prefix: `${key}/` })) {
      for (const object of page) if (!dueKeys.has(object.key)) throw obstructed(job);
    }
  } else if (!dueKeys.has(key)) throw obstructed(job);
  if ((await deletions.confirmAbsent(files)).length < files.length) throw obstructed(job);
  return { files, isFolder };
}

async function setAside(
  run: RunContext,
  key: string,
  deletions: Deletions,
  job: TransferJob,
): Promise<Obstacle> {
  const { store } = run.destination;
  const { files, isFolder } = await whatGoes(run, key, deletions, job);
  const asideKey = asideKeyOf(run.destination, key, isFolder ? 'folder' : 'file');
  await store.rename(key, asideKey);
  run.log('aside', job.path, { message: 'What stood in its place was set aside' });
  return { key, asideKey, files, isFolder };
}

/**
 * Where an obstacle waits: beside its place, under a name that the next sync can read, also where names are encrypted. A
 * run that is killed leaves it there, and it is deleted then like everything else that the source doesn't have.
 */
function asideKeyOf(location: Location, key: string, kind: 'file' | 'folder'): string {
  const path = pathOfKey(location, key.slice(location.prefix.length), kind);
  const suffix = `.${randomBytes(4).toString('hex')}.aside`;
  try {
    return keyOfPath(location, path + suffix, kind);
  } catch (error) {
    if (!hasCode(error, 'NAME_TOO_LONG')) throw error;
    const folder = path.slice(0, path.lastIndexOf('/') + 1);
    return keyOfPath(location, folder + suffix.slice(1), kind);
  }
}

async function transferOne(run: RunContext, job: TransferJob): Promise<Transferred> {
  try {
    return await transferFile(run, { ...job, present: undefined });
  } catch (error) {
    throw hasCode(error, 'OBSTRUCTED') ? obstructed(job, error) : error;
  }
}

async function putBack(run: RunContext, obstacle: Obstacle): Promise<void> {
  const { store } = run.destination;
  try {
    await removeArrived(run, obstacle);
    await store.rename(obstacle.asideKey, obstacle.key);
  } catch (error) {
    run.problems.error(
      new CloudSyncError('OBSTRUCTED', `What stood at "${obstacle.key}" is now at "${obstacle.asideKey}"`, {
        advice: 'Move it back by hand.',
        cause: error,
      }),
      obstacle.key,
    );
  }
}

/** What had already arrived in the obstacle's place; it is still whole at the source. */
async function removeArrived(run: RunContext, obstacle: Obstacle): Promise<void> {
  const { store } = run.destination;
  const arrived = await store.occupant?.(obstacle.key);
  const place = arrived?.key ?? obstacle.key;
  if (obstacle.isFolder || arrived?.kind === 'file') {
    await store.delete({ key: place });
    return;
  }
  const folders: string[] = [place];
  for await (const page of store.list({ prefix: `${place}/`, folders: true })) {
    for (const object of page) {
      if (object.kind === 'folder') folders.push(object.key);
      else await store.delete({ key: object.key });
    }
  }
  for (const folder of folders.reverse()) await store.deleteFolder(folder);
}

async function removeObstacle(run: RunContext, obstacle: Obstacle, deletions: Deletions): Promise<void> {
  const { store } = run.destination;
  const folders: string[] = [];
  if (obstacle.isFolder) {
    for await (const page of store.list({ prefix: `${obstacle.asideKey}/`, folders: true })) {
      for (const object of page) if (object.kind === 'folder') folders.push(object.key);
    }
  }
  for (const due of obstacle.files) {
    const standsAt = obstacle.asideKey + due.key.slice(obstacle.key.length);
    await run.backup?.keepDeleted(due, standsAt);
    // On a file system keeping it has moved it away; a copy leaves it to be deleted.
    if (run.backup === undefined || !store.features.walks) await store.delete({ key: standsAt }, run.signal);
    deletions.settle(due.key);
    run.counts.deleted++;
    run.index?.forget(due.sortKey);
    run.log('delete', due.path);
  }
  for (const folder of folders.reverse()) await store.deleteFolder(folder);
  if (obstacle.isFolder) await store.deleteFolder(obstacle.asideKey);
}
