/** A Backblaze credential in use: an S3 account that knows what Backblaze's own interface says of its key. */

import { CloudSyncError, hasCode } from '../../errors.js';
import { DEFAULT_RETRY_POLICY, limitedTo, unlessAborted } from '../http.js';
import { CHECK_ATTEMPTS, caCertificateOf, S3Account, type S3Tuning } from '../s3/account.js';
import type { KeyWords } from '../s3/errors.js';
import { parseEndpoint, type S3Endpoint } from '../s3/identity.js';
import { presetTraits } from '../s3/presets.js';
import { S3Store, type S3StoreOptions } from '../s3/store.js';
import type {
  AccountContext,
  Bucket,
  CredentialCheck,
  CredentialConfig,
  CredentialSecrets,
  KeyAbility,
  Store,
} from '../store.js';
import { type B2Key, b2Identity, readB2Key, readB2Place } from './credential.js';
import { type B2Authorization, B2Native } from './native.js';
import { notesOnKey } from './notes.js';

export interface B2Tuning extends S3Tuning {
  /** Instead of api.backblazeb2.com. */
  nativeOrigin?: string;
}

/** As rclone's b2 backend. */
const NAMES = ['Slash', 'Ctl', 'Del', 'Dot', 'BackSlash', 'InvalidUtf8'];

const KEY_WORDS: KeyWords = {
  key: 'application key',
  keyId: 'application key ID',
  secret: 'application key',
  keyAdvice:
    'Check the application key ID. The master application key, and keys made before May 2020, have no S3-compatible interface: make a new application key for them.',
  secretAdvice:
    'Type the application key again; it is shown only once when it is made, so make a new one if it is lost.',
  keyField: 'applicationKeyId',
  secretField: 'applicationKey',
};

/** Where the service is before that was asked: identity and signing need something. */
const SOMEWHERE: S3Endpoint = parseEndpoint({ endpoint: 'https://s3.backblazeb2.com' });

export class B2Account extends S3Account {
  readonly #native: B2Native | undefined;
  readonly #key: B2Key;
  readonly #isForeign: boolean;

  constructor(
    config: CredentialConfig,
    secrets: CredentialSecrets,
    context: AccountContext,
    tuning: B2Tuning,
  ) {
    const place = readB2Place(config);
    const key = readB2Key(secrets);
    const caCertificate = caCertificateOf(config);
    const origin = tuning.nativeOrigin ?? place.nativeOrigin;
    const retryPolicy = limitedTo(CHECK_ATTEMPTS, { ...DEFAULT_RETRY_POLICY, ...tuning.retryPolicy });
    const native =
      origin === undefined ? undefined : new B2Native({ origin, key, caCertificate, context, retryPolicy });
    super({
      endpoint: place.endpoint ?? SOMEWHERE,
      ...(place.endpoint === undefined && native !== undefined ? { locate: () => locate(native, key) } : {}),
      traits: { ...presetTraits('backblaze-b2'), names: NAMES },
      keyWords: KEY_WORDS,
      credentials: { accessKeyId: key.applicationKeyId, secretAccessKey: key.applicationKey },
      caCertificate,
      context,
      tuning,
      identityOf: (bucket) => b2Identity(config, bucket),
      findConfinement: (bucket, signal) => this.#findConfinement(bucket, signal),
    });
    this.#native = native;
    this.#key = key;
    this.#isForeign = place.isForeign;
  }

