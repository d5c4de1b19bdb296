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

  /**
   * Waits, in order, until `bytes` are free; more than the whole budget counts as the whole budget. Gives what releases
   * them, without a promise where they are free now. Throws ABORTED where `signal` has fired.
   */
  take(bytes: number, signal?: AbortSignal): (() => void) | Promise<() => void> {
    const wanted = Math.min(bytes, this.total);
    if (this.waiters.length === 0 && this.free >= wanted) {
      throwIfAborted(signal);
      this.free -= wanted;
      return this.releaseOf(wanted);
    }
    return this.takeLater(wanted, signal);
  }

  private async takeLater(wanted: number, signal: AbortSignal | undefined): Promise<() => void> {
    await new Promise<void>((resolve) => this.waiters.push({ bytes: wanted, resolve }));
    const release = this.releaseOf(wanted);
    if (signal?.aborted) release();
    throwIfAborted(signal);
    return release;
  }

  private releaseOf(bytes: number): () => void {
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.free += bytes;
      this.serve();
    };
  }

  private serve(): void {
    while (this.waiters.length > 0 && this.waiters[0]!.bytes <= this.free) {
      const next = this.waiters.shift()!;
      this.free -= next.bytes;
      next.resolve();
    }
  }
}
