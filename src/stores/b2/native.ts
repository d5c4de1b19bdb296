/**
 * The little that is asked of Backblaze's own interface: who the key is and what it may do, and which buckets have no
 * S3-compatible interface.
 *
 * Sources: https://www.backblaze.com/apidocs/b2-authorize-account, https://www.backblaze.com/apidocs/b2-list-buckets,
 * https://www.backblaze.com/docs/cloud-storage-native-api-error-handling-and-status-codes
 */

import { CloudSyncError, hasCode } from '../../errors.js';
import { HttpClient, type HttpResponse, parseRetryAfter, type RetryPolicy, withRetries } from '../http.js';
import type { AccountContext } from '../store.js';
import type { B2Key } from './credential.js';

/** What `b2_authorize_account` says, whichever version of it answered. */
export interface B2Authorization {
  accountId: string;
  /** A secret, good for 24 hours. */
  token: string;
  apiUrl: string;
  /** Undefined: this account has no S3-compatible interface. */
  s3ApiUrl: string | undefined;
  capabilities: readonly string[];
  /** Names of the buckets the key is for; undefined: all. */
  buckets: readonly string[] | undefined;
  /** The key is for buckets that were deleted meanwhile. */
  hasLostBuckets: boolean;
  /** Names the key reaches begin with this; '': all. */
  prefix: string;
  /** ms since the epoch. */
  expiresAt: number | undefined;
}

/** What one version of the answer has where; all of it may be missing. */
interface StorageAnswer {
  apiUrl?: string;
  s3ApiUrl?: string;
  bucketId?: string | null;
  bucketName?: string | null;
  namePrefix?: string | null;
  capabilities?: string[];
  allowed?: {
    bucketId?: string | null;
    bucketName?: string | null;
    buckets?: { id: string; name: string | null }[] | null;
    namePrefix?: string | null;
    capabilities?: string[];
  };
}

interface AuthorizeAnswer extends StorageAnswer {
  accountId?: string;
  authorizationToken?: string;
  applicationKeyExpirationTimestamp?: number | null;
  apiInfo?: { storageApi?: StorageAnswer };
}

export interface B2NativeOptions {
  origin: string;
  key: B2Key;
  caCertificate: string;
  context: AccountContext;
  retryPolicy: RetryPolicy;
}

export class B2Native {
  readonly #http: HttpClient;
  #authorization: Promise<B2Authorization> | undefined;

  constructor(private readonly options: B2NativeOptions) {
    this.#http = new HttpClient({
      ...(options.caCertificate === '' ? {} : { caCertificate: options.caCertificate }),
      patience: options.context.patience,
    });
  }

  /**
   * Asked once. Throws WRONG_KEY where key and secret don't go together, NOT_SUPPORTED where this server has no such
   * interface.
   */
  authorize(): Promise<B2Authorization> {
    this.#authorization ??= this.#authorize().catch((error: unknown) => {
      this.#authorization = undefined;
      throw error;
    });
    return this.#authorization;
  }

  /** The buckets the key may see and whether each has an S3-compatible interface; those made before May 2020 have none. */
  async listBuckets(name?: string): Promise<{ name: string; hasS3: boolean }[]> {
    const authorization = await this.authorize();
    const answer = (await this.#ask('POST', authorization.apiUrl, '/b2api/v3/b2_list_buckets', {
      authorization: authorization.token,
      body: { accountId: authorization.accountId, ...(name === undefined ? {} : { bucketName: name }) },
    })) as { buckets?: { bucketName: string; options?: string[] }[] };
    const buckets: unknown = answer.buckets ?? [];
    if (!Array.isArray(buckets) || !buckets.every((bucket) => isText(bucket?.bucketName))) {
      throw senseless('The list of buckets that Backblaze answers makes no sense');
    }
    return (answer.buckets ?? []).map(({ bucketName, options }) => ({
      name: bucketName,
      hasS3: Array.isArray(options) && options.includes('s3'),
    }));
  }

  close(): Promise<void> {
    return this.#http.close();
  }

  async #authorize(): Promise<B2Authorization> {
    const { applicationKeyId, applicationKey } = this.options.key;
    const pair = Buffer.from(`${applicationKeyId}:${applicationKey}`).toString('base64');
    const ask = (version: string) =>
      this.#ask('GET', this.options.origin, `/b2api/${version}/b2_authorize_account`, {
        authorization: `Basic ${pair}`,
      });
    try {
      return readAuthorization((await ask('v3')) as AuthorizeAnswer);
    } catch (error) {
      // A key for several buckets can't be described by version 3, which says `unsupported`.
      if (!hasCode(error, 'NOT_SUPPORTED') || error.httpStatus !== 401) throw error;
      return readAuthorization((await ask('v4')) as AuthorizeAnswer);
    }
  }

  async #ask(
    method: 'GET' | 'POST',
    origin: string,
    path: string,
    request: { authorization: string; body?: unknown },
  ): Promise<unknown> {
    const { context, retryPolicy } = this.options;
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    return await withRetries(
      async () => {
        context.onRequest?.(method);
        const response = await this.#http.send({
          method,
          origin,
          path,
          headers: [
            ...['host', new URL(origin).host, 'authorization', request.authorization],
            ...['accept', 'application/json', 'user-agent', 'node-red-cloud-sync'],
            ...(body === undefined ? [] : ['content-type', 'application/json']),
          ],
          ...(body === undefined ? {} : { body }),
        });
        return readAnswer(response);
      },
      retryPolicy,
      context.onRetry === undefined ? {} : { onRetry: context.onRetry },
    );
  }
}

