/**
 * HTTP as all providers need it: one pool of kept-alive connections, the proxy of the environment, a private authority's
 * certificate, and an end to requests on which nothing moves. (undici's own time-outs run while a body is still being
 * sent, so they are off and silence is measured here, in both directions.)
 */

import { createSecureContext, getCACertificates, rootCertificates, type SecureContext } from 'node:tls';
import type { Dispatcher } from 'undici';
import { abortedError, CloudSyncError } from '../errors.js';
import { AbortListeners } from './http/abort-listeners.js';
import { confirmDestination, lookupDestination } from './http/destinations.js';
import { transportError } from './http/errors.js';
import { Exchange } from './http/exchange.js';
import type { HttpRequest, HttpResponse } from './http/messages.js';
import { type ProxyEnvironment, proxyFor } from './http/proxy.js';
import { Pool, ProxyAgent } from './http/undici.js';
import { LARGE_BODY, UploadLane } from './http/upload-lane.js';
import type { Patience, WriteGuard } from './store.js';

export type { HttpRequest, HttpResponse } from './http/messages.js';
export {
  DEFAULT_RETRY_POLICY,
  limitedTo,
  parseRetryAfter,
  pause,
  type RetryOptions,
  type RetryPolicy,
  retryPolicyOf,
  unlessAborted,
  withRetries,
} from './http/retry.js';

export interface HttpClientOptions {
  /** PEM of authorities trusted besides the system's. */
  caCertificate?: string;
  /** Connections to one host at most. */
  maxConnections?: number;
  /** So long may nothing move in either direction. ms. */
  silenceMs?: number;
  /** Limits for connecting and for silence where a person waits; `silenceMs` goes first. */
  patience?: Patience;
  guard?: WriteGuard;
  environment?: ProxyEnvironment;
}

/** Made as they are needed: how many requests are sent at once is up to the caller. */
const DEFAULT_CONNECTIONS = 128;
const DEFAULT_SILENCE_MS = 60_000;
const CONNECT_TIMEOUT_MS = 30_000;

interface Route {
  dispatcher: Dispatcher;
  /** Put before the path: a plain HTTP proxy wants the whole address. */
  pathPrefix: string;
  extraHeaders: string[];
}

/** Sends requests; throws {@link CloudSyncError} for what goes wrong below HTTP, and answers any status. */
export class HttpClient {
  readonly #routes = new Map<string, Route>();
  readonly #running = new Set<Exchange>();
  readonly #silence = new Map<Exchange, number>();
  readonly #abortListeners = new AbortListeners();
  readonly #silenceMs: number;
  #watch: NodeJS.Timeout | undefined;
  #secureContext: SecureContext | undefined;
  #closed = false;
  #answeredAt: number | undefined;
  readonly #lane = new UploadLane();

  constructor(private readonly options: HttpClientOptions = {}) {
    this.#silenceMs = options.silenceMs ?? options.patience?.silenceMs ?? DEFAULT_SILENCE_MS;
  }

  /** When a request got an answer last, whatever it said, by `performance.now()`; undefined: none has. */
  get answeredAt(): number | undefined {
    return this.#answeredAt;
  }

  /** Sends `request` once. */
  send(request: HttpRequest): Promise<HttpResponse> {
    const bytes = bodySizeOf(request);
    if (bytes < LARGE_BODY) return this.#sendNow(request);
    return this.#lane.run(bytes, () => this.#sendNow(request), request.signal);
  }

