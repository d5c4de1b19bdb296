/** The memory that content in flight may take, shared by all transfers of a run. */

import { throwIfAborted } from '../errors.js';

export const DEFAULT_BYTE_BUDGET = 64 * 1024 * 1024;

interface Waiter {
  bytes: number;
  resolve: () => void;
}

export class ByteBudget {
  private free: number;
  private readonly waiters: Waiter[] = [];

  constructor(readonly total = DEFAULT_BYTE_BUDGET) {
    this.free = total;
  }

  /** Waits, in order, until `bytes` are free; more than the whole budget counts as the whole budget. */
  async take(bytes: number, signal?: AbortSignal): Promise<() => void> {
    const wanted = Math.min(bytes, this.total);
    if (this.waiters.length > 0 || this.free < wanted) {
      await new Promise<void>((resolve) => this.waiters.push({ bytes: wanted, resolve }));
    } else {
      this.free -= wanted;
    }
    let isHeld = true;
    const release = () => {
      if (!isHeld) return;
      isHeld = false;
      this.free += wanted;
      this.serve();
    };
    if (signal?.aborted) release();
    throwIfAborted(signal);
    return release;
  }

  private serve(): void {
    while (this.waiters.length > 0 && this.waiters[0]!.bytes <= this.free) {
      const next = this.waiters.shift()!;
      this.free -= next.bytes;
      next.resolve();
    }
  }
}
