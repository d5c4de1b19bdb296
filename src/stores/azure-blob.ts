/**
 * Azure Blob Storage, with an account key or a SAS token. What the rooms in `azure-blob/` do:
 * `credential` (address and signature), `transport` (requests), `errors` (what Azure's words mean), `store` (a container),
 * `listing`, `looking`, `reading`, `upload`, `changing`, `copying` and `deleting`.
 *
 * Times are kept as rclone's azureblob backend keeps them: metadata `mtime`, RFC 3339 in UTC with nine decimals, which a
 * listing carries. So does the Content-MD5; see `objectOf` for what it proves.
 */

import { CloudSyncError, hasCode, throwIfAborted } from '../errors.js';
import {
  type AzureCredential,
  abilitiesOf,
  identityOf,
  readCredential,
  sasExpiry,
} from './azure-blob/credential.js';
import type { AccountTraits } from './azure-blob/looking.js';
import { ReadAheadBudget } from './azure-blob/reading.js';
import { AzureBlobStore } from './azure-blob/store.js';
import { AzureTransport, type TransportTuning } from './azure-blob/transport.js';
import type {
  Account,
  AccountContext,
  Bucket,
  CredentialCheck,
  CredentialConfig,
  CredentialSecrets,
  Store,
} from './store.js';

const DAY_MS = 24 * 3600_000;
const MINUTE_MS = 60_000;
/** While a person waits for the answer. */
const CHECK_ATTEMPTS = 2;

/**
 * Opens an account; sends no request yet.
 * @throws CloudSyncError INVALID_INPUT, CREDENTIAL_MISSING, WRONG_SECRET for what can be seen to be wrong
 */
export function openAzureBlobAccount(
  config: CredentialConfig,
  secrets: CredentialSecrets,
  context: AccountContext,
  tuning: TransportTuning = {},
): Account {
  const caCertificate = typeof config.caCertificate === 'string' ? config.caCertificate.trim() : '';
  return new AzureBlobAccount(readCredential(config, secrets), context, caCertificate, tuning);
}

class AzureBlobAccount implements Account {
  readonly identity: string;
  readonly #credential: AzureCredential;
  readonly #context: AccountContext;
  readonly #transport: AzureTransport;
  readonly #budget = new ReadAheadBudget();
  readonly #traits: AccountTraits = {};

  constructor(
    credential: AzureCredential,
    context: AccountContext,
    caCertificate: string,
    tuning: TransportTuning,
  ) {
    this.#credential = credential;
    this.#context = context;
    this.#transport = new AzureTransport(credential, context, caCertificate, tuning);
    this.identity = identityOf(credential.host, '');
  }

