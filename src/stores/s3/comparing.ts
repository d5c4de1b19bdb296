/**
 * Whether an object holds certain bytes, by what S3 computed itself: the MD5 that is the ETag of an object uploaded in one
 * piece, or the MD5 of the parts' MD5s that is the ETag of one uploaded in parts. What the uploader claimed in metadata
 * counts only where the caller trusts claims; under SSE-KMS and SSE-C nothing else is left.
 */

import { createHash } from 'node:crypto';
import { throwIfAborted } from '../../errors.js';
import { type ComparisonTrust, type ContentComparison, hashContent } from '../compare.js';
import type { Content, StoredObject } from '../store.js';
import type { S3Connection } from './connection.js';
import type { Looker } from './looking.js';
import { hidesMd5, isMd5 } from './objects.js';
import { encodeQuery } from './signature.js';

const MULTIPART_ETAG = /^([0-9a-f]{32})-(\d{1,5})$/i;
/** Parts that are asked for their size one by one before an object is called different. */
const ASKED_PARTS = 1_000;

/** Compares objects of one bucket with contents. */
export class Comparer {
  constructor(
    private readonly connection: S3Connection,
    private readonly bucket: string,
    private readonly looker: Looker,
  ) {}

  /** Reads the content once; twice where a multipart object has parts of several sizes. */
  async compare(
    object: StoredObject,
    content: Content,
    trust: ComparisonTrust,
    signal?: AbortSignal,
  ): Promise<ContentComparison> {
    if (object.size !== content.size) return 'different';
    const parts = MULTIPART_ETAG.exec(object.etag ?? '');
    if (parts !== null) return this.compareParts(object, content, Number(parts[2]), trust, signal);
    const md5 = (await hashContent(content, ['md5'], signal)).md5!;
    if (object.etag?.toLowerCase() === md5) return 'equal';
    if (object.hashes?.md5 !== undefined) return 'different';
    const headers: Record<string, string> = {};
    const whole = await this.looker.head(object.key, lookOptions(object, signal), headers);
    if (whole === undefined || whole.etag !== object.etag) return 'different';
    if (whole.etag !== undefined && isMd5(whole.etag) && !hidesMd5(headers)) return 'different';
    return byClaim(whole, md5, trust);
  }

  private async compareParts(
    object: StoredObject,
    content: Content,
    count: number,
    trust: ComparisonTrust,
    signal: AbortSignal | undefined,
  ): Promise<ContentComparison> {
    const first = await this.partOf(object, 1, signal);
    const size = first.size ?? Math.ceil(content.size / count);
    const hashed = await multipartEtag(content, () => size, signal);
    if (hashed.etag === object.etag?.toLowerCase()) return 'equal';
    if (first.hidesMd5) return this.compareClaim(object, hashed.md5, trust, signal);
    if (first.size === undefined || count > ASKED_PARTS)
      return this.compareClaim(object, hashed.md5, trust, signal);
    const sizes = [first.size];
    for (let number = 2; number <= count; number++) {
      const part = await this.partOf(object, number, signal);
      if (part.size === undefined) return this.compareClaim(object, hashed.md5, trust, signal);
      sizes.push(part.size);
    }
    if (sizes.slice(0, -1).every((one) => one === first.size)) return 'different';
    const exact = await multipartEtag(content, (index) => sizes[index] ?? 0, signal);
    return exact.etag === object.etag?.toLowerCase() ? 'equal' : 'different';
  }

  private async compareClaim(
    object: StoredObject,
    md5: string,
    trust: ComparisonTrust,
    signal: AbortSignal | undefined,
  ): Promise<ContentComparison> {
    if (!trust.claims) return 'unknown';
    const whole = await this.looker.head(object.key, lookOptions(object, signal));
    return whole === undefined || whole.etag !== object.etag ? 'different' : byClaim(whole, md5, trust);
  }

  /** Size of one part; undefined where the server can't tell (it answers with the whole object). */
  private async partOf(
    object: StoredObject,
    number: number,
    signal: AbortSignal | undefined,
  ): Promise<{ size?: number; hidesMd5: boolean }> {
    const response = await this.connection.send({
      kind: 'HEAD',
      method: 'HEAD',
      action: 'look at a part of',
      bucket: this.bucket,
      key: object.key,
      query: encodeQuery({ partNumber: number, versionId: object.versionId }),
      accepts: [206, 400, 403, 404, 416, 501],
      ...(signal === undefined ? {} : { signal }),
    });
    const hides = hidesMd5(response.headers);
    if (response.status !== 206) return { hidesMd5: hides };
    return { size: Number(response.headers['content-length']), hidesMd5: hides };
  }
}

function lookOptions(object: StoredObject, signal: AbortSignal | undefined) {
  return { versionId: object.versionId, signal };
}

function byClaim(object: StoredObject, md5: string, trust: ComparisonTrust): ContentComparison {
  const claim = trust.claims ? object.claimedHashes?.md5 : undefined;
  if (claim === undefined) return 'unknown';
  return claim === md5 ? 'equal' : 'different';
}

/**
 * The ETag that `content` has when it is uploaded in parts, and its plain MD5, in one pass.
 *
 * @param sizeOf bytes of the part with this index, from 0; the last part takes what is left
 */
async function multipartEtag(
  content: Content,
  sizeOf: (index: number) => number,
  signal: AbortSignal | undefined,
): Promise<{ etag: string; md5: string }> {
  const whole = createHash('md5');
  const ofParts = createHash('md5');
  let part = createHash('md5');
  let index = 0;
  let room = sizeOf(0);
  for await (const chunk of content.read()) {
    throwIfAborted(signal);
    whole.update(chunk);
    let rest = chunk;
    while (rest.byteLength > 0) {
      if (room <= 0) {
        ofParts.update(part.digest());
        part = createHash('md5');
        index++;
        room = Math.max(1, sizeOf(index));
      }
      const piece = rest.subarray(0, room);
      part.update(piece);
      room -= piece.byteLength;
      rest = rest.subarray(piece.byteLength);
    }
  }
  ofParts.update(part.digest());
  return { etag: `${ofParts.digest('hex')}-${index + 1}`, md5: whole.digest('hex') };
}
