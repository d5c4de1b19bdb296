/**
 * What other flows of a Node-RED notice of a run: how long `fs` and `dns` take to answer, and how late the event loop is.
 * A process that has nothing to do with any run does the same at the same moments; what it notices is the machine's doing.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { stat } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';

/** ms. `typical`: 95 of 100 were faster. */
export interface Waits {
  typical: number;
  slowest: number;
}

export interface Noticed {
  /** How often `fs` and `dns` were asked. */
  count: number;
  answers: Waits;
  loop: Waits;
}

/** Uses `fs` and `dns` as other flows do, until what it returns is called. */
export function otherFlows(): () => Promise<Noticed> {
  const loop = monitorEventLoopDelay({ resolution: 5 });
  loop.enable();
  const answers: number[] = [];
  let stopped = false;
  const work = (async () => {
    while (!stopped) {
      const start = performance.now();
      await Promise.all([stat('/'), lookup('localhost')]);
      answers.push(performance.now() - start);
      await delay(10);
    }
  })();
  return async () => {
    stopped = true;
    await work;
    loop.disable();
    answers.sort((a, b) => a - b);
    return {
      count: answers.length,
      answers: { typical: answers[Math.floor(answers.length * 0.95)]!, slowest: answers.at(-1)! },
      loop: { typical: loop.percentile(95) / 1e6, slowest: loop.max / 1e6 },
    };
  };
}

/** What a machine that is as busy as `beside` noticed may add to something that takes some seconds. ms. */
export function patience({ answers, loop }: Noticed): number {
  return 10 * Math.max(answers.slowest, loop.slowest);
}

/** The same in a process of its own. */
export class Bystander {
  private constructor(private readonly child: ChildProcess) {}

  /** @param program bystander.ts, bundled */
  static async start(program: string): Promise<Bystander> {
    const child = fork(program, [], { execArgv: [] });
    await new Promise((resolve) => child.once('message', resolve));
    return new Bystander(child);
  }

  begin(): void {
    this.child.send('begin');
  }

  async end(): Promise<Noticed> {
    const noticed = new Promise<Noticed>((resolve) => {
      this.child.once('message', (message) => resolve(message as Noticed));
    });
    this.child.send('end');
    return await noticed;
  }

  stop(): void {
    this.child.kill('SIGKILL');
  }
}
