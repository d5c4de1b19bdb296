/**
 * Dropbox's content_hash: SHA-256 over the SHA-256 of each block of 4 MiB.
 * https://www.dropbox.com/developers/reference/content-hash
 */

import { createHash } from 'node:crypto';
import { forEachChunk, forHashing } from '../content.js';
import type { Content } from '../store.js';

/** Bytes of a block. */
export const BLOCK_SIZE = 4 * 1024 * 1024;

/** Takes bytes as they come and keeps the hashes of whole blocks, so that parts can be hashed one after the other. */
export class ContentHash {
  readonly #blocks: Buffer[] = [];
  #block = createHash('sha256');
  #filled = 0;

  update(bytes: Uint8Array): void {
    for (let offset = 0; offset < bytes.length; ) {
      const count = Math.min(bytes.length - offset, BLOCK_SIZE - this.#filled);
      this.#block.update(bytes.subarray(offset, offset + count));
      this.#filled += count;
      offset += count;
      if (this.#filled === BLOCK_SIZE) this.#endBlock();
    }
  }

  /** The SHA-256 of each block; the last may be of a shorter one. Nothing may be added after it. */
  blocks(): readonly Buffer[] {
    if (this.#filled > 0) this.#endBlock();
    return this.#blocks;
  }

  /** Lower-case hexadecimal. Nothing may be added after it. */
  hex(): string {
    return hashOfBlocks(this.blocks());
  }

  #endBlock(): void {
    this.#blocks.push(this.#block.digest());
    this.#block = createHash('sha256');
    this.#filled = 0;
  }
}

/** The content_hash of a content whose blocks have these SHA-256s. */
export function hashOfBlocks(blocks: readonly Buffer[]): string {
  const whole = createHash('sha256');
  for (const block of blocks) whole.update(block);
  return whole.digest('hex');
}

/** The content_hash of a content, read once and never held. Lower-case hexadecimal. */
export async function dropboxContentHash(content: Content, signal?: AbortSignal): Promise<string> {
  const hash = new ContentHash();
  await forEachChunk(forHashing(content), (chunk) => hash.update(chunk), signal);
  return hash.hex();
}
