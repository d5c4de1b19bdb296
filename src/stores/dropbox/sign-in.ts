/**
 * Signing in with PKCE (RFC 7636): no secret of the app is needed. The user opens the address, agrees, and brings back the
 * code, pasted or by a redirect to this machine. https://developers.dropbox.com/oauth-guide
 */

import { createHash, randomBytes } from 'node:crypto';
import { CloudSyncError } from '../../errors.js';
import { HttpClient } from '../http.js';
import { hostsOf } from './credential.js';
import { requestTokens } from './tokens.js';

export interface SignInOptions {
  endpoint?: string;
  /** PEM of a private authority. */
  caCertificate?: string;
  /** Where Dropbox leads back to with `code` and `state`; registered with the app. Left out: the code is shown. */
  redirectUri?: string;
  /** Comes back unchanged: tells that the answer belongs to the question. */
  state?: string;
}

export interface SignInBegun {
  /** To be opened in a browser. */
  url: string;
  /** Secret, to be kept until {@link finishSignIn}. */
  codeVerifier: string;
}

/**
 * @throws CloudSyncError INVALID_INPUT
 */
export function beginSignIn(appKey: string, options: SignInOptions = {}): SignInBegun {
  if (!/^[A-Za-z0-9]+$/.test(appKey)) {
    throw new CloudSyncError('INVALID_INPUT', 'This is no app key of Dropbox', {
      field: 'appKey',
      advice: 'Copy the app key from the Dropbox App Console.',
    });
  }
  const codeVerifier = randomBytes(64).toString('base64url');
  const url = new URL('/oauth2/authorize', hostsOf({ endpoint: options.endpoint }).web);
  url.search = new URLSearchParams({
    client_id: appKey,
    response_type: 'code',
    token_access_type: 'offline',
    code_challenge: createHash('sha256').update(codeVerifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...(options.redirectUri === undefined ? {} : { redirect_uri: options.redirectUri }),
    ...(options.state === undefined ? {} : { state: options.state }),
  }).toString();
  return { url: url.href, codeVerifier };
}

/**
 * The refresh token for a code.
 * @throws CloudSyncError CREDENTIAL_EXPIRED (a code is good once and for minutes), WRONG_KEY ...
 */
export async function finishSignIn(
  appKey: string,
  code: string,
  codeVerifier: string,
  options: SignInOptions & { signal?: AbortSignal } = {},
): Promise<{ refreshToken: string; accountId?: string }> {
  const { caCertificate, redirectUri, signal } = options;
  const http = new HttpClient({
    caCertificate: caCertificate?.trim() ?? '',
  });
  try {
    const parameters = {
      grant_type: 'authorization_code',
      code: code.trim(),
      client_id: appKey,
      code_verifier: codeVerifier,
      ...(redirectUri === undefined ? {} : { redirect_uri: redirectUri }),
    };
    const { refreshToken, accountId } = await requestTokens(
      http,
      hostsOf({ endpoint: options.endpoint }).api,
      parameters,
      signal,
    );
    if (refreshToken === undefined) {
      throw new CloudSyncError('BAD_ANSWER', 'Dropbox gave no refresh token', { retryable: false });
    }
    return { refreshToken, ...(accountId === undefined ? {} : { accountId }) };
  } finally {
    await http.close();
  }
}
