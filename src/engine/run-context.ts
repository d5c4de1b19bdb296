/** What every step of one run shares: both sides, the settings, the counters and the limits. */

import { asCloudSyncError, type CloudSyncError, type ErrorCode, hasCode } from '../errors.js';
import type { ObjectAttributes, StoredObject } from '../stores/store.js';
import { AdaptiveGate } from './adaptive-gate.js';
import { ByteBudget } from './byte-budget.js';
import type { ChangingFiles } from './changing-files.js';
import { EarlyDeletions } from './early-deletions.js';
import type { Filter } from './filter.js';
import type { LateLease } from './late-lease.js';
import type { Location } from './location.js';
import type { OwnersNotKept } from './owners.js';
import { Problems } from './problems.js';
import type {
  Amount,
  Direction,
  EngineCounts,
  LogEntry,
  PendingDeletes,
  Phase,
  TransferMode,
} from './report.js';
import type { StateIndex } from './state-index.js';
import { Uplink } from './uplink.js';
import type { UploadJournal } from './upload-journal.js';
import { WantedPaths } from './wanted-paths.js';

/** How archived objects are brought back. */
export interface ThawSettings {
  /** The provider's name of the speed; '': its standard. */
  tier: string;
  /** For how long the copy stays readable; null: the provider's default. */
  days: number | null;
  /** ms between two looks at an object that is still frozen. Default: a minute at first, up to a quarter of an hour. */
  pollMs?: number;
}

/** Keeps what a run replaces and deletes; see backup-folder.ts. */
export interface KeptFiles {
  /** Throws NOT_SUPPORTED where the destination can't keep anything on its side. */
  check(): void;
  keepReplaced(object: StoredObject): Promise<void>;
  keepDeleted(due: { key: string; etag?: string }, standsAt?: string): Promise<void>;
  /** @param now ms since the epoch */
  removeOld(now: number): Promise<void>;
}

export interface TransferSettings {
  direction: Direction;
  transferMode: TransferMode;
  dryRun: boolean;
  /** Compare by hash and size instead of time and size. */
  checksum: boolean;
  /** What is there on both sides is equal only if its content is, where that can be told; size and time are not enough. */
  provesContent?: boolean;
  /** A run that finds no file at the source has failed: somebody asked for them. */
  expectsFiles?: boolean;
  followSymlinks: boolean;
  createEmptySrcDirs: boolean;
  /** Names at the remote side are encrypted: one that can't be read is another program's, or has another password. */
  namesEncrypted: boolean;
  /** Keep mode, owner and group. */
  metadata: boolean;
  /** Files in flight; null: chosen by the engine. */
  transfers: number | null;
  /** Number of files, share (`"50%"`) or null for no limit. */
  maxDelete: number | string | null;
  /** `hash` of {@link PendingDeletes} of an earlier run: exactly these files may go, whatever `maxDelete` says. */
  allowedDeletes?: string;
  filter: Filter;
  /** Relative paths of exactly the files or folders wanted (a restore of some files); undefined: all. */
  only?: readonly string[];
  /** The remote side as it was then, ms since the epoch. */
  asOf?: number;
  /** Archived objects are asked back and waited for; undefined: each of them is an error. */
  thaw?: ThawSettings;
  /** Relative keys at the remote side that start with one of these are no part of the run. */
  leaveOut: readonly string[];
  /** Relative prefixes at the destination that other tasks fill: a sync that would delete there deletes nothing at all. */
  otherTasks?: readonly { prefix: string; task: string }[];
  /** When the snapshot was taken that is read, ms since the epoch: files may have changed since. */
  snapshotTime?: number;
  /** What every uploaded object gets. */
  attributes: ObjectAttributes;
  /** For lists and sorting that memory can't hold. */
  workFolder: string;
}

/** After one of these no other file would fare better. */
const FATAL: ErrorCode[] = [
  'CREDENTIAL_MISSING',
  'WRONG_KEY',
  'WRONG_SECRET',
  'CREDENTIAL_EXPIRED',
  'CLOCK_SKEW',
  'BUCKET_NOT_FOUND',
  'WRONG_REGION',
  'TLS_FAILURE',
  'ENDPOINT_UNREACHABLE',
  'DISK_FULL',
  'QUOTA_EXCEEDED',
  'WRONG_PASSWORD',
  'BUSY',
];

