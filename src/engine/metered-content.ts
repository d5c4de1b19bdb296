/** Contents that tell how far they have been read, and their hash. */

import { createHash } from 'node:crypto';
import type { Content } from '../stores/store.js';

/**
 * `content`, telling each byte once: what is read again for a retry doesn't count twice, so that progress never runs
 * back nor passes the size.
 */
export function meteredContent(content: Content, onBytes: (bytes: number) => void): Content {
  let highest = 0;
  return {
    size: content.size,
    async *read(offset = 0, length = content.size - offset) {
      let position = offset;
      for await (const chunk of content.read(offset, length)) {
        yield chunk;
        position += chunk.byteLength;
        if (position > highest) {
          onBytes(position - highest);
          highest = position;
        }
      }
    },
  };
}

/** A content and the MD5 of what was last read of it from its start to its end. */
export interface HashingContent extends Content {
  /** Hexadecimal; '' while it has not been read whole in one go. */
  wholeMd5(): string;
}

/** `content`, hashed on the way. */
export function hashingContent(content: Content): HashingContent {
  let digest = '';
  return {
    size: content.size,
    wholeMd5: () => digest,
    async *read(offset = 0, length = content.size - offset) {
      const isWhole = offset === 0 && length === content.size;
      const hash = isWhole ? createHash('md5') : undefined;
      for await (const chunk of content.read(offset, length)) {
        hash?.update(chunk);
        yield chunk;
      }
      if (hash !== undefined) digest = hash.digest('hex');
    },
  };
}
