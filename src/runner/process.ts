/** A child process as Node-RED's side sees it: started, watched, stopped, and its end put into words. */

import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { LaunchedProcess, Launcher } from './launcher.js';
import { identifyProcess, processState } from './process-identity.js';
import type { FromChild, ToChild } from './transport.js';

export interface ProcessOptions {
  /** Starts it. */
  launcher: Launcher;
  /** MiB of memory (resident set) beyond which it is killed. */
  memoryMb: number;
  /** ms without any message after which it counts as hung and is killed; it says every 2 s that it is alive. */
  hangMs?: number;
  /** Told by the child. */
  onMessage: (message: FromChild) => void;
}

/** Why this side killed it. */
export type KillReason = 'stopped' | 'memory' | 'hung';

/** How it ended. */
export interface ProcessEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
  killedFor?: KillReason;
  /** It could not be started at all. */
  startError?: Error;
  /** Why it was cut off from here; it was killed then. */
  lost?: Error;
  /** Not even SIGKILL ended it: it hangs in a system call (a dead network mount) and will die with that. */
  abandoned: boolean;
  /** The last lines it wrote to its standard error. May hold secrets. */
  lastWords: string;
}

/** ms between `abort` and SIGTERM, and between `abort` and SIGKILL. */
const TERMINATE_MS = 2000;
const KILL_MS = 5000;
/** ms after SIGKILL until it is given up. */
const ABANDON_MS = 1500;
/** ms to read what is left in channel and pipe after its end. */
const DRAIN_MS = 500;
const MEMORY_INTERVAL_MS = 250;
/** ms between two looks whether a process is gone whose end nobody reports. */
const GONE_INTERVAL_MS = 250;
const DEFAULT_HANG_MS = 600_000;

/**
 * Variables a child may see. Everything else stays here: other programs' secrets often live in the environment, and
 * NODE_OPTIONS (an inspector's port) is not meant for it.
 */
const PASSED_ON =
  /^(PATH|HOME|USER|LOGNAME|SHELL|TZ|LANG|LANGUAGE|LC_.*|TMPDIR|TEMP|TMP|(HTTP|HTTPS|ALL|NO)_PROXY|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|SSL_CERT_DIR|SYSTEMROOT|SYSTEMDRIVE|USERPROFILE|APPDATA|LOCALAPPDATA|COMSPEC|PATHEXT|WINDIR)$/i;

/** The part of `environment` that a child is given. */
export function childEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => PASSED_ON.test(name)));
}

/** Heap of the child in MiB: what is left is for buffers, code and threads. */
function heapMb(memoryMb: number): number {
  return Math.max(64, Math.floor(memoryMb * 0.6));
}

