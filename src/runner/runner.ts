/** Starts, queues, watches, stops and remembers runs: what the nodes of Node-RED talk to. One per data folder. */

import { join } from 'node:path';
import type { Progress, RunReport } from '../engine/report.js';
import { QuestionPool } from './ask.js';
import { configurationHash } from './configuration.js';
import { History } from './history.js';
import { Launcher } from './launcher.js';
import { LockFiles } from './lock-files.js';
import { LockTable } from './locks.js';
import type { AnswerTo, Question } from './questions.js';
import { skippedReport } from './report.js';
import { type AbortReason, quietly, Run, type RunListener, type RunSurroundings } from './run.js';
import { DEFAULT_LOG_LIMITS, type LogQuery } from './run-log.js';
import { Slots } from './slots.js';
import type { Resumption, RunRequest } from './task.js';

export { configurationHash } from './configuration.js';
export type { RunListener } from './run.js';

export interface RunnerOptions {
  /** This package's folder under Node-RED's userDir. */
  dataFolder: string;
  /** The built `child.js`, with `launcher-thread.js` beside it. */
  childFile: string;
  /** MiB one run's process may use; default 1024. */
  runMemoryMb?: number;
  /** Days that reports and logs are kept; default 90. */
  historyDays?: number;
  /** ms a run whose node was closed waits for it to come back; default 15,000. */
  adoptionMs?: number;
  /** Runs with a process of their own at the same time; default 8. */
  maxRuns?: number;
  /** ms without a sign of life after which a run's process is killed; default 600,000. */
  hangMs?: number;
}

/** A run somebody asked for. */
export interface RunTicket {
  /** That of the run that is joined, where the message joined one that waits. */
  readonly runId: string;
  readonly nodeId: string;
  abort(reason?: string): void;
  readonly finished: Promise<RunReport>;
}

/** What a node's status and the sidebar show. */
export interface NodeRunState {
  status: 'never' | 'queued' | 'running' | 'success' | 'failed' | 'aborted' | 'interrupted';
  /** While queued or running. */
  runId?: string;
  progress?: Progress;
  /** While queued: whom it waits for, a sentence. */
  waitingFor?: string;
  /** Of the last run that ended. */
  report?: RunReport;
  /** ISO 8601: first failure since the last success; dry runs neither set nor clear it. */
  failedSince?: string;
  /** ISO 8601: end of the last success that was no dry run. */
  succeededAt?: string;
  /** While interrupted: how the run can be asked for again, where it goes on by itself. */
  resumption?: Resumption;
}

interface NodeRuns {
  current?: Run;
  waiting?: Run;
  /** The node was closed: who comes back in time takes these over. */
  released?: { timer: NodeJS.Timeout; finished: Run[] };
}

const CHANGE_INTERVAL_MS = 500;
const RECOVER_INTERVAL_MS = 5000;
/** ms `stop` takes at most; Node-RED gives 15 s. */
const STOP_MS = 8000;
const HISTORY_RUNS = 200;

export class Runner {
  /** Resolves when runs that an earlier Node-RED left behind are known as interrupted. */
  readonly ready: Promise<void>;
  readonly #options: Required<RunnerOptions>;
  readonly #nodes = new Map<string, NodeRuns>();
  readonly #history: History;
  readonly #lockFiles: LockFiles;
  readonly #launcher: Launcher;
  readonly #questions: QuestionPool;
  readonly #shared: Omit<RunSurroundings, 'onChange'>;
  readonly #changeListeners = new Set<(nodeId: string) => void>();
  readonly #changed = new Map<string, { last: number; timer?: NodeJS.Timeout }>();
  #stopping = false;

