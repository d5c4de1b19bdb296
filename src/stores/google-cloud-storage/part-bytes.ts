/** What is sent of one part of an upload. */

import type { Hash } from 'node:crypto';
import { readExactly } from '../content.js';
import { sliceContent } from '../parts.js';
import type { Content } from '../store.js';
import type { GcsRequest } from './connection.js';

/** The bytes of one part, hashed as they are first read, however often they are sent. */
export class PartBytes {
  #hashedTo = 0;

  constructor(
    private readonly content: Content,
    readonly hash: Hash | undefined,
    private readonly signal: AbortSignal | undefined,
  ) {}

  /** What is sent of the bytes from `from` to `end` of the part. */
  body(from: number, end: number): GcsRequest['body'] {
    const { bytes } = this.content;
    if (bytes !== undefined) return bytes.subarray(from, end);
    return { size: end - from, read: () => this.#read(from, end) };
  }

  /** Hashes what is in memory. */
  hashHeld(): void {
    if (this.content.bytes !== undefined) this.#add(this.content.bytes, 0);
  }

  /** Reads what wasn't read yet, and gives the bytes from `tailFrom` on. */
  async finish(tailFrom: number): Promise<Buffer> {
    const { bytes, size } = this.content;
    if (bytes !== undefined) return Buffer.from(bytes.subarray(tailFrom));
    const tail: Buffer[] = [];
    for await (const chunk of this.#read(tailFrom, size)) tail.push(Buffer.from(chunk));
    return Buffer.concat(tail);
  }

  /** Bytes before `from` that were never read are read and hashed on the way. */
  async *#read(from: number, end: number): AsyncGenerator<Uint8Array> {
    let position = Math.min(from, this.#hashedTo);
    for await (const chunk of readExactly(
      sliceContent(this.content, position, end - position),
      this.signal,
    )) {
      this.#add(chunk, position);
      const skipped = Math.max(0, from - position);
      position += chunk.byteLength;
      if (skipped < chunk.byteLength) yield chunk.subarray(skipped);
    }
  }

  #add(chunk: Uint8Array, position: number): void {
    const fresh = chunk.subarray(Math.max(0, this.#hashedTo - position));
    if (fresh.byteLength === 0) return;
    this.hash?.update(fresh);
    this.#hashedTo = position + chunk.byteLength;
  }
}
