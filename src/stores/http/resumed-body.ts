/** Bodies of downloads: one that breaks is taken up where it was, by a request for the rest. */

import { CloudSyncError, throwIfAborted } from '../../errors.js';
import type { HttpResponse } from './messages.js';
import { pause } from './retry.js';

/** How often a body may break without a byte of progress in between. */
export const RESUMPTIONS = 6;
const BASE_DELAY_MS = 200;
const MAX_DELAY_MS = 5_000;

export interface BodyToRead {
  /** For errors. */
  key: string;
  /** The first byte of the object that is read, and the one behind the last. */
  start: number;
  end: number;
  /** The body that came with the opening: used if it begins at `start` and reaches as far. */
  first: FirstBody | undefined;
  /**
   * Asks for the bytes from `position` to `end` of exactly the content that was opened; CHANGED where it is another now,
   * BAD_ANSWER where other bytes come.
   */
  ask(position: number, end: number): Promise<HttpResponse>;
  /** Called before a body that broke is asked for again. */
  onRetry?: (error: CloudSyncError, attempt: number) => void;
  /** Waits: `baseDelayMs` before the first repetition, doubled each time. */
  delays?: { baseDelayMs: number; maxDelayMs: number };
  signal: AbortSignal | undefined;
}

/** The bytes from `start` to `end`. What is thrown by who uses them is none of its business. */
export async function* readResuming(body: BodyToRead): AsyncGenerator<Uint8Array> {
  const { key, start, end, signal } = body;
  let position = start;
  let failures = 0;
  let response = body.first?.take(start, end);
  while (position < end) {
    throwIfAborted(signal);
    try {
      response ??= await body.ask(position, end);
      for await (const chunk of response.stream) {
        const wanted = chunk.length > end - position ? chunk.subarray(0, end - position) : chunk;
        position += wanted.length;
        failures = 0;
        yield wanted;
        throwIfAborted(signal);
        if (position >= end) break;
      }
      if (position < end) throw new CloudSyncError('CONNECTION_LOST', `"${key}" ended early`, { path: key });
    } catch (error) {
      failures += 1;
      if (!(error instanceof CloudSyncError) || !error.retryable || failures >= RESUMPTIONS) throw error;
      body.onRetry?.(error, failures);
      await pause(resumptionDelay(failures, body.delays), signal);
    } finally {
      response?.discard();
    }
    response = undefined;
  }
}

/** How long to wait before the body is asked for again, ms. */
export function resumptionDelay(failures: number, delays: BodyToRead['delays']): number {
  const { baseDelayMs, maxDelayMs } = delays ?? { baseDelayMs: BASE_DELAY_MS, maxDelayMs: MAX_DELAY_MS };
  return Math.min(maxDelayMs, baseDelayMs * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
}

/** A body that came with the opening of an object: `length` bytes from `offset`. */
export class FirstBody {
  #response: HttpResponse | undefined;

  constructor(
    response: HttpResponse,
    private readonly offset: number,
    private readonly length: number,
  ) {
    this.#response = response;
  }

  /** Once, and only if it begins at `start` and reaches to `end`. */
  take(start: number, end: number): HttpResponse | undefined {
    if (start !== this.offset || end > this.offset + this.length) return undefined;
    const response = this.#response;
    this.#response = undefined;
    return response;
  }

  discard(): void {
    this.#response?.discard();
    this.#response = undefined;
  }
}

/** What `Content-Range: bytes 0-99/1234` says: first and last byte, and the size of the whole. */
export function contentRange(
  header: string | undefined,
): { start: number; end: number; size: number } | undefined {
  const parts = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(header ?? '');
  if (parts === null) return undefined;
  return { start: Number(parts[1]), end: Number(parts[2]), size: Number(parts[3]) };
}
