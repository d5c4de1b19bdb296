/** What cloud-sync, cloud-restore and cloud-verify have in common: a message comes in, a run goes on, a report leaves. */

import { randomUUID } from 'node:crypto';
import type { NodeMessage, NodeMessageInFlow } from 'node-red';
import type { Direction, Operation, RunReport, TransferMode } from '../src/engine/report.js';
import { asCloudSyncError, CloudSyncError } from '../src/errors.js';
import { configurationHash, type RunListener, type Runner } from '../src/runner/runner.js';
import type { RunRequest } from '../src/runner/task.js';
import { shown } from './properties.js';
import type { ConfiguredNode } from './requests.js';
import { failureSentence, finishedStatus, progressStatus, queuedStatus, StatusLine } from './status.js';
import { NoValueError } from './typed-inputs.js';

/** The part of the runner that nodes need. */
export type RunService = Pick<Runner, 'submit' | 'adopt' | 'release' | 'abort' | 'load'>;

type Send = (messages: Array<NodeMessage | null>) => void;
type Done = (error?: Error) => void;

/**
 * The messages whose runs go on, by node id, then by run id: several where one joined a run that waited. They outlive the
 * node object: a redeploy makes a new one.
 */
const openRuns = new Map<string, Map<string, NodeMessageInFlow[]>>();

/** How a node's runs are built and carried out. */
export interface RunNodeContext {
  operation: Operation;
  runs: () => RunService;
  request(message: NodeMessage): Promise<RunRequest>;
  /** What of a message the node's typed inputs read. */
  typedParts(message: NodeMessage): Record<string, unknown>;
  /** Tells this configuration from another one, whatever a message overrides. */
  configurationHash(): Promise<string>;
}

/** The error a Catch node gets: one sentence with the reason and the mend, and the code. */
function failure(report: RunReport): Error {
  return Object.assign(new Error(failureSentence(report)), { code: report.errors[0]?.code ?? 'INTERNAL' });
}

/** Waiting for archived objects takes longer than Node-RED may run without a restart. */
function goesOnByItself({ operation, restore }: RunRequest): boolean {
  return operation === 'restore' && restore?.thaw === true && !restore.dryRun;
}

/** Kept on the disk, where a hash of a password would help to guess it; new secrets don't make it another restore. */
function hashWithoutSecrets(request: RunRequest): string {
  const { encryptionPassword: _password, encryptionSalt: _salt, ...task } = request.task;
  const credential = { ...task.credential, secrets: {} };
  return configurationHash({ ...request, task: { ...task, credential } });
}

/**
 * What of a message a restore depends on, and what a flow may know it by; the rest does not outlive Node-RED.
 * @param typed what its typed inputs read
 */
function keptOf(
  { _msgid, topic, payload, cloudSync }: NodeMessageInFlow,
  typed: Record<string, unknown>,
): Record<string, unknown> {
  const paths = typeof payload === 'object' && payload !== null ? Reflect.get(payload, 'paths') : undefined;
  const kept: Record<string, unknown> = { ...typed, _msgid, topic, cloudSync };
  if (paths !== undefined) kept.payload = Object.assign(kept.payload ?? {}, { paths });
  return JSON.parse(JSON.stringify(kept)) as Record<string, unknown>;
}

