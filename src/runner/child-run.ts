/** One run, in the child process: waits for its locks, then script, transfer, script, and the result. */

import { compileFilter } from '../engine/filter.js';
import { checkPlace } from '../engine/mount-guard.js';
import type { LogEntry, Phase } from '../engine/report.js';
import { asCloudSyncError, CloudSyncError, type ErrorRecord } from '../errors.js';
import { claimsOf, effectiveRun } from './claims.js';
import { cloudSyncEnvironment } from './environment.js';
import type { Execution, ExecutionHost, ExecutionResult } from './execute.js';
import { stateFolderOf } from './file-names.js';
import { countsOfProgress } from './report.js';
import { type LogLimits, LogWriter, pruneLogs, removeLeftovers } from './run-log.js';
import { runScript } from './scripts.js';
import { type Scrub, scrubberOf } from './scrub.js';
import { RunSnapshot, type SnapshotView } from './snapshot.js';
import type { RunRequest } from './task.js';
import { type FromChild, PROGRESS_INTERVAL_MS } from './transport.js';

type Execute = (request: RunRequest, host: ExecutionHost) => Execution;
type Send = (message: FromChild) => Promise<void>;

export class ChildRun {
  readonly #request: RunRequest;
  readonly #execute: Execute;
  readonly #send: Send;
  readonly #controller = new AbortController();
  readonly #scrub: Scrub;
  readonly #log: LogWriter;
  readonly #logLimits: LogLimits;
  #phase: Phase = 'waiting';
  #execution: Execution | undefined;
  #snapshot: SnapshotView | undefined;
  #lastProgress = '';
  #ended = false;

  constructor(request: RunRequest, logLimits: LogLimits, execute: Execute, send: Send) {
    this.#request = request;
    this.#execute = execute;
    this.#send = send;
    this.#scrub = scrubberOf(request);
    this.#logLimits = logLimits;
    this.#log = new LogWriter(request.dataFolder, request.runId, logLimits);
  }

  /** Says what the run occupies; `then` is called where it ends right here, because that can't be told. */
  prepare(then: () => void): void {
    try {
      void this.#send({ type: 'claims', claims: claimsOf(this.#request) });
    } catch (error) {
      this.#end(this.#failed(asCloudSyncError(error))).then(then, then);
    }
  }

  abort(): void {
    this.#controller.abort();
  }

