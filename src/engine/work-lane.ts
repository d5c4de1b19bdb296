/** Work done several at once, with a bounded number waiting: who adds more has to wait (back-pressure). */

export class WorkLane {
  private readonly waiting: (() => Promise<void>)[] = [];
  private readonly adders: (() => void)[] = [];
  private readonly finishers: (() => void)[] = [];
  private running = 0;

  /**
   * @param width tasks at once
   * @param room tasks that may wait
   */
  constructor(
    private readonly width: number,
    private readonly room: number,
  ) {}

  /** Undefined: there is room for the next one; otherwise there will be. Tasks must not reject. */
  add(task: () => Promise<void>): Promise<void> | undefined {
    this.waiting.push(task);
    this.start();
    return this.waiting.length > this.room ? this.untilThereIsRoom() : undefined;
  }

  /** Returns when everything added is done. */
  async drain(): Promise<void> {
    while (this.running > 0 || this.waiting.length > 0) {
      await new Promise<void>((resolve) => this.finishers.push(resolve));
    }
  }

  private start(): void {
    while (this.running < this.width && this.waiting.length > 0) {
      const task = this.waiting.shift()!;
      this.running++;
      void task().then(this.onEnd);
    }
  }

  private readonly onEnd = (): void => {
    this.running--;
    this.start();
    if (this.waiting.length <= this.room) this.adders.shift()?.();
    if (this.running === 0 && this.waiting.length === 0) {
      for (const finish of this.finishers.splice(0)) finish();
    }
  };

  private async untilThereIsRoom(): Promise<void> {
    while (this.waiting.length > this.room) await new Promise<void>((resolve) => this.adders.push(resolve));
  }
}
