/** Progress as people see it: never running back, never past 100 %, with a speed that doesn't jump. */

import type { Amount, Phase, Progress } from '../engine/report.js';
import type { ExecutionProgress } from './execute.js';

/** A file costs at least a request, whatever its size: this many bytes for percent and time left. */
const BYTES_PER_FILE = 64 * 1024;
/** ms the speed is measured over. */
const WINDOW_MS = 8000;

interface Sample {
  time: number;
  bytes: number;
  work: number;
}

export class ProgressTracker {
  readonly #names: Pick<Progress, 'runId' | 'taskId' | 'task'>;
  readonly #now: () => number;
  #phase: Phase = 'waiting';
  #files: Amount = { done: 0, total: 0 };
  #bytes: Amount = { done: 0, total: 0 };
  #percent = 0;
  #samples: Sample[] = [];
  #last: ExecutionProgress | undefined;

  /** `now` in ms, monotonic. */
  constructor(
    names: Pick<Progress, 'runId' | 'taskId' | 'task'>,
    now: () => number = () => performance.now(),
  ) {
    this.#names = names;
    this.#now = now;
  }

  /** What the child said last, as it said it. */
  get last(): ExecutionProgress | undefined {
    return this.#last;
  }

  enter(phase: Phase): void {
    this.#phase = phase;
  }

  update(progress: ExecutionProgress): void {
    this.#last = progress;
    this.#phase = progress.phase;
    this.#files = advanced(this.#files, progress.files);
    this.#bytes = advanced(this.#bytes, progress.bytes);
    const total = work(this.#bytes.total, this.#files.total);
    // The whole is known and done only when the run is over: until then one percent is left.
    const percent = total === 0 ? 0 : Math.min(99, Math.floor((100 * this.#workDone()) / total));
    this.#percent = Math.max(this.#percent, percent);
  }

  /** As it is now. Asking regularly keeps the speed true while nothing arrives. */
  current(): Progress {
    const now = this.#now();
    const sample = { time: now, bytes: this.#bytes.done, work: this.#workDone() };
    this.#samples = [...this.#samples.filter((other) => now - other.time <= WINDOW_MS), sample];
    const first = this.#samples[0]!;
    const seconds = (now - first.time) / 1000;
    // Shorter than this, one large answer would look like a fast line.
    const measured = seconds >= 1;
    const bytesPerSecond = measured ? Math.round((sample.bytes - first.bytes) / seconds) : 0;
    const workPerSecond = measured ? (sample.work - first.work) / seconds : 0;
    const left = work(this.#bytes.total, this.#files.total) - sample.work;
    const known = this.#phase === 'transferring' && workPerSecond > 0;
    return {
      ...this.#names,
      phase: this.#phase,
      percent: this.#percent,
      files: { ...this.#files },
      bytes: { ...this.#bytes },
      bytesPerSecond,
      ...(this.#last?.frozen === undefined ? {} : { frozen: this.#last.frozen }),
      etaSeconds: known ? Math.ceil(left / workPerSecond) : null,
    };
  }

  #workDone(): number {
    return work(this.#bytes.done, this.#files.done);
  }
}

function work(bytes: number, files: number): number {
  return bytes + files * BYTES_PER_FILE;
}

function advanced(before: Amount, now: Amount): Amount {
  const done = Math.max(before.done, now.done);
  return { done, total: Math.max(done, now.total) };
}