  #sendNow(request: HttpRequest): Promise<HttpResponse> {
    const waiting = request.changes === true ? this.options.guard?.confirm() : undefined;
    return waiting === undefined ? this.#dispatch(request) : waiting.then(() => this.#dispatch(request));
  }

  #dispatch(request: HttpRequest): Promise<HttpResponse> {
    if (request.signal?.aborted || this.#closed) return Promise.reject(abortedError());
    let route: Route;
    try {
      route = this.#routeTo(request.origin);
    } catch (error) {
      return Promise.reject(error);
    }
    const guard = request.changes === true ? this.options.guard : undefined;
    const exchange = new Exchange(request, this.#onFinished, guard);
    this.#running.add(exchange);
    if (request.signal !== undefined) this.#abortListeners.add(request.signal, exchange);
    if (request.silenceMs !== undefined) this.#silence.set(exchange, request.silenceMs);
    this.#watch ??= setInterval(this.#endSilentOnes, Math.min(1000, this.#silenceMs / 4)).unref();
    try {
      route.dispatcher.dispatch(
        {
          origin: request.origin,
          path: route.pathPrefix + request.path,
          method: request.method as Dispatcher.HttpMethod,
          headers:
            route.extraHeaders.length > 0 ? [...request.headers, ...route.extraHeaders] : request.headers,
          // undici's type leaves out the iterables it takes.
          body: exchange.body() as Dispatcher.DispatchOptions['body'],
          headersTimeout: 0,
          bodyTimeout: 0,
          // undici would close the connection after each HEAD.
          reset: request.method === 'HEAD' ? false : undefined,
        },
        exchange,
      );
    } catch (error) {
      exchange.cancel(transportError(error, request.origin));
    }
    return exchange.response;
  }

  /** Ends all that is running and closes every connection. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const exchange of [...this.#running]) exchange.cancel(abortedError());
    clearInterval(this.#watch);
    await Promise.all([...this.#routes.values()].map((route) => route.dispatcher.destroy()));
    this.#routes.clear();
  }

  readonly #onFinished = (exchange: Exchange): void => {
    if (exchange.isAnswered) this.#answeredAt = performance.now();
    this.#running.delete(exchange);
    if (exchange.signal !== undefined) this.#abortListeners.delete(exchange.signal, exchange);
    this.#silence.delete(exchange);
    if (this.#running.size > 0) return;
    clearInterval(this.#watch);
    this.#watch = undefined;
  };

  readonly #endSilentOnes = (): void => {
    const now = performance.now();
    for (const exchange of this.#running) {
      const silenceMs = this.#silence.get(exchange) ?? this.#silenceMs;
      if (!exchange.isSilent(now, silenceMs)) continue;
      exchange.cancel(
        new CloudSyncError(
          'TIMEOUT',
          `Nothing was heard from the server for ${Math.round(silenceMs / 1000)} s`,
          {
            advice: 'The network or the server stalls; the transfer is tried again.',
          },
        ),
      );
    }
  };

  #routeTo(origin: string): Route {
    let route = this.#routes.get(origin);
    if (route === undefined) {
      route = this.#makeRoute(new URL(origin));
      this.#routes.set(origin, route);
    }
    return route;
  }

  #makeRoute(origin: URL): Route {
    confirmDestination(origin);
    const proxy = proxyFor(origin, this.options.environment);
    const connections = this.options.maxConnections ?? DEFAULT_CONNECTIONS;
    const tls = this.options.caCertificate ? { secureContext: this.#trust(this.options.caCertificate) } : {};
    const timeout = this.options.patience?.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    const connect = { timeout, lookup: lookupName, ...tls };
    const settings = { connections, pipelining: 1, headersTimeout: 0, bodyTimeout: 0, connect };
    if (proxy === undefined) {
      return { dispatcher: new Pool(origin.origin, settings), pathPrefix: '', extraHeaders: [] };
    }
    if (origin.protocol === 'http:' && proxy.protocol === 'http:') {
      const headers = proxy.username === '' ? [] : ['proxy-authorization', basicAuthorization(proxy)];
      return {
        dispatcher: new Pool(proxy.origin, settings),
        pathPrefix: origin.origin,
        extraHeaders: headers,
      };
    }
    const dispatcher = new ProxyAgent({
      ...settings,
      uri: proxy.href,
      requestTls: connect,
      proxyTls: connect,
    });
    return { dispatcher, pathPrefix: '', extraHeaders: [] };
  }

  /** Made once: a list of authorities is costly to parse for each connection. */
  #trust(caCertificate: string): SecureContext {
    if (this.#secureContext === undefined) {
      const known = typeof getCACertificates === 'function' ? getCACertificates('default') : rootCertificates;
      try {
        this.#secureContext = createSecureContext({ ca: [...known, caCertificate] });
      } catch (error) {
        throw new CloudSyncError(
          'INVALID_INPUT',
          'The certificate of the private authority is not valid PEM',
          {
            field: 'caCertificate',
            cause: error,
            advice: 'Paste it whole, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----.',
          },
        );
      }
    }
    return this.#secureContext;
  }
}

/** Bytes; a body that comes as a stream says it in a header. */
function bodySizeOf({ body, headers }: HttpRequest): number {
  if (typeof body !== 'function') return body?.byteLength ?? 0;
  return Number(headers[headers.indexOf('content-length') + 1]) || 0;
}

function basicAuthorization(url: URL): string {
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

const lookupName = lookupDestination();
