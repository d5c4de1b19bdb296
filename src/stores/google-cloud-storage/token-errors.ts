/**
 * What it means that no access token is given.
 * https://developers.google.com/identity/protocols/oauth2/service-account#error-codes
 */

import { CloudSyncError, type ErrorCode } from '../../errors.js';
import { parseRetryAfter } from '../http.js';
import { GcsAnswerError, withoutSecrets } from './errors.js';

/** An answer of the token endpoint that says no. */
export interface TokenRefusal {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: string;
  account: string;
  host: string;
  now: number;
  /** What has to be added to this machine's clock to get the server's, ms. */
  clockOffsetMs: number;
}

/** Whether the assertion was refused for its times: `Check your iat and exp values in the JWT claim.` */
export function isAboutTime(body: string): boolean {
  return /\biat\b|\bexp\b|reasonable timeframe|short-lived/i.test(body);
}

/** What it means that no token was given. */
export function translateTokenRefusal(refusal: TokenRefusal): CloudSyncError {
  const { status, account, host } = refusal;
  const { error, description } = readTokenError(refusal.body);
  const said = withoutSecrets(description);
  const retryAfterMs = parseRetryAfter(refusal.headers['retry-after'], refusal.now);
  const make = (code: ErrorCode, text: string, advice?: string, retryable?: boolean) =>
    new CloudSyncError(code, text, {
      httpStatus: status,
      cause: new GcsAnswerError(status, error, `HTTP ${status} ${error}${said === '' ? '' : `: ${said}`}`),
      ...(code === 'CLOCK_SKEW' ? {} : { field: 'serviceAccountKey' }),
      ...(advice === undefined ? {} : { advice }),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      ...(retryable === undefined ? {} : { retryable }),
    });

  if (status === 429 || error === 'slow_down') return make('RATE_LIMITED', `${host} asks to go slower`);
  if (status >= 500) return make('SERVER_ERROR', `${host} failed on its side (${status})`);
  if (error === 'invalid_grant' && isAboutTime(said)) {
    const minutes = Math.round(Math.abs(refusal.clockOffsetMs) / 60_000);
    const side = refusal.clockOffsetMs > 0 ? 'behind' : 'ahead of';
    return make(
      'CLOCK_SKEW',
      minutes === 0
        ? "This machine's clock is too far from Google's"
        : `This machine's clock is ${minutes} minutes ${side} Google's`,
      'Set the clock of this machine (NTP).',
    );
  }
  if (/account not found|disabled_client|deleted_client/i.test(`${error} ${said}`)) {
    return make(
      'WRONG_KEY',
      `Google does not know the service account "${account}", or it is disabled`,
      'Check it under "IAM & Admin", "Service accounts" in the Google Cloud console, or create another.',
    );
  }
  if (error === 'invalid_grant') {
    return make(
      'WRONG_SECRET',
      `Google does not accept this key of the service account "${account}"`,
      'The key may have been deleted, disabled or expired: create a new one and paste its JSON.',
    );
  }
  if (error === 'invalid_client' || error === 'unauthorized_client' || status === 401) {
    return make(
      'WRONG_KEY',
      `Google does not accept the service account "${account}"`,
      'Create a new key and paste its JSON.',
    );
  }
  return make(
    'BAD_ANSWER',
    `${host} does not answer as a token service does (${status})`,
    'Check the "token_uri" in the service account key.',
    false,
  );
}

function readTokenError(body: string): { error: string; description: string } {
  try {
    const answer = JSON.parse(body) as { error?: unknown; error_description?: unknown } | null;
    const error = answer?.error;
    const description = answer?.error_description;
    return {
      error: typeof error === 'string' ? error : '',
      description: typeof description === 'string' ? description : '',
    };
  } catch {
    return { error: '', description: '' };
  }
}
