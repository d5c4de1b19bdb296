/** What becomes of each file once both sides and the index are known: left alone, transferred, or put up for deletion. */

import { CloudSyncError, hasCode, throwIfAborted } from '../errors.js';
import type { StoredObject } from '../stores/store.js';
import { Collisions, type OddlyNamed } from './collisions.js';
import { glance, localMd5, look, type Pair, type Verdict } from './comparison.js';
import type { Deletions } from './deletions.js';
import { FileLanes } from './file-lanes.js';
import { HeldBack } from './held-back.js';
import { keyOfPath } from './location.js';
import type { Meeting } from './march.js';
import { settleEqual, settleTime } from './outcome.js';
import { carryOut, planTransfer } from './planned-transfer.js';
import { canRename, renameAtDestination } from './rename-at-destination.js';
import { type NewFile, Renames } from './renames.js';
import type { RunContext } from './run-context.js';
import { SourceFolders } from './source-folders.js';
import { Thawing } from './thawing.js';
import type { TransferJob } from './transfer.js';
import { UnusableEntries } from './unusable-entries.js';
import { isWanted, pathOfMeeting, type Walker } from './walk.js';

export class Meetings implements Walker {
  /** Files at the destination that the filters take. */
  destinationFiles = 0;
  /** Files at the source that the filters take. */
  sourceFiles = 0;
  /** Objects at the source, whatever the filters say. */
  sourceObjects = 0;
  /** Transfers that a file in place of a folder, or the reverse, stands in the way of. */
  readonly obstructed: TransferJob[] = [];
  private readonly lanes: FileLanes;
  private readonly folders: SourceFolders;
  private readonly unusable: UnusableEntries;
  private readonly collisions: Collisions;
  private readonly heldBack = new HeldBack();
  private readonly renames: Renames | undefined;
  private readonly thawing: Thawing | undefined;

  constructor(
    private readonly run: RunContext,
    private readonly deletions: Deletions,
  ) {
    const { thaw } = run.settings;
    this.lanes = new FileLanes(run);
    this.folders = new SourceFolders(run, deletions);
    this.unusable = new UnusableEntries(run);
    this.collisions = new Collisions(run);
    this.renames = canRename(run) ? new Renames(run) : undefined;
    this.thawing = thaw === undefined ? undefined : new Thawing(run, thaw);
  }

  /** Decides on one key. Undefined: there is room for the next; otherwise there will be. */
  take(meeting: Meeting): Promise<void> | undefined {
    const { run } = this;
    if ((run.isPush ? meeting.local : meeting.remote) !== undefined) this.sourceObjects++;
    if (meeting.local === undefined && meeting.remote === undefined) {
      if (!run.settings.dryRun) run.index?.forget(meeting.sortKey);
      return undefined;
    }
    if (meeting.collision !== undefined && meeting.collision.length > 0) {
      this.collisions.refuseFolded(meeting);
      return undefined;
    }
    const usable = this.unusable.usable(meeting);
    if (usable === undefined || this.collisions.has(usable.remote)) return undefined;
    const passing = this.folders.passTo(usable.sortKey);
    return passing === undefined ? this.takeUsable(usable) : passing.then(() => this.takeUsable(usable));
  }

  private takeUsable(meeting: Meeting): Promise<void> | undefined {
    let path: string;
    try {
      path = pathOfMeeting(this.run, meeting);
    } catch (error) {
      return this.noteNameless(meeting, error);
    }
    const kind = meeting.sortKey.endsWith('/') ? 'folder' : 'file';
    if (!isWanted(this.run, path, kind)) return undefined;
    if (kind === 'file') return this.takeFile(path, meeting);
    this.folders.take(path, meeting, this.unusable.isHidden(path));
    return undefined;
  }

  /** No more keys will come. */
  async finish(): Promise<void> {
    await this.heldBack.finish();
    await this.folders.passTo('');
    if (this.deletions.any) await this.run.holdLease();
    await this.takeNewFiles();
  }

  async drain(): Promise<void> {
    await this.lanes.drain();
  }

