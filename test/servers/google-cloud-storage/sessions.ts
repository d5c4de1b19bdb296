/** Upload sessions: https://cloud.google.com/storage/docs/performing-resumable-uploads */

import { randomBytes } from 'node:crypto';
import { ApiError, invalid } from './api-error.js';
import { type Conditions, objectResource } from './buckets.js';
import { type Answer, type Call, conditionsOf, jsonAnswer, received, type ServerState } from './call.js';
import { findAction } from './faults.js';
import { crc32cBase64, md5Base64 } from './hashes.js';
import { confirmClaims, type Description, readDescription } from './metadata.js';
import { bucketOf, readHashHeader } from './objects.js';

const STEP = 256 * 1024;
/** "A session URI expires after one week." */
const LIFETIME_MS = 7 * 24 * 3600_000;

export interface Session {
  id: string;
  bucket: string;
  name: string;
  description: Description;
  conditions: Conditions;
  startedAt: number;
  /** As X-Upload-Content-Length says. */
  announcedSize: number | undefined;
  chunks: Buffer[];
  kept: number;
  finished?: unknown;
  isCancelled?: boolean;
}

export class Sessions {
  readonly byId = new Map<string, Session>();

  start(state: ServerState, call: Call): Answer {
    const bucket = bucketOf(state, call);
    const description = readDescription(call, bucket, call.body.toString());
    const name = description.name ?? call.query.get('name') ?? '';
    const conditions = conditionsOf(call);
    bucket.confirm(conditions, bucket.live(name));
    const length = call.headers['x-upload-content-length'];
    const type = call.headers['x-upload-content-type'];
    if (type !== undefined) description.metadata.contentType ??= type;
    const id = randomBytes(40).toString('base64url');
    this.byId.set(id, {
      id,
      bucket: bucket.name,
      name,
      description,
      conditions,
      startedAt: call.now,
      announcedSize: length === undefined ? undefined : Number(length),
      chunks: [],
      kept: 0,
    });
    const location = `${call.origin}/upload/storage/v1/b/${bucket.name}/o?uploadType=resumable&name=${encodeURIComponent(name)}&upload_id=${id}`;
    return { status: 200, headers: { location, 'x-guploader-uploadid': id }, body: Buffer.alloc(0) };
  }

  cancel(call: Call): Answer {
    const session = this.#find(call);
    if (session.finished === undefined) session.isCancelled = true;
    session.chunks = [];
    return { status: 499, headers: {}, body: Buffer.alloc(0) };
  }

  /** A chunk, the rest, or a question. `isWhole`: all of the body came. */
  put(state: ServerState, call: Call, isWhole: boolean): Answer {
    const session = this.#find(call);
    if (session.finished !== undefined) return jsonAnswer(call, session.finished);
    const range = readContentRange(call.headers['content-range'], call.body.length, isWhole);
    if (
      range.total !== undefined &&
      session.announcedSize !== undefined &&
      range.total !== session.announcedSize
    ) {
      throw invalid(`The upload was announced with ${session.announcedSize} bytes, not ${range.total}.`);
    }
    if (range.first !== undefined) this.#keep(session, call, range.first, range.total, isWhole);
    if (range.total === undefined || session.kept < range.total) return incomplete(session, call);
    return this.#finish(state, session, call);
  }

  #keep(session: Session, call: Call, first: number, total: number | undefined, isWhole: boolean): void {
    const isLast = total !== undefined && first + call.body.length === total;
    if (isWhole && !isLast && call.body.length % STEP !== 0) {
      throw invalid(
        `Invalid request. There were ${call.body.length} byte(s) in the request body. The number of bytes must be divisible by 262144.`,
      );
    }
    if (first > session.kept) {
      throw invalid(
        `Invalid request. According to the Content-Range header, the upload offset is ${first} byte(s), which exceeds already uploaded size of ${session.kept} byte(s).`,
      );
    }
    // "Cloud Storage ignores any bytes you send at an offset that Cloud Storage has already persisted."
    let fresh = received(call, call.body).subarray(session.kept - first);
    const less = findAction(call.actions, 'keep-less');
    if (less !== undefined) fresh = fresh.subarray(0, less.bytes);
    const isCut = !isWhole || less !== undefined;
    const kept = isCut ? Math.floor(fresh.length / STEP) * STEP : fresh.length;
    session.chunks.push(Buffer.from(fresh.subarray(0, kept)));
    session.kept += kept;
  }

  #finish(state: ServerState, session: Session, call: Call): Answer {
    const bucket = bucketOf(state, call, session.bucket);
    const content = Buffer.concat(session.chunks);
    const found = { md5Hash: md5Base64(content), crc32c: crc32cBase64(content) };
    const { description } = session;
    try {
      confirmClaims(description, found);
      confirmClaims(readHashHeader(call.headers['x-goog-hash']), found);
      bucket.confirm(session.conditions, bucket.live(session.name));
    } catch (error) {
      // The bytes can't be changed any more: the session is of no use.
      session.isCancelled = true;
      throw error;
    }
    const object = bucket.put(session.name, description.metadata, content, call.now);
    session.chunks = [];
    session.finished = objectResource(bucket, object, call.origin);
    return jsonAnswer(call, session.finished);
  }

  #find(call: Call): Session {
    const session = this.byId.get(call.query.get('upload_id') ?? '');
    if (session === undefined || session.bucket !== call.bucket) {
      throw new ApiError(404, 'notFound', 'Not Found');
    }
    if (session.isCancelled === true) throw new ApiError(499, 'cancelled', 'Client Closed Request');
    if (call.now - session.startedAt > LIFETIME_MS) throw new ApiError(410, 'gone', 'Gone');
    return session;
  }
}

function incomplete(session: Session, call: Call): Answer {
  const headers: Answer['headers'] = { 'x-guploader-uploadid': session.id };
  // "If Cloud Storage has not yet persisted any bytes, there is no Range header."
  if (session.kept > 0) headers.range = `bytes=0-${session.kept - 1}`;
  // What Google's library for Go asks for, because 308 has come to mean a redirect.
  if (call.headers['x-guploader-no-308'] === 'yes') {
    headers['x-http-status-code-override'] = '308';
    return { status: 200, headers, body: Buffer.alloc(0) };
  }
  return { status: 308, headers, body: Buffer.alloc(0) };
}

/** `bytes 0-9/*`, `bytes 0-9/10`, `bytes STAR/10`, `bytes STAR/STAR`, `bytes 0-STAR/10`, or none: all at once. */
function readContentRange(
  header: string | undefined,
  length: number,
  isWhole: boolean,
): { first?: number; total?: number } {
  if (header === undefined) return isWhole ? { first: 0, total: length } : { first: 0 };
  const match = /^bytes (\*|(\d+)-(\d+|\*))\/(\d+|\*)$/.exec(header);
  if (match === null) throw invalid(`Failed to parse Content-Range header: ${header}`);
  const total = match[4] === '*' ? undefined : Number(match[4]);
  if (match[1] === '*') {
    if (length > 0) throw invalid('A request with bytes has to say which ones.');
    return total === undefined ? {} : { total };
  }
  const first = Number(match[2]);
  // "0-*": all that is left, however much it turns out to be.
  if (match[3] === '*' && total === undefined && isWhole) return { first, total: first + length };
  return total === undefined ? { first } : { first, total };
}

/** What of a request asks and what sends. */
export function isStatusQuestion(contentRange: string | undefined): boolean {
  return /^bytes \*\//.test(contentRange ?? '');
}
