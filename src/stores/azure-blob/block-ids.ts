/**
 * Ids of the blocks of an upload. Azure keeps blocks that aren't committed yet by name of the blob and id of the block,
 * without owner or hash, so an id says which upload a block belongs to, which part it is, and the MD5 with which the
 * service accepted it. All ids of a blob must have one length, at most 64 bytes.
 * https://learn.microsoft.com/rest/api/storageservices/put-block#uri-parameters
 */

import { randomBytes } from 'node:crypto';

/** 2 bytes of part number, 8 of upload id, 16 of MD5, 1 to fill: a multiple of three, so that Base64 needs no `=`. */
export const ID_BYTES = 27;
const NUMBER_BYTES = 2;
const UPLOAD_BYTES = 8;
const MD5_BYTES = 16;
/** Shorter ids could be taken for another upload's. */
export const MIN_ID_BYTES = NUMBER_BYTES + 4;

export interface BlockId {
  number: number;
  /** Hexadecimal; undefined where the ids are too short to hold it. */
  md5?: string;
}

/** A new upload id, hexadecimal. */
export function newUploadId(): string {
  return randomBytes(UPLOAD_BYTES).toString('hex');
}

/**
 * The id of one block, Base64.
 * @param idBytes {@link ID_BYTES}, or what another program's blocks of the same blob force on us
 */
export function blockId(uploadId: string, number: number, md5: Buffer, idBytes: number): string {
  const id = Buffer.alloc(idBytes);
  id.writeUInt16BE(number, 0);
  const uploadBytes = Math.min(UPLOAD_BYTES, idBytes - NUMBER_BYTES);
  Buffer.from(uploadId, 'hex').copy(id, NUMBER_BYTES, 0, uploadBytes);
  if (idBytes >= NUMBER_BYTES + UPLOAD_BYTES + MD5_BYTES) md5.copy(id, NUMBER_BYTES + UPLOAD_BYTES);
  return id.toString('base64');
}

/** What an id says if it is one of upload `uploadId`. */
export function parseBlockId(id: string, uploadId: string): BlockId | undefined {
  const bytes = Buffer.from(id, 'base64');
  if (bytes.length < MIN_ID_BYTES) return undefined;
  const uploadBytes = Math.min(UPLOAD_BYTES, bytes.length - NUMBER_BYTES);
  const upload = bytes.subarray(NUMBER_BYTES, NUMBER_BYTES + uploadBytes);
  if (!upload.equals(Buffer.from(uploadId, 'hex').subarray(0, uploadBytes))) return undefined;
  const parsed: BlockId = { number: bytes.readUInt16BE(0) };
  if (bytes.length >= NUMBER_BYTES + UPLOAD_BYTES + MD5_BYTES) {
    const start = NUMBER_BYTES + UPLOAD_BYTES;
    parsed.md5 = bytes.toString('hex', start, start + MD5_BYTES);
  }
  return parsed;
}

/** The upload id in a block id that looks like one of ours, whichever upload it is. */
export function uploadIdOf(id: string): string | undefined {
  const bytes = Buffer.from(id, 'base64');
  if (bytes.length !== ID_BYTES || bytes[ID_BYTES - 1] !== 0) return undefined;
  return bytes.toString('hex', NUMBER_BYTES, NUMBER_BYTES + UPLOAD_BYTES);
}
