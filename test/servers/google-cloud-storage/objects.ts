/** The methods of objects: https://cloud.google.com/storage/docs/json_api/v1/objects */

import { gunzipSync } from 'node:zlib';
import { ApiError, invalid, noBucket } from './api-error.js';
import { type Bucket, confirmStorageClass, type Generation, objectResource } from './buckets.js';
import {
  type Answer,
  type Call,
  conditionsOf,
  jsonAnswer,
  numberParameter,
  readJson,
  received,
  type ServerState,
} from './call.js';
import { findAction, flipBit } from './faults.js';
import { crc32cBase64, md5Base64 } from './hashes.js';
import { confirmClaims, readDescription } from './metadata.js';

export function bucketOf(state: ServerState, call: Call, name = call.bucket): Bucket {
  const bucket = state.buckets.get(name ?? '');
  if (bucket === undefined) throw noBucket();
  if (bucket.requesterPays && !call.query.has('userProject')) {
    throw new ApiError(400, 'required', 'Bucket is a requester pays bucket but no user project provided.');
  }
  return bucket;
}

/** One page: https://cloud.google.com/storage/docs/json_api/v1/objects/list */
export function listObjects(state: ServerState, call: Call): Answer {
  const bucket = bucketOf(state, call);
  const { query } = call;
  const prefix = query.get('prefix') ?? '';
  const delimiter = query.get('delimiter') ?? '';
  const versions = query.get('versions') === 'true';
  const limit = Math.min(Number(numberParameter(call, 'maxResults') ?? 1000n), 1000);
  if (limit < 1) throw invalid('Invalid value for maxResults', 'maxResults');
  const start = Buffer.from(query.get('startOffset') ?? '');
  const end = query.get('endOffset') ?? '';
  const cursor = readPageToken(query.get('pageToken'));
  const items: Generation[] = [];
  const prefixes: string[] = [];
  let nextPageToken: string | undefined;
  for (const name of bucket.names()) {
    const bytes = Buffer.from(name);
    if (!name.startsWith(prefix) || Buffer.compare(bytes, start) < 0) continue;
    if (end !== '' && Buffer.compare(bytes, Buffer.from(end)) >= 0) continue;
    const past = cursor === undefined ? 1 : Buffer.compare(bytes, Buffer.from(cursor.name));
    if (past < 0 || (past > 0 && cursor?.isPrefix === true && name.startsWith(cursor.name))) continue;
    const history = bucket.objects.get(name)!;
    const shown = versions ? history : history.filter((object) => object.timeDeleted === undefined);
    const cut = delimiter === '' ? -1 : name.indexOf(delimiter, prefix.length);
    if (cut >= 0) {
      const folder = name.slice(0, cut + delimiter.length);
      if (past === 0 && cursor?.isPrefix === true) continue;
      if (shown.length === 0 || prefixes.at(-1) === folder) continue;
      if (items.length + prefixes.length === limit) {
        nextPageToken = pageTokenAfter(items, prefixes);
        break;
      }
      prefixes.push(folder);
      continue;
    }
    for (const object of shown) {
      if (past === 0 && object.generation <= (cursor?.generation ?? 0n)) continue;
      if (items.length + prefixes.length === limit) {
        nextPageToken = pageTokenAfter(items, prefixes);
        break;
      }
      items.push(object);
    }
    if (nextPageToken !== undefined) break;
  }
  return jsonAnswer(call, {
    kind: 'storage#objects',
    nextPageToken,
    prefixes: prefixes.length === 0 ? undefined : prefixes,
    items:
      items.length === 0 ? undefined : items.map((object) => objectResource(bucket, object, call.origin)),
  });
}

interface Cursor {
  name: string;
  generation?: bigint;
  isPrefix: boolean;
}

