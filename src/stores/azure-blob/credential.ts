/** Who asks, and where: the account, its address, and the signature of each request. */

import { createHmac } from 'node:crypto';
import { CloudSyncError } from '../../errors.js';
import type { CredentialConfig, CredentialSecrets, KeyAbility } from '../store.js';

/** An account's address and what proves that we may use it. */
export interface AzureCredential {
  accountName: string;
  /** `https://host:port`, no path. */
  origin: string;
  /** Path before the container: empty, or `/account` where the host doesn't name the account (emulators, gateways). */
  basePath: string;
  /** Host that, with the account in front, names the account for ever: `photos.blob.core.windows.net`. */
  host: string;
  /** The account key, decoded. Undefined where a SAS is used. */
  accountKey?: Buffer;
  /** The SAS as query parameters, values decoded. Undefined where the account key is used. */
  sas?: ReadonlyMap<string, string>;
}

const PUBLIC_CLOUD = 'blob.core.windows.net';

/**
 * Reads what the user filled in.
 * @throws CloudSyncError INVALID_INPUT, CREDENTIAL_MISSING
 */
export function readCredential(config: CredentialConfig, secrets: CredentialSecrets): AzureCredential {
  const accountKeyText = (secrets.accountKey ?? '').trim();
  const sasText = (secrets.sasToken ?? '').trim();
  const address = accountAddress(config);
  if (accountKeyText !== '') return { ...address, accountKey: decodeAccountKey(accountKeyText) };
  if (sasText !== '') return { ...address, sas: parseSas(sasText) };
  throw new CloudSyncError('CREDENTIAL_MISSING', 'Neither an account key nor a SAS token is given', {
    field: 'accountKey',
    advice: 'Copy a key from "Access keys" of the storage account in the Azure portal, or a SAS token.',
  });
}

/**
 * The account's address from the saved properties alone.
 * `endpoint` may name the account (`https://photos.blob.core.windows.net`, `http://127.0.0.1:10000/photos`) or leave it
 * out (`https://blob.core.chinacloudapi.cn`, `http://127.0.0.1:10000`).
 * @throws CloudSyncError INVALID_INPUT
 */
export function accountAddress(
  config: CredentialConfig,
): Pick<AzureCredential, 'accountName' | 'origin' | 'basePath' | 'host'> {
  const accountName = text(config.accountName);
  const endpoint = text(config.endpoint);
  // https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-name
  const valid = endpoint === '' ? /^[a-z0-9]{3,24}$/ : /^[A-Za-z0-9-]{1,63}$/;
  if (!valid.test(accountName)) {
    throw new CloudSyncError('INVALID_INPUT', `"${accountName}" can't be the name of a storage account`, {
      field: 'accountName',
      advice: 'Give the name alone (3 to 24 small letters and digits), without ".blob.core.windows.net".',
    });
  }
  if (endpoint === '') {
    const host = `${accountName}.${PUBLIC_CLOUD}`;
    return { accountName, origin: `https://${host}`, basePath: '', host };
  }
  const url = parseEndpoint(endpoint);
  const path = url.pathname.replace(/\/+$/, '');
  if (url.hostname.startsWith(`${accountName}.`)) {
    return { accountName, origin: url.origin, basePath: path, host: url.host };
  }
  if (/^blob\./.test(url.hostname) && path === '') {
    const host = `${accountName}.${url.host}`;
    return { accountName, origin: `${url.protocol}//${host}`, basePath: '', host };
  }
  const basePath = path.endsWith(`/${accountName}`) ? path : `${path}/${accountName}`;
  return { accountName, origin: url.origin, basePath, host: `${accountName}.${url.host}` };
}

/**
 * What a container is, whichever credential reaches it: `azure-blob://photos.blob.core.windows.net/backup`. Loads and
 * asks nothing.
 * @throws CloudSyncError INVALID_INPUT
 */
export function azureBlobIdentity(config: CredentialConfig, bucket: string): string {
  return identityOf(accountAddress(config).host, bucket);
}

/** The identity of a container, or of the account where `bucket` is ''. */
export function identityOf(host: string, bucket: string): string {
  return bucket === '' ? `azure-blob://${host}` : `azure-blob://${host}/${bucket}`;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value.trim() : '';
}

function parseEndpoint(endpoint: string): URL {
  try {
    const url = new URL(endpoint);
    if (url.protocol === 'http:' || url.protocol === 'https:') return url;
  } catch {
    // Said below.
  }
  throw new CloudSyncError('INVALID_INPUT', 'The endpoint is no http or https address', {
    field: 'endpoint',
    advice: 'Leave it empty for the public Azure cloud, else give an address like https://blob.core.example.',
  });
}

