/**
 * The local disk as a store: one folder and what is below it. Facts that shape it:
 * - Nothing is ever written, removed or renamed outside the folder or through a symbolic link (see `local/folders.ts`).
 * - Names that are no valid UTF-8 have keys as rclone writes them in a bucket (see `local/file-names.ts`).
 * - Times are read to the nanosecond; Node.js sets them to the microsecond, cut off, never rounded up.
 * - The ETag is size, mtime, ctime and inode: every change of the file or its attributes gives another one.
 */

import fs, { type BigIntStats } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { asCloudSyncError, CloudSyncError, hasCode, throwIfAborted } from '../errors.js';
import { hashContent } from './compare.js';
import { contentOfOpened } from './content.js';
import { AttributeCopier } from './local/attribute-copier.js';
import { copyFile } from './local/copy.js';
import { type DiskName, diskNameLength, diskNamesOf } from './local/file-names.js';
import { type ComposedTree, type Folder, Root } from './local/folders.js';
import { LastFolder } from './local/last-folder.js';
import { type LinkContent, readLink, type StoreWithLinks, writeLink } from './local/links.js';
import { openFile } from './local/read.js';
import { describedObjectOf, specialFile } from './local/stat.js';
import { fromSystemError, systemErrorName } from './local/system-errors.js';
import { pendingUploads, removeStale } from './local/temporary-files.js';
import { createUpload, LocalUpload, resumeUpload, UPLOAD_LIMITS } from './local/upload.js';
import { missingRoot, walk } from './local/walk.js';
import { applyMetadata, requireConditions, utimesSeconds, writeFile } from './local/write.js';
import type {
  ComparisonTrust,
  Content,
  ContentComparison,
  CopyOptions,
  CreateUploadOptions,
  DeleteOutcome,
  DeleteRequest,
  ListOptions,
  ObjectAttributes,
  OpenedObject,
  OpenOptions,
  PendingUpload,
  StoredObject,
  StoreFeatures,
  Upload,
  UploadState,
  WriteOptions,
} from './store.js';

export type { ComposedTree } from './local/folders.js';

export interface LocalStoreOptions {
  /** Read through symbolic links, in `list` (where its own option doesn't say otherwise), `head` and `open`. */
  followSymlinks?: boolean;
  /**
   * Told what could not be kept of a replaced file (an ACL that may not be set ...): the file itself is right, so this is
   * a warning and no failure.
   */
  onProblem?: (problem: CloudSyncError) => void;
  /** For reading a snapshot: others that belong into it. */
  tree?: ComposedTree;
  /** Told of each file that rights didn't allow to give to its owner. */
  onOwnerNotKept?: (file: { key: string; uid?: number; gid?: number }) => void;
}

const FEATURES: StoreFeatures = {
  order: 'utf8',
  walks: true,
  hashes: [],
  modificationTime: { precision: 1000n, inListing: true, change: 'in-place' },
  caseSensitive: true,
  normalizationSensitive: true,
  names: {
    encoding: ['Slash', 'Dot', 'InvalidUtf8'],
    maxSegmentBytes: 255,
    segmentBytes: diskNameLength,
  },
  versions: false,
  conditionalWrite: true,
  conditionalDelete: true,
  serverSideCopy: true,
  deleteBatch: 1000,
  upload: UPLOAD_LIMITS,
  folders: 'real',
};

/**
 * The folder `root` (absolute) as a store. It need not be there yet: `createFolder('')` or the first write makes it.
 * Throws INVALID_INPUT for a path that isn't absolute.
 */
export function openLocalStore(root: string, options: LocalStoreOptions = {}): StoreWithLinks {
  return new LocalStore(new Root(realPathOf(root), options.tree), options);
}

/**
 * Removes the temporary files that dead processes left below `root`.
 *
 * @param onUndecided Called for each that may be left behind, which can't be told before it is a day old.
 * @returns how many were removed
 */
export async function removeStaleTemporaryFiles(
  root: string,
  signal?: AbortSignal,
  onUndecided?: () => void,
): Promise<number> {
  return await removeStale(new Root(realPathOf(root)), signal, onUndecided);
}

