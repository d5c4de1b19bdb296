/** All far ends at once: most of a test of faults is waiting. */

import { type FaultProxy, startFaultProxy } from '../servers/fault-proxy.js';
import { FAR_ENDS, type FarEnd } from './far-ends.js';
import { FaultBench } from './fault-bench.js';

export interface Place {
  farEnd: FarEnd;
  proxy: FaultProxy;
  bench: FaultBench;
}

export class EveryFarEnd {
  private readonly started: Omit<Place, 'bench'>[] = [];
  private runs = 0;

  /** @param providers Those that take part; default: all. */
  constructor(private readonly providers: readonly string[] = Object.keys(FAR_ENDS)) {}

  async start(): Promise<void> {
    for (const provider of this.providers) {
      const farEnd = await FAR_ENDS[provider]!();
      this.started.push({ farEnd, proxy: await startFaultProxy(farEnd.url) });
    }
  }

  async stop(): Promise<void> {
    for (const { farEnd, proxy } of this.started.splice(0)) {
      await proxy.stop();
      await farEnd.stop();
    }
  }

  /**
   * Calls `test` at each far end with a folder of its own there and here, at all of them at once unless `oneByOne`. What
   * fails says where.
   */
  async each(test: (place: Place) => Promise<void>, { oneByOne = false } = {}): Promise<void> {
    const run = async ({ farEnd, proxy }: Omit<Place, 'bench'>) => {
      const bench = new FaultBench(farEnd, proxy.endpoint, `run-${++this.runs}`);
      try {
        await test({ farEnd, proxy, bench });
      } catch (error) {
        if (error instanceof Error) error.message = `${farEnd.provider}: ${error.message}`;
        throw error;
      } finally {
        proxy.rule = undefined;
        farEnd.setClockOff?.(0);
        bench.dispose();
      }
    };
    if (oneByOne) {
      for (const place of this.started) await run(place);
      return;
    }
    const results = await Promise.allSettled(this.started.map(run));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }
}
