/**
 * The folder that files were opened in last, held open: those of one folder are mostly read in a row, and opened in a
 * folder that was checked, none of them needs a check of its own way.
 */

import { type DiskName, diskNameOf, diskNamesOf } from './file-names.js';
import { canNameDescriptors, type Folder, type Root } from './folders.js';

/**
 * So long is a folder taken to be where it was when it was looked at last, ms. A file in one that was moved meanwhile is
 * found out by `confirmUnchanged`, which goes the whole way; the next attempt does too.
 */
const TRUSTED_MS = 50;

/** How a file in the folder is reached. */
export interface NearFile {
  /** For opening it: leads nowhere but into the folder held open. */
  at: DiskName;
  /** By its names from the root of the file system. */
  path: DiskName;
}

export class LastFolder {
  #key: string | undefined;
  #folder: Folder | undefined;
  #checkedAt = 0;

  constructor(private readonly root: Root) {}

  /** Undefined for the first file in a folder and where the folder can't be held: to be reached from the root. */
  find(key: string): NearFile | undefined {
    if (!canNameDescriptors) return undefined;
    const slash = key.lastIndexOf('/');
    const folderKey = slash === -1 ? '' : key.slice(0, slash);
    if (folderKey !== this.#key) {
      this.forget();
      this.#key = folderKey;
      return undefined;
    }
    const folder = this.#checked(folderKey);
    if (folder === undefined) return undefined;
    const name = diskNameOf(key.slice(slash + 1));
    return { at: folder.at(name), path: this.root.step(folder.path, name) };
  }

  forget(): void {
    this.#folder?.close();
    this.#folder = undefined;
    this.#key = undefined;
  }

  #checked(folderKey: string): Folder | undefined {
    const now = performance.now();
    if (this.#folder !== undefined && now - this.#checkedAt <= TRUSTED_MS) return this.#folder;
    try {
      this.#folder ??= this.root.openFolder(diskNamesOf(folderKey));
      if (this.#folder.isAtItsPath()) {
        this.#checkedAt = now;
        return this.#folder;
      }
    } catch {
      // What is wrong with it shows on the way from the root.
    }
    this.forget();
    return undefined;
  }
}
