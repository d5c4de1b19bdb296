/** What `stat` says, as the stores' interface says it. */

import type { BigIntStats } from 'node:fs';
import { CloudSyncError } from '../../errors.js';
import type { FileIdentity, ObjectKind, StoredObject } from '../store.js';

/**
 * Names one state of one file: size, mtime, ctime and inode. The ctime can't be set by programs, so that an edit whose
 * time was put back shows.
 */
export function etagOf(stats: BigIntStats): string {
  return `${stats.size.toString(36)}-${stats.mtimeNs.toString(36)}-${stats.ctimeNs.toString(36)}-${stats.ino.toString(36)}`;
}

export function kindOf(stats: BigIntStats): ObjectKind {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'folder';
  return stats.isSymbolicLink() ? 'link' : 'special';
}

export function identityOf(stats: BigIntStats): FileIdentity {
  return {
    device: stats.dev,
    inode: stats.ino,
    changeTime: stats.ctimeNs,
    mode: Number(stats.mode),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
  };
}

/** As a listing shows it; `kind` where a link was followed to it or it can't be used. */
export function objectOf(key: string, stats: BigIntStats, kind: ObjectKind = kindOf(stats)): StoredObject {
  const object: StoredObject = {
    key,
    kind,
    size: kind === 'folder' ? 0 : Number(stats.size),
    modificationTime: stats.mtimeNs,
    identity: identityOf(stats),
  };
  if (kind === 'file' || kind === 'link') object.etag = etagOf(stats);
  if (kind === 'special') object.problem = specialFile(key, whatIs(stats));
  return object;
}

/** As `head` and `open` show it: with owner and mode as rclone names and writes them (`mode`: octal, type included). */
export function describedObjectOf(key: string, stats: BigIntStats): StoredObject {
  const object = objectOf(key, stats);
  object.metadata = {
    mode: stats.mode.toString(8),
    uid: stats.uid.toString(),
    gid: stats.gid.toString(),
  };
  return object;
}

export function specialFile(key: string, what: string): CloudSyncError {
  return new CloudSyncError('SPECIAL_FILE', `${JSON.stringify(key)} is ${what} and is left out`, {
    path: key,
    advice: 'Exclude it, so that it is not named any more.',
  });
}

export function whatIs(stats: BigIntStats): string {
  if (stats.isFIFO()) return 'a named pipe';
  if (stats.isSocket()) return 'a socket';
  if (stats.isSymbolicLink()) return 'a symbolic link';
  if (stats.isDirectory()) return 'a folder';
  return stats.isCharacterDevice() || stats.isBlockDevice() ? 'a device' : 'no ordinary file';
}
