/** What processes use, from Linux's /proc (proc(5)). */

import { readdirSync, readFileSync } from 'node:fs';

/** ms of one clock tick: USER_HZ is 100 on every platform that Node.js runs on. */
const TICK_MS = 10;

/** CPU time in ms: its own, and that of children which have ended and were waited for. */
export interface CpuTime {
  own: number;
  children: number;
}

export function cpuTime(pid: number | 'self'): CpuTime {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // After the name, which may hold spaces: state is field 3, utime 14, stime 15, cutime 16, cstime 17.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = (number: number) => Number(fields[number - 3]);
  return { own: (ticks(14) + ticks(15)) * TICK_MS, children: (ticks(16) + ticks(17)) * TICK_MS };
}

/** Bytes of memory in use now and at the most so far; zero for a process that is gone. */
export function memory(pid: number): { now: number; peak: number } {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'latin1');
    const kilobytes = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0);
    return { now: kilobytes('VmRSS') * 1024, peak: kilobytes('VmHWM') * 1024 };
  } catch {
    return { now: 0, peak: 0 };
  }
}

/** Processes that the threads of `pid` and its descendants have started and that are still there. */
export function descendants(pid: number): number[] {
  const children = threadsOf(pid).flatMap((thread) => childrenOf(pid, thread));
  return children.flatMap((child) => [child, ...descendants(child)]);
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function childrenOf(pid: number, thread: string): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  } catch {
    // The thread has ended meanwhile.
    return [];
  }
}

const SAMPLE_MS = 25;

/** Watches the memory of a process and of all that it starts. */
export class MemoryWatch {
  readonly #idle: number;
  readonly #peaks = new Map<number, number>();
  #peak = 0;
  readonly #timer: NodeJS.Timeout;

  /** @param countsOwn the whole of `pid` counts, not only what it grows beyond now */
  constructor(
    private readonly pid: number,
    countsOwn: boolean,
  ) {
    this.#idle = countsOwn ? 0 : memory(pid).now;
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS).unref();
    this.#sample();
  }

  #sample(): void {
    const own = this.#idle === 0 ? memory(this.pid).peak : memory(this.pid).now;
    let sum = Math.max(0, own - this.#idle);
    for (const child of descendants(this.pid)) {
      const { peak } = memory(child);
      this.#peaks.set(child, Math.max(this.#peaks.get(child) ?? 0, peak));
      sum += this.#peaks.get(child)!;
    }
    this.#peak = Math.max(this.#peak, sum);
  }

  /** Bytes. */
  stop(): number {
    this.#sample();
    clearInterval(this.#timer);
    return this.#peak;
  }
}
