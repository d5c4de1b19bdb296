/** What cloud-sync, cloud-restore and cloud-verify have in common: a message comes in, a run goes on, a report leaves. */

import { randomUUID } from 'node:crypto';
import type { NodeMessage, NodeMessageInFlow } from 'node-red';
import type { Direction, Operation, Progress, RunReport, TransferMode } from '../src/engine/report.js';
import { asCloudSyncError, CloudSyncError } from '../src/errors.js';
import type { RunRequest } from '../src/runner/task.js';
import { shown } from './properties.js';
import type { ConfiguredNode } from './requests.js';
import { failureSentence, finishedStatus, progressStatus, queuedStatus, StatusLine } from './status.js';

export interface RunListener {
  onQueued?(why: string): void;
  onStart?(): void;
  onProgress?(progress: Progress): void;
  onFinish(report: RunReport): void;
}

/** The part of the runner that nodes need. */
export interface RunService {
  submit(request: RunRequest, listener: RunListener): { runId: string };
  adopt(nodeId: string, configurationHash: string, listen: (runId: string) => RunListener): unknown[];
  release(nodeId: string, removed: boolean): void;
  /** Aborts all runs of a node and says how many. */
  abort(nodeId: string): number;
}

type Send = (messages: Array<NodeMessage | null>) => void;
type Done = (error?: Error) => void;

/** A run that goes on, and the message that asked for it. Lives longer than the node object: a redeploy makes a new one. */
interface OpenRun {
  message: NodeMessageInFlow;
}

/** Open runs by node id, then by run id. */
const openRuns = new Map<string, Map<string, OpenRun>>();

/** How a node's runs are built and carried out. */
export interface RunNodeContext {
  operation: Operation;
  runs: RunService;
  hash(request: RunRequest): string;
  request(message: NodeMessage): Promise<RunRequest>;
}

/** The error a Catch node gets: one sentence with the reason and the mend, and the code. */
function failure(report: RunReport): Error {
  return Object.assign(new Error(failureSentence(report)), { code: report.errors[0]?.code ?? 'INTERNAL' });
}

export class RunNode {
  private readonly status: StatusLine;
  private closed = false;

  constructor(
    readonly node: ConfiguredNode,
    readonly context: RunNodeContext,
  ) {
    this.status = new StatusLine((status) => node.status(status));
    // Node-RED ignores the promise of an async handler: a rejection nobody takes would end the whole process.
    node.on('input', (message, send, done) => {
      this.onMessage(message, send as Send, done).catch((error: unknown) => done(asCloudSyncError(error)));
    });
    node.on('close', (removed: boolean, done: () => void) => {
      this.closed = true;
      try {
        context.runs.release(node.id, removed);
        if (removed) openRuns.delete(node.id);
      } finally {
        done();
      }
    });
  }

  private async onMessage(message: NodeMessageInFlow, send: Send, done: Done): Promise<void> {
    const { action } = message;
    if (action === 'abort') {
      this.context.runs.abort(this.node.id);
      done();
      return;
    }
    try {
      if (action !== undefined && action !== null && action !== '' && action !== 'run') {
        throw new CloudSyncError('INVALID_INPUT', `msg.action is ${shown(action)}`, {
          field: 'action',
          advice: 'Use "run" or "abort".',
        });
      }
      const request = await this.context.request(message);
      if (this.closed) {
        done();
        return;
      }
      this.start(request, message, send, done);
    } catch (error) {
      this.finish(this.refusal(asCloudSyncError(error)), message, send, done);
    }
  }

  private start(request: RunRequest, message: NodeMessageInFlow, send: Send, done: Done): void {
    const runs = openRuns.get(this.node.id) ?? new Map<string, OpenRun>();
    openRuns.set(this.node.id, runs.set(request.runId, { message }));
    this.context.runs.submit(request, this.listener(request.runId, message, send, done));
  }

  private listener(runId: string, message: NodeMessageInFlow, send: Send, done: Done): RunListener {
    return {
      onQueued: (why) => this.status.set(queuedStatus(why)),
      onProgress: (progress) => {
        this.status.update(progressStatus(progress));
        send([null, null, { _msgid: message._msgid, topic: message.topic, payload: progress }]);
      },
      onFinish: (report) => {
        openRuns.get(this.node.id)?.delete(runId);
        this.finish(report, message, send, done);
      },
    };
  }

  private finish(report: RunReport, message: NodeMessageInFlow, send: Send, done: Done): void {
    this.status.set(finishedStatus(report));
    message.payload = report;
    send(report.status === 'success' ? [message, null, null] : [null, message, null]);
    if (report.status === 'failed') done(failure(report));
    else done();
  }

  /** The report of a run that never began. */
  private refusal(error: CloudSyncError): RunReport {
    const { saved, id } = this.node;
    const { operation } = this.context;
    const now = new Date().toISOString();
    return {
      runId: randomUUID(),
      taskId: operation === 'sync' ? id : String(saved.task ?? ''),
      task: String(saved.name ?? ''),
      operation,
      direction: (saved.direction ?? (operation === 'restore' ? 'pull' : 'push')) as Direction,
      transferMode: (saved.transferMode ?? 'copy') as TransferMode,
      dryRun: saved.dryRun === true,
      status: 'failed',
      startedAt: now,
      finishedAt: now,
      durationMs: 0,
      checked: 0,
      transferred: { files: 0, bytes: 0 },
      deleted: 0,
      skipped: 0,
      requests: { total: 0 },
      errors: [error.toRecord()],
      errorCount: 1,
      warnings: [],
      env: {},
    };
  }

  /**
   * After a deploy, when every node is there again: takes over the runs of the node that stood here before, where this
   * node with the same message would start the same run. What isn't taken over, the runner ends.
   */
  async takeOver(): Promise<void> {
    const { node, context } = this;
    for (const { message } of [...(openRuns.get(node.id)?.values() ?? [])]) {
      const request = await context.request(message).catch(() => undefined);
      if (request === undefined || this.closed) continue;
      context.runs.adopt(node.id, context.hash(request), (runId) => this.adoptedListener(runId, message));
    }
    if (!this.closed) await this.showProblem();
  }

  private adoptedListener(runId: string, fallback: NodeMessageInFlow): RunListener {
    const message = openRuns.get(this.node.id)?.get(runId)?.message ?? fallback;
    // `done` of the node that is gone leads nowhere. A node's own way to the Complete nodes has no public name.
    const complete = (this.node as unknown as { _complete?: (message: NodeMessage) => void })._complete;
    return this.listener(
      runId,
      message,
      (messages) => this.node.send(messages as NodeMessage[]),
      (error) => {
        if (error !== undefined) this.node.error(error, message);
        else complete?.call(this.node, message);
      },
    );
  }

  /** Says under the node at once, and not at three in the morning, that it can't run. */
  private async showProblem(): Promise<void> {
    if (openRuns.get(this.node.id)?.size) return;
    // Where the task comes with the message there is nothing to check yet.
    if (this.context.operation === 'verify' && !this.node.saved.task) return;
    try {
      await this.context.request({});
    } catch (error) {
      const { message } = asCloudSyncError(error);
      if (!this.closed) this.status.set({ fill: 'yellow', shape: 'ring', text: message });
    }
  }
}
