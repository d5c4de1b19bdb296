/**
 * Raw names: strings in which a byte that is no valid UTF-8 stands as the lone surrogate U+DC00 + byte. They live only
 * between decoding and encoding and never leave the name functions.
 */

import { isUtf8 } from 'node:buffer';

const BYTE_BASE = 0xdc00;

/** The byte that the lone surrogate at `index` stands for, or -1. */
export function byteAt(raw: string, index: number): number {
  const unit = raw.charCodeAt(index);
  if (unit < 0xdc80 || unit > 0xdcff) return -1;
  const before = index > 0 ? raw.charCodeAt(index - 1) : 0;
  return before >= 0xd800 && before <= 0xdbff ? -1 : unit - BYTE_BASE;
}

export function bytesToRaw(bytes: Uint8Array): string {
  if (isUtf8(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  let raw = '';
  for (let index = 0; index < bytes.length; ) {
    const length = sequenceLength(bytes, index);
    if (length === 0) {
      raw += String.fromCharCode(BYTE_BASE + bytes[index++]!);
    } else {
      raw += Buffer.from(bytes.subarray(index, index + length)).toString('utf8');
      index += length;
    }
  }
  return raw;
}

export function rawToBytes(raw: string): Buffer {
  if (raw.isWellFormed()) return Buffer.from(raw, 'utf8');
  const parts: Buffer[] = [];
  let start = 0;
  for (let index = 0; index < raw.length; index++) {
    const byte = byteAt(raw, index);
    if (byte === -1) continue;
    parts.push(Buffer.from(raw.slice(start, index), 'utf8'), Buffer.of(byte));
    start = index + 1;
  }
  parts.push(Buffer.from(raw.slice(start), 'utf8'));
  return Buffer.concat(parts);
}

/** Length of the valid UTF-8 sequence at `index`, 0 where there is none. */
function sequenceLength(bytes: Uint8Array, index: number): number {
  const first = bytes[index]!;
  const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (index + length > bytes.length) return 0;
  // The runtime's own check knows the rest: overlong forms, surrogates, more than U+10FFFF.
  return isUtf8(bytes.subarray(index, index + length)) ? length : 0;
}
