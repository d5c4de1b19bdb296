import { openAzureBlobAccount } from '../../src/stores/azure-blob.js';
import type { Account } from '../../src/stores/store.js';
import { type Azurite, startAzurite } from '../servers/azurite.js';
import { conformanceSuite } from './suite.js';

describe('Azure Blob Storage (azurite)', () => {
  let azurite: Azurite;
  let containers = 0;
  before(async function () {
    this.timeout(60_000);
    azurite = await startAzurite();
  });
  after(() => azurite?.stop());

  conformanceSuite('azure-blob', async () => {
    const accounts: Account[] = [];
    const open = (): Account => {
      const account = openAzureBlobAccount(
        { accountName: azurite.accountName, endpoint: azurite.endpoint },
        { accountKey: azurite.accountKey },
        {},
      );
      accounts.push(account);
      return account;
    };
    containers += 1;
    const name = `conformance-${containers}`;
    const account = open();
    await account.createBucket(name);
    return {
      store: account.openStore(name),
      reopen: () => open().openStore(name),
      missing: () => open().openStore('not-there'),
      // Azurite answers 500 to a listing with a name that XML can't hold; Azure writes it percent-encoded.
      emulatorRefuses: /\ufffe/,
      dispose: async () => {
        for (const opened of accounts) await opened.close();
      },
    };
  });
});
