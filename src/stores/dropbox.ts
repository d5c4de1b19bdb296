/**
 * Dropbox. What the rooms in `dropbox/` do: `credential`, `tokens`, `path-root` and `sign-in` (who asks), `transport`
 * (calls), `errors` (what Dropbox's words mean), `store`, `listing`, `revisions`, `reading`, `bodies`, `writing`,
 * `commits` (many small files at once), `upload` (large ones), `copying`, `deleting`, `content-hash`.
 *
 * Times are kept as `client_modified` in whole seconds, as by rclone, and can't be changed without new content. Contents
 * are compared by content_hash, which listings carry. There is no place for metadata.
 */

import { CloudSyncError, throwIfAborted } from '../errors.js';
import { dropboxIdentity, readCredential } from './dropbox/credential.js';
import { DropboxStore } from './dropbox/store.js';
import { DropboxTransport, type TransportTuning } from './dropbox/transport.js';
import type {
  Account,
  AccountContext,
  Bucket,
  CredentialCheck,
  CredentialConfig,
  CredentialSecrets,
  Store,
} from './store.js';

export { dropboxContentHash } from './dropbox/content-hash.js';
export { beginSignIn, finishSignIn } from './dropbox/sign-in.js';

/** While a person waits for the answer. */
const CHECK_ATTEMPTS = 2;

/**
 * Opens an account; sends no request yet.
 * @throws CloudSyncError INVALID_INPUT, CREDENTIAL_MISSING for what can be seen to be wrong
 */
export function openDropboxAccount(
  config: CredentialConfig,
  secrets: CredentialSecrets,
  context: AccountContext,
  tuning: TransportTuning = {},
): Account {
  const caCertificate = typeof config.caCertificate === 'string' ? config.caCertificate.trim() : '';
  const transport = new DropboxTransport(readCredential(config, secrets), context, caCertificate, tuning);
  return new DropboxAccount(transport, dropboxIdentity(config), context);
}

class DropboxAccount implements Account {
  constructor(
    private readonly transport: DropboxTransport,
    readonly identity: string,
    private readonly context: AccountContext,
  ) {}

  async check(signal?: AbortSignal): Promise<CredentialCheck> {
    throwIfAborted(signal);
    const { root } = this.transport;
    const patience = { maxAttempts: CHECK_ATTEMPTS, ...(signal === undefined ? {} : { signal }) };
    await root.ask({ again: true, ...patience });
    await this.transport.rpc({
      kind: 'LIST',
      route: 'files/list_folder',
      argument: { path: '', limit: 1 },
      ...patience,
    });
    const check: CredentialCheck = { notes: [] };
    if (root.account === undefined) {
      check.notes.push(
        "The app lacks the permission account_info.read: whose account this is can't be told, nor team folders be reached.",
      );
    } else {
      const { name, email } = root.account;
      check.account = `${name?.display_name ?? ''} (${email ?? ''})`;
    }
    if (root.homePath !== undefined) {
      check.notes.push(
        `The account belongs to a team: folders are those of the team's space, its own is "${root.homePath.slice(1)}".`,
      );
    }
    const { refreshToken, accessTokenExpiry } = this.transport.credential;
    if (refreshToken === undefined) {
      const end =
        accessTokenExpiry === undefined
          ? 'after at most four hours'
          : `at ${new Date(accessTokenExpiry).toISOString()}`;
      check.notes.push(`An access token alone runs out ${end}: sign in to get a refresh token.`);
    }
    return check;
  }

  async *listBuckets(signal?: AbortSignal): AsyncGenerator<Bucket> {
    throwIfAborted(signal);
    yield* [];
  }

  async createBucket(): Promise<void> {
    throw new CloudSyncError('NOT_SUPPORTED', 'Dropbox has no buckets', {
      field: 'bucket',
      advice: 'Leave it empty and name a folder.',
    });
  }

  openStore(bucket: string): Store {
    if (bucket !== '') {
      throw new CloudSyncError('INVALID_INPUT', 'Dropbox has no buckets', {
        field: 'bucket',
        advice: 'Leave it empty and name a folder.',
      });
    }
    return new DropboxStore(this.transport, this.identity, this.context.options ?? {});
  }

  async close(): Promise<void> {
    await this.transport.close();
  }
}
