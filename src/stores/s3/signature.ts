/**
 * AWS Signature Version 4 in headers.
 * Source: "Signature Version 4 signing process", Amazon S3 API Reference.
 *
 * Our own and not the SDK's because a backup is mostly small requests: this takes about a quarter of the SDK signer's
 * time, and every server of the tests checks it.
 */

import { createHmac, hash } from 'node:crypto';

export interface SigningCredentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
}

export interface SignableRequest {
  method: string;
  /** Encoded path. */
  path: string;
  /** Encoded and sorted, without `?`. */
  query: string;
  host: string;
  /** Names in lower case. All are signed. What the signature needs is added to them. */
  headers: Record<string, string>;
  /** Hex SHA-256 of the body, or UNSIGNED-PAYLOAD. */
  payloadHash: string;
}

export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD';
export const EMPTY_PAYLOAD_HASH = hash('sha256', '', 'hex');

export function sha256Hex(data: Uint8Array | string): string {
  return hash('sha256', data, 'hex');
}

/** What all requests of one day to one region have in common. */
interface Scope {
  date: string;
  region: string;
  /** `date/region/s3/aws4_request`. */
  name: string;
  key: Buffer;
}

/** The names of a request's headers as they are signed. */
interface SignedNames {
  sorted: readonly string[];
  /** With `;` between. */
  joined: string;
}

/** Sets of header names that are kept sorted. */
const MAX_NAMES = 100;

/** Signs requests with one credential; keeps what the last one has in common with the next. */
export class Signer {
  #scope: Scope | undefined;
  readonly #names = new Map<string, SignedNames>();
  #second = 0;
  #timestamp = '';

  constructor(private readonly credentials: SigningCredentials) {}

  /**
   * The headers to send: those of `request`, and what the signature needs, as name, value, name, value ...
   *
   * @param now ms since the epoch, by the server's clock.
   */
  sign(request: SignableRequest, region: string, now: number): string[] {
    const timestamp = this.#timestampOf(now);
    const { headers } = request;
    headers.host = request.host;
    headers['x-amz-content-sha256'] = request.payloadHash;
    headers['x-amz-date'] = timestamp;
    if (this.credentials.sessionToken) headers['x-amz-security-token'] = this.credentials.sessionToken;

    const names = this.#namesOf(headers);
    const sent: string[] = [];
    let canonicalHeaders = '';
    for (const name of names.sorted) {
      const value = headers[name]!;
      canonicalHeaders += `${name}:${canonicalValue(value)}\n`;
      sent.push(name, latin1Of(value));
    }
    const canonicalRequest = `${request.method}\n${request.path}\n${request.query}\n${canonicalHeaders}\n${names.joined}\n${request.payloadHash}`;
    const scope = this.#scopeOf(timestamp.slice(0, 8), region);
    const toSign = `AWS4-HMAC-SHA256\n${timestamp}\n${scope.name}\n${sha256Hex(canonicalRequest)}`;
    const signature = createHmac('sha256', scope.key).update(toSign).digest('hex');
    const credential = `${this.credentials.accessKeyId}/${scope.name}`;
    sent.push(
      'authorization',
      `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names.joined}, Signature=${signature}`,
    );
    return sent;
  }

  #namesOf(headers: Record<string, string>): SignedNames {
    const present = Object.keys(headers);
    const id = present.join(';');
    let names = this.#names.get(id);
    if (names === undefined) {
      const sorted = present.sort();
      names = { sorted, joined: sorted.join(';') };
      if (this.#names.size >= MAX_NAMES) this.#names.clear();
      this.#names.set(id, names);
    }
    return names;
  }

  #timestampOf(now: number): string {
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#timestamp = new Date(second * 1000).toISOString().replace(/[-:]|\.\d{3}/g, '');
    }
    return this.#timestamp;
  }

  #scopeOf(date: string, region: string): Scope {
    if (this.#scope?.date !== date || this.#scope.region !== region) {
      let key = hmac(`AWS4${this.credentials.secretAccessKey}`, date);
      for (const part of [region, 's3', 'aws4_request']) key = hmac(key, part);
      this.#scope = { date, region, name: `${date}/${region}/s3/aws4_request`, key };
    }
    return this.#scope;
  }
}

function hmac(key: string | Buffer, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest();
}

/** Trimmed, runs of spaces as one. */
function canonicalValue(value: string): string {
  const trimmed = value.trim();
  return trimmed.includes('  ') ? trimmed.replace(/ +/g, ' ') : trimmed;
}

/** The bytes of a header's value in UTF-8, a character each: that is how they are sent. */
function latin1Of(value: string): string {
  return isAscii(value) ? value : Buffer.from(value).toString('latin1');
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 0x7f) return false;
  return true;
}

/** Percent-encodes as SigV4 wants it: everything but letters, digits and `-_.~`. */
export function encodeComponent(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** {@link encodeComponent} of each ASCII character, but for the slash, which is left. */
const ENCODED_ASCII = Array.from({ length: 0x80 }, (_, code) =>
  code === 0x2f ? '/' : encodeComponent(String.fromCharCode(code)),
);

/** {@link encodeComponent} that leaves slashes. */
export function encodeKey(key: string): string {
  let encoded = '';
  let done = 0;
  for (let index = 0; index < key.length; index++) {
    const code = key.charCodeAt(index);
    if (code > 0x7f) return encodeComponent(key).replaceAll('%2F', '/');
    const as = ENCODED_ASCII[code]!;
    if (as.length === 1) continue;
    encoded += key.slice(done, index) + as;
    done = index + 1;
  }
  return done === 0 ? key : encoded + key.slice(done);
}

/** Query parameters, encoded and sorted; undefined ones left out. */
export function encodeQuery(parameters: Record<string, string | number | undefined>): string {
  return Object.entries(parameters)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${encodeComponent(name)}=${encodeComponent(String(value))}`)
    .sort()
    .join('&');
}
