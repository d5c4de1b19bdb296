/** The hashes Google Cloud Storage computes, in base64; CRC-32C bit by bit, on purpose not the store's own. */

import { createHash } from 'node:crypto';

const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

export function md5Base64(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('base64');
}

/** "Encoded using base64 in big-endian byte order": https://cloud.google.com/storage/docs/json_api/v1/objects#crc32c */
export function crc32cBase64(bytes: Uint8Array): string {
  let crc = -1;
  for (let index = 0; index < bytes.length; index += 1) {
    crc = TABLE[(crc ^ bytes[index]!) & 255]! ^ (crc >>> 8);
  }
  const digest = Buffer.alloc(4);
  digest.writeInt32BE(~crc);
  return digest.toString('base64');
}
