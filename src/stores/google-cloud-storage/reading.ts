/**
 * Reading objects: pinned to one generation, as they are stored, broken bodies taken up, whole readings checked.
 *
 * A download carries the hashes of the object, but not its metadata, and so not its time: that takes a second request,
 * sent at the same moment, unless the caller knows it from a listing. https://cloud.google.com/storage/docs/json_api/v1/objects/get
 */

import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import { algorithmsOf, Hasher, requireHashes } from '../hashing.js';
import { contentRange, FirstBody, readResuming } from '../http/resumed-body.js';
import type { HttpResponse } from '../http.js';
import type { Hashes, OpenedObject, OpenOptions, StoredObject } from '../store.js';
import { objectPath } from './connection.js';
import { type BucketPlace, lookAt } from './looking.js';
import { hashesOf, readHashHeader } from './objects.js';

/** How often an object may be replaced between two requests that are about it. */
const OPENING_ATTEMPTS = 5;

/** Opens `key` with the request that brings the bytes read first. */
export async function openObject(
  place: BucketPlace,
  key: string,
  options: OpenOptions,
): Promise<OpenedObject> {
  throwIfAborted(options.signal);
  for (let attempt = 1; ; attempt += 1) {
    const opened = await tryOpen(place, key, options, attempt === 1 ? options.listed : undefined);
    if (opened !== undefined) return opened;
    if (attempt === OPENING_ATTEMPTS) throw changed(key);
  }
}

