/**
 * Files by Backblaze's own interface, kept in the S3 server, so that both interfaces show the same ones. File info is
 * `x-amz-meta-*` there: reported of a live bucket, for instance in https://github.com/autonomouslogic/eve-ref.
 */

import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { deleteMarker } from '../s3/buckets.js';
import type { ObjectVersion } from '../s3/server.js';
import { compareUtf8 } from '../s3/utf8-order.js';
import type { B2Key } from './keys.js';
import { bucketId, bucketOfId, type FileAnswer, type Json, NativeError, type NativeParts } from './native.js';

interface LargeFile {
  bucket: string;
  name: string;
  info: Record<string, string>;
  contentType: string;
  parts: Map<number, Buffer>;
}

/** The capability each call needs. */
const NEEDS: Record<string, string> = {
  b2_list_file_names: 'listFiles',
  b2_list_file_versions: 'listFiles',
  b2_get_file_info: 'readFiles',
  b2_get_upload_url: 'writeFiles',
  b2_start_large_file: 'writeFiles',
  b2_get_upload_part_url: 'writeFiles',
  b2_finish_large_file: 'writeFiles',
  b2_cancel_large_file: 'writeFiles',
  b2_copy_file: 'writeFiles',
  b2_hide_file: 'writeFiles',
  b2_delete_file_version: 'deleteFiles',
};

export class NativeFiles {
  readonly #large = new Map<string, LargeFile>();
  /** Versions made of parts here: Backblaze has no SHA-1 of their whole. */
  readonly #madeOfParts = new WeakSet<ObjectVersion>();

  constructor(private readonly parts: NativeParts) {}

  bucketNames(): string[] {
    return this.#access.bucketNames();
  }

  call(operation: string, input: Json, key: B2Key): Json {
    const needed = NEEDS[operation];
    if (needed === undefined) throw new NativeError(400, 'bad_request', `Unknown operation ${operation}`);
    if (!key.capabilities.includes(needed)) throw new NativeError(401, 'unauthorized', '');
    const bucket = input.bucketId === undefined ? '' : bucketOfId(input.bucketId);
    switch (operation) {
      case 'b2_list_file_names':
        return this.#list(bucket, input, false);
      case 'b2_list_file_versions':
        return this.#list(bucket, input, true);
      case 'b2_get_file_info':
        return this.#describe(...this.#find(input.fileId));
      case 'b2_get_upload_url':
        return this.#uploadUrl('b2_upload_file', String(input.bucketId));
      case 'b2_get_upload_part_url':
        return this.#uploadUrl('b2_upload_part', String(input.fileId));
      case 'b2_start_large_file':
        return this.#startLarge(bucket, input);
      case 'b2_finish_large_file':
        return this.#finishLarge(input);
      case 'b2_cancel_large_file':
        this.#large.delete(String(input.fileId));
        return {};
      case 'b2_copy_file':
        return this.#copy(input);
      case 'b2_hide_file': {
        const held = this.#access.bucket(bucket);
        const marker = deleteMarker(held, String(input.fileName), this.parts.s3.clock);
        held.add(marker);
        return this.#describe(bucket, marker);
      }
      default: {
        const [name, version] = this.#find(input.fileId);
        this.#access.bucket(name).remove(version.key, version.versionId);
        return {};
      }
    }
  }

