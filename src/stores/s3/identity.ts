/** Where an S3 endpoint is, and what makes two of them the same place. Loads nothing: the parent process uses it too. */

import { CloudSyncError } from '../../errors.js';
import type { CredentialConfig } from '../store.js';
import { serviceAddress } from './presets.js';

/** An S3 service as the credential describes it. */
export interface S3Endpoint {
  protocol: 'http:' | 'https:';
  /** Host and port; for Amazon's own endpoint without a region: `undefined`, it depends on the bucket's region. */
  host: string | undefined;
  /** Path before the bucket, no slash at its end. */
  basePath: string;
  /** Amazon's own service: regions are separate hosts, buckets are found by name world-wide. */
  isAmazon: boolean;
  /** `amazonaws.com`, or `amazonaws.com.cn` in China. */
  amazonDomain: string;
  /** The region in the credential or in the host name; undefined: to be found out for each bucket. */
  region: string | undefined;
  pathStyle: boolean;
}

const AMAZON_HOST = /^s3(?:[.-]dualstack|[.-]fips)*(?:[.-]([a-z0-9-]+))?\.(amazonaws\.com(?:\.cn)?)$/;

/**
 * Reads `preset`, `endpoint`, `region` and `forcePathStyle` of a credential; INVALID_INPUT where they can't be understood.
 */
export function parseEndpoint(config: CredentialConfig): S3Endpoint {
  const { endpoint: text, region } = serviceAddress(config);
  const forced = typeof config.forcePathStyle === 'boolean' ? config.forcePathStyle : undefined;
  const amazonDomain = region?.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  if (text === '') {
    const pathStyle = forced ?? false;
    return {
      protocol: 'https:',
      host: undefined,
      basePath: '',
      isAmazon: true,
      amazonDomain,
      region,
      pathStyle,
    };
  }
  const url = parseUrl(text);
  const amazon = AMAZON_HOST.exec(url.host);
  if (amazon !== null) {
    return {
      protocol: url.protocol as S3Endpoint['protocol'],
      host: undefined,
      basePath: '',
      isAmazon: true,
      amazonDomain: amazon[2]!,
      region: region ?? amazon[1],
      pathStyle: forced ?? true,
    };
  }
  return {
    protocol: url.protocol as S3Endpoint['protocol'],
    host: url.host,
    basePath: url.pathname.replace(/\/+$/, ''),
    isAmazon: false,
    amazonDomain,
    region,
    pathStyle: forced ?? true,
  };
}

/**
 * The identity of an S3 account (`bucket` empty) or bucket: `s3://host[:port][/base][/bucket]`. The same for every
 * credential, region and style of address that reaches the same bucket.
 */
export function s3Identity(config: CredentialConfig, bucket: string): string {
  return endpointIdentity(parseEndpoint(config), bucket);
}

/** {@link s3Identity} of an endpoint that is known already. */
export function endpointIdentity(endpoint: S3Endpoint, bucket: string): string {
  const host = endpoint.host?.replace(BACKBLAZE_HOST, BACKBLAZE);
  const place = endpoint.isAmazon ? `s3.${endpoint.amazonDomain}` : `${host}${endpoint.basePath}`;
  return bucket === '' ? `s3://${place}` : `s3://${place}/${bucket}`;
}

/**
 * The place of every bucket at Backblaze: names are unique over all regions and accounts, and a credential may not know
 * its region yet. Source: https://www.backblaze.com/docs/cloud-storage-buckets
 */
export const BACKBLAZE = 's3.backblazeb2.com';
const BACKBLAZE_HOST = /^s3\.[a-z0-9-]+\.backblazeb2\.com$/;

function parseUrl(text: string): URL {
  try {
    const url = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `https://${text}`);
    if ((url.protocol === 'https:' || url.protocol === 'http:') && url.search === '' && url.hash === '')
      return url;
  } catch {
    // Said below, as for every other address that can't be used.
  }
  throw new CloudSyncError('INVALID_INPUT', `The endpoint "${text}" is not an address`, {
    field: 'endpoint',
    advice: 'Write it as https://host or https://host:port.',
  });
}
