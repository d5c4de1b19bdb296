/** Looking at one object, and at the bucket, with HEAD: answers without a body, so that reasons have to be asked for. */

import { CloudSyncError, hasCode } from '../../errors.js';
import type { StoredObject } from '../store.js';
import type { S3Connection } from './connection.js';
import { objectFromHeaders } from './objects.js';
import { encodeQuery } from './signature.js';
import { elementText } from './xml.js';

/** For so long a bucket that was seen is believed to be there still. ms. */
const BUCKET_SEEN_MS = 5000;

/** Looks at objects of one bucket. */
export class Looker {
  #bucketSeenAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly connection: S3Connection,
    private readonly bucket: string,
  ) {}

  /**
   * The object, or undefined where there is none. BUCKET_NOT_FOUND is never taken for a missing object.
   *
   * @param headers Filled with the answer's headers, for what a {@link StoredObject} doesn't hold.
   */
  async head(
    key: string,
    options: { versionId?: string; signal?: AbortSignal } = {},
    headers?: Record<string, string>,
  ): Promise<StoredObject | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      const response = await this.connection.send({
        kind: 'HEAD',
        method: 'HEAD',
        action: 'look at',
        bucket: this.bucket,
        key,
        query: encodeQuery({ versionId: options.versionId }),
        // 400 and 403 are explained by another request; 405 is the answer for a version that is a delete marker.
        accepts: [400, 403, 404, 405],
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      if (response.status === 200) {
        this.#bucketSeenAt = performance.now();
        if (headers !== undefined) Object.assign(headers, response.headers);
        return objectFromHeaders(key, response.headers);
      }
      if (response.status === 405) return undefined;
      if (response.status === 404) {
        await this.#confirmBucket(options.signal);
        return undefined;
      }
      await this.#explain(key, options);
      // The explaining request succeeded: it may have corrected clock or region.
      if (attempt === 2) {
        throw new CloudSyncError('NO_PERMISSION', `The access key may read "${key}" but not look at it`, {
          path: key,
        });
      }
    }
  }

  /**
   * Throws where the bucket can't be used, with the server's own reason.
   *
   * @param prefix What the key is confined to.
   */
  async check(prefix?: string, signal?: AbortSignal): Promise<void> {
    await this.connection.send({
      kind: 'LIST',
      method: 'GET',
      action: 'list the objects',
      bucket: this.bucket,
      query: encodeQuery({ 'list-type': 2, 'max-keys': 1, prefix: prefix || undefined }),
      ...(signal === undefined ? {} : { signal }),
    });
    this.#bucketSeenAt = performance.now();
  }

  /**
   * Whether old versions were ever kept in this bucket ("GetBucketVersioning": no status where versioning was never on);
   * undefined where the key may not ask or the server doesn't know the question.
   */
  async keepsVersions(signal: AbortSignal | undefined): Promise<boolean | undefined> {
    const response = await this.connection.send({
      kind: 'HEAD',
      method: 'GET',
      action: 'look at the bucket',
      bucket: this.bucket,
      query: 'versioning=',
      accepts: [400, 403, 404, 405, 501],
      ...(signal === undefined ? {} : { signal }),
    });
    const xml = response.bytes.toString();
    if (response.status !== 200 || !xml.includes('<VersioningConfiguration')) return undefined;
    return ['Enabled', 'Suspended'].includes(elementText(xml, 'Status') ?? '');
  }

  /** 404 for an object is also what a missing bucket gives. */
  async #confirmBucket(signal: AbortSignal | undefined): Promise<void> {
    if (performance.now() - this.#bucketSeenAt < BUCKET_SEEN_MS) return;
    const response = await this.connection.send({
      kind: 'HEAD',
      method: 'HEAD',
      action: 'look at the bucket',
      bucket: this.bucket,
      accepts: [403, 404],
      ...(signal === undefined ? {} : { signal }),
    });
    if (response.status === 404) {
      throw new CloudSyncError('BUCKET_NOT_FOUND', `There is no bucket "${this.bucket}"`, {
        advice: "Check the bucket's name, or create it first.",
        httpStatus: 404,
      });
    }
    this.#bucketSeenAt = performance.now();
  }

  /** Throws what a GET of the first byte is refused with. */
  async #explain(key: string, options: { versionId?: string; signal?: AbortSignal }): Promise<void> {
    try {
      await this.connection.send({
        kind: 'GET',
        method: 'GET',
        action: 'look at',
        bucket: this.bucket,
        key,
        query: encodeQuery({ versionId: options.versionId }),
        headers: { range: 'bytes=0-0' },
        accepts: [416],
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
    } catch (error) {
      // Gone, or archived: no reason for HEAD to be refused, so it is asked again.
      if (!hasCode(error, 'NOT_FOUND', 'ARCHIVED')) throw error;
    }
  }
}
