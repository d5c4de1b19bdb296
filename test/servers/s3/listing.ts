import { type Answer, xmlAnswer } from './answer.js';
import { isFrozen, restoreHeader } from './archive.js';
import type { Bucket, KeyEntry, ObjectVersion } from './buckets.js';
import { CHECKSUM_ELEMENTS } from './checksums.js';
import { xmlDate } from './clock.js';
import { bucketOf, type Context } from './context.js';
import { header, type S3Request } from './request.js';
import { invalidArgument, s3Error } from './s3-error.js';
import { compareUtf8 } from './utf8-order.js';
import { element } from './xml.js';

/** A page of a listing, before it becomes XML. Faults may change it. */
export interface ListPage {
  items: ListItem[];
  truncated: boolean;
}

/** An object, a version or a delete marker, or (`prefix`) all keys that share a beginning. */
export type ListItem =
  | { prefix: string; version?: undefined }
  | { prefix?: undefined; version: ObjectVersion; isLatest: boolean };

interface PageOptions {
  prefix: string;
  delimiter: string;
  /** Only what comes behind this key or common prefix. */
  after: string;
  /** With `versions`: within the key `after`, only what comes behind this version. */
  afterVersion?: string;
  max: number;
  versions: boolean;
}

const MAX_KEYS = 1000;

function nameOf(item: ListItem): string {
  return item.prefix ?? item.version.key;
}

/** One page: keys in UTF-8 byte order, rolled up at the delimiter. */
export function listPage(bucket: Bucket, options: PageOptions): ListPage {
  const { prefix, delimiter, after, afterVersion, max } = options;
  const items: ListItem[] = [];
  const startAt = compareUtf8(after, prefix) < 0 ? prefix : after;
  const includesStart = startAt !== after || afterVersion !== undefined || after === '';
  const cursor = bucket.keys.seek((key) => {
    const order = compareUtf8(key, startAt);
    return includesStart ? order < 0 : order <= 0;
  });
  if (max === 0) return { items, truncated: false };
  for (let entry = cursor.value; entry !== undefined; entry = cursor.value) {
    if (!entry.key.startsWith(prefix)) break;
    const end = delimiter === '' ? -1 : entry.key.indexOf(delimiter, prefix.length);
    const group = end < 0 ? undefined : entry.key.slice(0, end + delimiter.length);
    if (group !== undefined && after !== '' && compareUtf8(group, after) <= 0) {
      cursor.skipPrefix(group);
      continue;
    }
    const found = itemsOf(entry, options);
    if (group !== undefined && found.length > 0) {
      if (items.length === max) return { items, truncated: true };
      items.push({ prefix: group });
      cursor.skipPrefix(group);
      continue;
    }
    for (const item of found) {
      if (items.length === max) return { items, truncated: true };
      items.push(item);
    }
    cursor.next();
  }
  return { items, truncated: false };
}

function itemsOf(entry: KeyEntry, options: PageOptions): ListItem[] {
  if (!options.versions) {
    const latest = entry.versions[0] as ObjectVersion;
    return latest.isDeleteMarker ? [] : [{ version: latest, isLatest: true }];
  }
  let versions = entry.versions.map((version, index) => ({ version, isLatest: index === 0 }));
  if (entry.key === options.after && options.afterVersion !== undefined) {
    const index = entry.versions.findIndex((version) => version.versionId === options.afterVersion);
    if (index < 0)
      throw invalidArgument('version-id-marker', options.afterVersion, 'Invalid version id specified');
    versions = versions.slice(index + 1);
  }
  return versions;
}

/** A number of items: 1,000 at most, as S3 cuts it. */
export function limitOf(request: S3Request, name: string): number {
  const text = request.query.get(name);
  if (text === undefined || text === '') return MAX_KEYS;
  if (!/^\d+$/.test(text) || Number(text) > 2147483647) {
    throw invalidArgument(name, text, `Provided ${name} not an integer or within integer range`);
  }
  return Math.min(Number(text), MAX_KEYS);
}

/** How names are written: as they are, or encoded for URLs as Java's URLEncoder does, which S3 uses (space as `+`). */
export function nameWriter(request: S3Request): { write: (name: string) => string; element: string } {
  const type = request.query.get('encoding-type');
  if (type === undefined) return { write: (name) => name, element: '' };
  if (type !== 'url')
    throw invalidArgument('encoding-type', type, 'Invalid Encoding Method specified in Request');
  return { write: urlEncode, element: element('EncodingType', 'url') };
}

