/**
 * How rclone's crypt lays out content: the magic, a nonce of 24 bytes, then boxes of 64 KiB of content each (the last
 * one shorter, none for an empty file), each sealed under the nonce before it plus one.
 * Source: https://rclone.org/crypt/#file-formats and backend/crypt/cipher.go.
 */

import { randomBytes } from 'node:crypto';
import { CloudSyncError } from '../../errors.js';
import { NONCE_SIZE, TAG_SIZE } from './secretbox.js';

export const MAGIC = Buffer.from('RCLONE\0\0', 'latin1');
/** Magic and nonce, bytes. */
export const HEADER_SIZE = MAGIC.length + NONCE_SIZE;
/** Content in a block, bytes. */
export const BLOCK_DATA_SIZE = 64 * 1024;
/** A block as stored, bytes. */
export const BOX_SIZE = TAG_SIZE + BLOCK_DATA_SIZE;

/** A stretch of bytes. */
export interface ByteRange {
  offset: number;
  length: number;
}

/** Bytes of the file that holds `size` bytes of content. */
export function encryptedSize(size: number): number {
  return HEADER_SIZE + size + Math.ceil(size / BLOCK_DATA_SIZE) * TAG_SIZE;
}

/** Bytes of content in an encrypted file of `size` bytes; undefined where no encrypted file has that size. */
export function possibleDecryptedSize(size: number): number | undefined {
  const boxes = size - HEADER_SIZE;
  if (boxes < 0) return undefined;
  const rest = boxes % BOX_SIZE;
  if (rest > 0 && rest <= TAG_SIZE) return undefined;
  return boxes - Math.ceil(boxes / BOX_SIZE) * TAG_SIZE;
}

/** Bytes of content in an encrypted file of `size` bytes. Throws CHECKSUM_MISMATCH where no encrypted file has that size. */
export function decryptedSize(size: number): number {
  const plain = possibleDecryptedSize(size);
  if (plain === undefined) {
    throw new CloudSyncError(
      'CHECKSUM_MISMATCH',
      `Not an encrypted file, or one cut off: none has ${size} bytes`,
      {
        retryable: false,
      },
    );
  }
  return plain;
}

/** The most content that fits into an encrypted file of at most `size` bytes. */
export function largestContent(size: number): number {
  if (!Number.isFinite(size)) return size;
  const boxes = Math.max(0, size - HEADER_SIZE);
  const whole = Math.floor(boxes / BOX_SIZE);
  return whole * BLOCK_DATA_SIZE + Math.max(0, boxes - whole * BOX_SIZE - TAG_SIZE);
}

/** Where the block `index` begins in the encrypted file. */
export function boxOffset(index: number): number {
  return HEADER_SIZE + index * BOX_SIZE;
}

/** The content, in whole blocks, of which the bytes `range` of the encrypted file are made. */
export function contentOfRange(range: ByteRange, contentSize: number): ByteRange {
  const first = Math.max(0, Math.floor((range.offset - HEADER_SIZE) / BOX_SIZE));
  const end = Math.max(first, Math.ceil((range.offset + range.length - HEADER_SIZE) / BOX_SIZE));
  const offset = Math.min(first * BLOCK_DATA_SIZE, contentSize);
  return { offset, length: Math.min(end * BLOCK_DATA_SIZE, contentSize) - offset };
}

/** The boxes that hold the bytes `range` (not empty) of the content, in the encrypted file. */
export function boxesOfRange(range: ByteRange, contentSize: number): ByteRange {
  const first = Math.floor(range.offset / BLOCK_DATA_SIZE);
  const end = Math.ceil((range.offset + range.length) / BLOCK_DATA_SIZE);
  const offset = boxOffset(first);
  return { offset, length: Math.min(boxOffset(end), encryptedSize(contentSize)) - offset };
}

/** A nonce nobody has used. */
export function newNonce(): Buffer {
  return randomBytes(NONCE_SIZE);
}

/** The nonce of block `index`: `nonce` plus `index`, as one little-endian number of 24 bytes that wraps. */
export function blockNonce(nonce: Uint8Array, index: number): Buffer {
  const result = Buffer.from(nonce);
  let carry = index;
  for (let position = 0; position < NONCE_SIZE && carry > 0; position++) {
    const sum = result[position]! + (carry % 256);
    result[position] = sum;
    carry = Math.floor(carry / 256) + (sum > 255 ? 1 : 0);
  }
  return result;
}

/** Adds one to `nonce`. */
export function incrementNonce(nonce: Uint8Array): void {
  for (let position = 0; position < NONCE_SIZE; position++) {
    nonce[position]!++;
    if (nonce[position] !== 0) return;
  }
}

export function fileHeader(nonce: Uint8Array): Buffer {
  return Buffer.concat([MAGIC, nonce]);
}

/** The nonce in a file's first 32 bytes; undefined where they aren't the header of an encrypted file. */
export function nonceOfHeader(header: Uint8Array): Buffer | undefined {
  const bytes = Buffer.from(header.buffer, header.byteOffset, header.byteLength);
  if (bytes.length < HEADER_SIZE || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  return Buffer.from(bytes.subarray(MAGIC.length, HEADER_SIZE));
}
