/**
 * Starts child processes without holding Node-RED's event loop: a thread of its own does it (launcher-thread.ts), because
 * the system suspends whoever starts a process until the new program is loaded. What is said here is done there, in the
 * same order.
 */

import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { COMPILED_FOLDER_VARIABLE } from './transport.js';

/** What the thread is told. */
export type ToThread =
  | { type: 'start'; id: number; file: string; execArgv: string[]; env: NodeJS.ProcessEnv }
  | { type: 'send'; id: number; message: unknown }
  | { type: 'signal'; id: number; signal: NodeJS.Signals }
  /** Close channel and pipe; nothing more will be said to it. */
  | { type: 'release'; id: number }
  /** Answer with `settled`. */
  | { type: 'settle'; id: number }
  /** End, without children. */
  | { type: 'end' };

/** What the thread tells. */
export type FromThread =
  | { type: 'started'; id: number; pid: number }
  | { type: 'failed'; id: number; message: string }
  | { type: 'message'; id: number; message: unknown }
  /** The last of its standard error until now. */
  | { type: 'words'; id: number; words: string }
  /** Its standard error has ended. */
  | { type: 'silent'; id: number }
  | { type: 'disconnected'; id: number }
  | { type: 'exited'; id: number; code: number | null; signal: NodeJS.Signals | null }
  | { type: 'settled'; id: number };

/** Who wants to know what becomes of a child process. One of `onFailed`, `onExited` and `onLost` is called, once. */
export interface ProcessListener<Message> {
  onStarted(): void;
  /** It could not be started. */
  onFailed(error: Error): void;
  onMessage(message: Message): void;
  /** The last of its standard error until now, a few thousand characters. May hold secrets. */
  onWords(words: string): void;
  /** Its channel or its standard error was closed: see {@link LaunchedProcess.connected}, {@link LaunchedProcess.silent}. */
  onClosed(): void;
  /** It is gone. Messages and words may still follow, until it is released. */
  onExited(code: number | null, signal: NodeJS.Signals | null): void;
  /** The thread failed: the process was cut off, which ends it unless it hangs, and nothing will be heard of its end. */
  onLost(error: Error): void;
}

export interface LauncherOptions {
  /** The built `child.js`. */
  childFile: string;
  /** The built `launcher-thread.js`; default: beside `childFile`. */
  threadFile?: string;
  /** A folder where children keep what V8 has compiled for the next ones; default: nothing is kept. */
  compiledFolder?: string;
  /** ms without children after which the thread is ended, which gives its memory back; default 60,000. */
  idleMs?: number;
}

/** A child process, from the moment on that it was asked for. */
export class LaunchedProcess {
  /** Undefined until it was started. */
  pid: number | undefined;
  /** It can be spoken to. */
  connected = true;
  /** Its standard error was read to the end. */
  silent = false;
  readonly #post: (message: ToThread) => void;
  readonly #id: number;
  readonly #onRelease: () => void;

  constructor(id: number, post: (message: ToThread) => void, onRelease: () => void) {
    this.#id = id;
    this.#post = post;
    this.#onRelease = onRelease;
  }

  /** Anything that can be cloned, over its channel. */
  send(message: unknown): void {
    if (this.connected) this.#post({ type: 'send', id: this.#id, message });
  }

  kill(signal: NodeJS.Signals): void {
    this.#post({ type: 'signal', id: this.#id, signal });
  }

  /** Closes its channel; Node-RED may end without it. Only its exit is told any more. Every one has to be released. */
  release(): void {
    this.#post({ type: 'release', id: this.#id });
    this.#onRelease();
  }
}

interface Child {
  process: LaunchedProcess;
  listener: ProcessListener<never>;
  exited: boolean;
  released: boolean;
}

const DEFAULT_IDLE_MS = 60_000;

export class Launcher {
  readonly #options: LauncherOptions & Required<Pick<LauncherOptions, 'threadFile' | 'idleMs'>>;
  #thread: LauncherThread | undefined;

  constructor(options: LauncherOptions) {
    const threadFile = join(dirname(options.childFile), 'launcher-thread.js');
    this.#options = { threadFile, idleMs: DEFAULT_IDLE_MS, ...options };
  }

  /** Starts a child process with the arguments `execArgv` of Node.js. Never throws: what fails is told. */
  start<Message>(
    options: { execArgv: string[]; env: NodeJS.ProcessEnv },
    listener: ProcessListener<Message>,
  ): LaunchedProcess {
    if (this.#thread?.ended !== false) {
      this.#thread = new LauncherThread(this.#options.threadFile, this.#options.idleMs);
    }
    const { childFile, compiledFolder } = this.#options;
    const env =
      compiledFolder === undefined
        ? options.env
        : { ...options.env, [COMPILED_FOLDER_VARIABLE]: compiledFolder };
    return this.#thread.start({ file: childFile, ...options, env }, listener);
  }