function pageTokenAfter(items: readonly Generation[], prefixes: readonly string[]): string {
  const item = items.at(-1);
  const prefix = prefixes.at(-1);
  const isPrefix =
    prefix !== undefined &&
    (item === undefined || Buffer.compare(Buffer.from(prefix), Buffer.from(item.name)) > 0);
  const place = isPrefix ? ['p', prefix, ''] : ['o', item!.name, String(item!.generation)];
  return Buffer.from(JSON.stringify(place)).toString('base64');
}

function readPageToken(token: string | null): Cursor | undefined {
  if (token === null) return undefined;
  try {
    const [type, name, generation] = JSON.parse(Buffer.from(token, 'base64').toString()) as string[];
    if (type === 'p') return { name: name!, isPrefix: true };
    return { name: name!, generation: BigInt(generation!), isPrefix: false };
  } catch {
    throw invalid('Invalid page token', 'pageToken');
  }
}

export function getObject(state: ServerState, call: Call): Answer {
  const bucket = bucketOf(state, call);
  const object = bucket.find(call.key!, numberParameter(call, 'generation'));
  bucket.confirm(conditionsOf(call), object);
  return jsonAnswer(call, objectResource(bucket, object, call.origin));
}

/** `alt=media`: the bytes, with no metadata but what these headers say. */
export function downloadObject(state: ServerState, call: Call): Answer {
  const bucket = bucketOf(state, call);
  const object = bucket.find(call.key!, numberParameter(call, 'generation'));
  bucket.confirm(conditionsOf(call), object);
  const hashes = [`crc32c=${object.crc32c}`];
  if (object.md5Hash !== undefined) hashes.push(`md5=${object.md5Hash}`);
  const headers: Answer['headers'] = {
    'content-type': object.contentType ?? 'application/octet-stream',
    'x-goog-generation': String(object.generation),
    'x-goog-metageneration': String(object.metageneration),
    'x-goog-storage-class': object.storageClass!,
    'x-goog-stored-content-encoding': object.contentEncoding ?? 'identity',
    'x-goog-stored-content-length': String(object.bytes.length),
    // Two headers of one name.
    'x-goog-hash': hashes,
    'last-modified': new Date(object.updated).toUTCString(),
    'accept-ranges': 'bytes',
  };
  const corrupt = findAction(call.actions, 'corrupt-answer')?.offset;
  if (object.contentEncoding === 'gzip') {
    if (!/\bgzip\b/.test(call.headers['accept-encoding'] ?? '')) {
      // "Range headers are silently ignored": https://cloud.google.com/storage/docs/transcoding#range
      return {
        status: 200,
        headers: { ...headers, warning: '214 UploadServer gunzipped' },
        body: gunzipSync(object.bytes),
      };
    }
    headers['content-encoding'] = 'gzip';
  }
  const range = readRange(call.headers.range, object.bytes.length);
  if (range === undefined) return { status: 200, headers, body: flipBit(object.bytes, corrupt) };
  const [first, last] = range;
  headers['content-range'] = `bytes ${first}-${last}/${object.bytes.length}`;
  const body = object.bytes.subarray(first, last + 1);
  return {
    status: 206,
    headers,
    body: flipBit(body, corrupt === undefined ? undefined : corrupt - first),
  };
}

function readRange(header: string | undefined, size: number): [number, number] | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (match === null || (match[1] === '' && match[2] === '')) return undefined;
  const first = match[1] === '' ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const last = match[1] === '' || match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (first > last || first >= size) {
    throw new ApiError(416, 'requestedRangeNotSatisfiable', 'Request range not satisfiable', {
      headers: { 'content-range': `bytes */${size}` },
    });
  }
  return [first, last];
}