export class SupervisedProcess {
  /** Resolves when it is over: the child is gone, or was given up. */
  readonly ended: Promise<ProcessEnd>;
  /** Resolves when the child is really gone. Until then whatever it holds is held. */
  readonly exited: Promise<void>;
  readonly #options: ProcessOptions;
  readonly #child: LaunchedProcess;
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Channel and standard error are read to the end. */
  readonly #drained: Promise<void>;
  #resolveEnded!: (end: ProcessEnd) => void;
  #resolveExited!: () => void;
  #resolveDrained!: () => void;
  #killedFor: KillReason | undefined;
  #startError: Error | undefined;
  #lost: Error | undefined;
  #lastWords = '';
  #silentChecks = 0;
  #stopping = false;
  #cutOff = false;
  #over = false;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.exited = new Promise((resolve) => {
      this.#resolveExited = resolve;
    });
    this.#drained = new Promise((resolve) => {
      this.#resolveDrained = resolve;
    });
    this.#child = this.#start();
    this.#watchSilence();
  }

  /** Undefined until it was started: it is known when the first message comes. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  send(message: ToChild): void {
    this.#child.send(message);
  }

  /** Asks it to end: a message, then SIGTERM, then SIGKILL after 5 s. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.send({ type: 'abort' });
    this.#later(TERMINATE_MS, () => this.#child.kill('SIGTERM'));
    this.#later(KILL_MS, () => this.kill('stopped'));
  }

  /** Ends it without asking. */
  kill(reason: KillReason): void {
    if (this.#over) return;
    this.#killedFor ??= reason;
    this.#child.kill('SIGKILL');
    this.#later(ABANDON_MS, () => this.#finish(null, null, true));
  }

  #start(): LaunchedProcess {
    const { launcher, memoryMb, onMessage } = this.#options;
    const execArgv = [`--max-old-space-size=${heapMb(memoryMb)}`];
    return launcher.start<FromChild>(
      { execArgv, env: childEnvironment(process.env) },
      {
        onStarted: () => {
          if (process.platform === 'linux') void this.#watchMemory();
        },
        onFailed: (error) => {
          this.#startError = error;
          this.#finish(null, null, false);
          this.#resolveExited();
        },
        onMessage: (message) => {
          this.#silentChecks = 0;
          if (!this.#over) onMessage(message);
        },
        onWords: (words) => {
          this.#lastWords = words;
        },
        onClosed: () => this.#onClosed(),
        onExited: (code, signal) => void this.#onExit(code, signal),
        onLost: (error) => void this.#onLost(error),
      },
    );
  }

  #onClosed(): void {
    if (this.#child.connected) return;
    if (!this.#cutOff) this.#later(DRAIN_MS, () => this.#child.kill('SIGKILL'));
    this.#cutOff = true;
    if (this.#child.silent) this.#resolveDrained();
  }

  async #onExit(code: number | null, signal: NodeJS.Signals | null): Promise<void> {
    // Its last message and last words may still be on their way.
    await Promise.race([this.#drained, delay(DRAIN_MS, undefined, { ref: false })]);
    this.#child.release();
    this.#finish(code, signal, false);
    this.#resolveExited();
  }

  /** Nobody will tell that it has exited; without its channel it ends, unless it hangs. */
  async #onLost(error: Error): Promise<void> {
    this.#lost = error;
    const pid = this.#child.pid!;
    try {
      // Its exit was not seen, so its number is still its own.
      process.kill(pid, 'SIGKILL');
    } catch {
      // Gone already.
    }
    this.#later(ABANDON_MS, () => this.#finish(null, null, true));
    await untilGone(pid);
    this.#finish(null, 'SIGKILL', false);
    this.#resolveExited();
  }

  #finish(code: number | null, signal: NodeJS.Signals | null, abandoned: boolean): void {
    if (this.#over) return;
    this.#over = true;
    for (const timer of this.#timers) clearTimeout(timer);
    // Node-RED must be able to end without it.
    if (abandoned) this.#child.release();
    this.#resolveEnded({
      code,
      signal,
      killedFor: this.#killedFor,
      startError: this.#startError,
      lost: this.#lost,
      abandoned,
      lastWords: this.#lastWords,
    });
  }

  #later(ms: number, action: () => void): void {
    if (this.#over) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#over) action();
    }, ms);
    timer.unref();
    this.#timers.add(timer);
  }

  /** Counts checks and not time: a machine that was suspended must not look like a child that hangs. */
  #watchSilence(): void {
    const checks = 10;
    this.#later((this.#options.hangMs ?? DEFAULT_HANG_MS) / checks, () => {
      this.#silentChecks++;
      if (this.#silentChecks > checks) this.kill('hung');
      else this.#watchSilence();
    });
  }

  async #watchMemory(): Promise<void> {
    const used = await residentMb(this.#child.pid!);
    if (used !== undefined && used > this.#options.memoryMb) this.kill('memory');
    else this.#later(MEMORY_INTERVAL_MS, () => void this.#watchMemory());
  }
}

async function untilGone(pid: number): Promise<void> {
  const identity = await identifyProcess(pid);
  while ((await processState(identity)) === 'alive') await delay(GONE_INTERVAL_MS, undefined, { ref: false });
}

/** proc(5): VmRSS, in kB. */
async function residentMb(pid: number): Promise<number | undefined> {
  try {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'latin1'));
    return match === null ? undefined : Number(match[1]) / 1024;
  } catch {
    return undefined;
  }
}

/** What happened, for people: `The run's process ran out of memory ...`. */
export function describeEnd(end: ProcessEnd, memoryMb: number): string {
  const who = "The run's process";
  if (end.startError !== undefined) return `${who} could not be started: ${end.startError.message}`;
  if (end.lost !== undefined) return `${who} was ended: ${end.lost.message}`;
  if (end.killedFor === 'memory') return `${who} used more than ${memoryMb} MB of memory and was ended`;
  if (/out of memory|Allocation failed|allocation failure/i.test(end.lastWords)) {
    return `${who} ran out of memory (it may use ${memoryMb} MB)`;
  }
  if (end.killedFor === 'hung') return `${who} hung and was ended`;
  if (end.killedFor === 'stopped') return `${who} did not end when asked and was killed`;
  if (end.abandoned) return `${who} can't be ended: it hangs in the operating system`;
  if (end.signal !== null) return `${who} was killed by ${end.signal}`;
  return `${who} ended with exit code ${end.code} before it was done`;
}

/** The last lines of its standard error, without the stack frames and registers of a crash. */
export function lastLines(end: ProcessEnd): string[] {
  return end.lastWords
    .split('\n')
    .map((line) => line.trim().slice(0, 300))
    .filter((line) => line !== '' && !/^(-+|\d+: 0x|at |Node\.js v|\[\d+:0x)/.test(line))
    .slice(-5);
}
