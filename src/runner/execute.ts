/** Carries one run out in the child process: opens the stores, puts their wrappers around them, calls the engine. */

import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { BackupFolder } from '../engine/backup-folder.js';
import { BandwidthLimiter } from '../engine/bandwidth.js';
import { ChangingFiles } from '../engine/changing-files.js';
import { compileFilter, type Filter } from '../engine/filter.js';
import { type ForeignLease, Lease } from '../engine/lease.js';
import { keyOfPath, type Location, prefixOfFolder, RESERVED_PREFIX } from '../engine/location.js';
import { checkPlace, rememberPlace } from '../engine/mount-guard.js';
import { OwnersNotKept } from '../engine/owners.js';
import type { Amount, EngineCounts, LogEntry, Phase, VerifyFindings } from '../engine/report.js';
import { RunContext, type TransferSettings } from '../engine/run-context.js';
import { StateIndex } from '../engine/state-index.js';
import { runTransfer } from '../engine/sync.js';
import { UploadJournal } from '../engine/upload-journal.js';
import { runVerify } from '../engine/verify.js';
import { asCloudSyncError, CloudSyncError, type ErrorCode, type ErrorRecord, hasCode } from '../errors.js';
import { type Cipher, createCipher } from '../stores/encryption/cipher.js';
import { encryptedNames } from '../stores/encryption/names.js';
import { openLocalStore, removeStaleTemporaryFiles } from '../stores/local.js';
import { providerNames } from '../stores/names.js';
import { providerById } from '../stores/registry.js';
import type { Account, Store } from '../stores/store.js';
import { checkPassword, encryptedStore } from '../stores/wrap/encrypted.js';
import { linksAsFiles } from '../stores/wrap/links-as-files.js';
import { throttledStore } from '../stores/wrap/throttled.js';
import { effectiveRun } from './claims.js';
import { safeFileName, stateFolderOf } from './file-names.js';
import type { SnapshotView } from './snapshot.js';
import type { RunRequest, TaskCredential, TaskSettings } from './task.js';
import { rememberTaskPlace, type TaskPlace, tasksInside } from './task-places.js';

/** What the surroundings of a run offer it. */
export interface ExecutionHost {
  /** Fires when the run has to end soon: it cleans up and ends as `aborted`. */
  signal: AbortSignal;
  phase(phase: Phase): void;
  log(entry: LogEntry): void;
  /** Read instead of the local folder. */
  snapshot?: SnapshotView;
}

export interface ExecutionProgress {
  phase: Phase;
  files: Amount;
  bytes: Amount;
  /** Archived objects that a restore still waits for. */
  frozen?: number;
}

export interface ExecutionResult extends EngineCounts {
  status: 'success' | 'failed' | 'aborted' | 'skipped';
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

/** Begins the run; everything that goes wrong stands in its result. */
export function execute(request: RunRequest, host: ExecutionHost): Execution {
  const running = new Running(request, host);
  return { result: running.carryOut(), progress: () => running.progress() };
}

class Running {
  private phase: Phase = 'listing';
  private context: RunContext | undefined;
  private account: Account | undefined;
  private bare: Store | undefined;
  /** Another host holds the prefix, and the task is not to wait. */
  private isSkipped = false;
  private readonly requests: Record<string, number> = {};
  private readonly host: ExecutionHost;

  constructor(
    private readonly request: RunRequest,
    host: ExecutionHost,
  ) {
    this.host = {
      ...host,
      phase: (phase) => {
        this.phase = phase;
        host.phase(phase);
      },
    };
  }

  private get workFolder(): string {
    return join(this.request.dataFolder, 'work', safeFileName(this.request.runId));
  }

  progress(): ExecutionProgress {
    const nothing = { done: 0, total: 0 };
    const { files = nothing, bytes = nothing } = this.context ?? {};
    const frozen = this.context?.frozen || undefined;
    return { phase: this.phase, files: { ...files }, bytes: { ...bytes }, frozen };
  }

