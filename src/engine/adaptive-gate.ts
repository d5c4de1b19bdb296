/**
 * How many files are in flight: begins modestly, grows while the far end keeps up, shrinks when it asks to go slower.
 * A number given by the user pins it.
 */

import { performance } from 'node:perf_hooks';
import { hasCode } from '../errors.js';

const START = 16;
const LIMIT = 64;
/** The limit where the far end is far away: see {@link AdaptiveGate.endRound}. */
const FAR_LIMIT = 128;
/** It grows past {@link LIMIT} in such steps. */
const FAR_STEP = 16;
/** A line on which files take no longer than this has room for more at once, ms. */
const FAST_MS = 250;
/** A line on which they take as long as this is full, ms. */
const SLOW_MS = 1_000;
/** A process that is busy for a smaller share of the time than this has time for more files at once. */
const IDLE = 0.75;
/** And one that is busy for more than this gains nothing by them. */
const BUSY = 0.9;
/** After trouble it grows again by one place per so many files that went well. */
const CALM = 16;

export class AdaptiveGate {
  private limit: number;
  private inFlight = 0;
  private calm = 0;
  private hadTrouble = false;
  private slowedAt = Number.NEGATIVE_INFINITY;
  private readonly waiters: (() => void)[] = [];
  /** Files that went well since the round began. */
  private inRound = 0;
  private roundBegan = performance.now();
  private utilization = performance.eventLoopUtilization();

  constructor(private readonly pinned: number | null) {
    this.limit = pinned ?? START;
  }

  /** The greatest number that may be in flight, for sizing queues and pools. */
  get maximum(): number {
    return this.pinned ?? FAR_LIMIT;
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
    if (this.pinned !== null) return;
    if (this.limit >= LIMIT) {
      this.inRound++;
      if (this.inRound >= this.limit) this.endRound();
      return;
    }
    this.calm++;
    if (!this.hadTrouble || this.calm >= CALM) {
      this.calm = 0;
      this.limit++;
    }
  }

  /**
   * As many files went well as may be in flight, so that the time which that took is the time one is in flight. Where it is
   * short, and this process waits for most of it, it is the way to the far end: more at once cost nobody anything.
   */
  private endRound(): void {
    const now = performance.now();
    const utilization = performance.eventLoopUtilization();
    const busy = performance.eventLoopUtilization(utilization, this.utilization).utilization;
    const took = now - this.roundBegan;
    this.inRound = 0;
    this.roundBegan = now;
    this.utilization = utilization;
    if (took > SLOW_MS || busy > BUSY || this.hadTrouble) this.limit = LIMIT;
    else if (took < FAST_MS && busy < IDLE) this.limit = Math.min(this.limit + FAR_STEP, FAR_LIMIT);
  }

  private admit(): void {
    while (this.inFlight < this.limit && this.waiters.length > 0) {
      this.inFlight++;
      this.waiters.shift()!();
    }
  }
}
