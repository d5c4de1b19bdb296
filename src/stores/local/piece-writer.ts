/** Writes what comes in small chunks in larger pieces, while the next chunks come. */

import fs from 'node:fs';
import { promisify } from 'node:util';

/** Linux 6 on ext4 takes six times as long for pieces of 1 MiB: it looks for as much memory in one stretch. */
const PIECE_SIZE = 256 * 1024;
/** Memory of pieces written, for the next ones: new memory for each costs more than filling it. */
const spares: Buffer[] = [];
const MAX_SPARES = 8;

const writeSome = promisify(fs.write) as (
  fd: number,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
) => Promise<{ bytesWritten: number }>;

/** Writes all of `bytes` at `position`, in a thread of the system's. */
export async function writeInBackground(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await writeSome(fd, bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

/** Writes to one file, one after the other: several at once wait for each other in the system, and busily. */
export class WriteTurns {
  #last: Promise<unknown> = Promise.resolve();

  take(write: () => Promise<void>): Promise<void> {
    const written = this.#last.then(write);
    this.#last = written.catch(() => {});
    return written;
  }
}

/** One stretch of a file, written from its start on. */
export class PieceWriter {
  readonly #fd: number;
  readonly #onPiece: (bytes: Uint8Array) => void;
  readonly #turns: WriteTurns;
  #position: number;
  #piece = spares.pop() ?? Buffer.allocUnsafeSlow(PIECE_SIZE);
  #filled = 0;
  /** Under way, and the memory it writes from. */
  #writing: Promise<void> | undefined;
  #written: Buffer | undefined;

  /**
   * @param onPiece Called with all bytes in order, valid only during the call; before they are written.
   * @param turns Shared by all that write to this file at the same time.
   */
  constructor(fd: number, position: number, onPiece: (bytes: Uint8Array) => void, turns = new WriteTurns()) {
    this.#turns = turns;
    this.#fd = fd;
    this.#position = position;
    this.#onPiece = onPiece;
  }

  /** Takes a copy. A promise where it has to be waited for before the next; it throws what a write before it threw. */
  write(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#filled + chunk.length < PIECE_SIZE) {
      this.#piece.set(chunk, this.#filled);
      this.#filled += chunk.length;
      return undefined;
    }
    return this.#writeOver(chunk);
  }

  /** Writes what is left. Throws what any write threw. */
  async finish(): Promise<void> {
    if (this.#filled > 0) await this.#sendOff();
    await this.#writing;
  }

  /** To be called in any case, before the file is closed: waits for the write under way. Never throws. */
  async close(): Promise<void> {
    await this.#writing?.catch(() => {});
    for (const memory of [this.#piece, this.#written]) {
      if (memory !== undefined && spares.length < MAX_SPARES) spares.push(memory);
    }
  }

  /** Takes a chunk that fills the piece. */
  async #writeOver(chunk: Uint8Array): Promise<void> {
    for (let from = 0; from < chunk.length; ) {
      const count = Math.min(chunk.length - from, PIECE_SIZE - this.#filled);
      this.#piece.set(chunk.subarray(from, from + count), this.#filled);
      this.#filled += count;
      from += count;
      if (this.#filled === PIECE_SIZE) await this.#sendOff();
    }
  }

  /** Has the piece written as soon as the one before is, and goes on with the memory of that one. */
  async #sendOff(): Promise<void> {
    const bytes = this.#piece.subarray(0, this.#filled);
    this.#onPiece(bytes);
    await this.#writing;
    const position = this.#position;
    this.#writing = this.#turns.take(() => writeInBackground(this.#fd, bytes, position));
    // Its error is met by whoever waits for it next.
    this.#writing.catch(() => {});
    const next = this.#written ?? spares.pop() ?? Buffer.allocUnsafeSlow(PIECE_SIZE);
    this.#written = this.#piece;
    this.#piece = next;
    this.#position += this.#filled;
    this.#filled = 0;
  }
}