  async carryOut(): Promise<ExecutionResult> {
    try {
      const context = await this.open();
      this.context = context;
      const { verify } = this.request;
      if (verify === undefined) await this.transfer(context);
      const findings = verify === undefined ? undefined : await runVerify(context, verify);
      return this.resultOf(context, findings);
    } catch (error) {
      return this.failure(error);
    } finally {
      await this.context?.local.store.close().catch(() => {});
      await this.account?.close().catch(() => {});
      rmSync(this.workFolder, { recursive: true, force: true });
    }
  }

  private async transfer(context: RunContext): Promise<void> {
    const { path, dryRun } = effectiveRun(this.request);
    // Written while a local folder is written to: what a killed run left there is looked for only after one.
    const unfinished = join(this.stateFolder, 'unfinished');
    const writesLocal = !context.isPush && !dryRun;
    let isUndecided = false;
    const onUndecided = () => {
      isUndecided = true;
    };
    if (writesLocal && existsSync(unfinished))
      await removeStaleTemporaryFiles(path, context.signal, onUndecided);
    if (writesLocal) {
      mkdirSync(this.stateFolder, { recursive: true, mode: 0o700 });
      writeFileSync(unfinished, '');
    }
    context.lease = await this.takeLease(context);
    try {
      await runTransfer(context);
    } finally {
      await context.lease?.release();
    }
    // What couldn't be told from another host's work is looked for again.
    if (writesLocal && !isUndecided) rmSync(unfinished, { force: true });
    if (dryRun || context.problems.any) return;
    rememberPlace(path, this.stateFolder);
    if (context.isPush && this.request.operation === 'sync')
      rememberTaskPlace(this.stateFolder, this.taskPlace());
  }

  /** Nobody else writes to the prefix while this run does. A restore never leaves a trace in the bucket. */
  private async takeLease(context: RunContext): Promise<Lease | undefined> {
    const { operation, task, dataFolder } = this.request;
    const { transferMode, dryRun } = effectiveRun(this.request);
    const writesRemote = context.isPush || transferMode === 'move';
    if (!task.lease || operation !== 'sync' || !writesRemote || dryRun) return undefined;
    const { prefix } = context.remote;
    const backup = task.backupFolder === '' || !context.isPush ? [] : [prefixOfFolder(task.backupFolder)];
    const holder = {
      installation: installationId(dataFolder),
      host: hostname(),
      taskId: task.taskId,
      task: task.name,
    };
    const options = { store: this.bare!, prefixes: [prefix, ...backup], holder, signal: context.signal };
    if (task.whenBusy === 'skip') {
      const taken = await Lease.take(options);
      if (taken instanceof Lease) return taken;
      this.isSkipped = true;
      throw new CloudSyncError('BUSY', heldBy(taken));
    }
    return Lease.wait(options, (held) => {
      this.host.phase('waiting');
      this.host.log({ time: Date.now(), level: 'info', event: 'waiting', message: heldBy(held) });
    });
  }

  private taskPlace(): TaskPlace {
    const { nodeId, task } = this.request;
    return { nodeId, task: task.name, store: this.bare!.identity, prefix: prefixOfFolder(task.folder) };
  }

  /** Tasks that push into this one's prefix, relative to it. */
  private otherTasks(): { prefix: string; task: string }[] {
    const { dataFolder, deployedNodeIds } = this.request;
    const own = this.taskPlace();
    return tasksInside(own, join(dataFolder, 'state'), deployedNodeIds).map(({ prefix, task }) => ({
      prefix: prefix.slice(own.prefix.length),
      task,
    }));
  }

  private get stateFolder(): string {
    return stateFolderOf(this.request);
  }

