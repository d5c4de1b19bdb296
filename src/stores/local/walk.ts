/**
 * Listing a tree in the order of whole keys, one folder at a time for each level of depth. The calls are synchronous:
 * measured on 200,000 files they take a quarter of the time of `fs.promises`; between pages the event loop gets its turn.
 */

import fs, { type BigIntStats, type Dirent } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { asCloudSyncError, CloudSyncError, throwIfAborted } from '../../errors.js';
import type { ListOptions, ObjectKind, StoredObject } from '../store.js';
import { compareUtf8 } from '../utf8-order.js';
import { type DiskName, diskNamesOf, isOwnName, keyOfBytes, keyOfText } from './file-names.js';
import type { Root } from './folders.js';
import { kindOf, objectOf, specialFile } from './stat.js';
import { fromSystemError, systemErrorName } from './system-errors.js';

const PAGE_SIZE = 1000;
/** BTRFS_EMPTY_SUBVOL_DIR_OBJECTID. */
const EMPTY_SUBVOLUME_INODE = 2n;
/** Something that vanished between two looks at it was deleted, which is no fault. */
const VANISHED = new Set(['ENOENT', 'ENOTDIR']);

/** One name in a folder, before it is its turn. */
interface Candidate {
  name: DiskName;
  segment: string;
  kind: ObjectKind;
  /** The name it is sorted by, a slash behind it where it is a folder. */
  place: string;
  /** Where it had to be looked at before sorting. */
  stats?: BigIntStats;
  problem?: CloudSyncError;
}

/** A folder that is being walked. */
interface Level {
  path: DiskName;
  /** Key and place of the folder, each with a slash at its end unless it is the root. */
  key: string;
  place: string;
  candidates: (Candidate | undefined)[];
  next: number;
  /** Device and inode, so that circles are seen. Only where links are followed. */
  id?: string;
}

/** Lists what is below `root`; see `Store.list` and {@link ListOptions}. */
export async function* walk(root: Root, options: ListOptions): AsyncGenerator<StoredObject[]> {
  throwIfAborted(options.signal);
  const walker = new Walker(root, options);
  walker.start();
  for (;;) {
    const { page, done } = walker.nextPage();
    if (page.length > 0) yield page;
    if (done) return;
    await nextTurn();
    throwIfAborted(options.signal);
  }
}

class Walker {
  readonly #levels: Level[] = [];
  readonly #root: Root;
  readonly #options: ListOptions;
  readonly #startAfter: string;
  #page: StoredObject[] = [];
  #steps = 0;

  constructor(root: Root, options: ListOptions) {
    this.#root = root;
    this.#options = options;
    this.#startAfter = options.startAfter ?? '';
  }

