/**
 * Sorting more than memory should hold: sorted runs go to files, which are merged again. Used for listings that come
 * in no order and for the journal of a run.
 */

import { closeSync, mkdirSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** How values are ordered and written as one line of text (no line feed in it). */
export interface SortedLines<T> {
  compare(a: T, b: T): number;
  encode(value: T): string;
  decode(line: string): T;
}

/** Values held in memory at most. */
const DEFAULT_BOUND = 50_000;
const PAGE_SIZE = 1_000;
const READ_SIZE = 256 * 1024;

export class ExternalSort<T> {
  private held: T[] = [];
  private readonly runs: string[] = [];

  /** @param folder made when the first run has to be written, removed by {@link dispose} */
  constructor(
    private readonly folder: string,
    private readonly lines: SortedLines<T>,
    private readonly bound = DEFAULT_BOUND,
  ) {}

  add(value: T): void {
    this.held.push(value);
    if (this.held.length >= this.bound) this.spill();
  }

  private spill(): void {
    this.held.sort(this.lines.compare);
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    const file = join(this.folder, `run-${this.runs.length}`);
    writeLines(file, this.held.map(this.lines.encode));
    this.runs.push(file);
    this.held = [];
  }

  /** All values in order; equal ones in the order in which they were added. May be read once. */
  *sorted(): Generator<T[]> {
    this.held.sort(this.lines.compare);
    if (this.runs.length === 0) {
      for (let at = 0; at < this.held.length; at += PAGE_SIZE) yield this.held.slice(at, at + PAGE_SIZE);
      return;
    }
    const sources: Iterator<T>[] = this.runs.map((file) => decoded(file, this.lines));
    sources.push(this.held[Symbol.iterator]());
    let page: T[] = [];
    for (const value of mergeSorted(sources, this.lines.compare)) {
      page.push(value);
      if (page.length === PAGE_SIZE) {
        yield page;
        page = [];
      }
    }
    if (page.length > 0) yield page;
  }

  /** Removes what was spilled. */
  dispose(): void {
    this.held = [];
    if (this.runs.length > 0) rmSync(this.folder, { recursive: true, force: true });
  }
}

function* decoded<T>(file: string, lines: SortedLines<T>): Generator<T> {
  for (const page of readLines(file)) for (const line of page) yield lines.decode(line);
}

/** Merges ordered sources; of equal values the one from the earlier source comes first. */
function* mergeSorted<T>(sources: Iterator<T>[], compare: (a: T, b: T) => number): Generator<T> {
  const heads = sources.map((source) => source.next());
  for (;;) {
    let smallest = -1;
    for (let index = 0; index < heads.length; index++) {
      const head = heads[index]!;
      if (head.done) continue;
      if (smallest < 0 || compare(head.value, heads[smallest]!.value as T) < 0) smallest = index;
    }
    if (smallest < 0) return;
    yield heads[smallest]!.value as T;
    heads[smallest] = sources[smallest]!.next();
  }
}

function writeLines(file: string, lines: string[]): void {
  const descriptor = openSync(file, 'w', 0o600);
  try {
    for (let at = 0; at < lines.length; at += PAGE_SIZE) {
      writeSync(descriptor, `${lines.slice(at, at + PAGE_SIZE).join('\n')}\n`);
    }
  } finally {
    closeSync(descriptor);
  }
}

/** The lines of a text file, some hundred at a time; a last line without a line feed is left out (half written). */
export function* readLines(file: string): Generator<string[]> {
  const descriptor = openSync(file, 'r');
  try {
    const buffer = Buffer.allocUnsafe(READ_SIZE);
    let rest: Buffer = Buffer.alloc(0);
    for (;;) {
      const length = readSync(descriptor, buffer, 0, READ_SIZE, null);
      if (length === 0) return;
      const end = buffer.subarray(0, length).lastIndexOf(10);
      if (end < 0) {
        rest = Buffer.concat([rest, buffer.subarray(0, length)]);
        continue;
      }
      const whole = Buffer.concat([rest, buffer.subarray(0, end)]);
      rest = Buffer.from(buffer.subarray(end + 1, length));
      yield whole.toString('utf8').split('\n');
    }
  } finally {
    closeSync(descriptor);
  }
}
