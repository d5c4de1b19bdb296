/** The remote sides a soak can have: how to open them, how to see into them, what can go wrong there. */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openAzureBlobAccount } from '../../src/stores/azure-blob.js';
import { openB2Account } from '../../src/stores/b2.js';
import { openDropboxAccount } from '../../src/stores/dropbox.js';
import { openGoogleCloudStorageAccount } from '../../src/stores/google-cloud-storage.js';
import { openLocalStore } from '../../src/stores/local.js';
import { openMemoryStore } from '../../src/stores/memory.js';
import { PROVIDERS, type ProviderDescription } from '../../src/stores/registry.js';
import { openS3Account } from '../../src/stores/s3.js';
import type { Account, AccountContext, Store } from '../../src/stores/store.js';
import { DiskFaults, faultyDisk } from '../faults/local-disk.js';
import { type Azurite, startAzurite } from '../servers/azurite.js';
import { type B2Server, startB2Server } from '../servers/b2/server.js';
import { type DropboxServer, startDropboxServer } from '../servers/dropbox/server.js';
import {
  type GoogleCloudStorageServer,
  startGoogleCloudStorageServer,
} from '../servers/google-cloud-storage/server.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { type FaultsInPlace, makeFaults } from './far-end-faults.js';
import type { Random } from './random.js';
import { insideOfServer, type RawStore, throughItsInterface } from './sides.js';
import { withSmallParts } from './small-parts.js';

export const KINDS = [
  's3',
  'b2',
  'azure-blob',
  'google-cloud-storage',
  'dropbox',
  'local',
  'memory',
] as const;
export type Kind = (typeof KINDS)[number];

/** Where a server is and who asks. */
export interface S3Access {
  config: Record<string, string>;
  secrets: Record<string, string>;
}

/** Silence is waited for only as long as a fault keeps silent: a busy machine may do so for a while too. */
const silenceFor = (hasStall: boolean) => (hasStall ? 500 : 20_000);

const impatient = (silenceMs: number) => ({
  retryPolicy: { attempts: 4, baseDelayMs: 1, maxDelayMs: 4, maxRetryAfterMs: 100 },
  silenceMs,
});

/** An account whose files are cut into small parts, and who doesn't wait long. */
export function openImpatiently(
  { config, secrets }: S3Access,
  context: AccountContext,
  silenceMs = silenceFor(false),
): Account {
  return openingSmallParts(openS3Account(config, secrets, context, impatient(silenceMs)), 4_000, 3_000);
}

/** What the strict S3 server and Backblaze's in front of it are started with: even a small tree has several pages. */
const SMALL = { minPartSize: 1, logLimit: 0, listPageSize: 5 };

/** A remote side for one world: empty, its own bucket. */
export interface Place {
  kind: Kind;
  bucket: string;
  raw: RawStore;
  /** Opens it as a run does. */
  open(context: AccountContext): Account;
  /** How another process reaches it. */
  access?: S3Access;
  /** Opens it for the oracle, without faults. */
  openCalm(): Store;
  makeFaults(random: Random): FaultsInPlace;
  clearFaults(): void;
  /** Resolves when nothing of what a run has asked for is still being done. */
  idle(afterBreak: boolean): Promise<void>;
  /** Uploads of another program, begun an hour ago; their ids. */
  beginForeignUploads(keys: readonly string[]): Promise<string[]>;
  /** Calls back once, when the run has made `count` requests. */
  afterRequests(count: number, call: () => void): void;
  /** Unfinished uploads in parts. */
  pendingUploads(): { key: string; id: string }[];
  keepsVersions: boolean;
  close(): Promise<void>;
}

/** Servers that are started once and serve all worlds. */
export class Places {
  private s3: S3Server | undefined;
  private b2: B2Server | undefined;
  private azurite: Azurite | undefined;
  private google: GoogleCloudStorageServer | undefined;
  private dropbox: DropboxServer | undefined;
  private count = 0;
  private running = 0;
  private started = 0;
  /** A fault of the run under way keeps silent. */
  private hasStall = false;

  async make(kind: Kind, random: Random, folder: string): Promise<Place> {
    const bucket = `world-${++this.count}`;
    if (kind === 's3') return this.s3Place(bucket, random);
    if (kind === 'b2') return this.b2Place(bucket);
    if (kind === 'azure-blob') return this.azurePlace(bucket);
    if (kind === 'google-cloud-storage') return this.googlePlace(bucket);
    if (kind === 'dropbox') return this.dropboxPlace();
    if (kind === 'memory') return storePlace(kind, bucket, openMemoryStore());
    const root = join(folder, 'remote');
    mkdirSync(root);
    return storePlace(kind, bucket, openLocalStore(root));
  }

