/**
 * Sends signed requests to an S3 service: finds each bucket's region, keeps the server's time, tries again what can be
 * tried again, and turns every error into one of ours. Used by everything else in this folder.
 */

import { isIP } from 'node:net';
import { CloudSyncError, hasCode } from '../../errors.js';
import {
  HttpClient,
  type HttpResponse,
  limitedTo,
  type RetryPolicy,
  unlessAborted,
  withRetries,
} from '../http.js';
import type { AccountContext } from '../store.js';
import {
  AMAZON_KEY_WORDS,
  type ErrorSubject,
  type KeyWords,
  readErrorAnswer,
  type S3ErrorAnswer,
  translateAnswer,
} from './errors.js';
import type { S3Endpoint } from './identity.js';
import {
  EMPTY_PAYLOAD_HASH,
  encodeKey,
  Signer,
  type SigningCredentials,
  UNSIGNED_PAYLOAD,
} from './signature.js';
import { AMAZON_TRAITS, type S3Traits } from './traits.js';
import { rootName } from './xml.js';

export type RequestKind = 'LIST' | 'HEAD' | 'GET' | 'PUT' | 'POST' | 'DELETE' | 'COPY';

/** A body with the hashes the server checks it by. */
export interface RequestBody {
  size: number;
  /** All of it, or what reads it from the start for each attempt. */
  source: Uint8Array | (() => AsyncIterable<Uint8Array>);
  /** Base64, sent as Content-MD5. */
  md5: string;
  /** Hex; needed where {@link S3Connection.signsPayload}. */
  sha256?: string;
}

export interface S3Request {
  kind: RequestKind;
  method: string;
  /** For errors: what is tried, as in `The access key may not ...`. */
  action: string;
  bucket?: string;
  key?: string;
  /** Encoded and sorted, without `?`. */
  query?: string;
  /** Names in lower case. */
  headers?: Record<string, string>;
  body?: RequestBody;
  /** Statuses besides 2xx that are answers and no errors. */
  accepts?: readonly number[];
  /** Read the body of a success as it comes. */
  stream?: boolean;
  /** The body of a 200 may be an error (CopyObject, CompleteMultipartUpload, DeleteObjects). */
  mayFailInside?: boolean;
  /** Attempts at most, if fewer than usual. */
  attempts?: number;
  silenceMs?: number;
  signal?: AbortSignal;
  /** Filled in: how often the request was sent. */
  sent?: number;
}

export interface ConnectionOptions {
  endpoint: S3Endpoint;
  /** Asked once, before the first request: where the service is, if that isn't known before. */
  locate?: () => Promise<S3Endpoint>;
  /** Default: Amazon's. */
  traits?: S3Traits;
  /** How the provider calls its keys. */
  keyWords?: KeyWords;
  credentials: SigningCredentials;
  caCertificate?: string;
  context: AccountContext;
  retryPolicy: RetryPolicy;
  silenceMs?: number;
}

