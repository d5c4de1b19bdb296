/**
 * A transfer run: both sides are listed side by side, every file that isn't equal is transferred, and only when all of
 * that went well is anything deleted.
 */

import { CloudSyncError } from '../errors.js';
import { Deletions } from './deletions.js';
import { PrefixInUse } from './late-lease.js';
import { Meetings } from './meetings.js';
import { transferObstructed } from './obstacles.js';
import { removeUpload } from './part-transfer.js';
import type { RunContext } from './run-context.js';
import type { UploadJournal } from './upload-journal.js';
import { walkBothSides } from './walk.js';

/**
 * Carries the run out. What went wrong stands in `run.problems`; rejects only where the run can't begin, with PrefixInUse
 * where it is not to wait for another one. The lease is given back at the end.
 */
export async function runTransfer(run: RunContext): Promise<void> {
  run.host.phase('listing');
  await checkSides(run);
  run.backup?.check();
  await run.index?.recover(run.signal);
  const deletions = new Deletions(run);
  // A first run has something to do: its lease can be had while the listing is on its way.
  if (run.index?.hasEntries !== true) run.lease?.begin().catch(() => {});
  try {
    await run.lease?.removeLeftBehind();
    const meetings = await transferDifferences(run, deletions);
    if (run.signal.aborted) return;
    await meetings.transferFrozen();
    if (meetings.obstructed.length > 0) deletions.checkLimit(meetings);
    await transferObstructed(run, meetings.obstructed, deletions);
    await removeLeftUploads(run);
    if (!run.signal.aborted) await deletions.carryOut(meetings);
    await meetings.makeWaitingFolders();
    if (run.problems.any || run.signal.aborted || run.settings.dryRun) return;
    run.changing?.finish();
    await run.otherUploads?.warn(run);
    await run.backup?.removeOld(Date.now());
  } catch (error) {
    if (error instanceof PrefixInUse) throw error;
    run.fail(error);
  } finally {
    const released = run.lease?.release();
    try {
      await finish(run, deletions);
    } finally {
      await released;
    }
  }
}

async function finish(run: RunContext, deletions: Deletions): Promise<void> {
  logUnchanged(run);
  deletions.dispose();
  if (run.settings.dryRun) return;
  await run.index?.finish(run.signal);
  run.journal?.close();
}

function logUnchanged(run: RunContext): void {
  if (run.unchanged === 0) return;
  const files = run.unchanged === 1 ? '1 file was' : `${run.unchanged} files were`;
  run.log('unchanged', undefined, { message: `${files} equal on both sides` });
}

/** A missing source is an error, a missing local destination is made. (The remote side was checked on opening.) */
async function checkSides(run: RunContext): Promise<void> {
  if (run.isPush) await run.local.store.check(run.signal);
  else if (!run.settings.dryRun) await run.local.store.createFolder('', undefined, run.signal);
}

async function transferDifferences(run: RunContext, deletions: Deletions): Promise<Meetings> {
  const newMeetings = () => {
    // Nothing was deleted yet, and what was transferred was transferred rightly.
    deletions.dispose();
    return new Meetings(run, deletions);
  };
  const meetings = await walkBothSides(run, newMeetings, run.index);
  for (const path of run.wanted?.missing() ?? []) {
    const advice = 'Check its spelling, upper and lower case too, and the filters.';
    run.fail(new CloudSyncError('NOT_FOUND', 'There is no such file or folder', { advice }), path);
  }
  checkSource(run, meetings);
  return meetings;
}

/** A source that turned out to have nothing is a fault somewhere else (a disk not mounted, another bucket). */
function checkSource(run: RunContext, meetings: Meetings): void {
  if (run.problems.any) return;
  if (!run.isPush && meetings.sourceObjects === 0) {
    throw new CloudSyncError('SOURCE_EMPTY', `There is no object under "${run.source.prefix || '/'}"`, {
      field: 'folder',
      advice: 'Check bucket and folder; an empty prefix is never taken for an empty source.',
    });
  }
  const { expectsFiles, createEmptySrcDirs } = run.settings;
  if (expectsFiles === true && meetings.sourceFiles === 0 && !createEmptySrcDirs) {
    throw new CloudSyncError('SOURCE_EMPTY', 'The filters leave no file of the source', {
      field: 'include',
      advice: 'Check include and exclude, here and in the task.',
    });
  }
  if (run.settings.transferMode === 'sync' && meetings.sourceFiles === 0 && meetings.destinationFiles > 0) {
    throw new CloudSyncError(
      'SOURCE_EMPTY',
      `The source has no files, the destination has ${meetings.destinationFiles}: nothing is deleted`,
      { advice: 'Check that the source is mounted and that the filters still take files.' },
    );
  }
}

/** Uploads of earlier runs that this one had no use for. */
async function removeLeftUploads(run: RunContext): Promise<void> {
  if (run.journal === undefined || run.settings.dryRun || run.signal.aborted) return;
  await removeUnanswered(run, run.journal);
  if (run.problems.any) return;
  for (const left of run.journal.unfinished) {
    try {
      await removeUpload(run.destination.store, left.state);
      run.journal.finished(left.state.key);
      run.log('cleanup', left.path, { message: 'Removed what an interrupted run had left' });
    } catch (error) {
      run.problems.warning(error, left.path);
    }
  }
}

/** So long may it take until a request to begin an upload, sent again and again, is carried out. ms. */
const ASKING_TAKES = 15 * 60_000;

/**
 * Uploads that the provider may have begun for a run that didn't live to read the answer. They are known by exactly the
 * key and about the time, since nobody knows their names; what other programs began at another time stays.
 */
async function removeUnanswered(run: RunContext, journal: UploadJournal): Promise<void> {
  const { store } = run.destination;
  for (const { key, path, times } of journal.unanswered) {
    try {
      const ours = JSON.stringify(journal.find(key)?.state.details ?? {});
      for await (const pending of store.pendingUploads(key, run.signal)) {
        const isNear = times.some((time) => Math.abs(pending.startedAt - time) <= ASKING_TAKES);
        const isOther = Object.values(pending.details).some((detail) =>
          ours.includes(JSON.stringify(detail)),
        );
        if (pending.key !== key || !isNear || isOther) continue;
        await store.abortUpload?.(pending, run.signal);
        run.log('cleanup', path, { message: 'Removed an upload that an interrupted run had begun' });
      }
      journal.answered(key);
    } catch (error) {
      run.problems.warning(error, path);
    }
  }
}