  /** Archived objects: waited for when everything else is through. */
  async transferFrozen(): Promise<void> {
    await this.thawing?.transferAll(async ({ destination, ...file }) => this.addTransfer(file, destination));
    await this.drain();
  }

  /** Folders in whose place a file stood: once the deletes are done. */
  async makeWaitingFolders(): Promise<void> {
    await this.folders.makeWaiting();
  }

  /** Reports a remote key that stands for no path, which is what `error` says. */
  private async noteNameless({ local, remote }: Meeting, error: unknown): Promise<void> {
    const { settings, isPush, problems, counts } = this.run;
    if (local !== undefined) throw error;
    const { key } = remote!;
    const relative = key.slice(this.run.remote.prefix.length);
    counts.skipped++;
    // At the destination it is another program's; in an encrypted source it may be too.
    if (isPush || settings.namesEncrypted) problems.warning(error, relative);
    else if (!(await this.collisions.collapses(key))) problems.error(error, relative);
  }

  private takeFile(path: string, meeting: Meeting): Promise<void> | undefined {
    const { run } = this;
    const [source, destination] = run.isPush
      ? [meeting.local, meeting.remote]
      : [meeting.remote, meeting.local];
    if (destination !== undefined) this.destinationFiles++;
    if (source === undefined) {
      this.takeGone(path, meeting, destination!);
      return undefined;
    }
    run.wanted?.found(path);
    this.sourceFiles++;
    this.folders.fill();
    const file = { path, sortKey: meeting.sortKey, source };
    if (run.isPush) return this.takeSource(file, meeting, destination);
    return this.heldBack.add(meeting.sortKey, () =>
      this.collisions.has(source) ? undefined : this.takeSource(file, meeting, destination),
    );
  }

  /** A file that only the destination has. */
  private takeGone(path: string, meeting: Meeting, destination: StoredObject): void {
    if (this.unusable.isHidden(path)) return;
    if (meeting.known !== undefined) this.renames?.offer(meeting.known, destination);
    if (this.run.settings.transferMode === 'sync') this.deletions.add(path, meeting.sortKey, destination);
  }

  private takeSource(
    file: NewFile,
    meeting: Meeting,
    destination: StoredObject | undefined,
  ): Promise<void> | undefined {
    const { run } = this;
    const { path, source } = file;
    run.counts.checked++;
    const isArchived = !run.isPush && (source.archive === 'frozen' || source.archive === 'thawing');
    if (isArchived && !run.settings.dryRun) {
      return this.lanes.add(path, () => this.takeArchived(file, meeting, destination));
    }
    if (destination !== undefined) {
      return this.takePair(file, { ...meeting, local: meeting.local!, remote: meeting.remote! }, destination);
    }
    if (this.renames === undefined || source.size === 0) return this.addTransfer(file, undefined);
    this.renames.wait(file);
    return undefined;
  }

  private takePair(file: NewFile, pair: Pair, destination: StoredObject): Promise<void> | undefined {
    const atGlance = glance(this.run, pair);
    if (atGlance === 'different') return this.addTransfer(file, destination);
    if (atGlance !== 'equal')
      return this.lanes.add(file.path, () => this.lookAtPair(file, pair, destination));
    this.run.unchanged++;
    return undefined;
  }