  async stop(): Promise<void> {
    await this.s3?.stop();
    await this.b2?.stop();
    await this.azurite?.stop();
    await this.google?.stop();
    await this.dropbox?.stop();
  }

  private async s3Place(bucket: string, random: Random): Promise<Place> {
    if (this.s3 === undefined) {
      this.s3 = await startS3Server(SMALL);
      this.watchRequests(this.s3);
    }
    const server = this.s3;
    const keepsVersions = random.chance(0.2);
    server.createBucket({ name: bucket, ...(keepsVersions ? { versioning: 'Enabled' } : {}) });
    const config = { endpoint: server.url, region: server.region };
    const secrets = { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey };
    return {
      ...this.placeAt(server, bucket, () => openS3Account(config, secrets, {})),
      kind: 's3',
      open: (context) => openImpatiently({ config, secrets }, context, silenceFor(this.hasStall)),
      access: { config, secrets },
      keepsVersions,
    };
  }

  private async b2Place(bucket: string): Promise<Place> {
    if (this.b2 === undefined) {
      this.b2 = await startB2Server(SMALL);
      this.watchRequests(this.b2.s3);
    }
    const { s3, url: endpoint } = this.b2;
    this.b2.createBucket(bucket);
    const { applicationKeyId, applicationKey } = this.b2.addKey();
    const secrets = { applicationKeyId, applicationKey };
    return {
      ...this.placeAt(s3, bucket, () => openB2Account({ endpoint }, secrets, {})),
      kind: 'b2',
      open: (context) => {
        const tuning = impatient(silenceFor(this.hasStall));
        return openingSmallParts(openB2Account({ endpoint }, secrets, context, tuning), 4_000, 3_000);
      },
      keepsVersions: true,
    };
  }

  /** What the places behind the strict S3 server have in common. */
  private placeAt(server: S3Server, bucket: string, openAccount: () => Account) {
    const calm = openAccount();
    return {
      bucket,
      raw: insideOfServer(server, bucket),
      openCalm: () => calm.openStore(bucket),
      makeFaults: (random: Random) => {
        const made = makeFaults(server, bucket, random);
        this.hasStall = made.words.some((word) => word.startsWith('stall'));
        return made;
      },
      clearFaults: () => {
        this.hasStall = false;
        server.faults.clear();
        server.clock.reset();
      },
      idle: async (afterBreak: boolean) => {
        // Requests that were given up may lie in sockets still, not yet read.
        let seen = this.started;
        for (let calm = 0; calm < (afterBreak ? 20 : 3); calm++) {
          await delay(1);
          if (this.running > 0 || this.started !== seen) calm = 0;
          seen = this.started;
        }
      },
      afterRequests: (count: number, call: () => void) => {
        let left = count;
        server.faults.add({
          match: (request) => {
            if (request.bucket === bucket && --left === 0) call();
            return false;
          },
          action: { type: 'delay', ms: 0 },
        });
      },
      beginForeignUploads: async (keys: readonly string[]) => {
        server.clock.advance(-3_600_000);
        const other = openAccount();
        for (const key of keys) await other.openStore(bucket).createUpload(key, 10_000_000);
        await other.close();
        server.clock.reset();
        return server.objects.pendingUploads(bucket).map(({ uploadId }) => uploadId);
      },
      pendingUploads: () =>
        server.objects.pendingUploads(bucket).map(({ key, uploadId }) => ({ key, id: uploadId })),
      close: () => calm.close(),
    };
  }

  /** Counts the requests that the server is busy with. */
  private watchRequests({ faults, requests }: S3Server): void {
    const strike = faults.strike.bind(faults);
    faults.strike = (request) => {
      this.running++;
      this.started++;
      return strike(request);
    };
    const add = requests.add.bind(requests);
    requests.add = (entry) => {
      this.running--;
      add(entry);
    };
  }

