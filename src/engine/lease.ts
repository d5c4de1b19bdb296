/**
 * No two hosts write to overlapping prefixes: a lease is a small object under the reserved prefix that names its holder
 * and the prefixes it holds.
 *
 * **Taking.** Each lease has a name of its own, so nobody overwrites another's. It is written, then all leases are
 * listed: whoever sees no other one that overlaps has it. Of two that begin together at least one sees the other, so
 * never both have it. Where each sees the other, the one whose name comes later in the alphabet withdraws at once; the
 * first one stays and looks again, so that one of them gets it, also where both tasks skip instead of waiting.
 *
 * **No conditional write.** A condition protects one key, and prefixes that overlap have no key in common (`photos/`
 * and `photos/2026/` and the whole bucket), so it could only guard a mutex around the steps above: two requests more in
 * every run, two versions more in a bucket that keeps them, a second thing that a killed process leaves behind. It
 * would have to be proven by a real 412 first, because some servers accept a condition without heeding it, and B2 has
 * none, so that the steps above were needed all the same. What it could give, one winner in a tie, the order of names
 * gives too. What is relied on instead is a listing that shows what was written before it, which Amazon S3, Azure,
 * Google and Ceph promise; one that doesn't show our own lease is not believed.
 *
 * **Ending.** A lease ends by the server's clock (when it stored the lease, and what it says the time is now), so a
 * holder that died blocks nobody for longer than {@link LeaseOptions.durationMs}. The holder itself stops a good while
 * earlier. It measures by two clocks, because the monotonic one stands still while a machine sleeps, and the other one
 * may be set back. Each request that changes something is preceded by {@link Lease.confirm}, each attempt of it too,
 * because a request that is sent again after an outage may come after the end (`WriteGuard` in stores/store.ts). A
 * holder that comes late looks first whether somebody took over.
 *
 * **Removing.** A lease that is over is removed only by who holds one, and after its own was listed. The holder of the
 * old one, should it live, then either sees the new one or misses its own, and knows that it lost.
 *
 * Two keys that are confined to different prefixes keep their leases in different places and don't see each other.
 */

import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { abortedError, CloudSyncError, hasCode } from '../errors.js';
import type { Store, StoredObject, WriteGuard } from '../stores/store.js';
import { LeaseFolders, type LeaseText } from './lease-folders.js';

export interface LeaseHolder {
  /** For people. */
  host: string;
  taskId: string;
  task: string;
}

export interface LeaseOptions {
  /** The provider's own store, without a guard: leases are neither encrypted nor throttled, and confirm nothing. */
  store: Store;
  /** What the run writes to: '' or a text that ends in `/`. */
  prefixes: readonly string[];
  holder: LeaseHolder;
  /** ms a lease holds without being renewed; at least 5,000, since servers tell times in whole seconds. */
  durationMs?: number;
  /** Default: nothing is remembered, so that what a killed run left is waited for. */
  record?: LeaseRecord;
  signal: AbortSignal;
}

/**
 * Which leases this installation took, kept where a killed process can't lose it. By their names and not by an id of the
 * installation, because a copied memory card copies that too.
 */
export interface LeaseRecord {
  /** Called before a lease of that name is written. */
  begin(name: string): void;
  /** It is gone. */
  end(name: string): void;
  /** Whether a run of this installation took it that is over: nobody holds it any more. */
  isLeftBehind(name: string): Promise<boolean>;
  /** Called when a lease was taken, with all that are there: of this task no others are. */
  endOthers(names: ReadonlySet<string>): Promise<void>;
}

/** Another run's lease. */
export interface ForeignLease {
  host: string;
  task: string;
  prefix: string;
}

/** What the leases in the bucket say. */
interface Look {
  /** Our own is among them. */
  showsOwn: boolean;
  /** Those that hold and overlap. */
  others: (ForeignLease & { name: string })[];
  /** Keys of those that nobody will ever need. */
  over: string[];
  /** All of them. */
  names: ReadonlySet<string>;
}

/** Until when nobody else may take it, by both clocks: `performance.now()` and `Date.now()`. */
interface Deadline {
  monotonic: number;
  wall: number;
}

const DURATION_MS = 15 * 60_000;
/** Part of the duration after which it is renewed; and part that is kept as a margin. */
const RENEW_AFTER = 1 / 3;
const MARGIN = 1 / 5;
/** One that was not renewed for so long is over, whatever it says. ms. */
const LONGEST_MS = 24 * 60 * 60_000;
/** How long the first of two in a tie waits for the other one to withdraw: ms at most, and part of the duration. */
const TIE_MS = 10_000;
const TIE_SHARE = 1 / 4;
/** Between two looks in a tie: ms at first, doubled up to a second. */
const FIRST_PAUSE_MS = 50;

