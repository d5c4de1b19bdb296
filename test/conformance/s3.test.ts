import { randomBytes } from 'node:crypto';
import { openS3Account } from '../../src/stores/s3.js';
import type { Account } from '../../src/stores/store.js';
import { type Ceph, isCephInstalled, startCeph } from '../servers/ceph.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { conformanceSuite } from './suite.js';
import type { MakeStoreOptions, StoreUnderTest } from './support.js';

/** An S3 service, ours or Ceph's. */
interface Service {
  url: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
}

/** An empty bucket of `service`, made through the account as a user would make it. */
async function bucketOf(
  service: Service,
  name: string,
  options: MakeStoreOptions,
  config: Record<string, unknown> = {},
): Promise<StoreUnderTest> {
  const accounts: Account[] = [];
  const open = () => {
    const account = openS3Account(
      { endpoint: service.url, region: service.region, ...config },
      { accessKeyId: service.accessKeyId, secretAccessKey: service.secretAccessKey },
      {},
      { retryPolicy: { baseDelayMs: 10, attempts: 4 } },
    );
    accounts.push(account);
    return account;
  };
  const account = open();
  await account.createBucket(name);
  if (options.versioned === true) await enableVersions(service, name);
  return {
    store: account.openStore(name),
    reopen: () => open().openStore(name),
    missing: () => account.openStore(`${name}-missing`),
    dispose: async () => {
      for (const opened of accounts) await opened.close();
    },
  };
}

/** Through a client that isn't ours: turning versions on is nothing a store offers. */
async function enableVersions(service: Service, bucket: string): Promise<void> {
  const { PutBucketVersioningCommand, S3Client } = await import('@aws-sdk/client-s3');
  const client = new S3Client({
    endpoint: service.url,
    region: service.region,
    forcePathStyle: true,
    credentials: { accessKeyId: service.accessKeyId, secretAccessKey: service.secretAccessKey },
  });
  await client.send(
    new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }),
  );
  client.destroy();
}

describe('S3', () => {
  describe('on the strict server', () => {
    let server: S3Server;
    before(async () => {
      server = await startS3Server({ port: 0, region: 'eu-test-1' });
    });
    after(() => server.stop());

    const make = async (options: MakeStoreOptions, config: Record<string, unknown> = {}) => {
      const bucket = `conformance-${randomBytes(4).toString('hex')}`;
      const target = await bucketOf(server, bucket, options, config);
      return {
        ...target,
        archive: {
          storageClass: 'GLACIER',
          finishThaw: async () => server.clock.advance(6 * 3600_000),
        },
      };
    };
    conformanceSuite('S3, path style', (options) => make(options));
    conformanceSuite('S3, virtual hosts, region found out', (options) =>
      make(options, {
        forcePathStyle: false,
        region: '',
        endpoint: server.url.replace('127.0.0.1', 'localhost'),
      }),
    );
  });

  describe("on Ceph's gateway", () => {
    let ceph: Ceph | undefined;
    before(async function () {
      this.timeout(60_000);
      ceph = await startCeph();
      if (ceph === undefined) this.skip();
    });
    after(() => ceph?.stop());

    if (isCephInstalled()) {
      conformanceSuite('Ceph, path style', (options) => bucketOf(ceph!, ceph!.bucketName(), options));
      conformanceSuite('Ceph, virtual hosts', (options) =>
        bucketOf(ceph!, ceph!.bucketName(), options, {
          forcePathStyle: false,
          region: '',
          endpoint: ceph!.url.replace('127.0.0.1', 'localhost'),
        }),
      );
    } else {
      it('is not tested: Ceph is not installed', function () {
        this.skip();
      });
    }
  });
});
