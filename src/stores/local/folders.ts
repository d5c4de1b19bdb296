/**
 * Folders held open, so that what is done in them happens in them: between a check and its use a folder could be
 * replaced by a symbolic link that leads out of the root. On Linux a folder's descriptor is opened without reading it
 * (O_PATH), its real path is asked of the kernel and compared, and files in it are reached as `/proc/self/fd/N/name`,
 * which is what openat(2) does. Elsewhere the way is checked link by link and used by path.
 *
 * The folders written to last stay open for the next file in them. The kernel is asked for their path each time all the
 * same: one that was moved, removed or replaced since doesn't have the expected one, and is opened anew.
 */

import fs from 'node:fs';
import { dirname } from 'node:path';
import { CloudSyncError } from '../../errors.js';
import { type DiskName, diskNamesOf, joinPath } from './file-names.js';
import { fromSystemError, systemErrorName } from './system-errors.js';

/** From fcntl.h; the same on x86, ARM, RISC-V and POWER, the platforms of Node.js on Linux. */
const O_PATH = 0o10000000;
/** Paths kept in memory at most. */
const MAX_REMEMBERED = 1000;
/** Folders that stay open for the next file in them, at most. */
const MAX_KEPT = 16;
const FOLDER_FLAGS = fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW;

/** Whether the kernel tells the path of a descriptor. */
export const canNameDescriptors = process.platform === 'linux' && fs.existsSync('/proc/self/fd');

/** A folder below the root, held while something is done in it. */
export class Folder {
  readonly #fd: number;
  readonly #root: Root;
  readonly #names: readonly DiskName[];
  /** Who has it and hasn't closed it yet. */
  #holders = 1;

  constructor(
    /** Its path; may lead elsewhere by the time it is used. */
    readonly path: DiskName,
    fd: number,
    root: Root,
    names: readonly DiskName[],
  ) {
    this.#fd = fd;
    this.#root = root;
    this.#names = names;
  }

