/** Listings of a container: all of it in UTF-8 order, one level, every version, or as it was at a moment. */

import { CloudSyncError, throwIfAborted } from '../../errors.js';
import type { ListOptions, StoredObject } from '../store.js';
import { compareUtf8 } from '../utf8-order.js';
import { type ListPage, parseListPage } from './list-page.js';
import { type BlobProperties, objectOf } from './objects.js';
import type { AzureTransport } from './transport.js';
import { Utf8Reorder } from './utf8-reorder.js';

interface PageRequest {
  prefix?: string;
  delimiter?: string;
  /** Beside the metadata: `versions`, `uncommittedblobs`. */
  include?: string;
  maxResults?: number;
  maxAttempts?: number;
  signal?: AbortSignal;
}

/** The pages of a listing as the service gives them; each is one request. */
export async function* listPages(
  transport: AzureTransport,
  bucket: string,
  request: PageRequest,
): AsyncGenerator<ListPage> {
  let marker = '';
  do {
    throwIfAborted(request.signal);
    const query: Record<string, string> = {
      restype: 'container',
      comp: 'list',
      include: request.include === undefined ? 'metadata' : `metadata,${request.include}`,
    };
    if (request.prefix) query.prefix = request.prefix;
    if (request.delimiter !== undefined) query.delimiter = request.delimiter;
    if (request.maxResults !== undefined) query.maxresults = String(request.maxResults);
    if (marker !== '') query.marker = marker;
    let page: ListPage | undefined;
    await transport.send({
      kind: 'LIST',
      method: 'GET',
      path: `/${bucket}`,
      query,
      bucket,
      examine: (answer) => {
        page = parseListPage(answer.body.toString('utf8'));
      },
      ...(request.maxAttempts === undefined ? {} : { maxAttempts: request.maxAttempts }),
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    });
    const { nextMarker } = page!;
    yield page!;
    if (nextMarker !== '' && nextMarker === marker) {
      throw new CloudSyncError('BAD_ANSWER', 'The listing that Azure answers goes round in a circle');
    }
    marker = nextMarker;
  } while (marker !== '' && request.maxResults === undefined);
}

/** What {@link Store.list} promises. `isHierarchical`: the account's order is another one, and is left as it is. */
export function listObjects(
  transport: AzureTransport,
  bucket: string,
  options: ListOptions,
  isHierarchical: boolean,
): AsyncGenerator<readonly StoredObject[]> {
  if (options.shallow === true) return listLevel(transport, bucket, options);
  if (options.versions === true || options.asOf !== undefined) {
    return reordered(listVersions(transport, bucket, options), options, isHierarchical);
  }
  return reordered(listCurrent(transport, bucket, options), options, isHierarchical);
}

async function* listCurrent(
  transport: AzureTransport,
  bucket: string,
  options: ListOptions,
): AsyncGenerator<StoredObject[]> {
  for await (const page of listPages(transport, bucket, pageRequest(options))) {
    yield page.blobs.map(objectOf);
  }
}

/** In the order and form the caller wants. */
async function* reordered(
  pages: AsyncIterable<StoredObject[]>,
  options: ListOptions,
  isHierarchical: boolean,
): AsyncGenerator<readonly StoredObject[]> {
  const { startAfter } = options;
  const wanted = (object: StoredObject) =>
    (object.kind === 'file' || options.folders === true) &&
    (startAfter === undefined || compareUtf8(object.orderKey ?? object.key, startAfter) > 0);
  const order = isHierarchical ? undefined : new Utf8Reorder((options.prefix ?? '').length);
  for await (const page of pages) {
    const chosen = page.filter(wanted);
    const ready = order === undefined ? chosen : order.push(chosen);
    if (ready.length > 0) yield ready;
  }
  const rest = order?.finish() ?? [];
  if (rest.length > 0) yield rest;
}

/**
 * Versions of one key come together, the oldest first; they are given newest first. There are no delete markers in Azure:
 * a key that was deleted has versions none of which is current, and nothing tells when it was deleted. So the store as of
 * a moment also holds what was deleted before that moment, if a version of it is still kept: rather too much than too
 * little.
 */
async function* listVersions(
  transport: AzureTransport,
  bucket: string,
  options: ListOptions,
): AsyncGenerator<StoredObject[]> {
  const { asOf } = options;
  let group: BlobProperties[] = [];
  const finished = (): StoredObject[] => {
    const newestFirst = group.sort((a, b) => versionTime(b).localeCompare(versionTime(a), 'en'));
    group = [];
    if (asOf === undefined) {
      return newestFirst.map((blob) => ({ ...objectOf(blob), isLatest: blob.isCurrentVersion === true }));
    }
    const then = newestFirst.find((blob) => Date.parse(versionTime(blob)) <= asOf);
    return then === undefined ? [] : [objectOf(then)];
  };
  const request = { ...pageRequest(options), include: 'versions' };
  for await (const page of listPages(transport, bucket, request)) {
    const complete: StoredObject[] = [];
    for (const blob of page.blobs) {
      if (group.length > 0 && group[0]!.key !== blob.key) complete.push(...finished());
      group.push(blob);
    }
    if (complete.length > 0) yield complete;
  }
  if (group.length > 0) yield finished();
}

/** When a version was made: its id is that time. Blobs from before versioning was switched on have only the other one. */
function versionTime(blob: BlobProperties): string {
  if (blob.versionId !== undefined) return blob.versionId;
  const written = Date.parse(blob.lastModified ?? '');
  return Number.isNaN(written) ? '' : new Date(written).toISOString();
}

async function* listLevel(
  transport: AzureTransport,
  bucket: string,
  options: ListOptions,
): AsyncGenerator<readonly StoredObject[]> {
  const prefix = options.prefix ?? '';
  const request = { ...pageRequest(options), delimiter: '/' };
  for await (const page of listPages(transport, bucket, request)) {
    const folders = new Map<string, StoredObject>();
    for (const folder of page.prefixes) {
      const key = folder.endsWith('/') ? folder.slice(0, -1) : folder;
      folders.set(key, { key, orderKey: folder, kind: 'folder', size: 0 });
    }
    const entries: StoredObject[] = [...folders.values()];
    for (const blob of page.blobs) {
      // The marker of the folder itself, and a marker beside the folder it stands for.
      if (blob.key === prefix) continue;
      const object = objectOf(blob);
      if (object.kind === 'folder' && folders.has(object.key)) continue;
      entries.push(object);
    }
    entries.sort((a, b) => compareUtf8(a.orderKey ?? a.key, b.orderKey ?? b.key));
    if (entries.length > 0) yield entries;
  }
}

function pageRequest(options: ListOptions): PageRequest {
  const request: PageRequest = {};
  if (options.prefix !== undefined) request.prefix = options.prefix;
  if (options.signal !== undefined) request.signal = options.signal;
  return request;
}
