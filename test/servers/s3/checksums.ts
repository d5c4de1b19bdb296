import { createHash, type Hash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** "Checking object integrity in Amazon S3": the algorithms this server computes. */
export const CHECKSUM_ALGORITHMS = ['crc32', 'crc32c', 'crc64nvme', 'sha1', 'sha256'] as const;
export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number];

/** `ChecksumCRC32C` and so on, as the elements are called in XML. */
export const CHECKSUM_ELEMENTS: Record<ChecksumAlgorithm, string> = {
  crc32: 'ChecksumCRC32',
  crc32c: 'ChecksumCRC32C',
  crc64nvme: 'ChecksumCRC64NVME',
  sha1: 'ChecksumSHA1',
  sha256: 'ChecksumSHA256',
};

/** Bytes of each digest. */
export const CHECKSUM_LENGTHS: Record<ChecksumAlgorithm, number> = {
  crc32: 4,
  crc32c: 4,
  crc64nvme: 8,
  sha1: 20,
  sha256: 32,
};

export function isChecksumAlgorithm(name: string): name is ChecksumAlgorithm {
  return (CHECKSUM_ALGORITHMS as readonly string[]).includes(name);
}

/** A running checksum. */
export interface Digest {
  update(bytes: Buffer): void;
  digest(): Buffer;
}

export function createDigest(algorithm: ChecksumAlgorithm | 'md5'): Digest | Hash {
  if (algorithm === 'crc32') return new Crc32();
  if (algorithm === 'crc32c') return new Crc32c();
  if (algorithm === 'crc64nvme') return new Crc64Nvme();
  return createHash(algorithm);
}

class Crc32 implements Digest {
  private value = 0;
  update(bytes: Buffer): void {
    this.value = crc32(bytes, this.value);
  }
  digest(): Buffer {
    const result = Buffer.alloc(4);
    result.writeUInt32BE(this.value >>> 0);
    return result;
  }
}

let crc32cTables: Uint32Array[] | undefined;

/** Slicing by eight, polynomial 0x1EDC6F41 reflected (RFC 3720, appendix B.4). */
class Crc32c implements Digest {
  private value = 0xffffffff;

  update(bytes: Buffer): void {
    crc32cTables ??= makeCrc32cTables();
    const [t0, t1, t2, t3, t4, t5, t6, t7] = crc32cTables as unknown as Tables;
    let crc = this.value;
    let at = 0;
    const eights = bytes.length - 7;
    for (; at < eights; at += 8) {
      crc ^=
        byte(bytes, at) |
        (byte(bytes, at + 1) << 8) |
        (byte(bytes, at + 2) << 16) |
        (byte(bytes, at + 3) << 24);
      crc =
        pick(t7, crc & 255) ^
        pick(t6, (crc >>> 8) & 255) ^
        pick(t5, (crc >>> 16) & 255) ^
        pick(t4, crc >>> 24) ^
        pick(t3, byte(bytes, at + 4)) ^
        pick(t2, byte(bytes, at + 5)) ^
        pick(t1, byte(bytes, at + 6)) ^
        pick(t0, byte(bytes, at + 7));
    }
    for (; at < bytes.length; at++) crc = pick(t0, (crc ^ byte(bytes, at)) & 255) ^ (crc >>> 8);
    this.value = crc >>> 0;
  }

  digest(): Buffer {
    const result = Buffer.alloc(4);
    result.writeUInt32BE((this.value ^ 0xffffffff) >>> 0);
    return result;
  }
}

type Table = Uint32Array;
type Tables = [Table, Table, Table, Table, Table, Table, Table, Table];
const byte = (bytes: Uint8Array, index: number) => bytes[index] as number;
const pick = (table: Table, index: number) => table[index] as number;

