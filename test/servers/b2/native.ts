/** Backblaze's own interface, as far as this package and rclone's b2 backend use it. */

import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { S3Server } from '../s3/server.js';
import type { B2Key } from './keys.js';
import { NativeFiles } from './native-files.js';

export interface NativeParts {
  s3: S3Server;
  keys: ReadonlyMap<string, B2Key>;
  accountId: string;
  /** Names of the buckets from before May 2020. */
  oldBuckets: ReadonlySet<string>;
  url: () => string;
}

/** An answer that says no: `{status, code, message}`. */
export class NativeError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message = code,
  ) {
    super(message);
  }
}

export type Json = Record<string, unknown>;

/** A body that isn't JSON: the bytes of a file. */
export interface FileAnswer {
  status: number;
  headers: Record<string, string>;
  bytes: Buffer;
}

export class NativeInterface {
  readonly requests: string[] = [];
  readonly #tokens = new Map<string, B2Key>();
  readonly #files: NativeFiles;

  constructor(private readonly parts: NativeParts) {
    this.#files = new NativeFiles(parts);
  }

  async serve(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '', 'http://host');
    this.requests.push(url.pathname);
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    try {
      const result = this.#route(incoming, url, Buffer.concat(chunks));
      if ('bytes' in result) {
        const { status, headers, bytes } = result as FileAnswer;
        answer.writeHead(status, headers).end(incoming.method === 'HEAD' ? undefined : bytes);
      } else answer.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(result));
    } catch (error) {
      const known =
        error instanceof NativeError ? error : new NativeError(500, 'internal_error', String(error));
      const { status, code, message } = known;
      answer
        .writeHead(status, { 'content-type': 'application/json' })
        .end(JSON.stringify({ status, code, message }));
    }
  }

  #route(incoming: IncomingMessage, url: URL, body: Buffer): Json | FileAnswer {
    const [, version, operation] = /^\/b2api\/(v[1-4])\/(b2_[a-z_]+)/.exec(url.pathname) ?? [];
    if (operation === 'b2_authorize_account') return this.#authorize(incoming, version!);
    if (operation === 'b2_upload_file' || operation === 'b2_upload_part') {
      return this.#files.upload(operation, url, incoming, body);
    }
    const key = this.#tokens.get(String(incoming.headers.authorization));
    if (key === undefined) throw new NativeError(401, 'bad_auth_token');
    if (url.pathname.startsWith('/file/') || operation === 'b2_download_file_by_id') {
      return this.#files.download(url, incoming);
    }
    const input = body.length === 0 ? {} : (JSON.parse(body.toString()) as Json);
    if (operation === 'b2_list_buckets') return this.#listBuckets(key, input);
    return this.#files.call(operation ?? '', input, key);
  }

  /** Source: https://www.backblaze.com/apidocs/b2-authorize-account, with what each version had. */
  #authorize(incoming: IncomingMessage, version: string): Json {
    const pair = /^Basic (.+)$/.exec(String(incoming.headers.authorization))?.[1] ?? '';
    const [id = '', secret] = Buffer.from(pair, 'base64').toString().split(':');
    const key = this.parts.keys.get(id);
    if (key === undefined || key.applicationKey !== secret) throw new NativeError(401, 'unauthorized', '');
    if (key.expiresAt !== undefined && key.expiresAt < Date.now())
      throw new NativeError(401, 'unauthorized', '');
    const buckets = key.buckets?.map((name) => ({ id: bucketId(name), name }));
    if (version < 'v4' && buckets !== undefined && buckets.length > 1) {
      throw new NativeError(401, 'unsupported', 'Multi-bucket keys need version 4');
    }
    const token = randomBytes(16).toString('hex');
    this.#tokens.set(token, key);
    const url = this.parts.url();
    const { capabilities, prefix: namePrefix = null } = key;
    const one = { bucketId: buckets?.[0]?.id ?? null, bucketName: buckets?.[0]?.name ?? null };
    const sizes = { absoluteMinimumPartSize: 5_000_000, recommendedPartSize: 100_000_000 };
    const urls = { apiUrl: url, downloadUrl: url, s3ApiUrl: url };
    const account = {
      accountId: this.parts.accountId,
      authorizationToken: token,
      applicationKeyExpirationTimestamp: key.expiresAt ?? null,
    };
    const allowed = { capabilities, namePrefix, ...one };
    if (version < 'v3') return { ...account, ...urls, ...sizes, allowed };
    const storage =
      version === 'v3'
        ? { ...urls, ...sizes, ...allowed, infoType: 'storageApi' }
        : { ...urls, ...sizes, allowed: { capabilities, namePrefix, buckets: buckets ?? null } };
    return { ...account, apiInfo: { storageApi: storage } };
  }

  /** Source: https://www.backblaze.com/apidocs/b2-list-buckets */
  #listBuckets(key: B2Key, input: Json): Json {
    if (!key.capabilities.includes('listBuckets')) throw new NativeError(401, 'unauthorized', '');
    const wanted = input.bucketName as string | undefined;
    // "If an app key is restricted to one bucket, you must provide the bucket name or ID".
    if (key.buckets !== undefined && (wanted === undefined || !key.buckets.includes(wanted))) {
      throw new NativeError(401, 'unauthorized', '');
    }
    const names = this.#files.bucketNames().filter((name) => wanted === undefined || name === wanted);
    return {
      buckets: names.map((bucketName) => ({
        accountId: this.parts.accountId,
        bucketId: bucketId(bucketName),
        bucketName,
        bucketType: 'allPrivate',
        options: this.parts.oldBuckets.has(bucketName) ? [] : ['s3'],
      })),
    };
  }
}

/** Made from the name, so that nothing has to be remembered. */
export function bucketId(name: string): string {
  return Buffer.from(name).toString('hex');
}

export function bucketOfId(id: unknown): string {
  return Buffer.from(String(id), 'hex').toString();
}