/** What the surroundings are told while the run goes on. */
export interface EngineHost {
  signal: AbortSignal;
  phase(phase: Phase): void;
  log(entry: LogEntry): void;
}

export class RunContext {
  readonly counts: EngineCounts & { overwrites: number } = {
    checked: 0,
    transferred: { files: 0, bytes: 0 },
    overwrites: 0,
    deleted: 0,
    skipped: 0,
  };
  readonly files: Amount = { done: 0, total: 0 };
  readonly bytes: Amount = { done: 0, total: 0 };
  readonly problems: Problems;
  readonly budget = new ByteBudget();
  readonly gate: AdaptiveGate;
  readonly uplink = new Uplink();
  /** Time the listing began, ms since the epoch: what was seen, was seen after it. */
  readonly startedAt = Date.now();
  /** Fires when the run is stopped from outside or can't go on. */
  readonly signal: AbortSignal;
  /** Held while the remote side is written to. */
  lease?: LateLease;
  /** When the listing of both sides began, the last time, by `performance.now()`. */
  listedSince = Number.NEGATIVE_INFINITY;
  /** Archived objects that are still waited for. */
  frozen = 0;
  /** Files that were equal on both sides: too many for a line each in the log. */
  unchanged = 0;
  /** What `maxDelete` has kept from being deleted. */
  pendingDeletes?: PendingDeletes;
  /** Where what is replaced or deleted goes. */
  backup?: KeptFiles;
  /** Files in use by other programs, over several runs. */
  changing?: ChangingFiles;
  /** Unfinished uploads of other programs. */
  otherUploads?: { warn(run: RunContext): Promise<void> };
  /** Remote objects that are paid for longer than they were kept. */
  readonly earlyDeletions: EarlyDeletions;
  /** Of `settings.only`. */
  readonly wanted?: WantedPaths;
  private isTransferring = false;
  /** Files whose owner can't be kept. */
  owners?: OwnersNotKept;
  private readonly stop = new AbortController();

  constructor(
    readonly local: Location,
    readonly remote: Location,
    readonly settings: TransferSettings,
    readonly host: EngineHost,
    readonly index: StateIndex | undefined,
    readonly journal: UploadJournal | undefined,
  ) {
    this.signal = AbortSignal.any([host.signal, this.stop.signal]);
    this.gate = new AdaptiveGate(settings.transfers);
    if (settings.only !== undefined) this.wanted = new WantedPaths(settings.only);
    this.earlyDeletions = new EarlyDeletions(remote.store.features.minimumStorageDays);
    this.problems = new Problems((level, error) => this.logProblem(level, error));
  }

  get isPush(): boolean {
    return this.settings.direction === 'push';
  }

  get source(): Location {
    return this.isPush ? this.local : this.remote;
  }

  get destination(): Location {
    return this.isPush ? this.remote : this.local;
  }

  /**
   * Takes note of what went wrong with one file. Where nothing else can go well either (wrong key, full disk), the run
   * ends; an abort is no error of the file.
   */
  fail(thrown: unknown, path?: string): void {
    const error = asCloudSyncError(thrown);
    if (error.code === 'ABORTED' && this.signal.aborted) return;
    this.problems.error(error, path);
    if (hasCode(error, ...FATAL)) this.stop.abort();
  }

  /**
   * Call it before anything that the listings have decided. Undefined: it may be done. Throws ListedTooEarly where another
   * run may have written since.
   */
  holdLease(): Promise<void> | undefined {
    return this.lease?.hold(this.listedSince);
  }

  /** The first file is on its way; the listing may still go on. */
  beginTransferring(): void {
    if (this.isTransferring) return;
    this.isTransferring = true;
    this.host.phase('transferring');
  }

  log(event: string, path?: string, more: Partial<LogEntry> = {}): void {
    this.host.log({ time: Date.now(), level: 'info', event, path, ...more });
  }

  private logProblem(level: 'error' | 'warning', error: CloudSyncError): void {
    const message = error.advice === undefined ? error.message : `${error.message}. ${error.advice}`;
    this.host.log({ time: Date.now(), level, event: error.code, path: error.path, message });
  }
}
