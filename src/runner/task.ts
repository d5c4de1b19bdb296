/**
 * A task and a run of it as plain JSON: what the nodes hand to the runner, and the runner to the child process.
 * Names and meanings are the contract's; see README.md.
 */

import type { Direction, Operation, TransferMode } from '../engine/report.js';
import type { CredentialConfig, CredentialSecrets } from '../stores/store.js';

export interface BandwidthLimit {
  /** `HH:MM`, machine's time zone. */
  time: string;
  /** Bytes per second; null: no limit. */
  bandwidth: number | null;
}

/** A `cloud-credential` node, saved properties and secrets apart. */
export interface TaskCredential {
  /** Id and name of the config node, so that an error can say which one to fix. */
  id: string;
  name: string;
  provider: string;
  config: CredentialConfig;
  secrets: CredentialSecrets;
}

/** A cloud-sync node's properties, overrides of the message already applied and everything validated. */
export interface TaskSettings {
  taskId: string;
  name: string;
  credential: TaskCredential;
  direction: Direction;
  transferMode: TransferMode;
  path: string;
  bucket: string;
  folder: string;
  include: string[];
  exclude: string[];
  followSymlinks: boolean;
  createEmptySrcDirs: boolean;
  keepSymlinks: boolean;
  metadata: boolean;
  checksum: boolean;
  transfers: number | null;
  bandwidthLimit: BandwidthLimit[];
  encryption: boolean;
  filenameEncryption: boolean;
  encryptionPassword?: string;
  encryptionSalt?: string;
  storageClass: string;
  serverSideEncryption: string;
  chunkSize: number | null;
  deleteVersions: boolean;
  snapshot: boolean;
  preScript: string;
  postScript: string;
  scriptSecrets: boolean;
  dryRun: boolean;
  staleAfter: number | null;
  backupFolder: string;
  backupKeepDays: number | null;
  lease: boolean;
  /** Number of files, `"50%"`, or null for no limit. */
  maxDelete: number | string | null;
  whenBusy: 'queue' | 'skip';
}

/** What a cloud-restore adds to the task it reverses. */
export interface RestoreSettings {
  /** The node that restores, where there is one. */
  nodeId?: string;
  path: string;
  transferMode: 'copy' | 'sync';
  include: string[];
  exclude: string[];
  /** `msg.payload.paths`: exactly these files or folders, relative; undefined: all. */
  paths?: string[];
  /** ms since the epoch. */
  asOf?: number;
  thaw: boolean;
  thawTier: string;
  thawDays: number | null;
  dryRun: boolean;
}

export interface VerifySettings {
  method: 'metadata' | 'checksum' | 'download' | 'sample';
  /** Percent of the files, 1 to 100, for `sample`. */
  sample: number;
}

/**
 * What a node needs to ask for a run again that Node-RED's end has interrupted. Plain JSON without secrets: it is kept in
 * the history.
 */
export interface Resumption {
  /** `configurationHash` of the request: the run goes on only as what it was. */
  hash: string;
  /** What of the message the run depends on, and what lets a flow know it again. */
  message: Record<string, unknown>;
}

/** One run. Holds secrets: goes over the channel to the child only, never to a file, a log or an argument. */
export interface RunRequest {
  runId: string;
  /** The node that runs: a cloud-sync, cloud-restore or cloud-verify. One run at a time for each. */
  nodeId: string;
  operation: Operation;
  /**
   * `configurationHash` of what the node would run without this message's overrides, so that the run is known again
   * after a deploy; default: that of this request.
   */
  configurationHash?: string;
  /** Only for runs that go on by themselves when Node-RED starts again. */
  resumption?: Resumption;
  /** Of a dry run of values that aren't deployed: the node whose state it reads. It changes none and isn't remembered. */
  previewOf?: string;
  task: TaskSettings;
  /** `pendingDeletes.hash` of an earlier report: exactly those files may be deleted, in this run. Never from a message. */
  allowedDeletes?: string;
  /** Of a restore; of a verification, the restore whose files are compared instead of the task's own. */
  restore?: RestoreSettings;
  verify?: VerifySettings;
  /** Ids of all nodes that are deployed, so that what removed ones left has no say; undefined: not known. */
  deployedNodeIds?: string[];
  /** This package's folder under Node-RED's userDir: state indexes, journals, history, logs, locks. */
  dataFolder: string;
}
