/** Reading files, so that all that is read belongs to one state of one file. */

import fs, { type BigIntStats } from 'node:fs';
import { promisify } from 'node:util';
import { CloudSyncError, throwIfAborted } from '../../errors.js';
import type { OpenedObject, OpenOptions, StoredObject } from '../store.js';
import { type DiskName, diskNamesOf } from './file-names.js';
import { isDescriptorOf, type Root } from './folders.js';
import type { LastFolder } from './last-folder.js';
import { describedObjectOf, etagOf, specialFile, whatIs } from './stat.js';
import { fromSystemError, systemErrorName } from './system-errors.js';

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = fs.constants;
/** Of what may be anything by now: no waiting for a pipe's other end, no terminal of ours. */
const READING = O_RDONLY | O_NONBLOCK | O_NOCTTY;
/** Up to here a file is read at once and synchronously, which is fastest for many small files. */
const SMALL = 64 * 1024;
const CHUNK_SIZE = 256 * 1024;

const readAsync = promisify(fs.read) as (
  fd: number,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
) => Promise<{ bytesRead: number }>;

/**
 * Opens a regular file; never one that is reached through a symbolic link below the root unless `follow`.
 *
 * @param lastFolder What a listing has just shown is opened in it where it can be.
 */
export function openFile(
  root: Root,
  key: string,
  options: OpenOptions,
  follow: boolean,
  lastFolder?: LastFolder,
): OpenedObject {
  throwIfAborted(options.signal);
  // Before opening it is looked at what it is: opening a device can do something to it. A listing is such a look.
  const isListed = options.listed?.kind === 'file';
  if (isListed && !follow && lastFolder !== undefined && options.ifMatch === undefined) {
    const opened = openNear(lastFolder, key);
    if (opened !== undefined) return opened;
  }
  const names = diskNamesOf(key);
  const path = root.pathOf(names);
  const look = () =>
    requireFile(key, follow ? fs.statSync(path, { bigint: true }) : fs.lstatSync(path, { bigint: true }));
  let fd = -1;
  try {
    if (!isListed) look();
    fd = fs.openSync(path, READING | (follow ? 0 : O_NOFOLLOW));
    if (!follow && !isDescriptorOf(fd, path)) root.checkWay(names.slice(0, -1));
    const stats = fs.fstatSync(fd, { bigint: true });
    requireFile(key, stats);
    if (options.ifMatch !== undefined && options.ifMatch !== etagOf(stats)) throw changed(key);
    return new OpenedFile(key, path, fd, stats, follow);
  } catch (error) {
    if (fd !== -1) fs.closeSync(fd);
    throw openingFailed(key, fd === -1 && isListed ? (reasonOf(look) ?? error) : error);
  }
}

/** Undefined where it takes the way from the root to open it, or to tell why it can't be. */
function openNear(lastFolder: LastFolder, key: string): OpenedObject | undefined {
  let fd = -1;
  try {
    const file = lastFolder.find(key);
    if (file === undefined) return undefined;
    fd = fs.openSync(file.at, READING | O_NOFOLLOW);
    const stats = fs.fstatSync(fd, { bigint: true });
    requireFile(key, stats);
    return new OpenedFile(key, file.path, fd, stats, false, lastFolder);
  } catch {
    if (fd !== -1) fs.closeSync(fd);
    lastFolder.forget();
    return undefined;
  }
}

/** What `look` throws. */
function reasonOf(look: () => void): unknown {
  try {
    look();
  } catch (error) {
    return error;
  }
}

function openingFailed(key: string, error: unknown): CloudSyncError {
  if (systemErrorName(error) !== 'ENOTDIR') return fromSystemError(error, key, 'open');
  return new CloudSyncError('NOT_FOUND', `There is no ${JSON.stringify(key)}`, { path: key, cause: error });
}

class OpenedFile implements OpenedObject {
  readonly object: StoredObject;
  readonly #path: DiskName;
  readonly #stats: BigIntStats;
  readonly #follow: boolean;
  readonly #lastFolder: LastFolder | undefined;
  #fd: number;
  /** Reads under way: the descriptor is closed after the last, because its number may be another file's then. */
  #reading = 0;
  #closed = false;

