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
  /** Names in lower case. All are signed. */
  headers: Record<string, string>;
  /** Hex SHA-256 of the body, or UNSIGNED-PAYLOAD. */
  payloadHash: string;
}

export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD';
export const EMPTY_PAYLOAD_HASH = hash('sha256', '', 'hex');

export function sha256Hex(data: Uint8Array | string): string {
  return hash('sha256', data, 'hex');
}

/** Signs requests with one credential; keeps the derived key of the day and the region. */
export class Signer {
  #keys = new Map<string, Buffer>();
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
    const date = timestamp.slice(0, 8);
    const headers: Record<string, string> = {
      ...request.headers,
      host: request.host,
      'x-amz-content-sha256': request.payloadHash,
      'x-amz-date': timestamp,
    };
    if (this.credentials.sessionToken) headers['x-amz-security-token'] = this.credentials.sessionToken;

    const names = Object.keys(headers).sort();
    let canonicalHeaders = '';
    for (const name of names) canonicalHeaders += `${name}:${canonicalValue(headers[name]!)}\n`;
    const signedHeaders = names.join(';');
    const canonicalRequest = `${request.method}\n${request.path}\n${request.query}\n${canonicalHeaders}\n${signedHeaders}\n${request.payloadHash}`;
    const scope = `${date}/${region}/s3/aws4_request`;
    const toSign = `AWS4-HMAC-SHA256\n${timestamp}\n${scope}\n${sha256Hex(canonicalRequest)}`;
    const signature = createHmac('sha256', this.#keyFor(date, region)).update(toSign).digest('hex');

    const sent: string[] = [];
    for (const name of names) sent.push(name, Buffer.from(headers[name]!).toString('latin1'));
    const credential = `${this.credentials.accessKeyId}/${scope}`;
    sent.push(
      'authorization',
      `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${signedHeaders}, Signature=${signature}`,
    );
    return sent;
  }

  #timestampOf(now: number): string {
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#timestamp = new Date(second * 1000).toISOString().replace(/[-:]|\.\d{3}/g, '');
    }
    return this.#timestamp;
  }

  #keyFor(date: string, region: string): Buffer {
    const id = `${date}/${region}`;
    let key = this.#keys.get(id);
    if (key === undefined) {
      key = hmac(`AWS4${this.credentials.secretAccessKey}`, date);
      for (const part of [region, 's3', 'aws4_request']) key = hmac(key, part);
      if (this.#keys.size > 100) this.#keys.clear();
      this.#keys.set(id, key);
    }
    return key;
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

/** Percent-encodes as SigV4 wants it: everything but letters, digits and `-_.~`. */
export function encodeComponent(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** {@link encodeComponent} that leaves slashes. */
export function encodeKey(key: string): string {
  if (/^[A-Za-z0-9\-_.~/]*$/.test(key)) return key;
  return encodeComponent(key).replaceAll('%2F', '/');
}

/** Query parameters, encoded and sorted; undefined ones left out. */
export function encodeQuery(parameters: Record<string, string | number | undefined>): string {
  return Object.entries(parameters)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${encodeComponent(name)}=${encodeComponent(String(value))}`)
    .sort()
    .join('&');
}
