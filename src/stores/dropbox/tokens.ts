/**
 * The access token, renewed by the refresh token before and when it runs out (after four hours).
 * https://www.dropbox.com/developers/documentation/http/documentation#oauth2-token
 */

import { CloudSyncError } from '../../errors.js';
import type { HttpClient } from '../http.js';
import type { DropboxCredential } from './credential.js';

/** A token is renewed so long before its end. */
const EARLY_MS = 60_000;

/** What the address of tokens answers. */
export interface TokenGrant {
  accessToken: string;
  refreshToken?: string;
  /** How long the access token is valid, ms. */
  validMs: number;
  accountId?: string;
}

export class Tokens {
  readonly #credential: DropboxCredential;
  readonly #http: HttpClient;
  readonly #onRequest: () => void;
  #token: string | undefined;
  /** `performance`-like clock would be wrong here: the computer may have slept. ms since the epoch. */
  #expiry: number;
  #renewal: Promise<string> | undefined;

  constructor(credential: DropboxCredential, http: HttpClient, onRequest: () => void) {
    this.#credential = credential;
    this.#http = http;
    this.#onRequest = onRequest;
    this.#token = credential.accessToken;
    this.#expiry = credential.accessTokenExpiry ?? Number.POSITIVE_INFINITY;
  }

  /** Whether a token that was refused can be replaced. */
  get canRenew(): boolean {
    return this.#credential.refreshToken !== undefined && this.#credential.appKey !== undefined;
  }

  /**
   * A token that is valid as far as we know; one request for all who wait for it.
   * @throws CloudSyncError CREDENTIAL_EXPIRED, WRONG_KEY, WRONG_SECRET
   */
  async get(): Promise<string> {
    const isCurrent = this.#token !== undefined && Date.now() < this.#expiry - EARLY_MS;
    if (isCurrent || (this.#token !== undefined && !this.canRenew)) return this.#token!;
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = undefined;
    });
    return await this.#renewal;
  }

  /** `token` was refused: the next {@link get} asks for another one. */
  discard(token: string): void {
    if (this.#token === token) this.#token = undefined;
  }

  async #renew(): Promise<string> {
    const { refreshToken, appKey, appSecret, hosts } = this.#credential;
    if (refreshToken === undefined || appKey === undefined) {
      throw new CloudSyncError('CREDENTIAL_EXPIRED', 'The access token has run out', {
        field: 'accessToken',
        advice: 'Sign in to Dropbox again in the credential.',
      });
    }
    this.#onRequest();
    const grant = await requestTokens(this.#http, hosts.api, {
      grant_type: 'refresh_token',
      refresh_token: refreshToken,
      client_id: appKey,
      ...(appSecret === undefined ? {} : { client_secret: appSecret }),
    });
    this.#token = grant.accessToken;
    this.#expiry = Date.now() + grant.validMs;
    return grant.accessToken;
  }
}

/**
 * Asks for tokens.
 * @param origin Of the API.
 * @throws CloudSyncError CREDENTIAL_EXPIRED, WRONG_KEY, WRONG_SECRET, SERVER_ERROR, RATE_LIMITED ...
 */
export async function requestTokens(
  http: HttpClient,
  origin: string,
  parameters: Record<string, string>,
  signal?: AbortSignal,
): Promise<TokenGrant> {
  const body = Buffer.from(new URLSearchParams(parameters).toString());
  const response = await http.send({
    method: 'POST',
    origin,
    path: '/oauth2/token',
    headers: ['content-type', 'application/x-www-form-urlencoded', 'content-length', String(body.length)],
    body,
    ...(signal === undefined ? {} : { signal }),
  });
  const answer = parse(response.bytes);
  if (response.status === 200 && typeof answer.access_token === 'string') {
    const { access_token: accessToken, refresh_token: refresh, expires_in: seconds } = answer;
    return {
      accessToken,
      validMs: typeof seconds === 'number' ? seconds * 1000 : 4 * 3600_000,
      ...(typeof refresh === 'string' ? { refreshToken: refresh } : {}),
      ...(typeof answer.account_id === 'string' ? { accountId: answer.account_id } : {}),
    };
  }
  throw refusal(response.status, String(answer.error ?? ''), parameters);
}

function refusal(status: number, error: string, parameters: Record<string, string>): CloudSyncError {
  const httpStatus = status;
  if (error.startsWith('invalid_grant')) {
    if (parameters.grant_type === 'authorization_code') {
      return new CloudSyncError('CREDENTIAL_EXPIRED', 'Dropbox does not accept the code of the sign-in', {
        httpStatus,
        advice: 'A code is valid once and for a few minutes: sign in again and paste the new one.',
      });
    }
    return new CloudSyncError('CREDENTIAL_EXPIRED', 'The sign-in to Dropbox is no longer valid', {
      field: 'refreshToken',
      httpStatus,
      advice:
        'Access was revoked, or the token is of another app: sign in to Dropbox again in the credential.',
    });
  }
  if (error.startsWith('invalid_client')) {
    const code = parameters.client_secret === undefined ? 'WRONG_KEY' : 'WRONG_SECRET';
    return new CloudSyncError(code, 'Dropbox does not accept the app key or its secret', {
      field: code === 'WRONG_KEY' ? 'appKey' : 'appSecret',
      httpStatus,
      advice:
        'Copy key and secret of the app from the Dropbox App Console; a sign-in with PKCE needs no secret.',
    });
  }
  if (status === 429) return new CloudSyncError('RATE_LIMITED', 'Dropbox asks to go slower', { httpStatus });
  if (status >= 500) {
    return new CloudSyncError('SERVER_ERROR', `Dropbox fails on its side (${status})`, { httpStatus });
  }
  return new CloudSyncError('BAD_ANSWER', `Dropbox gives no token (${error || status})`, {
    httpStatus,
    retryable: false,
    advice: 'Check the endpoint; leave it empty for Dropbox itself.',
  });
}

function parse(bytes: Buffer): Record<string, unknown> {
  try {
    const answer: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
