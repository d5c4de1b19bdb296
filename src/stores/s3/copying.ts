/** Copies within a bucket, made by the server: in one request, or in parts above 5 GiB. */

import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import type { CopyOptions, ObjectAttributes, ProviderOptions, StoredObject } from '../store.js';
import { xmlBody } from './bodies.js';
import { conditionHeaders, confirmConditions } from './conditions.js';
import type { S3Connection } from './connection.js';
import type { Looker } from './looking.js';
import { attributeHeaders, type Claims, isMd5, md5ToBase64, quote, unquote } from './objects.js';
import { encodeKey, encodeQuery } from './signature.js';
import { ASSEMBLING_SILENCE_MS, abortUpload, beginUpload, partSizeFor } from './upload.js';
import { elementText, escapeXml } from './xml.js';

const GIB = 1024 ** 3;
/** Source: CopyObject, Amazon S3 API Reference: objects up to 5 GB in one request. */
const SINGLE_COPY_LIMIT = 5 * GIB;
const COPY_PART_SIZE = GIB;
/** Headers a copy with new metadata would lose. */
const KEPT_HEADERS = [
  'content-type',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'expires',
];

/** An object looked at before it is copied, with the headers a copy has to repeat. */
interface CopySource {
  object: StoredObject;
  headers: Record<string, string>;
}

export class Copier {
  constructor(
    private readonly connection: S3Connection,
    private readonly bucket: string,
    private readonly looker: Looker,
    private readonly options: ProviderOptions,
    /** From this size on in parts. */
    private readonly singleLimit = SINGLE_COPY_LIMIT,
    private readonly partSize = COPY_PART_SIZE,
  ) {}

  /** Copies `sourceKey` to `key`, pinned to what the source was when it was looked at. */
  async copy(sourceKey: string, key: string, options: CopyOptions): Promise<StoredObject> {
    const source = await this.#lookAtSource(sourceKey, options);
    await confirmConditions((...looked) => this.looker.head(...looked), key, options, options.signal);
    const { attributes } = options;
    // A copy keeps metadata by itself, but never the storage class.
    const headers =
      attributes === undefined
        ? classHeaders(source.object, this.options)
        : {
            ...attributeHeaders(attributes, this.options, this.connection.traits, claimsOf(source.object)),
            'x-amz-metadata-directive': 'REPLACE',
          };
    if (this.#takesParts(source.object.size))
      return await this.#copyInParts(source, key, options, attributes);
    return await this.#copyAtOnce(source, key, headers, options);
  }

  /** Gives the object another modification time: a copy onto itself that keeps everything else. */
  async setModificationTime(
    object: StoredObject,
    time: bigint,
    signal?: AbortSignal,
    onUploadBegins?: CopyOptions['onUploadBegins'],
  ): Promise<StoredObject> {
    const options: CopyOptions = {
      ...(onUploadBegins === undefined ? {} : { onUploadBegins }),
      ...(object.etag === undefined ? {} : { sourceIfMatch: object.etag }),
      ...(signal === undefined ? {} : { signal }),
    };
    const source = await this.#lookAtSource(object.key, options);
    const attributes: ObjectAttributes = { metadata: source.object.metadata ?? {}, modificationTime: time };
    const copied = this.#takesParts(source.object.size)
      ? await this.#copyInParts(source, object.key, options, attributes)
      : await this.#copyAtOnce(
          source,
          object.key,
          { ...this.#keptHeaders(source, attributes), 'x-amz-metadata-directive': 'REPLACE' },
          options,
        );
    return { ...copied, modificationTime: time, metadata: attributes.metadata ?? {} };
  }

  #takesParts(size: number): boolean {
    return size > this.singleLimit && this.connection.traits.copiesInParts;
  }