  private async open(): Promise<RunContext> {
    const { request, host } = this;
    const { task } = request;
    const effective = effectiveRun(request);
    if (request.operation !== 'verify') checkPlace(effective.path, this.stateFolder);
    const filter = filterOf(request);
    const cipher = await cipherOf(task);
    this.account = await this.openAccount();
    const bare = this.account.openStore(task.bucket);
    // What an account can do (versions, order of listing) may be known only once it was asked.
    await bare.check(host.signal);
    this.bare = bare;
    const folder = this.openLocal(effective.path);
    const local: Location = { store: folder, prefix: '', names: providerNames(folder.features.names) };
    const remote = remoteLocation(throttled(bare, task), cipher, task.folder);
    const versionsUnsure = await checkAsOf(request, bare, host.signal);
    if (cipher !== undefined) await checkPassword(bare, remote.prefix, cipher, host.signal);
    const settings = this.settings(filter, remote);
    const state = this.stateFolder;
    const index =
      request.operation === 'sync'
        ? new StateIndex(state, this.binding(effective.path, bare, cipher, settings))
        : undefined;
    const writes = request.operation !== 'verify' && !settings.dryRun;
    const journal = writes ? new UploadJournal(join(state, 'uploads.jsonl')) : undefined;
    const context = new RunContext(local, remote, settings, host, index, journal);
    if (versionsUnsure !== undefined) context.problems.warning(versionsUnsure);
    context.owners = new OwnersNotKept(effective.path, ({ key }, owner) =>
      context.log('owner', key, {
        level: 'warning',
        message: `belongs to ${owner}, which takes root to set`,
      }),
    );
    if (request.operation === 'sync') {
      context.changing = new ChangingFiles(join(state, 'changing.json'));
      if (task.backupFolder !== '') {
        context.backup = new BackupFolder(context, prefixOfFolder(task.backupFolder), task.backupKeepDays);
      }
    }
    return context;
  }

  private warnings(): ErrorRecord[] {
    if (this.context === undefined) return [];
    const { owners, problems, settings } = this.context;
    const notKept = owners?.warning(settings.dryRun);
    if (notKept !== undefined) problems.warning(notKept);
    this.context.owners = undefined;
    return problems.warnings;
  }

  private openLocal(path: string): Store {
    const { followSymlinks, keepSymlinks } = this.request.task;
    const { snapshot } = this.host;
    const store = openLocalStore(snapshot?.path ?? path, {
      followSymlinks,
      tree: snapshot?.tree,
      onProblem: (problem) => this.context?.problems.warning(problem),
      onOwnerNotKept: (file) => this.context?.owners?.note(file),
    });
    return keepSymlinks ? linksAsFiles(store, [path, store.identity.slice('file://'.length)]) : store;
  }

  private async openAccount(): Promise<Account> {
    const { credential, storageClass, serverSideEncryption, chunkSize, deleteVersions } = this.request.task;
    const open = await providerById(credential.provider).load();
    return open(credential.config, credential.secrets, {
      onRequest: (kind) => {
        this.requests[kind] = (this.requests[kind] ?? 0) + 1;
      },
      onRetry: (error, attempt) => {
        this.context?.gate.slowDown();
        this.host.log({
          time: Date.now(),
          level: 'warning',
          event: 'retry',
          path: error.path,
          message: `${error.message} (attempt ${attempt})`,
        });
      },
      options: {
        storageClass: storageClass === '' ? undefined : storageClass,
        serverSideEncryption: serverSideEncryption === '' ? undefined : serverSideEncryption,
        chunkSize: chunkSize ?? undefined,
        deleteVersions,
      },
    });
  }

  private settings(filter: Filter, remote: Location): TransferSettings {
    const { request } = this;
    const { task, restore } = request;
    const { direction, transferMode, dryRun } = effectiveRun(request);
    return {
      direction,
      transferMode,
      dryRun,
      checksum: task.checksum,
      // Whoever restores doubts what is there: size and time alone don't make it the copy.
      provesContent: restore !== undefined,
      followSymlinks: task.followSymlinks,
      createEmptySrcDirs: task.createEmptySrcDirs,
      metadata: task.metadata,
      transfers: task.transfers,
      // A restore that deletes does what it was told to: its preview is the guard.
      maxDelete: restore === undefined ? task.maxDelete : null,
      filter,
      namesEncrypted: task.encryption && task.filenameEncryption,
      only: restore?.paths?.map((path) => path.replace(/^\/+|\/+$/g, '')),
      asOf: restore?.asOf,
      thaw: restore?.thaw === true ? { tier: restore.thawTier, days: restore.thawDays } : undefined,
      leaveOut: leaveOut(task, remote),
      otherTasks: direction === 'push' ? this.otherTasks() : undefined,
      attributes: {
        storageClass: task.storageClass === '' ? undefined : task.storageClass,
        serverSideEncryption: task.serverSideEncryption === '' ? undefined : task.serverSideEncryption,
      },
      snapshotTime: this.host.snapshot?.takenAt,
      workFolder: this.workFolder,
    };
  }