  async check(signal?: AbortSignal): Promise<CredentialCheck> {
    throwIfAborted(signal);
    const check: CredentialCheck = { account: this.#credential.accountName, notes: [] };
    try {
      check.bucketCount = await this.#countContainers(signal);
    } catch (error) {
      const { sas } = this.#credential;
      const isForOneContainer = sas?.has('sr') === true;
      // A token for one container fits no other address, and Azure says so as if it were wrong.
      const mayBeRight =
        (sas !== undefined && hasCode(error, 'NO_PERMISSION')) ||
        (isForOneContainer && hasCode(error, 'WRONG_SECRET'));
      if (!mayBeRight) throw error;
      check.notes.push(
        isForOneContainer
          ? 'This SAS token is for one container: type its name, it is checked then.'
          : 'This credential may not list containers: type the name of the container, it is checked then.',
      );
    }
    const abilities = abilitiesOf(this.#credential);
    if (abilities.length > 0) check.abilities = abilities;
    this.#noteExpiry(check);
    this.#noteClock(check);
    return check;
  }

  async *listBuckets(signal?: AbortSignal): AsyncGenerator<Bucket> {
    throwIfAborted(signal);
    for await (const names of this.#containers(signal)) yield* names.map((name) => ({ name }));
  }

  async createBucket(name: string, options: { region?: string; signal?: AbortSignal } = {}): Promise<void> {
    throwIfAborted(options.signal);
    if (!/^(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*$/.test(name)) {
      throw new CloudSyncError('INVALID_NAME', `A container can't be named "${name}"`, {
        field: 'bucket',
        advice: 'Use 3 to 63 small letters, digits and single hyphens.',
      });
    }
    await this.#transport.send({
      kind: 'PUT',
      method: 'PUT',
      path: `/${name}`,
      query: { restype: 'container' },
      bucket: name,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  }

  openStore(bucket: string): Store {
    if (!/^(\$web|\$root|[a-z0-9]([a-z0-9-]{1,61})[a-z0-9])$/.test(bucket)) {
      throw new CloudSyncError(
        'INVALID_INPUT',
        bucket === '' ? 'No container is named' : `A container can't be named "${bucket}"`,
        { field: 'bucket', advice: 'Give the name of a container of this account.' },
      );
    }
    const parts = {
      transport: this.#transport,
      budget: this.#budget,
      traits: this.#traits,
      options: this.#context.options ?? {},
    };
    return new AzureBlobStore(parts, bucket, identityOf(this.#credential.host, bucket));
  }

  async close(): Promise<void> {
    await this.#transport.close();
  }

  async #countContainers(signal: AbortSignal | undefined): Promise<number> {
    let count = 0;
    for await (const names of this.#containers(signal)) count += names.length;
    return count;
  }

  /** The names of all containers, a page at a time. */
  async *#containers(signal: AbortSignal | undefined): AsyncGenerator<string[]> {
    let marker = '';
    do {
      const answer = await this.#transport.send({
        kind: 'LIST',
        method: 'GET',
        path: '/',
        query: { comp: 'list', ...(marker === '' ? {} : { marker }) },
        maxAttempts: CHECK_ATTEMPTS,
        ...(signal === undefined ? {} : { signal }),
      });
      const page = parseContainers(answer.body.toString('utf8'));
      yield page.names;
      if (page.nextMarker !== '' && page.nextMarker === marker) throw senselessContainers();
      marker = page.nextMarker;
    } while (marker !== '');
  }

  #noteExpiry(check: CredentialCheck): void {
    const expiry = sasExpiry(this.#credential);
    if (expiry === undefined) return;
    const left = expiry - this.#transport.now();
    const when = new Date(expiry).toISOString();
    if (left <= 0) {
      throw new CloudSyncError('CREDENTIAL_EXPIRED', `The SAS token ran out at ${when}`, {
        field: 'sasToken',
        advice: 'Create a new one and save it here.',
      });
    }
    if (left < 14 * DAY_MS) check.notes.push(`The SAS token runs out at ${when}.`);
  }

  #noteClock(check: CredentialCheck): void {
    const offset = this.#transport.clockOffsetMs;
    if (Math.abs(offset) < MINUTE_MS) return;
    const minutes = Math.round(Math.abs(offset) / MINUTE_MS);
    check.notes.push(
      `The clock of this machine is ${minutes} minutes ${offset > 0 ? 'behind' : 'ahead of'} Azure's; requests are signed with Azure's.`,
    );
  }
}

/**
 * A page of List Containers. Names hold nothing that XML would have to write otherwise.
 * https://learn.microsoft.com/rest/api/storageservices/list-containers2#response-body
 */
function parseContainers(xml: string): { names: string[]; nextMarker: string } {
  if (!xml.includes('<EnumerationResults')) {
    throw new CloudSyncError('BAD_ANSWER', 'This is no Azure Blob Storage', {
      field: 'endpoint',
      advice: 'Check the endpoint; leave it empty for the public Azure cloud.',
      retryable: false,
    });
  }
  const containers = xml.split('<Container>').slice(1);
  const names = containers.map((container) => /^\s*<Name>([$a-z0-9-]+)<\/Name>/.exec(container)?.[1] ?? '');
  if (names.includes('') || !xml.trimEnd().endsWith('</EnumerationResults>')) throw senselessContainers();
  return { names, nextMarker: /<NextMarker>([^<]+)<\/NextMarker>/.exec(xml)?.[1] ?? '' };
}

function senselessContainers(): CloudSyncError {
  return new CloudSyncError('BAD_ANSWER', 'The list of containers that the server answers makes no sense', {
    advice: 'Check the endpoint; leave it empty for Azure itself.',
  });
}
