/** Requests to the JSON API: authorized, counted, repeated where that can help, every error turned into one of ours. */

import { CloudSyncError } from '../../errors.js';
import {
  HttpClient,
  type HttpResponse,
  limitedTo,
  type RetryOptions,
  type RetryPolicy,
  withRetries,
} from '../http.js';
import type { AccountContext } from '../store.js';
import type { GcsCredential } from './credential.js';
import { readErrorAnswer, translateAnswer } from './errors.js';
import { TokenSource } from './token.js';

export type RequestKind = 'LIST' | 'HEAD' | 'GET' | 'PUT' | 'POST' | 'DELETE' | 'COPY';

export interface GcsRequest {
  kind: RequestKind;
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** What is tried, for the words of errors: `The service account may not ...`. */
  action: string;
  /** Encoded, from `/storage` or `/upload` on; or a whole address (an upload session). */
  path: string;
  /** Values not encoded; undefined ones are left out. */
  query?: Readonly<Record<string, string | number | undefined>>;
  /** Names in lower case. */
  headers?: Readonly<Record<string, string>>;
  body?: Uint8Array | { size: number; read(): AsyncIterable<Uint8Array> };
  bucket?: string;
  key?: string;
  /** Statuses besides 2xx that are answers and no errors. */
  accepts?: readonly number[];
  /** Read the body of a success as it comes. */
  stream?: boolean;
  /** Attempts at most, if fewer than usual. */
  attempts?: number;
  silenceMs?: number;
  signal?: AbortSignal;
  /** Filled in: how often the request was sent. */
  sent?: number;
}

export interface ConnectionTuning {
  retryPolicy: RetryPolicy;
  silenceMs?: number;
}

/** Kinds of requests that change nothing. */
const READING: readonly RequestKind[] = ['LIST', 'HEAD', 'GET'];
const USER_AGENT = 'node-red-cloud-sync';
/** Buffers above this go out in steps, and then undici has to be told the length. */
const LARGE_BODY = 256 * 1024;

export class GcsConnection {
  readonly #http: HttpClient;
  readonly #tokens: TokenSource;
  /** Server's time minus ours, ms; undefined before the first answer. */
  #clockOffset: number | undefined;

