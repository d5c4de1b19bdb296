/** Trees of files, and runs of the engine on them. */

import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { BackupFolder } from '../../src/engine/backup-folder.js';
import { ChangingFiles } from '../../src/engine/changing-files.js';
import { compileFilter } from '../../src/engine/filter.js';
import type { LateLease } from '../../src/engine/late-lease.js';
import type { Location } from '../../src/engine/location.js';
import { RESERVED_PREFIX } from '../../src/engine/location.js';
import type { LogEntry } from '../../src/engine/report.js';
import { RunContext, type TransferSettings } from '../../src/engine/run-context.js';
import { StateIndex } from '../../src/engine/state-index.js';
import { runTransfer } from '../../src/engine/sync.js';
import { UploadJournal } from '../../src/engine/upload-journal.js';
import { runVerify, type VerifyOptions } from '../../src/engine/verify.js';
import { contentOfBytes, readAll } from '../../src/stores/content.js';
import type { Cipher } from '../../src/stores/encryption/cipher.js';
import { encryptedNames } from '../../src/stores/encryption/names.js';
import { openLocalStore } from '../../src/stores/local.js';
import { openMemoryStore } from '../../src/stores/memory.js';
import { providerNames } from '../../src/stores/names.js';
import type { Store } from '../../src/stores/store.js';
import { encryptedStore } from '../../src/stores/wrap/encrypted.js';

/** Path to content. */
export type Tree = Record<string, string>;

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'cloud-sync-engine-'));
}

/** Writes the tree; files get a whole-second time in the past unless `time` (s since the epoch) says otherwise. */
export function writeTree(root: string, tree: Tree, time = 1_600_000_000): void {
  mkdirSync(root, { recursive: true });
  for (const [path, content] of Object.entries(tree)) {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
    utimesSync(file, time, time);
  }
}

/** All files below `root` with their content. */
export function readTree(root: string): Tree {
  const tree: Tree = {};
  const walk = (folder: string) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) walk(path);
      else tree[path] = readFileSync(join(root, path), 'utf8');
    }
  };
  walk('');
  return tree;
}

/** All folders below `root`. */
export function readFolders(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}

export async function readStore(store: Store, prefix = ''): Promise<Tree> {
  const tree: Tree = {};
  for await (const page of store.list({ prefix })) {
    for (const object of page) {
      const opened = await store.open(object.key);
      tree[object.key.slice(prefix.length)] = (await readAll(opened.read())).toString('utf8');
      await opened.close();
    }
  }
  return tree;
}

export async function putObject(
  store: Store,
  key: string,
  content: string,
  time = 1_600_000_000,
): Promise<void> {
  await store.write(key, contentOfBytes(Buffer.from(content)), {
    modificationTime: BigInt(time) * 1_000_000_000n,
  });
}

export interface Bench {
  folder: string;
  localRoot: string;
  remote: Store;
  /** What the remote side is encrypted with. */
  cipher?: Cipher;
}

/** A folder for the local side and a store in memory, both empty. */
export function memoryBench(): Bench {
  const folder = temporaryFolder();
  return { folder, localRoot: join(folder, 'local'), remote: openMemoryStore() };
}

export interface RunOptions extends Partial<TransferSettings> {
  prefix?: string;
  include?: string[];
  exclude?: string[];
  /** Default true. */
  withIndex?: boolean;
  signal?: AbortSignal;
  /** Verify instead of transferring. */
  verify?: VerifyOptions;
  backup?: { prefix: string; keepDays?: number };
  lease?: LateLease;
  /** Put around the local side: to count or to disturb. */
  wrapLocal?: (store: Store) => Store;
}

/** One transfer run between a folder and a store; the index lives on between runs of one bench. */
export async function runOnce(bench: Bench, options: RunOptions = {}) {
  const {
    prefix = '',
    include = [],
    exclude = [],
    withIndex = true,
    signal,
    verify,
    backup,
    lease,
    wrapLocal = (plain: Store) => plain,
    ...rest
  } = options;
  const store = wrapLocal(openLocalStore(bench.localRoot, { followSymlinks: rest.followSymlinks }));
  const local: Location = { store, prefix: '', names: providerNames(store.features.names) };
  const remote = remoteOf(bench, prefix);
  const settings: TransferSettings = {
    direction: 'push',
    transferMode: 'sync',
    dryRun: false,
    checksum: false,
    followSymlinks: false,
    createEmptySrcDirs: false,
    metadata: false,
    namesEncrypted: bench.cipher?.filenameEncryption ?? false,
    transfers: null,
    maxDelete: null,
    filter: compileFilter({ include, exclude }),
    leaveOut: [RESERVED_PREFIX],
    attributes: {},
    workFolder: join(bench.folder, 'work'),
    ...rest,
  };
  const log: LogEntry[] = [];
  const host = {
    signal: signal ?? new AbortController().signal,
    phase: () => {},
    log: (entry: LogEntry) => {
      log.push(entry);
    },
  };
  const state = join(bench.folder, 'state');
  const binding = [bench.remote.identity, prefix, settings.direction];
  const index = withIndex ? new StateIndex(state, binding) : undefined;
  const journal = settings.dryRun ? undefined : new UploadJournal(join(state, 'uploads.jsonl'));
  const run = new RunContext(local, remote, settings, host, index, journal);
  run.changing = new ChangingFiles(join(state, 'changing.json'));
  run.lease = lease;
  if (backup !== undefined) run.backup = new BackupFolder(run, backup.prefix, backup.keepDays ?? null);
  const findings = verify === undefined ? await runTransfer(run) : await runVerify(run, verify);
  await local.store.close();
  return {
    findings,
    ...run.counts,
    errors: run.problems.errors,
    warnings: run.problems.warnings,
    pendingDeletes: run.pendingDeletes,
    codes: run.problems.errors.map((error) => error.code),
    log,
    files: run.files,
    bytes: run.bytes,
  };
}

/** The remote side, encrypted where the bench has a cipher. */
function remoteOf({ remote, cipher }: Bench, prefix: string): Location {
  const names = providerNames(remote.features.names);
  if (cipher === undefined) return { store: remote, prefix, names };
  return { store: encryptedStore(remote, cipher), prefix, names: encryptedNames(cipher, names) };
}

/** Changes a file's content and puts its old times back. */
export function editQuietly(file: string, content: string): void {
  const before = lstatSync(file);
  writeFileSync(file, content);
  utimesSync(file, before.atimeMs / 1000, before.mtimeMs / 1000);
}

export function makeUnreadable(path: string): () => void {
  const { mode } = lstatSync(path);
  chmodSync(path, 0);
  return () => chmodSync(path, mode);
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}