  /** The path by which `name` in this very folder is reached. */
  at(name: DiskName): DiskName {
    return joinPath(this.#fd === -1 ? this.path : `/proc/self/fd/${this.#fd}`, name);
  }

  /** As {@link at}, for another process of the same user, as long as this folder is open. */
  atFromOutside(name: DiskName): DiskName {
    return joinPath(this.#fd === -1 ? this.path : `/proc/${process.pid}/fd/${this.#fd}`, name);
  }

  /** Whether the kernel says that it still lies at its path, with no symbolic link on the way. */
  isAtItsPath(): boolean {
    return this.#fd !== -1 && isDescriptorOf(this.#fd, this.path);
  }

  /** Makes the names in it, and that of itself and the folders above it, survive a power cut. */
  sync(): void {
    syncFolder(this.at('.'));
    this.#root.syncAbove(this.#names);
  }

  /** One holder more, who has to close it too. */
  hold(): this {
    this.#holders++;
    return this;
  }

  /** Whether its path still leads to it, as the kernel says. */
  isInPlace(): boolean {
    return this.#fd !== -1 && isDescriptorOf(this.#fd, this.path);
  }

  close(): void {
    this.#holders--;
    if (this.#holders === 0 && this.#fd !== -1) fs.closeSync(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** More than one folder read as one tree: a snapshot and those of the file systems mounted in it. */
export interface ComposedTree {
  /** Absolute path of an empty folder to that of the folder which is read in its place. */
  replaced: ReadonlyMap<string, string>;
  /** Subvolumes of Btrfs that are missing can be told by their inode. */
  marksSubvolumes: boolean;
}

/** The root folder of a store. */
export class Root {
  /** Folders whose own names, and those above, are known to survive a power cut; a few, the others are synced again. */
  readonly #durable = new Set<string>();
  /** Held open for the next file in them, the one opened first first. */
  readonly #kept = new Map<DiskName, Folder>();
  #isClosed = false;

  constructor(
    /** Absolute, without symbolic links. */
    readonly path: string,
    readonly tree?: ComposedTree,
  ) {}

  pathOf(names: readonly DiskName[]): DiskName {
    let path: DiskName = this.path;
    for (const name of names) path = this.step(path, name);
    return path;
  }

  /** The path of `name` in the folder `path`. */
  step(path: DiskName, name: DiskName): DiskName {
    const joined = joinPath(path, name);
    return (typeof joined === 'string' ? this.tree?.replaced.get(joined) : undefined) ?? joined;
  }

  /** Closes what is kept open. What is opened later isn't kept. */
  close(): void {
    this.#isClosed = true;
    for (const folder of this.#kept.values()) folder.close();
    this.#kept.clear();
  }

  /**
   * Opens the folder that a key lies in; it stays open for the next file in it if it may be made (`create`), until the
   * root is closed. Throws NOT_FOUND where it is missing and isn't to be made, OBSTRUCTED where a file or a symbolic link
   * stands on the way.
   */
  openParent(key: string, create = false): { folder: Folder; name: DiskName } {
    const names = diskNamesOf(key);
    const name = names.pop();
    if (name === undefined) throw new CloudSyncError('INVALID_NAME', 'The root itself is no file');
    try {
      return { folder: create ? this.#openKept(names) : this.openFolder(names), name };
    } catch (error) {
      throw fromSystemError(error, key, create ? 'write' : 'reach');
    }
  }

  #openKept(names: readonly DiskName[]): Folder {
    const path = this.pathOf(names);
    const kept = this.#kept.get(path);
    if (kept !== undefined) {
      if (kept.isInPlace()) return kept.hold();
      this.#kept.delete(path);
      kept.close();
    }
    const folder = this.openFolder(names, true);
    // A path of bytes would be found by no other; one that the kernel names differently can't be confirmed later.
    if (this.#isClosed || typeof path !== 'string' || !folder.isInPlace()) return folder;
    this.#kept.set(path, folder.hold());
    if (this.#kept.size > MAX_KEPT) {
      const [oldest] = this.#kept.keys();
      this.#kept.get(oldest!)!.close();
      this.#kept.delete(oldest!);
    }
    return folder;
  }

  /** Throws the operating system's errors and OBSTRUCTED. */
  openFolder(names: readonly DiskName[], create = false): Folder {
    const path = this.pathOf(names);
    if (!create) return this.#open(path, names);
    try {
      return this.#open(path, names);
    } catch (error) {
      if (systemErrorName(error) !== 'ENOENT') throw error;
    }
    if (names.length === 0) {
      fs.mkdirSync(path, { recursive: true });
      this.#durable.clear();
    } else {
      using parent = this.openFolder(names.slice(0, -1), true);
      makeFolder(parent.at(names.at(-1)!));
      // A folder of this name that was removed may have been known as durable.
      this.#durable.delete(path.toString());
    }
    return this.#open(path, names);
  }

  #open(path: DiskName, names: readonly DiskName[]): Folder {
    if (!canNameDescriptors) {
      this.checkWay(names);
      return new Folder(path, -1, this, names);
    }
    const fd = fs.openSync(path, FOLDER_FLAGS | O_PATH);
    try {
      if (!isDescriptorOf(fd, path)) this.checkWay(names);
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    return new Folder(path, fd, this, names);
  }

  /** Makes the names of the folder `names` and of those above it survive a power cut. */
  syncAbove(names: readonly DiskName[]): void {
    for (let depth = names.length; depth >= 0; depth--) {
      const id = this.pathOf(names.slice(0, depth)).toString();
      if (this.#durable.has(id)) return;
      if (this.#durable.size >= MAX_REMEMBERED) this.#durable.clear();
      this.#durable.add(id);
      if (depth === 0) this.#syncOutside();
      else {
        using above = this.openFolder(names.slice(0, depth - 1));
        syncFolder(above.at('.'));
      }
    }
  }

  /** The root itself may be new, and the folders above it. */
  #syncOutside(): void {
    for (let path = dirname(this.path); ; path = dirname(path)) {
      try {
        syncFolder(path);
      } catch (error) {
        // What may not be opened wasn't made by us.
        if (!['EACCES', 'EPERM'].includes(systemErrorName(error))) throw error;
      }
      if (path === dirname(path)) return;
    }
  }

  /** Throws OBSTRUCTED where a step on the way is no folder, ENOENT where it is missing. */
  checkWay(names: readonly DiskName[]): void {
    let path: DiskName = this.path;
    if (fs.realpathSync(this.path) !== this.path) throw obstructed(this.path);
    for (const name of names) {
      path = this.step(path, name);
      if (fs.lstatSync(path).isDirectory()) continue;
      throw obstructed(path);
    }
  }
}

/** The path by which another process of the same user reaches an open file; undefined where there is no such path. */
export function descriptorFromOutside(fd: number): string | undefined {
  return canNameDescriptors ? `/proc/${process.pid}/fd/${fd}` : undefined;
}

/** Whether the kernel says that `fd` is what lies at `path`, without any symbolic link. */
export function isDescriptorOf(fd: number, path: DiskName): boolean {
  if (!canNameDescriptors) return false;
  const link = `/proc/self/fd/${fd}`;
  if (typeof path === 'string') return fs.readlinkSync(link) === path;
  return fs.readlinkSync(link, { encoding: 'buffer' }).equals(path);
}

function syncFolder(path: DiskName): void {
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    fs.fsyncSync(fd);
  } catch (error) {
    // Some network file systems can't do it for folders.
    if (!['EINVAL', 'ENOTSUP', 'EPERM', 'EROFS'].includes(systemErrorName(error))) throw error;
  } finally {
    fs.closeSync(fd);
  }
}

function obstructed(path: DiskName): CloudSyncError {
  return new CloudSyncError('OBSTRUCTED', `${path.toString()} is not a folder but stands on the way`, {
    advice: 'Move or rename what stands in its place.',
  });
}

function makeFolder(path: DiskName): void {
  try {
    fs.mkdirSync(path);
  } catch (error) {
    // Made by somebody else in between; whether it is a folder shows when it is opened.
    if (systemErrorName(error) !== 'EEXIST') throw error;
  }
}