  private async azurePlace(bucket: string): Promise<Place> {
    this.azurite ??= await startAzurite();
    const { endpoint, accountName, accountKey } = this.azurite;
    const open = (context: AccountContext) =>
      openAzureBlobAccount({ endpoint: `${endpoint}/${accountName}`, accountName }, { accountKey }, context);
    const calm = open({});
    await calm.createBucket(bucket);
    const place = storePlace('azure-blob', bucket, calm.openStore(bucket));
    return { ...place, close: () => calm.close() };
  }

  private async googlePlace(bucket: string): Promise<Place> {
    this.google ??= await startGoogleCloudStorageServer({ port: 0 });
    const { url, serviceAccountKey } = this.google;
    this.google.createBucket(bucket);
    const retryPolicy = { attempts: 4, baseDelayMs: 1, maxDelayMs: 4 };
    const account = openGoogleCloudStorageAccount(
      { endpoint: url },
      { serviceAccountKey },
      {},
      { retryPolicy },
    );
    const place = storePlace('google-cloud-storage', bucket, account.openStore(bucket));
    return { ...place, close: () => account.close() };
  }

  /** Dropbox has no buckets: each world has a server of its own. */
  private async dropboxPlace(): Promise<Place> {
    await this.dropbox?.stop();
    this.dropbox = await startDropboxServer({ port: 0 });
    const { url, refreshToken, appKey } = this.dropbox;
    const retry = { attempts: 4, baseDelayMs: 1, maxDelayMs: 4, maxRetryAfterMs: 100 };
    const account = openDropboxAccount({ endpoint: url }, { refreshToken, appKey }, {}, { retry });
    const place = storePlace('dropbox', '', account.openStore(''));
    return { ...place, close: () => account.close() };
  }
}

/** Any store, with the faults of a disk around it. */
function storePlace(kind: Kind, bucket: string, store: Store): Place {
  const faults = new DiskFaults();
  let onRequest = () => {};
  const watched = new Proxy(faultyDisk(store, faults), {
    get(target, name) {
      if (['open', 'write', 'head', 'delete', 'deleteMany', 'copy'].includes(String(name))) onRequest();
      return Reflect.get(target, name);
    },
  });
  return {
    kind,
    bucket,
    raw: throughItsInterface(store),
    open: () => openingSmallParts(accountOf(watched), kind === 'local' ? 70_000 : 20_000, undefined),
    openCalm: () => store,
    makeFaults: (random) => {
      const operation = random.pick(['open', 'read', 'write', 'delete', 'rename'] as const);
      const code = random.pick(['EIO', 'EACCES', 'ENOSPC'] as const);
      const probability = random.pick([0.2, 1]);
      const afterBytes = random.whole(0, 60);
      faults.add({
        operation,
        probability,
        random: random.fork().next,
        times: random.whole(1, 4),
        action: { type: 'error', code, afterBytes },
      });
      return { words: [`${code} on ${operation} at the far end`], hidesKeys: false };
    },
    clearFaults: () => {
      faults.clear();
      onRequest = () => {};
    },
    idle: () => delay(1),
    afterRequests: (count, call) => {
      let left = count;
      onRequest = () => {
        if (--left === 0) call();
      };
    },
    beginForeignUploads: async () => [],
    pendingUploads: () => [],
    keepsVersions: false,
    close: () => store.close(),
  };
}

function accountOf(store: Store): Account {
  return {
    identity: store.identity,
    check: async () => ({ notes: [] }),
    async *listBuckets() {},
    createBucket: async () => {},
    openStore: () => store,
    close: async () => {},
  };
}

function openingSmallParts(account: Account, threshold: number, partSize: number | undefined): Account {
  return {
    identity: account.identity,
    check: (signal) => account.check(signal),
    listBuckets: (signal) => account.listBuckets(signal),
    createBucket: (name, options) => account.createBucket(name, options),
    openStore: (bucket) => withSmallParts(account.openStore(bucket), threshold, partSize),
    close: () => account.close(),
  };
}

export const SOAK_PROVIDER = 'soak';

let openSoak: Place['open'];

/** Where runs of this process with the provider `soak` go to. */
export function useForRuns(open: Place['open']): void {
  openSoak = open;
  const providers = PROVIDERS as ProviderDescription[];
  if (providers.some(({ id }) => id === SOAK_PROVIDER)) return;
  providers.push({
    id: SOAK_PROVIDER,
    label: 'Soak',
    environmentType: 'SOAK',
    hasBuckets: true,
    fields: [],
    load: async () => (_config, _secrets, context) => openSoak(context),
  });
}
