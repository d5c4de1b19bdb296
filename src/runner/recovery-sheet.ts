/**
 * What brings a backup back without this program: a configuration of rclone, as rclone's documentation describes each of its
 * backends (https://rclone.org/crypt/, /s3/, /b2/, /azureblob/, /googlecloudstorage/, /dropbox/).
 */

import { obscure } from '../stores/encryption/key-derivation.js';
import { serviceAddress } from '../stores/s3/presets.js';
import type { TaskCredential, TaskSettings } from './task.js';

/** The part of a task that says where a backup lies and how it is encrypted. */
export type SheetTask = Pick<
  TaskSettings,
  'bucket' | 'folder' | 'encryption' | 'filenameEncryption' | 'encryptionPassword' | 'encryptionSalt'
> & { credential: TaskCredential };

type Options = Record<string, string | boolean | undefined>;

const STORAGE = 'storage';
/** Name of the remote that one restores from. */
export const SHEET_REMOTE = 'backup';

const text = (value: unknown) => (value === undefined || value === '' ? undefined : String(value));

const BACKENDS: Record<string, (credential: TaskCredential) => Options> = {
  s3: ({ config, secrets }) => {
    const { endpoint, region } = serviceAddress(config);
    const isAmazon = endpoint === '';
    return {
      type: 's3',
      provider: isAmazon ? 'AWS' : 'Other',
      access_key_id: secrets.accessKeyId,
      secret_access_key: secrets.secretAccessKey,
      session_token: text(secrets.sessionToken),
      region,
      endpoint: text(endpoint),
      force_path_style: text(config.forcePathStyle) ?? (isAmazon ? undefined : 'true'),
    };
  },
  b2: ({ secrets }) => ({ type: 'b2', account: secrets.applicationKeyId, key: secrets.applicationKey }),
  'azure-blob': ({ config, secrets }) => {
    const endpoint = text(config.endpoint);
    const host = endpoint ?? `https://${String(config.accountName)}.blob.core.windows.net`;
    const sas = text(secrets.sasToken)?.replace(/^\?/, '');
    if (sas !== undefined) return { type: 'azureblob', sas_url: `${host}?${sas}` };
    return {
      type: 'azureblob',
      account: text(config.accountName),
      key: secrets.accountKey,
      endpoint,
    };
  },
  'google-cloud-storage': ({ config, secrets }) => ({
    type: 'google cloud storage',
    service_account_credentials: secrets.serviceAccountKey?.replace(/\s*\n\s*/g, ' '),
    project_number: text(config.projectId),
    bucket_policy_only: 'true',
    // rclone wants the path of the API in it.
    endpoint: text(config.endpoint)?.replace(/\/*$/, '/storage/v1/'),
  }),
  dropbox: ({ secrets }) => ({
    type: 'dropbox',
    client_id: text(secrets.appKey),
    client_secret: text(secrets.appSecret),
    token: JSON.stringify({
      access_token: secrets.accessToken ?? '',
      token_type: 'bearer',
      refresh_token: secrets.refreshToken ?? '',
      expiry: '2000-01-01T00:00:00Z',
    }),
  }),
};

function section(name: string, options: Options): string {
  const lines = Object.entries(options).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key} = ${String(value)}`],
  );
  return [`[${name}]`, ...lines, ''].join('\n');
}

/** The text of `rclone.conf`. Holds every secret that is needed, passwords only hidden from a glance. */
export function recoverySheet(task: SheetTask): string {
  const backend = BACKENDS[task.credential.provider]?.(task.credential) ?? {};
  const place = [task.bucket, task.folder.replace(/^\/+|\/+$/g, '')].filter((part) => part !== '').join('/');
  const password = task.encryptionPassword ?? '';
  const salt = task.encryptionSalt ?? '';
  const shape: Options = !task.encryption
    ? { type: 'alias', remote: `${STORAGE}:${place}` }
    : {
        type: 'crypt',
        remote: `${STORAGE}:${place}`,
        filename_encryption: task.filenameEncryption ? 'standard' : 'off',
        directory_name_encryption: String(task.filenameEncryption),
        password: obscure(password),
        password2: salt === '' ? undefined : obscure(salt),
      };
  return `${section(STORAGE, backend)}\n${section(SHEET_REMOTE, shape)}`;
}
