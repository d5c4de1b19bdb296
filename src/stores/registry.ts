/**
 * The providers: what the user has to fill in for each, and how to reach it. The editor's form, its help and the
 * validation all come from this table. Nothing is loaded before a provider is used.
 */

import { CloudSyncError, shown } from '../errors.js';
import { azureBlobIdentity } from './azure-blob/credential.js';
import { b2Identity } from './b2/credential.js';
import { dropboxIdentity } from './dropbox/credential.js';
import { googleCloudStorageIdentity } from './google-cloud-storage/credential.js';
import { s3Identity } from './s3/identity.js';
import { PRESET_CHOICES } from './s3/presets.js';
import type { Account, AccountContext, CredentialConfig, CredentialSecrets } from './store.js';

/** One thing the user fills in. */
export interface ProviderField {
  /** Name of the saved property or of the secret, as the contract spells it. */
  name: string;
  type: 'text' | 'password' | 'boolean' | 'number' | 'select' | 'multiline';
  /** Lives in Node-RED's credentials and nowhere else. */
  secret: boolean;
  required: boolean;
  /** Key of the values offered for `select`. */
  choices?: readonly { value: string; label: string }[];
  placeholder?: string;
  /** A regular expression, as source text, that a value has to match. */
  pattern?: string;
}

export interface ProviderDescription {
  /** `provider` in saved flows. */
  id: string;
  /** As the provider writes itself. */
  label: string;
  /** TYPE in the CLOUD_SYNC_* environment. */
  environmentType: string;
  fields: readonly ProviderField[];
  hasBuckets: boolean;
  /**
   * The `identity` of the store, without loading the provider or asking it: two credentials that reach the same bucket
   * give the same one. Throws INVALID_INPUT.
   */
  identity?(config: CredentialConfig, secrets: CredentialSecrets, bucket: string): string;
  load(): Promise<(config: CredentialConfig, secrets: CredentialSecrets, context: AccountContext) => Account>;
}

/** What stands in headers: a character that was copied along with a key would end up in none. */
const PRINTABLE = '^[\\x21-\\x7e]+$';

const SHARED_FIELDS: readonly ProviderField[] = [
  { name: 'endpoint', type: 'text', secret: false, required: false, pattern: '^https?://[^\\s]+$' },
  { name: 'caCertificate', type: 'multiline', secret: false, required: false },
];

export const PROVIDERS: readonly ProviderDescription[] = [
  {
    id: 's3',
    label: 'Amazon S3 and compatible',
    environmentType: 'S3',
    hasBuckets: true,
    fields: [
      { name: 'preset', type: 'select', secret: false, required: false, choices: PRESET_CHOICES },
      { name: 'region', type: 'text', secret: false, required: false },
      { name: 'accessKeyId', type: 'text', secret: true, required: true, pattern: PRINTABLE },
      { name: 'secretAccessKey', type: 'password', secret: true, required: true },
      { name: 'sessionToken', type: 'password', secret: true, required: false, pattern: PRINTABLE },
      { name: 'forcePathStyle', type: 'boolean', secret: false, required: false },
      { name: 'maxUploadParts', type: 'number', secret: false, required: false },
      ...SHARED_FIELDS,
    ],
    identity: (config, _secrets, bucket) => s3Identity(config, bucket),
    load: async () => (await import('./s3.js')).openS3Account,
  },
  {
    id: 'b2',
    label: 'Backblaze B2',
    environmentType: 'B2',
    hasBuckets: true,
    fields: [
      { name: 'applicationKeyId', type: 'text', secret: true, required: true, pattern: PRINTABLE },
      { name: 'applicationKey', type: 'password', secret: true, required: true },
      { name: 'region', type: 'text', secret: false, required: false, placeholder: 'us-west-004' },
      ...SHARED_FIELDS,
    ],
    identity: (config, _secrets, bucket) => b2Identity(config, bucket),
    load: async () => (await import('./b2.js')).openB2Account,
  },
  {
    id: 'azure-blob',
    label: 'Azure Blob Storage',
    environmentType: 'AZUREBLOB',
    hasBuckets: true,
    fields: [
      {
        name: 'accountName',
        type: 'text',
        secret: false,
        required: true,
        pattern: '^[A-Za-z0-9-]{1,63}$',
      },
      { name: 'accountKey', type: 'password', secret: true, required: false },
      { name: 'sasToken', type: 'password', secret: true, required: false },
      ...SHARED_FIELDS,
    ],
    identity: (config, _secrets, bucket) => azureBlobIdentity(config, bucket),
    load: async () => (await import('./azure-blob.js')).openAzureBlobAccount,
  },
  {
    id: 'google-cloud-storage',
    label: 'Google Cloud Storage',
    environmentType: 'GOOGLE_CLOUD_STORAGE',
    hasBuckets: true,
    fields: [
      { name: 'projectId', type: 'text', secret: false, required: false },
      { name: 'serviceAccountKey', type: 'multiline', secret: true, required: true },
      ...SHARED_FIELDS,
    ],
    identity: googleCloudStorageIdentity,
    load: async () => (await import('./google-cloud-storage.js')).openGoogleCloudStorageAccount,
  },
  {
    id: 'dropbox',
    label: 'Dropbox',
    environmentType: 'DROPBOX',
    hasBuckets: false,
    fields: [
      { name: 'appKey', type: 'text', secret: true, required: false, pattern: '^[A-Za-z0-9]+$' },
      { name: 'appSecret', type: 'password', secret: true, required: false },
      { name: 'refreshToken', type: 'password', secret: true, required: false },
      { name: 'accessToken', type: 'password', secret: true, required: false },
      ...SHARED_FIELDS,
    ],
    identity: (config) => dropboxIdentity(config),
    load: async () => (await import('./dropbox.js')).openDropboxAccount,
  },
];

/** The description of `provider`; INVALID_INPUT where there is none. */
export function providerById(provider: unknown): ProviderDescription {
  const found = PROVIDERS.find((candidate) => candidate.id === provider);
  if (found === undefined) {
    throw new CloudSyncError('INVALID_INPUT', `Unknown provider ${shown(provider)}`, {
      field: 'provider',
      advice: `Choose one of ${PROVIDERS.map((candidate) => candidate.id).join(', ')}.`,
    });
  }
  return found;
}