  constructor(options: RunnerOptions) {
    this.#options = {
      runMemoryMb: 1024,
      historyDays: 90,
      adoptionMs: 15_000,
      maxRuns: 8,
      hangMs: 600_000,
      ...withoutUndefined(options),
    };
    const { dataFolder, childFile, runMemoryMb, historyDays, maxRuns, hangMs } = this.#options;
    this.#history = new History(dataFolder, { runs: HISTORY_RUNS, days: historyDays });
    this.#lockFiles = new LockFiles(join(dataFolder, 'locks'));
    this.#launcher = new Launcher({ childFile, compiledFolder: join(dataFolder, 'compiled') });
    this.#questions = new QuestionPool({ launcher: this.#launcher });
    this.#shared = {
      launcher: this.#launcher,
      memoryMb: runMemoryMb,
      hangMs,
      slots: new Slots(maxRuns),
      locks: new LockTable(),
      lockFiles: this.#lockFiles,
      history: this.#history,
      logLimits: { ...DEFAULT_LOG_LIMITS, days: historyDays },
    };
    this.ready = this.#recover();
  }

  /** Starts, queues, joins the waiting one, or skips, as `whenBusy` says. Problems arrive as a report, never as a throw. */
  submit(request: RunRequest, listener: RunListener): RunTicket {
    const node = this.#node(request.nodeId);
    if (node.current !== undefined && request.task.whenBusy === 'skip') {
      return skip(request, listener, 'The task was running when the message came');
    }
    if (node.waiting !== undefined) return this.#join(node.waiting, request, listener);
    const run = this.#newRun(request);
    run.listen(listener);
    if (this.#stopping) {
      run.abort({ message: 'Node-RED is stopping', interrupted: true });
      void run.carryOut();
    } else if (node.current === undefined) {
      this.#start(node, run);
    } else {
      node.waiting = run;
      run.queued('Waiting for the run before');
    }
    return this.#ticket(run);
  }

  /**
   * A node came back after a deploy. Its runs, running, waiting or just finished, are taken over if its configuration
   * is the same (`configurationHash` of what the node would run without a message's overrides), else aborted.
   * `makeListener` is called once for each run that is taken over.
   */
  adopt(nodeId: string, hash: string, makeListener: (runId: string) => RunListener): RunTicket[] {
    const node = this.#nodes.get(nodeId);
    if (node?.released === undefined) return [];
    const { timer, finished } = node.released;
    clearTimeout(timer);
    node.released = undefined;
    const tickets: RunTicket[] = [];
    for (const run of [...finished, node.current, node.waiting]) {
      if (run === undefined) continue;
      if (run.hash === hash) {
        run.listen(makeListener(run.request.runId));
        tickets.push(this.#ticket(run));
      } else {
        run.abort({ message: 'Its node was changed by a deploy', interrupted: false });
      }
    }
    return tickets;
  }

  /**
   * A node was closed by a deploy. Its listeners hear no more. Its runs go on for a while, for the node to come back
   * and {@link adopt} them, then are aborted; with `removed`, at once.
   */
  release(nodeId: string, removed: boolean): void {
    const node = this.#nodes.get(nodeId);
    if (node === undefined) return;
    for (const run of [node.current, node.waiting]) run?.forgetListeners();
    if (removed) {
      this.#abortAll(node, { message: 'Its node was removed or disabled', interrupted: false });
      return;
    }
    if (node.current === undefined) return;
    clearTimeout(node.released?.timer);
    const timer = setTimeout(() => {
      node.released = undefined;
      this.#abortAll(node, { message: 'Its node did not come back after a deploy', interrupted: false });
    }, this.#options.adoptionMs);
    timer.unref();
    node.released = { timer, finished: node.released?.finished ?? [] };
  }

  /** Aborts the running and the waiting run of that node; how many there were. */
  abort(nodeId: string, reason = 'Stopped by a message or in the editor'): number {
    const node = this.#nodes.get(nodeId);
    return node === undefined ? 0 : this.#abortAll(node, { message: reason, interrupted: false });
  }

  /** As it is now. What earlier processes left is known once {@link load} has resolved. */
  state(nodeId: string): NodeRunState {
    const last = this.#history.last(nodeId);
    const state: NodeRunState = { status: 'never' };
    if (last !== undefined) {
      state.report = last.report;
      state.failedSince = last.failedSince;
      state.succeededAt = last.succeededAt;
      // A skipped message is no run and isn't remembered.
      const { status } = last.report;
      state.status = last.interrupted ? 'interrupted' : status === 'skipped' ? 'aborted' : status;
      state.resumption = last.resumption;
    }
    const run = this.#nodes.get(nodeId)?.current;
    if (run !== undefined && run.state !== 'finished') {
      state.status = run.state;
      state.runId = run.request.runId;
      state.progress = run.progress;
      if (run.waitingFor !== '') state.waitingFor = run.waitingFor;
    }
    return state;
  }

  /** Like {@link state}, after what is on the disk was read. */
  async load(nodeId: string): Promise<NodeRunState> {
    await this.ready;
    await this.#history.load(nodeId);
    return this.state(nodeId);
  }

  /** Told at most twice a second for each node; returns what ends it. */
  onChange(listener: (nodeId: string) => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  /** Remembered runs, newest first; lists in them are cut to 20. */
  async history(nodeId: string): Promise<RunReport[]> {
    return await this.#history.read(nodeId);
  }

  /** A page of a run's log, also while it runs. */
  async log(runId: string, query: LogQuery = {}): Promise<AnswerTo<Question & { kind: 'log' }>> {
    return await this.ask({ kind: 'log', dataFolder: this.#options.dataFolder, runId, query });
  }

  /** Answers a question of the editor in a child process. Never rejects. */
  ask<Q extends Question>(question: Q, signal?: AbortSignal): Promise<AnswerTo<Q>> {
    return this.#questions.ask(question, signal);
  }

  /** Node-RED stops: aborts everything; resolves after at most 8 s. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#questions.close();
    const ends: Promise<unknown>[] = [];
    for (const node of this.#nodes.values()) {
      clearTimeout(node.released?.timer);
      for (const run of [node.current, node.waiting]) if (run !== undefined) ends.push(run.finished);
      this.#abortAll(node, { message: 'Node-RED was stopped', interrupted: true });
    }
    // Who is told to end by a signal has it before Node-RED ends: one that hangs doesn't see that.
    const all = Promise.all(ends).then(() =>
      Promise.all([this.#history.settled(), this.#launcher.settled()]),
    );
    await Promise.race([all, new Promise((resolve) => setTimeout(resolve, STOP_MS).unref())]);
    for (const { timer } of this.#changed.values()) clearTimeout(timer);
  }

  #newRun(request: RunRequest): Run {
    const onChange = () => this.#onChange(request.nodeId);
    const hash = request.configurationHash ?? configurationHash(request);
    return new Run(request, hash, { ...this.#shared, onChange });
  }

  #start(node: NodeRuns, run: Run): void {
    node.current = run;
    this.#onChange(run.request.nodeId);
    void run.carryOut().then(() => {
      node.released?.finished.push(run);
      node.current = undefined;
      const next = node.waiting;
      node.waiting = undefined;
      this.#onChange(run.request.nodeId);
      if (next !== undefined) this.#start(node, next);
    });
  }

  /** Whoever joins gets the report of the run that waits, and is told where it isn't quite what was asked for. */
  #join(waiting: Run, request: RunRequest, listener: RunListener): RunTicket {
    const differs = configurationHash(waiting.request) !== configurationHash(request);
    waiting.listen({
      ...listenerMethods(listener),
      onFinish: (report) => listener.onFinish(differs ? joinedReport(report) : report),
    });
    return this.#ticket(waiting);
  }

  #ticket(run: Run): RunTicket {
    return {
      runId: run.request.runId,
      nodeId: run.request.nodeId,
      finished: run.finished,
      abort: (reason = 'Stopped') => this.#abortRun(run, { message: reason, interrupted: false }),
    };
  }

  #abortAll(node: NodeRuns, reason: AbortReason): number {
    // The waiting one first, so that it doesn't start when the running one ends.
    const runs = [node.waiting, node.current].filter((run) => run !== undefined);
    for (const run of runs) this.#abortRun(run, reason);
    return runs.length;
  }

  #abortRun(run: Run, reason: AbortReason): void {
    run.abort(reason);
    const node = this.#node(run.request.nodeId);
    if (node.waiting !== run) return;
    node.waiting = undefined;
    // It never had a process: this only makes its report.
    void run.carryOut().then(() => this.#onChange(run.request.nodeId));
  }

  #node(nodeId: string): NodeRuns {
    let node = this.#nodes.get(nodeId);
    if (node === undefined) {
      node = {};
      this.#nodes.set(nodeId, node);
    }
    return node;
  }

  #onChange(nodeId: string): void {
    if (this.#changeListeners.size === 0) return;
    const now = performance.now();
    const change = this.#changed.get(nodeId) ?? { last: Number.NEGATIVE_INFINITY };
    this.#changed.set(nodeId, change);
    if (change.timer !== undefined) return;
    change.timer = setTimeout(
      () => {
        change.timer = undefined;
        change.last = performance.now();
        for (const listener of this.#changeListeners) quietly(() => listener(nodeId));
      },
      Math.max(0, change.last + CHANGE_INTERVAL_MS - now),
    ).unref();
  }

  async #recover(): Promise<void> {
    try {
      const { nodeIds, again } = await this.#history.recover((runId) => this.#lockFiles.isHeld(runId));
      for (const nodeId of nodeIds) this.#onChange(nodeId);
      if (again && !this.#stopping) setTimeout(() => void this.#recover(), RECOVER_INTERVAL_MS).unref();
      else await this.#history.prune();
    } catch {
      // A data folder that can't be read has no history; the first run says what is wrong with it.
    }
  }
}

function skip(request: RunRequest, listener: RunListener, why: string): RunTicket {
  const report = skippedReport(request, why);
  const finished = Promise.resolve(report);
  void finished.then(() => quietly(() => listener.onFinish(report)));
  return { runId: request.runId, nodeId: request.nodeId, finished, abort: () => undefined };
}

function joinedReport(report: RunReport): RunReport {
  const message = 'This message joined a run that was waiting already; its own settings were not used';
  return { ...report, warnings: [...report.warnings, { path: '', code: 'BUSY', message }] };
}

function listenerMethods(listener: RunListener): RunListener {
  return {
    onQueued: (why) => listener.onQueued?.(why),
    onStart: () => listener.onStart?.(),
    onProgress: (progress) => listener.onProgress?.(progress),
    onFinish: (report) => listener.onFinish(report),
  };
}

function withoutUndefined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}
