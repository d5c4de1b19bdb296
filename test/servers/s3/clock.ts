/** The server's clock: may be set and moved, so that a test needs no waiting for a thaw or a skew. */
export class Clock {
  private offset = 0;

  /** ms since the epoch. */
  now(): number {
    return Date.now() + this.offset;
  }

  /** From now on it is `time` (ms since the epoch), and time goes on. */
  set(time: number): void {
    this.offset = time - Date.now();
  }

  /** Moves the clock by `milliseconds`, forth or back. */
  advance(milliseconds: number): void {
    this.offset += milliseconds;
  }

  /** Back to the machine's own time. */
  reset(): void {
    this.offset = 0;
  }

  private cachedSecond = -1;
  private cachedText = '';

  /** The Date header of an answer sent now. */
  httpDate(): string {
    const second = Math.floor(this.now() / 1000);
    if (second !== this.cachedSecond) {
      this.cachedSecond = second;
      this.cachedText = httpDate(second * 1000);
    }
    return this.cachedText;
  }
}

/** `Tue, 28 Jul 2026 10:00:00 GMT` */
export function httpDate(time: number): string {
  return new Date(time).toUTCString();
}

/** As S3 writes times in XML: whole seconds, with three zeros behind them. */
export function xmlDate(time: number): string {
  return `${new Date(time).toISOString().slice(0, 19)}.000Z`;
}
