/** Carries one run out in the child process: opens the stores, puts their wrappers around them, calls the engine. */

import type { Amount, EngineCounts, LogEntry, Phase, VerifyFindings } from '../engine/report.js';
import { CloudSyncError, type ErrorRecord } from '../errors.js';
import type { RunRequest } from './task.js';

/** What the surroundings of a run offer it. */
export interface ExecutionHost {
  /** Fires when the run has to end soon: it cleans up and ends as `aborted`. */
  signal: AbortSignal;
  phase(phase: Phase): void;
  log(entry: LogEntry): void;
}

export interface ExecutionProgress {
  phase: Phase;
  files: Amount;
  bytes: Amount;
}

export interface ExecutionResult extends EngineCounts {
  status: 'success' | 'failed' | 'aborted';
  errors: ErrorRecord[];
  errorCount: number;
  warnings: ErrorRecord[];
  requests: Record<string, number>;
  verify?: VerifyFindings;
}

export interface Execution {
  /** Never rejects. */
  readonly result: Promise<ExecutionResult>;
  progress(): ExecutionProgress;
}

export function execute(_request: RunRequest, _host: ExecutionHost): Execution {
  throw new CloudSyncError('INTERNAL', 'The engine is not there yet');
}
