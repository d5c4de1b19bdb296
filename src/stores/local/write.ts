/** Writing files: beside the target, checked, then put in its place in one step. */

import fs, { type BigIntStats } from 'node:fs';
import { promisify } from 'node:util';
import { CloudSyncError, throwIfAborted } from '../../errors.js';
import { algorithmsOf, Hasher, hashesOf, requireHashes } from '../hashing.js';
import type { Content, ObjectAttributes, StoredObject, WriteOptions } from '../store.js';
import type { AttributeCopier } from './attribute-copier.js';
import type { DiskName } from './file-names.js';
import { descriptorFromOutside, type Folder, type Root } from './folders.js';
import { describedObjectOf, etagOf } from './stat.js';
import { fromSystemError, systemErrorName } from './system-errors.js';
import { newWriteName } from './temporary-names.js';

const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
export const NEW_FILE = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
/** Chunks up to this size are written synchronously: faster, and too short to hold anything up. */
const SMALL = 64 * 1024;
/** What the mode of a remote file may give: as rclone 1.60 does, no set-user-id from a bucket. */
const MODE_FROM_METADATA = 0o777;

const writeAsync = promisify(fs.write) as (
  fd: number,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
) => Promise<{ bytesWritten: number }>;

/** A file on its way to its place. */
export interface Draft {
  folder: Folder;
  /** Descriptor, open for reading and writing; -1 after {@link closeDraft}. */
  fd: number;
  /** Its own name and the one it is to have. */
  temporaryName: DiskName;
  name: DiskName;
  key: string;
}

/** Writes a whole file; see `Store.write`. */
export async function writeFile(
  root: Root,
  key: string,
  content: Content,
  options: WriteOptions,
  copier: AttributeCopier,
): Promise<StoredObject> {
  throwIfAborted(options.signal);
  const { folder, name } = root.openParent(key, true);
  try {
    return await writeInto(folder, name, key, content, options, copier);
  } catch (error) {
    throw fromSystemError(error, key, 'write');
  } finally {
    folder.close();
  }
}

async function writeInto(
  folder: Folder,
  name: DiskName,
  key: string,
  content: Content,
  options: WriteOptions,
  copier: AttributeCopier,
): Promise<StoredObject> {
  // Refused before the first byte is fetched; what is in memory is refused when it is put in its place.
  if (content.bytes === undefined) requireConditions(lookAtTarget(folder, name, key), options, key);
  const draft = newDraft(folder, name, key);
  try {
    const writing =
      content.bytes === undefined
        ? writeStream(draft.fd, content, options, key)
        : writeBytes(draft.fd, content, content.bytes, options, key);
    if (writing !== undefined) await writing;
    return await commit(draft, options, options, copier);
  } catch (error) {
    removeIfThere(folder.at(draft.temporaryName));
    throw error;
  } finally {
    closeDraft(draft);
  }
}

function newDraft(folder: Folder, name: DiskName, key: string): Draft {
  const temporaryName = newWriteName();
  const fd = fs.openSync(folder.at(temporaryName), NEW_FILE, 0o600);
  return { folder, fd, temporaryName, name, key };
}

async function writeStream(fd: number, content: Content, options: WriteOptions, key: string): Promise<void> {
  const hasher = new Hasher(algorithmsOf(options.hashes));
  await writeContent(fd, content, 0, { key, hasher, signal: options.signal });
  requireHashes(options.hashes ?? {}, hasher.finish(), key);
}

/** Undefined where it is done already. The MD5 that the content brings was computed over this very memory. */
function writeBytes(
  fd: number,
  content: Content,
  bytes: Uint8Array,
  options: WriteOptions,
  key: string,
): Promise<void> | undefined {
  if (bytes.length !== content.size) throw wrongLength(key, content.size);
  const { hashes } = options;
  if (hashes !== undefined) requireHashes(hashes, hashesOf(content, bytes, algorithmsOf(hashes)), key);
  if (bytes.length > SMALL) return writeAll(fd, bytes, 0);
  writeSmall(fd, bytes, 0);
  return undefined;
}

/** Closes the descriptor, once. */
export function closeDraft(draft: Draft): void {
  if (draft.fd === -1) return;
  const { fd } = draft;
  draft.fd = -1;
  fs.closeSync(fd);
}

/** Writes all of `content` at `position`. CHANGED where the content isn't as long as it says. */
export async function writeContent(
  fd: number,
  content: Content,
  position: number,
  context: { key: string; hasher: Pick<Hasher, 'update'>; signal?: AbortSignal },
): Promise<void> {
  const { key, hasher, signal } = context;
  const end = position + content.size;
  const source = content.bytes === undefined ? content.read() : [content.bytes];
  for await (const chunk of source) {
    throwIfAborted(signal);
    if (position + chunk.length > end) throw wrongLength(key, content.size);
    hasher.update(chunk);
    await writeAll(fd, chunk, position);
    position += chunk.length;
  }
  throwIfAborted(signal);
  if (position !== end) throw wrongLength(key, content.size);
}

