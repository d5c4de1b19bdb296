/**
 * Access tokens: an assertion signed with the key of the service account is exchanged for one that lasts an hour.
 * https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests
 */

import { sign } from 'node:crypto';
import { CloudSyncError } from '../../errors.js';
import { type HttpClient, type HttpResponse, unlessAborted } from '../http.js';
import type { GcsCredential } from './credential.js';
import { isAboutTime, translateTokenRefusal } from './token-errors.js';

/**
 * This service and no other. The narrower devstorage.read_write doesn't allow to change metadata (objects.patch), which is
 * how times are changed: https://cloud.google.com/storage/docs/json_api/v1/objects/patch#auth
 */
const SCOPE = 'https://www.googleapis.com/auth/devstorage.full_control';
const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
/** The longest an assertion may live. s. */
const ASSERTION_LIFE = 3600;
/** A token is renewed so long before it runs out, while the old one still works. ms. */
const RENEW_BEFORE_MS = 5 * 60_000;

/** The server's clock, shared with all other requests. */
export interface ServerClock {
  now(): number;
  readonly offsetMs: number;
  /** Takes over the time of an answer; false where it doesn't tell. */
  read(headers: Readonly<Record<string, string>>): boolean;
}

interface Token {
  value: string;
  /** `performance.now()`, ms. */
  renewAt: number;
  endsAt: number;
}

export class TokenSource {
  #token: Token | undefined;
  #pending: Promise<Token> | undefined;

  constructor(
    private readonly credential: GcsCredential,
    private readonly http: HttpClient,
    private readonly clock: ServerClock,
    private readonly onRequest: () => void,
  ) {}

  /** A token that lasts for some minutes; all who ask meanwhile wait for one request. */
  async get(signal?: AbortSignal): Promise<string> {
    const now = performance.now();
    const present = this.#token;
    if (present !== undefined && now < present.renewAt) return present.value;
    this.#pending ??= this.#ask()
      .then((token) => {
        this.#token = token;
        return token;
      })
      .finally(() => {
        this.#pending = undefined;
      });
    // The old one still works: nobody has to wait, and a failure is none before it has run out.
    if (present !== undefined && now < present.endsAt) {
      this.#pending.catch(() => {});
      return present.value;
    }
    return (await unlessAborted(this.#pending, signal)).value;
  }

  /** Says that `value` was refused. */
  forget(value: string): void {
    if (this.#token?.value === value) this.#token = undefined;
  }

  async #ask(): Promise<Token> {
    let answer = await this.#send();
    // Signed by the server's clock once more, which this answer tells.
    if (answer.status === 400 && isAboutTime(answer.bytes.toString()) && this.clock.read(answer.headers)) {
      answer = await this.#send();
    }
    if (answer.status !== 200) {
      throw translateTokenRefusal({
        status: answer.status,
        headers: answer.headers,
        body: answer.bytes.toString(),
        account: this.credential.clientEmail,
        host: this.credential.tokenUri.host,
        now: this.clock.now(),
        clockOffsetMs: this.clock.offsetMs,
      });
    }
    return readToken(answer.bytes.toString(), this.credential.tokenUri.host);
  }

  #send(): Promise<HttpResponse> {
    const { tokenUri } = this.credential;
    const body = new URLSearchParams({ grant_type: GRANT_TYPE, assertion: this.#assertion() }).toString();
    this.onRequest();
    return this.http.send({
      method: 'POST',
      origin: tokenUri.origin,
      path: tokenUri.pathname + tokenUri.search,
      headers: ['host', tokenUri.host, 'content-type', 'application/x-www-form-urlencoded'],
      body: Buffer.from(body),
    });
  }

  /** A JSON Web Token (RFC 7519) signed with RS256, as RFC 7523 wants it. */
  #assertion(): string {
    const { clientEmail, privateKey, privateKeyId, tokenUri } = this.credential;
    const issuedAt = Math.floor(this.clock.now() / 1000);
    const header = { alg: 'RS256', typ: 'JWT', ...(privateKeyId === '' ? {} : { kid: privateKeyId }) };
    const claims = {
      iss: clientEmail,
      scope: SCOPE,
      aud: tokenUri.href,
      iat: issuedAt,
      exp: issuedAt + ASSERTION_LIFE,
    };
    const signed = `${base64Url(header)}.${base64Url(claims)}`;
    return `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`;
  }
}

function base64Url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function readToken(body: string, host: string): Token {
  try {
    const answer = JSON.parse(body) as { access_token?: unknown; expires_in?: unknown } | null;
    const value = answer?.access_token;
    if (typeof value === 'string' && /^[\x21-\x7e]+$/.test(value)) {
      const lifeMs = Number(answer?.expires_in ?? 3600) * 1000;
      const now = performance.now();
      return { value, renewAt: now + lifeMs - Math.min(RENEW_BEFORE_MS, lifeMs / 2), endsAt: now + lifeMs };
    }
  } catch {
    // Said below.
  }
  throw new CloudSyncError('BAD_ANSWER', `${host} does not answer as a token service does`, {
    field: 'serviceAccountKey',
    advice: 'Check the "token_uri" in the service account key.',
    retryable: false,
  });
}
