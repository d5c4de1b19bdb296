import { randomBytes } from 'node:crypto';
import { openB2Account } from '../../src/stores/b2.js';
import type { Account } from '../../src/stores/store.js';
import { type B2Server, startB2Server } from '../servers/b2/server.js';
import { conformanceSuite } from './suite.js';

describe('Backblaze B2', () => {
  let server: B2Server;
  before(async () => {
    server = await startB2Server();
  });
  after(() => server.stop());

  // Every bucket keeps versions there, whether the suite asks for that or not.
  const make = async (config: Record<string, unknown>) => {
    const { applicationKeyId, applicationKey } = server.addKey();
    const accounts: Account[] = [];
    const open = () => {
      const account = openB2Account(
        config,
        { applicationKeyId, applicationKey },
        {},
        { retryPolicy: { baseDelayMs: 10, attempts: 4 }, nativeOrigin: server.url },
      );
      accounts.push(account);
      return account;
    };
    const name = `conformance-${randomBytes(4).toString('hex')}`;
    const account = open();
    await account.createBucket(name);
    return {
      store: account.openStore(name),
      reopen: () => open().openStore(name),
      missing: () => account.openStore(`${name}-missing`),
      dispose: async () => {
        for (const opened of accounts) await opened.close();
      },
    };
  };

  conformanceSuite('B2, place asked of Backblaze', () => make({}));
  conformanceSuite('B2, endpoint typed', () => make({ endpoint: server.url }));
});
