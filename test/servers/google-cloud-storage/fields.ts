/** Partial responses: https://cloud.google.com/storage/docs/json_api#partial-response */

import { ApiError } from './api-error.js';

type Selection = Map<string, Selection | undefined>;

/** Keeps of `value` what `fields` selects; refuses names that no such resource has. */
export function selectFields(value: unknown, fields: string | undefined): unknown {
  if (fields === undefined || fields === '*') return value;
  const parser = new Parser(fields);
  return pick(value, parser.parse());
}

const KNOWN = new Set(
  (
    'kind,items,prefixes,nextPageToken,id,name,bucket,generation,metageneration,contentType,contentEncoding,' +
    'contentDisposition,contentLanguage,cacheControl,storageClass,size,md5Hash,crc32c,etag,timeCreated,updated,' +
    'timeDeleted,timeFinalized,timeStorageClassUpdated,metadata,mediaLink,selfLink,componentCount,eventBasedHold,' +
    'temporaryHold,retentionExpirationTime,customTime,owner,acl,done,rewriteToken,resource,objectSize,' +
    'totalBytesRewritten,versioning,location,locationType,iamConfiguration,retentionPolicy,projectNumber,' +
    'softDeletePolicy,billing,labels,lifecycle'
  ).split(','),
);

class Parser {
  #at = 0;
  constructor(private readonly text: string) {}

  parse(): Selection {
    const selection = this.#list();
    if (this.#at !== this.text.length) throw this.#wrong();
    return selection;
  }

  #list(): Selection {
    const selection: Selection = new Map();
    for (;;) {
      const name = /^[A-Za-z0-9]+/.exec(this.text.slice(this.#at))?.[0];
      if (name === undefined || !KNOWN.has(name)) throw this.#wrong();
      this.#at += name.length;
      selection.set(name, this.#below());
      if (this.text[this.#at] !== ',') return selection;
      this.#at += 1;
    }
  }

  #below(): Selection | undefined {
    const next = this.text[this.#at];
    if (next === '/') {
      this.#at += 1;
      return this.#list();
    }
    if (next !== '(') return undefined;
    this.#at += 1;
    const selection = this.#list();
    if (this.text[this.#at] !== ')') throw this.#wrong();
    this.#at += 1;
    return selection;
  }

  #wrong(): ApiError {
    return new ApiError(400, 'invalidParameter', `Invalid field selection ${this.text}`, {
      location: 'fields',
    });
  }
}

function pick(value: unknown, selection: Selection | undefined): unknown {
  if (selection === undefined || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => pick(item, selection));
  const picked: Record<string, unknown> = {};
  for (const [name, below] of selection) {
    const inner = (value as Record<string, unknown>)[name];
    if (inner !== undefined) picked[name] = pick(inner, below);
  }
  return picked;
}