export class Lease implements WriteGuard {
  private readonly durationMs: number;
  private readonly name = `${randomBytes(12).toString('hex')}.json`;
  private readonly folders: LeaseFolders;
  private deadline: Deadline | undefined;
  /** Add to `performance.now()`: the server's clock, ms since the epoch. */
  private clockOffset: number | undefined;
  /** When it was last written, by `performance.now()`. */
  private writtenAt = 0;
  private timer: NodeJS.Timeout | undefined;
  private renewing: Promise<void> | undefined;
  private lostTo: CloudSyncError | undefined;
  private isRemoved = false;

  private constructor(private readonly options: LeaseOptions) {
    this.durationMs = options.durationMs ?? DURATION_MS;
    this.folders = new LeaseFolders(options.store, options.prefixes[0] ?? '');
  }

  /** Takes the lease, or tells who holds one that overlaps. Throws where leases can't be written or seen. */
  static async take(options: LeaseOptions): Promise<Lease | ForeignLease> {
    const lease = new Lease(options);
    const [before] = (await lease.look()).others;
    if (before !== undefined) return withoutName(before);
    try {
      const other = await lease.settle();
      if (other === undefined) return lease;
      await lease.release();
      return withoutName(other);
    } catch (error) {
      await lease.release();
      throw error;
    }
  }

  /** Takes the lease as soon as it is free; `onWait` is told who holds it. */
  static async wait(options: LeaseOptions, onWait: (held: ForeignLease) => void): Promise<Lease> {
    for (;;) {
      const taken = await Lease.take(options);
      if (taken instanceof Lease) return taken;
      onWait(taken);
      // At random times, so that many hosts don't come back together.
      await pause(((options.durationMs ?? DURATION_MS) / 30) * (0.5 + Math.random()), options.signal);
    }
  }

  /** Nobody else may write now. */
  get isValid(): boolean {
    const { deadline } = this;
    if (deadline === undefined) return false;
    return performance.now() < deadline.monotonic && Date.now() < deadline.wall;
  }

  /**
   * Call it before each write and delete. Undefined: it may be done. Else a promise for that, which throws BUSY where the
   * lease was lost (this process or this machine was stopped for too long).
   */
  confirm(): Promise<void> | undefined {
    return this.isValid ? undefined : this.confirmLate();
  }

  /** Gives it back; what can't be removed ends by itself. */
  async release(): Promise<void> {
    clearTimeout(this.timer);
    this.deadline = undefined;
    this.lostTo ??= new CloudSyncError('BUSY', 'The lease on the prefix was given back');
    await this.renewing?.catch(() => {});
    await this.removeOwn();
  }

  private async confirmLate(): Promise<void> {
    if (this.lostTo !== undefined) throw this.lostTo;
    await this.renew();
    if (!this.isValid) throw this.lose();
  }

  /** Writes the lease and looks until it is clear whose the prefix is: undefined: ours. */
  private async settle(): Promise<Look['others'][number] | undefined> {
    const { signal, record } = this.options;
    const tieMs = Math.min(TIE_MS, this.durationMs * TIE_SHARE);
    const startedAt = performance.now();
    let pauseMs = FIRST_PAUSE_MS;
    record?.begin(this.name);
    let deadline = await this.write();
    for (;;) {
      const { showsOwn, others, over, names } = await this.look();
      const [other] = others;
      if (showsOwn && other === undefined) {
        this.deadline = deadline;
        this.scheduleRenewal();
        await record?.endOthers(names);
        for (const key of over) await this.removeOver(key);
        return undefined;
      }
      const comesFirst = others.every(({ name }) => this.name < name);
      const isLate = performance.now() - startedAt > tieMs;
      if (other !== undefined && (!comesFirst || isLate)) return other;
      if (isLate) throw unseen();
      await pause(pauseMs, signal);
      pauseMs = Math.min(2 * pauseMs, 1_000);
      if (!showsOwn) deadline = await this.write();
    }
  }

  private scheduleRenewal(): void {
    this.timer = setTimeout(() => {
      // Should that fail, the next write finds out whether it still holds.
      void this.renew()
        .catch(() => {})
        .then(() => {
          if (this.lostTo === undefined) this.scheduleRenewal();
        });
    }, this.durationMs * RENEW_AFTER);
    this.timer.unref();
  }

  /** Once at a time, whoever asks for it. */
  private renew(): Promise<void> {
    this.renewing ??= this.renewOnce().finally(() => {
      this.renewing = undefined;
    });
    return this.renewing;
  }

  private async renewOnce(): Promise<void> {
    // Who took it meanwhile is there, or has removed ours and gone.
    if (!this.isValid) await this.lookForOthers();
    const deadline = await this.write();
    // Nobody can have taken it before its time was up; whether it was may have turned out only while writing.
    if (!this.isValid) await this.lookForOthers();
    if (this.lostTo === undefined) this.deadline = deadline;
  }

  private async lookForOthers(): Promise<void> {
    const { showsOwn, others } = await this.look();
    if (showsOwn && others.length === 0) return;
    // It must not keep others out any more.
    const error = this.lose();
    await this.removeOwn();
    throw error;
  }

