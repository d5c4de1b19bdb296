/**
 * Files as they were: from the revisions Dropbox keeps (30 to 365 days, by plan). It tells of the last deletion of a file
 * only; one that was deleted and made again later therefore counts as having been there in between: more may come back
 * than there was, never less. A file that was moved away since then is found where it was as long as it is known there
 * as deleted. https://www.dropbox.com/developers/documentation/http/documentation#files-list_revisions
 */

import { throwIfAborted } from '../../errors.js';
import type { ListOptions, StoredObject } from '../store.js';
import { tagsOf } from './errors.js';
import { type Listed, listEntries } from './listing.js';
import { type Metadata, objectOf, pathOf } from './objects.js';
import type { DropboxTransport } from './transport.js';

/** Revisions asked for at once: the most Dropbox gives. */
const PAGE_LIMIT = 100;
/** Files whose revisions are asked for at the same time. */
const ASKED_AT_ONCE = 8;

interface RevisionsResult {
  is_deleted: boolean;
  server_deleted?: string;
  entries: Metadata[];
  has_more: boolean;
}

/** Every version and the deletion of each file, newest first. */
export async function* listVersions(
  transport: DropboxTransport,
  options: ListOptions,
): AsyncGenerator<StoredObject[]> {
  for await (const page of entriesWithDeleted(transport, options)) {
    const files = page.filter(({ metadata }) => metadata['.tag'] !== 'folder');
    const versions = await inParallel(files, (listed) => versionsOf(transport, listed, options.signal));
    const objects = versions.flat();
    if (objects.length > 0) yield objects;
  }
}

/** The files as they were at `asOf`, ms since the epoch. */
export async function* listAsOf(
  transport: DropboxTransport,
  options: ListOptions & { asOf: number },
): AsyncGenerator<StoredObject[]> {
  const { asOf, signal, folders = false } = options;
  for await (const page of entriesWithDeleted(transport, options)) {
    const found = await inParallel(page, async ({ key, metadata }): Promise<StoredObject | undefined> => {
      if (metadata['.tag'] === 'folder') return folders ? objectOf(key, metadata) : undefined;
      if (metadata['.tag'] === 'file' && Date.parse(metadata.server_modified!) <= asOf) {
        return objectOf(key, metadata);
      }
      const then = await revisionAt(transport, key, asOf, signal);
      return then === undefined ? undefined : objectOf(key, then);
    });
    const objects = found.filter((object) => object !== undefined);
    if (objects.length > 0) yield objects;
  }
}

async function* entriesWithDeleted(
  transport: DropboxTransport,
  options: ListOptions,
): AsyncGenerator<Listed[]> {
  throwIfAborted(options.signal);
  const { prefix = '', shallow = false, signal } = options;
  yield* listEntries(transport, {
    prefix,
    shallow,
    includeDeleted: true,
    ...(signal === undefined ? {} : { signal }),
  });
}

async function versionsOf(
  transport: DropboxTransport,
  { key }: Listed,
  signal: AbortSignal | undefined,
): Promise<StoredObject[]> {
  const objects: StoredObject[] = [];
  for await (const { entries, is_deleted: isDeleted, server_deleted: deleted } of revisionPages(
    transport,
    key,
    signal,
  )) {
    const isFirst = objects.length === 0;
    if (isFirst && isDeleted) {
      const marker: StoredObject = { key, kind: 'file', size: 0, isDeleteMarker: true, isLatest: true };
      const time = Date.parse(deleted ?? '');
      if (!Number.isNaN(time)) marker.storedTime = time;
      objects.push(marker);
    }
    for (const entry of entries) {
      objects.push({ ...objectOf(key, { ...entry, '.tag': 'file' }), isLatest: objects.length === 0 });
    }
  }
  return objects;
}

/** The revision a file had then; undefined where there was none. */
async function revisionAt(
  transport: DropboxTransport,
  key: string,
  asOf: number,
  signal: AbortSignal | undefined,
): Promise<Metadata | undefined> {
  for await (const page of revisionPages(transport, key, signal)) {
    if (page.is_deleted && Date.parse(page.server_deleted ?? '') <= asOf) return undefined;
    const then = page.entries.find((entry) => Date.parse(entry.server_modified!) <= asOf);
    if (then !== undefined) return { ...then, '.tag': 'file' };
  }
  return undefined;
}

/** Nothing where it is no file (a folder that was deleted), or no longer known. */
export async function* revisionPages(
  transport: DropboxTransport,
  key: string,
  signal: AbortSignal | undefined,
  limit = PAGE_LIMIT,
): AsyncGenerator<RevisionsResult> {
  let beforeRev: string | undefined;
  do {
    let page: RevisionsResult;
    try {
      page = await transport.rpc<RevisionsResult>({
        kind: 'LIST',
        route: 'files/list_revisions',
        argument: {
          path: pathOf(key),
          mode: 'path',
          limit,
          ...(beforeRev === undefined ? {} : { before_rev: beforeRev }),
        },
        key,
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (/^path\/(not_found|not_file)/.test(tagsOf(error))) return;
      throw error;
    }
    yield page;
    beforeRev = page.has_more ? page.entries.at(-1)?.rev : undefined;
  } while (beforeRev !== undefined);
}

/** The results of `action` for each item, in their order, some at a time. */
async function inParallel<T, R>(items: readonly T[], action: (item: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) {
      results[index] = await action(items[index]!);
    }
  };
  await Promise.all(Array.from({ length: Math.min(ASKED_AT_ONCE, items.length) }, worker));
  return results;
}
