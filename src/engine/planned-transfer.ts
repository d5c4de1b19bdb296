/**
 * One planned transfer carried out: told in a dry run, what it replaces kept where there is a backup folder, forgiven where
 * the source is gone by now or in use by another program.
 */

import { CloudSyncError, hasCode } from '../errors.js';
import type { StoredObject } from '../stores/store.js';
import { CHANGING_RUNS } from './changing-files.js';
import { keyOfPath } from './location.js';
import { obstacleOf, obstructed } from './obstacles.js';
import { foretellSourceDelete, settleTransferred } from './outcome.js';
import type { NewFile } from './renames.js';
import type { KeptFiles, RunContext } from './run-context.js';
import { type TransferJob, type Transferred, transferFile } from './transfer.js';

/**
 * Plans to bring `source` to the destination, where `present` is now; it counts towards the run's progress from here on.
 * Throws NAME_TOO_LONG or INVALID_NAME where the destination can't hold its name.
 */
export function planTransfer(
  run: RunContext,
  { path, sortKey, source }: NewFile,
  present: StoredObject | undefined,
): TransferJob {
  const destinationKey = run.isPush
    ? run.remote.prefix + (source.orderKey ?? source.key)
    : keyOfPath(run.local, path, 'file');
  run.files.total++;
  run.bytes.total += source.size;
  return { path, sortKey, source, destinationKey: present?.key ?? destinationKey, present };
}

/**
 * Transfers the file. `obstructed`: something stands in its way that a sync may remove when all else went well. Throws
 * what went wrong with this file.
 */
export async function carryOut(run: RunContext, job: TransferJob): Promise<'settled' | 'obstructed'> {
  if (run.settings.dryRun) return foretell(run, job);
  run.beginTransferring();
  try {
    const settling = settleTransferred(run, job, await sendKeeping(run, job));
    if (settling !== undefined) await settling;
    return 'settled';
  } catch (error) {
    if (hasCode(error, 'OBSTRUCTED') && run.settings.transferMode === 'sync') return 'obstructed';
    if (hasCode(error, 'CHANGING') && isStillInUse(run, error, job)) return 'settled';
    if (hasCode(error, 'NOT_FOUND') && (await isGone(run, job))) {
      leaveOut(run, job);
      run.problems.warning(
        new CloudSyncError('NOT_FOUND', 'Was removed at the source while the run went on', { cause: error }),
        job.path,
      );
      return 'settled';
    }
    throw error;
  }
}

/** What a dry run says of a transfer. */
async function foretell(run: RunContext, job: TransferJob): Promise<'settled' | 'obstructed'> {
  const { store } = run.destination;
  const isObstructed =
    store.features.folders === 'real' && (await obstacleOf(store, job.destinationKey)) !== undefined;
  if (isObstructed) {
    if (run.settings.transferMode !== 'sync') throw obstructed(job);
    return 'obstructed';
  }
  run.counts.transferred.files++;
  run.counts.transferred.bytes += job.source.size;
  const message = job.present === undefined ? undefined : 'overwrites what is there';
  run.log('would transfer', job.path, { bytes: job.source.size, message });
  if (run.settings.transferMode === 'move') foretellSourceDelete(run, job.path);
  if (job.present !== undefined) {
    run.counts.overwrites++;
    if (run.isPush) run.earlyDeletions.note(job.present);
    else previewOwner(run, job.present);
  }
  return 'settled';
}

/** A file of somebody else that is replaced keeps its owner only if root replaces it. */
function previewOwner(run: RunContext, { key, identity }: StoredObject): void {
  const user = process.geteuid?.() ?? 0;
  if (identity === undefined || user === 0 || identity.uid === user) return;
  run.owners?.note({ key, uid: identity.uid, gid: identity.gid });
}

/** Where there is a backup folder, nothing is replaced unkept, not even what a listing failed to show. */
function sendKeeping(run: RunContext, job: TransferJob): Promise<Transferred> {
  const { backup } = run;
  return backup === undefined ? transferFile(run, job) : sendWithBackup(run, job, backup);
}

async function sendWithBackup(run: RunContext, job: TransferJob, backup: KeptFiles): Promise<Transferred> {
  const isConditional = run.destination.store.features.conditionalWrite;
  const present = job.present ?? (isConditional ? undefined : await findUnlisted(run, job));
  try {
    if (present !== undefined) await backup.keepReplaced(present);
    return await transferFile(run, { ...job, present });
  } catch (error) {
    if (present !== undefined || !hasCode(error, 'PRECONDITION_FAILED')) throw error;
    const unlisted = await findUnlisted(run, job);
    if (unlisted === undefined) throw error;
    await backup.keepReplaced(unlisted);
    return transferFile(run, { ...job, present: unlisted });
  }
}

/** The file that is at the destination although its listing didn't show one. */
export async function findUnlisted(run: RunContext, job: TransferJob): Promise<StoredObject | undefined> {
  const found = await run.destination.store.head(job.destinationKey, { signal: run.signal });
  return found?.kind === 'file' ? found : undefined;
}

/** A file that another program writes is left for the next run, unless it has been so for many. */
function isStillInUse(run: RunContext, error: CloudSyncError, job: TransferJob): boolean {
  const runs = run.changing?.note(job.path) ?? 0;
  if (runs >= CHANGING_RUNS) return false;
  leaveOut(run, job);
  run.problems.warning(error, job.path);
  return true;
}

function leaveOut(run: RunContext, job: TransferJob): void {
  run.counts.skipped++;
  run.files.total--;
  run.bytes.total -= job.source.size;
}

/** The source is gone now; of an earlier moment nothing can go any more. */
async function isGone(run: RunContext, { source }: TransferJob): Promise<boolean> {
  if (run.settings.asOf !== undefined) return false;
  return (await run.source.store.head(source.key, { signal: run.signal })) === undefined;
}
