/** An S3 credential in use: asks for buckets, makes them, opens them. What providers with an S3 interface share. */

import { CloudSyncError, hasCode } from '../../errors.js';
import { type RetryPolicy, retryPolicyOf } from '../http.js';
import type { Account, AccountContext, Bucket, CredentialCheck, CredentialConfig } from '../store.js';
import { xmlBody } from './bodies.js';
import { S3Connection } from './connection.js';
import type { KeyWords } from './errors.js';
import type { S3Endpoint } from './identity.js';
import { encodeQuery, type SigningCredentials } from './signature.js';
import { S3Store, type S3StoreOptions } from './store.js';
import type { S3Traits } from './traits.js';
import { elements, elementText, rootName } from './xml.js';

/** What tests make smaller so that they don't have to wait. */
export interface S3Tuning {
  retryPolicy?: Partial<RetryPolicy>;
  silenceMs?: number;
  copyLimits?: { single: number; part: number };
}

export interface S3AccountOptions {
  endpoint: S3Endpoint;
  /** Where the service is, if that has to be asked. */
  locate?: () => Promise<S3Endpoint>;
  traits: S3Traits;
  keyWords?: KeyWords;
  credentials: SigningCredentials;
  /** PEM; '' for none. */
  caCertificate: string;
  context: AccountContext;
  tuning: S3Tuning;
  /** Identity of a bucket; of the account for ''. */
  identityOf(bucket: string): string;
  /** The prefix that the key is confined to in `bucket`. */
  findConfinement?: (bucket: string, signal?: AbortSignal) => Promise<string | undefined>;
}

/** Somebody waits for the answer of a check: less patience than in a run at night. */
export const CHECK_ATTEMPTS = 2;
const MINUTE_MS = 60_000;

export class S3Account implements Account {
  readonly identity: string;
  readonly connection: S3Connection;

  constructor(protected readonly options: S3AccountOptions) {
    const { tuning, caCertificate, locate, keyWords } = options;
    this.identity = options.identityOf('');
    this.connection = new S3Connection({
      endpoint: options.endpoint,
      credentials: options.credentials,
      context: options.context,
      traits: options.traits,
      retryPolicy: retryPolicyOf(options.context, tuning.retryPolicy),
      ...(locate === undefined ? {} : { locate }),
      ...(keyWords === undefined ? {} : { keyWords }),
      ...(caCertificate === '' ? {} : { caCertificate }),
      ...(tuning.silenceMs === undefined ? {} : { silenceMs: tuning.silenceMs }),
    });
  }

  async check(signal?: AbortSignal): Promise<CredentialCheck> {
    const check: CredentialCheck = { notes: [] };
    try {
      Object.assign(check, await this.countBuckets(signal));
    } catch (error) {
      if (!hasCode(error, 'NO_PERMISSION')) throw this.#explain(error);
      check.notes.push("This key may not list buckets, which is no fault: type the bucket's name.");
    }
    check.notes.push(...this.surroundings());
    return check;
  }

  /** Who owns the buckets, and how many there are. */
  async countBuckets(signal?: AbortSignal): Promise<Pick<CredentialCheck, 'account' | 'bucketCount'>> {
    let count = 0;
    let owner: string | undefined;
    let token: string | undefined;
    do {
      const page = await this.#askBuckets(token, signal);
      count += page.buckets.length;
      owner ??= page.owner;
      token = page.next;
    } while (token !== undefined);
    return { bucketCount: count, ...(owner === undefined ? {} : { account: owner }) };
  }

  /** What there is to say about clock and network. */
  surroundings(): string[] {
    const notes: string[] = [];
    const { clockOffsetMs, endpoint } = this.connection;
    if (Math.abs(clockOffsetMs) >= MINUTE_MS) {
      const minutes = Math.round(Math.abs(clockOffsetMs) / MINUTE_MS);
      const side = clockOffsetMs > 0 ? 'behind' : 'ahead of';
      notes.push(
        `The clock of this machine is ${minutes} minutes ${side} the server's; requests are signed with the server's.`,
      );
    }
    if (endpoint.protocol === 'http:' && !/^(localhost|127\.|\[::1\])/.test(endpoint.host ?? '')) {
      notes.push('The endpoint is http://: names and contents cross the network unencrypted.');
    }
    return notes;
  }

  async *listBuckets(signal?: AbortSignal): AsyncGenerator<Bucket> {
    let token: string | undefined;
    do {
      const page = await this.#askBuckets(token, signal);
      yield* page.buckets;
      token = page.next;
    } while (token !== undefined);
  }

  async createBucket(name: string, options: { region?: string; signal?: AbortSignal } = {}): Promise<void> {
    await this.connection.ready(options.signal);
    const { endpoint } = this.connection;
    const first = options.region ?? (await this.connection.regionOf(endpoint.isAmazon ? '' : name));
    try {
      await this.#createBucketIn(name, first, options.signal);
    } catch (error) {
      if (!hasCode(error, 'WRONG_REGION') || options.region !== undefined) throw error;
      // The refusal may have named the server's region; and some servers know no region by the name one signs for.
      const learned = await this.connection.regionOf(name);
      await this.#createBucketIn(name, learned === first ? undefined : learned, options.signal);
    }
  }

