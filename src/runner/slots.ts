/** How many runs may have a process at the same time. */

import { abortedError, throwIfAborted } from '../errors.js';
import type { Release } from './locks.js';

export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** In order of asking. Throws ABORTED when `signal` fires first. */
  async acquire(signal: AbortSignal, onWait: (why: string) => void): Promise<Release> {
    throwIfAborted(signal);
    if (this.#free > 0) {
      this.#free--;
    } else {
      onWait('Waiting for other runs to finish');
      await new Promise<void>((resolve, reject) => {
        const grant = () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        };
        const onAbort = () => {
          this.#waiting.splice(this.#waiting.indexOf(grant), 1);
          reject(abortedError());
        };
        signal.addEventListener('abort', onAbort, { once: true });
        this.#waiting.push(grant);
      });
    }
    let released = false;
    return () => {
      if (released) return;
      released = true;
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    };
  }
}