  private async lookAtPair(file: NewFile, pair: Pair, destination: StoredObject): Promise<void> {
    const { run } = this;
    const { path, sortKey } = file;
    const verdict = await this.verdictOf(pair);
    if (verdict.kind === 'equal') await settleEqual(run, path, sortKey, verdict);
    else if (verdict.kind === 'time-differs') await settleTime(run, path, sortKey, verdict);
    else await this.startTransfer(planTransfer(run, file, destination));
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

  private async takeArchived(
    file: NewFile,
    meeting: Meeting,
    destination: StoredObject | undefined,
  ): Promise<void> {
    const { run } = this;
    const { source } = file;
    if (destination !== undefined) {
      // What is there already and equal needs no thawing.
      const verdict = await look(run, { ...meeting, local: destination, remote: source });
      if (verdict.kind !== 'different') return;
    }
    if (this.thawing !== undefined) {
      this.thawing.add({ ...file, destination });
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
    if (!(await this.isToBeSent(file))) return;
    const ready = { ...file, source: { ...now, orderKey: source.orderKey } };
    await this.startTransfer(planTransfer(run, ready, destination));
  }

  /** New names at the source: only now is it known which names went that they may have had before. */
  private async takeNewFiles(): Promise<void> {
    const { run, renames, deletions } = this;
    if (renames === undefined) return;
    for (const file of renames.files()) {
      throwIfAborted(run.signal);
      await this.lanes.add(file.path, async () => {
        const gone = await renames.match(file.source, () => localMd5(run, file.source));
        if (gone !== undefined && (await renameAtDestination(run, deletions, file, gone))) return;
        await this.startTransfer(planTransfer(run, file, undefined));
      });
    }
  }

  private addTransfer(file: NewFile, present: StoredObject | undefined): Promise<void> | undefined {
    const { run } = this;
    const holding = run.holdLease();
    if (holding !== undefined) return holding.then(() => this.addConfirmed(file, present));
    return this.addConfirmed(file, present);
  }

  private addConfirmed(file: NewFile, present: StoredObject | undefined): Promise<void> | undefined {
    try {
      const odd = this.run.isPush ? 'usual' : this.collisions.confirmAlone(file.path, file.source);
      return odd === 'usual' ? this.addPlanned(file, present) : this.addOdd(file, present, odd);
    } catch (error) {
      this.failName(error, file.path);
      return undefined;
    }
  }

  private async addOdd(
    file: NewFile,
    present: StoredObject | undefined,
    odd: Promise<OddlyNamed | undefined>,
  ): Promise<void> {
    try {
      if (!(await this.isOddToBeSent(file, await odd))) return;
    } catch (error) {
      this.failName(error, file.path);
      return;
    }
    await this.addPlanned(file, present);
  }

  private addPlanned(file: NewFile, present: StoredObject | undefined): Promise<void> | undefined {
    let job: TransferJob;
    try {
      job = planTransfer(this.run, file, present);
    } catch (error) {
      this.failName(error, file.path);
      return undefined;
    }
    const work = () => this.transfer(job);
    return this.isLarge(job) ? this.lanes.addLarge(job.path, work) : this.lanes.add(job.path, work);
  }

  /** A name that the destination can't hold is the fault of this file alone. */
  private failName(error: unknown, path: string): void {
    if (!hasCode(error, 'NAME_TOO_LONG', 'INVALID_NAME')) throw error;
    this.run.fail(error, path);
  }

  /** At once, in the place its caller holds; a large one has to wait in its own line. */
  private async startTransfer(job: TransferJob): Promise<void> {
    if (this.isLarge(job)) void this.lanes.addLarge(job.path, () => this.transfer(job));
    else await this.transfer(job);
  }

  private isLarge(job: TransferJob): boolean {
    return job.source.size >= this.run.destination.store.features.upload.threshold;
  }

  private async transfer(job: TransferJob): Promise<void> {
    if ((await carryOut(this.run, job)) === 'obstructed') this.obstructed.push(job);
  }

  /** False for a key that collides with another, and for one that no name maps to whose file is there already. */
  private async isToBeSent(file: NewFile): Promise<boolean> {
    const odd = this.collisions.confirmAlone(file.path, file.source);
    return odd === 'usual' || (await this.isOddToBeSent(file, await odd));
  }

  private async isOddToBeSent({ path, source }: NewFile, odd: OddlyNamed | undefined): Promise<boolean> {
    if (odd === undefined) return false;
    const { run } = this;
    const localKey = keyOfPath(run.local, path, 'file');
    this.deletions.spare(localKey);
    const local = await run.local.store.head(localKey, { signal: run.signal });
    if (local?.kind !== 'file' || odd.object === undefined) return true;
    return (await look(run, { sortKey: source.key, local, remote: odd.object })).kind !== 'equal';
  }
}