class LocalStore implements StoreWithLinks {
  readonly features: StoreFeatures = FEATURES;
  readonly identity: string;
  readonly #root: Root;
  readonly #follow: boolean;
  readonly #copier: AttributeCopier;
  readonly #lastRead: LastFolder;

  constructor(root: Root, options: LocalStoreOptions) {
    this.#root = root;
    this.#lastRead = new LastFolder(root);
    this.identity = `file://${root.path}`;
    this.#follow = options.followSymlinks ?? false;
    this.#copier = new AttributeCopier(options.onProblem ?? (() => {}), options.onOwnerNotKept);
  }

  async check(signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    try {
      fs.opendirSync(this.#root.path).closeSync();
      fs.accessSync(this.#root.path, fs.constants.R_OK | fs.constants.X_OK);
    } catch (error) {
      throw missingRoot(error, this.#root.path) ?? fromSystemError(error, '', 'use');
    }
  }

  async *list(options: ListOptions = {}): AsyncGenerator<readonly StoredObject[]> {
    if (options.asOf !== undefined || options.versions === true) throw notSupported('versions');
    yield* walk(this.#root, { ...options, followSymlinks: options.followSymlinks ?? this.#follow });
  }

  async head(
    key: string,
    options: { versionId?: string; signal?: AbortSignal } = {},
  ): Promise<StoredObject | undefined> {
    throwIfAborted(options.signal);
    try {
      if (this.#follow) return this.#headThroughLinks(key);
      if (key === '') return describedObjectOf(key, fs.lstatSync(this.#root.path, { bigint: true }));
      const parent = this.#findParent(key);
      if (parent === undefined) return undefined;
      using folder = parent.folder;
      const stats = fs.lstatSync(folder.at(parent.name), { bigint: true, throwIfNoEntry: false });
      return stats && describedObjectOf(key, stats);
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes(systemErrorName(error))) return undefined;
      throw fromSystemError(error, key, 'look at');
    }
  }

  async open(key: string, options: OpenOptions = {}): Promise<OpenedObject> {
    return openFile(this.#root, key, options, this.#follow, this.#lastRead);
  }

  readLink(key: string): LinkContent | undefined {
    return readLink(this.#root, key);
  }

  async writeLink(key: string, target: Uint8Array, options: WriteOptions = {}): Promise<StoredObject> {
    return await writeLink(this.#root, key, target, options, this.#copier);
  }

  async write(key: string, content: Content, options: WriteOptions = {}): Promise<StoredObject> {
    return await writeFile(this.#root, key, content, options, this.#copier);
  }

  async createUpload(key: string, size: number, options: CreateUploadOptions = {}): Promise<Upload> {
    return createUpload(this.#root, key, size, options, this.#copier);
  }

  async resumeUpload(state: UploadState, options: WriteOptions = {}): Promise<Upload> {
    return resumeUpload(this.#root, state, options, this.#copier);
  }

  pendingUploads(prefix: string, signal?: AbortSignal): AsyncIterable<PendingUpload> {
    return pendingUploads(this.#root, prefix, signal);
  }

  async abortUpload(upload: PendingUpload): Promise<void> {
    await new LocalUpload(
      this.#root,
      { ...upload, size: 0, partSize: 1 },
      {},
      undefined,
      this.#copier,
    ).abort();
  }

  async copy(sourceKey: string, key: string, options: CopyOptions = {}): Promise<StoredObject> {
    return await copyFile(this.#root, sourceKey, key, options, this.#copier);
  }

  /** Reads the file: that is all a file system offers. */
  async compareContent(
    object: StoredObject,
    content: Content,
    _trust: ComparisonTrust,
    signal?: AbortSignal,
  ): Promise<ContentComparison> {
    if (object.size !== content.size) return 'different';
    const opened = await this.open(object.key, { signal });
    try {
      const [own, given] = await Promise.all([
        hashContent(contentOfOpened(opened), ['sha256'], signal),
        hashContent(content, ['sha256'], signal),
      ]);
      await opened.confirmUnchanged();
      return own.sha256 === given.sha256 ? 'equal' : 'different';
    } finally {
      await opened.close();
    }
  }

  async delete(request: DeleteRequest, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    const { key } = request;
    const parent = this.#findParent(key);
    if (parent === undefined) {
      if (this.#follow) this.#refuseBehindLink(key);
      return;
    }
    using folder = parent.folder;
    try {
      const path = folder.at(parent.name);
      const stats = this.#statOfDue(path);
      if (stats === undefined) return;
      if (stats.isDirectory()) {
        throw new CloudSyncError('OBSTRUCTED', `${JSON.stringify(key)} is a folder, not a file`, {
          path: key,
        });
      }
      requireConditions(stats, request, key);
      fs.unlinkSync(path);
    } catch (error) {
      if (systemErrorName(error) !== 'ENOENT') throw fromSystemError(error, key, 'delete');
    }
  }

  async deleteMany(requests: readonly DeleteRequest[], signal?: AbortSignal): Promise<DeleteOutcome[]> {
    throwIfAborted(signal);
    const outcomes: DeleteOutcome[] = [];
    for (const request of requests) {
      const { key } = request;
      try {
        await this.delete(request, signal);
        outcomes.push({ key });
      } catch (error) {
        if (hasCode(error, 'ABORTED')) throw error;
        outcomes.push({ key, error: asCloudSyncError(error) });
      }
    }
    return outcomes;
  }

  async setModificationTime(object: StoredObject, time: bigint, signal?: AbortSignal): Promise<StoredObject> {
    throwIfAborted(signal);
    const { key } = object;
    try {
      const parent = this.#root.openParent(key);
      using folder = parent.folder;
      const path = folder.at(parent.name);
      const before = fs.lstatSync(path, { bigint: true });
      const now = describedObjectOf(key, before);
      if (object.etag !== undefined && now.etag !== object.etag) {
        throw new CloudSyncError('CHANGED', `${JSON.stringify(key)} is another file than it was`, {
          path: key,
        });
      }
      fs.lutimesSync(path, utimesSeconds(before.atimeNs), utimesSeconds(time));
      return describedObjectOf(key, fs.lstatSync(path, { bigint: true }));
    } catch (error) {
      throw fromSystemError(error, key, 'set the time of');
    }
  }

  async createFolder(key: string, attributes: ObjectAttributes = {}, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    try {
      using folder = this.#root.openFolder(diskNamesOf(key), true);
      const path = folder.at('.');
      applyMetadata(path, attributes.metadata);
      if (attributes.modificationTime !== undefined) {
        fs.utimesSync(path, Date.now() / 1000, utimesSeconds(attributes.modificationTime));
      }
    } catch (error) {
      throw fromSystemError(error, key, 'make the folder');
    }
  }

  async deleteFolder(key: string, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    const parent = key === '' ? undefined : this.#findParent(key);
    if (parent === undefined) return;
    using folder = parent.folder;
    try {
      fs.rmdirSync(folder.at(parent.name));
    } catch (error) {
      // Not there, not empty, no folder; EBUSY: a mount point, which isn't ours to remove.
      const stays = ['ENOENT', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR', 'EBUSY'];
      if (!stays.includes(systemErrorName(error))) throw fromSystemError(error, key, 'remove the folder');
    }
  }

  async rename(key: string, newKey: string, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    try {
      const source = this.#root.openParent(key);
      using sourceFolder = source.folder;
      const stats = fs.lstatSync(sourceFolder.at(source.name), { bigint: true });
      const target = this.#root.openParent(newKey, true);
      using targetFolder = target.folder;
      requireFree(targetFolder.at(target.name), stats, newKey);
      fs.renameSync(sourceFolder.at(source.name), targetFolder.at(target.name));
    } catch (error) {
      if (systemErrorName(error) !== 'EXDEV') throw fromSystemError(error, key, 'rename');
      await this.#moveAcross(key, newKey, signal);
    }
  }

  async thaw(): Promise<void> {
    throw notSupported('archives');
  }

  async close(): Promise<void> {
    this.#root.close();
    this.#copier.close();
    this.#lastRead.forget();
  }

  /**
   * The folder that a key lies in; undefined where it is missing or where a file or a symbolic link stands on the way:
   * below these nothing is ours.
   */
  #findParent(key: string): { folder: Folder; name: DiskName } | undefined {
    try {
      return this.#root.openParent(key);
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND', 'OBSTRUCTED')) return undefined;
      throw error;
    }
  }

  /** What a condition of a delete is about: a followed link is listed as the file it leads to. */
  #statOfDue(path: DiskName): BigIntStats | undefined {
    const stats = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (!this.#follow || stats?.isSymbolicLink() !== true) return stats;
    const target = fs.statSync(path, { bigint: true, throwIfNoEntry: false });
    return target?.isFile() ? target : stats;
  }

  /** What is listed through a link to a folder lies elsewhere: it is not removed, and that is said. */
  #refuseBehindLink(key: string): void {
    try {
      this.#headThroughLinks(key);
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes(systemErrorName(error))) return;
      throw fromSystemError(error, key, 'delete');
    }
    throw new CloudSyncError('OBSTRUCTED', `${JSON.stringify(key)} lies behind a symbolic link`, {
      path: key,
      advice: 'Nothing is deleted through links: delete it by hand, or exclude the link.',
    });
  }

  /** Another file system is mounted below the root: a file is copied, a folder can't be moved in one step. */
  async #moveAcross(key: string, newKey: string, signal?: AbortSignal): Promise<void> {
    const object = await this.head(key, { signal });
    if (object?.kind !== 'file') {
      throw new CloudSyncError(
        'NOT_SUPPORTED',
        `${JSON.stringify(key)} cannot be moved to another file system as a whole`,
        { path: key, advice: 'Choose a folder on the same file system.' },
      );
    }
    const options: CopyOptions = { ifNoneMatch: '*', signal };
    if (object.etag !== undefined) options.sourceIfMatch = object.etag;
    await copyFile(this.#root, key, newKey, options, this.#copier);
    await this.delete({ key, ifMatch: object.etag }, signal);
  }

  #headThroughLinks(key: string): StoredObject | undefined {
    const path = this.#root.pathOf(diskNamesOf(key));
    try {
      return describedObjectOf(key, fs.statSync(path, { bigint: true }));
    } catch (error) {
      const name = systemErrorName(error);
      const isLink = fs.lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
      if (!isLink || (name !== 'ENOENT' && name !== 'ELOOP' && name !== 'ENOTDIR')) throw error;
      return {
        key,
        kind: 'special',
        size: 0,
        problem: specialFile(key, 'a symbolic link that leads nowhere'),
      };
    }
  }
}

/** A rename may only take the place of nothing or of an empty folder. */
function requireFree(path: DiskName, source: BigIntStats, key: string): void {
  const present = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (present === undefined) return;
  const isEmptyFolder =
    present.isDirectory() &&
    source.isDirectory() &&
    fs.readdirSync(path, { encoding: 'buffer' }).length === 0;
  if (isEmptyFolder) return;
  throw new CloudSyncError('ALREADY_EXISTS', `${JSON.stringify(key)} is there already`, { path: key });
}

/** The path without symbolic links, as far as it is there already. */
function realPathOf(root: string): string {
  if (!isAbsolute(root) || root.includes('\0')) {
    throw new CloudSyncError('INVALID_INPUT', `${JSON.stringify(root)} is not an absolute path`, {
      field: 'path',
      advice: 'Enter the whole path of the folder, starting with a slash.',
    });
  }
  let existing = resolve(root);
  let rest = '';
  for (;;) {
    try {
      return join(fs.realpathSync(existing), rest);
    } catch (error) {
      const parent = resolve(existing, '..');
      if (!['ENOENT', 'ENOTDIR', 'EACCES'].includes(systemErrorName(error)) || parent === existing) {
        throw missingRoot(error, root) ?? fromSystemError(error, '', 'find', { field: 'path' });
      }
      rest = join(existing.slice(parent === '/' ? 1 : parent.length + 1), rest);
      existing = parent;
    }
  }
}

function notSupported(what: string): CloudSyncError {
  return new CloudSyncError('NOT_SUPPORTED', `A local folder keeps no ${what}`);
}
