/** What clients say about objects, checked. */

import { invalid } from './api-error.js';
import type { Bucket, ObjectMetadata } from './buckets.js';
import { type Call, readJson } from './call.js';

const TEXTS = [
  'contentType',
  'contentEncoding',
  'contentDisposition',
  'contentLanguage',
  'cacheControl',
  'storageClass',
] as const;
const FLAGS = ['temporaryHold', 'eventBasedHold'] as const;
/** Allowed in a description although the service sets them: they have to fit. */
const CLAIMS = ['name', 'bucket', 'md5Hash', 'crc32c', 'size', 'acl', 'kind', 'generation'];
/** Set by the service: clients that send back what they got (rclone) may name them, to no effect. */
const OUTPUT_ONLY = [
  'id',
  'selfLink',
  'mediaLink',
  'metageneration',
  'etag',
  'timeCreated',
  'updated',
  'timeFinalized',
  'timeStorageClassUpdated',
  'componentCount',
];
/** https://cloud.google.com/storage/quotas#objects */
const MAX_METADATA_BYTES = 8192;

export interface Description {
  metadata: ObjectMetadata;
  /** Names that were set to null, to be removed by a patch. */
  removed: string[];
  removedMetadata: string[];
  name?: string;
  md5Hash?: string;
  crc32c?: string;
}

/** Reads a description; refuses unknown names, wrong types and access control lists where the bucket forbids them. */
export function readDescription(call: Call, bucket: Bucket, text: string): Description {
  const raw = readJson(text, ['metadata', ...TEXTS, ...FLAGS, ...CLAIMS, ...OUTPUT_ONLY]);
  confirmNoAcl(call, bucket, raw);
  const description: Description = { metadata: {}, removed: [], removedMetadata: [] };
  for (const name of TEXTS) {
    const value = raw[name];
    if (value === undefined) continue;
    if (value === null) description.removed.push(name);
    else if (typeof value === 'string') description.metadata[name] = value;
    else throw invalid(`Invalid value for: ${name}`, name);
  }
  for (const name of FLAGS) {
    const value = raw[name];
    if (typeof value === 'boolean') description.metadata[name] = value;
    else if (value !== undefined && value !== null) throw invalid(`Invalid value for: ${name}`, name);
  }
  for (const name of ['name', 'md5Hash', 'crc32c'] as const) {
    const value = raw[name];
    if (typeof value === 'string') description[name] = value;
    else if (value !== undefined) throw invalid(`Invalid value for: ${name}`, name);
  }
  readCustom(raw.metadata, description);
  return description;
}

function readCustom(value: unknown, description: Description): void {
  if (value === undefined) return;
  if (value === null) {
    description.removed.push('metadata');
    return;
  }
  if (typeof value !== 'object' || Array.isArray(value))
    throw invalid('Invalid value for: metadata', 'metadata');
  const metadata: Record<string, string> = {};
  let bytes = 0;
  for (const [name, text] of Object.entries(value)) {
    if (text === null) {
      description.removedMetadata.push(name);
      continue;
    }
    if (typeof text !== 'string') throw invalid(`Invalid value for: metadata.${name}`, 'metadata');
    bytes += Buffer.byteLength(name) + Buffer.byteLength(text);
    metadata[name] = text;
  }
  if (bytes > MAX_METADATA_BYTES) {
    throw invalid(`The total size of custom metadata exceeds ${MAX_METADATA_BYTES} bytes.`, 'metadata');
  }
  description.metadata.metadata = metadata;
}

/** https://cloud.google.com/storage/docs/uniform-bucket-level-access#should-you-use */
function confirmNoAcl(call: Call, bucket: Bucket, raw: Record<string, unknown>): void {
  const names = ['predefinedAcl', 'destinationPredefinedAcl'];
  const hasAcl = raw.acl !== undefined || names.some((name) => call.query.has(name));
  if (bucket.uniformAccess && hasAcl) {
    throw invalid(
      'Cannot insert legacy ACL for an object when uniform bucket-level access is enabled. Read more at https://cloud.google.com/storage/docs/uniform-bucket-level-access',
    );
  }
}

/** "If the provided hash doesn't match, the upload fails": https://cloud.google.com/storage/docs/data-validation */
export function confirmClaims(
  claims: { md5Hash?: string; crc32c?: string },
  found: { md5Hash: string; crc32c: string },
): void {
  if (claims.md5Hash !== undefined && claims.md5Hash !== found.md5Hash) {
    throw invalid(
      `Provided MD5 hash "${claims.md5Hash}" doesn't match calculated MD5 hash "${found.md5Hash}".`,
    );
  }
  if (claims.crc32c !== undefined && claims.crc32c !== found.crc32c) {
    throw invalid(`Provided CRC32C "${claims.crc32c}" doesn't match calculated CRC32C "${found.crc32c}".`);
  }
}
