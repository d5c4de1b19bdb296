/** What follows when a file is found or made equal on both sides: the index learns of it, a move takes its source away. */

import { CloudSyncError } from '../errors.js';
import type { StoredObject } from '../stores/store.js';
import type { Verdict } from './comparison.js';
import { journaledCopy } from './journaled-copy.js';
import type { RunContext } from './run-context.js';
import { indexEntry } from './state-index.js';
import type { TransferJob, Transferred } from './transfer.js';

type Equal = Exclude<Verdict, { kind: 'different' }>;

export async function settleEqual(
  run: RunContext,
  path: string,
  sortKey: string,
  equal: Equal,
): Promise<void> {
  run.unchanged++;
  await keepEqual(run, path, sortKey, equal);
}

async function keepEqual(run: RunContext, path: string, sortKey: string, equal: Equal): Promise<void> {
  remember(run, sortKey, equal.local, equal.remote, equal.md5, run.startedAt);
  const source = run.isPush ? equal.local : equal.remote;
  if (run.settings.transferMode === 'move') await deleteSource(run, path, source);
}

/** The content is right, the time at the destination isn't. */
export async function settleTime(
  run: RunContext,
  path: string,
  sortKey: string,
  differing: Equal,
): Promise<void> {
  if (run.settings.dryRun) {
    if (run.settings.transferMode === 'move') foretellSourceDelete(run, path);
    return;
  }
  const adjusted = run.isPush
    ? await setRemoteTime(run, path, differing)
    : await setLocalTime(run, differing);
  if (adjusted === differing) run.unchanged++;
  else run.log('time', path);
  await keepEqual(run, path, sortKey, adjusted);
}

/**
 * Where setting the time means a copy, it is done only for an object whose copy is as good: a new version in a bucket
 * that keeps them would cost space each time, an archived one can't be copied.
 */
async function setRemoteTime(run: RunContext, path: string, differing: Equal): Promise<Equal> {
  const { store } = run.remote;
  const { change } = store.features.modificationTime;
  if (change === 'none') return differing;
  const remote =
    differing.remote.modificationTime === undefined
      ? await store.head(differing.remote.key, { signal: run.signal })
      : differing.remote;
  if (remote === undefined) return differing;
  const isVersioned = remote.versionId !== undefined && remote.versionId !== 'null';
  // Archived, it can't be copied, and where times are changed in place (Azure) its metadata can't be written.
  if (remote.archive !== undefined || (change === 'copy' && isVersioned)) return differing;
  await run.lease?.confirm();
  const time = differing.local.modificationTime!;
  const changed = await journaledCopy(run, { key: remote.key, path }, (onUploadBegins) =>
    store.setModificationTime(remote, time, run.signal, onUploadBegins),
  );
  return { ...differing, remote: changed };
}

async function setLocalTime(run: RunContext, differing: Equal): Promise<Equal> {
  const remote =
    differing.remote.modificationTime === undefined
      ? await run.remote.store.head(differing.remote.key, { signal: run.signal })
      : differing.remote;
  if (remote?.modificationTime === undefined) return differing;
  const local = await run.local.store.setModificationTime(
    differing.local,
    remote.modificationTime,
    run.signal,
  );
  return { ...differing, local };
}

/** Undefined where it is settled at once, which all but a move is. */
export function settleTransferred(
  run: RunContext,
  job: TransferJob,
  done: Transferred,
): Promise<void> | undefined {
  const [local, remote] = run.isPush ? [done.source, done.destination] : [done.destination, done.source];
  run.files.done++;
  run.counts.transferred.files++;
  run.counts.transferred.bytes += done.source.size;
  run.log('transfer', job.path, { bytes: done.source.size });
  if (job.present !== undefined) run.counts.overwrites++;
  if (run.isPush && job.present !== undefined) run.earlyDeletions.note(job.present);
  remember(run, job.sortKey, local, remote, done.md5, done.readAt);
  return run.settings.transferMode === 'move' ? deleteSource(run, job.path, done.source) : undefined;
}

/** The provider copied what was renamed at the source. */
export function settleRenamed(
  run: RunContext,
  file: { path: string; sortKey: string; source: StoredObject; from: string },
  copied: StoredObject,
  md5: string,
): void {
  run.files.done++;
  run.log('rename', file.path, { message: `from ${file.from}` });
  remember(run, file.sortKey, file.source, copied, md5, run.startedAt);
}

function remember(
  run: RunContext,
  sortKey: string,
  local: StoredObject,
  remote: StoredObject,
  md5: string,
  readAt: number,
): void {
  if (run.index === undefined || run.settings.dryRun || local.identity === undefined) return;
  // Sizes differ where the remote side was encrypted below the comparison; both are the plain size here.
  const seenAt = Math.min(readAt, run.settings.snapshotTime ?? readAt);
  run.index.record(indexEntry(sortKey, local, { ...remote, size: local.size }, md5, seenAt));
}

/** What a dry run says of the source of a move. */
export function foretellSourceDelete(run: RunContext, path: string): void {
  run.counts.deleted++;
  run.log('would delete', path, { message: 'at the source' });
}

/** The source of a move, once its copy is confirmed: only if it is still what was copied. */
async function deleteSource(run: RunContext, path: string, source: StoredObject): Promise<void> {
  if (run.settings.dryRun) {
    foretellSourceDelete(run, path);
    return;
  }
  const { store } = run.source;
  const now = await store.head(source.key, { signal: run.signal });
  if (now === undefined) return;
  if (now.etag !== source.etag || now.size !== source.size) {
    throw new CloudSyncError('CHANGED', 'The source changed after it was copied, so it is not deleted', {
      path,
      advice: 'The next run copies and deletes it.',
    });
  }
  const ifMatch = store.features.conditionalDelete ? source.etag : undefined;
  await run.lease?.confirm();
  await store.delete({ key: source.key, ifMatch }, run.signal);
  run.counts.deleted++;
  run.log('delete', path, { message: 'at the source, after its copy was confirmed' });
}
