/**
 * Deleting blobs, one by one or 256 with a request.
 * https://learn.microsoft.com/rest/api/storageservices/blob-batch
 */

import { randomUUID } from 'node:crypto';
import { CloudSyncError, hasCode } from '../../errors.js';
import type { DeleteOutcome, DeleteRequest } from '../store.js';
import { sharedKeyAuthorization } from './credential.js';
import { errorFromAnswer, errorSubject } from './errors.js';
import { blobPath, conditionHeaders } from './objects.js';
import type { AzureTransport } from './transport.js';

/** Blobs a batch may hold. */
export const DELETE_BATCH = 256;
/** Single deletes at once, where a batch isn't possible. */
const PARALLEL_DELETES = 16;

/** Deletes one blob, with its snapshots; no error where it isn't there. */
export async function deleteBlob(
  transport: AzureTransport,
  bucket: string,
  request: DeleteRequest,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await transport.send({
      kind: 'DELETE',
      method: 'DELETE',
      path: blobPath(bucket, request.key),
      query: request.versionId === undefined ? {} : { versionid: request.versionId },
      headers: deleteHeaders(request),
      bucket,
      key: request.key,
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return;
    // A condition on a blob that isn't there fails too, also after an attempt that deleted it and whose answer was lost.
    if (hasCode(error, 'PRECONDITION_FAILED') && !(await isThere(transport, bucket, request, signal))) return;
    throw error;
  }
}

async function isThere(
  transport: AzureTransport,
  bucket: string,
  request: DeleteRequest,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const answer = await transport.send({
    kind: 'HEAD',
    method: 'HEAD',
    path: blobPath(bucket, request.key),
    query: request.versionId === undefined ? {} : { versionid: request.versionId },
    bucket,
    key: request.key,
    accept: [404],
    ...(signal === undefined ? {} : { signal }),
  });
  return answer.status !== 404;
}

/** At most {@link DELETE_BATCH} requests, all answered in their order. */
export async function deleteBatch(
  transport: AzureTransport,
  bucket: string,
  requests: readonly DeleteRequest[],
  signal: AbortSignal | undefined,
): Promise<DeleteOutcome[]> {
  const outcomes = await tryBatch(transport, bucket, requests, signal);
  // What the batch couldn't do for want of time or is to be looked at again, and all of it where the account takes none.
  const left = requests.flatMap((_, index) => {
    const outcome = outcomes[index];
    const again =
      outcome === undefined ||
      outcome.error?.retryable === true ||
      outcome.error?.code === 'PRECONDITION_FAILED';
    return again ? [index] : [];
  });
  const worker = async (): Promise<void> => {
    for (let index = left.shift(); index !== undefined; index = left.shift()) {
      const request = requests[index]!;
      try {
        await deleteBlob(transport, bucket, request, signal);
        outcomes[index] = { key: request.key };
      } catch (error) {
        if (!(error instanceof CloudSyncError) || error.code === 'ABORTED') throw error;
        outcomes[index] = { key: request.key, error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL_DELETES, left.length) }, worker));
  return outcomes.map((outcome) => outcome!);
}

/** Undefined for each blob that the batch gave no answer for. */
async function tryBatch(
  transport: AzureTransport,
  bucket: string,
  requests: readonly DeleteRequest[],
  signal: AbortSignal | undefined,
): Promise<(DeleteOutcome | undefined)[]> {
  const outcomes: (DeleteOutcome | undefined)[] = requests.map(() => undefined);
  const sendable: number[] = [];
  requests.forEach((request, index) => {
    try {
      blobPath(bucket, request.key);
      sendable.push(index);
    } catch (error) {
      if (!(error instanceof CloudSyncError)) throw error;
      outcomes[index] = { key: request.key, error };
    }
  });
  if (sendable.length < 2) return outcomes;
  const boundary = `batch_${randomUUID()}`;
  try {
    const answer = await transport.send({
      kind: 'POST',
      method: 'POST',
      path: `/${bucket}`,
      query: { restype: 'container', comp: 'batch' },
      headers: { 'content-type': `multipart/mixed; boundary=${boundary}` },
      body: Buffer.from(batchBody(transport, bucket, requests, sendable, boundary), 'utf8'),
      bucket,
      ...(signal === undefined ? {} : { signal }),
    });
    const parts = batchAnswers(answer.body.toString('utf8'));
    for (const index of sendable) {
      const part = parts.get(index);
      if (part !== undefined) outcomes[index] = outcomeOf(transport, bucket, requests[index]!, part);
    }
  } catch (error) {
    // Some accounts and tokens allow single deletes only; what stops those too is said by the first of them.
    if (hasCode(error, 'ABORTED', 'BUCKET_NOT_FOUND', 'ENDPOINT_UNREACHABLE')) throw error;
  }
  return outcomes;
}

function deleteHeaders(request: DeleteRequest): Record<string, string> {
  const headers = conditionHeaders({
    ...(request.ifMatch === undefined ? {} : { ifMatch: request.ifMatch }),
  });
  // A blob with snapshots can't go without them; a version has none.
  if (request.versionId === undefined) headers['x-ms-delete-snapshots'] = 'include';
  return headers;
}

function batchBody(
  transport: AzureTransport,
  bucket: string,
  requests: readonly DeleteRequest[],
  indexes: readonly number[],
  boundary: string,
): string {
  const { accountName, accountKey, sas, basePath } = transport.credential;
  const date = new Date(transport.now()).toUTCString();
  let body = '';
  for (const index of indexes) {
    const request = requests[index]!;
    const path = basePath + blobPath(bucket, request.key);
    const query: [string, string][] =
      request.versionId === undefined ? [] : [['versionid', request.versionId]];
    const headers: Record<string, string> = { ...deleteHeaders(request), 'x-ms-date': date };
    if (accountKey !== undefined) {
      headers.authorization = sharedKeyAuthorization(accountName, accountKey, 'DELETE', path, query, headers);
    }
    if (sas !== undefined) query.push(...sas);
    const search = query.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
    body += `--${boundary}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n`;
    body += `Content-ID: ${index}\r\n\r\nDELETE ${path}${search === '' ? '' : `?${search}`} HTTP/1.1\r\n`;
    for (const [name, value] of Object.entries(headers)) body += `${name}: ${value}\r\n`;
    body += 'content-length: 0\r\n\r\n';
  }
  return `${body}--${boundary}--\r\n`;
}

interface PartAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** The answers by the index that was sent as Content-ID. */
function batchAnswers(text: string): Map<number, PartAnswer> {
  const answers = new Map<number, PartAnswer>();
  for (const part of text.split(/^--batchresponse_[^\r\n]*\r?$/m)) {
    const id = /^Content-ID:\s*(\d+)/im.exec(part);
    const start = /^HTTP\/1\.[01] (\d{3})[^\r\n]*\r?\n/m.exec(part);
    if (id === null || start === null) continue;
    const rest = part.slice(start.index + start[0].length);
    const blank = /\r?\n\r?\n/.exec(rest);
    const head = blank === null ? rest : rest.slice(0, blank.index);
    const headers: Record<string, string> = {};
    for (const line of head.split(/\r?\n/)) {
      const colon = line.indexOf(':');
      if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const body = blank === null ? '' : rest.slice(blank.index);
    answers.set(Number(id[1]), { status: Number(start[1]), headers, body });
  }
  return answers;
}

function outcomeOf(
  transport: AzureTransport,
  bucket: string,
  request: DeleteRequest,
  answer: PartAnswer,
): DeleteOutcome {
  const { key } = request;
  if (answer.status >= 200 && answer.status < 300) return { key };
  const error = errorFromAnswer(answer, errorSubject(transport.credential, bucket, key));
  return error.code === 'NOT_FOUND' ? { key } : { key, error };
}
