/**
 * EME (ECB-Mix-ECB) over AES-256: encrypts 1 to 128 blocks of 16 bytes as if they were one wide block, so that a change
 * anywhere changes everything. From "A Parallelizable Enciphering Mode" (Halevi and Rogaway, 2003), section 3; names as
 * there: L, PPP, MP, MC, M, CCC.
 */

import { createCipheriv, createDecipheriv } from 'node:crypto';

export const BLOCK_SIZE = 16;
/** The security proof of EME ends at as many blocks as a block has bits. */
const MAX_BLOCKS = 128;

type BlockTransform = (blocks: Buffer) => Buffer;

/** Doubles the 16 bytes at `offset` in GF(2^128), first byte least significant, polynomial x^128 + x^7 + x^2 + x + 1. */
function double(bytes: Uint8Array, offset: number): void {
  let carry = 0;
  for (let index = offset; index < offset + BLOCK_SIZE; index++) {
    const byte = bytes[index]!;
    bytes[index] = (byte << 1) | carry;
    carry = byte >>> 7;
  }
  if (carry === 1) bytes[offset]! ^= 0x87;
}

/** Adds (XOR) the block at `from` of `source` onto the block at `offset` of `target`. */
function addBlock(target: Uint8Array, offset: number, source: Uint8Array, from: number): void {
  for (let index = 0; index < BLOCK_SIZE; index++) target[offset + index]! ^= source[from + index]!;
}

export class EmeCipher {
  private readonly encryptBlocks: BlockTransform;
  private readonly decryptBlocks: BlockTransform;
  /** 2^i L for the blocks i = 1 ..., one behind the other; L is the encrypted zero block. */
  private readonly masks: Buffer;
  private readonly tweak: Buffer;

  /** @param key 32 bytes @param tweak 16 bytes */
  constructor(key: Uint8Array, tweak: Uint8Array) {
    // ECB has no state between blocks, so one object serves all names.
    const encrypting = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
    const decrypting = createDecipheriv('aes-256-ecb', key, null).setAutoPadding(false);
    this.encryptBlocks = (blocks) => encrypting.update(blocks);
    this.decryptBlocks = (blocks) => decrypting.update(blocks);
    this.tweak = Buffer.from(tweak);
    this.masks = Buffer.alloc(MAX_BLOCKS * BLOCK_SIZE);
    const mask = Buffer.from(this.encryptBlocks(Buffer.alloc(BLOCK_SIZE)));
    for (let block = 0; block < MAX_BLOCKS; block++) {
      double(mask, 0);
      mask.copy(this.masks, block * BLOCK_SIZE);
    }
  }

  /** `bytes`: 1 to 128 whole blocks; left as they are. */
  encrypt(bytes: Uint8Array): Buffer {
    return this.transform(bytes, this.encryptBlocks);
  }

  /** `bytes`: 1 to 128 whole blocks; left as they are. */
  decrypt(bytes: Uint8Array): Buffer {
    return this.transform(bytes, this.decryptBlocks);
  }

  private transform(bytes: Uint8Array, transformBlocks: BlockTransform): Buffer {
    const size = bytes.length;
    if (size === 0 || size % BLOCK_SIZE !== 0 || size > MAX_BLOCKS * BLOCK_SIZE) {
      throw new RangeError(`EME takes 1 to ${MAX_BLOCKS} whole blocks, not ${size} bytes`);
    }
    const masked = Buffer.from(bytes);
    for (let index = 0; index < size; index++) masked[index]! ^= this.masks[index]!;
    const mixed = transformBlocks(masked);

    const sum = Buffer.from(this.tweak);
    for (let offset = 0; offset < size; offset += BLOCK_SIZE) addBlock(sum, 0, mixed, offset);
    const encryptedSum = transformBlocks(sum);
    const mask = Buffer.from(sum);
    addBlock(mask, 0, encryptedSum, 0);

    const first = Buffer.from(encryptedSum);
    addBlock(first, 0, this.tweak, 0);
    for (let offset = BLOCK_SIZE; offset < size; offset += BLOCK_SIZE) {
      double(mask, 0);
      addBlock(mixed, offset, mask, 0);
      addBlock(first, 0, mixed, offset);
    }
    first.copy(mixed, 0);

    const result = transformBlocks(mixed);
    for (let index = 0; index < size; index++) result[index]! ^= this.masks[index]!;
    return result;
  }
}
