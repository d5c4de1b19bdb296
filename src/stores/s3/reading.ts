/** Reading objects: one request opens, later ones are held to the same ETag or version; broken bodies are taken up. */

import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import { contentRange, FirstBody, readResuming } from '../http/resumed-body.js';
import type { HttpResponse } from '../http.js';
import type { OpenedObject, OpenOptions, StoredObject } from '../store.js';
import type { S3Connection } from './connection.js';
import { objectFromHeaders, quote, unquote } from './objects.js';
import { encodeQuery } from './signature.js';

/** Looks at one object; undefined where there is none. */
export type HeadObject = (
  key: string,
  options: { versionId?: string; signal?: AbortSignal },
) => Promise<StoredObject | undefined>;

/** Opens `key` with one GET that brings the bytes read first. */
export async function openObject(
  connection: S3Connection,
  bucket: string,
  head: HeadObject,
  key: string,
  options: OpenOptions,
): Promise<OpenedObject> {
  const { firstRead } = options;
  if (firstRead !== undefined && firstRead.length === 0)
    return await openByHead(connection, bucket, head, key, options);
  const response = await get(connection, bucket, key, {
    ...options,
    ...(firstRead === undefined
      ? {}
      : { range: [firstRead.offset, firstRead.offset + firstRead.length - 1] as const }),
    accepts: [416],
  });
  // No such range: the object is empty or shorter than where the reading was to begin.
  if (response.status === 416) return await openByHead(connection, bucket, head, key, options);
  const range = contentRange(response.headers['content-range']);
  const length = Number(response.headers['content-length'] ?? 0);
  const object = objectFromHeaders(key, response.headers, range?.size ?? length);
  const { isWhole, bytes } = response;
  if (isWhole && bytes.length === object.size)
    return new S3Object(connection, bucket, object, options, bytes);
  const first = new FirstBody(response, range?.start ?? 0, length);
  return new S3Object(connection, bucket, object, options, undefined, first);
}

async function openByHead(
  connection: S3Connection,
  bucket: string,
  head: HeadObject,
  key: string,
  options: OpenOptions,
): Promise<OpenedObject> {
  const object = await head(key, options);
  if (object === undefined) throw new CloudSyncError('NOT_FOUND', `"${key}" does not exist`, { path: key });
  if (options.ifMatch !== undefined && object.etag !== options.ifMatch) throw changed(key);
  if (object.archive === 'frozen' || object.archive === 'thawing') {
    throw new CloudSyncError('ARCHIVED', `"${key}" is archived and can't be read now`, {
      path: key,
      advice: 'Have it restored from the archive first (thaw), then try again.',
    });
  }
  return new S3Object(connection, bucket, object, options);
}

class S3Object implements OpenedObject {
  constructor(
    private readonly connection: S3Connection,
    private readonly bucket: string,
    readonly object: StoredObject,
    private readonly options: OpenOptions,
    readonly bytes?: Uint8Array,
    private readonly first?: FirstBody,
  ) {}

  read(
    offset = 0,
    length = this.object.size - offset,
    signal = this.options.signal,
  ): AsyncGenerator<Uint8Array> {
    const { key, size } = this.object;
    const end = Math.min(size, offset + length);
    if (this.bytes !== undefined) return inMemory(this.bytes.subarray(offset, end), signal);
    return readResuming({
      key,
      start: offset,
      end,
      first: this.first,
      ask: (position) => this.#bodyOf(position, end, signal),
      signal,
    });
  }

  confirmUnchanged(): undefined {}

  async close(): Promise<void> {
    this.first?.discard();
  }

  async #bodyOf(position: number, end: number, signal: AbortSignal | undefined): Promise<HttpResponse> {
    const { key, etag, size } = this.object;
    let response: HttpResponse;
    try {
      response = await get(this.connection, this.bucket, key, {
        range: [position, end - 1],
        ...(this.options.versionId === undefined ? {} : { versionId: this.options.versionId }),
        ...(etag === undefined ? {} : { ifMatch: etag }),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND')) throw changed(key, error);
      throw error;
    }
    const range = contentRange(response.headers['content-range']);
    const start = range?.start ?? 0;
    const total = range?.size ?? Number(response.headers['content-length'] ?? 0);
    if (unquote(response.headers.etag) !== etag || total !== size) {
      response.discard();
      throw changed(key);
    }
    if (start !== position) {
      response.discard();
      throw new CloudSyncError(
        'BAD_ANSWER',
        `The server does not give the part of "${key}" it was asked for`,
        { path: key },
      );
    }
    return response;
  }
}

async function* inMemory(bytes: Uint8Array, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  throwIfAborted(signal);
  if (bytes.length > 0) yield bytes;
}

interface GetOptions {
  range?: readonly [number, number];
  versionId?: string;
  ifMatch?: string;
  accepts?: readonly number[];
  signal?: AbortSignal;
}

async function get(
  connection: S3Connection,
  bucket: string,
  key: string,
  options: GetOptions,
): Promise<HttpResponse> {
  const headers: Record<string, string> = {};
  if (options.range !== undefined) headers.range = `bytes=${options.range[0]}-${options.range[1]}`;
  if (options.ifMatch !== undefined) headers['if-match'] = quote(options.ifMatch);
  try {
    return await connection.send({
      kind: 'GET',
      method: 'GET',
      action: 'read',
      bucket,
      key,
      query: encodeQuery({ versionId: options.versionId }),
      headers,
      stream: true,
      ...(options.accepts === undefined ? {} : { accepts: options.accepts }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  } catch (error) {
    if (hasCode(error, 'PRECONDITION_FAILED')) throw changed(key, error);
    throw error;
  }
}

function changed(key: string, cause?: unknown): CloudSyncError {
  return new CloudSyncError('CHANGED', `"${key}" is another object now than when it was looked at first`, {
    path: key,
    ...(cause === undefined ? {} : { cause }),
  });
}