/** `uploadType=media` or `multipart`: https://cloud.google.com/storage/docs/json_api/v1/objects/insert */
export function insertObject(state: ServerState, call: Call): Answer {
  const bucket = bucketOf(state, call);
  const type = call.query.get('uploadType');
  const parts =
    type === 'multipart'
      ? splitRelated(call)
      : { description: '', contentType: call.headers['content-type'], content: call.body };
  if (type !== 'media' && type !== 'multipart') {
    throw new ApiError(400, 'wrongUrlForUpload', 'Upload requests must be uploaded to */upload/*');
  }
  const description = readDescription(call, bucket, parts.description);
  const name = description.name ?? call.query.get('name') ?? '';
  const content = received(call, parts.content);
  confirmClaims(description, { md5Hash: md5Base64(content), crc32c: crc32cBase64(content) });
  confirmClaims(readHashHeader(call.headers['x-goog-hash']), {
    md5Hash: md5Base64(content),
    crc32c: crc32cBase64(content),
  });
  const encoding = call.query.get('contentEncoding');
  const metadata = {
    ...(parts.contentType === undefined ? {} : { contentType: parts.contentType }),
    ...(encoding === null ? {} : { contentEncoding: encoding }),
    ...description.metadata,
  };
  bucket.confirm(conditionsOf(call), bucket.live(name));
  const object = bucket.put(name, metadata, content, call.now);
  return jsonAnswer(call, objectResource(bucket, object, call.origin));
}

/** `crc32c=…,md5=…` */
export function readHashHeader(header: string | undefined): { md5Hash?: string; crc32c?: string } {
  const md5Hash = /(?:^|,)\s*md5=([^,\s]+)/.exec(header ?? '')?.[1];
  const crc32c = /(?:^|,)\s*crc32c=([^,\s]+)/.exec(header ?? '')?.[1];
  return { ...(md5Hash === undefined ? {} : { md5Hash }), ...(crc32c === undefined ? {} : { crc32c }) };
}

/** "The body of the request is formatted as multipart/related (RFC 2387) and contains exactly two parts." */
function splitRelated(call: Call): { description: string; contentType: string | undefined; content: Buffer } {
  const type = call.headers['content-type'] ?? '';
  const boundary = /^multipart\/related;.*\bboundary="?([^";]+)"?/i.exec(type)?.[1];
  if (boundary === undefined) throw invalid('Missing end boundary in multipart body.');
  const marker = `--${boundary}`;
  const { body } = call;
  const first = body.indexOf(marker);
  const second = body.indexOf(`\r\n${marker}`, first + marker.length);
  const end = body.lastIndexOf(`\r\n${marker}--`);
  if (first !== 0 || second < 0 || end < 0 || second === end) {
    throw invalid('Missing end boundary in multipart body.');
  }
  const description = splitPart(body.subarray(marker.length + 2, second));
  const content = splitPart(body.subarray(second + 2 + marker.length + 2, end));
  if (!/^application\/json\b/i.test(description.type ?? '')) {
    throw invalid('The first part has to be application/json.');
  }
  return { description: description.bytes.toString(), contentType: content.type, content: content.bytes };
}

function splitPart(bytes: Buffer): { type: string | undefined; bytes: Buffer } {
  // A part may have no headers at all (RFC 2046, 5.1).
  if (bytes.subarray(0, 2).toString() === '\r\n') return { type: undefined, bytes: bytes.subarray(2) };
  const blank = bytes.indexOf('\r\n\r\n');
  if (blank < 0) throw invalid('Malformed multipart body.');
  const type = /^content-type:\s*(.+?)\s*$/im.exec(bytes.subarray(0, blank).toString())?.[1];
  return { type, bytes: bytes.subarray(blank + 4) };
}

/** Patch semantics: what isn't named stays, null removes. Only the metageneration grows. */
export function patchObject(state: ServerState, call: Call): Answer {
  const bucket = bucketOf(state, call);
  const object = bucket.find(call.key!, numberParameter(call, 'generation'));
  bucket.confirm(conditionsOf(call), object);
  const description = readDescription(call, bucket, call.body.toString());
  if (description.metadata.storageClass !== undefined) {
    throw invalid('Storage class can not be changed by a patch: rewrite the object.', 'storageClass');
  }
  const { metadata, ...rest } = description.metadata;
  Object.assign(object, rest);
  if (metadata !== undefined) object.metadata = { ...object.metadata, ...metadata };
  for (const name of description.removedMetadata) delete object.metadata?.[name];
  for (const name of description.removed) delete (object as unknown as Record<string, unknown>)[name];
  object.metageneration += 1;
  object.updated = call.now;
  return jsonAnswer(call, objectResource(bucket, object, call.origin));
}

