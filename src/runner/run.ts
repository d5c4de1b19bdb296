/** One run on Node-RED's side: waits for its turn, has a process, ends with a report. */

import { appendFile } from 'node:fs/promises';
import type { LogEntry, Progress, RunReport } from '../engine/report.js';
import { abortedError, asCloudSyncError, CloudSyncError, hasCode } from '../errors.js';
import type { Claim } from './claims.js';
import type { ExecutionResult } from './execute.js';
import type { History } from './history.js';
import type { Launcher } from './launcher.js';
import type { LockFiles } from './lock-files.js';
import type { LockTable } from './locks.js';
import { describeEnd, lastLines, type ProcessEnd, SupervisedProcess } from './process.js';
import { ProgressTracker } from './progress.js';
import { reportOf, resultWithout } from './report.js';
import { currentLogFile, type LogLimits } from './run-log.js';
import { scrubberOf } from './scrub.js';
import type { Slots } from './slots.js';
import type { RunRequest } from './task.js';
import { type FromChild, PROGRESS_INTERVAL_MS } from './transport.js';

/** Who wants to know about a run. What it throws is ignored. */
export interface RunListener {
  /** It has to wait; `why` is a sentence for people. Called again when the reason changes. */
  onQueued?(why: string): void;
  onStart?(): void;
  /** At most twice a second. */
  onProgress?(progress: Progress): void;
  onFinish(report: RunReport): void;
}

/** What runs share. */
export interface RunSurroundings {
  launcher: Launcher;
  memoryMb: number;
  hangMs: number;
  slots: Slots;
  locks: LockTable;
  lockFiles: LockFiles;
  history: History;
  logLimits: LogLimits;
  /** State or progress changed. */
  onChange: () => void;
}

/** Why a run was asked to end. */
export interface AbortReason {
  message: string;
  /** Node-RED stops: shown as interrupted. */
  interrupted: boolean;
}

export class Run {
  readonly request: RunRequest;
  /** Of the node's configuration. */
  readonly hash: string;
  readonly finished: Promise<RunReport>;
  state: 'queued' | 'running' | 'finished' = 'queued';
  /** Whom it waits for, while it is queued. */
  waitingFor = '';
  report: RunReport | undefined;
  readonly #surroundings: RunSurroundings;
  readonly #listeners = new Set<RunListener>();
  readonly #controller = new AbortController();
  readonly #tracker: ProgressTracker;
  #resolveFinished!: (report: RunReport) => void;
  #reason: AbortReason | undefined;
  #process: SupervisedProcess | undefined;
  #onClaims: ((claims: Claim[]) => void) | undefined;
  #result: ExecutionResult | undefined;
  #startedAt = new Date();
  #startedTick = performance.now();
  #progressTimer: NodeJS.Timeout | undefined;
  #shownProgress = '';
  #shownAt = Number.NEGATIVE_INFINITY;

  constructor(request: RunRequest, hash: string, surroundings: RunSurroundings) {
    this.request = request;
    this.hash = hash;
    this.#surroundings = surroundings;
    const { runId, task } = request;
    this.#tracker = new ProgressTracker({ runId, taskId: task.taskId, task: task.name });
    this.finished = new Promise((resolve) => {
      this.#resolveFinished = resolve;
    });
  }

  get progress(): Progress {
    return this.#tracker.current();
  }

  get hasListeners(): boolean {
    return this.#listeners.size > 0;
  }

  /** From now on `listener` is told too: at once, if there is a reason to wait or it runs already. */
  listen(listener: RunListener): void {
    if (this.report !== undefined) {
      const report = this.report;
      queueMicrotask(() => quietly(() => listener.onFinish(report)));
      return;
    }
    this.#listeners.add(listener);
    if (this.state === 'running') quietly(() => listener.onStart?.());
    else if (this.waitingFor !== '') quietly(() => listener.onQueued?.(this.waitingFor));
  }

  /** Nobody is told any more: the node was closed by a deploy. */
  forgetListeners(): void {
    this.#listeners.clear();
  }

  /** It has to wait, and says why. */
  queued(why: string): void {
    if (this.waitingFor === why) return;
    this.waitingFor = why;
    this.#tell((listener) => listener.onQueued?.(why));
    // Flows hear of it too: its phase is `waiting`.
    const { progress } = this;
    this.#tell((listener) => listener.onProgress?.(progress));
    this.#surroundings.onChange();
  }

