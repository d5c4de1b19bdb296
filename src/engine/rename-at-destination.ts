/** A file that has another name at the source now: copied at the destination, by the provider, instead of being sent. */

import { CloudSyncError, throwIfAborted } from '../errors.js';
import type { Deletions } from './deletions.js';
import { journaledCopy } from './journaled-copy.js';
import { settleRenamed } from './outcome.js';
import { findUnlisted, planTransfer } from './planned-transfer.js';
import type { GoneFile, NewFile } from './renames.js';
import type { RunContext } from './run-context.js';

/** Only what an earlier run knew can be found again under another name; a move leaves nothing to be found. */
export function canRename(run: RunContext): boolean {
  const { transferMode } = run.settings;
  return (
    run.isPush &&
    transferMode !== 'move' &&
    run.destination.store.features.serverSideCopy &&
    run.index?.hasEntries === true
  );
}

/**
 * Copies `gone` to the new name of `file`; the delete of the old one then loses nothing. False where that can't be, so that
 * the file has to be sent.
 */
export async function renameAtDestination(
  run: RunContext,
  deletions: Deletions,
  file: NewFile,
  gone: GoneFile,
): Promise<boolean> {
  const { path, source } = file;
  const from = gone.object.key.slice(run.destination.prefix.length);
  if (run.settings.dryRun) {
    deletions.excuse(gone.object.key);
    run.log('would rename', path, { message: `from ${from}` });
    return true;
  }
  const job = planTransfer(run, { ...file, source: { ...source, size: 0 } }, undefined);
  try {
    const { key, etag, size } = gone.object;
    await run.lease?.confirm();
    if (run.backup !== undefined && (await findUnlisted(run, job)) !== undefined) {
      throw new CloudSyncError('ALREADY_EXISTS', 'There is a file of the new name');
    }
    const target = { key: job.destinationKey, path };
    const copied = await journaledCopy(run, target, (onUploadBegins) =>
      run.destination.store.copy(key, job.destinationKey, {
        size,
        sourceIfMatch: etag,
        signal: run.signal,
        onUploadBegins,
      }),
    );
    deletions.excuse(key);
    settleRenamed(run, { ...file, from }, copied, gone.known.md5);
    return true;
  } catch (error) {
    throwIfAborted(run.signal);
    run.files.total--;
    run.log('rename', path, { level: 'warning', message: `Is sent anew: ${(error as Error).message}` });
    return false;
  }
}