function makeCrc32cTables(): Table[] {
  const tables = Array.from({ length: 8 }, () => new Uint32Array(256));
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
    (tables[0] as Table)[n] = c >>> 0;
  }
  for (let n = 0; n < 256; n++) {
    let c = pick(tables[0] as Table, n);
    for (let k = 1; k < 8; k++) {
      c = pick(tables[0] as Table, c & 255) ^ (c >>> 8);
      (tables[k] as Table)[n] = c >>> 0;
    }
  }
  return tables;
}

let crc64Tables: { low: Table[]; high: Table[] } | undefined;

/** CRC-64/NVME (NVM Command Set Specification, 5.2.1.3.4), slicing by eight in two halves of 32 bits. */
class Crc64Nvme implements Digest {
  private low = 0xffffffff;
  private high = 0xffffffff;

  update(bytes: Buffer): void {
    crc64Tables ??= makeCrc64Tables();
    const { low: lows, high: highs } = crc64Tables;
    let low = this.low | 0;
    let high = this.high | 0;
    let at = 0;
    const eights = bytes.length - 7;
    const [l0, l1, l2, l3, l4, l5, l6, l7] = lows as unknown as Tables;
    const [h0, h1, h2, h3, h4, h5, h6, h7] = highs as unknown as Tables;
    for (; at < eights; at += 8) {
      const a =
        low ^
        (byte(bytes, at) |
          (byte(bytes, at + 1) << 8) |
          (byte(bytes, at + 2) << 16) |
          (byte(bytes, at + 3) << 24));
      const b =
        high ^
        (byte(bytes, at + 4) |
          (byte(bytes, at + 5) << 8) |
          (byte(bytes, at + 6) << 16) |
          (byte(bytes, at + 7) << 24));
      const [i0, i1, i2, i3] = [a & 255, (a >>> 8) & 255, (a >>> 16) & 255, a >>> 24];
      const [i4, i5, i6, i7] = [b & 255, (b >>> 8) & 255, (b >>> 16) & 255, b >>> 24];
      low =
        pick(l7, i0) ^
        pick(l6, i1) ^
        pick(l5, i2) ^
        pick(l4, i3) ^
        pick(l3, i4) ^
        pick(l2, i5) ^
        pick(l1, i6) ^
        pick(l0, i7);
      high =
        pick(h7, i0) ^
        pick(h6, i1) ^
        pick(h5, i2) ^
        pick(h4, i3) ^
        pick(h3, i4) ^
        pick(h2, i5) ^
        pick(h1, i6) ^
        pick(h0, i7);
    }
    for (; at < bytes.length; at++) {
      const index = (low ^ byte(bytes, at)) & 255;
      low = ((low >>> 8) | (high << 24)) ^ pick(l0, index);
      high = (high >>> 8) ^ pick(h0, index);
    }
    this.low = low >>> 0;
    this.high = high >>> 0;
  }

  digest(): Buffer {
    const result = Buffer.alloc(8);
    result.writeUInt32BE((this.high ^ 0xffffffff) >>> 0, 0);
    result.writeUInt32BE((this.low ^ 0xffffffff) >>> 0, 4);
    return result;
  }
}

function makeCrc64Tables(): { low: Table[]; high: Table[] } {
  const polynomial = 0x9a6c9329ac4bc9b5n;
  const low = Array.from({ length: 8 }, () => new Uint32Array(256));
  const high = Array.from({ length: 8 }, () => new Uint32Array(256));
  const first: bigint[] = [];
  for (let n = 0; n < 256; n++) {
    let c = BigInt(n);
    for (let bit = 0; bit < 8; bit++) c = c & 1n ? (c >> 1n) ^ polynomial : c >> 1n;
    first.push(c);
  }
  for (let n = 0; n < 256; n++) {
    let c = first[n] as bigint;
    for (let k = 0; k < 8; k++) {
      (low[k] as Table)[n] = Number(c & 0xffffffffn);
      (high[k] as Table)[n] = Number(c >> 32n);
      c = (first[Number(c & 255n)] as bigint) ^ (c >> 8n);
    }
  }
  return { low, high };
}
