/**
 * Whether both sides hold the same: by size and time, by the provider's hashes against local bytes, or by reading every
 * byte back. Changes nothing on either side.
 */

import { createHash } from 'node:crypto';
import { CloudSyncError, hasCode } from '../errors.js';
import { compareByHashes } from '../stores/compare.js';
import type { StoredObject } from '../stores/store.js';
import { isSameTime, withLocalContent } from './comparison.js';
import type { Meeting } from './march.js';
import type { VerifyFindings } from './report.js';
import type { RunContext } from './run-context.js';
import { isWanted, pathOfMeeting, type Walker, walkBothSides } from './walk.js';
import { WorkLane } from './work-lane.js';

export interface VerifyOptions {
  method: 'metadata' | 'checksum' | 'download' | 'sample';
  /** Percent of the files that `sample` reads back, 1 to 100. */
  sample: number;
  /** A number from 0 up to 1, for `sample`. */
  random?: () => number;
}

/** How one file is compared. */
type Method = Exclude<VerifyOptions['method'], 'sample'>;

interface FilePair {
  path: string;
  local: StoredObject;
  remote: StoredObject;
}

type List = 'differs' | 'missingLocal' | 'missingRemote' | 'unreadable' | 'unverifiable';

/** Paths kept in each list. */
const KEPT = 1_000;
const WAITING = 256;

/** Compares both sides. What went wrong apart from the findings stands in `run.problems`. */
export async function runVerify(run: RunContext, options: VerifyOptions): Promise<VerifyFindings> {
  run.host.phase('listing');
  let verification = new Verification(run, options);
  const newVerification = () => {
    verification = new Verification(run, options);
    return verification;
  };
  try {
    await run.local.store.check(run.signal);
    await walkBothSides(run, newVerification);
    verification.conclude();
  } catch (error) {
    run.fail(error);
  }
  return verification.findings;
}

class Verification implements Walker {
  readonly findings: VerifyFindings = {
    matched: 0,
    differs: [],
    missingLocal: [],
    missingRemote: [],
    unreadable: [],
    unverifiable: [],
    counts: { matched: 0, differs: 0, missingLocal: 0, missingRemote: 0, unreadable: 0, unverifiable: 0 },
  };
  private readonly lane: WorkLane;
  /** One file at random of those that were not picked, as long as none was. */
  private candidate: FilePair | undefined;
  private candidates = 0;

  constructor(
    private readonly run: RunContext,
    private readonly options: VerifyOptions,
  ) {
    this.lane = new WorkLane(run.gate.maximum, WAITING);
  }

  async drain(): Promise<void> {
    await this.lane.drain();
  }

  /** Throws SOURCE_EMPTY where there was nothing to compare. */
  conclude(): void {
    const { run } = this;
    // Asked for, and on neither side.
    for (const path of run.wanted?.missing() ?? []) this.note('missingRemote', path);
    if (this.findings.counts.matched + run.counts.checked === 0 && !run.problems.any) {
      throw new CloudSyncError(
        'SOURCE_EMPTY',
        'There is no file on either side, so there is nothing to verify',
        {
          advice: 'Check path, bucket, folder and filters.',
        },
      );
    }
  }

  private note(list: List, path: string): void {
    this.findings.counts[list]++;
    if (this.findings[list].length < KEPT) this.findings[list].push(path);
    this.run.log(list, path, { level: list === 'unverifiable' ? 'warning' : 'error' });
  }

  private match(): void {
    this.findings.matched++;
    this.findings.counts.matched++;
  }

  async take(meeting: Meeting): Promise<void> {
    const { run } = this;
    const { local, remote } = meeting;
    if (meeting.collision !== undefined && meeting.collision.length > 0) {
      for (const object of meeting.collision) this.note('unverifiable', object.key);
      return;
    }
    if (local?.problem !== undefined && local.kind === 'folder') {
      this.note('unreadable', local.key);
      return;
    }
    if (meeting.sortKey.endsWith('/')) {
      this.takeFolder(meeting);
      return;
    }
    const path = this.pathOf(meeting);
    if (path === undefined || !isWanted(run, path, 'file')) return;
    run.wanted?.found(path);
    const isNoFile = local?.kind === 'special' || local?.kind === 'link';
    if (isNoFile) run.counts.skipped++;
    if (isNoFile && remote === undefined) return;
    run.counts.checked++;
    if (remote?.unreadable === true) {
      this.note('unreadable', path);
      return;
    }
    // A link that leads nowhere now has a copy that can't be compared; a link that isn't followed has no copy.
    if (local?.kind === 'special') this.note('unreadable', path);
    else if (local === undefined || isNoFile) this.note('missingLocal', path);
    else if (remote === undefined) this.note('missingRemote', path);
    else await this.addComparison(path, local, remote);
  }

  /** Folders aren't compared, but one that was asked for isn't missing. */
  private takeFolder(meeting: Meeting): void {
    const { wanted } = this.run;
    if (wanted === undefined) return;
    try {
      wanted.found(pathOfMeeting(this.run, meeting));
    } catch {
      // Its name is none that could have been asked for.
    }
  }

