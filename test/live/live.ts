/**
 * The conformance suite against real providers, with credentials from the environment. Opt-in: `npm run test:live`.
 *
 * For each provider that is to be tried, set `CLOUD_SYNC_LIVE_<PROVIDER>` (S3, B2, AZURE_BLOB, GOOGLE_CLOUD_STORAGE,
 * DROPBOX) to JSON with the fields of its `cloud-credential` node, secrets among them, and `bucket`: an empty bucket made for
 * this and nothing else; where the provider keeps versions also `versionedBucket`, another one with versions on. A bucket that holds anything is refused, so that no file of anybody is ever touched.
 */

import { PROVIDERS, type ProviderField } from '../../src/stores/registry.js';
import type { Account, Store } from '../../src/stores/store.js';
import { conformanceSuite } from '../conformance/suite.js';

const configured = PROVIDERS.map(({ id }) => ({ id, text: process.env[variableOf(id)] })).filter(
  (provider) => provider.text !== undefined,
);

if (configured.length === 0) {
  describe('real providers', () => {
    it('need credentials', () => {
      throw new Error(`Set at least one of ${PROVIDERS.map(({ id }) => variableOf(id)).join(', ')}`);
    });
  });
}

for (const { id, text } of configured) {
  const values = JSON.parse(text!) as Record<string, string>;
  conformanceSuite(`${id}, for real`, async ({ versioned }) => {
    const accounts: Account[] = [];
    const open = async (bucket: string): Promise<Store> => {
      const account = await openAccount(id, values);
      accounts.push(account);
      return account.openStore(bucket);
    };
    const bucket = (versioned ? values.versionedBucket : values.bucket) ?? '';
    const store = await open(bucket);
    await store.check();
    await requireEmpty(store);
    const others = [await open(bucket), await open(bucket), await open(`${bucket}-missing-0f1e2d`)];
    return {
      store,
      reopen: () => others[0]!,
      missing: bucket === '' ? undefined : () => others[2]!,
      dispose: async () => {
        await empty(store);
        for (const account of accounts) await account.close();
      },
    };
  });
}

function variableOf(provider: string): string {
  return `CLOUD_SYNC_LIVE_${provider.toUpperCase().replaceAll('-', '_')}`;
}

async function openAccount(id: string, values: Record<string, string>): Promise<Account> {
  const provider = PROVIDERS.find((candidate) => candidate.id === id)!;
  const pick = (fields: readonly ProviderField[]) =>
    Object.fromEntries(
      fields.map(({ name }) => [name, values[name]]).filter(([, value]) => value !== undefined),
    );
  const open = await provider.load();
  return open(
    pick(provider.fields.filter((field) => !field.secret)),
    pick(provider.fields.filter((field) => field.secret)),
    {},
  );
}

async function requireEmpty(store: Store): Promise<void> {
  for await (const page of store.list()) {
    if (page.length > 0)
      throw new Error(`${store.identity} is not empty: give an empty bucket made for this`);
  }
}

/** What the suite has written into the bucket that was empty before. */
async function empty(store: Store): Promise<void> {
  for await (const page of store.list({ folders: true })) {
    await store.deleteMany(page.filter(({ kind }) => kind !== 'folder').map(({ key }) => ({ key })));
    for (const { key, kind } of page) if (kind === 'folder') await store.deleteFolder(key);
  }
}
