/**
 * Backblaze B2 over its S3-compatible interface. What the rooms in `b2/` do: `credential` (key and place), `native` (the few
 * questions to Backblaze's own interface), `account` (the S3 account that knows both), `notes` (what Verify says of a key).
 *
 * Times and hashes are kept by the names of both worlds: see s3/backblaze.ts.
 */

import { B2Account, type B2Tuning } from './b2/account.js';
import type { Account, AccountContext, CredentialConfig, CredentialSecrets } from './store.js';

export type { B2Tuning } from './b2/account.js';

/** The account `secrets` lead to. Sends no request yet; INVALID_INPUT or CREDENTIAL_MISSING where that can't work. */
export function openB2Account(
  config: CredentialConfig,
  secrets: CredentialSecrets,
  context: AccountContext,
  tuning: B2Tuning = {},
): Account {
  return new B2Account(config, secrets, context, tuning);
}
