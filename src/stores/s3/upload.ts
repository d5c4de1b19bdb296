/** Multipart uploads: sizes of parts, sending them, taking an upload up again, and making the object of them. */

import { createHash } from 'node:crypto';
import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import { type HttpResponse, unlessAborted } from '../http.js';
import type { ArrivedPart, Content, StoredObject, Upload, UploadState, WriteOptions } from '../store.js';
import { prepareBody, xmlBody } from './bodies.js';
import { confirmConditions, sendConditional } from './conditions.js';
import type { S3Connection, S3Request } from './connection.js';
import { listPendingUploads } from './listing.js';
import { isMd5, quote, unquote } from './objects.js';
import type { HeadObject } from './reading.js';
import { encodeQuery } from './signature.js';
import { AMAZON_TRAITS } from './traits.js';
import { elements, elementText, escapeXml } from './xml.js';

const MIB = 1024 * 1024;
/** Source: "Amazon S3 multipart upload limits", Amazon S3 User Guide. */
export const MIN_PART_SIZE = 5 * MIB;
export const MAX_PART_SIZE = 5 * 1024 * MIB;

/**
 * Bytes per part: `wanted`, or as much larger (in whole MiB) as it takes to fit `size` into `maxParts` parts.
 * INVALID_INPUT where no part can be large enough.
 */
export function partSizeFor(size: number, maxParts: number, wanted = AMAZON_TRAITS.partSize): number {
  const needed = Math.ceil(Math.ceil(size / maxParts) / MIB) * MIB;
  const partSize = Math.max(wanted, needed, MIN_PART_SIZE);
  if (partSize <= MAX_PART_SIZE) return partSize;
  throw new CloudSyncError('NOT_SUPPORTED', `${size} bytes are more than ${maxParts} parts can hold`);
}

/** Servers tell whole seconds, and a clock that differs by less than 1.5 s is taken for the same. */
const CLOCK_GRAIN_MS = 2_500;

/**
 * Begins an upload. Where `signal` fires meanwhile, the answer is still waited for behind the caller's back, so that an
 * upload the server has begun is aborted and not left over. So are uploads that were begun for it by attempts whose
 * answers were lost.
 */
export async function beginUpload(
  connection: S3Connection,
  bucket: string,
  key: string,
  headers: Record<string, string>,
  signal: AbortSignal | undefined,
): Promise<HttpResponse> {
  throwIfAborted(signal);
  const startedAt = connection.now();
  const request: S3Request = {
    kind: 'POST',
    method: 'POST',
    action: 'write',
    bucket,
    key,
    query: 'uploads=',
    headers,
  };
  const begun = connection.send(request);
  try {
    const response = await unlessAborted(begun, signal);
    if ((request.sent ?? 0) > 1) {
      const uploadId = elementText(response.bytes.toString(), 'UploadId') ?? '';
      await abortLostUploads(connection, bucket, key, { startedAt, except: uploadId, signal });
    }
    return response;
  } catch (error) {
    begun
      .then(async (response) => {
        const uploadId = elementText(response.bytes.toString(), 'UploadId');
        if (uploadId) await abortUpload(connection, bucket, key, uploadId);
      })
      .catch(() => {});
    throw error;
  }
}

/**
 * Aborts what attempts to begin an upload of exactly this key have left since `startedAt` (ms, server's clock): nobody
 * knows their ids, and every part of them would be paid for until somebody looks.
 */
async function abortLostUploads(
  connection: S3Connection,
  bucket: string,
  key: string,
  { startedAt, except, signal }: { startedAt: number; except: string; signal: AbortSignal | undefined },
): Promise<void> {
  const since = startedAt - CLOCK_GRAIN_MS;
  for await (const pending of listPendingUploads(connection, bucket, key, signal)) {
    const uploadId = String(pending.details.uploadId);
    if (pending.key !== key || uploadId === except || pending.startedAt < since) continue;
    await abortUpload(connection, bucket, key, uploadId);
  }
}

/** Removes an upload; content where there is none. */
export async function abortUpload(
  connection: S3Connection,
  bucket: string,
  key: string,
  uploadId: string,
): Promise<void> {
  await connection.send({
    kind: 'DELETE',
    method: 'DELETE',
    action: 'abort an upload',
    bucket,
    key,
    query: encodeQuery({ uploadId }),
    accepts: [404],
  });
}

/** Everything an upload needs from the store it belongs to. */
export interface UploadContext {
  connection: S3Connection;
  bucket: string;
  head: HeadObject;
}

export class S3Upload implements Upload {
  readonly partCount: number;
  /** ETags by part number. */
  readonly #parts = new Map<number, string>();
  readonly #uploadId: string;
  /** Part ETags aren't MD5s: SSE-KMS or SSE-C. */
  readonly #hidesMd5: boolean;

