/** What becomes of each file once both sides and the index are known: left alone, transferred, or put up for deletion. */

import { CloudSyncError, hasCode, throwIfAborted } from '../errors.js';
import type { StoredObject } from '../stores/store.js';
import { CHANGING_RUNS } from './changing-files.js';
import { glance, localMd5, look, type Pair, type Verdict } from './comparison.js';
import type { Deletions } from './deletions.js';
import { EmptyFolders } from './empty-folders.js';
import { journaledCopy } from './journaled-copy.js';
import { keyOfPath, type Location, namedKind, pathOfKey } from './location.js';
import type { Meeting } from './march.js';
import { obstacleOf, obstructed } from './obstacles.js';
import {
  foretellSourceDelete,
  settleEqual,
  settleRenamed,
  settleTime,
  settleTransferred,
} from './outcome.js';
import { type GoneFile, type NewFile, Renames } from './renames.js';
import type { RunContext } from './run-context.js';
import { presentAtSource } from './source-presence.js';
import { Thawing } from './thawing.js';
import { type TransferJob, type Transferred, transferFile } from './transfer.js';
import { WorkLane } from './work-lane.js';

/** Large files in flight at once, besides the small ones. */
const LARGE_AT_ONCE = 4;
/** Files that may wait for their turn. */
const WAITING = 256;

export class Meetings {
  /** Files at the destination that the filters take. */
  destinationFiles = 0;
  /** Files at the source that the filters take. */
  sourceFiles = 0;
  /** Objects at the source, whatever the filters say. */
  sourceObjects = 0;
  /** Transfers that a file in place of a folder, or the reverse, stands in the way of. */
  readonly obstructed: TransferJob[] = [];
  /** Paths of what the source can't show: links that lead nowhere now, special files. */
  private readonly hidden = new Set<string>();
  /** Keys that take part in a collision. */
  private readonly collided = new Set<string>();
  /** Undefined once they have waited. */
  private waitingFolders: string[] | undefined = [];
  private readonly emptyFolders: EmptyFolders;
  private readonly renames: Renames | undefined;
  private readonly thawing: Thawing | undefined;
  private readonly small: WorkLane;
  private readonly large: WorkLane;

  constructor(
    private readonly run: RunContext,
    private readonly deletions: Deletions,
  ) {
    const { maximum } = run.gate;
    const { thaw } = run.settings;
    this.thawing = thaw === undefined ? undefined : new Thawing(run, thaw);
    this.renames = canRename(run) ? new Renames(run) : undefined;
    this.emptyFolders = new EmptyFolders((path) => this.makeFolder(path));
    this.small = new WorkLane(maximum, WAITING);
    this.large = new WorkLane(Math.min(LARGE_AT_ONCE, maximum), WAITING);
  }

  /** No more keys will come. */
  async finish(): Promise<void> {
    await this.emptyFolders.passTo('');
    if (this.renames === undefined) return;
    for (const file of this.renames.files()) {
      throwIfAborted(this.run.signal);
      await this.small.add(() => this.guarded(file.path, () => this.renameOrTransfer(file, this.renames!)));
    }
  }

  /** Archived objects: waited for when everything else is through. */
  async transferFrozen(): Promise<void> {
    await this.thawing?.transferAll(({ path, sortKey, source, destination }) =>
      this.addTransfer(path, sortKey, source, destination),
    );
    await this.drain();
  }

