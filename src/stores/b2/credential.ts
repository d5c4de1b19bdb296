/** What a Backblaze credential says: which key, and where the service is. Loads nothing: the parent process uses it too. */

import { CloudSyncError } from '../../errors.js';
import { BACKBLAZE, parseEndpoint, type S3Endpoint, s3Identity } from '../s3/identity.js';
import type { CredentialConfig, CredentialSecrets } from '../store.js';

/** Source: https://www.backblaze.com/apidocs/b2-authorize-account */
export const NATIVE_ORIGIN = 'https://api.backblazeb2.com';

/** Where the two interfaces are. */
export interface B2Place {
  /** Of the S3-compatible one; undefined: to be asked. */
  endpoint?: S3Endpoint;
  /**
   * Of Backblaze's own, `https://host:port`; undefined: not asked. It wants the key itself and not a signature, so that it
   * is asked of Backblaze and of servers on this machine alone.
   */
  nativeOrigin?: string;
  /** The endpoint is some other server's, which may lack Backblaze's own interface. */
  isForeign: boolean;
}

export interface B2Key {
  applicationKeyId: string;
  applicationKey: string;
}

/** Reads `endpoint` and `region`; INVALID_INPUT where they can't be understood. An endpoint goes before everything. */
export function readB2Place(config: CredentialConfig): B2Place {
  const typed = textOf(config.endpoint);
  const region = textOf(config.region);
  if (typed !== '') {
    const endpoint = parseEndpoint({ endpoint: typed, region });
    const isForeign = !/\.backblazeb2\.com$/.test(endpoint.host ?? '');
    if (!isForeign) return { endpoint, nativeOrigin: NATIVE_ORIGIN, isForeign };
    const isLocal = /^(?:127(?:\.\d+){3}|localhost|\[::1\])(?::\d+)?$/.test(endpoint.host ?? '');
    return {
      endpoint,
      isForeign,
      ...(isLocal ? { nativeOrigin: `${endpoint.protocol}//${endpoint.host}` } : {}),
    };
  }
  if (region === '') return { nativeOrigin: NATIVE_ORIGIN, isForeign: false };
  const endpoint = parseEndpoint({ preset: 'backblaze-b2', region });
  return { endpoint, nativeOrigin: NATIVE_ORIGIN, isForeign: false };
}

/** Reads the secrets; CREDENTIAL_MISSING where one is empty. Pasted keys often bring a space or a line end along. */
export function readB2Key(secrets: CredentialSecrets): B2Key {
  const read = (field: 'applicationKeyId' | 'applicationKey', label: string) => {
    const value = secrets[field]?.trim() ?? '';
    if (value !== '') return value;
    throw new CloudSyncError('CREDENTIAL_MISSING', `The ${label} is missing`, {
      field,
      advice: 'Fill it in in the credential.',
    });
  };
  return {
    applicationKeyId: read('applicationKeyId', 'application key ID'),
    applicationKey: read('applicationKey', 'application key'),
  };
}

/**
 * What a bucket is, whichever credential reaches it, one of the provider `s3` too: its name is unique over all of
 * Backblaze. Loads and asks nothing. Throws INVALID_INPUT.
 */
export function b2Identity(config: CredentialConfig, bucket: string): string {
  const typed = textOf(config.endpoint);
  if (typed !== '') return s3Identity({ endpoint: typed }, bucket);
  return bucket === '' ? `s3://${BACKBLAZE}` : `s3://${BACKBLAZE}/${bucket}`;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value.trim() : '';
}
