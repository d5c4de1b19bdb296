/** Symbolic links as things of their own: read and made, never followed. */

import fs, { type BigIntStats } from 'node:fs';
import { CloudSyncError, throwIfAborted } from '../../errors.js';
import type { Store, StoredObject, WriteOptions } from '../store.js';
import type { AttributeCopier } from './attribute-copier.js';
import type { Folder, Root } from './folders.js';
import { describedObjectOf, etagOf } from './stat.js';
import { fromSystemError } from './system-errors.js';
import { newWriteName } from './temporary-names.js';
import {
  applyLinkOwner,
  lookAtTarget,
  ownerIn,
  putInPlace,
  removeIfThere,
  requireConditions,
  utimesSeconds,
} from './write.js';

/** A link and where it leads, as it is written in the link: bytes, as all names on a disk are. */
export interface LinkContent {
  /** `kind: 'link'`, the size is that of the target. */
  object: StoredObject;
  target: Buffer;
}

/** A store of a file system, whose symbolic links can be read and made. */
export interface StoreWithLinks extends Store {
  /** Undefined where there is no link of this name. */
  readLink(key: string): LinkContent | undefined;
  /**
   * Makes a link, or puts it in the place of another link, in one step. The target is taken as it is. OBSTRUCTED where a
   * file or folder stands in its place.
   */
  writeLink(key: string, target: Uint8Array, options?: WriteOptions): Promise<StoredObject>;
}

/** See {@link StoreWithLinks}. */
export function readLink(root: Root, key: string): LinkContent | undefined {
  let parent: { folder: Folder; name: string | Buffer };
  try {
    parent = root.openParent(key);
  } catch (error) {
    if (error instanceof CloudSyncError && ['NOT_FOUND', 'OBSTRUCTED'].includes(error.code)) return undefined;
    throw error;
  }
  using folder = parent.folder;
  try {
    const path = folder.at(parent.name);
    for (;;) {
      const stats = lookAtLink(path);
      if (stats === undefined) return undefined;
      const target = fs.readlinkSync(path, { encoding: 'buffer' });
      const after = lookAtLink(path);
      if (after === undefined || etagOf(after) !== etagOf(stats)) continue;
      // Some file systems say 0.
      return { object: { ...describedObjectOf(key, stats), size: target.length }, target };
    }
  } catch (error) {
    throw fromSystemError(error, key, 'read the link');
  }
}

function lookAtLink(path: string | Buffer): BigIntStats | undefined {
  const stats = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stats?.isSymbolicLink() === true ? stats : undefined;
}

/** See {@link StoreWithLinks}. */
export async function writeLink(
  root: Root,
  key: string,
  target: Uint8Array,
  options: WriteOptions,
  copier: AttributeCopier,
): Promise<StoredObject> {
  throwIfAborted(options.signal);
  const { folder, name } = root.openParent(key, true);
  const temporaryName = newWriteName();
  try {
    const temporary = folder.at(temporaryName);
    fs.symlinkSync(Buffer.from(target), temporary);
    if (!applyLinkOwner(temporary, options.metadata)) {
      copier.onOwnerNotKept({ key, ...ownerIn(options.metadata) });
    }
    if (options.modificationTime !== undefined) {
      fs.lutimesSync(temporary, Date.now() / 1000, utimesSeconds(options.modificationTime));
    }
    await options.beforeCommit?.();
    throwIfAborted(options.signal);
    const present = lookAtTarget(folder, name, key);
    if (present?.isSymbolicLink() === false) {
      throw new CloudSyncError(
        'OBSTRUCTED',
        `A file stands in the place of the link ${JSON.stringify(key)}`,
        {
          path: key,
          advice: 'Move or rename the file.',
        },
      );
    }
    requireConditions(present, options, key);
    putInPlace(folder, temporaryName, name, key, options);
    return describedObjectOf(key, fs.lstatSync(folder.at(name), { bigint: true }));
  } catch (error) {
    removeIfThere(folder.at(temporaryName));
    throw fromSystemError(error, key, 'make the link');
  } finally {
    folder.close();
  }
}
