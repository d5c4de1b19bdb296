/**
 * Whether an object holds certain bytes, by what S3 computed itself: the MD5 that is the ETag of an object uploaded in one
 * piece, or the MD5 of the parts' MD5s that is the ETag of one uploaded in parts. What the uploader claimed in metadata
 * counts only where the caller trusts claims; under SSE-KMS and SSE-C nothing else is left.
 */

import { createHash } from 'node:crypto';
import { hashContent } from '../compare.js';
import { forEachChunk } from '../content.js';
import type {
  ComparisonTrust,
  Content,
  ContentComparison,
  HashAlgorithm,
  Hashes,
  StoredObject,
} from '../store.js';
import type { S3Connection } from './connection.js';
import type { Looker } from './looking.js';
import { hidesMd5 } from './objects.js';
import { encodeQuery } from './signature.js';

const MULTIPART_ETAG = /^([0-9a-f]{32})-(\d{1,5})$/i;
const MIB = 1024 * 1024;
/** Part sizes that programs use by default or that people choose. */
const USUAL_PARTS_MIB = [5, 16, 8, 15, 10, 32, 64, 100, 128, 256, 512];
/** Where the server does not tell the size of a part: each one costs another pass of MD5. */
const PART_SIZES_TRIED = 4;
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
    const hashes = await hashContent(content, claimedAlgorithms(object), signal);
    if (object.etag?.toLowerCase() === hashes.md5) return 'equal';
    if (object.hashes?.md5 !== undefined) return 'different';
    const whole = await this.looker.head(object.key, lookOptions(object, signal));
    if (whole === undefined || whole.etag !== object.etag) return 'different';
    if (whole.hashes?.md5 !== undefined) return 'different';
    return await byClaim(whole, content, hashes, trust, signal);
  }

  private async compareParts(
    object: StoredObject,
    content: Content,
    count: number,
    trust: ComparisonTrust,
    signal: AbortSignal | undefined,
  ): Promise<ContentComparison> {
    const first = await this.partOf(object, 1, signal);
    const sizesToTry = first.size === undefined ? likelyPartSizes(content.size, count) : [first.size];
    const hashed = await multipartEtags(
      content,
      sizesToTry.map((size) => () => size),
      signal,
    );
    if (hashed.etags.includes(object.etag?.toLowerCase() ?? '')) return 'equal';
    const byClaims = () => this.compareClaim(object, content, hashed.md5, trust, signal);
    const isTelling = this.connection.traits.multipartEtag && !isNativeLarge(object);
    if (first.hidesMd5 || !isTelling) return byClaims();
    if (first.size === undefined || count > ASKED_PARTS) return byClaims();
    const sizes = [first.size];
    for (let number = 2; number <= count; number++) {
      const part = await this.partOf(object, number, signal);
      if (part.size === undefined) return byClaims();
      sizes.push(part.size);
    }
    if (sizes.slice(0, -1).every((one) => one === first.size)) return 'different';
    const exact = await multipartEtags(content, [(index) => sizes[index] ?? 0], signal);
    return exact.etags[0] === object.etag?.toLowerCase() ? 'equal' : 'different';
  }

  private async compareClaim(
    object: StoredObject,
    content: Content,
    md5: string,
    trust: ComparisonTrust,
    signal: AbortSignal | undefined,
  ): Promise<ContentComparison> {
    if (!trust.claims) return 'unknown';
    const whole = await this.looker.head(object.key, lookOptions(object, signal));
    if (whole === undefined || whole.etag !== object.etag) return 'different';
    return await byClaim(whole, content, { md5 }, trust, signal);
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

/** MD5, and what else `object` is known to claim: computed in the same pass. */
function claimedAlgorithms(object: StoredObject): HashAlgorithm[] {
  return object.claimedHashes?.sha1 === undefined ? ['md5'] : ['md5', 'sha1'];
}

/** Uploaded in parts through Backblaze's own interface: nobody says what its ETag is made of. */
function isNativeLarge(object: StoredObject): boolean {
  const claims = object.claimedHashes;
  return claims?.sha1 !== undefined && claims.md5 === undefined;
}

/** By what the uploader claimed, where the caller believes that; reads the content once more only for another hash. */
async function byClaim(
  object: StoredObject,
  content: Content,
  known: Hashes,
  trust: ComparisonTrust,
  signal: AbortSignal | undefined,
): Promise<ContentComparison> {
  const claims = trust.claims ? object.claimedHashes : undefined;
  const algorithm = claims?.md5 !== undefined ? 'md5' : claims?.sha1 !== undefined ? 'sha1' : undefined;
  if (algorithm === undefined) return 'unknown';
  const own = known[algorithm] ?? (await hashContent(content, [algorithm], signal))[algorithm];
  return own === claims?.[algorithm] ? 'equal' : 'different';
}

/**
 * Sizes of equal parts, bytes, that make `count` of `size` bytes: first those that programs use by default (rclone and the
 * SDKs 5 MiB, the AWS CLI 8, s3cmd 15, this package 16), then whole MiB, then what divides it evenly.
 */
function likelyPartSizes(size: number, count: number): number[] {
  const isFit = (partSize: number) => Math.ceil(size / partSize) === count;
  const smallest = Math.ceil(size / count);
  const wholeMib = Math.ceil(smallest / MIB) * MIB;
  const candidates = [...USUAL_PARTS_MIB.map((mib) => mib * MIB), wholeMib, smallest];
  return [...new Set(candidates.filter(isFit))].slice(0, PART_SIZES_TRIED);
}

/** Takes the ETag that a content has when it is uploaded in parts of certain sizes. */
class PartedHash {
  private readonly ofParts = createHash('md5');
  private part = createHash('md5');
  private index = 0;
  private room: number;

  /** @param sizeOf bytes of the part with this index, from 0; the last part takes what is left */
  constructor(private readonly sizeOf: (index: number) => number) {
    this.room = sizeOf(0);
  }

  update(chunk: Uint8Array): void {
    let rest = chunk;
    while (rest.byteLength > 0) {
      if (this.room <= 0) {
        this.ofParts.update(this.part.digest());
        this.part = createHash('md5');
        this.index++;
        this.room = Math.max(1, this.sizeOf(this.index));
      }
      const piece = rest.subarray(0, this.room);
      this.part.update(piece);
      this.room -= piece.byteLength;
      rest = rest.subarray(piece.byteLength);
    }
  }

  etag(): string {
    this.ofParts.update(this.part.digest());
    return `${this.ofParts.digest('hex')}-${this.index + 1}`;
  }
}

/** The ETags that `content` has when it is uploaded in parts of these sizes, and its plain MD5, in one pass. */
async function multipartEtags(
  content: Content,
  sizes: readonly ((index: number) => number)[],
  signal: AbortSignal | undefined,
): Promise<{ etags: string[]; md5: string }> {
  const whole = createHash('md5');
  const parted = sizes.map((sizeOf) => new PartedHash(sizeOf));
  const update = (chunk: Uint8Array) => {
    whole.update(chunk);
    for (const hash of parted) hash.update(chunk);
  };
  await forEachChunk(content, update, signal);
  return { etags: parted.map((hash) => hash.etag()), md5: whole.digest('hex') };
}
