/** Amazon S3 and everything that speaks like it. */

import { CloudSyncError } from '../errors.js';
import { caCertificateOf, S3Account, type S3Tuning } from './s3/account.js';
import { parseEndpoint, s3Identity } from './s3/identity.js';
import { traitsOf } from './s3/presets.js';
import type { SigningCredentials } from './s3/signature.js';
import type { Account, AccountContext, CredentialConfig, CredentialSecrets } from './store.js';

export type { S3Tuning } from './s3/account.js';

/** The account `secrets` lead to. Sends no request yet; INVALID_INPUT or CREDENTIAL_MISSING where that can't work. */
export function openS3Account(
  config: CredentialConfig,
  secrets: CredentialSecrets,
  context: AccountContext,
  tuning: S3Tuning = {},
): Account {
  return new S3Account({
    endpoint: parseEndpoint(config),
    traits: traitsOf(config),
    credentials: credentialsFrom(secrets),
    caCertificate: caCertificateOf(config),
    context,
    tuning,
    identityOf: (bucket) => s3Identity(config, bucket),
  });
}

/** Pasted keys often bring a space or a line end along, which no key has. */
function credentialsFrom(secrets: CredentialSecrets): SigningCredentials {
  const read = (name: string) => secrets[name]?.trim() ?? '';
  for (const [name, label] of [
    ['accessKeyId', 'access key ID'],
    ['secretAccessKey', 'secret access key'],
  ] as const) {
    if (read(name) !== '') continue;
    throw new CloudSyncError('CREDENTIAL_MISSING', `The ${label} is missing`, {
      field: name,
      advice: 'Fill it in in the credential.',
    });
  }
  const sessionToken = read('sessionToken');
  return {
    accessKeyId: read('accessKeyId'),
    secretAccessKey: read('secretAccessKey'),
    ...(sessionToken === '' ? {} : { sessionToken }),
  };
}
