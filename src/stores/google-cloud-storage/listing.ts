/**
 * Listing a bucket: what is there, its versions, or the bucket as it was at a moment; the next page is always under way.
 * "Retrieves a list of objects matching the criteria, ordered in the list lexicographically by name", which is the order of
 * the UTF-8 bytes: https://cloud.google.com/storage/docs/json_api/v1/objects/list
 */

import { CloudSyncError } from '../../errors.js';
import type { ListOptions, StoredObject } from '../store.js';
import { compareUtf8 } from '../utf8-order.js';
import { bucketPath, type GcsConnection } from './connection.js';
import { OBJECT_FIELDS, type ObjectResource, objectOf } from './objects.js';

interface ListAnswer {
  kind?: string;
  items?: ObjectResource[];
  prefixes?: string[];
  nextPageToken?: string;
}

const FIELDS = `kind,nextPageToken,prefixes,items(${OBJECT_FIELDS})`;
/** "The recommended upper value for maxResults is 1000 objects in a single response." */
const PAGE_SIZE = 1000;
/** An object created this soon after its predecessor was removed replaced it: nobody saw it missing. ms. */
const REPLACEMENT_MS = 1000;

/** The entries of `bucket` that `options` asks for, a page at a time. */
export async function* listBucket(
  connection: GcsConnection,
  bucket: string,
  options: ListOptions,
): AsyncGenerator<StoredObject[]> {
  const { asOf } = options;
  if (options.versions === true || asOf !== undefined) {
    for await (const histories of listHistories(connection, bucket, options)) {
      const entries =
        asOf === undefined
          ? histories.flatMap(withDeleteMarkers)
          : histories.flatMap((h) => entryAsOf(h, asOf));
      if (entries.length > 0) yield tidy(entries, options);
    }
    return;
  }
  for await (const page of listPages(connection, bucket, options, false)) {
    const entries = (page.items ?? []).map(objectOf).filter((entry) => isAfter(entry.key, options));
    const all = page.prefixes === undefined ? entries : withFolders(entries, page.prefixes, options);
    if (all.length > 0) yield tidy(all, options);
  }
}

/** One generation of an object with the time it was replaced or deleted, ms since the epoch. */
interface Generation {
  object: StoredObject;
  endedAt: number | undefined;
}

/** All generations of one name, newest first; of a folder (`shallow`) the one entry. */
type History = Generation[];

/** Whole histories; the generations of one name come one after the other, the oldest first. */
async function* listHistories(
  connection: GcsConnection,
  bucket: string,
  options: ListOptions,
): AsyncGenerator<History[]> {
  let held: History | undefined;
  for await (const page of listPages(connection, bucket, options, true)) {
    const whole: History[] = [];
    for (const item of page.items ?? []) {
      const object = objectOf(item);
      if (!isAfter(object.key, options)) continue;
      const ended = Date.parse(item.timeDeleted ?? '');
      const generation = { object, endedAt: Number.isNaN(ended) ? undefined : ended };
      if (held?.[0]?.object.key === object.key) {
        held.push(generation);
        continue;
      }
      if (held !== undefined) whole.push(held.sort(newestFirst));
      held = [generation];
    }
    for (const prefix of page.prefixes ?? []) {
      if (isAfter(prefix, options)) whole.push([{ object: folderOf(prefix), endedAt: undefined }]);
    }
    if (page.prefixes !== undefined) {
      whole.sort((a, b) => compareUtf8(placeOf(a[0]!.object), placeOf(b[0]!.object)));
    }
    if (whole.length > 0) yield whole;
  }
  if (held !== undefined) yield [held.sort(newestFirst)];
}

function newestFirst(a: Generation, b: Generation): number {
  const [first, second] = [BigInt(a.object.versionId ?? 0), BigInt(b.object.versionId ?? 0)];
  return first < second ? 1 : first > second ? -1 : 0;
}

/** Google keeps when each generation ended, not that there was nothing after it: that is told by the gaps. */
function withDeleteMarkers(history: History): StoredObject[] {
  const entries: StoredObject[] = [];
  for (const [index, { object, endedAt }] of history.entries()) {
    const next = history[index - 1];
    const isLatest = next === undefined && endedAt === undefined;
    if (endedAt !== undefined && isGap(endedAt, next)) {
      const { key, kind } = object;
      entries.push({
        key,
        kind,
        size: 0,
        storedTime: endedAt,
        isDeleteMarker: true,
        isLatest: next === undefined,
      });
    }
    entries.push({ ...object, isLatest });
  }
  return entries;
}

function isGap(endedAt: number, next: Generation | undefined): boolean {
  return next === undefined || (next.object.storedTime ?? 0) - endedAt > REPLACEMENT_MS;
}

