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
   * Undefined: there is room for the next one; otherwise there will be. What goes wrong with `work` is taken note of under
   * `path`. Throws ListedTooEarly where what led to `work` doesn't stand any more.
   */
  add(path: string, work: () => Promise<void>): Promise<void> | undefined {
    return this.addTo(this.small, path, work);
  }

  /** The same for the transfer of a large file. */
  addLarge(path: string, work: () => Promise<void>): Promise<void> | undefined {
    return this.addTo(this.large, path, work);
  }

  /** Returns when everything added is done. */
  async drain(): Promise<void> {
    // In this order: a look in the small lane may find a large file to transfer.
    await this.small.drain();
    await this.large.drain();
  }

  private addTo(lane: WorkLane, path: string, work: () => Promise<void>): Promise<void> | undefined {
    const task = () => this.guarded(path, work);
    const holding = this.run.holdLease();
    return holding === undefined ? lane.add(task) : holding.then(() => lane.add(task));
  }

  private async guarded(path: string, work: () => Promise<void>): Promise<void> {
    const { run } = this;
    if (run.signal.aborted) return;
    const entering = run.gate.enter();
    if (entering !== undefined) await entering;
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
