/** How many runs may have a process at the same time, and how fast processes are started. */

import { setTimeout as delay } from 'node:timers/promises';
import { abortedError, throwIfAborted } from '../errors.js';
import type { Release } from './locks.js';

/**
 * ms between two grants. A process is started in a thread of its own (launcher.ts), but the system copies Node-RED's page
 * tables for it, and meanwhile whoever writes to memory waits: with 100 MB 5 ms where processes are started 50 ms apart,
 * 12 ms where they follow each other at once, with 1 GB 25 ms each. Twenty tasks of one schedule must not do that in a row.
 */
const SPACING_MS = 50;

export class Slots {
  #free: number;
  #nextGrant = 0;
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
    const release = () => {
      if (released) return;
      released = true;
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    };
    try {
      await this.#spaced(signal);
    } catch {
      release();
      throw abortedError();
    }
    return release;
  }

  async #spaced(signal: AbortSignal): Promise<void> {
    const now = performance.now();
    const grant = Math.max(now, this.#nextGrant);
    this.#nextGrant = grant + SPACING_MS;
    if (grant > now) await delay(grant - now, undefined, { signal });
  }
}
