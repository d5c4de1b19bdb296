/** What a run says about itself while it goes on and when it is over: plain JSON, no secret in it. */

import type { ErrorRecord } from '../errors.js';

export type Operation = 'sync' | 'restore' | 'verify';
export type Direction = 'push' | 'pull';
export type TransferMode = 'sync' | 'copy' | 'move';
export type Phase =
  | 'waiting'
  | 'pre-script'
  | 'snapshot'
  | 'listing'
  | 'transferring'
  | 'deleting'
  | 'post-script';
export type RunStatus = 'success' | 'failed' | 'aborted' | 'skipped';

export interface Amount {
  done: number;
  total: number;
}

/** Output 3. Totals grow while the listing goes on; `percent` never runs back and never passes 100. */
export interface Progress {
  runId: string;
  taskId: string;
  task: string;
  phase: Phase;
  percent: number;
  files: Amount;
  bytes: Amount;
  bytesPerSecond: number;
  /** Archived objects that a restore still waits for; missing where there are none. */
  frozen?: number;
  /** null: not known yet. */
  etaSeconds: number | null;
}

/** What the engine counts. */
export interface EngineCounts {
  /** Files compared. */
  checked: number;
  transferred: { files: number; bytes: number };
  /** Those of the transferred files in whose place another one stood. */
  overwrites?: number;
  /** Files removed at the destination (sync) or the source (move). */
  deleted: number;
  /** Left out: special files, names that can't be held, archived objects. */
  skipped: number;
}

/** What cloud-verify adds. */
export interface VerifyFindings {
  matched: number;
  /** At most 1,000 paths each; the whole numbers are in `counts`. */
  differs: string[];
  missingLocal: string[];
  missingRemote: string[];
  unreadable: string[];
  unverifiable: string[];
  /** `sample` only: the files picked at random and read back, whatever came of it; at most 1,000. */
  sampled?: string[];
  counts: {
    matched: number;
    differs: number;
    missingLocal: number;
    missingRemote: number;
    unreadable: number;
    unverifiable: number;
  };
}

/** What a run that was stopped by `maxDelete` would have deleted. */
export interface PendingDeletes {
  /** Of exactly this list: a run that is given it may delete these files and no others. */
  hash: string;
  count: number;
  /** At most 1,000; the run's log has all. */
  paths: string[];
}

/** What a restore was asked for: a verification behind it compares exactly that. */
export interface RestoredFiles {
  /** The cloud-restore node. */
  nodeId: string;
  /** Local folder, absolute. */
  path: string;
  include: string[];
  exclude: string[];
  /** Relative files or folders; missing: all. */
  paths?: string[];
  /** ISO 8601; missing: as the bucket is now. */
  asOf?: string;
}

export interface RunReport extends EngineCounts, Partial<VerifyFindings> {
  runId: string;
  taskId: string;
  task: string;
  operation: Operation;
  direction: Direction;
  transferMode: TransferMode;
  dryRun: boolean;
  status: RunStatus;
  /** ISO 8601. */
  startedAt: string;
  finishedAt: string;
  durationMs: number;
  /** Requests sent to the provider, by kind, and their sum as `total`. */
  requests: Record<string, number>;
  /** At most 1,000; `errorCount` has the whole number. */
  errors: ErrorRecord[];
  errorCount: number;
  /** Things the user should know that don't make the run a failure. */
  warnings: ErrorRecord[];
  /** Only where `maxDelete` stopped the run. */
  pendingDeletes?: PendingDeletes;
  /** Only of a restore by a node, and of what verifies one. */
  restored?: RestoredFiles;
  /** CLOUD_SYNC_* without secrets. */
  env: Record<string, string>;
}

/** One line of a run's log; the runner writes it field by field, in this order. */
export interface LogEntry {
  /** ms since the epoch. */
  time: number;
  level: 'info' | 'warning' | 'error';
  /** What happened: `transfer`, `delete`, `retry`, `error`, `skip`, `unchanged`, `phase`, `script` ... */
  event: string;
  path?: string;
  bytes?: number;
  message?: string;
}
