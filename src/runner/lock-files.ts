/**
 * Who may run now, between processes: a second Node-RED on the same folder, or the child of a killed Node-RED that is
 * still dying. One file per run in `locks/`, in the name of the child that writes, not of Node-RED.
 *
 * Lamport's bakery (Communications of the ACM 17 (8), 1974) with files: who comes says so (`number` null), draws a
 * number higher than all there are, and waits for everybody who overlaps and is drawing or has a lower one. File
 * names are never used twice, so a dead process's file can be removed by anyone at any time without a race.
 */

import { mkdir, readdir, readFile, rename, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { abortedError, CloudSyncError } from '../errors.js';
import { type Claim, findOverlap } from './claims.js';
import { safeFileName } from './file-names.js';
import { identifyProcess, type ProcessIdentity, processState } from './process-identity.js';

/** What stands in a lock file. No secret in it. */
interface LockEntry {
  runId: string;
  task: string;
  claims: readonly Claim[];
  /** The process that does the work. */
  holder: ProcessIdentity;
  /** The Node-RED it belongs to. */
  parent: ProcessIdentity;
  /** Null while the number is being drawn. */
  number: number | null;
}

export interface LockFilesOptions {
  /** ms between two looks at the files of others. */
  pollMs?: number;
  /** ms between two signs of life of a holder. */
  touchMs?: number;
  /** ms without a sign after which a holder in another container counts as dead. */
  silentMs?: number;
  /** ms a child may outlive its Node-RED before it is killed. */
  orphanMs?: number;
}

export class LockFiles {
  readonly #folder: string;
  readonly #options: Required<LockFilesOptions>;

  constructor(folder: string, options: LockFilesOptions = {}) {
    this.#folder = folder;
    this.#options = { pollMs: 500, touchMs: 20_000, silentMs: 90_000, orphanMs: 5000, ...options };
  }

  /**
   * Resolves once no living process holds or asked earlier for anything that overlaps `claims`; the result gives them
   * back. Throws ABORTED, and IO_ERROR where the folder can't be written: without a lock nothing runs.
   */
  async acquire(
    lock: { runId: string; task: string; claims: readonly Claim[]; pid: number },
    signal: AbortSignal,
    onWait: (why: string) => void,
  ): Promise<() => Promise<void>> {
    const file = this.#file(lock.runId);
    const entry: LockEntry = {
      runId: lock.runId,
      task: lock.task,
      claims: lock.claims,
      holder: await identifyProcess(lock.pid),
      parent: await identifyProcess(process.pid),
      number: null,
    };
    try {
      await mkdir(this.#folder, { recursive: true });
      await publish(file, entry);
      const others = await this.#others(file);
      await this.#removeDead(others);
      entry.number = 1 + Math.max(0, ...others.map((other) => other.entry.number ?? 0));
      await publish(file, entry);
    } catch (error) {
      await unlink(file).catch(() => undefined);
      throw new CloudSyncError('IO_ERROR', `The lock for this run can't be written: ${messageOf(error)}`, {
        advice: `Make ${this.#folder} writable for Node-RED.`,
        cause: error,
      });
    }
    const touching = setInterval(() => {
      const now = new Date();
      utimes(file, now, now).catch(() => undefined);
    }, this.#options.touchMs);
    touching.unref();
    const release = async () => {
      clearInterval(touching);
      await unlink(file).catch(() => undefined);
    };
    try {
      await this.#waitForTurn(file, entry, signal, onWait);
    } catch (error) {
      await release();
      throw error;
    }
    return release;
  }

  /** Whether a living process still holds the lock of this run. */
  async isHeld(runId: string): Promise<boolean> {
    const file = this.#file(runId);
    try {
      return !(await this.#isDead(file, JSON.parse(await readFile(file, 'utf8')) as LockEntry));
    } catch {
      return false;
    }
  }

  #file(runId: string): string {
    return join(this.#folder, `${safeFileName(runId)}.json`);
  }

  async #waitForTurn(
    file: string,
    entry: LockEntry,
    signal: AbortSignal,
    onWait: (why: string) => void,
  ): Promise<void> {
    const orphans = new Map<number, number>();
    let told = '';
    for (;;) {
      if (signal.aborted) throw abortedError();
      const blocker = await this.#blocker(file, entry, orphans);
      if (blocker === undefined) return;
      const why = `Waiting for "${blocker.task}" of another process (${blocker.holder.pid})`;
      if (why !== told) onWait(why);
      told = why;
      await delay(this.#options.pollMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #blocker(
    file: string,
    entry: LockEntry,
    orphans: Map<number, number>,
  ): Promise<LockEntry | undefined> {
    for (const other of await this.#others(file)) {
      if (findOverlap(other.entry.claims, entry.claims) === undefined) continue;
      if (other.entry.number !== null && !comesBefore(other.entry, entry)) continue;
      if (await this.#isDead(other.file, other.entry)) {
        await unlink(other.file).catch(() => undefined);
        continue;
      }
      await this.#endOrphan(other.entry, orphans);
      return other.entry;
    }
    return undefined;
  }

  async #removeDead(others: readonly { file: string; entry: LockEntry }[]): Promise<void> {
    for (const other of others) {
      if (await this.#isDead(other.file, other.entry)) await unlink(other.file).catch(() => undefined);
    }
  }

  async #isDead(file: string, entry: LockEntry): Promise<boolean> {
    const state = await processState(entry.holder);
    if (state !== 'unknown') return state === 'dead';
    try {
      return Date.now() - (await stat(file)).mtimeMs > this.#options.silentMs;
    } catch {
      return true;
    }
  }

  /**
   * A child ends by itself when its Node-RED is gone, unless it hangs in a system call (a dead mount, a FIFO): then
   * nobody else would ever end it. Number and start time make sure that it is the one.
   */
  async #endOrphan(entry: LockEntry, orphans: Map<number, number>): Promise<void> {
    if (entry.holder.started === '' || entry.holder.pid === process.pid) return;
    if ((await processState(entry.parent)) !== 'dead') return;
    const seen = orphans.get(entry.holder.pid) ?? performance.now();
    orphans.set(entry.holder.pid, seen);
    if (performance.now() - seen < this.#options.orphanMs) return;
    if ((await processState(entry.holder)) !== 'alive') return;
    try {
      process.kill(entry.holder.pid, 'SIGKILL');
    } catch {
      // Gone meanwhile, or not ours to end: the next look tells.
    }
  }

  async #others(own: string): Promise<{ file: string; entry: LockEntry }[]> {
    const found: { file: string; entry: LockEntry }[] = [];
    for (const name of await readdir(this.#folder)) {
      const file = join(this.#folder, name);
      if (file === own || !name.endsWith('.json')) continue;
      try {
        found.push({ file, entry: JSON.parse(await readFile(file, 'utf8')) as LockEntry });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
        // Files appear whole, by rename: what can't be read is what a power cut left.
        if (error instanceof SyntaxError) await unlink(file).catch(() => undefined);
        else throw error;
      }
    }
    return found;
  }
}

function comesBefore(first: LockEntry, second: LockEntry): boolean {
  if (first.number !== second.number) return (first.number ?? 0) < (second.number ?? 0);
  return first.runId < second.runId;
}

async function publish(file: string, entry: LockEntry): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, JSON.stringify(entry), { mode: 0o600 });
  await rename(temporary, file);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
