/**
 * A listing as the merge needs it: in strictly increasing order of its keys, whatever the store gave. A store that
 * promises order is watched; one that promises none is sorted on the way, on disk past a bound.
 */

import { join } from 'node:path';
import { CloudSyncError, throwIfAborted } from '../errors.js';
import type { ListOptions, Store, StoredObject } from '../stores/store.js';
import { compareUtf8 } from '../stores/utf8-order.js';
import { ExternalSort, type SortedLines } from './external-sort.js';
import { type Location, namedKind, RESERVED_PREFIX } from './location.js';
import type { RunContext } from './run-context.js';
import { decodeStoredObject, encodeStoredObject } from './stored-object-text.js';

/** An entry and its place in the order both sides share. */
export interface ListedObject {
  /** Relative stored key at the remote side, folders with a slash behind it. */
  sortKey: string;
  object: StoredObject;
}

/** The listing broke its promise of order: nothing concluded from it stands, it has to be sorted. */
export class OrderBroken extends Error {
  constructor(readonly side: string) {
    super(`The listing of the ${side} is not in order`);
  }
}

export interface ListingRequest {
  /** For messages: `source` or `destination`. */
  side: string;
  store: Store;
  options: ListOptions;
  /** Cut off each key. */
  prefix: string;
  /** Sort even though the store promises order (it broke the promise, or keys are folded). */
  sort: boolean;
  /** Made equal for the merge where a side can't tell them apart: case, normal forms. */
  fold: (key: string) => string;
  /** For what memory can't hold. */
  workFolder: string;
  signal?: AbortSignal;
}

/** Lists in strictly increasing order. Throws {@link OrderBroken} where a store with promised order breaks it. */
export async function* orderedListing(request: ListingRequest): AsyncGenerator<ListedObject[]> {
  if (request.sort || request.store.features.order === 'none') yield* sortedListing(request);
  else yield* watchedListing(request);
}

async function* watchedListing(request: ListingRequest): AsyncGenerator<ListedObject[]> {
  let previous: string | undefined;
  for await (const page of listedPages(request)) {
    for (const listed of page) {
      if (previous !== undefined && compareUtf8(previous, listed.sortKey) >= 0) {
        throw new OrderBroken(request.side);
      }
      previous = listed.sortKey;
    }
    yield page;
  }
}

async function* sortedListing(request: ListingRequest): AsyncGenerator<ListedObject[]> {
  const folder = join(request.workFolder, `sort-${request.side}-${process.pid}-${Date.now()}`);
  const sort = new ExternalSort<ListedObject>(folder, LISTED_LINES);
  try {
    for await (const page of listedPages(request)) for (const listed of page) sort.add(listed);
    let previous: ListedObject | undefined;
    for (const page of sort.sorted()) {
      throwIfAborted(request.signal);
      // The same key twice is a page that came twice; two keys that only fold together are both kept.
      const kept = page.filter((listed) => {
        const isRepeated = previous?.sortKey === listed.sortKey && previous.object.key === listed.object.key;
        previous = listed;
        return !isRepeated;
      });
      if (kept.length > 0) yield kept;
    }
  } finally {
    sort.dispose();
  }
}

const LISTED_LINES: SortedLines<ListedObject> = {
  compare: (a, b) => compareUtf8(a.sortKey, b.sortKey) || compareUtf8(a.object.key, b.object.key),
  encode: (listed) => JSON.stringify([listed.sortKey, encodeStoredObject(listed.object)]),
  decode: (line) => {
    const [sortKey, object] = JSON.parse(line) as [string, unknown];
    return { sortKey, object: decodeStoredObject(object) };
  },
};

async function* listedPages(request: ListingRequest): AsyncGenerator<ListedObject[]> {
  const { prefix, fold } = request;
  for await (const page of request.store.list(request.options)) {
    throwIfAborted(request.signal);
    const listed: ListedObject[] = [];
    for (const object of page) {
      const whole = object.orderKey ?? object.key;
      if (!whole.startsWith(prefix)) {
        throw new CloudSyncError('BAD_ANSWER', `The listing holds a key outside of "${prefix}"`, {
          path: object.key,
        });
      }
      const relative = whole.slice(prefix.length);
      // The folder of the run itself (a marker for the prefix) is no part of it.
      if (relative === '' && object.kind === 'folder' && object.problem === undefined) continue;
      listed.push({ sortKey: fold(object.kind === 'folder' ? `${relative}/` : relative), object });
    }
    if (listed.length > 0) yield listed;
  }
}

/** Both sides of a run in the order they share: that of the stored keys at the remote side. */
export function listBothSides(run: RunContext, sort: boolean) {
  const { local, remote, settings } = run;
  const fold = foldOf(run);
  const isFolded = fold !== undefined;
  const shared = {
    sort: sort || isFolded,
    fold: fold ?? ((key: string) => key),
    workFolder: settings.workFolder,
  };
  // A sync removes folders that only the destination has, where folders are real; not those that stand empty at the source.
  const hasFolders = ({ store }: Location) => store.features.folders === 'real';
  const removesFolders = settings.transferMode === 'sync' && hasFolders(run.destination);
  const wantsFolders = (side: Location) =>
    settings.createEmptySrcDirs || (removesFolders && hasFolders(side));
  const localSide = orderedListing({
    ...shared,
    side: run.isPush ? 'source' : 'destination',
    store: local.store,
    prefix: local.prefix,
    options: {
      prefix: local.prefix,
      folders: wantsFolders(local),
      followSymlinks: settings.followSymlinks,
      entersFolder: (folder) => entersFolder(run, folder),
      orderName: (name, kind) =>
        remote.names.toStored(local.names.fromStored(name, namedKind(kind)), namedKind(kind)),
      signal: run.signal,
    },
    signal: run.signal,
  });
  const remoteSide = orderedListing({
    ...shared,
    side: run.isPush ? 'destination' : 'source',
    store: remote.store,
    prefix: remote.prefix,
    options: {
      prefix: remote.prefix,
      folders: wantsFolders(remote),
      asOf: settings.asOf,
      signal: run.signal,
    },
    signal: run.signal,
  });
  return { local: localSide, remote: remoteSide };
}

/** Folders that no file of the run can lie in are not walked. `folder` ends in a slash. */
function entersFolder(run: RunContext, folder: string): boolean {
  const path = folder.slice(0, -1);
  if (folder === RESERVED_PREFIX) return false;
  if (!run.settings.filter.entersFolder(path)) return false;
  return run.wanted === undefined || run.wanted.entersFolder(path);
}

/** Where a side can't tell certain names apart, both are compared in a form that can't either. */
function foldOf(run: RunContext): ((key: string) => string) | undefined {
  const all = [run.local.store.features, run.remote.store.features];
  const foldsCase = all.some((features) => !features.caseSensitive);
  const foldsForm = all.some((features) => !features.normalizationSensitive);
  if (!foldsCase && !foldsForm) return undefined;
  return (key) => {
    const normal = foldsForm ? key.normalize('NFC') : key;
    return foldsCase ? normal.toLowerCase() : normal;
  };
}
