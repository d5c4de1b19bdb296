/** Which leases runs of this data folder have taken: one small file each, that names the run. See `LeaseRecord`. */

import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LeaseRecord } from '../engine/lease.js';
import { safeFileName } from './file-names.js';
import { LockFiles } from './lock-files.js';

/** By then every lease has ended by itself. ms. */
const FORGOTTEN_MS = 2 * 24 * 60 * 60_000;

export class LeaseFiles implements LeaseRecord {
  readonly #folder: string;
  readonly #locks: LockFiles;
  readonly #runId: string;

  constructor({ dataFolder, runId }: { dataFolder: string; runId: string }) {
    this.#folder = join(dataFolder, 'leases');
    this.#locks = new LockFiles(join(dataFolder, 'locks'));
    this.#runId = runId;
  }

  begin(name: string): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    this.#removeForgotten();
    writeFileSync(this.#file(name), this.#runId);
  }

  end(name: string): void {
    rmSync(this.#file(name), { force: true });
  }

  /** A run holds its lock file as long as its process lives. */
  async isLeftBehind(name: string): Promise<boolean> {
    let runId: string;
    try {
      runId = readFileSync(this.#file(name), 'utf8');
    } catch {
      return false;
    }
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
