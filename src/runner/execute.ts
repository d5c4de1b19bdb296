import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BackupFolder } from '../engine/backup-folder.js';
import { BandwidthLimiter } from '../engine/bandwidth.js';
import { ChangingFiles } from '../engine/changing-files.js';
import { PrefixInUse } from '../engine/late-lease.js';
import { type Location, prefixOfFolder } from '../engine/location.js';
import { checkPlace, rememberPlace } from '../engine/mount-guard.js';
import { OtherUploads } from '../engine/other-uploads.js';
import { OwnersNotKept } from '../engine/owners.js';
import type {
  Amount,
  EngineCounts,
  LogEntry,
  PendingDeletes,
  Phase,
  VerifyFindings,
} from '../engine/report.js';
import { RunContext, type TransferSettings } from '../engine/run-context.js';
import { StateIndex } from '../engine/state-index.js';
import { runTransfer } from '../engine/sync.js';
import { UploadJournal } from '../engine/upload-journal.js';
import { runVerify } from '../engine/verify.js';
import { asCloudSyncError, CloudSyncError, type ErrorRecord, hasCode } from '../errors.js';
import { type Cipher, createCipher } from '../stores/encryption/cipher.js';
import { encryptedNames } from '../stores/encryption/names.js';
import { openLocalStore, removeStaleTemporaryFiles } from '../stores/local.js';
import { providerNames } from '../stores/names.js';
import { providerById } from '../stores/registry.js';
import type { Account, Store, WriteGuard } from '../stores/store.js';
import { checkPassword, encryptedStore } from '../stores/wrap/encrypted.js';
import { linksAsFiles } from '../stores/wrap/links-as-files.js';
import { throttledStore } from '../stores/wrap/throttled.js';
import { effectiveRun } from './claims.js';
import { safeFileName, stateFolderOf } from './file-names.js';
import { allMatch, withField } from './outcome.js';
import { leaseOf, needsLease } from './run-lease.js';
import { filterOf, taskPlace, transferSettings } from './run-settings.js';
import type { SnapshotView } from './snapshot.js';
import type { RunRequest, TaskSettings } from './task.js';
import { rememberTaskPlace } from './task-places.js';

