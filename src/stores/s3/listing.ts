/** Listing a bucket: current objects, versions, or the bucket as it was at a moment; the next page is always under way. */

import { CloudSyncError } from '../../errors.js';
import type { HttpResponse } from '../http.js';
import type { ListOptions, PendingUpload, StoredObject } from '../store.js';
import type { S3Connection } from './connection.js';
import { type ListPage, parseListPage } from './page.js';
import { encodeQuery } from './signature.js';
import { elements, elementText } from './xml.js';

/** Where a page begins. */
type Cursor = Record<string, string | undefined>;

/** The entries of `bucket` that `options` asks for, a page at a time. */
export async function* listBucket(
  connection: S3Connection,
  bucket: string,
  options: ListOptions,
): AsyncGenerator<StoredObject[]> {
  if (options.versions === true) {
    yield* listVersions(connection, bucket, options);
  } else if (options.asOf !== undefined) {
    const { asOf } = options;
    for await (const page of listVersions(connection, bucket, options)) {
      const then = entriesAsOf(page, asOf);
      if (then.length > 0) yield then;
    }
  } else {
    for await (const page of pages(connection, bucket, options, false)) {
      const entries = tidy(page, options);
      if (entries.length > 0) yield entries;
    }
  }
}

/** Every version and delete marker; the versions of one key are never spread over two pages. */
async function* listVersions(
  connection: S3Connection,
  bucket: string,
  options: ListOptions,
): AsyncGenerator<StoredObject[]> {
  let held: StoredObject[] = [];
  for await (const page of pages(connection, bucket, options, true)) {
    const entries = [...held, ...tidy(page, options)];
    const last = entries.at(-1);
    let whole = entries.length;
    while (whole > 0 && entries[whole - 1]!.key === last?.key) whole -= 1;
    held = entries.slice(whole);
    if (whole > 0) yield entries.slice(0, whole);
  }
  if (held.length > 0) yield held;
}

/** What of each key was current at `moment`: entries of a key stand together, newest first. */
function entriesAsOf(entries: readonly StoredObject[], moment: number): StoredObject[] {
  const then: StoredObject[] = [];
  let decided: string | undefined;
  for (const entry of entries) {
    if (entry.kind === 'folder' && entry.storedTime === undefined) {
      then.push(entry);
      continue;
    }
    if (entry.key === decided || (entry.storedTime ?? 0) > moment) continue;
    decided = entry.key;
    if (entry.isDeleteMarker !== true) then.push(entry);
  }
  return then;
}

/** Folder markers and common prefixes brought into shape. Entries stay in the order the server gave. */
function tidy(page: ListPage, options: ListOptions): StoredObject[] {
  const prefix = options.prefix ?? '';
  let entries = page.entries;
  if (entries.some(isMarker)) {
    entries = entries.flatMap((entry) => {
      if (!isMarker(entry)) return [entry];
      if (options.folders !== true || (entry.key === prefix && options.versions !== true)) return [];
      return [{ ...entry, key: entry.key.slice(0, -1), kind: 'folder' as const }];
    });
  }
  if (page.folders.length === 0) return entries;
  const all = [...entries, ...page.folders];
  const place = (entry: StoredObject) => Buffer.from(entry.kind === 'folder' ? `${entry.key}/` : entry.key);
  return all
    .map((entry) => ({ entry, at: place(entry) }))
    .sort((a, b) => Buffer.compare(a.at, b.at))
    .map(({ entry }) => entry);
}

function isMarker(entry: StoredObject): boolean {
  return entry.size === 0 && entry.key.endsWith('/');
}

/** Pages as the server gives them; while one is used the next is already asked for. */
async function* pages(
  connection: S3Connection,
  bucket: string,
  options: ListOptions,
  versions: boolean,
): AsyncGenerator<ListPage> {
  const leaving = new AbortController();
  const signal =
    options.signal === undefined ? leaving.signal : AbortSignal.any([leaving.signal, options.signal]);
  const ask = (cursor: Cursor) => {
    const answer = askPage(connection, bucket, options, versions, cursor, signal);
    answer.catch(() => {});
    return answer;
  };
  let next: Promise<ListPage> | undefined = ask(
    versions ? { 'key-marker': options.startAfter } : { 'start-after': options.startAfter },
  );
  let last: string | undefined;
  try {
    while (next !== undefined) {
      const page: ListPage = await next;
      const cursor = cursorAfter(page, versions);
      if (cursor !== undefined) {
        const place = JSON.stringify(cursor);
        if (place === last)
          throw new CloudSyncError(
            'BAD_ANSWER',
            'The listing does not advance: the server gives one page again and again',
          );
        last = place;
      }
      next = cursor === undefined ? undefined : ask(cursor);
      yield page;
    }
  } finally {
    leaving.abort();
  }
}

