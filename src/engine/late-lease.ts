/**
 * A run's lease, taken when the run needs it and not before: one that finds both sides equal never writes one. What the
 * listings have decided is carried out only if nobody else wrote meanwhile. So a run that goes on listing takes its lease
 * soon, and one that had to wait for another run's lists anew. One whose predecessor was killed takes it first of all,
 * since whoever takes a lease removes those that are over.
 */

import { CloudSyncError } from '../errors.js';
import type { WriteGuard } from '../stores/store.js';
import type { ForeignLease, Lease } from './lease.js';

/** Another run wrote to the remote side while or after it was listed: nothing concluded from the listing stands. */
export class ListedTooEarly extends Error {
  constructor() {
    super('Another run wrote to the prefix after it was listed');
  }
}

/** Another host holds the prefix, and this run is not to wait for it. */
export class PrefixInUse extends CloudSyncError {
  constructor(held: ForeignLease) {
    super('BUSY', heldBy(held));
  }
}

/** In words: who holds it. */
export function heldBy({ host, task, prefix }: ForeignLease): string {
  return `"${prefix === '' ? '/' : prefix}" is in use by the task "${task}" on ${host}`;
}

export class LateLease implements WriteGuard {
  private lease: Lease | undefined;
  private taking: Promise<void> | undefined;
  /** When another run's lease had ended that this one waited for, by `performance.now()`. */
  private freeSince = Number.NEGATIVE_INFINITY;

  /** Fires when it isn't needed any more. */
  private readonly given = new AbortController();

  /**
   * @param take takes it unless `signal` fires, and calls `onWait` where another run holds it; what it throws is thrown to
   *   all who need it
   * @param isLeftBehind whether a run of this task that was killed has left a lease
   */
  constructor(
    private readonly take: (signal: AbortSignal, onWait: () => void) => Promise<Lease>,
    private readonly isLeftBehind: () => Promise<boolean> = async () => false,
  ) {}

  get isValid(): boolean {
    return this.lease?.isValid ?? false;
  }

  /** See {@link Lease.confirm}; takes it where that hasn't been done. */
  confirm(): Promise<void> | undefined {
    if (this.lease !== undefined) return this.lease.confirm();
    return this.begin().then(() => this.lease!.confirm());
  }

  /** Sees to it that none is left at the end of the run, even if that doesn't need its own. */
  async removeLeftBehind(): Promise<void> {
    if (await this.isLeftBehind()) await this.begin();
  }

  /** Takes it, once. */
  begin(): Promise<void> {
    this.taking ??= this.takeOnce();
    return this.taking;
  }

  /**
   * Call it before anything is done that a listing begun at `listedSince` (`performance.now()`) has decided. Undefined: it
   * may be done. Throws {@link ListedTooEarly} where this run had to wait since then.
   */
  hold(listedSince: number): Promise<void> | undefined {
    if (this.lease !== undefined && listedSince >= this.freeSince) return undefined;
    return this.begin().then(() => {
      if (listedSince < this.freeSince) throw new ListedTooEarly();
    });
  }

  /** Gives it back, where it was taken; where it is still waited for, that ends. */
  async release(): Promise<void> {
    if (this.lease === undefined) this.given.abort();
    await this.taking?.catch(() => {});
    await this.lease?.release();
  }

  private async takeOnce(): Promise<void> {
    let hadToWait = false;
    this.lease = await this.take(this.given.signal, () => {
      hadToWait = true;
    });
    if (hadToWait) this.freeSince = performance.now();
  }
}