  /** Ends it, if it hasn't ended. `finished` resolves soon: within 7 s, whatever the process does. */
  abort(reason: AbortReason): void {
    if (this.state === 'finished' || this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller.abort();
    if (this.state === 'running') this.#process?.stop();
    else this.#process?.kill('stopped');
  }

  /** Carries it out. Resolves with the report; `gone` then tells when its process is really gone. Never rejects. */
  async carryOut(): Promise<RunReport> {
    const { history } = this.#surroundings;
    let result: ExecutionResult;
    try {
      result = await this.#inTurn();
    } catch (error) {
      result = this.#resultOfError(error);
    }
    clearTimeout(this.#progressTimer);
    const report = reportOf(this.request, this.#times(), result);
    this.state = 'finished';
    this.report = report;
    const { nodeId, previewOf, resumption } = this.request;
    const isInterrupted = report.status === 'aborted' && this.#wasInterrupted();
    const remembered = Promise.resolve(
      previewOf === undefined ? history.add(nodeId, report, isInterrupted, resumption) : undefined,
    ).then(() => history.end(report.runId));
    // A data folder that hangs must not keep the report back.
    await Promise.race([remembered, new Promise((resolve) => setTimeout(resolve, 1000).unref())]);
    this.#tell((listener) => listener.onFinish(report));
    this.#listeners.clear();
    this.#resolveFinished(report);
    return report;
  }

  /** Everything is taken in one order (slot, this process's locks, lock file) and given back when the child is gone. */
  async #inTurn(): Promise<ExecutionResult> {
    const { slots, locks, lockFiles } = this.#surroundings;
    const giveBack: (() => unknown)[] = [];
    const onWait = (why: string) => this.queued(why);
    let child: SupervisedProcess | undefined;
    try {
      giveBack.push(await slots.acquire(this.#controller.signal, onWait));
      child = this.#start();
      const claims = await this.#claims(child);
      const dead = new AbortController();
      void child.ended.then(() => dead.abort());
      const signal = AbortSignal.any([this.#controller.signal, dead.signal]);
      try {
        giveBack.push(await locks.acquire(claims, this.request.task.name, signal, onWait));
        const { runId, task } = this.request;
        const lock = { runId, task: task.name, claims, pid: child.pid! };
        giveBack.push(await lockFiles.acquire(lock, signal, onWait));
        await this.#begin(child);
      } catch (error) {
        if (hasCode(error, 'ABORTED') && dead.signal.aborted)
          return await this.#resultOfEnd(await child.ended);
        throw error;
      }
      return await this.#resultOfEnd(await child.ended);
    } finally {
      if (child !== undefined) child.kill('stopped');
      void Promise.resolve(child?.exited).then(() => {
        for (const give of giveBack.reverse()) give();
      });
    }
  }

  #start(): SupervisedProcess {
    const { launcher, memoryMb, hangMs, logLimits } = this.#surroundings;
    const child = new SupervisedProcess({
      launcher,
      memoryMb,
      hangMs,
      onMessage: (message) => this.#onMessage(message),
    });
    this.#process = child;
    child.send({ type: 'run', request: this.request, logLimits });
    return child;
  }

  async #claims(child: SupervisedProcess): Promise<Claim[]> {
    const told = new Promise<Claim[]>((resolve) => {
      this.#onClaims = resolve;
    });
    const first = await Promise.race([told, child.ended]);
    if (Array.isArray(first)) return first;
    if (this.#controller.signal.aborted) throw abortedError();
    if (this.#result?.errors[0] !== undefined) throw CloudSyncError.fromRecord(this.#result.errors[0]);
    throw this.#died(first);
  }

  async #begin(child: SupervisedProcess): Promise<void> {
    this.#startedAt = new Date();
    this.#startedTick = performance.now();
    // Should Node-RED not survive the run, this is what will be known of it.
    const reason = { path: '', code: 'ABORTED', message: 'Interrupted' } as const;
    const report = reportOf(this.request, this.#times(), resultWithout('aborted', reason, undefined));
    await this.#surroundings.history.begin(this.request.nodeId, report, this.request.resumption);
    if (this.#controller.signal.aborted) throw abortedError();
    this.state = 'running';
    this.waitingFor = '';
    child.send({ type: 'go' });
    this.#tell((listener) => listener.onStart?.());
    this.#surroundings.onChange();
  }

  #onMessage(message: FromChild): void {
    switch (message.type) {
      case 'claims':
        this.#onClaims?.(message.claims);
        return;
      case 'result':
        this.#result = message.result;
        return;
      case 'phase':
        this.#tracker.enter(message.phase);
        break;
      case 'progress':
        this.#tracker.update(message.progress);
        break;
      case 'alive':
        break;
      default:
        return;
    }
    if (this.state === 'running') this.#progressTimer ??= this.#scheduleProgress();
  }

  /** Sparse on purpose: every message reaches each open editor. */
  #scheduleProgress(): NodeJS.Timeout {
    const wait = Math.max(0, this.#shownAt + PROGRESS_INTERVAL_MS - performance.now());
    return setTimeout(() => {
      this.#progressTimer = undefined;
      const progress = this.#tracker.current();
      const text = JSON.stringify(progress);
      if (text === this.#shownProgress || this.state !== 'running') return;
      this.#shownProgress = text;
      this.#shownAt = performance.now();
      this.#tell((listener) => listener.onProgress?.(progress));
      this.#surroundings.onChange();
    }, wait).unref();
  }

  async #resultOfEnd(end: ProcessEnd): Promise<ExecutionResult> {
    if (this.#result !== undefined) return this.#withReason(this.#result);
    if (this.#reason !== undefined) {
      const result = this.#resultOfError(abortedError());
      if (this.state !== 'running') return result;
      const message = describeEnd(end, this.#surroundings.memoryMb);
      return { ...result, warnings: [...result.warnings, { path: '', code: 'RUN_DIED', message }] };
    }
    const error = this.#died(end);
    await this.#logDeath(error, lastLines(end).map(scrubberOf(this.request)));
    return this.#resultOfError(error);
  }

  #died(end: ProcessEnd): CloudSyncError {
    const words = lastLines(end).map(scrubberOf(this.request)).join(' / ').slice(0, 300);
    const what = describeEnd(end, this.#surroundings.memoryMb);
    const ofMemory = /memory/.test(what);
    return new CloudSyncError(
      'RUN_DIED',
      ofMemory || words === '' ? what : `${what}. Its last words: ${words}`,
      {
        advice: ofMemory
          ? 'Raise cloudSync.runMemoryMb in settings.js, or set fewer transfers.'
          : 'The next run takes up what is left to do.',
      },
    );
  }

  #resultOfError(error: unknown): ExecutionResult {
    const aborted = this.#reason !== undefined && hasCode(error, 'ABORTED');
    if (!aborted) return resultWithout('failed', asCloudSyncError(error).toRecord(), this.#tracker.last);
    return resultWithout('aborted', this.#abortRecord(), this.#tracker.last);
  }

  /** An aborted run says who stopped it. */
  #withReason(result: ExecutionResult): ExecutionResult {
    if (result.status !== 'aborted') return result;
    return { ...result, warnings: [...result.warnings, this.#abortRecord()] };
  }

  #abortRecord() {
    return {
      path: '',
      code: 'ABORTED',
      message: this.#reason?.message ?? 'Its process was told to end',
    } as const;
  }

  /** Where nobody here asked for it, the system did: it stops its services, or somebody ended the process. */
  #wasInterrupted(): boolean {
    return this.#reason?.interrupted ?? true;
  }

  /** The process that writes the log is gone. */
  async #logDeath(error: CloudSyncError, words: readonly string[]): Promise<void> {
    const lines = [error.message, ...words].map((message): LogEntry => {
      return { time: Date.now(), level: 'error', event: 'died', message };
    });
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    const file = currentLogFile(this.request.dataFolder, this.request.runId);
    await appendFile(file, text, { mode: 0o600 }).catch(() => undefined);
  }

  #times() {
    return { startedAt: this.#startedAt, durationMs: performance.now() - this.#startedTick };
  }

  #tell(what: (listener: RunListener) => void): void {
    for (const listener of [...this.#listeners]) quietly(() => what(listener));
  }
}

/** Calls a listener: one that throws must neither stop a run nor end Node-RED. */
export function quietly(action: () => void): void {
  try {
    action();
  } catch {
    // Its own matter.
  }
}
