/**
 * Reading a blob. The service computes a hash for a range only up to 4 MiB (`x-ms-range-get-content-md5`), so a blob is
 * read in ranges of that size, each checked before a byte of it is handed on; a range that was cut or changed on its way
 * is asked again, and what came before it is kept. The next ranges are under way while one is used.
 * https://learn.microsoft.com/rest/api/storageservices/get-blob
 */

import { createHash } from 'node:crypto';
import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import type { OpenedObject, OpenOptions, StoredObject } from '../store.js';
import { blobPath, objectOfHeaders, quoted } from './objects.js';
import type { AzureAnswer, AzureTransport } from './transport.js';

const RANGE_SIZE = 4 * 1024 * 1024;
/** Ranges of one reader under way at once. */
const READ_AHEAD = 3;
/** Bytes asked for ahead of their use, over all readers of an account. */
const READ_AHEAD_BUDGET = 32 * 1024 * 1024;

/** How much is being read ahead by all readers of an account. */
export class ReadAheadBudget {
  #used = 0;

  tryTake(bytes: number): boolean {
    if (this.#used + bytes > READ_AHEAD_BUDGET) return false;
    this.#used += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#used -= bytes;
  }
}

interface Range {
  offset: number;
  bytes: Buffer;
}

/** Opens `key` with the request that brings the first bytes. Throws NOT_FOUND, CHANGED, ARCHIVED ... */
export async function openBlob(
  transport: AzureTransport,
  budget: ReadAheadBudget,
  bucket: string,
  key: string,
  options: OpenOptions,
): Promise<OpenedObject> {
  const first = options.firstRead ?? { offset: 0, length: RANGE_SIZE };
  const length = Math.min(Math.max(first.length, 1), RANGE_SIZE);
  const source: BlobSource = { transport, bucket, key };
  if (options.versionId !== undefined) source.versionId = options.versionId;
  const answer = await getRange(source, first.offset, length, options.ifMatch, options.signal);
  if (answer === undefined) {
    // An empty blob, or a first read that lies behind its end.
    const object = await headForReading(source, options);
    return new OpenedBlob(source, budget, object, undefined);
  }
  // The Content-MD5 of this answer is that of the range; the blob's own, if it has one, stands under another name.
  const headers = { ...answer.headers, 'content-md5': undefined };
  const object = objectOfHeaders(key, totalSize(answer), headers);
  return new OpenedBlob(source, budget, object, { offset: first.offset, bytes: answer.body });
}

interface BlobSource {
  transport: AzureTransport;
  bucket: string;
  key: string;
  versionId?: string;
}

class OpenedBlob implements OpenedObject {
  readonly object: StoredObject;
  readonly #source: BlobSource;
  readonly #budget: ReadAheadBudget;
  readonly #closing = new AbortController();
  #first: Range | undefined;

  constructor(source: BlobSource, budget: ReadAheadBudget, object: StoredObject, first: Range | undefined) {
    this.#source = source;
    this.#budget = budget;
    this.object = object;
    this.#first = first;
  }

  async *read(
    offset = 0,
    length = this.object.size - offset,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const end = Math.min(offset + length, this.object.size);
    if (offset < 0 || length < 0 || offset + length > this.object.size) {
      throw new CloudSyncError(
        'INTERNAL',
        `Bytes ${offset} to ${offset + length} lie outside an object of ${this.object.size}`,
      );
    }
    let position = offset;
    const held = this.#first;
    if (held !== undefined && position >= held.offset && position < held.offset + held.bytes.length) {
      throwIfAborted(signal);
      const from = position - held.offset;
      const bytes = held.bytes.subarray(from, Math.min(held.bytes.length, from + end - position));
      // Used once, then given up, so that a long read doesn't carry it along.
      this.#first = undefined;
      position += bytes.length;
      if (bytes.length > 0) yield bytes;
    }
    if (position < end) yield* this.#readRanges(position, end, signal);
  }

  async confirmUnchanged(): Promise<void> {}

  async close(): Promise<void> {
    this.#first = undefined;
    this.#closing.abort();
  }