  private pathOf(meeting: Meeting): string | undefined {
    try {
      return pathOfMeeting(this.run, meeting);
    } catch (error) {
      if (meeting.local !== undefined) throw error;
      this.note('unverifiable', meeting.remote!.key.slice(this.run.remote.prefix.length));
      return undefined;
    }
  }

  private async addComparison(path: string, local: StoredObject, remote: StoredObject): Promise<void> {
    const { run } = this;
    if (local.size !== remote.size) {
      this.note('differs', path);
      return;
    }
    run.files.total++;
    run.bytes.total += local.size;
    const pair: FilePair = { path, local, remote };
    const { method } = this.options;
    if (method === 'sample') await this.addSampled(pair);
    else await this.start(pair, method);
  }

  /** Picks at random; where chance has picked no file of few, one of them is read back all the same. */
  private async addSampled(pair: FilePair): Promise<void> {
    const { sample, random = Math.random } = this.options;
    if (random() * 100 < sample) {
      await this.readBack(pair);
      return;
    }
    let other: FilePair | undefined = pair;
    if (this.findings.sampled === undefined && random() * ++this.candidates < 1) {
      other = this.candidate;
      this.candidate = pair;
    }
    if (other !== undefined) await this.start(other, 'metadata');
  }

  /** A sample of few files in which chance has picked none. */
  async finish(): Promise<void> {
    const { candidate } = this;
    this.candidate = undefined;
    if (candidate === undefined) return;
    if (this.findings.sampled === undefined) await this.readBack(candidate);
    else await this.start(candidate, 'metadata');
  }

  private async readBack(pair: FilePair): Promise<void> {
    this.findings.sampled ??= [];
    if (this.findings.sampled.length < KEPT) this.findings.sampled.push(pair.path);
    await this.start(pair, 'download');
  }

  private async start(pair: FilePair, method: Method): Promise<void> {
    const { run } = this;
    const { path, local } = pair;
    await this.lane.add(async () => {
      if (run.signal.aborted) return;
      await run.gate.enter();
      let failure: unknown;
      try {
        await this.compare(pair, method);
        run.files.done++;
        run.bytes.done += local.size;
      } catch (error) {
        failure = error;
        this.noteFailure(error, path);
      } finally {
        run.gate.leave(failure);
      }
    });
  }

  private noteFailure(error: unknown, path: string): void {
    if (hasCode(error, 'ABORTED') && this.run.signal.aborted) return;
    const isOfThisFile = hasCode(
      error,
      'NO_PERMISSION',
      'IO_ERROR',
      'NOT_FOUND',
      'CHANGED',
      'ARCHIVED',
      'RESTRICTED_CONTENT',
      'CHECKSUM_MISMATCH',
    );
    if (isOfThisFile) {
      this.note(error.code === 'CHECKSUM_MISMATCH' ? 'differs' : 'unreadable', path);
      this.run.problems.warning(error, path);
    } else this.run.fail(error, path);
  }

  private async compare({ path, local, remote }: FilePair, method: Method): Promise<void> {
    if (method === 'checksum') await this.compareChecksum(path, local, remote);
    else if (method === 'download') await this.compareBytes(path, local, remote);
    else await this.compareTime(path, local, remote);
  }

  /** Asks for what was listed where that isn't the newest. */
  private versionOf({ versionId }: StoredObject): { versionId?: string; signal: AbortSignal } {
    const { settings, signal } = this.run;
    return settings.asOf === undefined ? { signal } : { versionId, signal };
  }

  private async compareTime(path: string, local: StoredObject, listed: StoredObject): Promise<void> {
    const { run } = this;
    const remote =
      listed.modificationTime === undefined
        ? await run.remote.store.head(listed.key, this.versionOf(listed))
        : listed;
    if (remote === undefined) this.note('missingRemote', path);
    else if (remote.modificationTime === undefined) this.note('unverifiable', path);
    else if (isSameTime(run, local.modificationTime!, remote.modificationTime)) this.match();
    else this.note('differs', path);
  }

  private async compareChecksum(path: string, local: StoredObject, remote: StoredObject): Promise<void> {
    const { run } = this;
    const { store } = run.remote;
    const compare = store.compareContent?.bind(store) ?? compareByHashes;
    const compareWith = (object: StoredObject) =>
      withLocalContent(run, local, (content) => compare(object, content, { claims: false }, run.signal));
    let result = await compareWith(remote);
    if (result === 'unknown' && store.compareContent === undefined) {
      // The listing carried no hash that tells: the object itself may.
      const whole = await store.head(remote.key, this.versionOf(remote));
      if (whole !== undefined) result = await compareWith(whole);
    }
    if (result === 'equal') this.match();
    else this.note(result === 'different' ? 'differs' : 'unverifiable', path);
  }

  private async compareBytes(path: string, local: StoredObject, remote: StoredObject): Promise<void> {
    const { run } = this;
    const ownHash = await withLocalContent(run, local, async (content) => digestOf(content.read()));
    const opened = await run.remote.store.open(remote.key, this.versionOf(remote));
    try {
      const length = opened.object.size;
      if (length !== local.size || (await digestOf(opened.read(0, length, run.signal))) !== ownHash) {
        this.note('differs', path);
      } else this.match();
    } finally {
      await opened.close();
    }
  }
}

async function digestOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
}
