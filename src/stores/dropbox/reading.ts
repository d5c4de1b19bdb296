/**
 * Reading a file: one request opens it and brings the first bytes, later ones are held to its revision. Dropbox gives one
 * hash, of the whole content: a small file is held until it is checked and asked for again where it isn't right; of a
 * larger one the last bytes are held back until all before them are proven right. A reading of less than all of it can't
 * be checked. https://www.dropbox.com/developers/documentation/http/documentation#files-download
 */

import { CloudSyncError, throwIfAborted } from '../../errors.js';
import { contentRange, FirstBody, RESUMPTIONS, readResuming, resumptionDelay } from '../http/resumed-body.js';
import { type HttpResponse, pause } from '../http.js';
import type { OpenedObject, OpenOptions, StoredObject } from '../store.js';
import { ContentHash } from './content-hash.js';
import { type Metadata, objectOf, pathOf } from './objects.js';
import type { DropboxTransport } from './transport.js';

/** Up to this size a content is checked before a byte of it is handed on. */
const HELD_SIZE = 1024 * 1024;

/** Finds the metadata of a file; undefined where there is none. */
export type HeadFile = (
  key: string,
  options: { versionId?: string; signal?: AbortSignal },
) => Promise<StoredObject | undefined>;

/** Opens `key`. Throws NOT_FOUND, CHANGED, RESTRICTED_CONTENT ... */
export async function openFile(
  transport: DropboxTransport,
  head: HeadFile,
  key: string,
  options: OpenOptions,
): Promise<OpenedObject> {
  throwIfAborted(options.signal);
  const { firstRead, versionId, ifMatch, signal } = options;
  const isNothing = firstRead !== undefined && firstRead.length === 0;
  const response = isNothing
    ? undefined
    : await transport.download({
        kind: 'GET',
        route: 'files/download',
        argument: { path: versionId === undefined ? pathOf(key) : `rev:${versionId}` },
        key,
        ...(firstRead === undefined
          ? {}
          : { range: `bytes=${firstRead.offset}-${firstRead.offset + firstRead.length - 1}` }),
        ...(signal === undefined ? {} : { signal }),
      });
  // No such range: the file is empty or shorter than where the reading was to begin.
  if (response === undefined || response.status === 416) {
    const object = await head(key, {
      ...(versionId === undefined ? {} : { versionId }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (object === undefined) throw new CloudSyncError('NOT_FOUND', `"${key}" does not exist`, { path: key });
    checkEtag(object, ifMatch);
    return new OpenedFile(transport, object, signal, undefined);
  }
  try {
    const object = objectOf(key, metadataOf(response, key));
    checkEtag(object, ifMatch);
    const range = contentRange(response.headers['content-range']);
    const offset = range?.start ?? 0;
    const length = range === undefined ? object.size : range.end + 1 - range.start;
    return new OpenedFile(transport, object, signal, new FirstBody(response, offset, length));
  } catch (error) {
    response.discard();
    throw error;
  }
}

class OpenedFile implements OpenedObject {
  constructor(
    private readonly transport: DropboxTransport,
    readonly object: StoredObject,
    private readonly signal: AbortSignal | undefined,
    private readonly first: FirstBody | undefined,
  ) {}

  async *read(
    offset = 0,
    length = this.object.size - offset,
    signal = this.signal,
  ): AsyncGenerator<Uint8Array> {
    const { size, hashes } = this.object;
    const end = Math.min(size, offset + length);
    const isWhole = offset === 0 && end === size && hashes?.dropbox !== undefined;
    if (isWhole && size <= HELD_SIZE) {
      if (size > 0) yield await this.#readHeld(signal);
    } else if (isWhole) {
      yield* this.#readChecked(signal);
    } else {
      yield* this.#readRange(offset, end, signal);
    }
  }

  /** A revision is the same for ever. */
  async confirmUnchanged(): Promise<void> {}

  async close(): Promise<void> {
    this.first?.discard();
  }

  async #readHeld(signal: AbortSignal | undefined): Promise<Uint8Array> {
    const { size } = this.object;
    for (let attempt = 1; ; attempt++) {
      const bytes = Buffer.allocUnsafe(size);
      const hash = new ContentHash();
      let position = 0;
      for await (const chunk of this.#readRange(0, size, signal)) {
        bytes.set(chunk, position);
        position += chunk.length;
        hash.update(chunk);
      }
      if (hash.hex() === this.object.hashes!.dropbox) return bytes;
      const error = this.#corrupted();
      if (attempt >= RESUMPTIONS) throw error;
      this.transport.onRetry(error, attempt);
      await pause(resumptionDelay(attempt, this.transport.retryPolicy), signal);
    }
  }

  async *#readChecked(signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    const hash = new ContentHash();
    let held: Uint8Array | undefined;
    for await (const chunk of this.#readRange(0, this.object.size, signal)) {
      if (held !== undefined) yield held;
      hash.update(chunk);
      held = chunk;
    }
    if (hash.hex() !== this.object.hashes!.dropbox) throw this.#corrupted();
    if (held !== undefined) yield held;
  }

  #readRange(start: number, end: number, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    return readResuming({
      key: this.object.key,
      start,
      end,
      first: this.first,
      ask: (position) => this.#bodyOf(position, end, signal),
      onRetry: (error, attempt) => this.transport.onRetry(error, attempt),
      delays: this.transport.retryPolicy,
      signal,
    });
  }

  async #bodyOf(position: number, end: number, signal: AbortSignal | undefined): Promise<HttpResponse> {
    const { key, versionId, size } = this.object;
    const response = await this.transport.download({
      kind: 'GET',
      route: 'files/download',
      argument: { path: `rev:${versionId}` },
      key,
      range: `bytes=${position}-${end - 1}`,
      ...(signal === undefined ? {} : { signal }),
    });
    const range = contentRange(response.headers['content-range']);
    const start = range?.start ?? (response.status === 200 ? 0 : -1);
    if (start === position && (range === undefined || range.size === size)) return response;
    response.discard();
    throw new CloudSyncError('BAD_ANSWER', `Dropbox does not give the part of "${key}" it was asked for`, {
      path: key,
    });
  }

  #corrupted(): CloudSyncError {
    const { key } = this.object;
    return new CloudSyncError(
      'CHECKSUM_MISMATCH',
      `The bytes that arrived of "${key}" are not those in Dropbox`,
      {
        path: key,
      },
    );
  }
}

function checkEtag(object: StoredObject, ifMatch: string | undefined): void {
  if (ifMatch === undefined || object.etag === ifMatch) return;
  throw new CloudSyncError(
    'CHANGED',
    `"${object.key}" is another file now than when it was looked at first`,
    { path: object.key },
  );
}

/** The metadata of a download stands in a header. */
function metadataOf(response: HttpResponse, key: string): Metadata {
  try {
    return { '.tag': 'file', ...(JSON.parse(response.headers['dropbox-api-result'] ?? '') as Metadata) };
  } catch (cause) {
    throw new CloudSyncError('BAD_ANSWER', 'A download without metadata', { path: key, cause });
  }
}