  /** `b2_upload_file` and `b2_upload_part`: checked against the SHA-1 in the header or behind the bytes. */
  upload(operation: string, url: URL, incoming: IncomingMessage, body: Buffer): Json {
    const target = url.pathname.split('/').at(-1) ?? '';
    const header = (name: string) => String(incoming.headers[name] ?? '');
    const isBehind = header('x-bz-content-sha1') === 'hex_digits_at_end';
    const bytes = isBehind ? body.subarray(0, -40) : body;
    const expected = isBehind ? body.subarray(-40).toString() : header('x-bz-content-sha1');
    const sha1 = createHash('sha1').update(bytes).digest('hex');
    if (sha1 !== expected) throw new NativeError(400, 'bad_request', 'Sha1 did not match data received');
    if (operation === 'b2_upload_part') {
      const number = Number(header('x-bz-part-number'));
      const file = this.#large.get(target);
      if (file === undefined) throw new NativeError(400, 'bad_request', `No active upload for ${target}`);
      file.parts.set(number, Buffer.from(bytes));
      return { fileId: target, partNumber: number, contentLength: bytes.length, contentSha1: sha1 };
    }
    const info: Record<string, string> = {};
    for (const name in incoming.headers) {
      if (name.startsWith('x-bz-info-')) info[name.slice(10)] = decodeURIComponent(header(name));
    }
    const bucket = bucketOfId(target);
    const name = decodeURIComponent(header('x-bz-file-name'));
    confirmName(name);
    const version = this.#access.put(bucket, name, Buffer.from(bytes), {
      metadata: info,
      contentType: header('content-type'),
    });
    return this.#describe(bucket, version);
  }

  /** `/file/BUCKET/NAME`, or by id. */
  download(url: URL, incoming: IncomingMessage): FileAnswer {
    const [bucket, version] = this.#wanted(url);
    const whole = this.#access.bytes(bucket, version.key, version);
    const range = /^bytes=(\d+)-(\d*)$/.exec(String(incoming.headers.range ?? ''));
    const start = Number(range?.[1] ?? 0);
    const end = range?.[2] ? Number(range[2]) + 1 : whole.length;
    const bytes = whole.subarray(start, end);
    const headers: Record<string, string> = {
      'content-type': version.system['content-type'] ?? '',
      'content-length': String(bytes.length),
      'x-bz-file-id': idOf(bucket, version),
      'x-bz-file-name': encodeURIComponent(version.key).replaceAll('%2F', '/'),
      'x-bz-content-sha1': this.#sha1Of(version, whole),
      'x-bz-upload-timestamp': String(version.lastModified),
    };
    for (const [name, value] of Object.entries(version.metadata)) headers[`x-bz-info-${name}`] = value;
    if (range !== null)
      headers['content-range'] = `bytes ${start}-${start + bytes.length - 1}/${whole.length}`;
    return { status: range === null ? 200 : 206, headers, bytes };
  }

  get #access() {
    return this.parts.s3.objects;
  }

  #wanted(url: URL): [string, ObjectVersion] {
    const id = url.searchParams.get('fileId');
    if (id !== null) return this.#find(id);
    const [, , bucket = '', ...segments] = url.pathname.split('/');
    const version = this.#access.find(bucket, decodeURIComponent(segments.join('/')));
    if (version === undefined) throw new NativeError(404, 'not_found');
    return [bucket, version];
  }

  #find(fileId: unknown): [string, ObjectVersion] {
    const [bucket = '', name = '', versionId = ''] = String(fileId).split('.');
    const version = this.#access.bucket(bucketOfId(bucket)).version(bucketOfId(name), versionId);
    if (version === undefined) throw new NativeError(404, 'file_not_present');
    return [bucketOfId(bucket), version];
  }

  #uploadUrl(operation: string, target: string): Json {
    const url = `${this.parts.url()}/b2api/v2/${operation}/${target}`;
    return { bucketId: target, fileId: target, uploadUrl: url, authorizationToken: 'for this upload alone' };
  }

  #startLarge(bucket: string, input: Json): Json {
    const fileId = randomBytes(12).toString('hex');
    const name = String(input.fileName);
    confirmName(name);
    const info = (input.fileInfo ?? {}) as Record<string, string>;
    this.#large.set(fileId, {
      bucket,
      name,
      info,
      contentType: String(input.contentType),
      parts: new Map(),
    });
    return { fileId, fileName: name, fileInfo: info, bucketId: bucketId(bucket) };
  }

  #finishLarge(input: Json): Json {
    const file = this.#large.get(String(input.fileId));
    if (file === undefined) throw new NativeError(400, 'bad_request', 'No active upload');
    const sha1s = input.partSha1Array as string[];
    const parts = sha1s.map((sha1, index) => {
      const part = file.parts.get(index + 1);
      const isIt = part !== undefined && createHash('sha1').update(part).digest('hex') === sha1;
      if (!isIt) throw new NativeError(400, 'bad_request', 'sha1 did not match');
      return part;
    });
    if (parts.slice(0, -1).some((part) => part.length < 5_000_000)) {
      throw new NativeError(400, 'bad_request', 'Part too small');
    }
    this.#large.delete(String(input.fileId));
    const version = this.#access.put(file.bucket, file.name, Buffer.concat(parts), {
      metadata: file.info,
      contentType: file.contentType,
      // Nobody promises that it is made of the content.
      etag: randomBytes(16).toString('hex'),
    });
    this.#madeOfParts.add(version);
    return this.#describe(file.bucket, version);
  }

  #copy(input: Json): Json {
    const [bucket, source] = this.#find(input.sourceFileId);
    const isReplaced = input.metadataDirective === 'REPLACE';
    const version = this.#access.put(
      bucket,
      String(input.fileName),
      this.#access.bytes(bucket, source.key, source),
      {
        metadata: isReplaced ? ((input.fileInfo ?? {}) as Record<string, string>) : source.metadata,
        contentType: isReplaced ? String(input.contentType) : (source.system['content-type'] ?? ''),
      },
    );
    if (this.#madeOfParts.has(source)) this.#madeOfParts.add(version);
    return this.#describe(bucket, version);
  }

  #list(bucket: string, input: Json, versions: boolean): Json {
    const prefix = String(input.prefix ?? '');
    const delimiter = String(input.delimiter ?? '');
    const from = String(input.startFileName ?? '');
    const files: Json[] = [];
    const folders = new Set<string>();
    const entries = [...this.#access.bucket(bucket).keys.values()].sort((a, b) => compareUtf8(a.key, b.key));
    for (const { key, versions: all } of entries) {
      if (!key.startsWith(prefix) || compareUtf8(key, from) < 0) continue;
      const slash = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
      if (slash >= 0) {
        const folder = key.slice(0, slash + 1);
        if (!folders.has(folder)) files.push({ action: 'folder', fileName: folder, contentLength: 0 });
        folders.add(folder);
      } else if (versions) files.push(...all.map((version) => this.#describe(bucket, version)));
      else if (all[0]?.isDeleteMarker === false) files.push(this.#describe(bucket, all[0]));
    }
    const limit = Number(input.maxFileCount ?? 100);
    const page = files.slice(0, limit);
    return { files: page, nextFileName: files[limit]?.fileName ?? null, nextFileId: null };
  }

  #describe(bucket: string, version: ObjectVersion): Json {
    return {
      accountId: this.parts.accountId,
      bucketId: bucketId(bucket),
      fileId: idOf(bucket, version),
      fileName: version.key,
      action: version.isDeleteMarker ? 'hide' : 'upload',
      contentLength: version.size,
      // As version 1 calls it in listings.
      size: version.size,
      contentType: version.system['content-type'] ?? '',
      contentSha1: version.isDeleteMarker ? null : this.#sha1Of(version, undefined, bucket),
      fileInfo: version.metadata,
      uploadTimestamp: version.lastModified,
    };
  }

  /** "none" for what was made of parts, by either interface. */
  #sha1Of(version: ObjectVersion, bytes?: Buffer, bucket = ''): string {
    if (this.#madeOfParts.has(version) || version.parts !== undefined) return 'none';
    return createHash('sha1')
      .update(bytes ?? this.#access.bytes(bucket, version.key, version))
      .digest('hex');
  }
}

function idOf(bucket: string, version: ObjectVersion): string {
  return `${bucketId(bucket)}.${bucketId(version.key)}.${version.versionId}`;
}

/** Source: https://www.backblaze.com/docs/cloud-storage-files: what names may not hold. */
function confirmName(name: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
  if (/[\u0000-\u001f\u007f\\]|^\/|\/$|\/\//.test(name) || Buffer.byteLength(name) > 1024) {
    throw new NativeError(400, 'bad_request', 'File name is not allowed');
  }
}
