/**
 * What brings a backup back without this program: a configuration of rclone, as rclone's documentation describes each of its
 * backends (https://rclone.org/crypt/, /s3/, /b2/, /azureblob/, /googlecloudstorage/, /dropbox/).
 */

import { createHmac } from 'node:crypto';
import { withoutOuterSlashes } from '../engine/location.js';
import { type AzureCredential, readCredential } from '../stores/azure-blob/credential.js';
import { readB2Place } from '../stores/b2/credential.js';
import { obscure } from '../stores/encryption/key-derivation.js';
import { serviceAddress } from '../stores/s3/presets.js';
import { dropboxToken } from './environment.js';
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
  b2: ({ config, secrets }) => {
    const { endpoint, isForeign } = readB2Place(config);
    const { applicationKeyId, applicationKey } = secrets;
    if (!isForeign) return { type: 'b2', account: applicationKeyId, key: applicationKey };
    return {
      type: 's3',
      provider: 'Other',
      access_key_id: applicationKeyId,
      secret_access_key: applicationKey,
      region: endpoint?.region,
      endpoint: text(config.endpoint),
      force_path_style: 'true',
    };
  },
  'azure-blob': ({ config, secrets }) => {
    const credential = readCredential(config, secrets);
    const { accountName, accountKey, sas } = credential;
    if (accountKey !== undefined && text(config.endpoint) === undefined) {
      return { type: 'azureblob', account: accountName, key: accountKey.toString('base64') };
    }
    // What `endpoint` has to hold differs between versions of rclone: an address with its own signature suits all.
    const query = sas === undefined ? readingSignature(credential) : new URLSearchParams([...sas]);
    return { type: 'azureblob', sas_url: `${credential.origin}${credential.basePath}/?${query}` };
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
    token: dropboxToken(secrets),
  }),
};

/** https://learn.microsoft.com/rest/api/storageservices/create-account-sas: list and read blobs, as long as the key is valid. */
function readingSignature({ accountName, accountKey }: AzureCredential): URLSearchParams {
  const [version, services, types, permissions, expiry] = ['2019-12-12', 'b', 'sco', 'rl', '2099-12-31'];
  const noStartNorAddress = ['', expiry, '', ''];
  const signed = [accountName, permissions, services, types, ...noStartNorAddress, version, ''].join('\n');
  return new URLSearchParams({
    sv: version,
    ss: services,
    srt: types,
    sp: permissions,
    se: expiry,
    sig: createHmac('sha256', accountKey!).update(signed, 'utf8').digest('base64'),
  });
}

/** What can't be said in the configuration itself. */
function notesOn({ provider, config, secrets }: TaskCredential): string {
  const lines: string[] = [];
  const certificate = text(config.caCertificate);
  if (certificate !== undefined) {
    lines.push(
      'The certificate of this storage is signed by a private authority:',
      'save what follows as ca.pem, and call rclone with --ca-cert ca.pem.',
      ...certificate.trim().split(/\r?\n/),
    );
  }
  // Older ones send the secret of rclone's own app with the key of another (https://rclone.org/changelog/#v1-67-0-2024-06-14).
  if (provider === 'dropbox' && secrets.refreshToken && secrets.appKey && !secrets.appSecret) {
    lines.push(
      'Signed in without an app secret, which takes rclone 1.67 or later. With an older one,',
      `take client_id and token out and call: rclone config reconnect ${STORAGE}:`,
    );
  }
  return lines.map((line) => `# ${line}\n`).join('');
}

function section(name: string, options: Options): string {
  const lines = Object.entries(options).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key} = ${String(value)}`],
  );
  return [`[${name}]`, ...lines, ''].join('\n');
}

/** The text of `rclone.conf`. Holds every secret that is needed, passwords only hidden from a glance. */
export function recoverySheet(task: SheetTask): string {
  const backend = BACKENDS[task.credential.provider]?.(task.credential) ?? {};
  const place = [task.bucket, withoutOuterSlashes(task.folder)].filter((part) => part !== '').join('/');
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
  return `${notesOn(task.credential)}${section(STORAGE, backend)}\n${section(SHEET_REMOTE, shape)}`;
}