function readAnswer(response: HttpResponse): unknown {
  const { status, headers } = response;
  let answer: unknown;
  try {
    answer = JSON.parse(response.bytes.toString());
  } catch {
    answer = undefined;
  }
  if (status === 200 && typeof answer === 'object' && answer !== null) return answer;
  const said = (answer ?? {}) as { code?: unknown; message?: unknown };
  const code = isText(said.code) ? said.code : '';
  const message = isText(said.message) ? said.message : '';
  const cause = new Error(`HTTP ${status} ${code}: ${message}`.slice(0, 500));
  const retryAfterMs = parseRetryAfter(headers['retry-after'], Date.now());
  const details = { httpStatus: status, cause, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  if (status === 429 || status === 503) {
    throw new CloudSyncError('RATE_LIMITED', 'Backblaze asks to send fewer requests', details);
  }
  if (status >= 500 || status === 408) {
    throw new CloudSyncError('SERVER_ERROR', `Backblaze failed (${code || status})`, details);
  }
  if (answer === undefined) {
    throw new CloudSyncError('NOT_SUPPORTED', "This server does not have Backblaze's own interface", details);
  }
  throw refusal(status, code, message, details);
}

function refusal(
  status: number,
  code: string,
  message: string,
  details: { httpStatus: number; cause: Error },
): CloudSyncError {
  if (code.endsWith('cap_exceeded')) {
    return new CloudSyncError(
      'QUOTA_EXCEEDED',
      `A cap that was set for this Backblaze account is used up: ${message}`,
      {
        ...details,
        advice: 'Raise the cap under "Caps & Alerts" at Backblaze; caps begin anew at midnight GMT.',
      },
    );
  }
  if (status === 401 && code === 'unsupported') {
    return new CloudSyncError('NOT_SUPPORTED', `Backblaze does not let this key in: ${message}`, details);
  }
  if (status === 401) {
    return new CloudSyncError(
      'WRONG_KEY',
      'Backblaze does not know this application key ID, or the application key does not fit it',
      {
        ...details,
        field: 'applicationKeyId',
        advice:
          'Check both; the application key is shown only once when it is made, so make a new one if it is lost.',
      },
    );
  }
  return new CloudSyncError('BAD_ANSWER', `Backblaze refuses the question (${status} ${code}: ${message})`, {
    ...details,
    retryable: false,
  });
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

/** ms since the epoch that can be written as a date. */
function isTime(value: unknown): boolean {
  return typeof value === 'number' && !Number.isNaN(new Date(value).getTime());
}

function senseless(message: string): CloudSyncError {
  return new CloudSyncError('BAD_ANSWER', message, {
    retryable: false,
    advice: 'Check the endpoint; leave it empty for Backblaze itself.',
  });
}

/** Whether what was read is what it should be: JSON holds anything. */
function isWellFormed(authorization: B2Authorization): boolean {
  const { accountId, token, apiUrl, s3ApiUrl, capabilities, buckets, prefix, expiresAt } = authorization;
  return (
    [accountId, token, apiUrl, s3ApiUrl ?? '', prefix].every(isText) &&
    /^[\x21-\x7e]+$/.test(token) &&
    URL.canParse(apiUrl) &&
    [capabilities, buckets ?? []].every((list) => Array.isArray(list) && list.every(isText)) &&
    (expiresAt === undefined || isTime(expiresAt))
  );
}

function readAuthorization(answer: AuthorizeAnswer): B2Authorization {
  const authorization = authorizationOf(answer);
  if (isWellFormed(authorization)) return authorization;
  throw senseless('Backblaze lets this key in with an answer that makes no sense');
}

function authorizationOf(answer: AuthorizeAnswer): B2Authorization {
  const storage = answer.apiInfo?.storageApi ?? answer;
  const allowed = storage.allowed ?? storage;
  const { accountId, authorizationToken } = answer;
  if (accountId === undefined || authorizationToken === undefined || storage.apiUrl === undefined) {
    throw new CloudSyncError('BAD_ANSWER', 'Backblaze lets this key in without saying where to go', {
      retryable: false,
      advice: 'Check that the key is one for B2 Cloud Storage.',
    });
  }
  if (typeof allowed !== 'object') throw senseless('Backblaze does not say what the key is for');
  const several = 'buckets' in allowed ? allowed.buckets : undefined;
  const one = allowed.bucketId ? [allowed.bucketName ?? null] : undefined;
  if (several && !Array.isArray(several))
    throw senseless('Backblaze does not say which buckets the key is for');
  const names = several ? several.map((bucket) => bucket?.name) : one;
  const found = names?.filter((name) => name !== null);
  return {
    accountId,
    token: authorizationToken,
    apiUrl: storage.apiUrl,
    s3ApiUrl: storage.s3ApiUrl,
    capabilities: allowed.capabilities ?? [],
    buckets: found,
    hasLostBuckets: names !== undefined && found!.length < names.length,
    prefix: allowed.namePrefix ?? '',
    expiresAt: answer.applicationKeyExpirationTimestamp ?? undefined,
  };
}
