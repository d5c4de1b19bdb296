import assert from 'node:assert/strict';
import { contentOfBytes } from '../../src/stores/content.js';
import { openDropboxAccount } from '../../src/stores/dropbox.js';
import type { Account } from '../../src/stores/store.js';
import { type DropboxServer, startDropboxServer } from '../servers/dropbox/server.js';

describe('a folder in Dropbox', () => {
  let server: DropboxServer;
  let account: Account;

  beforeEach(async () => {
    server = await startDropboxServer({ port: 0 });
    const { refreshToken, appKey } = server;
    account = openDropboxAccount({ endpoint: server.url }, { refreshToken, appKey }, {});
  });

  afterEach(async () => {
    await account.close();
    await server.stop();
  });

  it('is removed once all that lay in it is deleted, though Dropbox says that there is more', async () => {
    const store = account.openStore('');
    const keys = Array.from({ length: 5 }, (_, number) => ({ key: `a/${number}` }));
    for (const { key } of keys) await store.write(key, contentOfBytes(Buffer.from(key)), {});
    await store.deleteMany(keys.slice(1));
    await store.deleteFolder('a');
    assert.equal((await store.head('a/0'))?.kind, 'file');
    await store.deleteMany(keys);
    await store.deleteFolder('a');
    assert.equal(await store.head('a'), undefined);
  });
});
