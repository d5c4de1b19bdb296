/** Dropbox on the strict fake; no other server of its API exists to run. */

import { openDropboxAccount } from '../../src/stores/dropbox.js';
import type { Account } from '../../src/stores/store.js';
import { startDropboxServer } from '../servers/dropbox/server.js';
import { conformanceSuite } from './suite.js';
import type { StoreUnderTest } from './support.js';

const QUICK = { retry: { attempts: 6, baseDelayMs: 1, maxDelayMs: 20, maxRetryAfterMs: 60_000 } };

/** An account of its own, reached the way `options` say. */
async function accountOf(options: Parameters<typeof startDropboxServer>[0]): Promise<StoreUnderTest> {
  const server = await startDropboxServer({ port: 0, ...options });
  const accounts: Account[] = [];
  const open = () => {
    const account = openDropboxAccount(
      { endpoint: server.url },
      { refreshToken: server.refreshToken, appKey: server.appKey },
      {},
      QUICK,
    );
    accounts.push(account);
    return account.openStore('');
  };
  return {
    store: open(),
    reopen: open,
    dispose: async () => {
      for (const account of accounts) await account.close();
      await server.stop();
    },
  };
}

describe('Dropbox', () => {
  conformanceSuite('Dropbox', () => accountOf({}));
  conformanceSuite('Dropbox, app folder, small pages, writes that hold a lock', () =>
    accountOf({ appFolder: '/Apps/Backup', pageLimit: 7, lockMs: 1 }),
  );
  conformanceSuite('Dropbox, member of a team', () => accountOf({ teamHome: '/Franz' }));
});
