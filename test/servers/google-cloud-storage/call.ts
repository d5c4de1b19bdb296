/** One request on its way, and its answer. */

import { ApiError, invalid } from './api-error.js';
import type { Bucket, Conditions } from './buckets.js';
import { type FaultAction, findAction, flipBit, type RequestKind } from './faults.js';
import { selectFields } from './fields.js';

export interface Answer {
  status: number;
  headers: Record<string, string | string[]>;
  body: Buffer;
}

export interface Call {
  kind: RequestKind;
  method: string;
  query: URLSearchParams;
  headers: Readonly<Record<string, string | undefined>>;
  /** As it came over the wire. */
  body: Buffer;
  /** `http://127.0.0.1:PORT` */
  origin: string;
  bucket?: string;
  key?: string;
  /** Destination of a rewrite. */
  target?: { bucket: string; key: string };
  actions: readonly FaultAction[];
  /** ms since the epoch, by the server's clock. */
  now: number;
}

/** What all handlers work on. */
export interface ServerState {
  projectId: string;
  buckets: Map<string, Bucket>;
  /** A rewrite copies so many bytes with each call. */
  rewriteBytesPerCall: number;
}

/** Parameters every request may have: https://cloud.google.com/storage/docs/json_api/v1/parameters#query */
const COMMON = ['alt', 'fields', 'prettyPrint', 'quotaUser', 'userProject', 'key'];
const PRECONDITIONS = [
  'ifGenerationMatch',
  'ifGenerationNotMatch',
  'ifMetagenerationMatch',
  'ifMetagenerationNotMatch',
];
const SOURCE_PRECONDITIONS = PRECONDITIONS.map((name) => `ifSource${name.slice(2)}`);
const UPLOAD = ['uploadType', 'name', 'predefinedAcl', 'contentEncoding', 'projection', ...PRECONDITIONS];

/** Parameters by method, as the pages of https://cloud.google.com/storage/docs/json_api/v1/ list them. */
const PARAMETERS: Partial<Record<RequestKind, readonly string[]>> = {
  'buckets.list': ['project', 'maxResults', 'pageToken', 'prefix', 'projection'],
  'buckets.insert': ['project', 'predefinedAcl', 'predefinedDefaultObjectAcl', 'projection'],
  'buckets.get': ['projection', 'ifMetagenerationMatch', 'ifMetagenerationNotMatch'],
  'buckets.patch': ['projection', 'ifMetagenerationMatch', 'ifMetagenerationNotMatch'],
  'objects.list': [
    'delimiter',
    'endOffset',
    'includeTrailingDelimiter',
    'maxResults',
    'pageToken',
    'prefix',
    'projection',
    'startOffset',
    'versions',
    'softDeleted',
  ],
  'objects.get': ['generation', 'projection', ...PRECONDITIONS],
  'objects.download': ['generation', 'projection', ...PRECONDITIONS],
  'objects.insert': UPLOAD,
  'session.start': UPLOAD,
  'session.put': ['uploadType', 'upload_id', 'name', 'ifGenerationMatch'],
  'session.status': ['uploadType', 'upload_id', 'name', 'ifGenerationMatch'],
  'session.cancel': ['uploadType', 'upload_id', 'name', 'ifGenerationMatch'],
  'objects.patch': ['generation', 'predefinedAcl', 'projection', ...PRECONDITIONS],
  'objects.delete': ['generation', ...PRECONDITIONS],
  'objects.rewrite': [
    'sourceGeneration',
    'rewriteToken',
    'maxBytesRewrittenPerCall',
    'destinationPredefinedAcl',
    'projection',
    ...PRECONDITIONS,
    ...SOURCE_PRECONDITIONS,
  ],
  'objects.compose': ['destinationPredefinedAcl', 'ifGenerationMatch', 'ifMetagenerationMatch'],
  batch: [],
};

/** Refuses parameters the method doesn't have, and values that make no sense. */
export function confirmQuery(call: Call): void {
  const allowed = PARAMETERS[call.kind] ?? [];
  for (const name of call.query.keys()) {
    if (!allowed.includes(name) && !COMMON.includes(name)) {
      throw new ApiError(400, 'invalidParameter', `Unknown parameter: ${name}`, { location: name });
    }
    if (call.query.getAll(name).length > 1) {
      throw new ApiError(400, 'invalidParameter', `Repeated parameter: ${name}`, { location: name });
    }
  }
  const alt = call.query.get('alt');
  if (alt !== null && alt !== 'json' && alt !== 'media') {
    throw new ApiError(400, 'invalidAltValue', `Invalid value for alt: ${alt}`, { location: 'alt' });
  }
}

export function numberParameter(call: Call, name: string): bigint | undefined {
  const text = call.query.get(name);
  if (text === null) return undefined;
  if (!/^\d{1,19}$/.test(text)) throw invalid(`Invalid value for ${name}: ${text}`, name);
  return BigInt(text);
}

export function conditionsOf(call: Call, prefix = 'if'): Conditions {
  return {
    ifGenerationMatch: numberParameter(call, `${prefix}GenerationMatch`),
    ifGenerationNotMatch: numberParameter(call, `${prefix}GenerationNotMatch`),
    ifMetagenerationMatch: numberParameter(call, `${prefix}MetagenerationMatch`),
    ifMetagenerationNotMatch: numberParameter(call, `${prefix}MetagenerationNotMatch`),
  };
}

/** JSON as the caller wants it, with the fields the caller wants. */
export function jsonAnswer(call: Call, value: unknown, status = 200): Answer {
  const selected = selectFields(value, call.query.get('fields') ?? undefined);
  return {
    status,
    headers: { 'content-type': 'application/json; charset=UTF-8', 'cache-control': 'no-cache' },
    body: Buffer.from(JSON.stringify(selected)),
  };
}

export function errorAnswer(error: ApiError, asText = false): Answer {
  return {
    status: error.status,
    headers: {
      'content-type': asText ? 'text/html; charset=UTF-8' : 'application/json; charset=UTF-8',
      ...error.options.headers,
    },
    body: Buffer.from(asText ? error.message : error.toJson()),
  };
}

/** The content that came, damaged where a fault says so. */
export function received(call: Call, content: Buffer): Buffer {
  return flipBit(content, findAction(call.actions, 'corrupt-request')?.offset);
}

/** The body as a JSON object with no names but `allowed`. */
export function readJson(text: string, allowed: readonly string[]): Record<string, unknown> {
  if (text.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ApiError(400, 'parseError', 'Parse Error');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ApiError(400, 'parseError', 'Parse Error');
  }
  for (const name of Object.keys(value)) {
    if (!allowed.includes(name)) throw invalid(`Unknown name "${name}": Cannot find field.`, name);
  }
  return value as Record<string, unknown>;
}