  /** Carries the run out; resolves when the result has been handed to the channel. */
  async go(): Promise<void> {
    const progress = setInterval(() => this.#sendProgress(), PROGRESS_INTERVAL_MS);
    try {
      this.#cleanUp();
      await this.#end(await this.#carryOut());
    } finally {
      clearInterval(progress);
    }
  }

  /** What earlier runs left. A data folder that refuses is no reason not to run. */
  #cleanUp(): void {
    try {
      pruneLogs(this.#request.dataFolder, this.#logLimits);
      removeLeftovers(this.#request.dataFolder);
    } catch (error) {
      const { message } = asCloudSyncError(error);
      this.#write({ time: Date.now(), level: 'warning', event: 'clean-up', message });
    }
  }

  /** Something threw where nobody caught it: nothing this process says afterwards can be trusted. */
  die(error: unknown, then: () => void): void {
    const reason = asCloudSyncError(error);
    process.stderr.write(`${reason.stack ?? reason.message}\n`);
    this.#controller.abort();
    this.#end(this.#failed(reason)).then(then, then);
  }

  async #carryOut(): Promise<ExecutionResult> {
    const { operation, task } = this.#request;
    // A restore and a verification use the task's remote, not its scripts.
    const hasScripts = operation === 'sync' && !effectiveRun(this.#request).dryRun;
    if (hasScripts) {
      const error = await this.#script('pre-script', 'Pre-script', task.preScript);
      if (error !== undefined) return this.#failed(error);
    }
    const result = await this.#transferFromSnapshot(hasScripts && task.snapshot);
    if (hasScripts && result.status === 'success') {
      const error = await this.#script('post-script', 'Post-script', task.postScript);
      if (error !== undefined) return { ...this.#failed(error), ...countsOf(result) };
    }
    return result;
  }

  /** What an earlier run left is destroyed here too, also where the task takes no snapshots any more. */
  async #transferFromSnapshot(takes: boolean): Promise<ExecutionResult> {
    const { operation } = this.#request;
    const { dryRun, path } = effectiveRun(this.#request);
    if (operation !== 'sync' || dryRun) return await this.#transfer();
    const stateFolder = stateFolderOf(this.#request);
    const filter = compileFilter(this.#request.task);
    const snapshot = new RunSnapshot({
      taskId: this.#request.nodeId,
      path,
      stateFolder,
      entersFolder: (folder) => filter.entersFolder(folder),
      log: (message) => this.#write({ time: Date.now(), level: 'info', event: 'snapshot', message }),
    });
    const warnings = await snapshot.destroy();
    let result: ExecutionResult;
    try {
      if (takes) {
        this.#enter('snapshot');
        checkPlace(path, stateFolder);
        this.#snapshot = await snapshot.take(this.#controller.signal);
      }
      result = await this.#transfer();
    } catch (error) {
      result = this.#failed(asCloudSyncError(error));
    }
    const errors = this.#clean(result.errors);
    const ownWarnings = this.#clean(result.warnings);
    this.#snapshot = undefined;
    if (takes) warnings.splice(0, Number.POSITIVE_INFINITY, ...(await snapshot.destroy()));
    for (const warning of warnings) {
      this.#write({ time: Date.now(), level: 'warning', event: 'snapshot', message: warning.message });
    }
    return {
      ...result,
      errors,
      warnings: [...ownWarnings, ...warnings.map((warning) => warning.toRecord())],
    };
  }

  async #transfer(): Promise<ExecutionResult> {
    try {
      if (this.#controller.signal.aborted) return this.#failed(new CloudSyncError('ABORTED', 'Stopped'));
      this.#execution = this.#execute(this.#request, {
        signal: this.#controller.signal,
        phase: (phase) => this.#enter(phase),
        log: (entry) => this.#write(entry),
        snapshot: this.#snapshot,
      });
      return await this.#execution.result;
    } catch (error) {
      return this.#failed(asCloudSyncError(error));
    }
  }

  async #script(phase: Phase, title: string, script: string): Promise<CloudSyncError | undefined> {
    if (script.trim() === '') return undefined;
    this.#enter(phase);
    try {
      await runScript({
        title,
        script,
        environment: cloudSyncEnvironment(this.#request, this.#request.task.scriptSecrets),
        log: (entry) => this.#write(entry),
        signal: this.#controller.signal,
      });
      return undefined;
    } catch (error) {
      return asCloudSyncError(error);
    }
  }

  #enter(phase: Phase): void {
    if (phase === this.#phase) return;
    this.#phase = phase;
    this.#write({ time: Date.now(), level: 'info', event: 'phase', message: phase });
    void this.#send({ type: 'phase', phase });
  }

  #write(entry: LogEntry): void {
    if (entry.message === undefined) this.#log.write(entry);
    else this.#log.write({ ...entry, message: this.#inWords(entry) });
  }

  #sendProgress(): void {
    const progress = this.#execution?.progress();
    if (progress === undefined) return;
    const text = JSON.stringify(progress);
    if (text === this.#lastProgress) return;
    this.#lastProgress = text;
    void this.#send({ type: 'progress', progress });
  }

  #failed(error: CloudSyncError): ExecutionResult {
    const errors = error.code === 'ABORTED' ? [] : [error.toRecord()];
    return {
      status: error.code === 'ABORTED' ? 'aborted' : 'failed',
      ...countsOfProgress(this.#execution?.progress()),
      errors,
      errorCount: errors.length,
      warnings: [],
      requests: {},
    };
  }

  async #end(result: ExecutionResult): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#sendProgress();
    const clean = { ...result, errors: this.#clean(result.errors), warnings: this.#clean(result.warnings) };
    this.#write({
      time: Date.now(),
      level: clean.status === 'failed' ? 'error' : 'info',
      event: 'end',
      message: [clean.status, ...clean.errors.slice(0, 1).map((error) => error.message)].join(': '),
    });
    this.#log.flush();
    if (this.#log.lostEntries > 0) clean.warnings.push(logLost(this.#log.lostEntries));
    await this.#send({ type: 'result', result: clean });
  }

  #clean(records: readonly ErrorRecord[]): ErrorRecord[] {
    return records.map((record) => ({ ...record, message: this.#inWords(record) }));
  }

  /** Without secrets, and with the folder as the user knows it in the place of its snapshot. */
  #inWords({ message = '', event }: { message?: string; event?: string }): string {
    const text = this.#scrub(message);
    if (this.#snapshot === undefined || event === 'snapshot') return text;
    return text.replaceAll(this.#snapshot.path, effectiveRun(this.#request).path);
  }
}

function logLost(count: number): ErrorRecord {
  return { path: '', code: 'IO_ERROR', message: `${count} lines of the run's log could not be written` };
}

function countsOf(result: ExecutionResult): Partial<ExecutionResult> {
  const { checked, transferred, deleted, skipped, requests, warnings, verify } = result;
  return { checked, transferred, deleted, skipped, requests, warnings, verify };
}
