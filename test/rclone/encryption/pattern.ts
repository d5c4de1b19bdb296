/** Contents that look random but are the same everywhere: the vectors name only a seed and a size. */

import { createCipheriv, createHash } from 'node:crypto';
import type { Content } from '../../../src/stores/store.js';

const STEP = 1 << 20;

/** `length` bytes from `offset` of the endless content that `seed` stands for: AES-256-CTR over zeros. */
export function* pattern(seed: string, length: number, offset = 0): Generator<Buffer> {
  const key = createHash('sha256').update(seed).digest();
  const counter = Buffer.alloc(16);
  counter.writeBigUInt64BE(BigInt(Math.floor(offset / 16)), 8);
  const cipher = createCipheriv('aes-256-ctr', key, counter);
  cipher.update(Buffer.alloc(offset % 16));
  const zeros = Buffer.alloc(Math.min(STEP, length));
  for (let left = length; left > 0; left -= STEP) {
    yield cipher.update(left < zeros.length ? zeros.subarray(0, left) : zeros);
  }
}

export function patternBytes(seed: string, length: number, offset = 0): Buffer {
  return Buffer.concat([...pattern(seed, length, offset)]);
}

/** The same as a content that isn't in memory. */
export function patternContent(seed: string, size: number): Content {
  return {
    size,
    async *read(offset = 0, length = size - offset) {
      yield* pattern(seed, length, offset);
    },
  };
}
