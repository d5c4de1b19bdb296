/** Deleting: single objects, batches of a thousand, and all versions of a key. */

import { asCloudSyncError, CloudSyncError, hasCode } from '../../errors.js';
import type { DeleteOutcome, DeleteRequest } from '../store.js';
import { xmlBody } from './bodies.js';
import type { S3Connection } from './connection.js';
import { type ErrorSubject, translateAnswer } from './errors.js';
import { listBucket } from './listing.js';
import { quote } from './objects.js';
import { encodeQuery } from './signature.js';
import { elements, elementText, escapeXml, isXmlText } from './xml.js';

/** Source: DeleteObjects, Amazon S3 API Reference. */
export const DELETE_BATCH = 1000;

/** Removes one key, or one version of it; content where there is none. */
export async function deleteOne(
  connection: S3Connection,
  bucket: string,
  request: DeleteRequest,
  signal?: AbortSignal,
): Promise<void> {
  try {
    await connection.send({
      kind: 'DELETE',
      method: 'DELETE',
      action: 'delete',
      bucket,
      key: request.key,
      query: encodeQuery({ versionId: request.versionId }),
      ...(request.ifMatch === undefined ? {} : { headers: { 'if-match': quote(request.ifMatch) } }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (!hasCode(error, 'NOT_FOUND')) throw error;
  }
}

/** One outcome per request, in their order. Throws only what concerns the whole batch: credential, bucket, network. */
export async function deleteBatches(
  connection: S3Connection,
  bucket: string,
  requests: readonly DeleteRequest[],
  signal?: AbortSignal,
): Promise<DeleteOutcome[]> {
  const outcomes: DeleteOutcome[] = [];
  for (let start = 0; start < requests.length; start += DELETE_BATCH) {
    outcomes.push(
      ...(await deleteBatch(connection, bucket, requests.slice(start, start + DELETE_BATCH), signal)),
    );
  }
  return outcomes;
}

async function deleteBatch(
  connection: S3Connection,
  bucket: string,
  requests: readonly DeleteRequest[],
  signal?: AbortSignal,
): Promise<DeleteOutcome[]> {
  // XML has no way to write some characters, and a condition belongs to a single request.
  const inBatch = requests.filter((request) => isXmlText(request.key) && request.ifMatch === undefined);
  const batched = new Set(inBatch);
  const errors = new Map<string, CloudSyncError>();
  if (inBatch.length > 0) await sendBatch(connection, bucket, inBatch, errors, signal);
  for (const request of requests) {
    if (batched.has(request)) continue;
    try {
      await deleteOne(connection, bucket, request, signal);
    } catch (error) {
      const ours = asCloudSyncError(error);
      if (hasCode(ours, 'ABORTED')) throw ours;
      errors.set(identityOf(request), ours);
    }
  }
  return requests.map((request) => {
    const error = errors.get(identityOf(request));
    return error === undefined ? { key: request.key } : { key: request.key, error };
  });
}

/** Sends one DeleteObjects; fills in `errors` for the requests that failed. */
async function sendBatch(
  connection: S3Connection,
  bucket: string,
  requests: readonly DeleteRequest[],
  errors: Map<string, CloudSyncError>,
  signal?: AbortSignal,
): Promise<void> {
  const objects = requests.map(({ key, versionId }) => {
    const version = versionId === undefined ? '' : `<VersionId>${escapeXml(versionId)}</VersionId>`;
    return `<Object><Key>${escapeXml(key)}</Key>${version}</Object>`;
  });
  const response = await connection.send({
    kind: 'POST',
    method: 'POST',
    action: 'delete',
    bucket,
    query: 'delete=',
    headers: { 'content-type': 'application/xml' },
    body: xmlBody(
      `<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${objects.join('')}<Quiet>false</Quiet></Delete>`,
    ),
    mayFailInside: true,
    ...(signal === undefined ? {} : { signal }),
  });
  const xml = response.bytes.toString();
  const gone = new Set<string>();
  for (const deleted of elements(xml, 'Deleted')) gone.add(answeredIdentity(deleted));
  for (const failed of elements(xml, 'Error')) {
    const identity = answeredIdentity(failed);
    const code = elementText(failed, 'Code') ?? '';
    if (code === 'NoSuchKey' || code === 'NoSuchVersion') {
      gone.add(identity);
      continue;
    }
    const subject: ErrorSubject = {
      action: 'delete',
      bucket,
      key: elementText(failed, 'Key') ?? '',
      region: '',
      secrets: [],
      now: connection.now(),
      keyWords: connection.keyWords,
    };
    const message = elementText(failed, 'Message') ?? '';
    errors.set(identity, translateAnswer({ status: 500, code, message, headers: {} }, subject));
  }
  for (const request of requests) {
    const identity = identityOf(request);
    if (gone.has(identity) || errors.has(identity)) continue;
    errors.set(
      identity,
      new CloudSyncError('BAD_ANSWER', `The server does not say whether "${request.key}" was deleted`, {
        path: request.key,
      }),
    );
  }
}

function identityOf(request: DeleteRequest): string {
  return `${request.versionId ?? ''}\n${request.key}`;
}

function answeredIdentity(xml: string): string {
  return `${elementText(xml, 'VersionId') ?? ''}\n${elementText(xml, 'Key') ?? ''}`;
}

/** Requests that remove every version and delete marker of `key`. */
export async function requestsForAllVersions(
  connection: S3Connection,
  bucket: string,
  key: string,
  signal?: AbortSignal,
): Promise<DeleteRequest[]> {
  const requests: DeleteRequest[] = [];
  const options = { prefix: key, versions: true, folders: true, ...(signal === undefined ? {} : { signal }) };
  for await (const page of listBucket(connection, bucket, options)) {
    let isPast = false;
    for (const entry of page) {
      const entryKey = entry.kind === 'folder' ? `${entry.key}/` : entry.key;
      if (entryKey !== key) {
        // In a listing without order it may still come.
        if (connection.traits.order === 'none') continue;
        isPast = true;
        break;
      }
      requests.push({ key, ...(entry.versionId === undefined ? {} : { versionId: entry.versionId }) });
    }
    if (isPast) break;
  }
  return requests;
}