  async *#readRanges(
    start: number,
    end: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array> {
    const leaving = new AbortController();
    const signals = [leaving.signal, this.#closing.signal, ...(signal === undefined ? [] : [signal])];
    const anySignal = AbortSignal.any(signals);
    const underWay: { bytes: Promise<Buffer>; budgeted: number }[] = [];
    let next = start;
    const ask = (budgeted: number): void => {
      const length = Math.min(RANGE_SIZE, end - next);
      const bytes = this.#range(next, length, anySignal);
      // A failure is met when its turn comes; until then it must not count as unhandled.
      bytes.catch(() => {});
      underWay.push({ bytes, budgeted });
      next += length;
    };
    try {
      while (next < end || underWay.length > 0) {
        throwIfAborted(signal);
        if (underWay.length === 0) ask(0);
        while (next < end && underWay.length < READ_AHEAD && this.#budget.tryTake(RANGE_SIZE))
          ask(RANGE_SIZE);
        const current = underWay[0]!;
        const bytes = await current.bytes;
        underWay.shift();
        this.#budget.giveBack(current.budgeted);
        yield bytes;
      }
      throwIfAborted(signal);
    } finally {
      leaving.abort();
      for (const { budgeted } of underWay) this.#budget.giveBack(budgeted);
    }
  }

  async #range(offset: number, length: number, signal: AbortSignal): Promise<Buffer> {
    const answer = await getRange(this.#source, offset, length, this.object.etag, signal);
    if (answer === undefined) throw changed(this.#source.key);
    return answer.body;
  }
}

/**
 * One checked range; undefined where the blob has no byte there. `etag`: the content it has to belong to.
 * @throws CloudSyncError CHANGED where it is another content now
 */
async function getRange(
  source: BlobSource,
  offset: number,
  length: number,
  etag: string | undefined,
  signal: AbortSignal | undefined,
): Promise<AzureAnswer | undefined> {
  const { transport, bucket, key, versionId } = source;
  const headers: Record<string, string> = {
    range: `bytes=${offset}-${offset + length - 1}`,
    'x-ms-range-get-content-md5': 'true',
    // Stored bytes are wanted, whatever their Content-Encoding says.
    'accept-encoding': 'identity',
  };
  if (etag !== undefined) headers['if-match'] = quoted(etag);
  const check = new RangeCheck(offset, length, key);
  try {
    const answer = await transport.send({
      kind: 'GET',
      method: 'GET',
      path: blobPath(bucket, key),
      headers,
      bucket,
      key,
      accept: [416],
      examine: (candidate) => {
        if (candidate.status !== 416) check.examine(candidate);
      },
      ...(versionId === undefined ? {} : { query: { versionid: versionId } }),
      ...(signal === undefined ? {} : { signal }),
    });
    return answer.status === 416 ? undefined : answer;
  } catch (error) {
    if (hasCode(error, 'PRECONDITION_FAILED')) throw changed(key, error);
    throw error;
  }
}

/** Whether the bytes of a range are those the service sent. */
class RangeCheck {
  /** The hash of an earlier attempt that didn't fit. */
  #refused: string | undefined;

  constructor(
    readonly offset: number,
    readonly length: number,
    readonly key: string,
  ) {}

  /** Throws a retryable error where they aren't. */
  examine(answer: AzureAnswer): void {
    const size = totalSize(answer);
    const expected = Math.min(this.length, size - this.offset);
    if (answer.body.length !== expected) {
      throw new CloudSyncError(
        'CONNECTION_LOST',
        `${answer.body.length} of ${expected} bytes of "${this.key}" arrived`,
      );
    }
    const announced = answer.headers['content-md5'];
    if (announced === undefined) return;
    const found = createHash('md5').update(answer.body).digest('base64');
    if (found === announced) return;
    // Azurite doesn't compute the hash of a range that is the whole blob, but repeats what was claimed for the blob: where
    // the same bytes come twice, it is the claim that is wrong, and whoever asked for the blob has to judge that.
    const isClaim = expected === size && announced === answer.headers['x-ms-blob-content-md5'];
    if (isClaim && found === this.#refused) return;
    this.#refused = found;
    throw new CloudSyncError(
      'CHECKSUM_MISMATCH',
      `The bytes of "${this.key}" were changed on their way here`,
    );
  }
}

/** Bytes of the whole blob: `Content-Range: bytes 0-9/100`. */
function totalSize(answer: AzureAnswer): number {
  const range = /\/(\d+)\s*$/.exec(answer.headers['content-range'] ?? '');
  return range === null ? answer.body.length : Number(range[1]);
}

async function headForReading(source: BlobSource, options: OpenOptions): Promise<StoredObject> {
  const { transport, bucket, key, versionId } = source;
  try {
    const answer = await transport.send({
      kind: 'HEAD',
      method: 'HEAD',
      path: blobPath(bucket, key),
      headers: options.ifMatch === undefined ? {} : { 'if-match': quoted(options.ifMatch) },
      bucket,
      key,
      ...(versionId === undefined ? {} : { query: { versionid: versionId } }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    return objectOfHeaders(key, Number(answer.headers['content-length'] ?? 0), answer.headers);
  } catch (error) {
    if (hasCode(error, 'PRECONDITION_FAILED')) throw changed(key, error);
    throw error;
  }
}

function changed(key: string, cause?: unknown): CloudSyncError {
  return new CloudSyncError('CHANGED', `"${key}" was replaced while it was read`, { path: key, cause });
}