/** What the surroundings of a run offer it. */
export interface ExecutionHost {
  /** Fires when the run has to end soon: it cleans up and ends as `aborted`. */
  signal: AbortSignal;
  phase(phase: Phase): void;
  log(entry: LogEntry): void;
  /** Read instead of the local folder. */
  snapshot?: SnapshotView;
  /** ms a lease holds without being renewed; default: the engine's. */
  leaseMs?: number;
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
  pendingDeletes?: PendingDeletes;
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
  /** Its requests need no lease. */
  private leaseAccount: Account | undefined;
  private bare: Store | undefined;
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
      await this.leaseAccount?.close().catch(() => {});
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
    if (needsLease(this.request, context)) {
      context.lease = leaseOf(this.request, context, () => this.openLeaseStore(), this.host.leaseMs);
    }
    await runTransfer(context);
    // What couldn't be told from another host's work is looked for again.
    if (writesLocal && !isUndecided) rmSync(unfinished, { force: true });
    if (dryRun || context.problems.any) return;
    rememberPlace(path, this.stateFolder);
    if (context.isPush && this.request.operation === 'sync')
      rememberTaskPlace(this.stateFolder, taskPlace(this.request, this.bare!));
  }

  private async openLeaseStore(): Promise<Store> {
    // In a class that can be read at any time.
    this.leaseAccount = await this.openAccount({ storageClass: '', deleteVersions: false });
    return this.leaseAccount.openStore(this.request.task.bucket);
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
    const { storageClass, deleteVersions } = task;
    this.account = await this.openAccount({ storageClass, deleteVersions }, this.guard());
    const bare = this.account.openStore(task.bucket);
    // What an account can do (versions, order of listing) may be known only once it was asked.
    const asksForVersions = request.restore?.asOf !== undefined;
    if (bare.listingChecks !== true || asksForVersions) await bare.check(host.signal);
    this.bare = bare;
    const folder = this.openLocal(effective.path);
    const local: Location = { store: folder, prefix: '', names: providerNames(folder.features.names) };
    const remote = remoteLocation(throttled(bare, task), cipher, task.folder);
    const versionsUnsure = await checkAsOf(request, bare, host.signal);
    if (cipher !== undefined)
      await checkPassword(bare, remote.prefix, cipher, host.signal, request.restore?.asOf);
    const settings = transferSettings(request, {
      filter,
      remote,
      bare,
      snapshotTime: host.snapshot?.takenAt,
      workFolder: this.workFolder,
    });
    const state = this.stateFolder;
    const index =
      request.operation === 'sync'
        ? new StateIndex(
            state,
            this.binding(effective.path, bare, cipher, settings),
            request.previewOf !== undefined,
          )
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
      // Elsewhere what isn't finished goes by itself.
      if (context.isPush && bare.abortUpload !== undefined)
        context.otherUploads = new OtherUploads(join(state, 'other-uploads.json'));
      if (task.backupFolder !== '') {
        context.backup = new BackupFolder(context, prefixOfFolder(task.backupFolder), task.backupKeepDays);
      }
    }
    return context;
  }

  private warnings(): ErrorRecord[] {
    if (this.context === undefined) return [];
    const { owners, problems, settings, earlyDeletions } = this.context;
    const early = earlyDeletions.warning(settings.dryRun);
    if (early !== undefined) problems.warning(early);
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

  /** What the run sends is kept back while its lease isn't valid. */
  private guard(): WriteGuard {
    const leaseOf = () => this.context?.lease;
    return {
      get isValid() {
        return leaseOf()?.isValid ?? true;
      },
      confirm: () => leaseOf()?.confirm(),
    };
  }

  private async openAccount(
    { storageClass, deleteVersions }: Pick<TaskSettings, 'storageClass' | 'deleteVersions'>,
    guard?: WriteGuard,
  ): Promise<Account> {
    const { credential, serverSideEncryption, chunkSize } = this.request.task;
    const open = await providerById(credential.provider).load();
    return open(credential.config, credential.secrets, {
      onRequest: (kind) => {
        this.requests[kind] = (this.requests[kind] ?? 0) + 1;
      },
      onRetry: (error, attempt) => {
        this.context?.gate.slowDown();
        this.context?.uplink.onRetry(error);
        this.host.log({
          time: Date.now(),
          level: 'warning',
          event: 'retry',
          path: error.path,
          message: `${error.message} (attempt ${attempt})`,
        });
      },
      guard,
      options: {
        storageClass: storageClass === '' ? undefined : storageClass,
        serverSideEncryption: serverSideEncryption === '' ? undefined : serverSideEncryption,
        chunkSize: chunkSize ?? undefined,
        deleteVersions,
      },
    });
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
      errors: problems.errors.map((record) => withField(record, this.request.task.credential)),
      errorCount: problems.errorCount,
      warnings: this.warnings(),
      requests: this.requests,
      verify,
      pendingDeletes: context.pendingDeletes,
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
      status: isAborted ? 'aborted' : error instanceof PrefixInUse ? 'skipped' : 'failed',
      errors: isAborted ? [] : [withField(error.toRecord(), this.request.task.credential)],
      errorCount: isAborted ? 0 : 1,
      warnings: this.warnings(),
      requests: this.requests,
    };
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
  const { versionDays = Number.POSITIVE_INFINITY } = store.features;
  if (keeps && (Date.now() - restore.asOf) / 86_400_000 > versionDays) {
    return new CloudSyncError(
      'NOT_SUPPORTED',
      `Old versions are sure to be kept there for ${versionDays} days only, and this was earlier`,
      { path: '', advice: 'Files that were changed or deleted since then may be missing from the restore.' },
    );
  }
  if (keeps) return undefined;
  throw new CloudSyncError('NOT_SUPPORTED', 'No versions are kept there, so there is no earlier state', {
    field: 'asOf',
    advice: 'Leave "as of" empty to restore what is there now.',
  });
}

/** Another device under the same path is another disk: what was known of the files on it proves nothing. */
function deviceOf(path: string): string {
  try {
    return String(statSync(path, { bigint: true }).dev);
  } catch {
    return '';
  }
}