async function askPage(
  connection: S3Connection,
  bucket: string,
  options: ListOptions,
  versions: boolean,
  cursor: Cursor,
  signal: AbortSignal,
): Promise<ListPage> {
  const response = await connection.send({
    kind: 'LIST',
    method: 'GET',
    action: versions ? 'list the versions' : 'list the objects',
    bucket,
    query: encodeQuery({
      ...(versions ? { versions: '' } : { 'list-type': 2 }),
      ...cursor,
      'encoding-type': 'url',
      prefix: options.prefix || undefined,
      delimiter: options.shallow === true ? '/' : undefined,
    }),
    // Only where it is known: some of the compatible servers refuse headers they don't know.
    ...(connection.endpoint.isAmazon
      ? { headers: { 'x-amz-optional-object-attributes': 'RestoreStatus' } }
      : {}),
    signal,
  });
  return parseAnswer(response, versions ? 'ListVersionsResult' : 'ListBucketResult');
}

function parseAnswer(response: HttpResponse, root: string): ListPage {
  // A proxy's page or a cut answer must never be read as an empty bucket.
  const { bytes } = response;
  if (!bytes.subarray(0, 1000).includes(`<${root}`) || !bytes.subarray(-100).includes(`</${root}>`)) {
    throw new CloudSyncError('BAD_ANSWER', 'The answer to a listing is no listing', {
      httpStatus: response.status,
      advice: 'Check that the endpoint is the S3 address of the server, not its web page.',
    });
  }
  return parseListPage(bytes);
}

function cursorAfter(page: ListPage, versions: boolean): Cursor | undefined {
  if (!page.truncated) return undefined;
  if (versions) {
    if (page.nextKeyMarker !== undefined) {
      return { 'key-marker': page.nextKeyMarker, 'version-id-marker': page.nextVersionMarker || undefined };
    }
  } else {
    if (page.nextToken !== undefined) return { 'continuation-token': page.nextToken };
    const last = page.entries.at(-1)?.key;
    if (last !== undefined) return { 'start-after': last };
  }
  throw new CloudSyncError('BAD_ANSWER', 'The listing goes on, but the server does not say where');
}

/** Multipart uploads begun under `prefix` and not finished, whoever began them. */
export async function* listPendingUploads(
  connection: S3Connection,
  bucket: string,
  prefix: string,
  signal?: AbortSignal,
): AsyncGenerator<PendingUpload> {
  let cursor: Cursor | undefined = {};
  while (cursor !== undefined) {
    const response: HttpResponse = await connection.send({
      kind: 'LIST',
      method: 'GET',
      action: 'list the unfinished uploads',
      bucket,
      query: encodeQuery({ uploads: '', 'encoding-type': 'url', prefix: prefix || undefined, ...cursor }),
      ...(signal === undefined ? {} : { signal }),
    });
    const xml = response.bytes.toString();
    const isEncoded = elementText(xml, 'EncodingType') === 'url';
    const decode = (name: string) => (isEncoded ? decodeURIComponent(name.replaceAll('+', ' ')) : name);
    for (const upload of elements(xml, 'Upload')) {
      yield {
        key: decode(elementText(upload, 'Key') ?? ''),
        startedAt: Date.parse(elementText(upload, 'Initiated') ?? ''),
        details: { uploadId: elementText(upload, 'UploadId') ?? '' },
      };
    }
    const truncated = elementText(xml, 'IsTruncated') === 'true';
    cursor = truncated
      ? {
          'key-marker': decode(elementText(xml, 'NextKeyMarker') ?? ''),
          'upload-id-marker': elementText(xml, 'NextUploadIdMarker'),
        }
      : undefined;
  }
}