export function urlEncode(name: string): string {
  return encodeURIComponent(name)
    .replace(/[!'()~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+')
    .replaceAll('%2F', '/');
}

const OWNER = '<Owner><ID>75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a</ID></Owner>';

function wantsRestoreStatus(request: S3Request): boolean {
  const wanted = header(request, 'x-amz-optional-object-attributes');
  if (wanted !== undefined && wanted !== 'RestoreStatus') {
    throw invalidArgument('x-amz-optional-object-attributes', wanted, 'Invalid attribute name specified');
  }
  return wanted !== undefined;
}

interface Writing {
  name: (name: string) => string;
  owner: boolean;
  restoreStatus: boolean;
  now: number;
}

function commonFields(version: ObjectVersion, writing: Writing): string {
  const { checksum } = version;
  let text =
    `<LastModified>${xmlDate(version.lastModified)}</LastModified><ETag>&quot;${version.etag}&quot;</ETag>` +
    `<Size>${version.size}</Size>${writing.owner ? OWNER : ''}<StorageClass>${version.storageClass}</StorageClass>`;
  if (checksum !== undefined) {
    text += `<ChecksumAlgorithm>${CHECKSUM_ELEMENTS[checksum.algorithm].slice('Checksum'.length)}</ChecksumAlgorithm>`;
    text += `<ChecksumType>${checksum.type}</ChecksumType>`;
  }
  if (
    writing.restoreStatus &&
    version.restore !== undefined &&
    restoreHeader(version, writing.now) !== undefined
  ) {
    const frozen = isFrozen(version, writing.now);
    const expiry = frozen ? '' : element('RestoreExpiryDate', xmlDate(version.restore.expiresAt));
    text += `<RestoreStatus>${element('IsRestoreInProgress', frozen)}${expiry}</RestoreStatus>`;
  }
  return text;
}

function writeItem(item: ListItem, writing: Writing): string {
  if (item.prefix !== undefined)
    return `<CommonPrefixes>${element('Prefix', writing.name(item.prefix))}</CommonPrefixes>`;
  return `<Contents>${element('Key', writing.name(item.version.key))}${commonFields(item.version, writing)}</Contents>`;
}

function writeVersion(item: ListItem, writing: Writing): string {
  if (item.prefix !== undefined) return writeItem(item, writing);
  const { version } = item;
  const head = `${element('Key', writing.name(version.key))}${element('VersionId', version.versionId)}${element('IsLatest', item.isLatest)}`;
  if (version.isDeleteMarker) {
    return `<DeleteMarker>${head}${element('LastModified', xmlDate(version.lastModified))}${OWNER}</DeleteMarker>`;
  }
  return `<Version>${head}${commonFields(version, writing)}</Version>`;
}

/** Common prefixes follow the keys in S3's answers. */
function writeItems(items: readonly ListItem[], write: (item: ListItem) => string): string {
  let text = '';
  for (const item of items) if (item.prefix === undefined) text += write(item);
  for (const item of items) if (item.prefix !== undefined) text += write(item);
  return text;
}

function writingOf(context: Context, name: (name: string) => string, owner: boolean): Writing {
  return { name, owner, restoreStatus: wantsRestoreStatus(context.request), now: context.state.clock.now() };
}

interface Token {
  after: string;
  before: string;
}

function readToken(text: string): Token {
  try {
    const token: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    if (Array.isArray(token) && typeof token[0] === 'string' && typeof token[1] === 'string') {
      return { after: token[0], before: token[1] };
    }
  } catch {}
  throw invalidArgument('continuation-token', text, 'The continuation token provided is incorrect');
}

export function listObjectsV2(context: Context): Answer {
  const { request, faults } = context;
  const bucket = bucketOf(context);
  const { query } = request;
  if (query.get('list-type') !== '2')
    throw invalidArgument(
      'list-type',
      String(query.get('list-type')),
      'Invalid List Type specified in Request',
    );
  const [prefix, delimiter, startAfter] = ['prefix', 'delimiter', 'start-after'].map(
    (name) => query.get(name) ?? '',
  ) as [string, string, string];
  const tokenText = query.get('continuation-token');
  if (tokenText === '')
    throw invalidArgument('continuation-token', '', 'The continuation token provided is incorrect');
  const token = tokenText === undefined ? undefined : readToken(tokenText);
  const max = Math.min(limitOf(request, 'max-keys'), context.state.listPageSize);
  const names = nameWriter(request);
  const after =
    token === undefined ? startAfter : faults.has('repeat-list-page') ? token.before : token.after;
  const page = listPage(bucket, { prefix, delimiter, after, max, versions: false });
  const last = page.items.at(-1);
  const next =
    page.truncated && last
      ? Buffer.from(JSON.stringify([nameOf(last), after])).toString('base64url')
      : undefined;
  faults.changeList(page);
  const owner = query.get('fetch-owner') ?? 'false';
  if (owner !== 'true' && owner !== 'false')
    throw invalidArgument('fetch-owner', owner, 'Invalid fetch-owner');
  const writing = writingOf(context, names.write, owner === 'true');
  return xmlAnswer(
    'ListBucketResult',
    element('Name', bucket.name) +
      element('Prefix', names.write(prefix)) +
      element('StartAfter', startAfter === '' ? undefined : names.write(startAfter)) +
      element('ContinuationToken', tokenText) +
      element('NextContinuationToken', next) +
      element('KeyCount', page.items.length) +
      element('MaxKeys', max) +
      element('Delimiter', delimiter === '' ? undefined : names.write(delimiter)) +
      names.element +
      element('IsTruncated', page.truncated) +
      writeItems(page.items, (item) => writeItem(item, writing)),
  );
}

export function listObjects(context: Context): Answer {
  const { request, faults } = context;
  const bucket = bucketOf(context);
  const { query } = request;
  const [prefix, delimiter, marker] = ['prefix', 'delimiter', 'marker'].map(
    (name) => query.get(name) ?? '',
  ) as [string, string, string];
  const max = limitOf(request, 'max-keys');
  const names = nameWriter(request);
  const page = listPage(bucket, { prefix, delimiter, after: marker, max, versions: false });
  const last = page.items.at(-1);
  // "This element is returned only if you have the delimiter request parameter specified."
  const next = page.truncated && delimiter !== '' && last ? names.write(nameOf(last)) : undefined;
  faults.changeList(page);
  const writing = writingOf(context, names.write, true);
  return xmlAnswer(
    'ListBucketResult',
    element('Name', bucket.name) +
      element('Prefix', names.write(prefix)) +
      element('Marker', names.write(marker)) +
      element('NextMarker', next) +
      element('MaxKeys', max) +
      element('Delimiter', delimiter === '' ? undefined : names.write(delimiter)) +
      names.element +
      element('IsTruncated', page.truncated) +
      writeItems(page.items, (item) => writeItem(item, writing)),
  );
}

export function listObjectVersions(context: Context): Answer {
  const { request, faults } = context;
  const bucket = bucketOf(context);
  const { query } = request;
  const [prefix, delimiter, keyMarker] = ['prefix', 'delimiter', 'key-marker'].map(
    (name) => query.get(name) ?? '',
  ) as [string, string, string];
  const versionMarker = query.get('version-id-marker');
  if (versionMarker !== undefined && keyMarker === '') {
    throw s3Error('InvalidArgument', {
      message: 'A version-id marker cannot be specified without a key marker.',
    });
  }
  if (versionMarker === '')
    throw invalidArgument('version-id-marker', '', 'A version-id marker cannot be empty.');
  const max = limitOf(request, 'max-keys');
  const names = nameWriter(request);
  const options = { prefix, delimiter, after: keyMarker, max, versions: true };
  const page = listPage(
    bucket,
    versionMarker === undefined ? options : { ...options, afterVersion: versionMarker },
  );
  const last = page.truncated ? page.items.at(-1) : undefined;
  faults.changeList(page);
  const writing = writingOf(context, names.write, true);
  return xmlAnswer(
    'ListVersionsResult',
    element('Name', bucket.name) +
      element('Prefix', names.write(prefix)) +
      element('KeyMarker', names.write(keyMarker)) +
      element('VersionIdMarker', versionMarker ?? '') +
      element('NextKeyMarker', last && names.write(nameOf(last))) +
      element('NextVersionIdMarker', last?.version?.versionId) +
      element('MaxKeys', max) +
      element('Delimiter', delimiter === '' ? undefined : names.write(delimiter)) +
      names.element +
      element('IsTruncated', page.truncated) +
      writeItems(page.items, (item) => writeVersion(item, writing)),
  );
}
