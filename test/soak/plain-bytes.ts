/**
 * Encrypted objects read without the package: rclone's crypt format (https://rclone.org/crypt/#file-formats) over another
 * implementation of its cipher.
 */

import { scryptSync } from 'node:crypto';
import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js';

const MAGIC = Buffer.from('RCLONE\0\0', 'latin1');
const NONCE_BYTES = 24;
const BOX_BYTES = 64 * 1024 + 16;

/** The key of the content, of a password and a salt. */
export function contentKey(password: string, salt: string): Buffer {
  return scryptSync(password, salt, 80, { N: 16384, r: 8, p: 1 }).subarray(0, 32);
}

/** The nonce of an encrypted object, hexadecimal. */
export function nonceOf(stored: Buffer): string {
  return stored.subarray(MAGIC.length, MAGIC.length + NONCE_BYTES).toString('hex');
}

/** The content; throws where the object isn't whole. */
export function decrypt(stored: Buffer, key: Buffer): Buffer {
  if (!stored.subarray(0, MAGIC.length).equals(MAGIC)) throw new Error('not an encrypted object');
  const nonce = Buffer.from(stored.subarray(MAGIC.length, MAGIC.length + NONCE_BYTES));
  const boxes: Buffer[] = [];
  for (let at = MAGIC.length + NONCE_BYTES; at < stored.length; at += BOX_BYTES) {
    const box = stored.subarray(at, at + BOX_BYTES);
    boxes.push(Buffer.from(xsalsa20poly1305(key, nonce).decrypt(box)));
    addOne(nonce);
  }
  return Buffer.concat(boxes);
}

function addOne(nonce: Buffer): void {
  for (let index = 0; index < nonce.length; index++) {
    nonce[index] = (nonce[index]! + 1) & 0xff;
    if (nonce[index] !== 0) return;
  }
}
