/** Amazon S3 and everything that speaks like it. */

import { CloudSyncError, hasCode } from '../errors.js';
import { DEFAULT_RETRY_POLICY, type RetryPolicy } from './http.js';
import type { CredentialConfig, CredentialSecrets } from './registry.js';
import { xmlBody } from './s3/bodies.js';
import { S3Connection } from './s3/connection.js';
import { parseEndpoint, s3Identity } from './s3/identity.js';
import { encodeQuery, type SigningCredentials } from './s3/signature.js';
import { S3Store } from './s3/store.js';
import { MAX_PARTS } from './s3/upload.js';
import { elements, elementText } from './s3/xml.js';
import type { Account, AccountContext, Bucket, CredentialCheck, Store } from './store.js';

/** What tests make smaller so that they don't have to wait. */
export interface S3Tuning {
  retryPolicy?: Partial<RetryPolicy>;
  silenceMs?: number;
  copyLimits?: { single: number; part: number };
}

/** Somebody waits for the answer of a check: less patience than in a run at night. */
const CHECK_ATTEMPTS = 2;

/** The account `secrets` lead to. Sends no request yet; INVALID_INPUT or CREDENTIAL_MISSING where that can't work. */
export function openS3Account(
  config: CredentialConfig,
  secrets: CredentialSecrets,
  context: AccountContext,
  tuning: S3Tuning = {},
): Account {
  return new S3Account(config, credentialsFrom(secrets), context, tuning);
}

class S3Account implements Account {
  readonly identity: string;
  readonly #connection: S3Connection;

  constructor(
    private readonly config: CredentialConfig,
    credentials: SigningCredentials,
    private readonly context: AccountContext,
    private readonly tuning: S3Tuning,
  ) {
    this.identity = s3Identity(config, '');
    const { caCertificate } = config;
    this.#connection = new S3Connection({
      endpoint: parseEndpoint(config),
      credentials,
      context,
      retryPolicy: { ...DEFAULT_RETRY_POLICY, ...tuning.retryPolicy },
      ...(typeof caCertificate === 'string' && caCertificate.trim() !== '' ? { caCertificate } : {}),
      ...(tuning.silenceMs === undefined ? {} : { silenceMs: tuning.silenceMs }),
    });
  }

  async check(signal?: AbortSignal): Promise<CredentialCheck> {
    const notes: string[] = [];
    try {
      const { buckets, owner } = await this.#askBuckets(undefined, signal, CHECK_ATTEMPTS);
      return { bucketCount: buckets.length, notes, ...(owner === undefined ? {} : { account: owner }) };
    } catch (error) {
      if (!hasCode(error, 'NO_PERMISSION')) throw error;
      notes.push("This key may not list buckets, which is no fault: type the bucket's name.");
      return { notes };
    }
  }

  async *listBuckets(signal?: AbortSignal): AsyncGenerator<Bucket> {
    let token: string | undefined;
    do {
      const page = await this.#askBuckets(token, signal, CHECK_ATTEMPTS);
      yield* page.buckets;
      token = page.next;
    } while (token !== undefined);
  }

  async createBucket(name: string, options: { region?: string; signal?: AbortSignal } = {}): Promise<void> {
    const first =
      options.region ?? (await this.#connection.regionOf(this.#connection.endpoint.isAmazon ? '' : name));
    try {
      await this.#createBucketIn(name, first, options.signal);
    } catch (error) {
      if (!hasCode(error, 'WRONG_REGION') || options.region !== undefined) throw error;
      // The refusal may have named the server's region; and some servers know no region by the name one signs for.
      const learned = await this.#connection.regionOf(name);
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
    await this.#connection.send({
      kind: 'PUT',
      method: 'PUT',
      action: 'create buckets',
      bucket: name,
      ...(constraint === undefined ? {} : { body: constraint }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  openStore(bucket: string): Store {
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
    return new S3Store({
      connection: this.#connection,
      bucket,
      identity: s3Identity(this.config, bucket),
      options: this.context.options ?? {},
      maxUploadParts: maxUploadParts(this.config),
      ...(this.tuning.copyLimits === undefined ? {} : { copyLimits: this.tuning.copyLimits }),
    });
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async #askBuckets(
    token: string | undefined,
    signal: AbortSignal | undefined,
    attempts: number,
  ): Promise<{ buckets: Bucket[]; owner?: string; next?: string }> {
    const response = await this.#connection.send({
      kind: 'LIST',
      method: 'GET',
      action: 'list buckets',
      query: encodeQuery({ 'continuation-token': token }),
      attempts,
      ...(signal === undefined ? {} : { signal }),
    });
    const xml = response.bytes.toString();
    if (!xml.includes('<ListAllMyBucketsResult')) {
      throw new CloudSyncError('BAD_ANSWER', 'The endpoint does not answer as an S3 server does', {
        retryable: false,
        advice: 'Check that the endpoint is the S3 address of the server, not its web page.',
      });
    }
    const buckets = [...elements(xml, 'Bucket')].map(bucketFrom);
    const owner = elementText(xml, 'DisplayName') || elementText(xml, 'ID');
    const next = elementText(xml, 'ContinuationToken');
    return { buckets, ...(owner ? { owner } : {}), ...(next ? { next } : {}) };
  }
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

/** Pasted keys often bring a space or a line end along, which no key has. */
function credentialsFrom(secrets: CredentialSecrets): SigningCredentials {
  const read = (name: string) => secrets[name]?.trim() ?? '';
  for (const [name, label] of [
    ['accessKeyId', 'access key ID'],
    ['secretAccessKey', 'secret access key'],
  ] as const) {
    if (read(name) !== '') continue;
    throw new CloudSyncError('CREDENTIAL_MISSING', `The ${label} is missing`, {
      field: name,
      advice: 'Fill it in in the credential.',
    });
  }
  const sessionToken = read('sessionToken');
  return {
    accessKeyId: read('accessKeyId'),
    secretAccessKey: read('secretAccessKey'),
    ...(sessionToken === '' ? {} : { sessionToken }),
  };
}

function maxUploadParts(config: CredentialConfig): number {
  const value = Number(config.maxUploadParts);
  return Number.isInteger(value) && value >= 1 && value <= MAX_PARTS ? value : MAX_PARTS;
}
