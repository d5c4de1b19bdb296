/** Hashes of a file that are taken piece by piece while it is written. */

import fs from 'node:fs';
import { throwIfAborted } from '../../errors.js';
import { Hasher } from '../hashing.js';
import type { HashAlgorithm, Hashes } from '../store.js';
import { canHashInThread, ThreadHash } from './hash-thread.js';

/** Hashing less takes no longer than starting a thread. Bytes. */
const WORTH_A_THREAD = 16 * 1024 * 1024;
const CHUNK_SIZE = 256 * 1024;

export interface FileHash {
  /**
   * Takes in the next bytes: `length` of them, from `offset` of an open file that has to stay open until it settles.
   * Throws where they can't be read, and ABORTED where `signal` fires and it can be stopped; it is of no use then.
   */
  update(fd: number, offset: number, length: number, signal?: AbortSignal): Promise<void>;
  /** Ends it: one call only. */
  finish(): Promise<Hashes>;
  /** Forgets it. */
  drop(): void;
}

/** The hashes of a file of `size` bytes, taken in the thread where that helps. */
export function newFileHash(algorithms: readonly HashAlgorithm[], size: number): FileHash {
  const isForThread = size >= WORTH_A_THREAD && canHashInThread(algorithms);
  return isForThread ? new ThreadHash(algorithms) : new OwnHash(algorithms);
}

/** Taken here, giving progress, aborts and the network their turn. */
export class OwnHash implements FileHash {
  readonly #hasher: Hasher;

  constructor(algorithms: readonly HashAlgorithm[]) {
    this.#hasher = new Hasher(algorithms);
  }

  async update(fd: number, offset: number, length: number, signal?: AbortSignal): Promise<void> {
    const step = 16 * CHUNK_SIZE;
    for (let done = 0; done < length; done += step) {
      readRange(fd, offset + done, Math.min(step, length - done), this.#hasher, signal);
      await new Promise(setImmediate);
    }
  }

  async finish(): Promise<Hashes> {
    return this.#hasher.finish();
  }

  drop(): void {}
}

/** Hands over `length` bytes of an open file from `offset`, fewer where it ends before. */
export function readRange(
  fd: number,
  offset: number,
  length: number,
  hasher: Pick<Hasher, 'update'>,
  signal?: AbortSignal,
): void {
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK_SIZE, Math.max(1, length)));
  for (let done = 0; done < length; ) {
    throwIfAborted(signal);
    const count = fs.readSync(fd, buffer, 0, Math.min(buffer.length, length - done), offset + done);
    if (count === 0) return;
    hasher.update(buffer.subarray(0, count));
    done += count;
  }
}
