/** Keeps all transfers of a run together below the limit that the timetable has for the moment. */

import { abortedError } from '../errors.js';
import { type BandwidthRow, bandwidthAt, validateBandwidthTimetable } from './bandwidth-timetable.js';

export {
  type BandwidthRow,
  formatBandwidthTimetable,
  parseBandwidthTimetable,
  validateBandwidthTimetable,
} from './bandwidth-timetable.js';

export interface BandwidthLimiterOptions {
  /** In time order; empty: never a limit. */
  timetable: readonly BandwidthRow[];
  /** The clock on the wall, ms since the epoch. */
  now?: () => number;
  /** A clock that never jumps, ms; default: `now` where that is given, else the process's own. */
  elapsed?: () => number;
  /** Calls back after some milliseconds; returns what calls it off. */
  setTimer?: (callback: () => void, milliseconds: number) => () => void;
  /** Name of the time zone; default: the machine's. */
  timeZone?: string;
}

/** What may be sent at once after a pause, in seconds of the limit. Makes up for late timers. */
const BURST_SECONDS = 0.2;
/** A transfer gets no more than this before the next one's turn, in seconds of the limit and in bytes. */
const TURN_SECONDS = 0.1;
const TURN_BYTES = 64 * 1024;
/** How long a limit is believed before the timetable is asked again, ms. */
const RECHECK_MS = 250;

const DONE: Promise<void> = Promise.resolve();

/** A `take` that isn't over. */
interface Waiter {
  bytesLeft: number;
  resolve: () => void;
}

export class BandwidthLimiter {
  private readonly now: () => number;
  private readonly elapsed: () => number;
  private readonly setTimer: (callback: () => void, milliseconds: number) => () => void;
  private readonly minutesOfDay: (time: number) => number;
  private readonly timetable: readonly BandwidthRow[];
  private readonly neverLimits: boolean;

  private limit: number | null = null;
  private limitAskedAt = Number.NEGATIVE_INFINITY;
  /** Bytes that may be sent now. */
  private allowance = 0;
  private allowanceAt: number;
  /** In the order of their turns. */
  private readonly waiters: Waiter[] = [];
  private cancelTimer: (() => void) | undefined;

  /** Throws INVALID_INPUT (field `bandwidthLimit`) where the timetable can't be used. */
  constructor(options: BandwidthLimiterOptions) {
    validateBandwidthTimetable(options.timetable);
    this.timetable = options.timetable.map((row) => ({ ...row }));
    this.neverLimits = this.timetable.every((row) => row.bandwidth === null);
    this.now = options.now ?? Date.now;
    this.elapsed = options.elapsed ?? options.now ?? (() => performance.now());
    this.setTimer = options.setTimer ?? startTimer;
    this.minutesOfDay = options.timeZone === undefined ? machineMinutes : minutesIn(options.timeZone);
    this.allowanceAt = this.elapsed();
  }

  /** The limit that holds now, bytes per second; null: none. At most 250 ms old. */
  limitNow(): number | null {
    if (this.neverLimits) return null;
    const elapsed = this.elapsed();
    const age = elapsed - this.limitAskedAt;
    if (age >= RECHECK_MS || age < 0) {
      this.limit = bandwidthAt(this.timetable, this.minutesOfDay(this.now()));
      this.limitAskedAt = elapsed;
    }
    return this.limit;
  }

  /**
   * Resolves when `bytes` more may be sent or received. Transfers that wait at the same time get the same share each,
   * however much they ask for. Rejects with ABORTED once `signal` fires.
   */
  take(bytes: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(abortedError());
    const limit = this.limitNow();
    if (limit === null) {
      if (this.waiters.length > 0) this.serve();
      return DONE;
    }
    this.refill(limit);
    if (this.waiters.length === 0 && bytes <= this.allowance) {
      this.allowance -= bytes;
      return DONE;
    }
    return this.wait(bytes, signal);
  }

  private wait(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.waiters.splice(this.waiters.indexOf(waiter), 1);
        if (this.waiters.length === 0) this.stopTimer();
        reject(abortedError());
      };
      const waiter: Waiter = {
        bytesLeft: bytes,
        resolve: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.waiters.push(waiter);
      this.serve();
    });
  }

  private refill(limit: number): void {
    const elapsed = this.elapsed();
    const seconds = Math.max(0, elapsed - this.allowanceAt) / 1000;
    this.allowanceAt = elapsed;
    this.allowance = Math.min(this.allowance + seconds * limit, Math.max(1, limit * BURST_SECONDS));
  }

  /** Hands out what may be sent, turn by turn, and comes back when there will be enough for the next turn. */
  private serve(): void {
    this.stopTimer();
    const limit = this.limitNow();
    if (limit === null) {
      for (const waiter of this.waiters.splice(0)) waiter.resolve();
      return;
    }
    this.refill(limit);
    const turn = Math.min(TURN_BYTES, Math.max(1, Math.floor(limit * TURN_SECONDS)));
    for (let waiter = this.waiters[0]; waiter !== undefined; waiter = this.waiters[0]) {
      const bytes = Math.min(waiter.bytesLeft, turn);
      if (bytes > this.allowance) {
        const delay = Math.ceil(((bytes - this.allowance) / limit) * 1000);
        this.cancelTimer = this.setTimer(() => this.serve(), Math.min(delay, RECHECK_MS));
        return;
      }
      this.allowance -= bytes;
      waiter.bytesLeft -= bytes;
      this.waiters.shift();
      if (waiter.bytesLeft > 0) this.waiters.push(waiter);
      else waiter.resolve();
    }
  }

  private stopTimer(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
  }
}

function startTimer(callback: () => void, milliseconds: number): () => void {
  const timer = setTimeout(callback, milliseconds);
  return () => clearTimeout(timer);
}

function machineMinutes(time: number): number {
  const date = new Date(time);
  return date.getHours() * 60 + date.getMinutes();
}

function minutesIn(timeZone: string): (time: number) => number {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  return (time) => {
    const [hours, minutes] = format.format(time).split(':');
    return Number(hours) * 60 + Number(minutes);
  };
}