  constructor(
    key: string,
    path: DiskName,
    fd: number,
    stats: BigIntStats,
    follow: boolean,
    lastFolder?: LastFolder,
  ) {
    this.object = describedObjectOf(key, stats);
    this.#path = path;
    this.#fd = fd;
    this.#stats = stats;
    this.#follow = follow;
    this.#lastFolder = lastFolder;
  }

  async *read(
    offset = 0,
    length = this.object.size - offset,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    this.#requireRange(offset, length);
    const end = offset + length;
    for (let position = offset; position < end; ) {
      throwIfAborted(signal);
      const wanted = Math.min(CHUNK_SIZE, end - position);
      const buffer = Buffer.allocUnsafe(wanted);
      const count = await this.#readSome(buffer, position);
      position += count;
      yield count === wanted ? buffer : buffer.subarray(0, count);
    }
  }

  readInto(target: Uint8Array, offset: number): Promise<void> | undefined {
    this.#requireRange(offset, target.byteLength);
    if (this.object.size > SMALL) return this.#readLater(target, offset);
    const { key } = this.object;
    const fd = this.#usable();
    try {
      for (let done = 0; done < target.byteLength; ) {
        const count = fs.readSync(fd, target, done, target.byteLength - done, offset + done);
        if (count === 0) throw changed(key);
        done += count;
      }
    } catch (error) {
      throw fromSystemError(error, key, 'read');
    }
    return undefined;
  }

  /**
   * Looks at what has the name now. If it is the file that was opened, it is as the descriptor would show it too: while
   * the descriptor is open, no other file can have its inode. The descriptor alone wouldn't show that a folder above was
   * moved, nor on every file system that another file took the name.
   */
  confirmUnchanged(): undefined {
    const { key } = this.object;
    this.#usable();
    try {
      const named = this.#follow
        ? fs.statSync(this.#path, { bigint: true })
        : fs.lstatSync(this.#path, { bigint: true });
      if (!isSame(this.#stats, named)) throw changed(key);
    } catch (error) {
      // The next attempt goes the whole way from the root.
      this.#lastFolder?.forget();
      if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(systemErrorName(error))) throw changed(key);
      throw fromSystemError(error, key, 'look again at');
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#closeIfIdle();
  }

  async #readLater(target: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < target.byteLength; ) {
      done += await this.#readSome(target.subarray(done), offset + done);
    }
  }

  #requireRange(offset: number, length: number): void {
    if (offset >= 0 && length >= 0 && offset + length <= this.object.size) return;
    throw new CloudSyncError('INTERNAL', `There are no ${length} bytes from ${offset}`, {
      path: this.object.key,
    });
  }

  /** At least one byte; CHANGED where the file ends before. */
  async #readSome(buffer: Uint8Array, position: number): Promise<number> {
    const fd = this.#usable();
    const { key, size } = this.object;
    this.#reading++;
    try {
      const count =
        size <= SMALL
          ? fs.readSync(fd, buffer, 0, buffer.length, position)
          : (await readAsync(fd, buffer, 0, buffer.length, position)).bytesRead;
      if (count === 0) throw changed(key);
      return count;
    } catch (error) {
      throw fromSystemError(error, key, 'read');
    } finally {
      this.#reading--;
      this.#closeIfIdle();
    }
  }

  #usable(): number {
    if (this.#closed) {
      throw new CloudSyncError('INTERNAL', 'The file is closed already', { path: this.object.key });
    }
    return this.#fd;
  }

  #closeIfIdle(): void {
    if (!this.#closed || this.#reading > 0 || this.#fd === -1) return;
    const fd = this.#fd;
    this.#fd = -1;
    fs.closeSync(fd);
  }
}

function requireFile(key: string, stats: BigIntStats): void {
  if (stats.isFile()) return;
  if (stats.isDirectory()) {
    throw new CloudSyncError('OBSTRUCTED', `${JSON.stringify(key)} is a folder`, { path: key });
  }
  throw specialFile(key, whatIs(stats));
}

function isSame(a: BigIntStats, b: BigIntStats): boolean {
  return (
    a.size === b.size &&
    a.mtimeNs === b.mtimeNs &&
    a.ctimeNs === b.ctimeNs &&
    a.ino === b.ino &&
    a.dev === b.dev
  );
}

function changed(key: string): CloudSyncError {
  return new CloudSyncError('CHANGED', `${JSON.stringify(key)} is another file than it was`, { path: key });
}
