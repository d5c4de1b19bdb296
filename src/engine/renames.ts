/**
 * Files that were moved or renamed at the source: their content lies at the destination already under the old name, so it
 * is copied there, by the provider, and not sent again.
 *
 * A new file waits until the listing is through, because only then is it known what went. It is taken for a renamed one
 * if size and time are those of a file that went, and the content is proven to be the same: by an unchanged inode and
 * change time, or by its MD5.
 */

import { join } from 'node:path';
import type { StoredObject } from '../stores/store.js';
import type { RunContext } from './run-context.js';
import { SpooledList } from './spooled-list.js';
import type { IndexEntry } from './state-index.js';
import { isSameRemoteObject } from './state-index.js';
import { decodeStoredObject, encodeStoredObject } from './stored-object-text.js';

/** A new file at the source. */
export interface NewFile {
  path: string;
  sortKey: string;
  source: StoredObject;
}

/** A file that the source no longer has under this name, whose copy is still at the destination. */
export interface GoneFile {
  known: IndexEntry;
  object: StoredObject;
}

/** Files that went which are remembered; of more at once the rest is sent anew. */
const MOST_GONE = 200_000;
const PAGE = 500;

export class Renames {
  private readonly gone = new Map<string, GoneFile[]>();
  private goneCount = 0;
  private readonly waiting: SpooledList<unknown>;

  constructor(run: RunContext) {
    this.waiting = new SpooledList(join(run.settings.workFolder, `new-files-${process.pid}`));
  }

  /** A name is gone at the source; what the index knew of it may turn up under another. */
  offer(known: IndexEntry, object: StoredObject): void {
    if (this.goneCount >= MOST_GONE || object.size === 0 || !isSameRemoteObject(known, object)) return;
    const kind = kindOf(object.size, known.modificationTime);
    const same = this.gone.get(kind);
    if (same === undefined) this.gone.set(kind, [{ known, object }]);
    else same.push({ known, object });
    this.goneCount++;
  }

  /** A new name waits for the end of the listing. */
  wait(file: NewFile): void {
    this.waiting.push({ ...file, source: encodeStoredObject(file.source) });
  }

  /** The new names, in their order. */
  *files(): Generator<NewFile> {
    for (const page of this.waiting.pages(PAGE)) {
      for (const plain of page) {
        const file = plain as NewFile;
        yield { ...file, source: decodeStoredObject(file.source) };
      }
    }
    this.waiting.dispose();
  }

  /**
   * The file that went whose content `source` has, taken off the list so that it isn't used twice.
   *
   * @param md5Of reads the file; called at most once
   */
  async match(source: StoredObject, md5Of: () => Promise<string>): Promise<GoneFile | undefined> {
    const candidates = this.gone.get(kindOf(source.size, source.modificationTime!));
    if (candidates === undefined) return undefined;
    const unmoved = candidates.findIndex(({ known }) => isSameInode(known, source));
    if (unmoved >= 0) return candidates.splice(unmoved, 1)[0];
    if (candidates.every(({ known }) => known.md5 === '')) return undefined;
    const md5 = await md5Of();
    const equal = candidates.findIndex(({ known }) => known.md5 === md5);
    return equal < 0 ? undefined : candidates.splice(equal, 1)[0];
  }
}

function kindOf(size: number, modificationTime: bigint): string {
  return `${size} ${modificationTime}`;
}

/** A folder that is renamed leaves the files in it untouched, change time included. */
function isSameInode(known: IndexEntry, source: StoredObject): boolean {
  return (
    known.settled && known.inode === source.identity?.inode && known.changeTime === source.identity.changeTime
  );
}
