/** A server in a process of its own, told over the channel to its parent what to do. */

import { openAzureBlobAccount } from '../src/stores/azure-blob.js';
import { startAzurite } from '../test/servers/azurite.js';
import { startGoogleCloudStorageServer } from '../test/servers/google-cloud-storage/server.js';
import { type S3Server, startS3Server } from '../test/servers/s3/server.js';
import {
  BUCKET,
  type FarEndAccess,
  type FarEndAnswer,
  type FarEndQuestion,
  type Provider,
} from './far-end.js';

/** What every server can be asked. */
interface Server {
  access: FarEndAccess;
  empty(): Promise<void> | void;
  setLatency(ms: number): void;
  takeCounts(): Record<string, number>;
  countObjects(): Promise<number> | number;
  stop(): Promise<void>;
}

const START: Record<Provider, () => Promise<Server>> = {
  s3: startS3,
  'azure-blob': startAzure,
  'google-cloud-storage': startGoogle,
};

async function startS3(): Promise<Server> {
  const server = await startS3Server({ logLimit: 0, buckets: [BUCKET] });
  const { url, region, accessKeyId, secretAccessKey } = server;
  const access: FarEndAccess = {
    credential: { endpoint: url, region, credentials: { accessKeyId, secretAccessKey } },
    rclone: {
      type: 's3',
      provider: 'Other',
      endpoint: url,
      region,
      access_key_id: accessKeyId,
      secret_access_key: secretAccessKey,
    },
  };
  return {
    access,
    empty: () => emptyBucket(server, BUCKET),
    setLatency: (ms) => {
      server.network.latencyMs = ms;
    },
    takeCounts: () => {
      const counts = { ...server.requests.counts };
      server.requests.reset();
      return counts;
    },
    countObjects: () => [...server.objects.bucket(BUCKET).keys.values()].length,
    stop: () => server.stop(),
  };
}

function emptyBucket(server: S3Server, name: string): void {
  const bucket = server.objects.bucket(name);
  for (const { key, versions } of [...bucket.keys.values()]) {
    for (const { versionId } of [...versions]) bucket.remove(key, versionId);
  }
  for (const upload of [...bucket.uploads.values()]) bucket.dropUpload(upload);
}

/** Microsoft's emulator: it neither counts requests nor waits, and its containers are looked at as everybody does. */
async function startAzure(): Promise<Server> {
  const emulator = await startAzurite();
  const { endpoint, accountName, accountKey } = emulator;
  const account = openAzureBlobAccount({ accountName, endpoint }, { accountKey }, {});
  await account.createBucket(BUCKET);
  const store = account.openStore(BUCKET);
  return {
    access: {
      credential: { endpoint, accountName, credentials: { accountKey } },
      rclone: { type: 'azureblob', use_emulator: 'true', endpoint: `${endpoint}/${accountName}` },
    },
    empty: async () => {
      for await (const page of store.list()) await store.deleteMany(page.map(({ key }) => ({ key })));
    },
    setLatency: (ms) => {
      if (ms > 0) throw new Error('The emulator of Azure can not be made to wait');
    },
    takeCounts: () => ({}),
    countObjects: async () => {
      let count = 0;
      for await (const page of store.list()) count += page.length;
      return count;
    },
    stop: async () => {
      await account.close();
      await emulator.stop();
    },
  };
}

async function startGoogle(): Promise<Server> {
  const server = await startGoogleCloudStorageServer({ buckets: [BUCKET] });
  const { url: endpoint, serviceAccountKey } = server;
  return {
    access: {
      credential: { endpoint, credentials: { serviceAccountKey } },
      rclone: {
        type: 'google cloud storage',
        service_account_credentials: serviceAccountKey.replaceAll(/\s*\n\s*/g, ''),
        // rclone 1.60 wants the path of the API in it.
        endpoint: `${endpoint}/storage/v1/`,
        bucket_policy_only: 'true',
      },
    },
    empty: () => {
      server.buckets.delete(BUCKET);
      server.createBucket(BUCKET);
    },
    setLatency: (ms) => {
      server.latencyMs = ms;
    },
    takeCounts: () => {
      const counts = { ...server.requests.counts };
      server.requests.reset();
      return counts;
    },
    countObjects: () => server.buckets.get(BUCKET)!.objects.size,
    stop: () => server.stop(),
  };
}

async function carryOut(server: Server, question: FarEndQuestion): Promise<unknown> {
  switch (question.type) {
    case 'empty':
      return await server.empty();
    case 'latency':
      return server.setLatency(question.ms);
    case 'take-counts':
      return server.takeCounts();
    case 'count-objects':
      return await server.countObjects();
  }
}

async function main(): Promise<void> {
  const server = await START[process.argv[2] as Provider]();
  const end = () => {
    server.stop().finally(() => process.exit(0));
  };
  process.on('message', (question: FarEndQuestion) => {
    carryOut(server, question).then(
      (value) => process.send!({ id: question.id, value } satisfies FarEndAnswer),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
  process.on('disconnect', end);
  process.on('SIGTERM', end);
  process.send!(server.access);
}

void main();
