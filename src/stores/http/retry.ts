/** Asking again: when, how often, and how long to wait in between. */

import { setTimeout as delay } from 'node:timers/promises';
import { abortedError, asCloudSyncError, CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import type { AccountContext } from '../store.js';

export interface RetryPolicy {
  /** How often a request is sent at most, the first time included. */
  attempts: number;
  /** Wait before the second attempt, doubled each time. ms. */
  baseDelayMs: number;
  maxDelayMs: number;
  /** A provider that asks for a longer wait than this gets no further request. ms. */
  maxRetryAfterMs: number;
  /**
   * So long at least is a server waited for that has answered before and answers nobody now, however many attempts that
   * takes: a router that starts again must not end a backup. ms; default 0.
   */
  outageMs?: number;
}

export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  attempts: 8,
  baseDelayMs: 200,
  maxDelayMs: 20_000,
  maxRetryAfterMs: 300_000,
  outageMs: 180_000,
};

/** The policy of an account: as `context` has patience, with what a test has tuned. */
export function retryPolicyOf(
  { patience }: Pick<AccountContext, 'patience'>,
  tuning: Partial<RetryPolicy> = {},
): RetryPolicy {
  return { ...limitedTo(tuning.attempts ?? patience?.attempts, DEFAULT_RETRY_POLICY), ...tuning };
}

/** `policy` with no more than so many attempts, and no patience beyond them; undefined: as it is. */
export function limitedTo(attempts: number | undefined, policy: RetryPolicy): RetryPolicy {
  if (attempts === undefined) return policy;
  return { ...policy, attempts: Math.min(attempts, policy.attempts), outageMs: 0 };
}

export interface RetryOptions {
  signal?: AbortSignal;
  onRetry?: (error: CloudSyncError, attempt: number) => void;
  /**
   * When the server answered any request last, by `performance.now()`. One that never did (undefined) may not exist; one
   * that answers others is not out of reach.
   */
  answeredAt?: () => number | undefined;
}

/**
 * Calls `attempt` until it succeeds, fails with an error that isn't `retryable`, or has been called as often as the
 * policy says and no outage is to be waited for. Waits grow exponentially, half of each at random so that many clients
 * don't come back together, and are never shorter than what the provider asks for.
 *
 * @param attempt Gets the number of the attempt, from 1.
 */
export async function withRetries<T>(
  attempt: (number: number) => Promise<T>,
  policy: RetryPolicy,
  options: RetryOptions = {},
): Promise<T> {
  let failingSince: number | undefined;
  let failedBefore = 0;
  for (let number = 1; ; number += 1) {
    throwIfAborted(options.signal);
    try {
      return await attempt(number);
    } catch (thrown) {
      const error = asCloudSyncError(thrown);
      const asked = error.retryAfterMs ?? 0;
      if (!error.retryable || asked > policy.maxRetryAfterMs) throw error;
      const failedAt = performance.now();
      failingSince ??= failedAt;
      if (number >= policy.attempts) {
        const { outageMs = 0 } = policy;
        if (outageMs === 0 || !isOutage(error, failedBefore, options.answeredAt?.())) throw error;
        if (failedAt - failingSince >= outageMs) throw outOfReach(error, outageMs);
      }
      failedBefore = failedAt;
      options.onRetry?.(error, number);
      await pause(Math.max(asked, backOff(error, number, policy)), options.signal);
    }
  }
}

/** Whether the server was there, and has answered nobody since the attempt before failed. */
function isOutage(error: CloudSyncError, failedBefore: number, answeredAt: number | undefined): boolean {
  const isOfNetwork = hasCode(error, 'ENDPOINT_UNREACHABLE', 'CONNECTION_LOST', 'TIMEOUT');
  return isOfNetwork && answeredAt !== undefined && answeredAt < failedBefore;
}

/** No other request would fare better, so that the code is the one that says so. */
function outOfReach(error: CloudSyncError, outageMs: number): CloudSyncError {
  const minutes = Math.max(1, Math.round(outageMs / 60_000));
  return new CloudSyncError(
    'ENDPOINT_UNREACHABLE',
    `${error.message}, and no answer came for ${minutes} min`,
    {
      cause: error,
      path: error.path,
      advice: 'Check the network and the server; the next run goes on where this one was.',
    },
  );
}

/** Waits `milliseconds`; ABORTED as soon as `signal` fires. */
export async function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch {
    throw abortedError();
  }
}

/** What `promise` gives, or ABORTED as soon as `signal` fires; the promise itself goes on. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(abortedError());
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function backOff(error: CloudSyncError, attempt: number, policy: RetryPolicy): number {
  const base = hasCode(error, 'RATE_LIMITED') ? policy.baseDelayMs * 2 : policy.baseDelayMs;
  const ceiling = Math.min(policy.maxDelayMs, base * 2 ** (attempt - 1));
  return ceiling / 2 + (Math.random() * ceiling) / 2;
}

/**
 * The wait a `Retry-After` header asks for, in ms: seconds or an HTTP date (RFC 9110, 10.2.3).
 *
 * @param now ms since the epoch by the server's clock.
 */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\s*\d+(\.\d+)?\s*$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
