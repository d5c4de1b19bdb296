/** A list that is written once and read once, on disk past a bound: the deletes of a run, which come last. */

import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { readLines } from './external-sort.js';

const HELD = 5_000;

export class SpooledList<T> {
  private held: T[] = [];
  private descriptor: number | undefined;
  length = 0;

  constructor(private readonly file: string) {}

  push(value: T): void {
    this.held.push(value);
    this.length++;
    if (this.held.length >= HELD) this.spill();
  }

  private spill(): void {
    if (this.held.length === 0) return;
    if (this.descriptor === undefined) {
      mkdirSync(dirname(this.file), { recursive: true, mode: 0o700 });
      this.descriptor = openSync(this.file, 'w', 0o600);
    }
    writeSync(this.descriptor, `${this.held.map((value) => JSON.stringify(value)).join('\n')}\n`);
    this.held = [];
  }

  /** In the order of pushing, some hundred at a time. */
  *pages(size: number): Generator<T[]> {
    if (this.descriptor !== undefined) {
      this.spill();
      let page: T[] = [];
      for (const lines of readLines(this.file)) {
        for (const line of lines) {
          page.push(JSON.parse(line) as T);
          if (page.length === size) {
            yield page;
            page = [];
          }
        }
      }
      if (page.length > 0) yield page;
      return;
    }
    for (let at = 0; at < this.held.length; at += size) yield this.held.slice(at, at + size);
  }

  /** Empties it. */
  dispose(): void {
    if (this.descriptor !== undefined) {
      closeSync(this.descriptor);
      rmSync(this.file, { force: true });
    }
    this.descriptor = undefined;
    this.held = [];
    this.length = 0;
  }
}
