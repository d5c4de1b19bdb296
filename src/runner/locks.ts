/** Who may run now, within this process: claims are taken all at once or not at all, and waiters are served in order. */

import { abortedError, throwIfAborted } from '../errors.js';
import { type Claim, findOverlap } from './claims.js';

interface Holder {
  claims: readonly Claim[];
  /** Name of the task, for those who wait. */
  name: string;
}

interface Waiter extends Holder {
  grant: () => void;
  blockedBy: string;
  onWait: (why: string) => void;
}

/** Gives the claims back; calling it again does nothing. */
export type Release = () => void;

export class LockTable {
  readonly #held = new Set<Holder>();
  readonly #waiting: Waiter[] = [];

  /**
   * Resolves once nothing that overlaps `claims` is held or was asked for earlier. Asking for everything at once and
   * never overtaking an overlapping waiter makes deadlock and starvation impossible.
   * `onWait` is told whom it waits for, again when that changes. Throws ABORTED when `signal` fires first.
   */
  async acquire(
    claims: readonly Claim[],
    name: string,
    signal: AbortSignal,
    onWait: (why: string) => void,
  ): Promise<Release> {
    throwIfAborted(signal);
    const holder: Holder = { claims, name };
    const blocker = this.#blocker(claims, this.#waiting.length);
    if (blocker === undefined) return this.#hold(holder);
    return await new Promise<Release>((resolve, reject) => {
      const waiter: Waiter = {
        ...holder,
        blockedBy: '',
        onWait,
        grant: () => {
          signal.removeEventListener('abort', onAbort);
          resolve(this.#hold(holder));
        },
      };
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        this.#serve();
        reject(abortedError());
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(waiter);
      this.#tell(waiter, blocker);
    });
  }

  #hold(holder: Holder): Release {
    this.#held.add(holder);
    return () => {
      if (this.#held.delete(holder)) this.#serve();
    };
  }

  #serve(): void {
    for (let index = 0; index < this.#waiting.length; ) {
      const waiter = this.#waiting[index]!;
      const blocker = this.#blocker(waiter.claims, index);
      if (blocker === undefined) {
        this.#waiting.splice(index, 1);
        waiter.grant();
      } else {
        this.#tell(waiter, blocker);
        index++;
      }
    }
  }

  /** What stands before `claims`: a holder, or one of the first `earlier` waiters. */
  #blocker(claims: readonly Claim[], earlier: number): string | undefined {
    for (const other of [...this.#held, ...this.#waiting.slice(0, earlier)]) {
      const overlap = findOverlap(other.claims, claims);
      if (overlap !== undefined) return `Waiting for "${other.name}", which uses ${overlap.label}`;
    }
    return undefined;
  }

  #tell(waiter: Waiter, why: string): void {
    if (waiter.blockedBy === why) return;
    waiter.blockedBy = why;
    waiter.onWait(why);
  }
}
