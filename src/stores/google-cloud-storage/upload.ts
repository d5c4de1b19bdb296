/**
 * Large objects: upload sessions. Bytes are sent in order, a part with each request; the service says how many it keeps,
 * and the object appears when the last byte is there. https://cloud.google.com/storage/docs/performing-resumable-uploads
 *
 * The service checks nothing but the whole: the last request carries the MD5 of all bytes that were read (`X-Goog-Hash`, as
 * Google's own SDK sends it), and what doesn't match is refused before it replaces anything. So what another process has
 * left is read and hashed, and only the rest is sent: if a byte differs, the object doesn't appear.
 */

import { createHash, type Hash } from 'node:crypto';
import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import { requireHashes } from '../hashing.js';
import { type HttpResponse, unlessAborted } from '../http.js';
import type {
  ArrivedPart,
  Content,
  Hashes,
  ProviderOptions,
  StoredObject,
  Upload,
  UploadState,
  WriteOptions,
} from '../store.js';
import { type GcsRequest, parseJson } from './connection.js';
import { type BucketPlace, lookAt } from './looking.js';
import { conditionQuery, hexToBase64, type ObjectResource, resourceOf } from './objects.js';
import { PartBytes } from './part-bytes.js';
import { confirmStored, uploadPath } from './writing.js';

const MIB = 1024 * 1024;
/** "The chunk size should be a multiple of 256 KiB, unless it's the last chunk." */
export const CHUNK_STEP = 256 * 1024;
/** Google's advice is at least 8 MiB; each part waits for the answer to the one before. */
export const DEFAULT_PART_SIZE = 16 * MIB;
export const MAX_PART_SIZE = 5 * 1024 * MIB;
/** No limit of Google's: it bounds what has to be kept about an upload. */
export const MAX_PARTS = 10_000;
/** Objects larger than this don't exist: https://cloud.google.com/storage/quotas#objects */
const MAX_SIZE = 5 * 1024 * 1024 * MIB;

/** Before an object appears the service may take its time. ms. */
const FINISHING_SILENCE_MS = 600_000;

const INCOMPLETE = 308;
/** What sessions that are over answer: unknown, gone, cancelled. */
const OVER = [404, 410, 499];

/** Bytes per part: `wanted`, or as much larger as it takes to fit `size` into {@link MAX_PARTS}, in whole steps. */
export function partSizeFor(size: number, wanted: number): number {
  if (size > MAX_SIZE) {
    throw new CloudSyncError('NOT_SUPPORTED', `${size} bytes are more than the 5 TiB an object may have`);
  }
  const least = Math.max(wanted, Math.ceil(size / MAX_PARTS), 1);
  return Math.min(Math.ceil(least / CHUNK_STEP) * CHUNK_STEP, MAX_PART_SIZE);
}

/** Uploads this process has begun and not ended: the service lists none. */
export type OpenUploads = Map<string, UploadState>;

export interface UploadContext extends BucketPlace {
  open: OpenUploads;
}

type Conditions = Pick<WriteOptions, 'ifMatch' | 'ifNoneMatch' | 'hashes' | 'beforeCommit' | 'signal'>;

/**
 * Begins an upload. Where the signal fires meanwhile, the answer is still waited for behind the caller's back, so that
 * no session is left over.
 */
