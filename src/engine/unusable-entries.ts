/**
 * What a listing shows and a run can't take: links that aren't followed, special files, what can't be read. Each is named
 * unless the filters leave it out; one that means that a side isn't known whole is an error.
 */

import { CloudSyncError, hasCode } from '../errors.js';
import type { StoredObject } from '../stores/store.js';
import { type Location, namedKind, pathOfKey } from './location.js';
import type { Meeting } from './march.js';
import type { RunContext } from './run-context.js';
import { isWanted } from './walk.js';

export class UnusableEntries {
  /** Paths of what the source can't show: links that lead nowhere now, special files. */
  private readonly hidden = new Set<string>();

  constructor(private readonly run: RunContext) {}

  /** What of a meeting can be taken; undefined where it is nothing. */
  usable(meeting: Meeting): Meeting | undefined {
    const { run } = this;
    const rest = this.withoutLinks(meeting);
    if (rest.local === undefined && rest.remote === undefined) return undefined;
    if (this.isUnusable(rest.local, run.local)) {
      this.noteUnusable(rest.local!, rest.remote);
      return undefined;
    }
    return this.isUnusable(rest.remote, run.remote) ? undefined : rest;
  }

  /** Below a link that leads nowhere now: what the link led to is unknown, not missing. */
  isHidden(path: string): boolean {
    if (this.hidden.size === 0) return false;
    let above = path;
    for (;;) {
      if (this.hidden.has(above)) return true;
      const slash = above.lastIndexOf('/');
      if (slash < 0) return false;
      above = above.slice(0, slash);
    }
  }

  /** A link that isn't followed is left out, as if it were not there; as rclone does. */
  private withoutLinks(meeting: Meeting): Meeting {
    const rest = { ...meeting };
    for (const side of ['local', 'remote'] as const) {
      const object = meeting[side];
      if (object?.kind !== 'link') continue;
      if (this.run[side] === this.run.source) this.noteLink(object);
      rest[side] = undefined;
    }
    return rest;
  }

  private noteLink(link: StoredObject): void {
    const { problems, counts, source } = this.run;
    if (!this.isNameWanted(link, source)) return;
    counts.skipped++;
    problems.warning(
      new CloudSyncError('SPECIAL_FILE', 'A symbolic link: left out', {
        advice: 'Tick "follow symbolic links" to take what it leads to.',
      }),
      link.key,
    );
  }

  private isUnusable(object: StoredObject | undefined, location: Location): boolean {
    if (object === undefined) return false;
    const isUsable = object.problem === undefined && object.kind !== 'special' && object.unreadable !== true;
    if (isUsable) return false;
    if (!this.isNameWanted(object, location)) return true;
    const { problems, counts } = this.run;
    // A file that the other side has no name for is a file without a copy; one that can't be looked at isn't known.
    const isKnown = object.problem === undefined || hasCode(object.problem, 'SPECIAL_FILE');
    if ((object.kind === 'special' && isKnown) || object.unreadable === true) {
      counts.skipped++;
      problems.warning(
        object.problem ?? new CloudSyncError('SPECIAL_FILE', 'Not a file that can be read: left out'),
        object.key,
      );
      return true;
    }
    problems.error(object.problem, object.key);
    return true;
  }

  private noteUnusable(local: StoredObject, remote: StoredObject | undefined): void {
    const { run } = this;
    if (local.kind !== 'special' || !this.isNameWanted(local, run.local)) return;
    if (run.isPush) this.hidden.add(this.nameOf(local, run.local) ?? local.key);
    else if (remote !== undefined) {
      const error = new CloudSyncError('OBSTRUCTED', 'Something that is no file stands in its place', {
        advice: 'Move it away, or restore into another folder.',
        cause: local.problem,
      });
      run.fail(error, local.key);
    }
  }

  /** Whether the filters take what can't be used; where its name tells no path, they can't leave it out. */
  private isNameWanted(object: StoredObject, location: Location): boolean {
    const path = this.nameOf(object, location);
    return path === undefined || isWanted(this.run, path, object.kind === 'folder' ? 'folder' : 'file');
  }

  private nameOf({ key, kind }: StoredObject, location: Location): string | undefined {
    try {
      return pathOfKey(location, key.slice(location.prefix.length), namedKind(kind));
    } catch {
      return undefined;
    }
  }
}
