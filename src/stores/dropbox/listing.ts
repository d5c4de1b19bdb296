/**
 * Listings: pages of up to 2,000 entries, each with size, time, revision and content_hash, so that nothing has to be asked
 * file by file. https://www.dropbox.com/developers/documentation/http/documentation#files-list_folder
 */

import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import type { ListOptions, StoredObject } from '../store.js';
import { compareUtf8 } from '../utf8-order.js';
import { tagsOf } from './errors.js';
import { isWellFormedEntry, type Metadata, objectOf, pathOf } from './objects.js';
import type { DropboxTransport } from './transport.js';

/** Entries of a page: the most Dropbox gives. */
const PAGE_LIMIT = 2000;
/** Folders whose spelling is remembered. */
const REMEMBERED_FOLDERS = 100_000;
/** How often a listing begins anew because its cursor was given up. */
const RESTARTS = 3;
/** One entry is enough to know that a folder is not empty. */
const FEW_ENTRIES = 100;

interface ListFolderResult {
  entries: Metadata[];
  cursor: string;
  has_more: boolean;
}

/** An entry and its key. */
export interface Listed {
  key: string;
  metadata: Metadata;
}

/**
 * The entries below a prefix, in no order. After an expired cursor the listing begins anew and keys come again. Where the
 * folder isn't there, nothing.
 */
export async function* listEntries(
  transport: DropboxTransport,
  options: { prefix: string; shallow: boolean; includeDeleted: boolean; signal?: AbortSignal },
): AsyncGenerator<Listed[]> {
  const { prefix, shallow, includeDeleted, signal } = options;
  const folder = prefix.slice(0, Math.max(0, prefix.lastIndexOf('/')));
  const keys = new KeyBuilder(folder);
  const argument = {
    path: pathOf(folder),
    recursive: !shallow,
    include_deleted: includeDeleted,
    limit: PAGE_LIMIT,
  };
  for (let restarts = 0; ; restarts++) {
    try {
      for await (const entries of listPages(transport, argument, folder, signal)) {
        const listed: Listed[] = [];
        for (const metadata of entries) {
          const key = keys.keyOf(metadata);
          if (key?.startsWith(prefix) === true) listed.push({ key, metadata });
        }
        yield listed;
      }
      return;
    } catch (error) {
      // No such folder, or a file of that name: nothing lies in it.
      if (/^path\/(not_found|not_folder)/.test(tagsOf(error))) return;
      if (tagsOf(error) !== 'reset') throw error;
      if (restarts < RESTARTS) continue;
      throw new CloudSyncError('CHANGED', 'Dropbox gave up the listing several times', {
        cause: error,
        retryable: true,
      });
    }
  }
}

async function* listPages(
  transport: DropboxTransport,
  argument: object,
  folder: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Metadata[]> {
  const shared = { kind: 'LIST', key: folder, ...(signal === undefined ? {} : { signal }) } as const;
  let page = await transport.rpc<ListFolderResult>({ ...shared, route: 'files/list_folder', argument });
  for (;;) {
    throwIfAborted(signal);
    if (!isWellFormed(page)) {
      throw new CloudSyncError('BAD_ANSWER', 'Dropbox answers a listing in a way that makes no sense');
    }
    yield page.entries;
    if (!page.has_more) return;
    const { cursor } = page;
    const next = { ...shared, route: 'files/list_folder/continue', argument: { cursor } };
    page = await transport.rpc<ListFolderResult>(next);
    if (page?.has_more && page.cursor === cursor) {
      throw new CloudSyncError('BAD_ANSWER', 'The listing that Dropbox answers goes round in a circle');
    }
  }
}

/** Whether a page is one, and its entries are what they should be. */
function isWellFormed(page: ListFolderResult | null): boolean {
  return (
    Array.isArray(page?.entries) &&
    page.entries.every(isWellFormedEntry) &&
    typeof page.has_more === 'boolean' &&
    typeof page.cursor === 'string'
  );
}

/** Pages of objects as they are now. */
export async function* listObjects(
  transport: DropboxTransport,
  options: ListOptions,
): AsyncGenerator<StoredObject[]> {
  throwIfAborted(options.signal);
  const { prefix = '', shallow = false, folders = shallow, startAfter, signal } = options;
  const request = { prefix, shallow, includeDeleted: false, ...(signal === undefined ? {} : { signal }) };
  for await (const listed of listEntries(transport, request)) {
    const page: StoredObject[] = [];
    for (const { key, metadata } of listed) {
      // What goes while the listing is under way comes as deleted.
      if (metadata['.tag'] === 'deleted' || (metadata['.tag'] === 'folder' && !folders)) continue;
      if (startAfter === undefined || compareUtf8(key, startAfter) > 0) page.push(objectOf(key, metadata));
    }
    if (page.length > 0) yield page;
  }
}

/**
 * Whether nothing lies in the folder; undefined where there is none. Deleted entries count towards a page's limit without
 * being in it: a page may be empty and have more behind it.
 */
export async function isFolderEmpty(
  transport: DropboxTransport,
  key: string,
  signal: AbortSignal | undefined,
): Promise<boolean | undefined> {
  try {
    const argument = { path: pathOf(key), limit: FEW_ENTRIES };
    for await (const entries of listPages(transport, argument, key, signal)) {
      if (entries.some((metadata) => metadata['.tag'] !== 'deleted')) return false;
    }
    return true;
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND', 'OBSTRUCTED')) return undefined;
    throw error;
  }
}

/**
 * Keys of entries: below the folder as it was asked for, and with one spelling for each folder. Dropbox promises the case
 * of the last name of `path_display` only, and two spellings would become two folders on a disk.
 */
class KeyBuilder {
  readonly #depth: number;
  /** `path_lower` -> key. */
  readonly #folders = new Map<string, string>();

  constructor(private readonly folder: string) {
    this.#depth = folder === '' ? 0 : folder.split('/').length;
  }

  /** Undefined for the folder itself and what isn't mounted anywhere. */
  keyOf(metadata: Metadata): string | undefined {
    const { name, path_lower: lower, path_display: display = lower } = metadata;
    if (lower === undefined || display === undefined) return undefined;
    const names = display.slice(1).split('/');
    if (names.length <= this.#depth) return undefined;
    const parent = this.#folderKey(lower.slice(0, lower.lastIndexOf('/')), names, names.length - 1);
    const key = parent === '' ? name : `${parent}/${name}`;
    // Its own name is right; a spelling that was used already stays, so that a folder has one.
    if (metadata['.tag'] === 'folder' && !this.#folders.has(lower)) this.#remember(lower, key);
    return key;
  }

  #folderKey(lower: string, names: readonly string[], depth: number): string {
    if (depth <= this.#depth) return this.folder;
    const known = this.#folders.get(lower);
    if (known !== undefined) return known;
    const parent = this.#folderKey(lower.slice(0, lower.lastIndexOf('/')), names, depth - 1);
    const name = names[depth - 1]!;
    const key = parent === '' ? name : `${parent}/${name}`;
    this.#remember(lower, key);
    return key;
  }

  #remember(lower: string, key: string): void {
    if (this.#folders.size < REMEMBERED_FOLDERS) this.#folders.set(lower, key);
  }
}