/** `127.0.0.1:9000`, `[::1]:9000`. */
function isAddress(host: string): boolean {
  return isIP(host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')) !== 0;
}

function noNameBelow(host: string): CloudSyncError {
  return new CloudSyncError('INVALID_INPUT', `A bucket's name can't be put in front of the address ${host}`, {
    field: 'forcePathStyle',
    advice: 'Set forcePathStyle to true, or write the endpoint with a host name.',
  });
}

/** Where the requests for a bucket go. */
interface Place {
  endpoint: S3Endpoint;
  bucket: string;
  region: string;
  origin: string;
  host: string;
  bucketInHost: boolean;
  /** Of the bucket itself. */
  path: string;
  /** Of the bucket without a slash at its end: a slash and the key come behind it. */
  pathOfKeys: string;
}

function encodedKey(key: string): string {
  try {
    return encodeKey(key);
  } catch (error) {
    throw new CloudSyncError('INVALID_NAME', `"${key}" is not well-formed Unicode`, { cause: error });
  }
}

/** Where servers outside Amazon answer whatever the region is called. */
const DEFAULT_REGION = 'us-east-1';
/** Up to here a body's SHA-256 is signed in any case; above it, TLS and Content-MD5 protect it on https. */
const SIGNED_BODY_LIMIT = 256 * 1024;

export class S3Connection {
  readonly traits: S3Traits;
  readonly keyWords: KeyWords;
  #endpoint: S3Endpoint;
  #isLocated: boolean;
  #located: Promise<void> | undefined;
  #lastPlace: Place | undefined;
  readonly #http: HttpClient;
  readonly #signer: Signer;
  readonly #secrets: readonly string[];
  /** Region by bucket, '' for requests without a bucket. */
  readonly #regions = new Map<string, string>();
  readonly #regionSearches = new Map<string, Promise<string>>();
  /** Server's time minus ours, ms; undefined before the first answer. */
  #clockOffset: number | undefined;

  constructor(private readonly options: ConnectionOptions) {
    this.#endpoint = options.endpoint;
    this.#isLocated = options.locate === undefined;
    this.traits = options.traits ?? AMAZON_TRAITS;
    this.keyWords = options.keyWords ?? AMAZON_KEY_WORDS;
    this.#signer = new Signer(options.credentials);
    const { accessKeyId, secretAccessKey, sessionToken = '' } = options.credentials;
    this.#secrets = [secretAccessKey, sessionToken, accessKeyId];
    this.#http = new HttpClient({
      ...(options.caCertificate === undefined ? {} : { caCertificate: options.caCertificate }),
      ...(options.context.maxConnections === undefined
        ? {}
        : { maxConnections: options.context.maxConnections }),
      ...(options.silenceMs === undefined ? {} : { silenceMs: options.silenceMs }),
      patience: options.context.patience,
      guard: options.context.guard,
    });
  }

  /** Certain only after {@link ready}. */
  get endpoint(): S3Endpoint {
    return this.#endpoint;
  }

  /** Finds out where the service is, if that has to be asked. Undefined: it is known. */
  ready(signal?: AbortSignal): Promise<void> | undefined {
    if (this.#isLocated) return undefined;
    this.#located ??= this.options.locate!().then(
      (endpoint) => {
        this.#endpoint = endpoint;
        this.#isLocated = true;
      },
      (error: unknown) => {
        this.#located = undefined;
        throw error;
      },
    );
    return unlessAborted(this.#located, signal);
  }

  /** `If-Match` of writes wants the ETag without quotes: learned, see conditions.ts. */
  comparesBareEtags = false;

  /** Bodies have to come with their SHA-256: without TLS nothing else binds them to the signature. */
  get signsPayload(): boolean {
    return this.endpoint.protocol === 'http:';
  }

  /** ms since the epoch, by the server's clock as far as it is known. */
  now(): number {
    return Date.now() + (this.#clockOffset ?? 0);
  }

  /** Server's time minus ours, ms; 0 before the first answer. */
  get clockOffsetMs(): number {
    return this.#clockOffset ?? 0;
  }

  close(): Promise<void> {
    return this.#http.close();
  }

  /** Sends `request` until it succeeds or can't; the error is translated. */
  send(request: S3Request): Promise<HttpResponse> {
    const { retryPolicy, context } = this.options;
    const policy = limitedTo(request.attempts, retryPolicy);
    return withRetries(() => this.#sendCorrecting(request), policy, {
      answeredAt: this.#answeredAt,
      signal: request.signal,
      onRetry: context.onRetry,
    });
  }

  readonly #answeredAt = () => this.#http.answeredAt;

  /** The region of `bucket`: as configured, as found before, or asked now. */
  async regionOf(bucket: string, signal?: AbortSignal): Promise<string> {
    const known = this.#knownRegionOf(bucket);
    if (known !== undefined) return known;
    let search = this.#regionSearches.get(bucket);
    if (search === undefined) {
      search = this.#askRegion(bucket, signal).finally(() => this.#regionSearches.delete(bucket));
      this.#regionSearches.set(bucket, search);
    }
    return await search;
  }

  #knownRegionOf(bucket: string): string | undefined {
    const known = this.endpoint.region ?? this.#regions.get(bucket);
    if (known !== undefined) return known;
    return this.endpoint.isAmazon && bucket !== '' ? undefined : DEFAULT_REGION;
  }

  /** One attempt, repeated at once where the answer says what was wrong: the time or the region. */
  async #sendCorrecting(request: S3Request): Promise<HttpResponse> {
    let clockCorrected = false;
    let regionCorrected = false;
    const { bucket = '', signal } = request;
    const waiting = this.ready(signal);
    if (waiting !== undefined) await waiting;
    for (;;) {
      const region = this.#knownRegionOf(bucket) ?? (await this.regionOf(bucket, signal));
      const response = await this.#sendOnce(request, region);
      if (this.#clockOffset === undefined) this.#readClock(response.headers);
      const failed = this.#errorIn(request, response);
      if (failed === undefined) return response;
      if (failed.code === 'RequestTimeTooSkewed' || failed.code === 'RequestExpired') {
        const offset = this.#clockOffset ?? 0;
        if (!clockCorrected && this.#readClock(response.headers)) {
          clockCorrected = true;
          continue;
        }
        throw this.#clockError(failed, offset, this.#subjectOf(request, region));
      }
      if (!regionCorrected && this.#learnRegion(bucket, region, failed)) {
        regionCorrected = true;
        continue;
      }
      throw translateAnswer(failed, this.#subjectOf(request, region));
    }
  }

  #sendOnce(request: S3Request, region: string): Promise<HttpResponse> {
    const place = this.#placeOf(request.bucket ?? '', region);
    const path = request.key === undefined ? place.path : `${place.pathOfKeys}/${encodedKey(request.key)}`;
    const { body, query = '' } = request;
    const headers: Record<string, string> = { ...request.headers };
    let payloadHash = EMPTY_PAYLOAD_HASH;
    if (body !== undefined) {
      headers['content-md5'] = body.md5;
      payloadHash = body.sha256 ?? UNSIGNED_PAYLOAD;
    }
    const signed = this.#signer.sign(
      { method: request.method, path, query, host: place.host, headers, payloadHash },
      region,
      this.now(),
    );
    signed.push('accept-encoding', 'identity', 'user-agent', USER_AGENT);
    if (body !== undefined && typeof body.source === 'function')
      signed.push('content-length', String(body.size));
    else if (body !== undefined && body.size > LARGE_BODY) signed.push('content-length', String(body.size));
    this.options.context.onRequest?.(request.kind);
    request.sent = (request.sent ?? 0) + 1;
    const sending = this.#http.send({
      method: request.method,
      origin: place.origin,
      path: query === '' ? path : `${path}?${query}`,
      headers: signed,
      body: body === undefined || body.size === 0 ? undefined : body.source,
      stream: request.stream,
      silenceMs: request.silenceMs,
      changes: !READING.includes(request.kind),
      signal: request.signal,
    });
    return place.bucketInHost ? sending.catch((error) => this.#blameHostStyle(error)) : sending;
  }

  /** A server may be known by its own name only, not by names with a bucket in front. */
  #blameHostStyle(error: unknown): never {
    if (!hasCode(error, 'ENDPOINT_UNREACHABLE', 'TLS_FAILURE') || this.endpoint.isAmazon) throw error;
    throw new CloudSyncError(error.code, error.message, {
      field: 'forcePathStyle',
      advice:
        `The bucket's name is part of the host name here: if only the server's own name is known, set forcePathStyle to true. ${error.advice ?? ''}`.trim(),
      cause: error,
    });
  }

  /** Where a bucket is reached; '' for the service itself. That of the last request is kept: the next mostly is for it too. */
  #placeOf(bucket: string, region: string): Place {
    const { endpoint } = this;
    const last = this.#lastPlace;
    if (last?.bucket === bucket && last.region === region && last.endpoint === endpoint) return last;
    const service = endpoint.host ?? `s3.${region}.${endpoint.amazonDomain}`;
    // A wildcard certificate covers one label only.
    const inPath = endpoint.pathStyle || (endpoint.protocol === 'https:' && bucket.includes('.'));
    const host = bucket === '' || inPath ? service : `${bucket}.${service}`;
    if (host !== service && isAddress(service)) throw noNameBelow(service);
    const place = bucket !== '' && inPath ? `/${encodeKey(bucket)}` : '';
    this.#lastPlace = {
      endpoint,
      bucket,
      region,
      origin: `${endpoint.protocol}//${host}`,
      host,
      bucketInHost: host !== service,
      path: endpoint.basePath + (place || '/'),
      pathOfKeys: endpoint.basePath + place,
    };
    return this.#lastPlace;
  }

  #errorIn(request: S3Request, response: HttpResponse): S3ErrorAnswer | undefined {
    const { status, headers } = response;
    if (request.accepts?.includes(status)) return undefined;
    if (status >= 200 && status < 300) {
      if (request.mayFailInside !== true) return undefined;
      const text = response.bytes.toString();
      if (rootName(text) !== 'Error') return undefined;
      // What fails after the status line went out is the server's failure, whatever the code.
      return readErrorAnswer(500, headers, text);
    }
    return readErrorAnswer(status, headers, response.bytes.toString());
  }

  /** Takes over the server's clock; false where the answer doesn't tell the time. */
  #readClock(headers: Record<string, string>): boolean {
    const time = Date.parse(headers.date ?? '');
    if (Number.isNaN(time)) return false;
    const offset = time - Date.now();
    // The header has whole seconds: a smaller difference says nothing.
    this.#clockOffset = Math.abs(offset) < 1500 ? 0 : offset;
    return true;
  }

  #clockError(answer: S3ErrorAnswer, offset: number, subject: ErrorSubject): CloudSyncError {
    const base = translateAnswer(answer, subject);
    const serverTime = Date.parse(answer.headers.date ?? '');
    const minutes = Math.round(
      ((Number.isNaN(serverTime) ? Date.now() + offset : serverTime) - Date.now()) / 60_000,
    );
    const side = minutes > 0 ? 'behind' : 'ahead of';
    const text =
      minutes === 0
        ? base.message
        : `This machine's clock is ${Math.abs(minutes)} minutes ${side} the server's`;
    return new CloudSyncError('CLOCK_SKEW', text, {
      advice: base.advice!,
      httpStatus: answer.status,
      cause: base.cause,
    });
  }

  /** Remembers the region an error names; true where it is news and no region was configured. */
  #learnRegion(bucket: string, used: string, answer: S3ErrorAnswer): boolean {
    const { region } = answer;
    if (region === undefined || region === used || this.endpoint.region !== undefined) return false;
    const about =
      answer.status === 301 || answer.status === 307 || answer.status === 400 || answer.status === 403;
    if (!about) return false;
    this.#regions.set(bucket, region);
    return true;
  }

  /** Amazon names a bucket's region in the headers of any answer about it, refusals included. */
  async #askRegion(bucket: string, signal?: AbortSignal): Promise<string> {
    const response = await withRetries(
      async () => {
        const answer = await this.#sendOnce(
          {
            kind: 'HEAD',
            method: 'HEAD',
            action: 'ask for the region of the bucket',
            bucket,
            ...(signal === undefined ? {} : { signal }),
          },
          DEFAULT_REGION,
        );
        if (this.#clockOffset === undefined) this.#readClock(answer.headers);
        if (answer.status >= 500) {
          const subject = this.#subjectOf(
            { kind: 'HEAD', method: 'HEAD', action: 'ask for the region', bucket },
            DEFAULT_REGION,
          );
          throw translateAnswer(readErrorAnswer(answer.status, answer.headers, ''), subject);
        }
        return answer;
      },
      this.options.retryPolicy,
      signal === undefined ? {} : { signal },
    );
    const region = response.headers['x-amz-bucket-region'] ?? DEFAULT_REGION;
    this.#regions.set(bucket, region);
    return region;
  }

  #subjectOf(request: S3Request, region: string): ErrorSubject {
    return {
      action: request.action,
      region,
      secrets: this.#secrets,
      now: this.now(),
      keyWords: this.keyWords,
      ...(request.bucket === undefined ? {} : { bucket: request.bucket }),
      ...(request.key === undefined ? {} : { key: request.key }),
    };
  }

  /** Whether a body of `size` bytes has to come with its SHA-256. */
  wantsSha256(size: number): boolean {
    return this.signsPayload || size <= SIGNED_BODY_LIMIT;
  }
}

/** Kinds of requests that change nothing. */
const READING: readonly RequestKind[] = ['LIST', 'HEAD', 'GET'];
const USER_AGENT = 'node-red-cloud-sync';
/** Buffers above this go out in steps, and then undici has to be told the length. */
const LARGE_BODY = 256 * 1024;