  async #createBucketIn(
    name: string,
    region: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const constraint =
      region === undefined || region === 'us-east-1'
        ? undefined
        : xmlBody(
            `<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>${region}</LocationConstraint></CreateBucketConfiguration>`,
          );
    await this.connection.send({
      kind: 'PUT',
      method: 'PUT',
      action: 'create buckets',
      bucket: name,
      ...(constraint === undefined ? {} : { body: constraint }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  openStore(bucket: string): S3Store {
    return new S3Store(this.storeOptions(bucket));
  }

  /** What a store of `bucket` is made of; INVALID_INPUT where that is no bucket's name. */
  protected storeOptions(bucket: string): S3StoreOptions {
    if (bucket === '' || bucket.includes('/')) {
      throw new CloudSyncError(
        'INVALID_INPUT',
        bucket === '' ? 'The bucket is missing' : `"${bucket}" can't be the name of a bucket`,
        {
          field: 'bucket',
          advice: "Type the bucket's name alone; what comes after it is the folder.",
        },
      );
    }
    const { findConfinement, tuning, context } = this.options;
    return {
      connection: this.connection,
      bucket,
      identity: this.options.identityOf(bucket),
      options: context.options ?? {},
      ...(findConfinement === undefined
        ? {}
        : { findConfinement: (signal?: AbortSignal) => findConfinement(bucket, signal) }),
      ...(tuning.copyLimits === undefined ? {} : { copyLimits: tuning.copyLimits }),
    };
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  async #askBuckets(
    token: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<{ buckets: Bucket[]; owner?: string; next?: string }> {
    const response = await this.connection.send({
      kind: 'LIST',
      method: 'GET',
      action: 'list buckets',
      query: encodeQuery({ 'continuation-token': token }),
      attempts: CHECK_ATTEMPTS,
      ...(signal === undefined ? {} : { signal }),
    });
    const xml = response.bytes.toString();
    if (rootName(xml) !== 'ListAllMyBucketsResult') throw this.#notBuckets(xml);
    const buckets = [...elements(xml, 'Bucket')].map(bucketFrom);
    const owner = elementText(xml, 'DisplayName') || elementText(xml, 'ID');
    const next = elementText(xml, 'ContinuationToken');
    if (buckets.some(({ name }) => name === '') || (next && next === token)) {
      throw new CloudSyncError('BAD_ANSWER', 'The list of buckets that the server answers makes no sense');
    }
    return { buckets, ...(owner ? { owner } : {}), ...(next ? { next } : {}) };
  }

  #notBuckets(answer: string): CloudSyncError {
    if (rootName(answer) === 'ListBucketResult') {
      return new CloudSyncError('INVALID_INPUT', "The endpoint names a bucket, not the server's address", {
        field: 'endpoint',
        advice:
          "Leave the bucket's name out of the endpoint, in its path and in its host name; it belongs into the task.",
      });
    }
    return new CloudSyncError('BAD_ANSWER', 'The endpoint does not answer as an S3 server does', {
      retryable: false,
      field: 'endpoint',
      advice: 'Check that the endpoint is the S3 address of the server, not its web page.',
    });
  }

  /** Adds what is probably wrong where the answer alone would mislead. */
  #explain(error: unknown): unknown {
    const { endpoint } = this.connection;
    const { accessKeyId, sessionToken } = this.options.credentials;
    if (hasCode(error, 'WRONG_KEY') && /^ASIA/.test(accessKeyId) && sessionToken === undefined) {
      return withAdvice(
        error,
        'sessionToken',
        'This is a temporary key: it only works together with its session token.',
      );
    }
    const hasPath = endpoint.basePath !== '';
    if (hasPath && hasCode(error, 'BUCKET_NOT_FOUND', 'NOT_FOUND', 'NOT_SUPPORTED', 'BAD_ANSWER')) {
      return withAdvice(
        error,
        'endpoint',
        `There is no S3 server at the path ${endpoint.basePath} of the endpoint: leave the path out, unless a proxy puts the server there.`,
      );
    }
    if (hasCode(error, 'BUCKET_NOT_FOUND')) {
      return new CloudSyncError(
        'INVALID_INPUT',
        'The server takes the endpoint for the address of a bucket',
        {
          field: 'endpoint',
          advice: "Leave the bucket's name out of the endpoint; it belongs into the task.",
          cause: error,
        },
      );
    }
    if (hasPath && hasCode(error, 'WRONG_SECRET')) {
      return withAdvice(
        error,
        'endpoint',
        `${error.advice ?? ''} Or a proxy takes the path ${endpoint.basePath} off on the way, which makes every signature wrong: then the server needs an address of its own.`.trim(),
      );
    }
    return error;
  }
}

function withAdvice(error: CloudSyncError, field: string, advice: string): CloudSyncError {
  return new CloudSyncError(error.code, error.message, {
    field,
    advice,
    cause: error,
    retryable: error.retryable,
    ...(error.httpStatus === undefined ? {} : { httpStatus: error.httpStatus }),
  });
}

function bucketFrom(xml: string): Bucket {
  const createdAt = Date.parse(elementText(xml, 'CreationDate') ?? '');
  const region = elementText(xml, 'BucketRegion');
  return {
    name: elementText(xml, 'Name') ?? '',
    ...(Number.isNaN(createdAt) ? {} : { createdAt }),
    ...(region ? { region } : {}),
  };
}

/** The PEM of a credential, '' where there is none. */
export function caCertificateOf(config: CredentialConfig): string {
  return typeof config.caCertificate === 'string' ? config.caCertificate.trim() : '';
}