  constructor(
    private readonly context: UploadContext,
    readonly state: UploadState,
    private readonly conditions: Pick<
      WriteOptions,
      'ifMatch' | 'ifNoneMatch' | 'hashes' | 'beforeCommit' | 'signal'
    >,
  ) {
    this.partCount = Math.max(1, Math.ceil(state.size / state.partSize));
    this.#uploadId = String(state.details.uploadId);
    this.#hidesMd5 = state.details.hidesMd5 === true;
  }

  async *arrived(signal?: AbortSignal): AsyncGenerator<ArrivedPart> {
    for await (const part of listParts(this.context, this.state, signal)) {
      if (part.number > this.partCount || part.size !== this.#sizeOf(part.number)) continue;
      const { number, size, etag } = part;
      this.#arrivedEtags.set(number, etag);
      yield { number, size, ...(this.#isHash(etag) ? { hashes: { md5: etag.toLowerCase() } } : {}) };
    }
  }

  /** What {@link arrived} found and {@link keepPart} may take. */
  readonly #arrivedEtags = new Map<number, string>();

  async sendPart(number: number, content: Content, signal = this.conditions.signal): Promise<ArrivedPart> {
    const expected = this.#sizeOf(number);
    const { key } = this.state;
    if (content.size !== expected) {
      throw new CloudSyncError(
        'INTERNAL',
        `Part ${number} of "${key}" has ${content.size} bytes and not ${expected}`,
      );
    }
    const { connection, bucket } = this.context;
    const { body, md5 } = await prepareBody(connection, content, signal === undefined ? {} : { signal });
    const response = await connection.send({
      kind: 'PUT',
      method: 'PUT',
      action: 'write',
      bucket,
      key,
      query: encodeQuery({ partNumber: number, uploadId: this.#uploadId }),
      body,
      ...(signal === undefined ? {} : { signal }),
    });
    const etag = unquote(response.headers.etag) ?? '';
    if (etag === '')
      throw new CloudSyncError('BAD_ANSWER', 'The server answers a part without its ETag', { path: key });
    if (this.#isHash(etag) && etag.toLowerCase() !== md5) {
      throw new CloudSyncError('CHECKSUM_MISMATCH', `Part ${number} of "${key}" is not what was sent`, {
        path: key,
      });
    }
    this.#parts.set(number, etag);
    return { number, size: expected, hashes: { md5 } };
  }

  keepPart(part: ArrivedPart): void {
    const etag = this.#arrivedEtags.get(part.number);
    if (etag === undefined)
      throw new CloudSyncError('INTERNAL', `Part ${part.number} was not found among the arrived ones`);
    this.#parts.set(part.number, etag);
  }

  async complete(
    options: Pick<WriteOptions, 'ifMatch' | 'ifNoneMatch' | 'hashes' | 'beforeCommit' | 'signal'> = {},
  ): Promise<StoredObject> {
    const { key } = this.state;
    const numbers = Array.from({ length: this.partCount }, (_, index) => index + 1);
    const missing = numbers.find((number) => !this.#parts.has(number));
    if (missing !== undefined) {
      throw new CloudSyncError('INTERNAL', `Part ${missing} of "${key}" was not sent`, { path: key });
    }
    const etags = numbers.map((number) => this.#parts.get(number)!);
    const expected = this.#expectedEtag(etags);
    this.#confirmWholeHash(options.hashes, etags);
    await (options.beforeCommit ?? this.conditions.beforeCommit)?.();
    const conditions = { ...this.conditions, ...options };
    await confirmConditions(this.context.head, key, conditions, conditions.signal);
    const answer = await this.#sendComplete(etags, expected, conditions);
    return await this.#confirm(answer, expected, options.signal ?? this.conditions.signal);
  }

  async abort(): Promise<void> {
    await abortUpload(this.context.connection, this.context.bucket, this.state.key, this.#uploadId);
  }

  #sizeOf(number: number): number {
    const { size, partSize } = this.state;
    if (number < 1 || number > this.partCount)
      throw new CloudSyncError('INTERNAL', `There is no part ${number}`);
    return number < this.partCount ? partSize : size - (this.partCount - 1) * partSize;
  }

  #isHash(etag: string): boolean {
    return !this.#hidesMd5 && isMd5(etag);
  }

  /** MD5 over the MD5s of the parts, as S3 and all that are like it make the ETag; undefined where it can't be known. */
  #expectedEtag(etags: readonly string[]): string | undefined {
    const isKnown = this.context.connection.traits.multipartEtag && etags.every((etag) => this.#isHash(etag));
    return isKnown ? multipartEtag(etags) : undefined;
  }

  #confirmWholeHash(hashes: WriteOptions['hashes'], etags: readonly string[]): void {
    const known = this.conditions.hashes?.md5;
    const wanted = hashes?.md5;
    const whole = etags.length === 1 && this.#isHash(etags[0]!) ? etags[0]!.toLowerCase() : known;
    if (wanted !== undefined && whole !== undefined && wanted.toLowerCase() !== whole.toLowerCase()) {
      throw new CloudSyncError(
        'CHECKSUM_MISMATCH',
        `"${this.state.key}" does not have the MD5 it should have`,
        {
          path: this.state.key,
        },
      );
    }
  }

  async #sendComplete(
    etags: readonly string[],
    expected: string | undefined,
    conditions: Pick<WriteOptions, 'ifMatch' | 'ifNoneMatch' | 'signal'>,
  ): Promise<{ etag?: string; versionId?: string }> {
    const { connection, bucket } = this.context;
    const parts = etags.map(
      (etag, index) =>
        `<Part><PartNumber>${index + 1}</PartNumber><ETag>${escapeXml(quote(etag))}</ETag></Part>`,
    );
    const request: S3Request = {
      kind: 'POST',
      method: 'POST',
      action: 'write',
      bucket,
      key: this.state.key,
      query: encodeQuery({ uploadId: this.#uploadId }),
      body: xmlBody(
        `<CompleteMultipartUpload xmlns="${S3_NAMESPACE}">${parts.join('')}</CompleteMultipartUpload>`,
      ),
      mayFailInside: true,
      silenceMs: ASSEMBLING_SILENCE_MS,
      ...(conditions.signal === undefined ? {} : { signal: conditions.signal }),
    };
    try {
      const response = await sendConditional(connection, this.context.head, request, conditions);
      const text = response.bytes.toString();
      const etag = unquote(elementText(text, 'ETag'));
      const versionId = response.headers['x-amz-version-id'];
      return { ...(etag ? { etag } : {}), ...(versionId === undefined ? {} : { versionId }) };
    } catch (error) {
      // An earlier attempt may have been carried out although its answer was lost.
      if (
        (request.sent ?? 0) > 1 &&
        expected !== undefined &&
        hasCode(error, 'NOT_FOUND', 'PRECONDITION_FAILED')
      ) {
        const present = await this.context.head(this.state.key, {});
        if (present?.etag === expected && present.size === this.state.size) return present;
      }
      throw error;
    }
  }

  /** Checks what was made: by the ETag where it tells, else by asking for the object. */
  async #confirm(
    answer: { etag?: string; versionId?: string },
    expected: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<StoredObject> {
    const { key, size } = this.state;
    const tells = (etag: string | undefined): etag is string =>
      etag !== undefined && /^[0-9a-f]{32}-\d+$/i.test(etag);
    if (expected !== undefined && tells(answer.etag)) {
      if (answer.etag.toLowerCase() === expected) return { key, kind: 'file', size, ...answer };
    } else {
      // Ceph's gateway leaves the ETag of this answer empty.
      const { etag, versionId } = answer;
      const found = await this.context.head(key, {
        ...(versionId === undefined || versionId === 'null' ? {} : { versionId }),
        ...(signal === undefined ? {} : { signal }),
      });
      const isIt = found?.size === size && (etag === undefined || found.etag === etag);
      const hasParts =
        expected === undefined || !tells(found?.etag) || found?.etag?.toLowerCase() === expected;
      if (found !== undefined && isIt && hasParts) return found;
    }
    throw new CloudSyncError(
      'CHECKSUM_MISMATCH',
      `"${key}" was not put together of the parts that were sent`,
      { path: key },
    );
  }
}

const S3_NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/';
/** Putting large objects together takes minutes, and not every server keeps the connection busy meanwhile. */
export const ASSEMBLING_SILENCE_MS = 600_000;

/** The ETag of an object made of parts with these MD5s. */
export function multipartEtag(partMd5s: readonly string[]): string {
  const hash = createHash('md5');
  for (const md5 of partMd5s) hash.update(Buffer.from(md5, 'hex'));
  return `${hash.digest('hex')}-${partMd5s.length}`;
}

/** Parts the server holds; NOT_FOUND where it doesn't know the upload. */
export async function* listParts(
  context: UploadContext,
  state: UploadState,
  signal?: AbortSignal,
  maxParts?: number,
): AsyncGenerator<{ number: number; size: number; etag: string }> {
  let marker: string | undefined;
  do {
    const response = await context.connection.send({
      kind: 'LIST',
      method: 'GET',
      action: 'list the parts of an upload',
      bucket: context.bucket,
      key: state.key,
      query: encodeQuery({
        uploadId: String(state.details.uploadId),
        'part-number-marker': marker,
        'max-parts': maxParts,
      }),
      ...(signal === undefined ? {} : { signal }),
    });
    const xml: string = response.bytes.toString();
    for (const part of elements(xml, 'Part')) {
      yield {
        number: Number(elementText(part, 'PartNumber')),
        size: Number(elementText(part, 'Size')),
        etag: unquote(elementText(part, 'ETag')) ?? '',
      };
    }
    marker =
      elementText(xml, 'IsTruncated') === 'true' ? elementText(xml, 'NextPartNumberMarker') : undefined;
  } while (marker !== undefined && maxParts === undefined);
}