  override async check(signal?: AbortSignal): Promise<CredentialCheck> {
    const authorization = await this.#authorize(signal);
    if (authorization === undefined) return await super.check(signal);
    confirmS3Key(authorization, this.#key);
    const check: CredentialCheck = { account: authorization.accountId, notes: notesOnKey(authorization) };
    check.abilities = abilitiesOf(authorization.capabilities);
    const { buckets, prefix } = authorization;
    if (buckets !== undefined || prefix !== '') {
      check.confinedTo = {
        ...(buckets === undefined ? {} : { buckets }),
        ...(prefix === '' ? {} : { prefix }),
      };
    }
    const count = await this.#tryKey(authorization, signal);
    if (count !== undefined) check.bucketCount = count;
    else if (buckets === undefined) {
      check.notes.push("This key may not list buckets, which is no fault: type the bucket's name.");
    }
    check.notes.push(...(await this.#notesOnBuckets(authorization, signal)), ...this.surroundings());
    return check;
  }

  override async *listBuckets(signal?: AbortSignal): AsyncGenerator<Bucket> {
    const authorization = await this.#authorize(signal);
    if (authorization?.buckets === undefined) yield* super.listBuckets(signal);
    else yield* authorization.buckets.map((name) => ({ name }));
  }

  override openStore(bucket: string): S3Store {
    return new B2Store(this.storeOptions(bucket), (error) => this.#explainBucket(bucket, error));
  }

  override async close(): Promise<void> {
    await Promise.all([super.close(), this.#native?.close()]);
  }

  /** Undefined where the endpoint is another server's that knows only S3. */
  async #authorize(signal?: AbortSignal): Promise<B2Authorization | undefined> {
    if (this.#native === undefined) return undefined;
    try {
      return await unlessAborted(this.#native.authorize(), signal);
    } catch (error) {
      if (this.#isForeign && hasCode(error, 'NOT_SUPPORTED')) return undefined;
      if (hasCode(error, 'WRONG_KEY') && this.options.locate === undefined) {
        // Backblaze doesn't say which of the two is wrong, its S3 side does.
        await super.countBuckets(signal).catch((finer: unknown) => {
          if (hasCode(finer, 'WRONG_SECRET')) throw finer;
        });
      }
      throw error;
    }
  }

  /** Uses the key on the S3 side: how many buckets it sees, if it may see all. */
  async #tryKey(authorization: B2Authorization, signal?: AbortSignal): Promise<number | undefined> {
    const { capabilities, buckets } = authorization;
    try {
      if (capabilities.includes('listAllBucketNames')) {
        return (await this.countBuckets(signal)).bucketCount;
      }
      if (buckets === undefined && capabilities.includes('listBuckets')) {
        return (await this.countBuckets(signal)).bucketCount;
      }
      const [bucket] = buckets ?? [];
      if (bucket !== undefined) await super.openStore(bucket).check(signal);
    } catch (error) {
      if (hasCode(error, 'WRONG_KEY')) throw withoutS3();
      // What the bucket has to say against it is said when the bucket is checked.
      if (!hasCode(error, 'NO_PERMISSION', 'BUCKET_NOT_FOUND', 'NOT_SUPPORTED', 'INVALID_INPUT')) throw error;
    }
    return buckets?.length;
  }

  async #notesOnBuckets(authorization: B2Authorization, signal?: AbortSignal): Promise<string[]> {
    if (!authorization.capabilities.includes('listBuckets')) return [];
    // A key for certain buckets may only ask for these.
    const names = authorization.buckets ?? [undefined];
    const old: string[] = [];
    for (const name of names) {
      const found = await unlessAborted(this.#listNatively(name), signal);
      old.push(...found.filter(({ hasS3 }) => !hasS3).map((bucket) => bucket.name));
    }
    if (old.length === 0) return [];
    const more = old.length > 5 ? ` and ${old.length - 5} more` : '';
    return [
      `Made before May 2020 and without S3-compatible interface, so not usable here: ${old.slice(0, 5).join(', ')}${more}. Make a new bucket instead.`,
    ];
  }

  async #findConfinement(bucket: string, signal?: AbortSignal): Promise<string | undefined> {
    let authorization: B2Authorization | undefined;
    try {
      authorization = await this.#authorize(signal);
    } catch (error) {
      // The S3 side alone is enough for a run.
      if (hasCode(error, 'ABORTED', 'WRONG_KEY', 'WRONG_SECRET')) throw error;
      return undefined;
    }
    if (authorization === undefined) return undefined;
    confirmS3Key(authorization, this.#key);
    const { buckets, prefix } = authorization;
    if (buckets !== undefined && !buckets.includes(bucket)) {
      throw new CloudSyncError(
        'NO_PERMISSION',
        `This application key is for ${buckets.length === 0 ? 'a bucket that was deleted' : buckets.join(', ')}, not for "${bucket}"`,
        { field: 'bucket', advice: 'Choose that bucket, or make an application key for this one.' },
      );
    }
    return prefix || undefined;
  }

  async #listNatively(bucket?: string): Promise<{ name: string; hasS3: boolean }[]> {
    return (await this.#native?.listBuckets(bucket)) ?? [];
  }

  /** A bucket without S3-compatible interface is refused in many words; Backblaze's own interface knows. */
  async #explainBucket(bucket: string, error: unknown): Promise<unknown> {
    if (hasCode(error, 'ABORTED', 'WRONG_KEY', 'WRONG_SECRET', 'QUOTA_EXCEEDED')) return error;
    if (error instanceof CloudSyncError && error.retryable) return error;
    const found = await this.#listNatively(bucket).catch(() => []);
    if (!found.some(({ name, hasS3 }) => name === bucket && !hasS3)) return error;
    return new CloudSyncError(
      'NOT_SUPPORTED',
      `The bucket "${bucket}" was made before May 2020 and has no S3-compatible interface`,
      {
        field: 'bucket',
        cause: error,
        advice: 'Make a new bucket at Backblaze and use that; the files of the old one can be copied there.',
      },
    );
  }
}

class B2Store extends S3Store implements Store {
  constructor(
    options: S3StoreOptions,
    private readonly explain: (error: unknown) => Promise<unknown>,
  ) {
    super(options);
  }

  override async check(signal?: AbortSignal): Promise<void> {
    try {
      await super.check(signal);
    } catch (error) {
      throw await this.explain(error);
    }
  }
}

async function locate(native: B2Native, key: B2Key): Promise<S3Endpoint> {
  const authorization = await native.authorize();
  confirmS3Key(authorization, key);
  if (authorization.s3ApiUrl === undefined) throw withoutS3();
  return parseEndpoint({ endpoint: authorization.s3ApiUrl });
}

/**
 * The master key's ID is the account's. Source: https://www.backblaze.com/docs/cloud-storage-s3-compatible-app-keys and
 * https://www.backblaze.com/apidocs/b2-authorize-account.
 */
function confirmS3Key(authorization: B2Authorization, key: B2Key): void {
  if (authorization.accountId !== key.applicationKeyId) return;
  throw new CloudSyncError(
    'WRONG_KEY',
    'This is the master application key, which has no S3-compatible interface',
    {
      field: 'applicationKeyId',
      advice:
        'Make an application key under "Application Keys" at Backblaze, best for one bucket, and use its ID and key.',
    },
  );
}

function withoutS3(): CloudSyncError {
  return new CloudSyncError(
    'WRONG_KEY',
    'The key is valid, but it was made before May 2020 and has no S3-compatible interface',
    {
      field: 'applicationKeyId',
      advice: 'Make a new application key under "Application Keys" at Backblaze and use that.',
    },
  );
}

/**
 * Deleting a name takes writeFiles, deleting a version deleteFiles. Source:
 * https://www.backblaze.com/docs/cloud-storage-s3-compatible-app-keys
 */
function abilitiesOf(capabilities: readonly string[]): KeyAbility[] {
  const has = (capability: string) => capabilities.includes(capability);
  const abilities: KeyAbility[] = [];
  if (has('listFiles')) abilities.push('list');
  if (has('readFiles')) abilities.push('read');
  if (has('writeFiles')) abilities.push('write');
  if (has('writeFiles') && has('deleteFiles')) abilities.push('delete');
  if (has('listFiles') && has('deleteFiles')) abilities.push('versions');
  return abilities;
}