async function writeAll(fd: number, chunk: Uint8Array, position: number): Promise<void> {
  if (chunk.length <= SMALL) {
    writeSmall(fd, chunk, position);
    return;
  }
  for (let done = 0; done < chunk.length; ) {
    done += (await writeAsync(fd, chunk, done, chunk.length - done, position + done)).bytesWritten;
  }
}

function writeSmall(fd: number, chunk: Uint8Array, position: number): void {
  for (let done = 0; done < chunk.length; ) {
    done += fs.writeSync(fd, chunk, done, chunk.length - done, position + done);
  }
}

/**
 * Puts a written and checked file in its place: owner, mode, ACL and attributes of the file it replaces, or those asked
 * for where it is new; its time; then the rename. The object as it is afterwards.
 */
export async function commit(
  draft: Draft,
  attributes: ObjectAttributes,
  options: Pick<WriteOptions, 'ifMatch' | 'ifNoneMatch' | 'beforeCommit' | 'durable' | 'signal'>,
  copier: AttributeCopier,
): Promise<StoredObject> {
  const { folder, fd, temporaryName, name, key } = draft;
  throwIfAborted(options.signal);
  const present = lookAtTarget(folder, name, key);
  const takingOver = present?.isFile() ? takeOver(draft, present, copier) : undefined;
  if (takingOver === undefined) applyAttributes(draft, attributes, copier);
  else await takingOver;
  if (attributes.modificationTime !== undefined) setTime(fd, attributes.modificationTime);
  if (options.durable === true) fs.fsyncSync(fd);
  const confirming = options.beforeCommit?.();
  if (confirming !== undefined) await confirming;
  throwIfAborted(options.signal);
  // Where it had to be waited for anything, others may have been at work.
  const isLater = takingOver !== undefined || confirming !== undefined || options.durable === true;
  requireConditions(isLater ? lookAtTarget(folder, name, key) : present, options, key);
  const { ino } = fs.fstatSync(fd, { bigint: true });
  // Before the rename, because a network file system tells only now of bytes that it could not write.
  closeDraft(draft);
  putInPlace(folder, temporaryName, name, key, options);
  const stored = fs.lstatSync(folder.at(name), { bigint: true });
  if (stored.ino !== ino) {
    throw new CloudSyncError('CHANGED', `${JSON.stringify(key)} was replaced by another program`, {
      path: key,
    });
  }
  return describedObjectOf(key, stored);
}

/** Gives what was made under a temporary name its own. */
export function putInPlace(
  folder: Folder,
  temporaryName: DiskName,
  name: DiskName,
  key: string,
  options: Pick<WriteOptions, 'ifNoneMatch' | 'durable'>,
): void {
  if (options.ifNoneMatch === undefined) fs.renameSync(folder.at(temporaryName), folder.at(name));
  else putWhereNothingIs(folder, temporaryName, name, key);
  if (options.durable === true) folder.sync();
}

/** What the name holds now; OBSTRUCTED where it is a folder. A symbolic link counts as itself: it will be replaced. */
export function lookAtTarget(folder: Folder, name: DiskName, key: string): BigIntStats | undefined {
  const stats = fs.lstatSync(folder.at(name), { bigint: true, throwIfNoEntry: false });
  if (stats?.isDirectory()) {
    throw new CloudSyncError(
      'OBSTRUCTED',
      `Cannot write ${JSON.stringify(key)}: a folder stands in its place`,
      {
        path: key,
        advice: 'Move or rename the folder.',
      },
    );
  }
  return stats;
}

/** Throws PRECONDITION_FAILED where `present` isn't what a condition says. */
export function requireConditions(
  present: BigIntStats | undefined,
  options: Pick<WriteOptions, 'ifMatch' | 'ifNoneMatch'>,
  key: string,
): void {
  if (options.ifNoneMatch !== undefined && present !== undefined) {
    throw preconditionFailed(key, 'is there already');
  }
  if (options.ifMatch !== undefined && (present === undefined || etagOf(present) !== options.ifMatch)) {
    throw preconditionFailed(key, 'is not the file that was expected');
  }
}

/** A link made of the temporary name fails where something came in between, which a rename would replace. */
function putWhereNothingIs(folder: Folder, temporaryName: DiskName, name: DiskName, key: string): void {
  try {
    fs.linkSync(folder.at(temporaryName), folder.at(name));
  } catch (error) {
    const code = systemErrorName(error);
    if (code === 'EEXIST') throw preconditionFailed(key, 'is there already');
    // FAT and some network file systems have no hard links.
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code)) throw error;
    fs.renameSync(folder.at(temporaryName), folder.at(name));
    return;
  }
  fs.unlinkSync(folder.at(temporaryName));
}

/** Owner and mode of a file that replaces none. */
function applyAttributes(draft: Draft, { metadata }: ObjectAttributes, copier: AttributeCopier): void {
  const { fd, key } = draft;
  if (!applyMetadata(fd, metadata)) copier.onOwnerNotKept({ key, ...ownerIn(metadata) });
  const isModeGiven = wholeNumber(metadata?.mode, 8) !== undefined;
  if (!isModeGiven) fs.fchmodSync(fd, 0o666 & ~process.umask());
}