function decodeAccountKey(key: string): Buffer {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(key) || key.length % 4 !== 0) {
    throw new CloudSyncError('WRONG_SECRET', 'The account key is not complete: it is no Base64', {
      field: 'accountKey',
      advice: 'Copy it again from "Access keys" of the storage account; it ends with "==".',
    });
  }
  return Buffer.from(key, 'base64');
}

/** Accepts the token, the token behind `?`, or a whole SAS URL. */
function parseSas(token: string): Map<string, string> {
  const query = token.slice(token.indexOf('?') + 1);
  const parameters = new Map(new URLSearchParams(query));
  if (!parameters.has('sig') || !(parameters.has('sv') || parameters.has('sr'))) {
    throw new CloudSyncError(
      'INVALID_INPUT',
      'The SAS token is not complete: it has no signature or version',
      {
        field: 'sasToken',
        advice: 'Copy the whole token; it begins with "sv=" and holds "sig=".',
      },
    );
  }
  return parameters;
}

/** When the SAS stops being valid, ms since the epoch; undefined for account keys and stored access policies. */
export function sasExpiry(credential: AzureCredential): number | undefined {
  const expiry = Date.parse(credential.sas?.get('se') ?? '');
  return Number.isNaN(expiry) ? undefined : expiry;
}

/** Whether the credential may delete, as far as it says so itself. */
export function mayDelete(credential: AzureCredential): boolean {
  const permissions = credential.sas?.get('sp');
  return permissions === undefined || permissions.includes('d');
}

/**
 * What the credential may do, as far as it says so itself: an account key everything, a SAS what its `sp` names.
 * https://learn.microsoft.com/rest/api/storageservices/create-service-sas#specify-permissions
 */
export function abilitiesOf(credential: AzureCredential): KeyAbility[] {
  const permissions = credential.sas?.get('sp');
  if (credential.sas !== undefined && permissions === undefined) return [];
  const may = (letters: string) =>
    permissions === undefined || [...letters].every((one) => permissions.includes(one));
  const abilities: [KeyAbility, string][] = [
    ['list', 'l'],
    ['read', 'r'],
    ['write', 'cw'],
    ['delete', 'd'],
    ['versions', 'lx'],
  ];
  return abilities.filter(([, letters]) => may(letters)).map(([ability]) => ability);
}

/** What the signature covers besides the `x-ms-` headers, in this order. */
const SIGNED_HEADERS = [
  'content-encoding',
  'content-language',
  'content-length',
  'content-md5',
  'content-type',
  'date',
  'if-modified-since',
  'if-match',
  'if-none-match',
  'if-unmodified-since',
  'range',
] as const;

/**
 * The value of `Authorization`, over headers whose names are in lower case and `x-ms-date` among them.
 * https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
 * @param path The path as it is sent, percent-encoded.
 * @param query Parameters, values not encoded.
 */
export function sharedKeyAuthorization(
  accountName: string,
  accountKey: Buffer,
  method: string,
  path: string,
  query: Iterable<readonly [string, string]>,
  headers: Readonly<Record<string, string>>,
): string {
  const lines = [method];
  for (const name of SIGNED_HEADERS) {
    const value = headers[name] ?? '';
    lines.push(name === 'content-length' && value === '0' ? '' : value);
  }
  const names = Object.keys(headers).filter((name) => name.startsWith('x-ms-'));
  names.sort((a, b) => (signatureRank(a) < signatureRank(b) ? -1 : 1));
  for (const name of names) lines.push(`${name}:${headers[name]!.trimStart()}`);
  let resource = `/${accountName}${path}`;
  const parameters = [...query].map(([name, value]) => [name.toLowerCase(), value] as const);
  parameters.sort((a, b) => (a[0] < b[0] ? -1 : 1));
  for (const [name, value] of parameters) resource += `\n${name}:${value}`;
  lines.push(resource);
  const signature = createHmac('sha256', accountKey).update(lines.join('\n'), 'utf8').digest('base64');
  return `SharedKey ${accountName}:${signature}`;
}

/**
 * The service sorts header names as .NET compares words: hyphens count last, the underscore stands before digits. Header
 * names differ in more than hyphens, so that leaving these out is enough.
 */
function signatureRank(name: string): string {
  return name.replaceAll('-', '').replaceAll('_', ' ');
}
