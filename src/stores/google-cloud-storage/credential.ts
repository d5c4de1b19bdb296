/** The service account key and where the service is. Loads nothing: the parent process uses it too. */

import { createPrivateKey, type KeyObject } from 'node:crypto';
import { CloudSyncError } from '../../errors.js';
import type { CredentialConfig, CredentialSecrets } from '../store.js';

/** Google's own public cloud; others (Trusted Partner Clouds) name theirs in the key. */
const DEFAULT_UNIVERSE = 'googleapis.com';
/** Where tokens are got when the key doesn't say. */
const DEFAULT_TOKEN_URI = 'https://oauth2.googleapis.com/token';

/** A place that speaks the JSON API. */
export interface GcsEndpoint {
  /** `https://host:port` */
  origin: string;
  host: string;
  /** Path before `/storage/v1`, no slash at its end. */
  basePath: string;
}

export interface GcsCredential {
  endpoint: GcsEndpoint;
  clientEmail: string;
  privateKeyId: string;
  privateKey: KeyObject;
  tokenUri: URL;
  /** '' where neither the credential nor the key names one. */
  projectId: string;
}

/** The JSON that Google's console gives for a service account. */
interface ServiceAccountKey {
  type?: unknown;
  project_id?: unknown;
  private_key_id?: unknown;
  private_key?: unknown;
  client_email?: unknown;
  token_uri?: unknown;
  universe_domain?: unknown;
}

/**
 * Reads what the user gave.
 * @throws CloudSyncError CREDENTIAL_MISSING, INVALID_INPUT with the field at fault
 */
export function readCredential(config: CredentialConfig, secrets: CredentialSecrets): GcsCredential {
  const key = parseKey(secrets.serviceAccountKey);
  const clientEmail = textOf(key.client_email);
  const privateKey = textOf(key.private_key);
  if (clientEmail === '' || privateKey === '') {
    throw badKey(`The service account key has no "${clientEmail === '' ? 'client_email' : 'private_key'}"`);
  }
  const projectId = typeof config.projectId === 'string' ? config.projectId.trim() : '';
  return {
    endpoint: endpointOf(config, textOf(key.universe_domain)),
    clientEmail,
    privateKeyId: textOf(key.private_key_id),
    privateKey: parsePrivateKey(privateKey),
    tokenUri: parseTokenUri(textOf(key.token_uri) || DEFAULT_TOKEN_URI),
    projectId: projectId || textOf(key.project_id),
  };
}

/**
 * The identity of the service (`bucket` empty) or of a bucket: `gs://host[:port][/base][/bucket]`. Bucket names are
 * unique over all projects, so neither project nor account belongs to it.
 */
export function googleCloudStorageIdentity(
  config: CredentialConfig,
  secrets: CredentialSecrets,
  bucket: string,
): string {
  const universe = secrets.serviceAccountKey === undefined ? '' : universeOf(secrets.serviceAccountKey);
  return identityOf(endpointOf(config, universe), bucket);
}

export function identityOf(endpoint: GcsEndpoint, bucket: string): string {
  const place = `gs://${endpoint.host}${endpoint.basePath}`;
  return bucket === '' ? place : `${place}/${bucket}`;
}

function universeOf(text: string): string {
  try {
    return textOf((JSON.parse(text) as ServiceAccountKey | null)?.universe_domain);
  } catch {
    // Said when the key is used.
    return '';
  }
}

function endpointOf(config: CredentialConfig, universe: string): GcsEndpoint {
  const text = typeof config.endpoint === 'string' ? config.endpoint.trim() : '';
  const address = text === '' ? `https://storage.${universe || DEFAULT_UNIVERSE}` : text;
  try {
    const url = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(address) ? address : `https://${address}`);
    if ((url.protocol === 'https:' || url.protocol === 'http:') && url.search === '' && url.hash === '') {
      // rclone and the SDKs want the path of the API in some versions and not in others: both are understood.
      const basePath = url.pathname.replace(/\/+$/, '').replace(/\/storage\/v1$/, '');
      return { origin: url.origin, host: url.host, basePath };
    }
  } catch {
    // Said below.
  }
  throw new CloudSyncError('INVALID_INPUT', `The endpoint "${text}" is not an address`, {
    field: 'endpoint',
    advice: 'Write it as https://host or https://host:port, or leave it empty for Google itself.',
  });
}

function parseKey(text: string | undefined): ServiceAccountKey {
  if (text === undefined || text.trim() === '') {
    throw new CloudSyncError('CREDENTIAL_MISSING', 'The service account key is missing', {
      field: 'serviceAccountKey',
      advice:
        'Paste the JSON of a key of the service account (Google Cloud console, "Service accounts", "Keys").',
    });
  }
  let key: ServiceAccountKey | null;
  try {
    key = JSON.parse(text) as ServiceAccountKey | null;
  } catch {
    // Without the parser's words: they quote the text, and it holds the private key.
    throw badKey('The service account key is not valid JSON');
  }
  if (typeof key !== 'object' || key === null || Array.isArray(key)) {
    throw badKey('The service account key is not a JSON object');
  }
  const type = textOf(key.type);
  if (type === 'authorized_user' || 'installed' in key || 'web' in key) {
    throw badKey('This is the login of a person or an application, not the key of a service account');
  }
  if (type === 'external_account') {
    throw badKey('This is a configuration of workload identity federation, not the key of a service account');
  }
  if (type !== 'service_account') throw badKey('This is not the key of a service account');
  return key;
}

function parsePrivateKey(pem: string): KeyObject {
  try {
    // Pasted through some forms, line ends arrive as the two characters \n.
    const key = createPrivateKey(pem.replaceAll('\\n', '\n'));
    if (key.asymmetricKeyType === 'rsa') return key;
  } catch {
    // Said below, without the words of OpenSSL.
  }
  throw badKey('The "private_key" in the service account key is damaged');
}

function parseTokenUri(text: string): URL {
  try {
    const url = new URL(text);
    if (url.protocol === 'https:' || url.protocol === 'http:') return url;
  } catch {
    // Said below.
  }
  throw badKey('The "token_uri" in the service account key is not an address');
}

function badKey(message: string): CloudSyncError {
  return new CloudSyncError('INVALID_INPUT', message, {
    field: 'serviceAccountKey',
    advice: 'Paste the whole JSON file, from { to }, that was downloaded when the key was created.',
  });
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value.trim() : '';
}
