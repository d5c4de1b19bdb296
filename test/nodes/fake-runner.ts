/** A runner whose runs do what a test says: no processes, no files. */

import { EventEmitter } from 'node:events';
import type { Phase, Progress, RunReport, RunStatus } from '../../src/engine/report.js';
import { restoredFiles } from '../../src/runner/report.js';
import type { NodeRunState, RunListener, Runner } from '../../src/runner/runner.js';
import type { RunRequest } from '../../src/runner/task.js';

export interface FakeRun {
  request: RunRequest;
  listener: RunListener | undefined;
  released: boolean;
  aborted: boolean;
}

export class FakeRunner extends EventEmitter {
  readonly ready = Promise.resolve();
  /** Every run ever asked for. */
  readonly runs: FakeRun[] = [];
  /** What `load` and `state` say. */
  lastState: NodeRunState = { status: 'never' };
  private readonly open = new Set<FakeRun>();

  submit(request: RunRequest, listener: RunListener): ReturnType<Runner['submit']> {
    const run: FakeRun = { request, listener, released: false, aborted: false };
    this.runs.push(run);
    this.open.add(run);
    this.emit('submit', run);
    return {
      runId: request.runId,
      nodeId: request.nodeId,
      abort: () => undefined,
      finished: new Promise(() => undefined),
    };
  }

  adopt(nodeId: string, hash: string, listen: (runId: string) => RunListener): ReturnType<Runner['adopt']> {
    const tickets: ReturnType<Runner['adopt']> = [];
    for (const run of this.open) {
      if (run.request.nodeId !== nodeId || !run.released) continue;
      run.released = false;
      if (run.request.configurationHash !== hash) {
        run.aborted = true;
        continue;
      }
      run.listener = listen(run.request.runId);
      tickets.push({
        runId: run.request.runId,
        nodeId,
        abort: () => undefined,
        finished: new Promise(() => undefined),
      });
    }
    this.emit('adopt', nodeId);
    return tickets;
  }

  release(nodeId: string, removed: boolean): void {
    for (const run of this.open) {
      if (run.request.nodeId !== nodeId) continue;
      run.listener = undefined;
      run.released = !removed;
      if (removed) run.aborted = true;
    }
    this.emit('release', nodeId, removed);
  }

  abort(nodeId: string): number {
    const runs = [...this.open].filter((run) => run.request.nodeId === nodeId);
    for (const run of runs) this.finish(run, 'aborted');
    return runs.length;
  }

  state(): NodeRunState {
    return this.lastState;
  }
  async load(): Promise<NodeRunState> {
    return this.lastState;
  }
  onChange(): () => void {
    return () => undefined;
  }
  async history(): Promise<RunReport[]> {
    return this.lastState.report === undefined ? [] : [this.lastState.report];
  }
  async log(): ReturnType<Runner['log']> {
    return { ok: true, value: { entries: [], next: '', end: true } };
  }
  ask: Runner['ask'] = () => {
    throw new Error('Not asked for in this test');
  };
  async stop(): Promise<void> {}

  progress(run: FakeRun, phase: Phase, percent = 45): void {
    const { request } = run;
    const progress: Progress = {
      runId: request.runId,
      taskId: request.task.taskId,
      task: request.task.name,
      phase,
      percent,
      files: { done: 45, total: 100 },
      bytes: { done: 4500, total: 10_000 },
      bytesPerSecond: 12_300_000,
      etaSeconds: 180,
    };
    run.listener?.onProgress?.(progress);
  }

  finish(run: FakeRun, status: RunStatus, more: Partial<RunReport> = {}): RunReport {
    this.open.delete(run);
    const { request } = run;
    const report: RunReport = {
      runId: request.runId,
      taskId: request.task.taskId,
      task: request.task.name,
      operation: request.operation,
      direction: request.task.direction,
      transferMode: request.task.transferMode,
      dryRun: request.task.dryRun,
      status,
      startedAt: '2025-03-01T12:00:00.000Z',
      finishedAt: '2025-03-01T12:00:10.000Z',
      durationMs: 10_000,
      checked: 12,
      transferred: { files: 3, bytes: 4500 },
      deleted: 0,
      skipped: 0,
      requests: { total: 5 },
      errors: [],
      errorCount: 0,
      warnings: [],
      env: {},
      ...restoredFiles(request),
      ...more,
    };
    run.listener?.onFinish(report);
    return report;
  }
}