export async function beginUpload(
  context: UploadContext,
  key: string,
  size: number,
  partSize: number,
  attributes: WriteOptions,
  options: ProviderOptions,
): Promise<ResumableUpload> {
  const { signal, hashes } = attributes;
  throwIfAborted(signal);
  const resource: ObjectResource = resourceOf(key, attributes, options);
  // Then the service checks it itself before the object appears.
  if (hashes?.md5 !== undefined) resource.md5Hash = hexToBase64(hashes.md5);
  const begun = context.connection.send({
    kind: 'POST',
    method: 'POST',
    action: 'write',
    path: uploadPath(context.bucket),
    query: { uploadType: 'resumable', ...conditionQuery(attributes) },
    headers: {
      'content-type': 'application/json; charset=UTF-8',
      'x-upload-content-length': String(size),
      'x-upload-content-type': resource.contentType!,
    },
    body: Buffer.from(JSON.stringify(resource)),
    bucket: context.bucket,
    key,
  });
  let response: HttpResponse;
  try {
    response = await unlessAborted(begun, signal);
  } catch (error) {
    begun.then((late) => cancelSession(context, key, late.headers.location)).catch(() => {});
    throw error;
  }
  const { location } = response.headers;
  if (location === undefined || !URL.canParse(location)) {
    throw new CloudSyncError('BAD_ANSWER', 'The server began an upload without naming it', { path: key });
  }
  const state: UploadState = {
    key,
    size,
    partSize,
    startedAt: context.connection.now(),
    details: {
      session: location,
      condition: conditionQuery(attributes).ifGenerationMatch ?? '',
    },
  };
  context.open.set(location, state);
  return new ResumableUpload(context, state, attributes, 0);
}

/** Takes up an upload; NOT_FOUND where the service no longer knows it, or has its object already. */
export async function resumeUpload(
  context: UploadContext,
  state: UploadState,
  options: WriteOptions,
): Promise<ResumableUpload> {
  const answer = await askSession(context, state, options.signal);
  if (answer.status !== INCOMPLETE) {
    throw new CloudSyncError('NOT_FOUND', `The server no longer knows the upload of "${state.key}"`, {
      path: state.key,
    });
  }
  context.open.set(String(state.details.session), state);
  return new ResumableUpload(context, state, options, keptBytes(answer));
}

export class ResumableUpload implements Upload {
  readonly partCount: number;
  /** Parts that are kept or sent, in order from the first. */
  #settled = 0;
  /** Over the settled parts; undefined where some were kept without being read. */
  #hash: Hash | undefined = createHash('md5');
  /** Bytes the service keeps. */
  #kept: number;
  /** The last bytes, which would complete the object. */
  #tail: Buffer = Buffer.alloc(0);

  constructor(
    private readonly context: UploadContext,
    readonly state: UploadState,
    private readonly conditions: Conditions,
    kept: number,
  ) {
    this.partCount = Math.max(1, Math.ceil(state.size / state.partSize));
    this.#kept = kept;
  }

