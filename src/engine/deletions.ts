/** The deletes of a sync: collected while listing, carried out last, and only if nothing speaks against them. */

import { join } from 'node:path';
import { CloudSyncError } from '../errors.js';
import type { DeleteRequest, StoredObject } from '../stores/store.js';
import { describeDueList } from './due-list.js';
import { keyOfPath } from './location.js';
import type { KeptFiles, RunContext } from './run-context.js';
import { presentAtSource } from './source-presence.js';
import { SpooledList } from './spooled-list.js';

/** A file at the destination that the source doesn't have. */
export interface DueDelete {
  path: string;
  sortKey: string;
  key: string;
  etag?: string;
  size: number;
  storageClass?: string;
  storedTime?: number;
}

/** What the listing of both sides has told. */
export interface Listed {
  /** Files at the destination that the filters take. */
  destinationFiles: number;
}

export interface DueFolder {
  path: string;
  key: string;
}

const BATCH = 1_000;
/** Names that no mapping gives back: few, or the bucket isn't one of files. */
const MAX_SPARED = 10_000;
/** A share counts from so many files up. */
const SHARE_COUNTS_FROM = 20;
/** Questions at once. */
const ASKED_AT_ONCE = 32;

export class Deletions {
  private readonly due: SpooledList<DueDelete>;
  private readonly folders: DueFolder[] = [];
  /** Files that stand where a folder has to be, or in a folder where a file has to be: deleted with the obstacle. */
  private readonly settled = new Set<string>();
  /** A task whose files are among what is due. */
  private foreign: { prefix: string; task: string } | undefined;
  private readonly excused = new Set<string>();
  private readonly spared = new Set<string>();

  constructor(private readonly run: RunContext) {
    this.due = new SpooledList(join(run.settings.workFolder, `deletes-${process.pid}`));
  }

  /** Whether anything may have to be deleted. */
  get any(): boolean {
    return this.due.length > 0 || this.folders.length > 0;
  }

  add(path: string, sortKey: string, object: StoredObject): void {
    const relativeKey = object.key.slice(this.run.destination.prefix.length);
    this.foreign ??= this.run.settings.otherTasks?.find(({ prefix }) => relativeKey.startsWith(prefix));
    const { key, etag, size, storageClass, storedTime } = object;
    this.due.push({ path, sortKey, key, etag, size, storageClass, storedTime });
  }

  addFolder(folder: DueFolder): void {
    this.folders.push(folder);
  }

  /** Every file that is due, obstacles among them, a page at a time. */
  *pages(): Generator<DueDelete[]> {
    for (const page of this.due.pages(BATCH)) yield page.filter(({ key }) => !this.spared.has(key));
  }

  /**
   * A file at the destination that came from a source key which no name maps to: never to be deleted, though no source key
   * is its own. Throws INVALID_NAME where there are so many that the bucket isn't one of files.
   */
  spare(key: string): void {
    if (this.spared.size >= MAX_SPARED) {
      throw new CloudSyncError('INVALID_NAME', 'Too many keys that no file name maps to');
    }
    this.spared.add(key);
  }

  /** This one was renamed at the source: its delete loses nothing, so it doesn't count against the limit. */
  excuse(key: string): void {
    this.excused.add(key);
  }

  /** This one was deleted as an obstacle. */
  settle(key: string): void {
    this.settled.add(key);
  }

  dispose(): void {
    this.due.dispose();
    this.folders.length = 0;
    this.settled.clear();
    this.foreign = undefined;
    this.excused.clear();
    this.spared.clear();
  }

  /** Throws MAX_DELETE where more is due than the task allows; nothing was deleted then. */
  checkLimit(listed: Listed): void {
    const { maxDelete } = this.run.settings;
    const due = this.countDue();
    if (maxDelete === null || due === 0) return;
    const isShare = typeof maxDelete === 'string' && maxDelete.trim().endsWith('%');
    if (isShare && listed.destinationFiles < SHARE_COUNTS_FROM) return;
    const limit = isShare
      ? (Number.parseFloat(maxDelete) / 100) * listed.destinationFiles
      : Number(maxDelete);
    if (due <= limit) return;
    const pending = describeDueList(this.pendingPages());
    if (pending.hash === this.run.settings.allowedDeletes) return;
    this.run.pendingDeletes = pending;
    for (const page of this.pendingPages()) {
      for (const { path } of page) this.run.log('delete due', path, { level: 'warning' });
    }
    throw new CloudSyncError(
      'MAX_DELETE',
      `${due} of ${listed.destinationFiles} files would be deleted, more than ${maxDelete}: nothing was deleted`,
      {
        field: 'maxDelete',
        advice:
          'If that is right, allow it once in the Cloud Sync sidebar; if not, look at the source and the filters.',
      },
    );
  }

