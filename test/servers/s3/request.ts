import type { IncomingMessage } from 'node:http';
import type { Credential } from './credentials.js';
import type { Operation } from './operations.js';
import { s3Error } from './s3-error.js';

/** A request as all rooms of the server see it, and as predicates of faults and permissions get it. */
export interface S3Request {
  /** `x-amz-request-id` of the answer. */
  readonly id: string;
  readonly method: string;
  /** Filled in once it is known which it is; 'Unknown' before. */
  operation: Operation | 'Unknown';
  /** '' where none. */
  readonly bucket: string;
  /** '' where none; decoded, whole. */
  readonly key: string;
  readonly query: ReadonlyMap<string, string>;
  readonly incoming: IncomingMessage;
  /** Path as it has to be signed. */
  readonly canonicalPath: string;
  /** ms since the epoch by the server's clock. */
  readonly receivedAt: number;
  credential: Credential | undefined;
  /** Bytes of the request's body so far, as they came over the wire. */
  bodyBytes: number;
}

/** The header `name` (lower case), repeated ones joined. */
export function header(request: S3Request, name: string): string | undefined {
  const value = request.incoming.headers[name];
  return Array.isArray(value) ? value.join(',') : value;
}

const PLAIN = /^[A-Za-z0-9\-._~/]*$/;

/** UriEncode of "Create a signed AWS API request": everything but unreserved characters, hex in upper case. */
export function uriEncode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw s3Error('InvalidURI', { details: { URI: text } });
  }
}

export interface Target {
  bucket: string;
  key: string;
  canonicalPath: string;
  query: Map<string, string>;
}

/**
 * Takes the request's target apart, path style or virtual-host style ("Virtual hosting of general purpose buckets"):
 * a host `NAME.domain` carries the bucket.
 */
export function parseTarget(url: string, host: string, domain: string): Target {
  const mark = url.indexOf('?');
  const rawPath = mark < 0 ? url : url.slice(0, mark);
  const query = parseQuery(mark < 0 ? '' : url.slice(mark + 1));
  if (!rawPath.startsWith('/')) throw s3Error('InvalidURI');
  const plain = PLAIN.test(rawPath);
  const path = plain ? rawPath : decode(rawPath);
  const canonicalPath = plain ? rawPath : path.split('/').map(uriEncode).join('/');
  const name = host.replace(/:\d+$/, '');
  if (name.endsWith(`.${domain}`)) {
    return { bucket: name.slice(0, -domain.length - 1), key: path.slice(1), canonicalPath, query };
  }
  const slash = path.indexOf('/', 1);
  const bucket = slash < 0 ? path.slice(1) : path.slice(1, slash);
  return { bucket, key: slash < 0 ? '' : path.slice(slash + 1), canonicalPath, query };
}

function parseQuery(raw: string): Map<string, string> {
  const query = new Map<string, string>();
  if (raw === '') return query;
  for (const pair of raw.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decode((equals < 0 ? pair : pair.slice(0, equals)).replaceAll('+', ' '));
    const value = equals < 0 ? '' : decode(pair.slice(equals + 1).replaceAll('+', ' '));
    if (query.has(name))
      throw s3Error('InvalidArgument', { message: `Query parameter ${name} is given twice` });
    query.set(name, value);
  }
  return query;
}

/** The query as it has to be signed, without `leaveOut`. */
export function canonicalQuery(query: ReadonlyMap<string, string>, leaveOut?: string): string {
  if (query.size === 0) return '';
  // By name, not by `name=value`: `-` and digits come before `=`.
  const pairs: [string, string][] = [];
  for (const [name, value] of query) if (name !== leaveOut) pairs.push([uriEncode(name), uriEncode(value)]);
  pairs.sort(([a], [b]) => (a < b ? -1 : 1));
  return pairs.map(([name, value]) => `${name}=${value}`).join('&');
}