  /** The service tells how many bytes it keeps, and no hash of them. */
  async *arrived(signal?: AbortSignal): AsyncGenerator<ArrivedPart> {
    throwIfAborted(signal);
    // The last part is never there whole: its end would complete the object.
    for (let number = 1; number < this.partCount; number += 1) {
      if (number * this.state.partSize > this.#kept) return;
      yield { number, size: this.state.partSize };
    }
  }

  /** Of a part that an earlier process has sent, whole or not, only the rest is sent. */
  async sendPart(number: number, content: Content, signal = this.conditions.signal): Promise<ArrivedPart> {
    throwIfAborted(signal);
    const { key } = this.state;
    const size = this.#sizeOf(number);
    if (content.size !== size || number !== this.#settled + 1) {
      throw new CloudSyncError(
        'INTERNAL',
        content.size === size
          ? `Part ${number} of "${key}" comes after part ${this.#settled}`
          : `Part ${number} of "${key}" has ${content.size} bytes and not ${size}`,
      );
    }
    const part = new PartBytes(content, this.#hash?.copy(), signal);
    const offset = (number - 1) * this.state.partSize;
    const sendable = number === this.partCount ? beforeTail(size) : size;
    const sending = this.#sendBytes(part, offset, offset + sendable, signal);
    // While the bytes are on their way.
    part.hashHeld();
    await sending;
    this.#tail = await part.finish(sendable);
    this.#hash = part.hash;
    this.#settled = number;
    return { number, size };
  }

  /** The caller has proven it, so {@link complete} has to be given the MD5 of the whole. */
  keepPart(part: ArrivedPart): void {
    if (part.number !== this.#settled + 1 || part.number * this.state.partSize > this.#kept) {
      throw new CloudSyncError('INTERNAL', `Part ${part.number} was not found among the arrived ones`);
    }
    this.#settled = part.number;
    this.#hash = undefined;
  }

  async complete(options: Conditions = {}): Promise<StoredObject> {
    const { key, size } = this.state;
    if (this.#settled !== this.partCount) {
      throw new CloudSyncError('INTERNAL', `Part ${this.#settled + 1} of "${key}" was not sent`, {
        path: key,
      });
    }
    const merged: Conditions = { ...this.conditions, ...options };
    const md5 = this.#hash?.copy().digest('hex') ?? merged.hashes?.md5;
    if (md5 === undefined) {
      throw new CloudSyncError(
        'INTERNAL',
        `The MD5 of "${key}" has to be known, because parts of it were kept`,
      );
    }
    if (merged.hashes !== undefined) requireHashes(pickMd5(merged.hashes), { md5 }, key);
    await merged.beforeCommit?.();
    throwIfAborted(merged.signal);
    await this.#confirmConditions(options, merged.signal);
    const response = await this.#finish(md5, merged.signal);
    this.context.open.delete(this.#session);
    return await confirmStored(this.context, key, parseJson<ObjectResource>(response), { size, md5 });
  }

  async abort(): Promise<void> {
    await cancelSession(this.context, this.state.key, this.#session);
  }

  get #session(): string {
    return String(this.state.details.session);
  }

  #sizeOf(number: number): number {
    const { size, partSize } = this.state;
    return Math.max(0, Math.min(partSize, size - (number - 1) * partSize));
  }

  /** Sends what the service doesn't keep yet of the bytes from `offset` to `end` of the object. */
  async #sendBytes(
    part: PartBytes,
    offset: number,
    end: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    let isCertain = true;
    while (this.#kept < end) {
      await this.context.connection.retrying(async () => {
        if (!isCertain) await this.#learnKept(signal);
        if (this.#kept >= end) return;
        if (this.#kept < offset) throw this.#lost();
        isCertain = false;
        const from = this.#kept;
        const answer = await this.#put(
          `bytes ${from}-${end - 1}/*`,
          part.body(from - offset, end - offset),
          {},
          signal,
        );
        if (answer.status !== INCOMPLETE) throw this.#lost();
        const kept = keptBytes(answer);
        this.#kept = kept;
        isCertain = true;
        if (kept <= from) {
          throw new CloudSyncError(
            'SERVER_ERROR',
            `The server kept nothing of what was sent of "${this.state.key}"`,
            {
              path: this.state.key,
            },
          );
        }
      }, signal);
    }
  }

  /** Sends the end, with which the object appears; asks what became of it where the answer was lost. */
  async #finish(md5: string, signal: AbortSignal | undefined): Promise<HttpResponse> {
    const { size } = this.state;
    const tailOffset = size - this.#tail.byteLength;
    const hash = `md5=${hexToBase64(md5)}`;
    let isCertain = true;
    return await this.context.connection.retrying(async () => {
      if (!isCertain) {
        const finished = await this.#learnKept(signal);
        if (finished !== undefined) return finished;
      }
      if (this.#kept < tailOffset) throw this.#lost();
      isCertain = false;
      const from = this.#kept;
      const range = from < size ? `bytes ${from}-${size - 1}/${size}` : `bytes */${size}`;
      const answer = await this.#putLast(range, this.#tail.subarray(from - tailOffset), hash, signal);
      if (answer.status !== INCOMPLETE) return answer;
      this.#kept = keptBytes(answer);
      throw new CloudSyncError('SERVER_ERROR', `The end of "${this.state.key}" did not arrive`, {
        path: this.state.key,
      });
    }, signal);
  }

  async #putLast(
    range: string,
    bytes: Buffer,
    hash: string,
    signal: AbortSignal | undefined,
  ): Promise<HttpResponse> {
    try {
      return await this.#put(range, bytes, { 'x-goog-hash': hash }, signal, FINISHING_SILENCE_MS);
    } catch (error) {
      // All bytes would have to be sent again, which is another upload.
      if (!hasCode(error, 'CHECKSUM_MISMATCH')) throw error;
      throw new CloudSyncError(error.code, error.message, { ...error, cause: error.cause, retryable: false });
    }
  }

  #put(
    range: string,
    body: GcsRequest['body'],
    headers: Record<string, string>,
    signal: AbortSignal | undefined,
    silenceMs?: number,
  ): Promise<HttpResponse> {
    return this.context.connection.send({
      ...sessionRequest(this.context, this.state, 'PUT'),
      headers: { 'content-range': range, ...headers },
      accepts: [INCOMPLETE],
      attempts: 1,
      silenceMs,
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** Asks what has arrived; gives the answer where the object is complete. */
  async #learnKept(signal: AbortSignal | undefined): Promise<HttpResponse | undefined> {
    const answer = await askSession(this.context, this.state, signal);
    if (OVER.includes(answer.status)) throw this.#lost();
    if (answer.status !== INCOMPLETE) return answer;
    this.#kept = keptBytes(answer);
    return undefined;
  }

  #lost(): CloudSyncError {
    const { key } = this.state;
    return new CloudSyncError('NOT_FOUND', `The server no longer knows the upload of "${key}"`, {
      path: key,
    });
  }

  /** Conditions belong to the beginning of a session. Others are looked at now, which leaves a moment in between. */
  async #confirmConditions(options: Conditions, signal: AbortSignal | undefined): Promise<void> {
    const wanted = conditionQuery(options).ifGenerationMatch;
    if (wanted === undefined || wanted === this.state.details.condition) return;
    const { key } = this.state;
    const present = await lookAt(this.context, key, signal === undefined ? {} : { signal });
    if ((present?.etag ?? '0') === wanted) return;
    throw new CloudSyncError('PRECONDITION_FAILED', `"${key}" is not as the condition asks`, { path: key });
  }
}

