/** Takes requests apart, finds out what they ask, checks who asks, lets it be done, and answers; faults on the way. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from './api-error.js';
import { answerBatch } from './batch.js';
import { getBucket, insertBucket, listBuckets, patchBucket } from './buckets-api.js';
import { type Answer, type Call, confirmQuery, errorAnswer, type ServerState } from './call.js';
import { type FaultAction, type Faults, findAction, type RequestKind } from './faults.js';
import {
  composeObject,
  deleteObject,
  downloadObject,
  getObject,
  insertObject,
  listObjects,
  patchObject,
  rewriteObject,
} from './objects.js';
import type { RequestLog } from './request-log.js';
import { isStatusQuestion, type Sessions } from './sessions.js';
import type { TokenService } from './token.js';

/** IAM permissions by method: https://cloud.google.com/storage/docs/access-control/iam-json */
const PERMISSIONS: Partial<Record<RequestKind, string>> = {
  'buckets.list': 'storage.buckets.list',
  'buckets.insert': 'storage.buckets.create',
  'buckets.get': 'storage.buckets.get',
  'buckets.patch': 'storage.buckets.update',
  'objects.list': 'storage.objects.list',
  'objects.get': 'storage.objects.get',
  'objects.download': 'storage.objects.get',
  'objects.insert': 'storage.objects.create',
  'session.start': 'storage.objects.create',
  'objects.patch': 'storage.objects.update',
  'objects.delete': 'storage.objects.delete',
  'objects.rewrite': 'storage.objects.create',
  'objects.compose': 'storage.objects.create',
};

export interface FrontOptions {
  state: ServerState;
  faults: Faults;
  requests: RequestLog;
  tokens: TokenService;
  sessions: Sessions;
  denied: Set<string>;
  now: () => number;
  origin: () => string;
  latencyMs: () => number;
}

interface Route {
  kind: RequestKind;
  bucket?: string;
  key?: string;
  target?: { bucket: string; key: string };
}

export class Front {
  constructor(private readonly options: FrontOptions) {}

