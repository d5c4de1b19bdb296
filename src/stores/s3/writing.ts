/** Single writes: checked by the server over the bytes, and by us over what it answers. */

import { CloudSyncError, hasCode } from '../../errors.js';
import type { HttpResponse } from '../http.js';
import type { Content, ProviderOptions, StoredObject, WriteOptions } from '../store.js';
import { prepareBody } from './bodies.js';
import { sendConditional } from './conditions.js';
import type { S3Connection, S3Request } from './connection.js';
import type { Looker } from './looking.js';
import { attributeHeaders, hidesMd5, isMd5, md5ToBase64, unquote } from './objects.js';
import type { HeadObject } from './reading.js';

export class Writer {
  /** The bucket encrypts with KMS by default: learned from the first answer. */
  #hidesMd5: boolean;

  constructor(
    private readonly connection: S3Connection,
    private readonly bucket: string,
    private readonly looker: Looker,
    private readonly options: ProviderOptions,
  ) {
    this.#hidesMd5 = /^(aws:|arn:)/.test(options.serverSideEncryption ?? '');
  }

  readonly #headObject: HeadObject = (key, options) => this.looker.head(key, options);

  /** Writes a whole object with one PUT. */
  async write(key: string, content: Content, options: WriteOptions): Promise<StoredObject> {
    const { body, md5 } = await prepareBody(this.connection, content, options);
    // As rclone: where the ETag won't be the MD5, the metadata says it.
    const claimsMd5 = this.#hidesMd5 || /^(aws:|arn:)/.test(options.serverSideEncryption ?? '');
    const request: S3Request = {
      kind: 'PUT',
      method: 'PUT',
      action: 'write',
      bucket: this.bucket,
      key,
      headers: attributeHeaders(
        options,
        this.options,
        this.connection.traits,
        claimsMd5 ? { md5: md5ToBase64(md5) } : {},
      ),
      body,
      signal: options.signal,
    };
    let response: HttpResponse;
    try {
      response = await sendConditional(this.connection, this.#headObject, request, options);
    } catch (error) {
      const arrived = await this.#arrivedBefore(request, md5, content.size, error);
      if (arrived !== undefined) return arrived;
      throw error;
    }
    return (
      this.#confirmedBy(key, content.size, md5, response) ??
      (await this.#confirmByLooking(key, content.size, response, options.signal))
    );
  }

  /** A condition may fail because an earlier attempt was carried out and only its answer was lost. */
  async #arrivedBefore(
    request: S3Request,
    md5: string,
    size: number,
    error: unknown,
  ): Promise<StoredObject | undefined> {
    if (!hasCode(error, 'PRECONDITION_FAILED') || (request.sent ?? 0) < 2) return undefined;
    const present = await this.looker.head(
      request.key!,
      request.signal === undefined ? {} : { signal: request.signal },
    );
    const presentMd5 = present?.hashes?.md5 ?? present?.claimedHashes?.md5;
    return present !== undefined && presentMd5 === md5 && present.size === size ? present : undefined;
  }

  /** The object, as far as its ETag confirms it; undefined where it tells nothing. */
  #confirmedBy(key: string, size: number, md5: string, { headers }: HttpResponse): StoredObject | undefined {
    const etag = unquote(headers.etag);
    if (etag === undefined || hidesMd5(headers)) return undefined;
    if (etag !== md5) {
      if (!isMd5(etag)) return undefined;
      if (etag.toLowerCase() !== md5) throw notAsSent(key);
    }
    const object: StoredObject = { key, kind: 'file', size, etag, hashes: { md5 } };
    const versionId = headers['x-amz-version-id'];
    if (versionId !== undefined) object.versionId = versionId;
    return object;
  }

  async #confirmByLooking(
    key: string,
    size: number,
    response: HttpResponse,
    signal: AbortSignal | undefined,
  ): Promise<StoredObject> {
    const etag = unquote(response.headers.etag);
    const versionId = response.headers['x-amz-version-id'];
    if (hidesMd5(response.headers)) this.#hidesMd5 = true;
    // The server has checked Content-MD5; its ETag tells nothing more, so at least the size is asked for.
    const found = await this.looker.head(key, {
      ...(versionId === undefined || versionId === 'null' ? {} : { versionId }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (found === undefined || found.size !== size || (etag !== undefined && found.etag !== etag)) {
      throw notAsSent(key);
    }
    return found;
  }
}

function notAsSent(key: string): CloudSyncError {
  return new CloudSyncError('CHECKSUM_MISMATCH', `"${key}" is not stored as it was sent`, { path: key });
}
