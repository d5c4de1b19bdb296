/** Who asks, and where: what the user filled in, pasted rclone tokens among it. */

import { CloudSyncError } from '../../errors.js';
import type { CredentialConfig, CredentialSecrets } from '../store.js';

/** The hosts of the API: https://www.dropbox.com/developers/documentation/http/documentation#request-and-response-formats */
export interface DropboxHosts {
  /** Origins, no path. */
  api: string;
  content: string;
  /** Where a user signs in. */
  web: string;
}

export interface DropboxCredential {
  hosts: DropboxHosts;
  /** The app that the refresh token was made for. */
  appKey?: string;
  /** Only for apps that signed in without PKCE. */
  appSecret?: string;
  refreshToken?: string;
  accessToken?: string;
  /** When the access token ends, ms since the epoch, where that is known. */
  accessTokenExpiry?: number;
}

const PUBLIC_HOSTS: DropboxHosts = {
  api: 'https://api.dropboxapi.com',
  content: 'https://content.dropboxapi.com',
  web: 'https://www.dropbox.com',
};

/**
 * Reads what the user filled in. A token as rclone keeps it (`{"access_token": …, "refresh_token": …, "expiry": …}`) may
 * stand in place of either token.
 * @throws CloudSyncError INVALID_INPUT, CREDENTIAL_MISSING
 */
export function readCredential(config: CredentialConfig, secrets: CredentialSecrets): DropboxCredential {
  const credential: DropboxCredential = { hosts: hostsOf(config) };
  const appKey = textOf(secrets.appKey) || textOf(config.appKey);
  const appSecret = textOf(secrets.appSecret);
  if (appKey !== '') credential.appKey = appKey;
  if (appSecret !== '') credential.appSecret = appSecret;
  takeToken(credential, 'accessToken', textOf(secrets.accessToken));
  takeToken(credential, 'refreshToken', textOf(secrets.refreshToken));
  const { refreshToken, accessToken } = credential;
  if (refreshToken === undefined && accessToken === undefined) {
    throw new CloudSyncError('CREDENTIAL_MISSING', 'Neither a refresh token nor an access token is given', {
      field: 'refreshToken',
      advice: 'Sign in to Dropbox, or paste the token of an rclone configuration.',
    });
  }
  if (refreshToken !== undefined && appKey === '' && accessToken === undefined) {
    throw new CloudSyncError('CREDENTIAL_MISSING', 'The refresh token is of no use without its app key', {
      field: 'appKey',
      advice: 'Give the key of the app that the token was made for; it stands in the Dropbox App Console.',
    });
  }
  return credential;
}

/**
 * Where the API is.
 * @throws CloudSyncError INVALID_INPUT
 */
export function hostsOf(config: CredentialConfig): DropboxHosts {
  const endpoint = textOf(config.endpoint);
  if (endpoint === '') return PUBLIC_HOSTS;
  let url: URL | undefined;
  try {
    url = new URL(endpoint);
  } catch {
    // Said below.
  }
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new CloudSyncError('INVALID_INPUT', 'The endpoint is no http or https address', {
      field: 'endpoint',
      advice: 'Leave it empty for Dropbox itself.',
    });
  }
  return { api: url.origin, content: url.origin, web: url.origin };
}

/**
 * What a store of this credential is, asking nobody. Tokens don't say whose they are, so all accounts have the same one:
 * of two runs on folders that overlap one waits for the other although they may be in two accounts, which costs time;
 * the reverse would cost files. What is remembered about files can't mix, since revisions are unique.
 */
export function dropboxIdentity(config: CredentialConfig): string {
  return `dropbox://${new URL(hostsOf(config).api).host}`;
}

/** rclone's default app: lib/oauthutil keeps tokens of it without naming the app. */
interface RcloneToken {
  access_token?: unknown;
  refresh_token?: unknown;
  expiry?: unknown;
}

function takeToken(credential: DropboxCredential, field: 'accessToken' | 'refreshToken', text: string): void {
  if (text === '') return;
  if (!text.startsWith('{')) {
    checkToken(text, field);
    credential[field] = text;
    return;
  }
  let token: RcloneToken;
  try {
    token = JSON.parse(text) as RcloneToken;
  } catch (cause) {
    throw invalidToken(field, 'The pasted token is no complete JSON', cause);
  }
  const { access_token: access, refresh_token: refresh, expiry } = token;
  if (typeof access !== 'string' && typeof refresh !== 'string') {
    throw invalidToken(field, 'The pasted JSON holds no token');
  }
  if (typeof refresh === 'string' && refresh !== '') credential.refreshToken = refresh;
  if (typeof access !== 'string' || access === '') return;
  credential.accessToken = access;
  const end = Date.parse(String(expiry));
  // Go's zero time stands for 'never'.
  if (!Number.isNaN(end) && end > 0) credential.accessTokenExpiry = end;
}

function checkToken(token: string, field: string): void {
  if (/^[\x21-\x7e]+$/.test(token)) return;
  throw invalidToken(field, 'The token holds characters that no token has');
}

function invalidToken(field: string, message: string, cause?: unknown): CloudSyncError {
  // Errors of JSON.parse quote the text, which is secret.
  void cause;
  return new CloudSyncError('INVALID_INPUT', message, {
    field,
    advice: 'Paste it whole: the token alone, or the JSON behind "token =" in the rclone configuration.',
  });
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value.trim() : '';
}
