/**
 * Deleting objects, one by one or a hundred with a request.
 * https://cloud.google.com/storage/docs/batch
 */

import { randomUUID } from 'node:crypto';
import { CloudSyncError, hasCode } from '../../errors.js';
import type { DeleteOutcome, DeleteRequest } from '../store.js';
import { objectPath } from './connection.js';
import { readErrorAnswer, translateAnswer } from './errors.js';
import { listBucket } from './listing.js';
import { type BucketPlace, lookAt } from './looking.js';
import { conditionQuery } from './objects.js';

/** "You should include no more than 100 calls in a single batch request." */
export const DELETE_BATCH = 100;
/** Single deletes at once, where a batch isn't possible. */
const PARALLEL_DELETES = 16;

/** Deletes one object; no error where it isn't there. */
export async function deleteObject(
  place: BucketPlace,
  request: DeleteRequest,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { connection, bucket } = place;
  const { key } = request;
  try {
    await connection.send({
      kind: 'DELETE',
      method: 'DELETE',
      action: 'delete',
      path: objectPath(bucket, key),
      query: deleteQuery(request),
      bucket,
      key,
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return;
    // A condition fails too where nothing is left: of an attempt whose answer was lost.
    if (hasCode(error, 'PRECONDITION_FAILED') && (await lookAt(place, key, { signal })) === undefined) return;
    throw error;
  }
}

/** Whether this service takes batches; learned. */
export interface BatchTraits {
  takesBatches?: boolean;
}

/** One outcome per request, in their order. Throws only what concerns all of them: credential, bucket, network. */
export async function deleteObjects(
  place: BucketPlace,
  traits: BatchTraits,
  requests: readonly DeleteRequest[],
  signal: AbortSignal | undefined,
): Promise<DeleteOutcome[]> {
  const outcomes: DeleteOutcome[] = [];
  for (let start = 0; start < requests.length; start += DELETE_BATCH) {
    outcomes.push(...(await deleteBatch(place, traits, requests.slice(start, start + DELETE_BATCH), signal)));
  }
  return outcomes;
}

async function deleteBatch(
  place: BucketPlace,
  traits: BatchTraits,
  requests: readonly DeleteRequest[],
  signal: AbortSignal | undefined,
): Promise<DeleteOutcome[]> {
  const outcomes: (DeleteOutcome | undefined)[] =
    requests.length > 1 && traits.takesBatches !== false
      ? await tryBatch(place, traits, requests, signal)
      : requests.map(() => undefined);
  // What the batch gave no answer for, or one that waiting or a second look may change.
  const left = requests.flatMap((_, index) => {
    const error = outcomes[index]?.error;
    const isOpen = outcomes[index] === undefined;
    const mayChange = error?.retryable === true || error?.code === 'PRECONDITION_FAILED';
    return isOpen || mayChange || error?.httpStatus === 401 ? [index] : [];
  });
  const worker = async (): Promise<void> => {
    for (let index = left.shift(); index !== undefined; index = left.shift()) {
      const request = requests[index]!;
      try {
        await deleteObject(place, request, signal);
        outcomes[index] = { key: request.key };
      } catch (error) {
        if (!(error instanceof CloudSyncError) || hasCode(error, 'ABORTED', 'BUCKET_NOT_FOUND')) throw error;
        outcomes[index] = { key: request.key, error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL_DELETES, left.length) }, worker));
  return outcomes.map((outcome) => outcome!);
}

/** Undefined for each request that got no answer. */
async function tryBatch(
  place: BucketPlace,
  traits: BatchTraits,
  requests: readonly DeleteRequest[],
  signal: AbortSignal | undefined,
): Promise<(DeleteOutcome | undefined)[]> {
  const { connection, bucket } = place;
  const boundary = `batch_${randomUUID()}`;
  const answer = await connection.send({
    kind: 'POST',
    method: 'POST',
    action: 'delete',
    path: '/batch/storage/v1',
    headers: { 'content-type': `multipart/mixed; boundary=${boundary}` },
    body: Buffer.from(batchBody(place, requests, boundary)),
    bucket,
    // Emulators and gateways that have no batches.
    accepts: [400, 404, 405, 501],
    ...(signal === undefined ? {} : { signal }),
  });
  const parts = answer.status === 200 ? readParts(answer.bytes.toString()) : undefined;
  traits.takesBatches = parts !== undefined && parts.size > 0;
  return requests.map((request, index) => {
    const part = parts?.get(index);
    return part === undefined ? undefined : outcomeOf(place, request, part);
  });
}

function deleteQuery(request: DeleteRequest): Record<string, string | undefined> {
  return {
    generation: request.versionId,
    ...(request.ifMatch === undefined ? {} : conditionQuery({ ifMatch: request.ifMatch })),
  };
}

function batchBody({ bucket }: BucketPlace, requests: readonly DeleteRequest[], boundary: string): string {
  let body = '';
  for (const [index, request] of requests.entries()) {
    const query = Object.entries(deleteQuery(request)).filter(([, value]) => value !== undefined);
    const search = query.map(([name, value]) => `${name}=${encodeURIComponent(value!)}`).join('&');
    body += `--${boundary}\r\nContent-Type: application/http\r\nContent-ID: <${index}>\r\n\r\n`;
    body += `DELETE ${objectPath(bucket, request.key)}${search === '' ? '' : `?${search}`} HTTP/1.1\r\n\r\n\r\n`;
  }
  return `${body}--${boundary}--\r\n`;
}

interface PartAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** The answers by the index that was sent as Content-ID: "Content-ID: <response-1>". */
function readParts(text: string): Map<number, PartAnswer> {
  const answers = new Map<number, PartAnswer>();
  const boundary = /^--[^\r\n]+/m.exec(text)?.[0];
  if (boundary === undefined) return answers;
  for (const part of text.split(boundary)) {
    const id = /^Content-ID:\s*<?response-(\d+)>?\s*$/im.exec(part);
    const start = /^HTTP\/1\.[01] (\d{3})[^\r\n]*\r?\n/m.exec(part);
    if (id === null || start === null) continue;
    const rest = part.slice(start.index + start[0].length);
    const blank = /(?:^|\r?\n)\r?\n/.exec(rest);
    const head = blank === null ? rest : rest.slice(0, blank.index);
    const headers: Record<string, string> = {};
    for (const line of head.split(/\r?\n/)) {
      const colon = line.indexOf(':');
      if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const body = blank === null ? '' : rest.slice(blank.index + blank[0].length);
    answers.set(Number(id[1]), { status: Number(start[1]), headers, body: body.trim() });
  }
  return answers;
}

function outcomeOf(
  { connection, bucket }: BucketPlace,
  request: DeleteRequest,
  answer: PartAnswer,
): DeleteOutcome {
  const { key } = request;
  if (answer.status >= 200 && answer.status < 300) return { key };
  const error = translateAnswer(readErrorAnswer(answer.status, answer.headers, answer.body), {
    action: 'delete',
    bucket,
    key,
    account: connection.credential.clientEmail,
    projectId: connection.credential.projectId,
    now: connection.now(),
  });
  if (error.code === 'BUCKET_NOT_FOUND') throw error;
  return error.code === 'NOT_FOUND' ? { key } : { key, error };
}

/** Requests that remove every generation of `key`. */
export async function requestsForAllVersions(
  place: BucketPlace,
  key: string,
  signal: AbortSignal | undefined,
): Promise<DeleteRequest[]> {
  const requests: DeleteRequest[] = [];
  const options = { prefix: key, versions: true, folders: true, signal };
  for await (const page of listBucket(place.connection, place.bucket, options)) {
    for (const entry of page) {
      if ((entry.kind === 'folder' ? `${entry.key}/` : entry.key) !== key) return requests;
      if (entry.versionId !== undefined) requests.push({ key, versionId: entry.versionId });
    }
  }
  return requests;
}