  private countDue(): number {
    if (this.spared.size === 0) return this.due.length - this.excused.size;
    let count = 0;
    for (const page of this.pendingPages()) count += page.length;
    return count;
  }

  /** What counts under the limit. */
  private *pendingPages(): Generator<DueDelete[]> {
    for (const page of this.pages()) yield page.filter(({ key }) => !this.excused.has(key));
  }

  /** Throws OTHER_TASK where what is due was put there by another task; nothing was deleted then. */
  private checkOwner(): void {
    if (this.foreign === undefined) return;
    const { prefix, task } = this.foreign;
    throw new CloudSyncError(
      'OTHER_TASK',
      `The task "${task}" keeps its files in ${prefix === '' ? 'the same folder' : `"${prefix}"`}: nothing was deleted`,
      {
        field: 'folder',
        advice: 'Give each task a folder of its own, or exclude the folder of the other one.',
      },
    );
  }

  async carryOut(listed: Listed): Promise<void> {
    const { run } = this;
    if (run.settings.transferMode !== 'sync' || (this.due.length === 0 && this.folders.length === 0)) return;
    if (run.problems.any) {
      run.log('delete', undefined, {
        level: 'warning',
        message: `Nothing is deleted, because not everything went well; ${this.due.length} files were due`,
      });
      return;
    }
    this.checkOwner();
    this.checkLimit(listed);
    run.host.phase('deleting');
    for (const page of this.pages()) {
      if (run.signal.aborted) return;
      const wanted = page.filter(({ key }) => !this.settled.has(key));
      await this.deletePage(await this.confirmAbsent(wanted));
    }
    if (!run.problems.any) await this.deleteFolders();
  }

  /** A page missing from a listing must not delete: the source is asked for each of them. */
  async confirmAbsent(page: DueDelete[]): Promise<DueDelete[]> {
    const { run } = this;
    const keys = page.map(({ path }) => keyOfPath(run.source, path, 'file'));
    const present = await presentAtSource(run, keys);
    return page.filter(({ path }, index) => {
      // A folder or a link of that name is no file: the file did go.
      const kind = present.get(keys[index]!)?.kind;
      if (kind === undefined || kind === 'folder' || kind === 'link') return true;
      const message = 'The source has it, although its listing did not show it: kept';
      run.problems.warning(new CloudSyncError('SOURCE_INCOMPLETE', message), path);
      return false;
    });
  }

  private async deletePage(page: DueDelete[]): Promise<void> {
    const { run } = this;
    if (page.length === 0) return;
    if (run.settings.dryRun) {
      run.counts.deleted += page.length;
      for (const due of page) {
        run.log('would delete', due.path);
        if (run.isPush) run.earlyDeletions.note(due);
      }
      return;
    }
    if (run.backup === undefined) await this.deleteForGood(page);
    else await this.moveToBackup(page, run.backup);
  }

  private async moveToBackup(page: DueDelete[], backup: KeptFiles): Promise<void> {
    const { run } = this;
    const kept: DueDelete[] = [];
    for (let at = 0; at < page.length; at += ASKED_AT_ONCE) {
      const some = page.slice(at, at + ASKED_AT_ONCE);
      const outcomes = await Promise.allSettled(some.map((due) => backup.keepDeleted(due)));
      for (const [index, outcome] of outcomes.entries()) {
        if (outcome.status === 'rejected') run.fail(outcome.reason, some[index]!.path);
        else kept.push(some[index]!);
      }
    }
    await this.deleteForGood(kept);
  }

  private async deleteForGood(page: DueDelete[]): Promise<void> {
    const { run } = this;
    const { conditionalDelete } = run.destination.store.features;
    const requests = page.map<DeleteRequest>(({ key, etag }) => ({
      key,
      ifMatch: conditionalDelete ? etag : undefined,
    }));
    await run.lease?.confirm();
    const outcomes = await run.destination.store.deleteMany(requests, run.signal);
    for (const [index, outcome] of outcomes.entries()) {
      const due = page[index]!;
      if (outcome.error !== undefined) run.fail(outcome.error, due.path);
      else {
        run.counts.deleted++;
        if (run.isPush) run.earlyDeletions.note(due);
        run.index?.forget(due.sortKey);
        run.log('delete', due.path);
      }
    }
  }

  /** Deepest first; one that isn't empty stays. */
  private async deleteFolders(): Promise<void> {
    const { run } = this;
    for (const folder of this.folders.reverse()) {
      if (run.signal.aborted) return;
      run.log(run.settings.dryRun ? 'would delete folder' : 'delete folder', folder.path);
      if (!run.settings.dryRun) await run.destination.store.deleteFolder(folder.key, run.signal);
    }
  }
}