  /** Everything an entry of the state index depends on. */
  private binding(
    path: string,
    bare: Store,
    cipher: Cipher | undefined,
    settings: TransferSettings,
  ): string[] {
    const { task } = this.request;
    return [
      bare.identity,
      prefixOfFolder(task.folder),
      path,
      deviceOf(path),
      settings.direction,
      cipher === undefined ? 'plain' : cipher.fingerprint,
      String(task.followSymlinks),
    ];
  }

  private resultOf(context: RunContext, verify: VerifyFindings | undefined): ExecutionResult {
    const { problems, counts } = context;
    const isAborted = this.host.signal.aborted;
    return {
      ...counts,
      status: isAborted ? 'aborted' : problems.any || !allMatch(verify) ? 'failed' : 'success',
      errors: problems.errors.map((record) => this.named(record)),
      errorCount: problems.errorCount,
      warnings: this.warnings(),
      requests: this.requests,
      verify,
    };
  }

  private failure(thrown: unknown): ExecutionResult {
    const error = asCloudSyncError(thrown);
    const isAborted = hasCode(error, 'ABORTED') && this.host.signal.aborted;
    return {
      checked: 0,
      transferred: { files: 0, bytes: 0 },
      deleted: 0,
      skipped: 0,
      ...this.context?.counts,
      status: isAborted ? 'aborted' : this.isSkipped ? 'skipped' : 'failed',
      errors: isAborted ? [] : [this.named(error.toRecord())],
      errorCount: isAborted ? 0 : 1,
      warnings: this.warnings(),
      requests: this.requests,
    };
  }

