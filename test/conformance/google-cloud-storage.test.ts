import { openGoogleCloudStorageAccount } from '../../src/stores/google-cloud-storage.js';
import type { Account } from '../../src/stores/store.js';
import {
  type GoogleCloudStorageServer,
  startGoogleCloudStorageServer,
} from '../servers/google-cloud-storage/server.js';
import { conformanceSuite } from './suite.js';
import type { MakeStoreOptions, StoreUnderTest } from './support.js';

describe('Google Cloud Storage (strict server)', () => {
  let server: GoogleCloudStorageServer;
  let buckets = 0;
  before(async () => {
    server = await startGoogleCloudStorageServer({ port: 0 });
  });
  after(() => server?.stop());

  /** An empty bucket, made through the account as a user would make it. */
  const makeStore = async (versioning: boolean): Promise<StoreUnderTest> => {
    const accounts: Account[] = [];
    const open = (): Account => {
      const account = openGoogleCloudStorageAccount(
        { endpoint: server.url },
        { serviceAccountKey: server.serviceAccountKey },
        {},
        { retryPolicy: { baseDelayMs: 10, attempts: 4 } },
      );
      accounts.push(account);
      return account;
    };
    buckets += 1;
    const name = `conformance-${buckets}`;
    const account = open();
    await account.createBucket(name, { region: 'eu' });
    // Turning versions on is nothing a store offers.
    server.buckets.get(name)!.versioning = versioning;
    const store = account.openStore(name);
    return {
      store,
      reopen: () => open().openStore(name),
      missing: () => open().openStore(`${name}-missing`),
      dispose: async () => {
        for (const opened of accounts) await opened.close();
      },
    };
  };

  conformanceSuite('google-cloud-storage, no versions kept', async () => {
    const target = await makeStore(false);
    // What the bucket keeps is known for certain only after it was asked.
    await target.store.check();
    return target;
  });
  conformanceSuite('google-cloud-storage, versions kept', (_options: MakeStoreOptions) => makeStore(true));
});
