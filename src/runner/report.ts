/** Puts the report of a run together, whether its process told a result or died. */

import type { RestoredFiles, RunReport } from '../engine/report.js';
import { asCloudSyncError, type ErrorRecord } from '../errors.js';
import { effectiveRun } from './claims.js';
import { cloudSyncEnvironment } from './environment.js';
import type { ExecutionProgress, ExecutionResult } from './execute.js';
import type { RunRequest } from './task.js';

/** When a run was: wall clock for people, monotonic for the duration. */
export interface RunTimes {
  startedAt: Date;
  durationMs: number;
}

/** The report as the contract has it. `verify`'s findings stand beside the other fields. */
export function reportOf(request: RunRequest, times: RunTimes, result: ExecutionResult): RunReport {
  const { direction, transferMode, dryRun } = effectiveRun(request);
  const { verify, status, checked, transferred, overwrites, deleted } = result;
  const { skipped, errors, errorCount, warnings } = result;
  const durationMs = Math.round(times.durationMs);
  return {
    runId: request.runId,
    taskId: request.task.taskId,
    task: request.task.name,
    operation: request.operation,
    direction,
    transferMode,
    dryRun,
    status,
    startedAt: times.startedAt.toISOString(),
    finishedAt: new Date(times.startedAt.getTime() + durationMs).toISOString(),
    durationMs,
    checked,
    transferred,
    ...(overwrites === undefined ? {} : { overwrites }),
    deleted,
    skipped,
    requests: withTotal(result.requests),
    errors: errors.slice(0, 1000),
    errorCount,
    warnings,
    env: environmentOf(request),
    ...restoredFiles(request),
    ...(result.pendingDeletes === undefined ? {} : { pendingDeletes: result.pendingDeletes }),
    ...verify,
  };
}

/** What a verification behind the restore has to know of it. */
export function restoredFiles({ restore }: RunRequest): Pick<RunReport, 'restored'> {
  if (restore?.nodeId === undefined) return {};
  const { nodeId, path, include, exclude, paths, asOf } = restore;
  const restored: RestoredFiles = { nodeId, path, include, exclude };
  if (paths !== undefined) restored.paths = paths;
  if (asOf !== undefined) restored.asOf = new Date(asOf).toISOString();
  return { restored };
}

function withTotal({ total: _, ...requests }: Record<string, number>): Record<string, number> {
  return { ...requests, total: Object.values(requests).reduce((sum, count) => sum + count, 0) };
}

/** The result of a run that could not tell one itself: `error` and what its last progress said. */
export function resultWithout(
  status: ExecutionResult['status'],
  reason: ErrorRecord,
  progress: ExecutionProgress | undefined,
): ExecutionResult {
  const failed = status === 'failed';
  return {
    status,
    ...countsOfProgress(progress),
    errors: failed ? [reason] : [],
    errorCount: failed ? 1 : 0,
    warnings: failed ? [] : [reason],
    requests: {},
  };
}

/** For a message that came while the task ran, with `whenBusy` skip. */
export function skippedReport(request: RunRequest, why: string): RunReport {
  const times = { startedAt: new Date(), durationMs: 0 };
  const result = resultWithout('aborted', { path: '', code: 'BUSY', message: why }, undefined);
  return { ...reportOf(request, times, result), status: 'skipped' };
}

function environmentOf(request: RunRequest): Record<string, string> {
  try {
    return cloudSyncEnvironment(request, false);
  } catch (error) {
    // A report never fails for this.
    return { CLOUD_SYNC_ID: request.task.taskId, CLOUD_SYNC_DESCRIPTION: asCloudSyncError(error).message };
  }
}

/** What is known of a run that ended without telling: its last progress. */
export function countsOfProgress(
  progress: ExecutionProgress | undefined,
): Pick<ExecutionResult, 'checked' | 'transferred' | 'deleted' | 'skipped'> {
  return {
    checked: 0,
    transferred: { files: progress?.files.done ?? 0, bytes: progress?.bytes.done ?? 0 },
    deleted: 0,
    skipped: 0,
  };
}
