/** One request and its answer, as undici's dispatcher sees them. */

import type { Dispatcher } from 'undici';
import { abortedError, CloudSyncError } from '../../errors.js';
import type { WriteGuard } from '../store.js';
import { transportError } from './errors.js';
import type { HttpRequest, HttpResponse } from './messages.js';

/** Larger bodies go out in steps, so that it shows whether they move at all. */
const SEND_STEP = 128 * 1024;
/** So much of an answer may wait unread before the socket is paused. */
const UNREAD_LIMIT = 512 * 1024;
/** Up to here a body is waited for and comes whole, also where a stream was asked for: most come with their headers. */
const SMALL_BODY = 64 * 1024;
/** Linux grows a connection's send buffer up to this (tcp_wmem). */
const SYSTEM_BUFFER = 4 * 1024 * 1024;
/** Bytes per ms, 256 kbit/s. */
const SLOWEST_LINE = 32;

/**
 * Handler of one dispatched request. Settles `response` when the answer is there: at its end, or at its headers where
 * the caller reads the body as it comes, it is not small and the status is a success.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly response: Promise<HttpResponse>;
  /** `performance.now()` of the last byte in either direction. */
  lastActivity = performance.now();
  #resolve!: (response: HttpResponse) => void;
  #reject!: (error: unknown) => void;
  #abort: ((error: Error) => void) | undefined;
  #resume: (() => void) | undefined;
  #status = 0;
  #headers: Record<string, string> = {};
  #chunks: Uint8Array[] = [];
  #unread = 0;
  #streaming = false;
  #paused = false;
  #waitsForSource = false;
  #sent = 0;
  #ended = false;
  #error: unknown;
  #wake: (() => void) | undefined;

  constructor(
    private readonly request: HttpRequest,
    private readonly onFinished: (exchange: Exchange) => void,
    private readonly guard?: WriteGuard,
  ) {
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Fires when it is to be ended: by {@link abort}, which is the client's to call. */
  get signal(): AbortSignal | undefined {
    return this.request.signal;
  }

  abort(): void {
    this.cancel(abortedError());
  }

  /** The other side has said something. */
  get isAnswered(): boolean {
    return this.#status !== 0;
  }

  /** What undici shall send as the body. */
  body(): Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array> | null {
    const { body } = this.request;
    if (body === undefined) return null;
    if (typeof body === 'function') return this.#sendSource(body());
    return body.length > 2 * SEND_STEP ? this.#sendInSteps(body) : body;
  }

  /** Ends the exchange with `error`, whatever it was doing. */
  cancel(error: unknown): void {
    if (this.#ended) return;
    this.#finish(error);
    this.#abort?.(error instanceof Error ? error : new Error('cancelled'));
  }

  /**
   * Whether nothing has moved for `silenceMs`, while it was the other side's turn. Bytes handed to the system may wait in
   * its buffer while a slow line works on them, which can't be seen from here: they get the time they may need.
   */
  isSilent(now: number, silenceMs: number): boolean {
    if (this.#waitsForSource || this.#paused) return false;
    const buffered = Math.min(this.#sent, SYSTEM_BUFFER);
    return now - this.lastActivity > silenceMs + buffered / SLOWEST_LINE;
  }

  /** undici gives the chunk, whatever its types say. */
  onBodySent(chunk: unknown): void {
    if (chunk instanceof Uint8Array) this.#sent += chunk.length;
    this.lastActivity = performance.now();
  }

  onConnect(abort: (error?: Error) => void): void {
    this.lastActivity = performance.now();
    if (this.#ended) abort(abortedError());
    else this.#abort = abort;
    // Making the connection may have taken long; the next attempt confirms it anew.
    if (this.guard?.isValid === false) {
      this.cancel(new CloudSyncError('BUSY', 'The lease ran out before it was sent', { retryable: true }));
    }
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void): boolean {
    this.lastActivity = performance.now();
    if (status < 200) return true;
    this.#status = status;
    this.#resume = resume;
    for (let index = 0; index < raw.length; index += 2) {
      this.#headers[raw[index]!.toString('latin1').toLowerCase()] = raw[index + 1]!.toString();
    }
    const isSmall = Number(this.#headers['content-length']) <= SMALL_BODY;
    if (this.request.stream === true && status < 300 && !isSmall) {
      this.#streaming = true;
      this.#resolve({
        status,
        headers: this.#headers,
        isWhole: false,
        bytes: EMPTY,
        stream: this.#stream(),
        discard: this.#discard,
      });
    }
    return true;
  }

  onData(chunk: Buffer): boolean {
    this.lastActivity = performance.now();
    this.#chunks.push(chunk);
    this.#unread += chunk.length;
    this.#wakeReader();
    this.#paused = this.#streaming && this.#unread > UNREAD_LIMIT;
    return !this.#paused;
  }

  onComplete(): void {
    this.#finish(undefined);
  }

  onError(error: Error): void {
    this.#finish(this.request.signal?.aborted ? abortedError() : transportError(error, this.request.origin));
  }

  readonly #discard = (): void => {
    // Looked at here too: an error takes its stack, and most answers were read to their end.
    if (this.#ended) return;
    this.cancel(new CloudSyncError('CONNECTION_LOST', 'The answer was not read to its end'));
  };

  #finish(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.onFinished(this);
    if (error !== undefined) this.#reject(error);
    else if (!this.#streaming) {
      const bytes = wholeOf(this.#chunks);
      this.#resolve({
        status: this.#status,
        headers: this.#headers,
        isWhole: true,
        bytes,
        stream: this.request.stream === true ? oneChunk(bytes) : NO_BYTES,
        discard: this.#discard,
      });
    }
    this.#wakeReader();
  }

  #wakeReader(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  async *#stream(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        while (this.#chunks.length > 0) {
          const chunk = this.#chunks.shift()!;
          this.#unread -= chunk.length;
          yield chunk;
        }
        if (this.#paused) {
          this.#paused = false;
          this.lastActivity = performance.now();
          this.#resume?.();
        }
        if (this.#chunks.length > 0) continue;
        if (this.#ended) break;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      if (this.#error !== undefined) throw this.#error;
    } finally {
      this.#discard();
    }
  }

  *#sendInSteps(bytes: Uint8Array): Iterable<Uint8Array> {
    for (let offset = 0; offset < bytes.length; offset += SEND_STEP) {
      yield bytes.subarray(offset, offset + SEND_STEP);
      this.lastActivity = performance.now();
    }
  }

  /** Passes the source on; what the source throws is the caller's own error and reaches him as it is. */
  async *#sendSource(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    const iterator = source[Symbol.asyncIterator]();
    try {
      for (;;) {
        this.#waitsForSource = true;
        const { done, value } = await iterator.next();
        this.#waitsForSource = false;
        this.lastActivity = performance.now();
        if (done === true) return;
        yield value;
      }
    } catch (error) {
      this.cancel(error);
      throw error;
    } finally {
      this.#waitsForSource = false;
      await iterator.return?.();
    }
  }
}

const EMPTY = Buffer.alloc(0);

async function* oneChunk(bytes: Buffer): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}

/** At its end from the start: for everybody. */
const NO_BYTES = (async function* (): AsyncGenerator<Uint8Array> {})();

function wholeOf(chunks: readonly Uint8Array[]): Buffer {
  if (chunks.length === 0) return EMPTY;
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
}
