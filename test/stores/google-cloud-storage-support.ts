/** A Google Cloud Storage account on the strict server of the tests, with short waits. */

import type { CloudSyncError } from '../../src/errors.js';
import {
  type GoogleCloudStorageTuning,
  openGoogleCloudStorageAccount,
} from '../../src/stores/google-cloud-storage.js';
import type { Account, AccountContext, Store } from '../../src/stores/store.js';
import type { GoogleCloudStorageServer } from '../servers/google-cloud-storage/server.js';

export const BUCKET = 'photos';

export interface Opened {
  account: Account;
  store: Store;
  /** Errors after which a request was sent again. */
  retries: CloudSyncError[];
  /** Kinds of the requests that were sent. */
  requests: string[];
}

export interface OpenOptions {
  config?: Record<string, unknown>;
  secrets?: Record<string, string>;
  context?: AccountContext;
  tuning?: GoogleCloudStorageTuning;
}

const opened: Account[] = [];

/** Opens {@link BUCKET} at `server`; closed by {@link closeAll}. */
export function openAt(server: GoogleCloudStorageServer, options: OpenOptions = {}): Opened {
  const retries: CloudSyncError[] = [];
  const requests: string[] = [];
  const account = openGoogleCloudStorageAccount(
    { endpoint: server.url, ...options.config },
    { serviceAccountKey: server.serviceAccountKey, ...options.secrets },
    {
      onRetry: (error) => retries.push(error),
      onRequest: (kind) => requests.push(kind),
      ...options.context,
    },
    { ...options.tuning, retryPolicy: { baseDelayMs: 5, ...options.tuning?.retryPolicy } },
  );
  opened.push(account);
  return { account, store: account.openStore(BUCKET), retries, requests };
}

export async function closeAll(): Promise<void> {
  for (const account of opened.splice(0)) await account.close();
}