/** Undefined where the object was replaced meanwhile. */
async function tryOpen(
  place: BucketPlace,
  key: string,
  options: OpenOptions,
  listed: OpenOptions['listed'],
): Promise<OpenedObject | undefined> {
  const { firstRead, signal, versionId } = options;
  const generation = versionId ?? listed?.versionId;
  const looking = {
    ...(generation === undefined ? {} : { versionId: generation }),
    ...(signal === undefined ? {} : { signal }),
  };
  const isKnown = listed?.versionId !== undefined && listed.modificationTime !== undefined;
  const wantsBody = firstRead === undefined || firstRead.length > 0;
  const body = wantsBody
    ? getMedia(place, key, {
        ...looking,
        ...(firstRead === undefined
          ? {}
          : { range: [firstRead.offset, firstRead.offset + firstRead.length - 1] }),
      })
    : undefined;
  let response: HttpResponse | undefined;
  try {
    const [object] = await Promise.all([
      isKnown && wantsBody ? undefined : lookAt(place, key, looking),
      body?.then((answer) => {
        response = answer;
      }),
    ]);
    // The first reading begins behind the end: the object alone tells how long it is.
    if (response?.status === 416) {
      return await tryOpen(place, key, { ...options, firstRead: NOTHING }, undefined);
    }
    if (object === undefined && !(isKnown && wantsBody)) {
      response?.discard();
      if (listed !== undefined && versionId === undefined) return undefined;
      throw notThere(key);
    }
    const read =
      response === undefined ? object! : objectOfMedia(key, response, object ?? listed!, object?.hashes);
    if (read === undefined) {
      response?.discard();
      return undefined;
    }
    if (options.ifMatch !== undefined && read.etag !== options.ifMatch) {
      response?.discard();
      throw changed(key);
    }
    return new GcsObject(place, read, options, response === undefined ? undefined : firstBody(response));
  } catch (error) {
    body?.then((answer) => answer.discard()).catch(() => {});
    // A generation that was listed may be gone, and the object there still.
    if (listed !== undefined && versionId === undefined && hasCode(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

const NOTHING = { offset: 0, length: 0 };

/** What headers and `known` say together; undefined where they are about two generations. */
function objectOfMedia(
  key: string,
  { headers }: HttpResponse,
  known: Pick<StoredObject, 'versionId' | 'modificationTime' | 'metadata'> & Partial<StoredObject>,
  knownHashes: Hashes | undefined,
): StoredObject | undefined {
  const generation = headers['x-goog-generation'];
  if (generation !== undefined && known.versionId !== undefined && generation !== known.versionId)
    return undefined;
  const object: StoredObject = { key, kind: 'file', size: storedSize(headers) };
  const pinned = generation ?? known.versionId;
  if (pinned !== undefined) {
    object.etag = pinned;
    object.versionId = pinned;
  }
  if (known.modificationTime !== undefined) object.modificationTime = known.modificationTime;
  if (known.metadata !== undefined) object.metadata = known.metadata;
  if (known.storedTime !== undefined) object.storedTime = known.storedTime;
  const found = readHashHeader(headers['x-goog-hash']);
  const hashes = knownHashes ?? hashesOf(found.md5, found.crc32c);
  if (hashes !== undefined) object.hashes = hashes;
  const storageClass = headers['x-goog-storage-class'];
  if (storageClass !== undefined) object.storageClass = storageClass;
  return object;
}

function storedSize(headers: Readonly<Record<string, string>>): number {
  const range = contentRange(headers['content-range']);
  return range?.size ?? Number(headers['x-goog-stored-content-length'] ?? headers['content-length'] ?? 0);
}

function firstBody(response: HttpResponse): FirstBody {
  const range = contentRange(response.headers['content-range']);
  const size = storedSize(response.headers);
  return new FirstBody(response, range?.start ?? 0, range === undefined ? size : range.end - range.start + 1);
}

class GcsObject implements OpenedObject {
  constructor(
    private readonly place: BucketPlace,
    readonly object: StoredObject,
    private readonly options: OpenOptions,
    private readonly first: FirstBody | undefined,
  ) {}

  /** A reading of the whole object is checked against the service's hash before it ends. */
  async *read(
    offset = 0,
    length = this.object.size - offset,
    signal = this.options.signal,
  ): AsyncGenerator<Uint8Array> {
    const { key, size, hashes } = this.object;
    const end = Math.min(size, offset + length);
    const isWhole = offset === 0 && end === size && hashes !== undefined;
    const hasher = isWhole ? new Hasher(algorithmsOf(hashes)) : undefined;
    const chunks = readResuming({
      key,
      start: offset,
      end,
      first: this.first,
      ask: (position) => this.#bodyOf(position, end, signal),
      signal,
    });
    let position = offset;
    for await (const chunk of chunks) {
      position += chunk.length;
      hasher?.update(chunk);
      // The last bytes are handed on only when all of them are known to be right.
      if (position === end && hasher !== undefined) requireHashes(hashes!, hasher.finish(), key);
      yield chunk;
    }
  }

  /** The generation can't change. */
  async confirmUnchanged(): Promise<void> {}

  async close(): Promise<void> {
    this.first?.discard();
  }

  async #bodyOf(position: number, end: number, signal: AbortSignal | undefined): Promise<HttpResponse> {
    const { key, versionId, size } = this.object;
    let response: HttpResponse;
    try {
      response = await getMedia(this.place, key, {
        range: [position, end - 1],
        ...(versionId === undefined ? {} : { versionId }),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND')) throw changed(key, error);
      throw error;
    }
    const range = contentRange(response.headers['content-range']);
    const generation = response.headers['x-goog-generation'];
    if (storedSize(response.headers) !== size || (generation !== undefined && generation !== versionId)) {
      response.discard();
      throw changed(key);
    }
    if ((range?.start ?? 0) !== position) {
      response.discard();
      throw new CloudSyncError(
        'BAD_ANSWER',
        `The server does not give the part of "${key}" it was asked for`,
        {
          path: key,
        },
      );
    }
    return response;
  }
}

interface MediaOptions {
  range?: [first: number, last: number];
  versionId?: string;
  signal?: AbortSignal;
}

/**
 * The stored bytes. Objects with `Content-Encoding: gzip` are unpacked by the service unless gzip is accepted:
 * https://cloud.google.com/storage/docs/transcoding
 */
async function getMedia(place: BucketPlace, key: string, options: MediaOptions): Promise<HttpResponse> {
  const response = await sendForMedia(place, key, options, 'gzip');
  if (response.status === 416) return response;
  const isPacked = response.headers['content-encoding'] === 'gzip';
  const isStoredPacked = response.headers['x-goog-stored-content-encoding'] === 'gzip';
  if (isPacked === isStoredPacked) return response;
  response.discard();
  if (isPacked) {
    const plain = await sendForMedia(place, key, options, 'identity');
    if (plain.headers['content-encoding'] !== 'gzip') return plain;
    plain.discard();
  }
  throw new CloudSyncError('BAD_ANSWER', `The server does not give "${key}" as it is stored`, {
    path: key,
    retryable: false,
    advice: 'A gateway or proxy between packs or unpacks it: use the address of Google itself.',
  });
}

async function sendForMedia(
  { connection, bucket }: BucketPlace,
  key: string,
  { range, versionId, signal }: MediaOptions,
  encoding: 'gzip' | 'identity',
): Promise<HttpResponse> {
  return await connection.send({
    kind: 'GET',
    method: 'GET',
    action: 'read',
    path: objectPath(bucket, key),
    query: { alt: 'media', generation: versionId },
    headers: {
      'accept-encoding': encoding,
      ...(range === undefined ? {} : { range: `bytes=${range[0]}-${range[1]}` }),
    },
    bucket,
    key,
    accepts: [416],
    stream: true,
    ...(signal === undefined ? {} : { signal }),
  });
}

function changed(key: string, cause?: unknown): CloudSyncError {
  return new CloudSyncError('CHANGED', `"${key}" is another object now than when it was looked at first`, {
    path: key,
    ...(cause === undefined ? {} : { cause }),
  });
}

function notThere(key: string): CloudSyncError {
  return new CloudSyncError('NOT_FOUND', `"${key}" does not exist`, { path: key });
}