  private async takeArchived(
    path: string,
    meeting: Meeting,
    source: StoredObject,
    destination: StoredObject | undefined,
  ): Promise<void> {
    const { run } = this;
    const { sortKey } = meeting;
    if (destination !== undefined) {
      // What is there already and equal needs no thawing.
      const verdict = await look(run, { ...meeting, local: destination, remote: source });
      if (verdict.kind !== 'different') return;
    }
    if (this.thawing !== undefined) {
      this.thawing.add({ path, sortKey, source, destination });
      return;
    }
    // Most servers' listings tell the class and not whether somebody had the object brought back.
    const versionId = run.settings.asOf === undefined ? undefined : source.versionId;
    const now = await run.remote.store.head(source.key, { versionId, signal: run.signal });
    if (now === undefined || now.archive === 'frozen' || now.archive === 'thawing') {
      throw new CloudSyncError('ARCHIVED', 'The object is in an archive class and can not be read now', {
        advice: 'Ask the provider to restore it first (thaw).',
      });
    }
    if (!(await this.isSafeName(path, source))) return;
    const ready = { ...now, orderKey: source.orderKey };
    await this.startTransfer(this.planTransfer(path, sortKey, ready, destination));
  }

  private async renameOrTransfer(file: NewFile, renames: Renames): Promise<void> {
    const { run } = this;
    const { path, sortKey, source } = file;
    const gone = await renames.match(source, () => localMd5(run, source));
    if (gone !== undefined && (await this.rename(file, gone))) return;
    await this.startTransfer(this.planTransfer(path, sortKey, source, undefined));
  }

  /** Copies at the destination what was renamed at the source; false where that can't be, so that it has to be sent. */
  private async rename(file: NewFile, gone: GoneFile): Promise<boolean> {
    const { run, deletions } = this;
    const { path, sortKey, source } = file;
    const from = gone.object.key.slice(run.destination.prefix.length);
    if (run.settings.dryRun) {
      deletions.excuse(gone.object.key);
      run.log('would rename', path, { message: `from ${from}` });
      return true;
    }
    try {
      const job = this.planTransfer(path, sortKey, { ...source, size: 0 }, undefined);
      const { key, etag, size } = gone.object;
      await run.lease?.confirm();
      if (run.backup !== undefined && (await this.unlisted(job)) !== undefined) {
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
      settleRenamed(run, { path, sortKey, source, from }, copied, gone.known.md5);
      return true;
    } catch (error) {
      throwIfAborted(run.signal);
      run.files.total--;
      run.log('rename', path, { level: 'warning', message: `Is sent anew: ${(error as Error).message}` });
      return false;
    }
  }

  async drain(): Promise<void> {
    // In this order: a look in the small lane may find a large file to transfer.
    await this.small.drain();
    await this.large.drain();
  }

  /** Decides on one key; returns when there is room for the next. */
  async take(meeting: Meeting): Promise<void> {
    const { run } = this;
    const source = run.isPush ? meeting.local : meeting.remote;
    const destination = run.isPush ? meeting.remote : meeting.local;
    if (run.settings.leaveOut.some((prefix) => meeting.sortKey.startsWith(prefix))) return;
    if (source !== undefined) this.sourceObjects++;
    if (source === undefined && destination === undefined) {
      if (!run.settings.dryRun) run.index?.forget(meeting.sortKey);
      return;
    }
    if (meeting.collision !== undefined && meeting.collision.length > 0) {
      this.refuseCollision([meeting.local, meeting.remote, ...meeting.collision], source, meeting.collision);
      return;
    }
    if (meeting.local?.kind === 'link' || meeting.remote?.kind === 'link') {
      await this.takeLink(meeting);
      return;
    }
    if (this.isUnusable(meeting.local, run.local)) {
      this.noteUnusable(meeting.local!, meeting.remote);
      return;
    }
    if (this.isUnusable(meeting.remote, run.remote)) return;
    if (this.isCollided(meeting.remote)) return;
    await this.emptyFolders.passTo(meeting.sortKey);
    const path = await this.pathOf(meeting);
    if (path === undefined) return;
    const isFolder = meeting.sortKey.endsWith('/');
    if (!this.isWanted(path, isFolder)) return;
    if (isFolder) this.takeFolder(path, meeting);
    else await this.takeFile(path, meeting, source, destination);
  }

  private isWanted(path: string, isFolder: boolean): boolean {
    const { wanted } = this.run;
    const { filter } = this.run.settings;
    if (!(isFolder ? filter.entersFolder(path) : filter.includesFile(path))) return false;
    return wanted === undefined || wanted.includes(path);
  }

  /**
   * Special files are left out and named, unless the filters leave them out; an unreadable file or folder means that the
   * side isn't known whole.
   */
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
    return path === undefined || this.isWanted(path, object.kind === 'folder');
  }