  async #lookAtSource(key: string, options: CopyOptions): Promise<CopySource> {
    const headers: Record<string, string> = {};
    const object = await this.looker.head(
      key,
      {
        ...(options.sourceVersionId === undefined ? {} : { versionId: options.sourceVersionId }),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
      headers,
    );
    if (object === undefined) throw new CloudSyncError('NOT_FOUND', `"${key}" does not exist`, { path: key });
    if (options.sourceIfMatch !== undefined && object.etag !== options.sourceIfMatch) throw changed(key);
    if (object.archive === 'frozen' || object.archive === 'thawing') {
      throw new CloudSyncError('ARCHIVED', `"${key}" is archived and can't be copied now`, {
        path: key,
        advice: 'Have it restored from the archive first (thaw), then try again.',
      });
    }
    return { object, headers };
  }

  /** All that the source has beside its bytes, with `attributes` in place of its metadata. */
  #keptHeaders(source: CopySource, attributes: ObjectAttributes): Record<string, string> {
    const headers = attributeHeaders(attributes, {}, this.connection.traits, claimsOf(source.object));
    for (const name of KEPT_HEADERS) {
      const value = source.headers[name];
      if (value !== undefined) headers[name] = value;
    }
    Object.assign(headers, classHeaders(source.object, {}));
    const encryption = source.headers['x-amz-server-side-encryption'];
    if (encryption?.startsWith('aws:')) {
      headers['x-amz-server-side-encryption'] = encryption;
      const keyId = source.headers['x-amz-server-side-encryption-aws-kms-key-id'];
      if (keyId !== undefined) headers['x-amz-server-side-encryption-aws-kms-key-id'] = keyId;
    }
    return headers;
  }

  async #copyAtOnce(
    source: CopySource,
    key: string,
    headers: Record<string, string>,
    options: CopyOptions,
  ): Promise<StoredObject> {
    const { object } = source;
    try {
      const response = await this.connection.send({
        kind: 'COPY',
        method: 'PUT',
        action: 'copy',
        bucket: this.bucket,
        key,
        headers: {
          ...headers,
          ...this.#sourceHeaders(object, options),
          ...conditionHeaders(this.connection, options),
        },
        mayFailInside: true,
        silenceMs: ASSEMBLING_SILENCE_MS,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      const etag = unquote(elementText(response.bytes.toString(), 'ETag'));
      const versionId = response.headers['x-amz-version-id'];
      const found: StoredObject = {
        key,
        kind: 'file',
        size: object.size,
        ...(etag === undefined ? {} : { etag }),
        ...(versionId === undefined ? {} : { versionId }),
      };
      return await this.#confirm(found, object, response.headers, options.signal);
    } catch (error) {
      if (!hasCode(error, 'PRECONDITION_FAILED')) throw error;
      const source = await this.looker.head(
        object.key,
        options.signal === undefined ? {} : { signal: options.signal },
      );
      throw source?.etag === object.etag ? error : changed(object.key, error);
    }
  }

  async #copyInParts(
    source: CopySource,
    key: string,
    options: CopyOptions,
    attributes: ObjectAttributes | undefined,
  ): Promise<StoredObject> {
    const { object } = source;
    const { connection, bucket } = this;
    const headers =
      attributes === undefined
        ? this.#keptHeaders(source, {
            metadata: object.metadata ?? {},
            ...(object.modificationTime === undefined ? {} : { modificationTime: object.modificationTime }),
          })
        : {
            ...this.#keptHeaders(source, attributes),
            ...attributeHeaders(attributes, this.options, this.connection.traits, claimsOf(source.object)),
          };
    const signal = options.signal === undefined ? {} : { signal: options.signal };
    options.onUploadBegins?.();
    const begun = await beginUpload(connection, bucket, key, headers, options.signal);
    const uploadId = elementText(begun.bytes.toString(), 'UploadId') ?? '';
    try {
      const partSize = partSizeFor(object.size, connection.traits.maxUploadParts, this.partSize);
      const parts: string[] = [];
      for (let start = 0; start < object.size; start += partSize) {
        throwIfAborted(options.signal);
        const end = Math.min(object.size, start + partSize) - 1;
        const answer = await connection.send({
          kind: 'COPY',
          method: 'PUT',
          action: 'copy',
          bucket,
          key,
          query: encodeQuery({ partNumber: parts.length + 1, uploadId }),
          headers: {
            ...this.#sourceHeaders(object, options),
            'x-amz-copy-source-range': `bytes=${start}-${end}`,
          },
          mayFailInside: true,
          silenceMs: ASSEMBLING_SILENCE_MS,
          ...signal,
        });
        parts.push(elementText(answer.bytes.toString(), 'ETag') ?? '');
      }
      const xml = parts
        .map(
          (etag, index) =>
            `<Part><PartNumber>${index + 1}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`,
        )
        .join('');
      await connection.send({
        kind: 'POST',
        method: 'POST',
        action: 'copy',
        bucket,
        key,
        query: encodeQuery({ uploadId }),
        headers: conditionHeaders(this.connection, options),
        body: xmlBody(
          `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${xml}</CompleteMultipartUpload>`,
        ),
        mayFailInside: true,
        silenceMs: ASSEMBLING_SILENCE_MS,
        ...signal,
      });
    } catch (error) {
      await abortUpload(connection, bucket, key, uploadId).catch(() => {});
      throw hasCode(error, 'PRECONDITION_FAILED') &&
        options.ifMatch === undefined &&
        options.ifNoneMatch === undefined
        ? changed(object.key, error)
        : error;
    }
    const found = await this.looker.head(key, signal);
    if (found === undefined || found.size !== object.size) {
      throw new CloudSyncError('CHECKSUM_MISMATCH', `"${key}" is not a copy of "${object.key}"`, {
        path: key,
      });
    }
    return found;
  }

  #sourceHeaders(object: StoredObject, options: CopyOptions): Record<string, string> {
    const version =
      options.sourceVersionId === undefined
        ? ''
        : `?versionId=${encodeURIComponent(options.sourceVersionId)}`;
    return {
      'x-amz-copy-source': `/${encodeKey(this.bucket)}/${encodeKey(object.key)}${version}`,
      ...(object.etag === undefined ? {} : { 'x-amz-copy-source-if-match': quote(object.etag) }),
    };
  }

  /** Equal ETags of two unencrypted single-part objects are equal bytes; where they can't tell, the size has to do. */
  async #confirm(
    copy: StoredObject,
    source: StoredObject,
    headers: Record<string, string>,
    signal: AbortSignal | undefined,
  ): Promise<StoredObject> {
    const md5 = source.hashes?.md5;
    const isHidden = (headers['x-amz-server-side-encryption'] ?? '').startsWith('aws:');
    if (md5 !== undefined && copy.etag !== undefined && isMd5(copy.etag) && !isHidden) {
      if (copy.etag.toLowerCase() === md5) return { ...copy, hashes: { md5 } };
    } else {
      const found = await this.looker.head(copy.key, signal === undefined ? {} : { signal });
      if (found !== undefined && found.size === source.size) return found;
    }
    throw new CloudSyncError('CHECKSUM_MISMATCH', `"${copy.key}" is not a copy of "${source.key}"`, {
      path: copy.key,
    });
  }
}

/** A copy has the content of its source, so what was claimed of that holds for it too. */
function claimsOf(object: StoredObject): Claims {
  const { md5, sha1 } = object.claimedHashes ?? {};
  return { ...(md5 === undefined ? {} : { md5: md5ToBase64(md5) }), ...(sha1 === undefined ? {} : { sha1 }) };
}

function classHeaders(object: StoredObject, options: ProviderOptions): Record<string, string> {
  const storageClass = object.storageClass ?? options.storageClass;
  return storageClass ? { 'x-amz-storage-class': storageClass } : {};
}

function changed(key: string, cause?: unknown): CloudSyncError {
  return new CloudSyncError('CHANGED', `"${key}" is another object now than when it was looked at first`, {
    path: key,
    ...(cause === undefined ? {} : { cause }),
  });
}
