/** Listing a memory store. */

import { throwIfAborted } from '../../errors.js';
import type { ListOptions, StoredObject } from '../store.js';
import { compareUtf8 } from '../utf8-order.js';
import type { Contents, Version } from './contents.js';

const PAGE_SIZE = 1000;

/** Gives pages of up to a thousand keys, or all at once in reverse where the order is to be of no use. */
export async function* listContents(
  contents: Contents,
  options: ListOptions,
  show: (version: Version, isLatest: boolean) => StoredObject,
  inOrder: boolean,
): AsyncGenerator<StoredObject[]> {
  throwIfAborted(options.signal);
  const keys = matchingKeys(contents, options);
  if (!inOrder) keys.reverse();
  const folders = new Set<string>();
  for (let start = 0; start < keys.length; start += PAGE_SIZE) {
    const page: StoredObject[] = [];
    for (const key of keys.slice(start, start + PAGE_SIZE)) {
      for (const [version, isLatest] of chosenVersions(contents, key, options)) {
        const object = show(version, isLatest);
        const folder = options.shallow === true ? folderOf(version.key, options.prefix ?? '') : undefined;
        if (folder === undefined) {
          if (object.kind !== 'folder' || options.folders === true) page.push(object);
        } else if (!folders.has(folder)) {
          folders.add(folder);
          page.push({ key: folder, kind: 'folder', size: 0 });
        }
      }
    }
    if (page.length > 0) yield page;
    throwIfAborted(options.signal);
  }
}

function matchingKeys(contents: Contents, { prefix = '', startAfter = '' }: ListOptions): string[] {
  const start = contents.fold(prefix);
  return contents
    .keys()
    .filter((key) => key.startsWith(start) && (startAfter === '' || compareUtf8(key, startAfter) > 0));
}

function* chosenVersions(
  contents: Contents,
  key: string,
  options: ListOptions,
): Generator<[Version, boolean]> {
  const versions = contents.versionsOf(key);
  if (options.versions === true) {
    for (const [index, version] of versions.entries()) yield [version, index === 0];
    return;
  }
  const { asOf = Number.POSITIVE_INFINITY } = options;
  const chosen = versions.find((version) => version.storedTime <= asOf);
  if (chosen !== undefined && !chosen.isDeleteMarker) yield [chosen, chosen === versions[0]];
}

/** The folder right below `prefix` that a key lies in; undefined where it lies in none. */
function folderOf(key: string, prefix: string): string | undefined {
  const slash = key.indexOf('/', prefix.length);
  return slash === -1 ? undefined : key.slice(0, slash);
}