  private lose(): CloudSyncError {
    this.deadline = undefined;
    this.lostTo ??= new CloudSyncError(
      'BUSY',
      'The lease on the prefix was lost while this run was held up',
      { advice: 'Another host may have taken over; the next run compares both sides anew.' },
    );
    return this.lostTo;
  }

  /** Its time counts from before the request: the server can't have written it earlier. */
  private async write(): Promise<Deadline> {
    const valid = this.durationMs * (1 - MARGIN);
    const deadline = { monotonic: performance.now() + valid, wall: Date.now() + valid };
    const written = await this.folders.write(this.name, this.text({}), this.options.signal);
    this.writtenAt = performance.now();
    this.readClock(written);
    return deadline;
  }

  private text(more: Partial<LeaseText>): LeaseText {
    const { holder, prefixes } = this.options;
    return { ...holder, prefixes, durationMs: this.durationMs, ...more };
  }

  /** From our own lease as the server shows it: in the answer to the write, or in the listing that follows. */
  private readClock({ storedTime }: StoredObject): void {
    if (storedTime !== undefined) this.clockOffset = storedTime - this.writtenAt;
  }

  private async look(): Promise<Look> {
    const objects = await this.folders.list(this.options.signal);
    const look: Look = { showsOwn: false, others: [], over: [], names: new Set(objects.keys()) };
    const own = objects.get(this.name);
    if (own !== undefined) {
      look.showsOwn = true;
      this.readClock(own);
    }
    for (const [name, object] of objects) {
      if (name !== this.name) await this.judge(name, object, look);
    }
    return look;
  }

  private async judge(name: string, object: StoredObject, look: Look): Promise<void> {
    const { signal, record, prefixes, store } = this.options;
    const text = this.isOver(object, LONGEST_MS) ? undefined : await this.folders.read(object, signal);
    const durationMs = Math.min(text?.durationMs ?? LONGEST_MS, LONGEST_MS);
    const isOver = text?.released === true || this.isOver(object, durationMs);
    if (isOver || (await record?.isLeftBehind(name)) === true) {
      // This machine's clock may be wrong: only the server's is good enough to remove what is another's.
      if (this.clockOffset !== undefined) look.over.push(object.key);
      return;
    }
    const prefix = text?.prefixes.find((theirs) => prefixes.some((ours) => overlaps(ours, theirs, store)));
    if (text !== undefined && prefix !== undefined) {
      look.others.push({ name, host: text.host, task: text.task, prefix });
    }
  }

  private isOver({ storedTime }: StoredObject, durationMs: number): boolean {
    return storedTime !== undefined && this.serverTime() > storedTime + durationMs;
  }

  /** Until a lease of ours was stored, as far as the store knows it. ms since the epoch. */
  private serverTime(): number {
    if (this.clockOffset !== undefined) return performance.now() + this.clockOffset;
    return this.options.store.serverTime?.() ?? Date.now();
  }

  /** Where even that fails, it stays on record: the next run here knows that nobody holds it. */
  private async removeOwn(): Promise<void> {
    if (this.isRemoved) return;
    try {
      await this.folders.remove(this.folders.keyOf(this.name));
    } catch {
      // A key that may not delete says instead that it is over.
      const said = this.folders.write(this.name, this.text({ released: true }));
      if (
        !(await said.then(
          () => true,
          () => false,
        ))
      )
        return;
    }
    this.isRemoved = true;
    this.options.record?.end(this.name);
  }

  /** Best effort: what stays is looked at again by every run, and in nobody's way. */
  private async removeOver(key: string): Promise<void> {
    try {
      await this.folders.remove(key);
      this.options.record?.end(key.slice(key.lastIndexOf('/') + 1));
    } catch (error) {
      if (hasCode(error, 'ABORTED')) throw error;
    }
  }
}

/** Whether one of two prefixes lies in the other. Both are '' or end in `/`, so that segments are compared whole. */
export function overlaps(
  first: string,
  second: string,
  { features }: { features: Pick<Store['features'], 'caseSensitive' | 'normalizationSensitive'> },
): boolean {
  const [one, other] = [first, second].map((prefix) => {
    const normal = features.normalizationSensitive ? prefix : prefix.normalize('NFC');
    return features.caseSensitive ? normal : normal.toLowerCase();
  }) as [string, string];
  return one.startsWith(other) || other.startsWith(one);
}

function withoutName({ host, task, prefix }: ForeignLease): ForeignLease {
  return { host, task, prefix };
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal }).catch(() => {
    throw abortedError();
  });
}

function unseen(): CloudSyncError {
  return new CloudSyncError(
    'BAD_ANSWER',
    "The bucket's listing does not show a lease that was just written",
    {
      retryable: false,
      advice: 'Without that no other host can be kept out: untick "lease" if no other host writes there.',
    },
  );
}
