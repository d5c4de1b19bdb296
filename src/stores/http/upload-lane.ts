/**
 * How many large bodies are sent at once. A slow uplink is shared by all of them: where requests are cut after some time
 * (tunnels and load balancers do that), fewer at once is what gets through. Nothing is held back before trouble shows.
 */

import { type CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import { unlessAborted } from './retry.js';

/** Smaller bodies pass. */
export const LARGE_BODY = 1024 * 1024;
/** What breaks sooner had other reasons: a socket that the server had closed already, a restart of it. ms. */
const SHORT_LIFE = 1_000;
/** One more at once after so many that went well, and after twice as many each time it turned out to be too many. */
const CALM = 16;
const LONGEST_CALM = 1024;

interface Entry {
  startedAt: number;
  /** Another one was under way at the same time. */
  isShared: boolean;
}

export class UploadLane {
  #width = Number.POSITIVE_INFINITY;
  #narrowedAt = Number.NEGATIVE_INFINITY;
  #calm = 0;
  #calmNeeded = CALM / 2;
  readonly #underWay = new Set<Entry>();
  readonly #waiting: (() => void)[] = [];

  /** @param shortLifeMs What breaks sooner was not cut for taking long. */
  constructor(private readonly shortLifeMs = SHORT_LIFE) {}

  /** Calls `send` when it is its turn. What breaks tells `cutBody` where it had the line for itself. */
  async run<T>(bytes: number, send: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const entry = await this.#enter(signal);
    try {
      const sent = await send();
      this.#widen();
      return sent;
    } catch (error) {
      if (this.#isCut(error, entry)) {
        if (!entry.isShared) error.cutBody = bytes;
        this.#narrow(entry);
      }
      throw error;
    } finally {
      this.#underWay.delete(entry);
      this.#admit();
    }
  }

  async #enter(signal: AbortSignal | undefined): Promise<Entry> {
    while (this.#underWay.size >= this.#width) {
      let wake = () => {};
      const turn = new Promise<void>((resolve) => {
        wake = resolve;
        this.#waiting.push(wake);
      });
      try {
        await unlessAborted(turn, signal);
      } finally {
        const place = this.#waiting.indexOf(wake);
        if (place !== -1) this.#waiting.splice(place, 1);
        // Its turn had come when it gave up.
        else if (signal?.aborted) this.#admit();
      }
    }
    throwIfAborted(signal);
    const entry = { startedAt: performance.now(), isShared: this.#underWay.size > 0 };
    for (const other of this.#underWay) other.isShared = true;
    this.#underWay.add(entry);
    return entry;
  }

  #isCut(error: unknown, { startedAt }: Entry): error is CloudSyncError {
    const hasLasted = performance.now() - startedAt >= this.shortLifeMs;
    return hasLasted && hasCode(error, 'CONNECTION_LOST', 'TIMEOUT');
  }

  /** Those that began before the last narrowing say nothing new. */
  #narrow(entry: Entry): void {
    this.#calm = 0;
    if (entry.startedAt < this.#narrowedAt) return;
    this.#narrowedAt = performance.now();
    this.#calmNeeded = Math.min(LONGEST_CALM, this.#calmNeeded * 2);
    this.#width = Math.max(1, this.#underWay.size >> 1);
  }

  #widen(): void {
    if (this.#width === Number.POSITIVE_INFINITY) return;
    this.#calm += 1;
    if (this.#calm < this.#calmNeeded) return;
    this.#calm = 0;
    this.#width += 1;
    this.#admit();
  }

  #admit(): void {
    const free = Math.min(this.#waiting.length, this.#width - this.#underWay.size);
    for (const wake of this.#waiting.splice(0, Math.max(0, free))) wake();
  }
}