  /** Reads the first folder: the root, or the one that the prefix lies in. */
  start(): void {
    const { prefix = '' } = this.#options;
    const base = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    const names = diskNamesOf(base.slice(0, -1));
    const path = this.#root.pathOf(names);
    try {
      if (this.#options.followSymlinks !== true) this.#root.openFolder(names).close();
      const level = this.#readLevel(path, base, this.#placeOfBase(base), prefix.slice(base.length));
      this.#levels.push(level);
    } catch (error) {
      if (names.length > 0 && isMissing(error)) return;
      throw missingRoot(error, this.#root.path) ?? fromSystemError(error, base.slice(0, -1), 'list');
    }
  }

  /** Goes on until a page is full, or as many names were looked at as a page has. */
  nextPage(): { page: StoredObject[]; done: boolean } {
    this.#page = [];
    const stop = this.#steps + PAGE_SIZE;
    while (this.#page.length < PAGE_SIZE && this.#steps < stop) {
      const level = this.#levels.at(-1);
      if (level === undefined) return { page: this.#page, done: true };
      if (level.next === level.candidates.length) {
        this.#levels.pop();
        continue;
      }
      const candidate = level.candidates[level.next]!;
      level.candidates[level.next++] = undefined;
      this.#steps++;
      this.#visit(level, candidate);
    }
    return { page: this.#page, done: false };
  }

  #visit(level: Level, candidate: Candidate): void {
    const place = level.place + candidate.place;
    const key = level.key + candidate.segment;
    const isAfter = this.#startAfter === '' || compareUtf8(place, this.#startAfter) > 0;
    if (candidate.kind === 'folder') {
      if (isAfter || this.#startAfter.startsWith(place)) this.#visitFolder(level, candidate, key, place);
    } else if (isAfter) {
      const object = candidate.problem
        ? troubled(key, 'special', candidate.problem)
        : this.#lookAt(this.#root.step(level.path, candidate.name), key, candidate);
      if (object !== undefined) this.#emit(object, place);
    }
  }

  #visitFolder(level: Level, candidate: Candidate, key: string, place: string): void {
    const { entersFolder, folders, shallow } = this.#options;
    if (entersFolder !== undefined && !entersFolder(`${key}/`)) return;
    const path = this.#root.step(level.path, candidate.name);
    const isAfter = this.#startAfter === '' || compareUtf8(place, this.#startAfter) > 0;
    if (candidate.problem !== undefined) {
      this.#emitFolder(troubled(key, 'folder', candidate.problem), place);
      return;
    }
    let below: Level | undefined;
    try {
      this.#requireWhole(path, key, candidate);
      if (shallow !== true) below = this.#readLevel(path, `${key}/`, place, '', candidate.stats);
    } catch (error) {
      if (VANISHED.has(systemErrorName(error))) return;
      this.#emitFolder(troubled(key, 'folder', fromSystemError(error, key, 'list')), place);
      return;
    }
    if ((folders === true || shallow === true) && isAfter) {
      const object = this.#lookAt(path, key, candidate);
      if (object !== undefined) this.#emitFolder(object, place);
    }
    if (below !== undefined) this.#levels.push(below);
  }

  /** In a snapshot of Btrfs, a subvolume that has none of its own is an empty folder with an inode of its own kind. */
  #requireWhole(path: DiskName, key: string, candidate: Candidate): void {
    if (this.#root.tree?.marksSubvolumes !== true) return;
    const { ino } = candidate.stats ?? fs.lstatSync(path, { bigint: true });
    if (ino !== EMPTY_SUBVOLUME_INODE) return;
    throw new CloudSyncError(
      'NOT_SUPPORTED',
      `${JSON.stringify(key)} is a subvolume of its own, which the snapshot does not hold`,
      { path: key, advice: 'Exclude it and give it a task of its own, or switch "snapshot" off.' },
    );
  }

  /** `place` of a folder ends in a slash, the order key of its entry doesn't. */
  #emitFolder(object: StoredObject, place: string): void {
    this.#emit(object, place.slice(0, -1));
  }

  #emit(object: StoredObject, place: string): void {
    if (this.#options.orderName !== undefined) object.orderKey = place;
    this.#page.push(object);
  }

  #lookAt(path: DiskName, key: string, candidate: Candidate): StoredObject | undefined {
    try {
      const stats = candidate.stats ?? fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
      return stats && objectOf(key, stats);
    } catch (error) {
      if (VANISHED.has(systemErrorName(error))) return undefined;
      const problem = fromSystemError(error, key, 'read');
      return troubled(key, candidate.kind === 'folder' ? 'folder' : 'special', problem);
    }
  }

  #readLevel(path: DiskName, key: string, place: string, nameStart: string, stats?: BigIntStats): Level {
    const level: Level = { path, key, place, candidates: [], next: 0 };
    if (this.#options.followSymlinks === true) level.id = idOf(stats ?? fs.statSync(path, { bigint: true }));
    const candidates: Candidate[] = [];
    let isAscii = true;
    for (const [name, segment, entry] of entriesOf(path)) {
      if (nameStart !== '' && !segment.startsWith(nameStart)) continue;
      if (typeof name === 'string' && isOwnName(name)) continue;
      const candidate = this.#candidate(level, name, segment, entry);
      if (candidate === undefined) continue;
      isAscii &&= isBelowSurrogates(candidate.place);
      candidates.push(candidate);
    }
    // Below the surrogates JavaScript's own comparison, which is faster, gives the same order.
    if (isAscii) candidates.sort((a, b) => (a.place < b.place ? -1 : a.place > b.place ? 1 : 0));
    else candidates.sort((a, b) => compareUtf8(a.place, b.place));
    level.candidates = candidates;
    return level;
  }

  #candidate(
    level: Level,
    name: DiskName,
    segment: string,
    entry: Dirent | Dirent<Buffer>,
  ): Candidate | undefined {
    const candidate: Candidate = { name, segment, kind: kindOfEntry(entry), place: segment };
    if (candidate.kind === 'link' && this.#options.followSymlinks === true) {
      if (!this.#follow(level, candidate)) return undefined;
    }
    const { orderName } = this.#options;
    if (orderName !== undefined) {
      try {
        candidate.place = orderName(segment, candidate.kind);
      } catch (error) {
        candidate.problem ??= asCloudSyncError(error);
        candidate.problem.path = level.key + segment;
      }
    }
    if (candidate.kind === 'folder') candidate.place += '/';
    return candidate;
  }

  /** Looks where a link leads; false where the link is gone. */
  #follow(level: Level, candidate: Candidate): boolean {
    const key = level.key + candidate.segment;
    const path = this.#root.step(level.path, candidate.name);
    candidate.kind = 'special';
    try {
      const stats = fs.statSync(path, { bigint: true });
      const kind = kindOf(stats);
      if (kind === 'folder' && this.#isAncestor(level, idOf(stats))) {
        candidate.problem = specialFile(key, 'a symbolic link that leads around in a circle');
      } else {
        candidate.kind = kind;
        candidate.stats = stats;
      }
    } catch (error) {
      const name = systemErrorName(error);
      if (name === 'ENOENT' || name === 'ENOTDIR') {
        candidate.problem = specialFile(key, 'a symbolic link that leads nowhere');
      } else if (name === 'ELOOP') {
        candidate.problem = specialFile(key, 'a symbolic link that leads around in a circle');
      } else {
        candidate.problem = fromSystemError(error, key, 'follow the symbolic link');
      }
    }
    return true;
  }

