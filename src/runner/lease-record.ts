/**
 * Which leases runs of this data folder have taken: one small file each, whose lines name the run and its task. See
 * `LeaseRecord`.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LeaseRecord } from '../engine/lease.js';
import { safeFileName } from './file-names.js';
import { LockFiles } from './lock-files.js';
import type { RunRequest } from './task.js';

interface Taker {
  runId: string;
  taskId?: string;
}

/** By then every lease has ended by itself. ms. */
const FORGOTTEN_MS = 2 * 24 * 60 * 60_000;

export class LeaseFiles implements LeaseRecord {
  readonly #folder: string;
  readonly #locks: LockFiles;
  readonly #runId: string;
  readonly #taskId: string;

  constructor({ dataFolder, runId, task }: Pick<RunRequest, 'dataFolder' | 'runId' | 'task'>) {
    this.#folder = join(dataFolder, 'leases');
    this.#locks = new LockFiles(join(dataFolder, 'locks'));
    this.#runId = runId;
    this.#taskId = task.taskId;
  }

  begin(name: string): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    this.#removeForgotten();
    writeFileSync(this.#file(name), `${this.#runId}\n${this.#taskId}`);
  }

  end(name: string): void {
    rmSync(this.#file(name), { force: true });
  }

  async isLeftBehind(name: string): Promise<boolean> {
    const taker = takerIn(this.#file(name));
    return taker !== undefined && this.#isOver(taker);
  }

  /** Whether an earlier run of this task has left one: it was killed, or could not remove it. */
  async hasLeftBehind(): Promise<boolean> {
    for await (const _ of this.#leftBehind()) return true;
    return false;
  }

  async endOthers(names: ReadonlySet<string>): Promise<void> {
    const files = new Set([...names].map((name) => this.#file(name)));
    for await (const file of this.#leftBehind()) if (!files.has(file)) rmSync(file, { force: true });
  }

  /** The files of leases that earlier runs of this task have left. */
  async *#leftBehind(): AsyncGenerator<string> {
    if (!existsSync(this.#folder)) return;
    for (const name of readdirSync(this.#folder)) {
      const file = join(this.#folder, name);
      const taker = takerIn(file);
      if (taker?.taskId === this.#taskId && (await this.#isOver(taker))) yield file;
    }
  }

  /** A run holds its lock file as long as its process lives. */
  async #isOver({ runId }: Taker): Promise<boolean> {
    return !(await this.#locks.isHeld(runId));
  }

  #file(name: string): string {
    return join(this.#folder, safeFileName(name));
  }

  #removeForgotten(): void {
    for (const name of readdirSync(this.#folder)) {
      const file = join(this.#folder, name);
      const age = Date.now() - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0);
      if (age > FORGOTTEN_MS) rmSync(file, { force: true });
    }
  }
}

/** Undefined where the file has gone. */
function takerIn(file: string): Taker | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  const [runId = '', taskId] = text.split('\n');
  return { runId, taskId };
}
