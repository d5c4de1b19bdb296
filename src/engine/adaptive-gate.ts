/**
 * How many files are in flight: begins modestly, grows while the far end keeps up, shrinks when it asks to go slower.
 * A number given by the user pins it.
 */

import { hasCode } from '../errors.js';

const START = 16;
const LIMIT = 64;
/** After trouble it grows again by one place per so many files that went well. */
const CALM = 16;

export class AdaptiveGate {
  private limit: number;
  private inFlight = 0;
  private calm = 0;
  private hadTrouble = false;
  private slowedAt = Number.NEGATIVE_INFINITY;
  private readonly waiters: (() => void)[] = [];

  constructor(private readonly pinned: number | null) {
    this.limit = pinned ?? START;
  }

  /** The greatest number that may be in flight, for sizing queues and pools. */
  get maximum(): number {
    return this.pinned ?? LIMIT;
  }

  /** Undefined: entered at once. */
  enter(): Promise<void> | undefined {
    if (this.inFlight >= this.limit) return new Promise<void>((resolve) => this.waiters.push(resolve));
    this.inFlight++;
    return undefined;
  }

  /** `error` is what the file's transfer ended with. */
  leave(error?: unknown): void {
    this.inFlight--;
    if (error === undefined) this.grow();
    else if (hasCode(error, 'RATE_LIMITED', 'TIMEOUT', 'CONNECTION_LOST', 'SERVER_ERROR')) this.slowDown();
    this.admit();
  }

  /** The far end asked to go slower (also called for each retried request). */
  slowDown(): void {
    this.hadTrouble = true;
    this.calm = 0;
    // A burst of refusals is one piece of news.
    if (performance.now() - this.slowedAt < 500) return;
    this.slowedAt = performance.now();
    if (this.pinned === null) this.limit = Math.max(1, Math.floor(this.limit / 2));
  }

  private grow(): void {
    if (this.pinned !== null || this.limit >= LIMIT) return;
    this.calm++;
    if (!this.hadTrouble || this.calm >= CALM) {
      this.calm = 0;
      this.limit++;
    }
  }

  private admit(): void {
    while (this.inFlight < this.limit && this.waiters.length > 0) {
      this.inFlight++;
      this.waiters.shift()!();
    }
  }
}