/** Where the tail begins in a last part of `size` bytes: at least one byte is left, and whole steps come before it. */
function beforeTail(size: number): number {
  return size === 0 ? 0 : Math.floor((size - 1) / CHUNK_STEP) * CHUNK_STEP;
}

function pickMd5({ md5 }: Hashes): Hashes {
  return md5 === undefined ? {} : { md5 };
}

function sessionRequest(
  { bucket }: BucketPlace,
  { key, details }: UploadState,
  method: 'PUT' | 'DELETE',
): GcsRequest {
  return { kind: method, method, action: 'write', path: String(details.session), bucket, key };
}

/** "PUT with Content-Range: bytes STAR/STAR": how much has arrived, without ending the upload. */
function askSession(
  context: BucketPlace,
  state: UploadState,
  signal: AbortSignal | undefined,
): Promise<HttpResponse> {
  return context.connection.send({
    ...sessionRequest(context, state, 'PUT'),
    headers: { 'content-range': 'bytes */*' },
    accepts: [INCOMPLETE, ...OVER],
    ...(signal === undefined ? {} : { signal }),
  });
}

/** "To cancel an incomplete resumable upload, send a DELETE": 499 is the answer of success. */
async function cancelSession(
  context: UploadContext,
  key: string,
  session: string | undefined,
): Promise<void> {
  if (session === undefined) return;
  await context.connection.send({
    kind: 'DELETE',
    method: 'DELETE',
    action: 'abort an upload',
    path: session,
    bucket: context.bucket,
    key,
    accepts: OVER,
  });
  context.open.delete(session);
}

/** `Range: bytes=0-524287` of an answer; without one the service keeps nothing. */
function keptBytes(answer: HttpResponse): number {
  const match = /^bytes=0-(\d+)$/.exec(answer.headers.range ?? '');
  return match === null ? 0 : Number(match[1]) + 1;
}
