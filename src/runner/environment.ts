/**
 * The CLOUD_SYNC_* variables of scripts and reports. Names and values as TrueNAS gives them
 * (truenas/middleware, `plugins/cloud_sync/rclone.py` and `plugins/cloud/script.py`: names in upper case, booleans as
 * 1 and 0); which there are is said by the contract. TrueNAS lets S3's server-side encryption overwrite ENCRYPTION;
 * here ENCRYPTION always says whether the client encrypts.
 */

import { providerById } from '../stores/registry.js';
import { effectiveRun } from './claims.js';
import type { RunRequest, TaskCredential } from './task.js';

type Values = Record<string, string | number | boolean | null | undefined>;

/** The variables of `request`; those that hold a secret only with `secrets`. Empty ones are left out. */
export function cloudSyncEnvironment(request: RunRequest, secrets: boolean): Record<string, string> {
  const { task } = request;
  const { direction, transferMode, path } = effectiveRun(request);
  const values: Values = {
    ID: task.taskId,
    DESCRIPTION: task.name,
    DIRECTION: direction.toUpperCase(),
    TRANSFER_MODE: transferMode.toUpperCase(),
    ENCRYPTION: task.encryption,
    FILENAME_ENCRYPTION: task.filenameEncryption,
    SNAPSHOT: task.snapshot,
    PATH: path,
    BUCKET: task.bucket,
    FOLDER: task.folder,
    CHUNK_SIZE: task.chunkSize,
    STORAGE_CLASS: task.storageClass,
    ...credentialValues(task.credential),
  };
  if (secrets) {
    Object.assign(values, secretValues(task.credential), {
      ENCRYPTION_PASSWORD: task.encryption ? task.encryptionPassword : undefined,
      ENCRYPTION_SALT: task.encryption ? task.encryptionSalt : undefined,
    });
  }
  return environmentOf(values);
}

function environmentOf(values: Values): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined || value === null || value === '') continue;
    environment[`CLOUD_SYNC_${name}`] = typeof value === 'boolean' ? String(Number(value)) : String(value);
  }
  return environment;
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

/** What of a credential is no secret, though key ids and accounts are kept with the secrets. */
function credentialValues(credential: TaskCredential): Values {
  const { config, secrets } = credential;
  const shared: Values = {
    TYPE: environmentType(credential.provider),
    ENDPOINT: textOf(config.endpoint),
    REGION: textOf(config.region),
  };
  switch (credential.provider) {
    case 's3':
      return { ...shared, ACCESS_KEY_ID: secrets.accessKeyId };
    case 'b2':
      return { ...shared, ACCOUNT: secrets.applicationKeyId ?? textOf(config.applicationKeyId) };
    case 'azure-blob':
      return { ...shared, ACCOUNT: textOf(config.accountName) };
    case 'dropbox':
      return { ...shared, CLIENT_ID: secrets.appKey ?? textOf(config.appKey) };
    default:
      return shared;
  }
}

function secretValues(credential: TaskCredential): Values {
  const { secrets } = credential;
  switch (credential.provider) {
    case 's3':
      return { SECRET_ACCESS_KEY: secrets.secretAccessKey };
    case 'b2':
      return { KEY: secrets.applicationKey };
    case 'azure-blob':
      return { KEY: secrets.accountKey };
    case 'google-cloud-storage':
      return { SERVICE_ACCOUNT_CREDENTIALS: secrets.serviceAccountKey };
    case 'dropbox':
      return { CLIENT_SECRET: secrets.appSecret, TOKEN: dropboxToken(secrets) };
    default:
      return {};
  }
}

/** As rclone keeps it: JSON text. An access token alone is given the same form. */
export function dropboxToken(secrets: TaskCredential['secrets']): string | undefined {
  const { accessToken, refreshToken } = secrets;
  for (const pasted of [accessToken, refreshToken]) {
    if (pasted?.trimStart().startsWith('{')) return pasted;
  }
  if (!accessToken && !refreshToken) return undefined;
  return JSON.stringify({
    // rclone takes a token without this for one of its old format; being past its expiry, it is renewed before use.
    access_token: accessToken || 'expired',
    token_type: 'bearer',
    ...(refreshToken ? { refresh_token: refreshToken } : {}),
    expiry: accessToken ? '0001-01-01T00:00:00Z' : '2000-01-01T00:00:00Z',
  });
}

/** A report of a task whose provider is unknown to this version is written all the same. */
function environmentType(provider: string): string {
  try {
    return providerById(provider).environmentType;
  } catch {
    return provider === 'azure-blob' ? 'AZUREBLOB' : provider.toUpperCase().replaceAll('-', '_');
  }
}
