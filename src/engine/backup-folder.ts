/**
 * Where a sync puts what it would replace or delete: a folder in the same store, with a dated subfolder per run, so that
 * nothing is ever destroyed. Older subfolders are removed when the task says so, never anything else.
 */

import { CloudSyncError } from '../errors.js';
import type { CopyOptions, StoredObject } from '../stores/store.js';
import { journaledCopy } from './journaled-copy.js';
import type { KeptFiles, RunContext } from './run-context.js';

const DATED = /^(\d{4})-(\d{2})-(\d{2})T(\d{2})-(\d{2})-(\d{2})Z$/;
const DAY_MS = 24 * 60 * 60 * 1_000;

/** Name of a run's subfolder; `time` in ms since the epoch. Example: `2026-03-01T04-30-00Z`. */
export function datedFolder(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19).replaceAll(':', '-')}Z`;
}

/** When the run of a dated subfolder was, ms since the epoch; undefined where the name isn't one of ours. */
export function timeOfDatedFolder(name: string): number | undefined {
  const match = DATED.exec(name);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second] = match.map(Number) as number[];
  const time = Date.UTC(year!, month! - 1, day, hour, minute, second);
  return datedFolder(time) === name ? time : undefined;
}

export class BackupFolder implements KeptFiles {
  private dated: Promise<string> | undefined;

  /** @param prefix the backup folder in the destination's store, ending in `/` */
  constructor(
    private readonly run: RunContext,
    private readonly prefix: string,
    private readonly keepDays: number | null,
  ) {}

  /** Throws NOT_SUPPORTED where the destination can neither rename nor copy. */
  check(): void {
    const { features } = this.run.destination.store;
    if (features.walks || features.serverSideCopy) return;
    throw new CloudSyncError(
      'NOT_SUPPORTED',
      'This provider can not copy on its side, so there is no backup folder',
      {
        field: 'backupFolder',
        advice: 'Leave the backup folder empty.',
      },
    );
  }

  /** Keeps a copy of `object`, which is about to be replaced; it stays in its place until then. */
  async keepReplaced(object: StoredObject): Promise<void> {
    const { run } = this;
    const { etag, key, size } = object;
    const kept = await this.keyFor(key);
    await this.copy(key, kept, { size, sourceIfMatch: etag });
    run.log('keep old', key.slice(run.destination.prefix.length), { message: kept });
  }

  /**
   * Keeps a file that is about to be deleted: on a file system by moving it away, so that no delete is left to do, else by
   * a copy. `standsAt` is where it is now, if that isn't its own key (set aside as an obstacle).
   */
  async keepDeleted(due: { key: string; etag?: string }, standsAt = due.key): Promise<void> {
    const { run } = this;
    const { store, prefix } = run.destination;
    const kept = await this.keyFor(due.key);
    if (store.features.walks) await store.rename(standsAt, kept, run.signal);
    else {
      // Setting it aside may have given it another ETag.
      const sourceIfMatch = standsAt === due.key ? due.etag : undefined;
      await this.copy(standsAt, kept, { sourceIfMatch });
    }
    run.log('keep old', due.key.slice(prefix.length), { message: kept });
  }

  private async copy(from: string, kept: string, options: CopyOptions): Promise<void> {
    const { run } = this;
    const path = from.slice(run.destination.prefix.length);
    await journaledCopy(run, { key: kept, path }, (onUploadBegins) =>
      run.destination.store.copy(from, kept, { ...options, signal: run.signal, onUploadBegins }),
    );
  }

  private async keyFor(key: string): Promise<string> {
    this.dated ??= this.newFolder().catch((error: unknown) => {
      this.dated = undefined;
      throw error;
    });
    return `${this.prefix}${await this.dated}/${key.slice(this.run.destination.prefix.length)}`;
  }

  /** Of this run alone: what one in the same second has kept is not overwritten. */
  private async newFolder(): Promise<string> {
    for (let time = this.run.startedAt; ; time += 1_000) {
      const folder = datedFolder(time);
      if (!(await this.isUsed(folder))) return folder;
    }
  }

  private async isUsed(folder: string): Promise<boolean> {
    const { signal, destination } = this.run;
    const pages = destination.store.list({ prefix: `${this.prefix}${folder}/`, signal });
    for await (const page of pages) if (page.length > 0) return true;
    return false;
  }

  /** Removes the subfolders of runs that lie too long back: only those whose names are exactly a date of ours. */
  async removeOld(now: number): Promise<void> {
    const { run, keepDays } = this;
    const { store } = run.destination;
    if (keepDays === null) return;
    const old: string[] = [];
    for await (const page of store.list({
      prefix: this.prefix,
      shallow: true,
      folders: true,
      signal: run.signal,
    })) {
      for (const { kind, key } of page) {
        const time = kind === 'folder' ? timeOfDatedFolder(key.slice(this.prefix.length)) : undefined;
        if (time !== undefined && time < now - keepDays * DAY_MS) old.push(key);
      }
    }
    for (const folder of old) await this.removeFolder(folder);
  }

  private async removeFolder(folder: string): Promise<void> {
    const { run } = this;
    const { store } = run.destination;
    const folders: string[] = [];
    for await (const page of store.list({ prefix: `${folder}/`, folders: true, signal: run.signal })) {
      folders.push(...page.filter(({ kind }) => kind === 'folder').map(({ key }) => key));
      const files = page.filter(({ kind }) => kind !== 'folder').map(({ key }) => ({ key }));
      for (const { error, key } of await store.deleteMany(files, run.signal)) {
        if (error !== undefined) run.problems.warning(error, key);
      }
    }
    for (const inner of folders.reverse()) await store.deleteFolder(inner, run.signal);
    await store.deleteFolder(folder, run.signal);
    run.log('delete', folder, { message: 'Backups of an old run' });
  }
}