  private nameOf({ key, kind }: StoredObject, location: Location): string | undefined {
    try {
      return pathOfKey(location, key.slice(location.prefix.length), namedKind(kind));
    } catch {
      return undefined;
    }
  }

  /** Below a link that leads nowhere now: what the link led to is unknown, not missing. */
  private isHidden(path: string): boolean {
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
  private async takeLink(meeting: Meeting): Promise<void> {
    const { problems, counts, isPush } = this.run;
    const link = meeting.local?.kind === 'link' ? meeting.local : meeting.remote!;
    const isAtSource = (link === meeting.local) === isPush;
    if (isAtSource && this.isNameWanted(link, isPush ? this.run.local : this.run.remote)) {
      counts.skipped++;
      problems.warning(
        new CloudSyncError('SPECIAL_FILE', 'A symbolic link: left out', {
          advice: 'Tick "follow symbolic links" to take what it leads to.',
        }),
        link.key,
      );
    }
    const rest: Meeting =
      link === meeting.local ? { ...meeting, local: undefined } : { ...meeting, remote: undefined };
    if (rest.local !== undefined || rest.remote !== undefined) await this.take(rest);
  }

  /**
   * A key with an empty name in it (`a//b`) is no path; where there is also the key that it would be without that name
   * (`a/b`), nobody can tell which of them is meant by that path, and neither is transferred.
   */
  private async collidesCollapsed(key: string, relative: string): Promise<boolean> {
    const { run } = this;
    const usualKey = run.remote.prefix + relative.replace(/\/{2,}/g, '/').replace(/^\//, '');
    if (usualKey === key || usualKey === run.remote.prefix) return false;
    if (!this.collided.has(usualKey)) {
      const present = await presentAtSource(run, [usualKey]);
      if (!present.has(usualKey)) return false;
      this.collided.add(usualKey);
      this.failCollision(usualKey, [key, usualKey]);
    }
    this.failCollision(key, [key, usualKey]);
    return true;
  }

  private failCollision(key: string, names: string[]): void {
    this.run.fail(
      new CloudSyncError('COLLISION', `Several names are one at the other side: ${names.join(', ')}`, {
        advice: 'Rename all but one of them.',
      }),
      key,
    );
  }

  private async pathOf(meeting: Meeting): Promise<string | undefined> {
    const { local, remote, settings, isPush, problems, counts } = this.run;
    if (meeting.local !== undefined) {
      const { key, kind } = meeting.local;
      return pathOfKey(local, key.slice(local.prefix.length), namedKind(kind));
    }
    const object = meeting.remote!;
    const kind = object.kind === 'folder' ? 'folder' : 'file';
    const relative = object.key.slice(remote.prefix.length);
    try {
      return pathOfKey(remote, relative, kind);
    } catch (error) {
      counts.skipped++;
      // At the destination it is another program's; in an encrypted source it may be too.
      if (isPush || settings.namesEncrypted) problems.warning(error, relative);
      else if (!(await this.collidesCollapsed(object.key, relative))) problems.error(error, relative);
      return undefined;
    }
  }

  private refuseCollision(
    objects: (StoredObject | undefined)[],
    source: StoredObject | undefined,
    extra: StoredObject[],
  ): void {
    const names = objects.filter((object) => object !== undefined).map((object) => object.key);
    for (const { key } of source === undefined ? extra : [source, ...extra]) this.failCollision(key, names);
  }

  private takeFolder(path: string, meeting: Meeting): void {
    const { run, deletions } = this;
    const { createEmptySrcDirs, transferMode } = run.settings;
    const [source, destination, sourceHasContent] = run.isPush
      ? [meeting.local, meeting.remote, meeting.localHasContent]
      : [meeting.remote, meeting.local, meeting.remoteHasContent];
    if (source !== undefined) {
      run.wanted?.found(path);
      if (createEmptySrcDirs && destination === undefined) this.emptyFolders.enter(path, meeting.sortKey);
    } else if (!sourceHasContent && transferMode === 'sync' && !this.isHidden(path)) {
      deletions.addFolder({ path, key: destination!.key });
    }
  }

  private async makeFolder(path: string): Promise<void> {
    const { run } = this;
    run.log(run.settings.dryRun ? 'would make folder' : 'make folder', path);
    if (run.settings.dryRun) return;
    try {
      const key = keyOfPath(run.destination, path, 'folder');
      await run.destination.store.createFolder(key, undefined, run.signal);
    } catch (error) {
      // What stands there may be due for deletion.
      const canWait = hasCode(error, 'OBSTRUCTED') && run.settings.transferMode === 'sync';
      if (canWait && this.waitingFolders !== undefined) this.waitingFolders.push(path);
      else run.fail(error, path);
    }
  }

  /** Folders in whose place a file stood: once the deletes are done. */
  async makeWaitingFolders(): Promise<void> {
    const waiting = this.waitingFolders ?? [];
    this.waitingFolders = undefined;
    for (const path of waiting) await this.makeFolder(path);
  }

  private async takeFile(
    path: string,
    meeting: Meeting,
    source: StoredObject | undefined,
    destination: StoredObject | undefined,
  ): Promise<void> {
    const { run } = this;
    if (source !== undefined) {
      run.wanted?.found(path);
      this.sourceFiles++;
      this.emptyFolders.fill();
    }
    if (destination !== undefined) this.destinationFiles++;
    if (source === undefined) {
      if (this.isHidden(path)) return;
      if (meeting.known !== undefined) this.renames?.offer(meeting.known, destination!);
      if (run.settings.transferMode === 'sync') this.deletions.add(path, meeting.sortKey, destination!);
      return;
    }
    run.counts.checked++;
    const isArchived = !run.isPush && (source.archive === 'frozen' || source.archive === 'thawing');
    if (isArchived && !run.settings.dryRun) {
      const take = () => this.takeArchived(path, meeting, source, destination);
      await this.small.add(() => this.guarded(path, take));
      return;
    }
    if (destination === undefined) {
      if (this.renames !== undefined && source.size > 0) {
        this.renames.wait({ path, sortKey: meeting.sortKey, source });
      } else await this.addTransfer(path, meeting.sortKey, source, undefined);
    } else await this.takePair(path, { ...meeting, local: meeting.local!, remote: meeting.remote! });
  }

  private async takePair(path: string, pair: Pair): Promise<void> {
    const { run } = this;
    const [source, destination] = run.isPush ? [pair.local, pair.remote] : [pair.remote, pair.local];
    const atGlance = glance(run, pair);
    if (atGlance === 'equal') {
      run.unchanged++;
      return;
    }
    if (atGlance === 'different') {
      await this.addTransfer(path, pair.sortKey, source, destination);
      return;
    }
    await this.small.add(() => this.guarded(path, () => this.lookAtPair(path, pair, source, destination)));
  }

  private async lookAtPair(
    path: string,
    pair: Pair,
    source: StoredObject,
    destination: StoredObject,
  ): Promise<void> {
    const { run } = this;
    const verdict = await this.verdictOf(pair);
    if (verdict.kind === 'equal') await settleEqual(run, path, pair.sortKey, verdict);
    else if (verdict.kind === 'time-differs') await settleTime(run, path, pair.sortKey, verdict);
    else {
      const job = this.planTransfer(path, pair.sortKey, source, destination);
      await this.startTransfer(job);
    }
  }

  /** A source that changes while it is compared is another file than its copy: it is sent, or found to be in use. */
  private async verdictOf(pair: Pair): Promise<Verdict> {
    try {
      return await look(this.run, pair);
    } catch (error) {
      if (!this.run.isPush || !hasCode(error, 'CHANGED')) throw error;
      return { kind: 'different' };
    }
  }

  /** At once, in the place its caller holds; a large one has to wait in its own line. */
  private async startTransfer(job: TransferJob): Promise<void> {
    if (this.isLarge(job)) void this.large.add(() => this.guarded(job.path, () => this.transfer(job)));
    else await this.transfer(job);
  }

  private isLarge(job: TransferJob): boolean {
    return job.source.size >= this.run.destination.store.features.upload.threshold;
  }

  private planTransfer(
    path: string,
    sortKey: string,
    source: StoredObject,
    present: StoredObject | undefined,
  ): TransferJob {
    const { run } = this;
    const destinationKey = run.isPush
      ? run.remote.prefix + (source.orderKey ?? source.key)
      : keyOfPath(run.local, path, 'file');
    run.files.total++;
    run.bytes.total += source.size;
    return { path, sortKey, source, destinationKey: present?.key ?? destinationKey, present };
  }

  private async addTransfer(
    path: string,
    sortKey: string,
    source: StoredObject,
    present: StoredObject | undefined,
  ): Promise<void> {
    let job: TransferJob;
    try {
      if (!this.run.isPush && !(await this.isSafeName(path, source))) return;
      job = this.planTransfer(path, sortKey, source, present);
    } catch (error) {
      // A name that the destination can't hold is the fault of this file alone.
      if (!hasCode(error, 'NAME_TOO_LONG', 'INVALID_NAME')) throw error;
      this.run.fail(error, path);
      return;
    }
    const lane = this.isLarge(job) ? this.large : this.small;
    await lane.add(() => this.guarded(path, () => this.transfer(job)));
  }

  /** Another key that becomes the same name was met before; both are reported by now. */
  private isCollided(remote: StoredObject | undefined): boolean {
    return !this.run.isPush && remote !== undefined && this.collided.has(remote.key);
  }

  /**
   * A key that no name maps to (`../x`, which arrives as `．．/x`) could meet the file of another key. If there is one,
   * neither is transferred.
   */
  private async isSafeName(path: string, source: StoredObject): Promise<boolean> {
    const { run } = this;
    const usualKey = keyOfPath(run.remote, path, 'file');
    if (usualKey === source.key) return true;
    const present = await presentAtSource(run, [usualKey, source.key]);
    if (present.has(usualKey)) {
      this.collided.add(usualKey);
      for (const key of [source.key, usualKey]) {
        run.fail(
          new CloudSyncError('COLLISION', `"${source.key}" and "${usualKey}" would both become "${path}"`, {
            advice: 'Rename one of them in the bucket.',
          }),
          key,
        );
      }
      return false;
    }
    const localKey = keyOfPath(run.local, path, 'file');
    this.deletions.spare(localKey);
    const local = await run.local.store.head(localKey, { signal: run.signal });
    const remote = present.get(source.key);
    if (local?.kind !== 'file' || remote === undefined) return true;
    return (await look(run, { sortKey: source.key, local, remote })).kind !== 'equal';
  }

  private async transfer(job: TransferJob): Promise<void> {
    const { run } = this;
    if (run.settings.dryRun) {
      await this.foretell(job);
      return;
    }
    run.beginTransferring();
    try {
      const transferred = await this.sendKeeping(job);
      await settleTransferred(run, job, transferred);
    } catch (error) {
      if (hasCode(error, 'OBSTRUCTED') && run.settings.transferMode === 'sync') {
        this.obstructed.push(job);
        return;
      }
      if (hasCode(error, 'CHANGING') && this.isStillInUse(error, job)) return;
      const isOfNow = run.settings.asOf === undefined;
      if (isOfNow && hasCode(error, 'NOT_FOUND') && (await this.isGone(job.source.key))) {
        this.leaveOut(job);
        run.problems.warning(
          new CloudSyncError('NOT_FOUND', 'Was removed at the source while the run went on', {
            cause: error,
          }),
          job.path,
        );
        return;
      }
      throw error;
    }
  }

  /** What a dry run says of a transfer. */
  private async foretell(job: TransferJob): Promise<void> {
    const { run } = this;
    const { store } = run.destination;
    if (store.features.folders === 'real') {
      if ((await obstacleOf(store, job.destinationKey)) !== undefined) {
        if (run.settings.transferMode !== 'sync') throw obstructed(job);
        this.obstructed.push(job);
        return;
      }
    }
    run.counts.transferred.files++;
    run.counts.transferred.bytes += job.source.size;
    const message = job.present === undefined ? undefined : 'overwrites what is there';
    run.log('would transfer', job.path, { bytes: job.source.size, message });
    if (run.settings.transferMode === 'move') foretellSourceDelete(run, job.path);
    if (job.present === undefined) return;
    run.counts.overwrites++;
    if (run.isPush) run.earlyDeletions.note(job.present);
    else this.previewOwner(job.present);
  }

  /** A file of somebody else that is replaced keeps its owner only if root replaces it. */
  private previewOwner({ key, identity }: StoredObject): void {
    const user = process.geteuid?.() ?? 0;
    if (identity === undefined || user === 0 || identity.uid === user) return;
    this.run.owners?.note({ key, uid: identity.uid, gid: identity.gid });
  }

  /** Where there is a backup folder, nothing is replaced unkept, not even what a listing failed to show. */
  private async sendKeeping(job: TransferJob): Promise<Transferred> {
    const { run } = this;
    const { backup } = run;
    if (backup === undefined) return transferFile(run, job);
    const isConditional = run.destination.store.features.conditionalWrite;
    const present = job.present ?? (isConditional ? undefined : await this.unlisted(job));
    try {
      if (present !== undefined) await backup.keepReplaced(present);
      return await transferFile(run, { ...job, present });
    } catch (error) {
      if (present !== undefined || !hasCode(error, 'PRECONDITION_FAILED')) throw error;
      const unlisted = await this.unlisted(job);
      if (unlisted === undefined) throw error;
      await backup.keepReplaced(unlisted);
      return transferFile(run, { ...job, present: unlisted });
    }
  }

  /** The file that is at the destination although its listing didn't show one. */
  private async unlisted(job: TransferJob): Promise<StoredObject | undefined> {
    const { run } = this;
    const found = await run.destination.store.head(job.destinationKey, { signal: run.signal });
    return found?.kind === 'file' ? found : undefined;
  }

  /** A file that another program writes is left for the next run, unless it has been so for many. */
  private isStillInUse(error: CloudSyncError, job: TransferJob): boolean {
    const { run } = this;
    const runs = run.changing?.note(job.path) ?? 0;
    if (runs >= CHANGING_RUNS) return false;
    this.leaveOut(job);
    run.problems.warning(error, job.path);
    return true;
  }

  private leaveOut(job: TransferJob): void {
    const { run } = this;
    run.counts.skipped++;
    run.files.total--;
    run.bytes.total -= job.source.size;
  }

  private async isGone(key: string): Promise<boolean> {
    return (await this.run.source.store.head(key, { signal: this.run.signal })) === undefined;
  }

  /** Runs one file's work in its turn; what goes wrong is taken note of. */
  private async guarded(path: string, work: () => Promise<void>): Promise<void> {
    const { run } = this;
    if (run.signal.aborted) return;
    await run.gate.enter();
    let failure: unknown;
    try {
      if (!run.signal.aborted) await work();
    } catch (error) {
      failure = error;
      run.fail(error, path);
    } finally {
      run.gate.leave(failure);
    }
  }
}

/** Only what an earlier run knew can be found again under another name; a move leaves nothing to be found. */
function canRename(run: RunContext): boolean {
  const { transferMode } = run.settings;
  return (
    run.isPush &&
    transferMode !== 'move' &&
    run.destination.store.features.serverSideCopy &&
    run.index?.hasEntries === true
  );
}
