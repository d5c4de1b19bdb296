/** The work on single files, several at once: small ones and questions in one lane, large ones in another beside it. */

import type { RunContext } from './run-context.js';
import { WorkLane } from './work-lane.js';

/** Large files in flight at once, besides the small ones. */
const LARGE_AT_ONCE = 4;
/** Files that may wait for their turn. */
const WAITING = 256;

export class FileLanes {
  private readonly small: WorkLane;
  private readonly large: WorkLane;

  constructor(private readonly run: RunContext) {
    const { maximum } = run.gate;
    this.small = new WorkLane(maximum, WAITING);
    this.large = new WorkLane(Math.min(LARGE_AT_ONCE, maximum), WAITING);
  }

  /**
   * Returns when there is room for the next one. What goes wrong with `work` is taken note of under `path`. Throws
   * ListedTooEarly where what led to `work` doesn't stand any more.
   */
  async add(path: string, work: () => Promise<void>): Promise<void> {
    const holding = this.run.holdLease();
    if (holding !== undefined) await holding;
    await this.small.add(() => this.guarded(path, work));
  }

  /** The same for the transfer of a large file. */
  async addLarge(path: string, work: () => Promise<void>): Promise<void> {
    const holding = this.run.holdLease();
    if (holding !== undefined) await holding;
    await this.large.add(() => this.guarded(path, work));
  }

  /** Returns when everything added is done. */
  async drain(): Promise<void> {
    // In this order: a look in the small lane may find a large file to transfer.
    await this.small.drain();
    await this.large.drain();
  }

  private async guarded(path: string, work: () => Promise<void>): Promise<void> {
    const { run } = this;
    if (run.signal.aborted) return;
    await run.gate.enter();
    let failure: unknown;
    try {
      if (!run.signal.aborted) await work();
    } catch (error) {
      failure = error;
      run.fail(error, path);
    } finally {
      run.gate.leave(failure);
    }
  }
}
