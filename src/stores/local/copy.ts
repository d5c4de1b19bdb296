/** Copying a file within the root: as a clone that shares its blocks where the file system can, else byte by byte. */

import fs from 'node:fs';
import { contentOfOpened } from '../content.js';
import type { CopyOptions, ObjectAttributes, OpenedObject, StoredObject, WriteOptions } from '../store.js';
import type { AttributeCopier } from './attribute-copier.js';
import type { DiskName } from './file-names.js';
import type { Folder, Root } from './folders.js';
import { openFile } from './read.js';
import { fromSystemError } from './system-errors.js';
import { newWriteName } from './temporary-names.js';
import { closeDraft, commit, type Draft, removeIfThere, writeFile } from './write.js';

const { COPYFILE_EXCL, COPYFILE_FICLONE_FORCE, O_RDWR, O_NOFOLLOW } = fs.constants;

/** See `Store.copy`. */
export async function copyFile(
  root: Root,
  sourceKey: string,
  key: string,
  options: CopyOptions,
  copier: AttributeCopier,
): Promise<StoredObject> {
  const pin = options.sourceIfMatch === undefined ? {} : { ifMatch: options.sourceIfMatch };
  const source = openFile(root, sourceKey, { ...pin, signal: options.signal }, false);
  try {
    const attributes = options.attributes ?? attributesOf(source);
    const write = { ...attributes, ...options, beforeCommit: () => source.confirmUnchanged() };
    const cloned = await cloneFile(root, sourceKey, key, attributes, write, copier);
    return cloned ?? (await writeFile(root, key, contentOfOpened(source), write, copier));
  } finally {
    await source.close();
  }
}

/** Undefined where the file system can't. */
async function cloneFile(
  root: Root,
  sourceKey: string,
  key: string,
  attributes: ObjectAttributes,
  options: CopyOptions & Pick<WriteOptions, 'beforeCommit'>,
  copier: AttributeCopier,
): Promise<StoredObject | undefined> {
  const source = root.openParent(sourceKey);
  try {
    const { folder, name } = root.openParent(key, true);
    const temporaryName = newWriteName();
    try {
      if (!tryClone(source.folder.at(source.name), folder, temporaryName)) return undefined;
      const fd = fs.openSync(folder.at(temporaryName), O_RDWR | O_NOFOLLOW);
      const draft: Draft = { folder, fd, temporaryName, name, key };
      try {
        return await commit(draft, attributes, options, copier);
      } finally {
        closeDraft(draft);
      }
    } catch (error) {
      removeIfThere(folder.at(temporaryName));
      throw error;
    } finally {
      folder.close();
    }
  } catch (error) {
    throw fromSystemError(error, key, 'copy to');
  } finally {
    source.folder.close();
  }
}

function tryClone(source: DiskName, folder: Folder, temporaryName: string): boolean {
  try {
    fs.copyFileSync(source, folder.at(temporaryName), COPYFILE_EXCL | COPYFILE_FICLONE_FORCE);
    // The copy has the mode of its source: nobody else reads it before it is in its place.
    fs.chmodSync(folder.at(temporaryName), 0o600);
    return true;
  } catch {
    // Whatever the reason, the way of reading and writing tells it in its own words.
    removeIfThere(folder.at(temporaryName));
    return false;
  }
}

function attributesOf(source: OpenedObject): ObjectAttributes {
  const { modificationTime, metadata } = source.object;
  return { modificationTime, metadata };
}