  #isAncestor(level: Level, id: string): boolean {
    return level.id === id || this.#levels.some((above) => above.id === id);
  }

  #placeOfBase(base: string): string {
    const { orderName } = this.#options;
    if (orderName === undefined || base === '') return base;
    const segments = base.slice(0, -1).split('/');
    return `${segments.map((segment) => orderName(segment, 'folder')).join('/')}/`;
  }
}

/**
 * What is in a folder. Names are read as text, which is faster, and a second time as bytes where one of them isn't valid
 * UTF-8 (it shows as U+FFFD).
 */
function* entriesOf(path: DiskName): Generator<[DiskName, string, Dirent | Dirent<Buffer>]> {
  const entries = fs.readdirSync(path, { withFileTypes: true });
  if (!entries.some((entry) => entry.name.includes('\ufffd'))) {
    for (const entry of entries) yield [entry.name, keyOfText(entry.name), entry];
    return;
  }
  for (const entry of fs.readdirSync(path, { withFileTypes: true, encoding: 'buffer' })) {
    const text = entry.name.toString('utf8');
    const isText = Buffer.from(text, 'utf8').equals(entry.name);
    yield [isText ? text : entry.name, isText ? keyOfText(text) : keyOfBytes(entry.name), entry];
  }
}

function kindOfEntry(entry: Dirent | Dirent<Buffer>): ObjectKind {
  if (entry.isFile()) return 'file';
  if (entry.isDirectory()) return 'folder';
  return entry.isSymbolicLink() ? 'link' : 'special';
}

function idOf(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}`;
}

function isBelowSurrogates(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) >= 0xd800) return false;
  return true;
}

function troubled(key: string, kind: ObjectKind, problem: CloudSyncError): StoredObject {
  return { key, kind, size: 0, problem };
}

function isMissing(error: unknown): boolean {
  if (VANISHED.has(systemErrorName(error))) return true;
  return error instanceof CloudSyncError && error.code === 'OBSTRUCTED';
}

/** The error for a root that can't be used, naming the property it comes from; undefined where it is another error. */
export function missingRoot(error: unknown, path: string): CloudSyncError | undefined {
  const name = systemErrorName(error);
  if (name === 'ENOENT') {
    return new CloudSyncError('NOT_FOUND', `The folder ${path} does not exist`, {
      field: 'path',
      advice: 'Check the path, and whether the disk or share it lies on is mounted.',
      cause: error,
    });
  }
  if (name === 'ENOTDIR') {
    return new CloudSyncError('INVALID_INPUT', `${path} is not a folder`, {
      field: 'path',
      advice: 'Enter the path of a folder.',
      cause: error,
    });
  }
  if (name === 'EACCES' || name === 'EPERM') {
    return new CloudSyncError('NO_PERMISSION', `The folder ${path} may not be read`, {
      field: 'path',
      advice: 'Give the user that Node-RED runs as the right to read it and to enter the folders above it.',
      cause: error,
    });
  }
  return undefined;
}
