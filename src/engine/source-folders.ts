/** What becomes of folders: empty ones of the source are made where that is wanted, a sync removes those that went. */

import { hasCode } from '../errors.js';
import type { Deletions } from './deletions.js';
import { EmptyFolders } from './empty-folders.js';
import { keyOfPath } from './location.js';
import type { Meeting } from './march.js';
import type { RunContext } from './run-context.js';

export class SourceFolders {
  /** Undefined once they have waited. */
  private waiting: string[] | undefined = [];
  private readonly empty = new EmptyFolders((path) => this.make(path));

  constructor(
    private readonly run: RunContext,
    private readonly deletions: Deletions,
  ) {}

  /** The listing comes to a folder. `isHidden`: what lies there at the source can't be seen. */
  take(path: string, meeting: Meeting, isHidden: boolean): void {
    const { run, deletions } = this;
    const { createEmptySrcDirs, transferMode } = run.settings;
    const [source, destination, sourceHasContent] = run.isPush
      ? [meeting.local, meeting.remote, meeting.localHasContent]
      : [meeting.remote, meeting.local, meeting.remoteHasContent];
    if (source !== undefined) {
      run.wanted?.found(path);
      if (createEmptySrcDirs && destination === undefined) this.empty.enter(path, meeting.sortKey);
    } else if (!sourceHasContent && transferMode === 'sync' && !isHidden) {
      deletions.addFolder({ path, key: destination!.key });
    }
  }

  /** A file of the source lies here: no folder above it is empty. */
  fill(): void {
    this.empty.fill();
  }

  /** The listing goes on at `sortKey`, '' is its end: empty folders that it has left are made. Undefined: there are none. */
  passTo(sortKey: string): Promise<void> | undefined {
    return this.empty.passTo(sortKey);
  }

  /** Makes those in whose place a file stood: once the deletes are done. */
  async makeWaiting(): Promise<void> {
    const waiting = this.waiting ?? [];
    this.waiting = undefined;
    for (const path of waiting) await this.make(path);
  }

  private async make(path: string): Promise<void> {
    const { run } = this;
    run.log(run.settings.dryRun ? 'would make folder' : 'make folder', path);
    if (run.settings.dryRun) return;
    try {
      const key = keyOfPath(run.destination, path, 'folder');
      await run.destination.store.createFolder(key, undefined, run.signal);
    } catch (error) {
      // What stands there may be due for deletion.
      const canWait = hasCode(error, 'OBSTRUCTED') && run.settings.transferMode === 'sync';
      if (canWait && this.waiting !== undefined) this.waiting.push(path);
      else run.fail(error, path);
    }
  }
}