/** What of a name was there at `moment`: nothing or one entry. */
function entryAsOf(history: History, moment: number): StoredObject[] {
  for (const [index, { object, endedAt }] of history.entries()) {
    if (object.storedTime === undefined) return [object];
    if (object.storedTime > moment) continue;
    const wasGone = endedAt !== undefined && endedAt <= moment && isGap(endedAt, history[index - 1]);
    return wasGone ? [] : [object];
  }
  return [];
}

/** Folder markers (empty objects whose names end in `/`) as folders, or left out. */
function tidy(entries: StoredObject[], options: ListOptions): StoredObject[] {
  if (!entries.some(isMarker)) return entries;
  return entries.flatMap((entry) => {
    if (!isMarker(entry)) return [entry];
    if (options.folders !== true || (entry.key === (options.prefix ?? '') && options.versions !== true))
      return [];
    return [{ ...entry, key: entry.key.slice(0, -1), kind: 'folder' as const }];
  });
}

function isMarker(entry: StoredObject): boolean {
  return entry.size === 0 && entry.kind === 'file' && entry.key.endsWith('/');
}

function withFolders(
  entries: StoredObject[],
  prefixes: readonly string[],
  options: ListOptions,
): StoredObject[] {
  const folders = prefixes.filter((prefix) => isAfter(prefix, options)).map(folderOf);
  return [...entries, ...folders].sort((a, b) => compareUtf8(placeOf(a), placeOf(b)));
}

function folderOf(prefix: string): StoredObject {
  return { key: prefix.replace(/\/$/, ''), kind: 'folder', size: 0 };
}

function placeOf(entry: StoredObject): string {
  return entry.kind === 'folder' ? `${entry.key}/` : entry.key;
}

/** `startOffset` is inclusive, `startAfter` isn't. */
function isAfter(key: string, { startAfter }: ListOptions): boolean {
  return startAfter === undefined || compareUtf8(key, startAfter) > 0;
}

/** Pages as the server gives them; while one is used the next is already asked for. */
async function* listPages(
  connection: GcsConnection,
  bucket: string,
  options: ListOptions,
  versions: boolean,
): AsyncGenerator<ListAnswer> {
  const leaving = new AbortController();
  const signal =
    options.signal === undefined ? leaving.signal : AbortSignal.any([leaving.signal, options.signal]);
  const ask = (pageToken: string | undefined): Promise<ListAnswer> => {
    const answer = askPage(connection, bucket, options, versions, pageToken, signal);
    answer.catch(() => {});
    return answer;
  };
  let next: Promise<ListAnswer> | undefined = ask(undefined);
  let last: string | undefined;
  try {
    while (next !== undefined) {
      const page: ListAnswer = await next;
      const token = page.nextPageToken;
      if (token !== undefined && token === last) {
        throw new CloudSyncError(
          'BAD_ANSWER',
          'The listing does not advance: the server gives one page again and again',
        );
      }
      last = token;
      next = token === undefined || token === '' ? undefined : ask(token);
      yield page;
    }
  } finally {
    leaving.abort();
  }
}

async function askPage(
  connection: GcsConnection,
  bucket: string,
  options: ListOptions,
  versions: boolean,
  pageToken: string | undefined,
  signal: AbortSignal,
): Promise<ListAnswer> {
  const page = await connection.ask<ListAnswer>({
    kind: 'LIST',
    method: 'GET',
    action: versions ? 'list the versions' : 'list the objects',
    path: `${bucketPath(bucket)}/o`,
    query: {
      maxResults: PAGE_SIZE,
      fields: FIELDS,
      prefix: options.prefix || undefined,
      startOffset: options.startAfter || undefined,
      delimiter: options.shallow === true ? '/' : undefined,
      versions: versions ? 'true' : undefined,
      pageToken,
    },
    bucket,
    signal,
  });
  // Anything else must never be read as an empty bucket.
  if (page.kind !== 'storage#objects' || !isWellFormed(page)) {
    throw new CloudSyncError('BAD_ANSWER', 'The answer to a listing is no listing', {
      advice: 'Check the endpoint; leave it empty for Google itself.',
    });
  }
  return page;
}

/** Whether its parts are what they should be; the objects are looked at one by one. */
function isWellFormed({ items = [], prefixes = [], nextPageToken = '' }: ListAnswer): boolean {
  return (
    Array.isArray(items) &&
    Array.isArray(prefixes) &&
    prefixes.every((prefix) => typeof prefix === 'string') &&
    typeof nextPageToken === 'string' &&
    nextPageToken.isWellFormed()
  );
}
