/**
 * Files that changed each time they were read: a warning at first, for a program may just be writing them; an error once
 * it has been so for several runs in a row, for then the file has no backup.
 */

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** From so many runs in a row on it is an error. */
export const CHANGING_RUNS = 5;
/** Paths remembered; more at once is no file in use but a disk that is being written. */
const MOST = 10_000;

export class ChangingFiles {
  private readonly before: Record<string, number>;
  private readonly now: Record<string, number> = {};

  /** @param file where the counts of the last run stand */
  constructor(private readonly file: string) {
    this.before = readCounts(file);
  }

  /** Takes note of one, and tells for how many runs in a row it has been so. */
  note(path: string): number {
    const count = (this.before[path] ?? 0) + 1;
    if (Object.keys(this.now).length < MOST) this.now[path] = count;
    return count;
  }

  /** The run has looked at every file: those it didn't name are fine again. */
  finish(): void {
    if (Object.keys(this.now).length === 0) {
      rmSync(this.file, { force: true });
      return;
    }
    mkdirSync(dirname(this.file), { recursive: true, mode: 0o700 });
    writeFileSync(this.file, JSON.stringify(this.now), { mode: 0o600 });
  }
}

function readCounts(file: string): Record<string, number> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>;
  } catch {
    return {};
  }
}