  constructor(
    readonly credential: GcsCredential,
    private readonly context: AccountContext,
    caCertificate: string,
    private readonly tuning: ConnectionTuning,
  ) {
    this.#http = new HttpClient({
      ...(caCertificate === '' ? {} : { caCertificate }),
      ...(context.maxConnections === undefined ? {} : { maxConnections: context.maxConnections }),
      ...(tuning.silenceMs === undefined ? {} : { silenceMs: tuning.silenceMs }),
      patience: context.patience,
      guard: context.guard,
    });
    const connection = this;
    const clock = {
      now: () => connection.now(),
      get offsetMs() {
        return connection.clockOffsetMs;
      },
      read: (headers: Readonly<Record<string, string>>) => connection.#readClock(headers),
    };
    this.#tokens = new TokenSource(credential, this.#http, clock, () => context.onRequest?.('POST'));
  }

  /** ms since the epoch, by the server's clock as far as it is known. */
  now(): number {
    return Date.now() + (this.#clockOffset ?? 0);
  }

  /** What has to be added to this machine's clock to get the server's, ms; 0 where they agree. */
  get clockOffsetMs(): number {
    return this.#clockOffset ?? 0;
  }

  close(): Promise<void> {
    return this.#http.close();
  }

  /** Gets an access token, which shows whether the key is right. */
  async authorize(attempts: number, signal: AbortSignal | undefined): Promise<void> {
    const policy = limitedTo(attempts, this.tuning.retryPolicy);
    await withRetries(() => this.#tokens.get(signal), policy, signal === undefined ? {} : { signal });
  }

  /** Sends `request` until it succeeds or can't; the error is translated. */
  async send(request: GcsRequest): Promise<HttpResponse> {
    const policy = limitedTo(request.attempts, this.tuning.retryPolicy);
    return await withRetries(() => this.#sendAuthorized(request), policy, this.#retryOptions(request.signal));
  }

  /** Calls `attempt` again as requests are sent again: for what takes more than the same request to be repeated. */
  async retrying<T>(attempt: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    return await withRetries(attempt, this.tuning.retryPolicy, this.#retryOptions(signal));
  }

  #retryOptions(signal: AbortSignal | undefined): RetryOptions {
    const { onRetry } = this.context;
    return {
      answeredAt: () => this.#http.answeredAt,
      ...(signal === undefined ? {} : { signal }),
      ...(onRetry === undefined ? {} : { onRetry }),
    };
  }

  /** The answer's body as JSON. */
  async ask<T>(request: GcsRequest): Promise<T> {
    return parseJson<T>(await this.send(request));
  }

  /** One attempt; a token that is refused is replaced once. */
  async #sendAuthorized(request: GcsRequest): Promise<HttpResponse> {
    for (let attempt = 1; ; attempt += 1) {
      const token = await this.#tokens.get(request.signal);
      const response = await this.#sendOnce(request, token);
      const { status, headers } = response;
      if ((status >= 200 && status < 300) || request.accepts?.includes(status) === true) return response;
      if (status === 401) {
        this.#tokens.forget(token);
        if (attempt === 1) continue;
      }
      throw translateAnswer(readErrorAnswer(status, headers, response.bytes.toString()), {
        action: request.action,
        account: this.credential.clientEmail,
        projectId: this.credential.projectId,
        now: this.now(),
        ...(request.bucket === undefined ? {} : { bucket: request.bucket }),
        ...(request.key === undefined ? {} : { key: request.key }),
      });
    }
  }

  async #sendOnce(request: GcsRequest, token: string): Promise<HttpResponse> {
    const { endpoint } = this.credential;
    const { body } = request;
    const session = request.path.startsWith('/') ? undefined : new URL(request.path);
    const origin = session?.origin ?? endpoint.origin;
    const path = session === undefined ? endpoint.basePath + request.path : session.pathname + session.search;
    const headers = ['host', session?.host ?? endpoint.host, 'user-agent', USER_AGENT];
    // The address of an upload is its own permission: elsewhere than at the endpoint it gets no other.
    if (origin === endpoint.origin) headers.push('authorization', `Bearer ${token}`);
    for (const name in request.headers) headers.push(name, request.headers[name]!);
    let source: Uint8Array | (() => AsyncIterable<Uint8Array>) | undefined;
    if (body instanceof Uint8Array) {
      if (body.byteLength > LARGE_BODY) headers.push('content-length', String(body.byteLength));
      if (body.byteLength > 0) source = body;
    } else if (body !== undefined) {
      headers.push('content-length', String(body.size));
      if (body.size > 0) source = () => body.read();
    }
    this.context.onRequest?.(request.kind);
    request.sent = (request.sent ?? 0) + 1;
    const response = await this.#http.send({
      method: request.method,
      origin,
      path: path + queryText(request.query),
      headers,
      ...(source === undefined ? {} : { body: source }),
      ...(request.stream === undefined ? {} : { stream: request.stream }),
      ...(request.silenceMs === undefined ? {} : { silenceMs: request.silenceMs }),
      changes: !READING.includes(request.kind),
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    });
    if (this.#clockOffset === undefined) this.#readClock(response.headers);
    return response;
  }

  #readClock(headers: Readonly<Record<string, string>>): boolean {
    const time = Date.parse(headers.date ?? '');
    if (Number.isNaN(time)) return false;
    const offset = time - Date.now();
    // The header has whole seconds: a smaller difference says nothing.
    this.#clockOffset = Math.abs(offset) < 1500 ? 0 : offset;
    return true;
  }
}

/** The answer's body as JSON; BAD_ANSWER where it is something else, such as a proxy's page. */
export function parseJson<T>(response: HttpResponse): T {
  try {
    const value: unknown = JSON.parse(response.bytes.toString());
    if (typeof value === 'object' && value !== null) return value as T;
  } catch {
    // Said below.
  }
  throw new CloudSyncError('BAD_ANSWER', 'The server does not answer as Google Cloud Storage does', {
    httpStatus: response.status,
    advice: 'Check the endpoint; leave it empty for Google itself.',
  });
}

function queryText(query: GcsRequest['query']): string {
  let text = '';
  for (const name in query) {
    const value = query[name];
    if (value === undefined) continue;
    text += `${text === '' ? '?' : '&'}${name}=${encodeURIComponent(value)}`;
  }
  return text;
}

/** `/storage/v1/b/BUCKET` */
export function bucketPath(bucket: string): string {
  return `/storage/v1/b/${encodeURIComponent(bucket)}`;
}

/** `/storage/v1/b/BUCKET/o/OBJECT`, with slashes in the name encoded. */
export function objectPath(bucket: string, key: string): string {
  return `${bucketPath(bucket)}/o/${encodeName(key)}`;
}

/** The name as one segment of a path. */
export function encodeName(key: string): string {
  try {
    return encodeURIComponent(key);
  } catch (error) {
    throw new CloudSyncError('INVALID_NAME', `"${key}" is not well-formed Unicode`, {
      path: key,
      cause: error,
    });
  }
}
