/** The hashes a store may know, computed while bytes go by. */

import { createHash, hash } from 'node:crypto';
import { CloudSyncError } from '../errors.js';
import type { Content, HashAlgorithm, Hashes } from './store.js';

interface Digest {
  update(bytes: Uint8Array): void;
  hex(): string;
}

/** Several hashes of the same bytes. */
export class Hasher {
  readonly #digests: [HashAlgorithm, Digest][];

  constructor(algorithms: Iterable<HashAlgorithm>) {
    this.#digests = [...new Set(algorithms)].map((algorithm) => [algorithm, newDigest(algorithm)]);
  }

  update(bytes: Uint8Array): void {
    for (const [, digest] of this.#digests) digest.update(bytes);
  }

  /** Ends it: one call only. */
  finish(): Hashes {
    return Object.fromEntries(this.#digests.map(([algorithm, digest]) => [algorithm, digest.hex()]));
  }
}

/** Throws CHECKSUM_MISMATCH where an expected hash isn't the one found. */
export function requireHashes(expected: Hashes, found: Hashes, path: string): void {
  for (const [algorithm, hash] of Object.entries(expected) as [HashAlgorithm, string][]) {
    if (hash.toLowerCase() === found[algorithm]) continue;
    throw new CloudSyncError(
      'CHECKSUM_MISMATCH',
      `${algorithm} of ${JSON.stringify(path)} is ${found[algorithm]} instead of ${hash}`,
      { path },
    );
  }
}

/** The hashes of what is in memory: of `content`, whose bytes are `bytes`. One that it brings isn't computed again. */
export function hashesOf(
  { md5 }: Pick<Content, 'md5'>,
  bytes: Uint8Array,
  algorithms: readonly HashAlgorithm[],
): Hashes {
  const found: Hashes = {};
  for (const algorithm of algorithms) {
    found[algorithm] = algorithm === 'md5' && md5 !== undefined ? md5 : hashOf(bytes, algorithm);
  }
  return found;
}

function hashOf(bytes: Uint8Array, algorithm: HashAlgorithm): string {
  // In one call: for small contents that is much cheaper.
  if (algorithm === 'md5' || algorithm === 'sha1' || algorithm === 'sha256')
    return hash(algorithm, bytes, 'hex');
  const digest = newDigest(algorithm);
  digest.update(bytes);
  return digest.hex();
}

/** The algorithms named in `hashes`. */
export function algorithmsOf(hashes: Hashes | undefined): HashAlgorithm[] {
  return Object.keys(hashes ?? {}) as HashAlgorithm[];
}

function newDigest(algorithm: HashAlgorithm): Digest {
  switch (algorithm) {
    case 'crc32c':
      return new Crc32C();
    case 'crc64nvme':
      return new Crc64Nvme();
    case 'dropbox':
      return new DropboxHash();
    default:
      return new CryptoDigest(algorithm);
  }
}

class CryptoDigest implements Digest {
  readonly #hash;

  constructor(algorithm: string) {
    this.#hash = createHash(algorithm);
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  hex(): string {
    return this.#hash.digest('hex');
  }
}

/** CRC-32C (Castagnoli), reflected polynomial 82F63B78, from RFC 3720, appendix B.4; eight bytes at a time. */
class Crc32C implements Digest {
  static #tables: Uint32Array[] | undefined;
  #crc = 0xffffffff;

  update(bytes: Uint8Array): void {
    Crc32C.#tables ??= crc32Tables(0x82f63b78);
    const [t0, t1, t2, t3, t4, t5, t6, t7] = Crc32C.#tables as [
      Uint32Array,
      Uint32Array,
      Uint32Array,
      Uint32Array,
      Uint32Array,
      Uint32Array,
      Uint32Array,
      Uint32Array,
    ];
    let crc = this.#crc;
    let index = 0;
    for (const end = bytes.length - 7; index < end; index += 8) {
      crc ^= bytes[index]! | (bytes[index + 1]! << 8) | (bytes[index + 2]! << 16) | (bytes[index + 3]! << 24);
      crc =
        t7[crc & 255]! ^
        t6[(crc >>> 8) & 255]! ^
        t5[(crc >>> 16) & 255]! ^
        t4[crc >>> 24]! ^
        t3[bytes[index + 4]!]! ^
        t2[bytes[index + 5]!]! ^
        t1[bytes[index + 6]!]! ^
        t0[bytes[index + 7]!]!;
    }
    for (; index < bytes.length; index++) crc = t0[(crc ^ bytes[index]!) & 255]! ^ (crc >>> 8);
    this.#crc = crc;
  }

  hex(): string {
    return ((this.#crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, '0');
  }
}

function crc32Tables(polynomial: number): Uint32Array[] {
  const tables = Array.from({ length: 8 }, () => new Uint32Array(256));
  for (let value = 0; value < 256; value++) {
    let crc = value;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    tables[0]![value] = crc;
  }
  for (let table = 1; table < 8; table++) {
    for (let value = 0; value < 256; value++) {
      const before = tables[table - 1]![value]!;
      tables[table]![value] = tables[0]![before & 255]! ^ (before >>> 8);
    }
  }
  return tables;
}

/**
 * CRC-64/NVME, reflected polynomial 9A6C9329AC4BC9B5, from the NVM Express NVM Command Set Specification, section 5.2.1.3.4;
 * in two halves, because numbers hold 53 bits, and four bytes at a time.
 */
class Crc64Nvme implements Digest {
  static #tables: Uint32Array | undefined;
  #high = 0xffffffff;
  #low = 0xffffffff;

  update(bytes: Uint8Array): void {
    Crc64Nvme.#tables ??= crc64Tables(0x9a6c9329, 0xac4bc9b5);
    const tables = Crc64Nvme.#tables;
    let high = this.#high;
    let low = this.#low;
    let index = 0;
    for (const end = bytes.length - 3; index < end; index += 4) {
      const mixed =
        low ^
        (bytes[index]! | (bytes[index + 1]! << 8) | (bytes[index + 2]! << 16) | (bytes[index + 3]! << 24));
      // Four tables of 256 entries, each of a high and a low half; the last byte of the four is in the first table.
      const a = 1536 + (mixed & 255) * 2;
      const b = 1024 + ((mixed >>> 8) & 255) * 2;
      const c = 512 + ((mixed >>> 16) & 255) * 2;
      const d = (mixed >>> 24) * 2;
      low = high ^ tables[a + 1]! ^ tables[b + 1]! ^ tables[c + 1]! ^ tables[d + 1]!;
      high = tables[a]! ^ tables[b]! ^ tables[c]! ^ tables[d]!;
    }
    for (; index < bytes.length; index++) {
      const entry = ((low ^ bytes[index]!) & 255) * 2;
      low = ((low >>> 8) | (high << 24)) ^ tables[entry + 1]!;
      high = (high >>> 8) ^ tables[entry]!;
    }
    this.#high = high;
    this.#low = low;
  }

  hex(): string {
    const half = (value: number) => ((value ^ 0xffffffff) >>> 0).toString(16).padStart(8, '0');
    return half(this.#high) + half(this.#low);
  }
}

function crc64Tables(polynomialHigh: number, polynomialLow: number): Uint32Array {
  const tables = new Uint32Array(4 * 512);
  for (let value = 0; value < 256; value++) {
    let high = 0;
    let low = value;
    for (let bit = 0; bit < 8; bit++) {
      const isOdd = low & 1;
      low = (low >>> 1) | (high << 31);
      high >>>= 1;
      if (isOdd) {
        low ^= polynomialLow;
        high ^= polynomialHigh;
      }
    }
    tables[value * 2] = high;
    tables[value * 2 + 1] = low;
  }
  for (let at = 512; at < tables.length; at += 2) {
    const high = tables[at - 512]!;
    const low = tables[at - 511]!;
    const entry = (low & 255) * 2;
    tables[at] = (high >>> 8) ^ tables[entry]!;
    tables[at + 1] = ((low >>> 8) | (high << 24)) ^ tables[entry + 1]!;
  }
  return tables;
}

/**
 * Dropbox's content_hash: SHA-256 over the SHA-256 of each block of 4 MiB.
 * Source: https://www.dropbox.com/developers/reference/content-hash
 */
class DropboxHash implements Digest {
  static readonly #blockSize = 4 * 1024 * 1024;
  readonly #whole = createHash('sha256');
  #block = createHash('sha256');
  #filled = 0;

  update(bytes: Uint8Array): void {
    for (let offset = 0; offset < bytes.length; ) {
      const count = Math.min(bytes.length - offset, DropboxHash.#blockSize - this.#filled);
      this.#block.update(bytes.subarray(offset, offset + count));
      this.#filled += count;
      offset += count;
      if (this.#filled === DropboxHash.#blockSize) this.#endBlock();
    }
  }

  hex(): string {
    if (this.#filled > 0) this.#endBlock();
    return this.#whole.digest('hex');
  }

  #endBlock(): void {
    this.#whole.update(this.#block.digest());
    this.#block = createHash('sha256');
    this.#filled = 0;
  }
}
