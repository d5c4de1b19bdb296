/**
 * Copying within an account, at the server. https://learn.microsoft.com/rest/api/storageservices/copy-blob
 */

import { CloudSyncError, hasCode } from '../../errors.js';
import { pause } from '../http.js';
import type { CopyOptions, StoredObject } from '../store.js';
import { blobPath, conditionHeaders, metadataHeaders, objectOfHeaders, quoted, tierName } from './objects.js';
import type { AzureAnswer, AzureTransport } from './transport.js';

/** How often a long copy is asked whether it is finished, ms. Within one account most are at once. */
const POLL_MS = 1000;

type Headers = Readonly<Record<string, string | undefined>>;

/** Copies `sourceKey` to `key` in the same container. Throws NOT_FOUND, CHANGED, ARCHIVED, PRECONDITION_FAILED ... */
export async function copyBlob(
  transport: AzureTransport,
  bucket: string,
  sourceKey: string,
  key: string,
  options: CopyOptions,
): Promise<StoredObject> {
  const { attributes, signal, sourceIfMatch, sourceVersionId } = options;
  const source = await transport.send({
    kind: 'HEAD',
    method: 'HEAD',
    path: blobPath(bucket, sourceKey),
    query: sourceVersionId === undefined ? {} : { versionid: sourceVersionId },
    bucket,
    key: sourceKey,
    ...(signal === undefined ? {} : { signal }),
  });
  if (sourceIfMatch !== undefined && quoted(sourceIfMatch) !== source.headers.etag)
    throw sourceChanged(sourceKey);
  const headers = copyHeaders(source.headers, options);
  headers['x-ms-copy-source'] = sourceAddress(transport, bucket, sourceKey, sourceVersionId);
  const started = await startCopy(transport, bucket, sourceKey, key, headers, signal);
  let finished = await waitForCopy(transport, bucket, key, started.headers, signal);
  if (attributes?.contentType !== undefined) {
    finished = await setContentType(transport, bucket, source.headers, key, attributes.contentType, signal);
  }
  return copiedObject(key, source.headers, headers, finished);
}

/** What is to be different at the copy, and the conditions. */
function copyHeaders(source: Headers, options: CopyOptions): Record<string, string> {
  const { attributes } = options;
  const headers: Record<string, string> = conditionHeaders(options);
  if (source.etag !== undefined) headers['x-ms-source-if-match'] = source.etag;
  if (attributes !== undefined) {
    const metadata = metadataHeaders(attributes);
    // Without any metadata of its own the copy would take over that of its source.
    if (Object.keys(metadata).length === 0) {
      metadata['x-ms-meta-mtime'] = source['x-ms-meta-mtime'] ?? '1970-01-01T00:00:00.000000000Z';
    }
    Object.assign(headers, metadata);
  }
  // A copy gets the account's tier, not that of its source.
  const isDefaultTier = source['x-ms-access-tier-inferred'] === 'true';
  const tier = tierName(attributes?.storageClass ?? (isDefaultTier ? undefined : source['x-ms-access-tier']));
  if (tier !== undefined) headers['x-ms-access-tier'] = tier;
  return headers;
}

/** The copy, as its source, the request and the answer describe it. */
function copiedObject(
  key: string,
  source: Headers,
  requested: Readonly<Record<string, string>>,
  answered: Headers,
): StoredObject {
  const isReplaced = Object.keys(requested).some((name) => name.startsWith('x-ms-meta-'));
  const described: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(source)) {
    if (!(isReplaced && name.startsWith('x-ms-meta-'))) described[name] = value;
  }
  for (const [name, value] of Object.entries(requested)) {
    if (name.startsWith('x-ms-meta-') || name === 'x-ms-access-tier') described[name] = value;
  }
  for (const name of ['etag', 'last-modified', 'x-ms-version-id']) described[name] = answered[name];
  return objectOfHeaders(key, Number(source['content-length'] ?? 0), described);
}

async function startCopy(
  transport: AzureTransport,
  bucket: string,
  sourceKey: string,
  key: string,
  headers: Record<string, string>,
  signal: AbortSignal | undefined,
): Promise<AzureAnswer> {
  try {
    return await transport.send({
      kind: 'COPY',
      method: 'PUT',
      path: blobPath(bucket, key),
      headers,
      bucket,
      key,
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    // The destination need not be there, so it is the source that went away.
    if (hasCode(error, 'NOT_FOUND')) throw sourceChanged(sourceKey, error);
    throw error;
  }
}

async function waitForCopy(
  transport: AzureTransport,
  bucket: string,
  key: string,
  started: Headers,
  signal: AbortSignal | undefined,
): Promise<Headers> {
  const path = blobPath(bucket, key);
  const copyId = started['x-ms-copy-id'];
  let headers = started;
  try {
    while (headers['x-ms-copy-status'] === 'pending') {
      await pause(POLL_MS, signal);
      const options = signal === undefined ? {} : { signal };
      ({ headers } = await transport.send({ kind: 'HEAD', method: 'HEAD', path, bucket, key, ...options }));
    }
  } catch (error) {
    if (copyId !== undefined) await abortCopy(transport, bucket, key, copyId);
    throw error;
  }
  const status = headers['x-ms-copy-status'];
  if (status === 'failed' || status === 'aborted') {
    const reason = headers['x-ms-copy-status-description'] ?? status;
    throw new CloudSyncError('SERVER_ERROR', `Azure could not copy the blob: ${reason}`, { path: key });
  }
  return headers;
}

async function abortCopy(
  transport: AzureTransport,
  bucket: string,
  key: string,
  copyId: string,
): Promise<void> {
  await transport
    .send({
      kind: 'COPY',
      method: 'PUT',
      path: blobPath(bucket, key),
      query: { comp: 'copy', copyid: copyId },
      headers: { 'x-ms-copy-action': 'abort' },
      bucket,
      key,
      maxAttempts: 1,
    })
    // It may have finished in between; the error that led here is what counts.
    .catch(() => {});
}

async function setContentType(
  transport: AzureTransport,
  bucket: string,
  source: Headers,
  key: string,
  contentType: string,
  signal: AbortSignal | undefined,
): Promise<Headers> {
  const headers: Record<string, string> = { 'x-ms-blob-content-type': contentType };
  // What isn't named is cleared.
  for (const name of [
    'content-md5',
    'content-encoding',
    'content-language',
    'content-disposition',
    'cache-control',
  ]) {
    const value = source[name];
    if (value !== undefined) headers[`x-ms-blob-${name}`] = value;
  }
  const answer = await transport.send({
    kind: 'PUT',
    method: 'PUT',
    path: blobPath(bucket, key),
    query: { comp: 'properties' },
    headers,
    bucket,
    key,
    ...(signal === undefined ? {} : { signal }),
  });
  return answer.headers;
}

/** A SAS has to stand in the address; it never comes into an error, because addresses don't. */
function sourceAddress(
  transport: AzureTransport,
  bucket: string,
  key: string,
  versionId: string | undefined,
): string {
  const { origin, basePath, sas } = transport.credential;
  const query = [...(versionId === undefined ? [] : [['versionid', versionId] as const]), ...(sas ?? [])];
  const search = query.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
  return `${origin}${basePath}${blobPath(bucket, key)}${search === '' ? '' : `?${search}`}`;
}

function sourceChanged(key: string, cause?: unknown): CloudSyncError {
  return new CloudSyncError('CHANGED', `"${key}" was replaced before it was copied`, { path: key, cause });
}
