import type { ObjectVersion } from './buckets.js';
import type { RequestFaults } from './faults.js';
import { header, type S3Request } from './request.js';
import { notImplemented, s3Error } from './s3-error.js';

/** Whether an If-Match or If-None-Match list names `etag`; quotes may be left out, as S3 lets them. */
export function listsEtag(list: string, etag: string): boolean {
  return list.split(',').some((part) => {
    const text = part.trim();
    return text === '*' || text === etag || text === `"${etag}"`;
  });
}

function failed(condition: string) {
  return s3Error('PreconditionFailed', { details: { Condition: condition } });
}

/**
 * "Conditional requests", writes: If-None-Match takes `*` alone; If-Match on a key without object is NoSuchKey.
 */
export function checkWrite(
  request: S3Request,
  current: ObjectVersion | undefined,
  faults: RequestFaults,
): void {
  const ifMatch = header(request, 'if-match');
  const ifNoneMatch = header(request, 'if-none-match');
  if (ifMatch === undefined && ifNoneMatch === undefined) return;
  if (ifNoneMatch !== undefined && (ifNoneMatch !== '*' || ifMatch !== undefined))
    throw notImplemented('If-None-Match');
  if (faults.has('ignore-conditions')) return;
  const present = current !== undefined && !current.isDeleteMarker;
  if (ifNoneMatch !== undefined && present) throw failed('If-None-Match');
  if (ifMatch === undefined) return;
  if (!present) throw s3Error('NoSuchKey', { details: { Key: request.key } });
  if (!listsEtag(ifMatch, current.etag)) throw failed('If-Match');
}

interface ReadConditions {
  ifMatch: string | undefined;
  ifNoneMatch: string | undefined;
  ifModifiedSince: string | undefined;
  ifUnmodifiedSince: string | undefined;
}

function readConditions(request: S3Request, prefix: string): ReadConditions {
  return {
    ifMatch: header(request, `${prefix}if-match`),
    ifNoneMatch: header(request, `${prefix}if-none-match`),
    ifModifiedSince: header(request, `${prefix}if-modified-since`),
    ifUnmodifiedSince: header(request, `${prefix}if-unmodified-since`),
  };
}

function seconds(date: string): number {
  const time = Date.parse(date);
  if (Number.isNaN(time)) throw s3Error('InvalidArgument', { message: `Invalid date ${date}` });
  return Math.floor(time / 1000);
}

/** RFC 9110, 13.2.2, as GetObject describes it; 'not modified' is for the caller to answer. */
function evaluate(conditions: ReadConditions, version: ObjectVersion): 'fine' | 'not modified' {
  const { ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince } = conditions;
  const modified = Math.floor(version.lastModified / 1000);
  if (ifMatch !== undefined) {
    if (!listsEtag(ifMatch, version.etag)) throw failed('If-Match');
  } else if (ifUnmodifiedSince !== undefined && modified > seconds(ifUnmodifiedSince))
    throw failed('If-Unmodified-Since');
  if (ifNoneMatch !== undefined) return listsEtag(ifNoneMatch, version.etag) ? 'not modified' : 'fine';
  if (ifModifiedSince !== undefined && modified <= seconds(ifModifiedSince)) return 'not modified';
  return 'fine';
}

export function checkRead(request: S3Request, version: ObjectVersion): 'fine' | 'not modified' {
  return evaluate(readConditions(request, ''), version);
}

/** The `x-amz-copy-source-if-*` headers: where they don't hold it is 412 always. */
export function checkCopySource(request: S3Request, version: ObjectVersion): void {
  if (evaluate(readConditions(request, 'x-amz-copy-source-'), version) === 'not modified') {
    throw failed('x-amz-copy-source-If-None-Match');
  }
}