  /** What is wrong with the whole task names the property to mend, and the credential where it is one of those. */
  private named(record: ErrorRecord): ErrorRecord {
    const { credential } = this.request.task;
    const field = record.field ?? (record.path === '' ? fieldAtFault(record.code, credential) : undefined);
    const named = field === undefined ? record : { ...record, field };
    const isOfCredential = CREDENTIAL_CODES.has(record.code) || (field === 'endpoint' && record.path === '');
    if (!isOfCredential) return named;
    const { id, name } = credential;
    return { ...named, message: `${named.message} (credential "${name === '' ? id : name}")` };
  }
}

const CREDENTIAL_CODES: ReadonlySet<string> = new Set([
  'CREDENTIAL_MISSING',
  'WRONG_KEY',
  'WRONG_SECRET',
  'CREDENTIAL_EXPIRED',
]);

/** The property that a failure of this kind is about. */
function fieldAtFault(code: ErrorCode, { provider, secrets }: TaskCredential): string | undefined {
  const { fields } = providerById(provider);
  switch (code) {
    case 'BUCKET_NOT_FOUND':
      return 'bucket';
    case 'ENDPOINT_UNREACHABLE':
    case 'TLS_FAILURE':
      return 'endpoint';
    case 'WRONG_REGION':
      return 'region';
    case 'WRONG_KEY':
      return fields.find(({ required }) => required)?.name;
    case 'WRONG_SECRET':
      return fields.find(({ name, type }) => type !== 'text' && secrets[name] !== undefined)?.name;
    default:
      return undefined;
  }
}

async function cipherOf(task: TaskSettings): Promise<Cipher | undefined> {
  if (!task.encryption) return undefined;
  return createCipher({
    password: task.encryptionPassword ?? '',
    salt: task.encryptionSalt,
    filenameEncryption: task.filenameEncryption,
  });
}

function remoteLocation(bare: Store, cipher: Cipher | undefined, folder: string): Location {
  const prefix = prefixOfFolder(folder);
  const names = providerNames(bare.features.names);
  if (cipher === undefined) return { store: bare, prefix, names };
  return { store: encryptedStore(bare, cipher), prefix, names: encryptedNames(cipher, names) };
}

/** Limits count bytes as they go over the wire: encrypted ones, where they are encrypted. */
function throttled(store: Store, { bandwidthLimit }: TaskSettings): Store {
  if (bandwidthLimit.length === 0) return store;
  return throttledStore(store, new BandwidthLimiter({ timetable: bandwidthLimit }));
}

/** The task's filter, narrowed by the restore's. */
function filterOf({ task, restore }: RunRequest): Filter {
  const own = compileFilter(task);
  if (restore === undefined || (restore.include.length === 0 && restore.exclude.length === 0)) return own;
  const narrower = compileFilter(restore);
  return {
    includesFile: (path) => own.includesFile(path) && narrower.includesFile(path),
    entersFolder: (folder) => own.entersFolder(folder) && narrower.entersFolder(folder),
    decideFile: (path) => {
      const decision = own.decideFile(path);
      return decision.included ? narrower.decideFile(path) : decision;
    },
  };
}

/** Relative keys that are none of the task's: what this package keeps there, and the backup folder. */
function leaveOut(task: TaskSettings, remote: Location): string[] {
  if (task.backupFolder === '') return [RESERVED_PREFIX];
  const backup = prefixOfFolder(task.backupFolder);
  // At a local destination it lies in the folder itself, and its name there is written as all others are.
  if (task.direction === 'pull')
    return [RESERVED_PREFIX, `${keyOfPath({ ...remote, prefix: '' }, backup.slice(0, -1), 'folder')}/`];
  const { prefix } = remote;
  const isInside = backup.startsWith(prefix) && backup.length > prefix.length;
  return isInside ? [RESERVED_PREFIX, backup.slice(prefix.length)] : [RESERVED_PREFIX];
}

/**
 * Without versions there is no earlier state, and what a listing of them shows would pass for one. Gives a warning where
 * the provider doesn't tell.
 */
async function checkAsOf(
  { restore }: RunRequest,
  store: Store,
  signal: AbortSignal,
): Promise<CloudSyncError | undefined> {
  if (restore?.asOf === undefined) return undefined;
  const keeps =
    store.features.versions && (store.keepsVersions === undefined || (await store.keepsVersions(signal)));
  if (keeps === undefined) {
    return new CloudSyncError(
      'NO_PERMISSION',
      'This credential may not see whether the bucket keeps versions',
      {
        path: '',
        advice: 'If it does not, files that were changed or deleted since then are missing from the restore.',
      },
    );
  }
  if (keeps) return undefined;
  throw new CloudSyncError('NOT_SUPPORTED', 'No versions are kept there, so there is no earlier state', {
    field: 'asOf',
    advice: 'Leave "as of" empty to restore what is there now.',
  });
}

function heldBy({ host, task, prefix }: ForeignLease): string {
  return `"${prefix === '' ? '/' : prefix}" is in use by the task "${task}" on ${host}`;
}

/** Made once for this data folder: by it a lease of an earlier run is recognised as our own. */
function installationId(dataFolder: string): string {
  const file = join(dataFolder, 'installation');
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    const id = randomUUID();
    mkdirSync(dataFolder, { recursive: true });
    // Two processes that start together agree on the one that was written first.
    try {
      writeFileSync(file, id, { flag: 'wx' });
      return id;
    } catch {
      return readFileSync(file, 'utf8').trim();
    }
  }
}

/** Another device under the same path is another disk: what was known of the files on it proves nothing. */
function deviceOf(path: string): string {
  try {
    return String(statSync(path, { bigint: true }).dev);
  } catch {
    return '';
  }
}

/** A verify has succeeded only if every file matched; what can't be told is no match. */
function allMatch(verify: VerifyFindings | undefined): boolean {
  if (verify === undefined) return true;
  const { matched: _matched, ...others } = verify.counts;
  return Object.values(others).every((count) => count === 0);
}