  /** Resolves when all that was said to the children until now is on its way. */
  async settled(): Promise<void> {
    await this.#thread?.settled();
  }
}

/** One thread, from its start to its end. */
class LauncherThread {
  /** No child can be started with it any more. */
  ended = false;
  readonly #worker: Worker | undefined;
  readonly #idleMs: number;
  readonly #children = new Map<number, Child>();
  readonly #settling = new Map<number, () => void>();
  #error: Error | undefined;
  #idle: NodeJS.Timeout | undefined;
  #nextId = 1;

  constructor(file: string, idleMs: number) {
    this.#idleMs = idleMs;
    try {
      // What Node-RED was started with (inspectors, tracers) is not meant for it; it needs no environment of its own.
      this.#worker = new Worker(file, { name: 'cloud-sync launcher', execArgv: [], env: {} });
    } catch (error) {
      this.#error = asError(error);
      queueMicrotask(() => this.#onEnd());
      return;
    }
    this.#worker.unref();
    this.#worker.on('message', (message: FromThread) => this.#onMessage(message));
    this.#worker.on('error', (error) => {
      this.#error = asError(error);
    });
    // A message that was lost may have been the one that matters.
    this.#worker.on('messageerror', (error) => {
      this.#error = error;
      void this.#worker?.terminate();
    });
    // What it said before its end was heard before.
    this.#worker.on('exit', () => this.#onEnd());
  }

  start<Message>(
    options: Omit<ToThread & { type: 'start' }, 'id' | 'type'>,
    listener: ProcessListener<Message>,
  ): LaunchedProcess {
    clearTimeout(this.#idle);
    const id = this.#nextId++;
    const launched = new LaunchedProcess(
      id,
      (message) => this.#post(message),
      () => this.#release(id),
    );
    this.#children.set(id, { process: launched, listener, exited: false, released: false });
    this.#hold();
    this.#post({ type: 'start', id, ...options });
    return launched;
  }

  async settled(): Promise<void> {
    if (this.ended || this.#worker === undefined) return;
    const id = this.#nextId++;
    const answered = new Promise<void>((resolve) => this.#settling.set(id, resolve));
    this.#hold();
    this.#post({ type: 'settle', id });
    await answered;
  }

  #post(message: ToThread): void {
    if (!this.ended) this.#worker?.postMessage(message);
  }

  #onMessage(message: FromThread): void {
    if (message.type === 'settled') {
      this.#settling.get(message.id)?.();
      this.#settling.delete(message.id);
      this.#hold();
      return;
    }
    const child = this.#children.get(message.id);
    if (child === undefined) return;
    if (message.type === 'started') child.process.pid = message.pid;
    if (message.type === 'failed') {
      this.#forget(message.id);
      child.listener.onFailed(new Error(message.message));
    } else if (message.type === 'exited') {
      child.exited = true;
      if (child.released) this.#forget(message.id);
      child.listener.onExited(message.code, message.signal);
    } else if (!child.released) {
      passOn(message, child);
    }
  }

  #release(id: number): void {
    const child = this.#children.get(id);
    if (child === undefined) return;
    child.released = true;
    if (child.exited) this.#forget(id);
    else this.#hold();
  }

  #forget(id: number): void {
    this.#children.delete(id);
    this.#hold();
  }

  /** Node-RED may end unless there are children that it has to do with; the thread ends once there are none for a while. */
  #hold(): void {
    if (this.ended || this.#worker === undefined) return;
    const isUsed = this.#settling.size > 0 || [...this.#children.values()].some(({ released }) => !released);
    if (isUsed) this.#worker.ref();
    else this.#worker.unref();
    clearTimeout(this.#idle);
    if (isUsed || this.#children.size > 0) return;
    this.#idle = setTimeout(() => {
      this.#post({ type: 'end' });
      this.ended = true;
    }, this.#idleMs).unref();
  }

  #onEnd(): void {
    this.ended = true;
    clearTimeout(this.#idle);
    const why = this.#error === undefined ? '' : `: ${this.#error.message}`;
    const error = new Error(`the thread that starts such processes has ended${why}`);
    for (const { process: launched, listener, exited } of this.#children.values()) {
      launched.connected = false;
      launched.silent = true;
      if (exited) listener.onClosed();
      else if (launched.pid === undefined) listener.onFailed(error);
      else listener.onLost(error);
    }
    this.#children.clear();
    for (const resolve of this.#settling.values()) resolve();
    this.#settling.clear();
  }
}

type Passed = Exclude<FromThread, { type: 'failed' | 'exited' | 'settled' }>;

function passOn(message: Passed, { process: launched, listener }: Child): void {
  switch (message.type) {
    case 'started':
      listener.onStarted();
      break;
    case 'message':
      listener.onMessage(message.message as never);
      break;
    case 'words':
      listener.onWords(message.words);
      break;
    case 'silent':
      launched.silent = true;
      listener.onClosed();
      break;
    case 'disconnected':
      launched.connected = false;
      listener.onClosed();
      break;
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