  async handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { faults, requests } = this.options;
    const { socket } = incoming;
    const url = new URL(incoming.url ?? '/', this.options.origin());
    const headers = incoming.headers as Record<string, string | undefined>;
    const route = routeOf(incoming.method ?? '', url, headers['content-range']);
    const actions = faults.strike(route.kind, route.key);
    const { body, isWhole } = await readBody(incoming, actions);
    const call: Call = {
      ...route,
      method: incoming.method ?? '',
      query: url.searchParams,
      headers,
      body,
      origin: this.options.origin(),
      actions,
      now: this.options.now(),
    };
    const latency = this.options.latencyMs() + (findAction(actions, 'delay')?.ms ?? 0);
    if (latency > 0) await delay(latency);
    let answer: Answer | undefined;
    if (isWhole || route.kind === 'session.put') answer = this.#answer(call, isWhole);
    requests.add({
      kind: route.kind,
      key: route.key,
      status: answer?.status ?? 0,
      bodyBytes: body.length,
      query: url.search,
    });
    if (!isWhole || answer === undefined || findAction(actions, 'drop-answer') !== undefined) {
      socket.resetAndDestroy();
      return;
    }
    findAction(actions, 'edit-answer')?.edit(answer);
    send(incoming, outgoing, answer, this.options.now(), findAction(actions, 'cut-answer')?.afterBytes);
  }

  #answer(call: Call, isWhole: boolean): Answer {
    const fault = findAction(call.actions, 'error');
    if (fault !== undefined) return faultAnswer(fault);
    try {
      if (call.kind === 'token') {
        const { status, body } = this.options.tokens.exchange(new URLSearchParams(call.body.toString()));
        return {
          status,
          headers: { 'content-type': 'application/json; charset=utf-8' },
          body: Buffer.from(JSON.stringify(body)),
        };
      }
      return this.#carryOut(call, isWhole);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return errorAnswer(error, call.kind === 'objects.download');
    }
  }

  #carryOut(call: Call, isWhole: boolean): Answer {
    this.#authorize(call);
    confirmQuery(call);
    const { state, sessions } = this.options;
    switch (call.kind) {
      case 'buckets.list':
        return listBuckets(state, call);
      case 'buckets.insert':
        return insertBucket(state, call);
      case 'buckets.get':
        return getBucket(state, call);
      case 'buckets.patch':
        return patchBucket(state, call);
      case 'objects.list':
        return listObjects(state, call);
      case 'objects.get':
        return getObject(state, call);
      case 'objects.download':
        return downloadObject(state, call);
      case 'objects.insert':
        return insertObject(state, call);
      case 'objects.patch':
        return patchObject(state, call);
      case 'objects.delete':
        return deleteObject(state, call);
      case 'objects.rewrite':
        return rewriteObject(state, call);
      case 'objects.compose':
        return composeObject(state, call);
      case 'session.start':
        return sessions.start(state, call);
      case 'session.put':
      case 'session.status':
        return sessions.put(state, call, isWhole);
      case 'session.cancel':
        return sessions.cancel(call);
      case 'batch':
        return answerBatch(call, (inner) => {
          const url = new URL(inner.target, call.origin);
          const route = routeOf(inner.method, url, undefined);
          const { method, body } = inner;
          const headers = { authorization: call.headers.authorization, ...inner.headers };
          const actions = this.options.faults.strike(route.kind, route.key);
          this.options.requests.countInner(route.kind);
          return this.#answer(
            { ...call, ...route, method, query: url.searchParams, headers, body, actions },
            true,
          );
        });
    }
    throw new ApiError(404, 'notFound', 'Not Found');
  }

  #authorize(call: Call): void {
    // "The session URI acts as an authentication token": no other is needed.
    if (/^session\.(put|status|cancel)$/.test(call.kind)) return;
    const { authorization } = call.headers;
    if (authorization === undefined) {
      throw new ApiError(401, 'required', 'Anonymous caller does not have access. Login Required.', {
        headers: { 'www-authenticate': 'Bearer realm="https://accounts.google.com/"' },
      });
    }
    const token = this.options.tokens.tokens.get(authorization.replace(/^Bearer /, ''));
    if (token === undefined || token.expiresAt <= call.now) {
      throw new ApiError(401, 'authError', 'Invalid Credentials', {
        headers: { 'www-authenticate': 'Bearer realm="https://accounts.google.com/", error=invalid_token' },
      });
    }
    // "devstorage.read_write" allows no change of metadata: the table of scopes at objects.patch.
    if (call.kind === 'objects.patch' && !token.isFull) {
      throw new ApiError(403, 'insufficientPermissions', 'Insufficient Permission');
    }
    const permission = PERMISSIONS[call.kind];
    if (permission === undefined) return;
    this.#confirmPermission(permission, token.email, call);
    const replaces = ['objects.insert', 'session.start', 'objects.rewrite'].includes(call.kind);
    if (!replaces || !this.options.denied.has('storage.objects.delete')) return;
    // "storage.objects.delete is required for uploads that overwrite an existing object."
    const name = call.target?.key ?? call.query.get('name') ?? nameIn(call.body);
    const bucket = this.options.state.buckets.get(call.bucket ?? '');
    if (bucket?.live(name) !== undefined) {
      this.#confirmPermission('storage.objects.delete', token.email, call);
    }
  }

  #confirmPermission(permission: string, email: string, call: Call): void {
    if (!this.options.denied.has(permission)) return;
    const what = call.key !== undefined ? 'object' : call.bucket === undefined ? 'project' : 'bucket';
    throw new ApiError(
      403,
      'forbidden',
      `${email} does not have ${permission} access to the Google Cloud ${what === 'project' ? 'project' : `Storage ${what}`}. Permission '${permission}' denied on resource (or it may not exist).`,
    );
  }
}

function nameIn(body: Buffer): string {
  const text = body.subarray(0, 16_384).toString();
  return (JSON.parse(`"${/"name":"((?:[^"\\]|\\.)*)"/.exec(text)?.[1] ?? ''}"`) as string) ?? '';
}

/** What a request asks; names are one segment each, so their slashes are encoded. */
function routeOf(method: string, url: URL, contentRange: string | undefined): Route {
  const segments = url.pathname.split('/').slice(1);
  const path = segments.join('/');
  if (path === 'token' && method === 'POST') return { kind: 'token' };
  if (/^batch(\/storage\/v1)?$/.test(path) && method === 'POST') return { kind: 'batch' };
  let names: string[];
  try {
    names = segments.map(decodeURIComponent);
  } catch {
    return { kind: 'unknown' };
  }
  const area = /^(?:(upload|download)\/)?storage\/v1\/b(?:\/|$)/.exec(path);
  if (area === null) return { kind: 'unknown' };
  const [bucket, o, key, ...more] = names.slice(area[1] === undefined ? 3 : 4);
  if (area[1] === 'upload') return uploadRoute(method, url, bucket, o, contentRange);
  if (bucket === undefined || bucket === '') {
    return { kind: method === 'GET' ? 'buckets.list' : method === 'POST' ? 'buckets.insert' : 'unknown' };
  }
  if (o === undefined) {
    const kinds: Record<string, RequestKind> = { GET: 'buckets.get', PATCH: 'buckets.patch' };
    return { kind: kinds[method] ?? 'unknown', bucket };
  }
  if (o !== 'o') return { kind: 'unknown', bucket };
  if (key === undefined) return { kind: method === 'GET' ? 'objects.list' : 'unknown', bucket };
  return objectRoute(method, url, bucket, key, more, area[1] === 'download');
}