/** Owner, group, mode, ACL and extended attributes of the replaced file, as far as rights allow. */
async function takeOver(draft: Draft, replaced: BigIntStats, copier: AttributeCopier): Promise<void> {
  const { fd, folder } = draft;
  const own = fs.fstatSync(fd, { bigint: true });
  if (own.uid !== replaced.uid || own.gid !== replaced.gid) {
    const gid = Number(replaced.gid);
    // Who may not give a file away may still choose among their own groups.
    if (!tryChown(fd, Number(replaced.uid), gid)) {
      tryChown(fd, -1, gid);
      copier.onOwnerNotKept({ key: draft.key, uid: Number(replaced.uid), gid });
    }
  }
  fs.fchmodSync(fd, Number(replaced.mode) & 0o7777);
  const target = descriptorFromOutside(fd);
  if (target !== undefined) await copier.copy(folder.atFromOutside(draft.name), target, draft.key);
}

/**
 * Owner and mode that metadata gives, in rclone's names (`mode`: octal, `uid`, `gid`: decimal), as far as rights allow.
 * `target` is a descriptor or the path of a folder that is held open.
 *
 * @returns false where rights didn't allow to give it to its owner
 */
export function applyMetadata(
  target: number | DiskName,
  metadata: Record<string, string> | undefined,
): boolean {
  const { uid, gid } = ownerIn(metadata);
  const isOwned = (uid === undefined && gid === undefined) || tryChown(target, uid ?? -1, gid ?? -1);
  if (!isOwned && gid !== undefined) tryChown(target, -1, gid);
  const mode = wholeNumber(metadata?.mode, 8);
  if (mode === undefined) return isOwned;
  if (typeof target === 'number') fs.fchmodSync(target, mode & MODE_FROM_METADATA);
  else fs.chmodSync(target, mode & MODE_FROM_METADATA);
  return isOwned;
}

/** Owner and group that metadata gives. */
export function ownerIn(metadata: Record<string, string> | undefined): { uid?: number; gid?: number } {
  return { uid: wholeNumber(metadata?.uid, 10), gid: wholeNumber(metadata?.gid, 10) };
}

/**
 * The owner that metadata gives to a symbolic link itself. Links have no mode of their own.
 *
 * @returns false where rights didn't allow it
 */
export function applyLinkOwner(path: DiskName, metadata: Record<string, string> | undefined): boolean {
  const { uid, gid } = ownerIn(metadata);
  if (uid === undefined && gid === undefined) return true;
  return tryOwner(() => fs.lchownSync(path, uid ?? -1, gid ?? -1));
}

function tryChown(target: number | DiskName, uid: number, gid: number): boolean {
  return tryOwner(() => {
    if (typeof target === 'number') fs.fchownSync(target, uid, gid);
    else fs.chownSync(target, uid, gid);
  });
}

function tryOwner(change: () => void): boolean {
  try {
    change();
    return true;
  } catch (error) {
    // EINVAL: an id that this user namespace (a container) doesn't have. The others: file systems without owners.
    if (['EPERM', 'EINVAL', 'ENOTSUP', 'ENOSYS', 'EACCES'].includes(systemErrorName(error))) return false;
    throw error;
  }
}

function wholeNumber(text: string | undefined, base: 8 | 10): number | undefined {
  if (text === undefined || !(base === 8 ? /^[0-7]{1,7}$/ : /^[0-9]{1,10}$/).test(text)) return undefined;
  const value = Number.parseInt(text, base);
  // The highest id means 'unchanged' in chown(2).
  return value < 0xffffffff ? value : undefined;
}

/** Sets the modification time; Node.js and libuv keep microseconds. */
export function setTime(fd: number, time: bigint): void {
  fs.futimesSync(fd, Date.now() / 1000, utimesSeconds(time));
}

/**
 * `time` (ns) as the seconds that libuv turns into its microsecond. A double of today's seconds has steps of a quarter of
 * a microsecond and libuv cuts off, so that the middle of the microsecond is aimed at. Text, because Node.js takes a
 * negative number for the present time.
 */
export function utimesSeconds(time: bigint): string | number {
  let microseconds = time / 1000n;
  if (time < 0n && time % 1000n !== 0n) microseconds -= 1n;
  if (microseconds % 1_000_000n === 0n) return String(microseconds / 1_000_000n);
  const seconds = Number(microseconds / 1_000_000n);
  const rest = Number(microseconds % 1_000_000n);
  return time >= 0n ? seconds + (rest + 0.4) / 1e6 : String(seconds + (rest - 0.4) / 1e6);
}

export function removeIfThere(path: DiskName): void {
  try {
    fs.unlinkSync(path);
  } catch (error) {
    if (systemErrorName(error) !== 'ENOENT') throw error;
  }
}

function wrongLength(key: string, size: number): CloudSyncError {
  return new CloudSyncError('CHANGED', `The content for ${JSON.stringify(key)} is not ${size} bytes long`, {
    path: key,
  });
}

function preconditionFailed(key: string, what: string): CloudSyncError {
  return new CloudSyncError('PRECONDITION_FAILED', `${JSON.stringify(key)} ${what}`, { path: key });
}
