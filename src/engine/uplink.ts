/**
 * How much one request can carry on this line. Some far ends cut every request after a time, however well it goes: on a
 * slow line a large part never gets through, and a smaller one does.
 */

import type { CloudSyncError } from '../errors.js';

/** Cut so often in a row, with the line for itself and nothing arriving in between, it was too large. */
const CUTS = 2;

export class Uplink {
  private limit = Number.POSITIVE_INFINITY;
  private cuts = 0;
  /** Bytes of the last one that was cut. */
  private lastCut = 0;
  private readonly watchers = new Set<() => void>();

  /** Whether a file of `size` bytes has to go in parts, which have `minPartSize` bytes at least. */
  isTooLarge(size: number, minPartSize: number): boolean {
    return size > this.limit && size > minPartSize;
  }

  /** Bytes a part should have at most; undefined: as the store likes. */
  partSize(minPartSize: number): number | undefined {
    return this.limit === Number.POSITIVE_INFINITY ? undefined : Math.max(minPartSize, this.limit);
  }

  /** Call it with the error before each repetition of a request. */
  onRetry({ cutBody }: CloudSyncError): void {
    if (cutBody === undefined) return;
    this.cuts++;
    this.lastCut = cutBody;
    if (this.cuts < CUTS) return;
    this.cuts = 0;
    this.limit = Math.min(this.limit, Math.floor(cutBody / 2));
    for (const watcher of this.watchers) watcher();
  }

  /** A request with so many bytes has arrived; one that carries less than what was cut proves nothing. */
  arrived(bytes: number): void {
    if (bytes >= this.lastCut) this.cuts = 0;
  }

  /**
   * What `send` gives; undefined where it was given up, by the signal it is handed, because its requests of `size` bytes
   * are too large and `mayGiveUp`.
   */
  async unlessTooLarge<T>(
    size: number,
    send: (signal: AbortSignal) => Promise<T>,
    outer: AbortSignal,
    mayGiveUp = () => true,
  ): Promise<T | undefined> {
    const giveUp = new AbortController();
    const watcher = () => {
      if (size > this.limit && mayGiveUp()) giveUp.abort();
    };
    this.watchers.add(watcher);
    try {
      return await send(AbortSignal.any([outer, giveUp.signal]));
    } catch (error) {
      if (giveUp.signal.aborted && !outer.aborted) return undefined;
      throw error;
    } finally {
      this.watchers.delete(watcher);
    }
  }
}