export class RunNode {
  private readonly status: StatusLine;
  private closed = false;
  /** Runs that began with this node object: Node-RED hasn't ended since. */
  private readonly begun = new Set<string>();

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
        context.runs().release(node.id, removed);
        if (removed) openRuns.delete(node.id);
      } finally {
        done();
      }
    });
  }

  private async onMessage(message: NodeMessageInFlow, send: Send, done: Done): Promise<void> {
    const { action } = message;
    if (action === 'abort') {
      this.context.runs().abort(this.node.id);
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
      request.configurationHash = await this.context.configurationHash();
      if (goesOnByItself(request)) {
        request.resumption = {
          hash: hashWithoutSecrets(request),
          message: keptOf(message, this.context.typedParts(message)),
        };
      }
      if (this.closed) done();
      else this.start(request, message, this.listener(message, send, done));
    } catch (error) {
      this.finish(this.refusal(asCloudSyncError(error)), message, send, done);
    }
  }

  private start(request: RunRequest, message: NodeMessageInFlow, listener: RunListener): void {
    const { runId } = this.context.runs().submit(request, listener);
    this.begun.add(runId);
    const runs = openRuns.get(this.node.id) ?? new Map<string, NodeMessageInFlow[]>();
    openRuns.set(this.node.id, runs);
    runs.set(runId, [...(runs.get(runId) ?? []), message]);
  }

  private listener(message: NodeMessageInFlow, send: Send, done: Done): RunListener {
    return {
      onQueued: (why) => this.status.set(queuedStatus(why)),
      onStart: () => this.status.set({ fill: 'blue', shape: 'dot', text: 'starting' }),
      onProgress: (progress) => {
        this.status.update(progressStatus(progress));
        send([null, null, { _msgid: message._msgid, topic: message.topic, payload: progress }]);
      },
      onFinish: (report) => {
        openRuns.get(this.node.id)?.delete(report.runId);
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
    if (openRuns.get(node.id)?.size) {
      const hash = await context.configurationHash();
      if (this.closed) return;
      const tickets = context.runs().adopt(node.id, hash, (runId) => this.adoptedListener(runId));
      if (tickets.length > 0) return;
      // Changed by the deploy: the runner ends them, nobody hears of it.
      openRuns.delete(node.id);
    }
    await this.resume();
    await this.showLastRun();
  }

  /**
   * A restore that waited for archived objects (hours, days) when Node-RED ended goes on: nobody watches it for so long.
   * Its report leaves with what was kept of the message.
   */
  async resume(): Promise<void> {
    const { node, context } = this;
    const { status, resumption, report } = await context.runs().load(node.id);
    if (status !== 'interrupted' || resumption === undefined) return;
    if (this.closed || this.busy || report === undefined || this.begun.has(report.runId)) return;
    // Whatever becomes of it: once.
    this.begun.add(report.runId);
    const message = resumption.message as NodeMessageInFlow;
    try {
      const request = await context.request(message);
      if (hashWithoutSecrets(request) !== resumption.hash) {
        node.warn(
          'The restore that was interrupted is not resumed, because the node or its task was changed',
        );
        return;
      }
      request.configurationHash = await context.configurationHash();
      request.resumption = resumption;
      if (!this.closed) this.start(request, message, this.adoptedMessage(message));
    } catch (error) {
      node.warn(`The restore that was interrupted can't be resumed: ${asCloudSyncError(error).message}`);
    }
  }

  /** Carries on for every message that waits for this run. */
  private adoptedListener(runId: string): RunListener {
    const messages = openRuns.get(this.node.id)?.get(runId) ?? [];
    const listeners = messages.map((message) => this.adoptedMessage(message));
    return {
      onQueued: (why) => listeners[0]?.onQueued?.(why),
      onProgress: (progress) => listeners[0]?.onProgress?.(progress),
      onFinish: (report) => {
        for (const listener of listeners) listener.onFinish(report);
      },
    };
  }

  private adoptedMessage(message: NodeMessageInFlow): RunListener {
    const { node } = this;
    // `done` of the node that is gone leads nowhere. A node's own way to the Complete nodes has no public name.
    const complete = (node as unknown as { _complete?: (message: NodeMessage) => void })._complete;
    return this.listener(
      message,
      (messages) => node.send(messages as NodeMessage[]),
      (error) => {
        if (error !== undefined) node.error(error, message);
        else complete?.call(node, message);
      },
    );
  }

  /** What the last run came to, or at once, and not at three in the morning, why the node can't run. */
  private async showLastRun(): Promise<void> {
    const { node, context } = this;
    const problem = await this.problem();
    const { report } = problem === undefined ? await context.runs().load(node.id) : {};
    if (this.closed || this.busy) return;
    if (problem !== undefined) this.status.set({ fill: 'yellow', shape: 'ring', text: problem });
    else if (report !== undefined) this.status.set(finishedStatus(report));
  }

  private get busy(): boolean {
    return (openRuns.get(this.node.id)?.size ?? 0) > 0;
  }

  private async problem(): Promise<string | undefined> {
    // Where the task comes with the message there is nothing to check yet.
    if (this.context.operation === 'verify' && !this.node.saved.task) return undefined;
    try {
      await this.context.request({});
      return undefined;
    } catch (error) {
      return error instanceof NoValueError ? undefined : asCloudSyncError(error).message;
    }
  }
}