export function deleteObject(state: ServerState, call: Call): Answer {
  const bucket = bucketOf(state, call);
  const generation = numberParameter(call, 'generation');
  const found = bucket.find(call.key!, generation);
  bucket.confirm(conditionsOf(call), found);
  bucket.delete(call.key!, generation, call.now);
  return { status: 204, headers: {}, body: Buffer.alloc(0) };
}

/** https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite */
export function rewriteObject(state: ServerState, call: Call): Answer {
  const source = bucketOf(state, call);
  const target = bucketOf(state, call, call.target!.bucket);
  const object = source.find(call.key!, numberParameter(call, 'sourceGeneration'));
  source.confirm(conditionsOf(call, 'ifSource'), object);
  target.confirm(conditionsOf(call), target.live(call.target!.key));
  const size = object.bytes.length;
  const place = `${source.name}/${call.key}/${object.generation}>${target.name}/${call.target!.key}`;
  const done = readRewriteToken(call.query.get('rewriteToken'), place) + state.rewriteBytesPerCall;
  if (done < size) {
    return jsonAnswer(call, {
      kind: 'storage#rewriteResponse',
      totalBytesRewritten: String(done),
      objectSize: String(size),
      done: false,
      rewriteToken: Buffer.from(JSON.stringify([place, done])).toString('base64'),
    });
  }
  const text = call.body.toString();
  const description = readDescription(call, target, text);
  // "Metadata to apply": an empty body keeps the source's, any other replaces all of it; the class is never inherited.
  const { contentType, contentEncoding, contentDisposition, contentLanguage, cacheControl, metadata } =
    object;
  const inherited = {
    contentType,
    contentEncoding,
    contentDisposition,
    contentLanguage,
    cacheControl,
    metadata,
  };
  const isEmpty = text.trim() === '' || text.trim() === '{}';
  const copied = target.put(
    call.target!.key,
    isEmpty ? inherited : description.metadata,
    object.bytes,
    call.now,
    object.componentCount,
  );
  return jsonAnswer(call, {
    kind: 'storage#rewriteResponse',
    totalBytesRewritten: String(size),
    objectSize: String(size),
    done: true,
    resource: objectResource(target, copied, call.origin),
  });
}

function readRewriteToken(token: string | null, place: string): number {
  if (token === null) return 0;
  const [forPlace, done] = JSON.parse(Buffer.from(token, 'base64').toString()) as [string, number];
  if (forPlace !== place) throw invalid('The rewrite token is for another rewrite.', 'rewriteToken');
  return done;
}

/** Objects made of others have no MD5: https://cloud.google.com/storage/docs/composite-objects */
export function composeObject(state: ServerState, call: Call): Answer {
  const bucket = bucketOf(state, call);
  const raw = readJson(call.body.toString(), ['kind', 'sourceObjects', 'destination']);
  const sources = raw.sourceObjects as { name: string }[];
  if (!Array.isArray(sources) || sources.length < 1 || sources.length > 32) {
    throw invalid('The number of source components provided has to be 1 to 32.', 'sourceObjects');
  }
  const found = sources.map(({ name }) => bucket.find(name, undefined));
  const { metadata } = readDescription(call, bucket, JSON.stringify(raw.destination ?? {}));
  bucket.confirm(conditionsOf(call), bucket.live(call.key!));
  const bytes = Buffer.concat(found.map((object) => object.bytes));
  const components = found.reduce((sum, object) => sum + (object.componentCount ?? 1), 0);
  if (metadata.storageClass !== undefined) confirmStorageClass(metadata.storageClass);
  const object = bucket.put(call.key!, metadata, bytes, call.now, components);
  return jsonAnswer(call, objectResource(bucket, object, call.origin));
}
