/** A child process as Node-RED's side sees it: started, watched, stopped, and its end put into words. */

import { type ChildProcess, fork } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { FromChild, ToChild } from './transport.js';

export interface ProcessOptions {
  /** The built `child.js`. */
  childFile: string;
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
const LAST_WORDS_BYTES = 8192;
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
  readonly #child: ChildProcess | undefined;
  readonly #timers = new Set<NodeJS.Timeout>();
  #resolveEnded!: (end: ProcessEnd) => void;
  #resolveExited!: () => void;
  #killedFor: KillReason | undefined;
  #startError: Error | undefined;
  #lastWords = '';
  #silentChecks = 0;
  #stopping = false;
  #over = false;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.exited = new Promise((resolve) => {
      this.#resolveExited = resolve;
    });
    this.#child = this.#start();
  }

  /** Undefined where it could not be started. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  send(message: ToChild): void {
    if (this.#child?.connected !== true) return;
    // A channel that broke meanwhile shows as the child's end.
    this.#child.send(message, () => undefined);
  }

  /** Asks it to end: a message, then SIGTERM, then SIGKILL after 5 s. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.send({ type: 'abort' });
    this.#later(TERMINATE_MS, () => this.#signal('SIGTERM'));
    this.#later(KILL_MS, () => this.kill('stopped'));
  }

  /** Ends it without asking. */
  kill(reason: KillReason): void {
    if (this.#over) return;
    this.#killedFor ??= reason;
    this.#signal('SIGKILL');
    this.#later(ABANDON_MS, () => this.#finish(null, null, true));
  }

  #start(): ChildProcess | undefined {
    try {
      const child = fork(this.#options.childFile, [], {
        execArgv: [`--max-old-space-size=${heapMb(this.#options.memoryMb)}`],
        env: childEnvironment(process.env),
        serialization: 'advanced',
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      });
      child.on('message', (message: FromChild) => {
        this.#silentChecks = 0;
        if (!this.#over) this.#options.onMessage(message);
      });
      child.on('error', (error) => {
        if (child.pid !== undefined) return;
        this.#startError = error;
        this.#finish(null, null, false);
        this.#resolveExited();
      });
      child.on('exit', (code, signal) => void this.#onExit(child, code, signal));
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_BYTES);
      });
      child.on('disconnect', () => this.#later(DRAIN_MS, () => this.#signal('SIGKILL')));
      if (child.pid !== undefined) {
        this.#watchSilence();
        if (process.platform === 'linux') void this.#watchMemory(child.pid);
      }
      return child;
    } catch (error) {
      this.#startError = error instanceof Error ? error : new Error(String(error));
      queueMicrotask(() => {
        this.#finish(null, null, false);
        this.#resolveExited();
      });
      return undefined;
    }
  }

  async #onExit(child: ChildProcess, code: number | null, signal: NodeJS.Signals | null): Promise<void> {
    // Its last message and last words may still be on their way.
    const drained = Promise.all([
      new Promise<void>((done) => (child.connected ? child.once('disconnect', done) : done())),
      new Promise<void>((done) =>
        child.stderr?.readableEnded === false ? child.stderr.once('end', done) : done(),
      ),
    ]);
    await Promise.race([drained, new Promise((done) => setTimeout(done, DRAIN_MS).unref())]);
    child.stderr?.destroy();
    this.#finish(code, signal, false);
    this.#resolveExited();
  }

  #finish(code: number | null, signal: NodeJS.Signals | null, abandoned: boolean): void {
    if (this.#over) return;
    this.#over = true;
    for (const timer of this.#timers) clearTimeout(timer);
    if (abandoned) {
      // Node-RED must be able to end without it.
      this.#child?.unref();
      if (this.#child?.connected) this.#child.disconnect();
      this.#child?.stderr?.destroy();
    }
    this.#resolveEnded({
      code,
      signal,
      killedFor: this.#killedFor,
      startError: this.#startError,
      abandoned,
      lastWords: this.#lastWords,
    });
  }

  #signal(signal: NodeJS.Signals): void {
    try {
      this.#child?.kill(signal);
    } catch {
      // Gone already.
    }
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

  async #watchMemory(pid: number): Promise<void> {
    const used = await residentMb(pid);
    if (used !== undefined && used > this.#options.memoryMb) this.kill('memory');
    else this.#later(MEMORY_INTERVAL_MS, () => void this.#watchMemory(pid));
  }
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