function objectRoute(
  method: string,
  url: URL,
  bucket: string,
  key: string,
  more: readonly string[],
  isDownload: boolean,
): Route {
  const route = { bucket, key };
  if (more.length === 0) {
    if (method === 'GET') {
      const isMedia = isDownload || url.searchParams.get('alt') === 'media';
      return { ...route, kind: isMedia ? 'objects.download' : 'objects.get' };
    }
    const kinds: Record<string, RequestKind> = { PATCH: 'objects.patch', DELETE: 'objects.delete' };
    return { ...route, kind: kinds[method] ?? 'unknown' };
  }
  if (method === 'POST' && more.length === 1 && more[0] === 'compose')
    return { ...route, kind: 'objects.compose' };
  const [verb, b, targetBucket, o, targetKey, ...rest] = more;
  if (
    method === 'POST' &&
    verb === 'rewriteTo' &&
    b === 'b' &&
    o === 'o' &&
    targetKey !== undefined &&
    rest.length === 0
  ) {
    return { ...route, kind: 'objects.rewrite', target: { bucket: targetBucket!, key: targetKey } };
  }
  return { ...route, kind: 'unknown' };
}

function uploadRoute(
  method: string,
  url: URL,
  bucket: string | undefined,
  o: string | undefined,
  contentRange: string | undefined,
): Route {
  if (bucket === undefined || o !== 'o') return { kind: 'unknown' };
  const route = { bucket, ...(url.searchParams.has('name') ? { key: url.searchParams.get('name')! } : {}) };
  if (url.searchParams.has('upload_id')) {
    if (method === 'DELETE') return { ...route, kind: 'session.cancel' };
    // Google's library for Go sends chunks with POST.
    if (method !== 'PUT' && method !== 'POST') return { ...route, kind: 'unknown' };
    return { ...route, kind: isStatusQuestion(contentRange) ? 'session.status' : 'session.put' };
  }
  if (method !== 'POST') return { ...route, kind: 'unknown' };
  return {
    bucket,
    kind: url.searchParams.get('uploadType') === 'resumable' ? 'session.start' : 'objects.insert',
  };
}

async function readBody(
  incoming: IncomingMessage,
  actions: readonly FaultAction[],
): Promise<{ body: Buffer; isWhole: boolean }> {
  const cut = findAction(actions, 'cut-request')?.afterBytes;
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.length;
      if (cut !== undefined && size >= cut) {
        return { body: Buffer.concat(chunks).subarray(0, cut), isWhole: false };
      }
    }
    return { body: Buffer.concat(chunks), isWhole: incoming.complete };
  } catch {
    return { body: Buffer.concat(chunks), isWhole: false };
  }
}

function faultAnswer(fault: Extract<FaultAction, { type: 'error' }>): Answer {
  const { status, reason = 'backendError', message = 'Backend Error', retryAfter } = fault;
  const headers: Record<string, string> =
    retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) };
  const answer = errorAnswer(new ApiError(status, reason, message, { headers }));
  return fault.body === undefined
    ? answer
    : { status, headers: { 'content-type': 'text/html', ...headers }, body: Buffer.from(fault.body) };
}

function send(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  answer: Answer,
  now: number,
  cutAfter: number | undefined,
): void {
  outgoing.sendDate = false;
  outgoing.writeHead(answer.status, {
    date: new Date(now).toUTCString(),
    server: 'UploadServer',
    ...(answer.status === 204 ? {} : { 'content-length': answer.body.length }),
    ...answer.headers,
  });
  if (cutAfter === undefined || cutAfter >= answer.body.length) {
    outgoing.end(answer.body);
    return;
  }
  outgoing.write(answer.body.subarray(0, cutAfter), () => incoming.socket.destroy());
}
