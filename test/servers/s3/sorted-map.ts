import { compareUtf8 } from './utf8-order.js';

const CHUNK = 512;

/**
 * Values by key, in UTF-8 byte order of their keys: a list of short sorted lists, so that adding to and listing from
 * some hundred thousand keys both stay quick.
 */
export class SortedMap<V extends { readonly key: string }> {
  private readonly byKey = new Map<string, V>();
  private readonly chunks: V[][] = [];

  get size(): number {
    return this.byKey.size;
  }

  get(key: string): V | undefined {
    return this.byKey.get(key);
  }

  values(): IterableIterator<V> {
    return this.byKey.values();
  }

  add(value: V): void {
    if (this.byKey.has(value.key)) throw new Error('Key is there already');
    this.byKey.set(value.key, value);
    if (this.chunks.length === 0) {
      this.chunks.push([value]);
      return;
    }
    const position = this.search((key) => compareUtf8(key, value.key) < 0);
    // Past the end: the last chunk grows.
    const chunkIndex = Math.min(position.chunk, this.chunks.length - 1);
    const chunk = this.chunks[chunkIndex] as V[];
    chunk.splice(position.chunk === chunkIndex ? position.index : chunk.length, 0, value);
    if (chunk.length > CHUNK) this.chunks.splice(chunkIndex + 1, 0, chunk.splice(CHUNK / 2));
  }

  delete(key: string): void {
    if (!this.byKey.delete(key)) return;
    const position = this.search((other) => compareUtf8(other, key) < 0);
    const chunk = this.chunks[position.chunk] as V[];
    chunk.splice(position.index, 1);
    if (chunk.length === 0) this.chunks.splice(position.chunk, 1);
  }

  /** A cursor on the first value for whose key `isBefore` is false; `isBefore` must be true for a head of the keys. */
  seek(isBefore: (key: string) => boolean): Cursor<V> {
    return new Cursor(this.chunks, this.search(isBefore), (predicate) => this.search(predicate));
  }

  private search(isBefore: (key: string) => boolean): Position {
    let low = 0;
    let high = this.chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const chunk = this.chunks[middle] as V[];
      if (isBefore((chunk[chunk.length - 1] as V).key)) low = middle + 1;
      else high = middle;
    }
    const chunk = this.chunks[low];
    if (chunk === undefined) return { chunk: low, index: 0 };
    let first = 0;
    let last = chunk.length;
    while (first < last) {
      const middle = (first + last) >>> 1;
      if (isBefore((chunk[middle] as V).key)) first = middle + 1;
      else last = middle;
    }
    return { chunk: low, index: first };
  }
}

interface Position {
  chunk: number;
  index: number;
}

/** A place in a {@link SortedMap}; valid until the map changes. */
export class Cursor<V extends { readonly key: string }> {
  constructor(
    private readonly chunks: V[][],
    private position: Position,
    private readonly search: (isBefore: (key: string) => boolean) => Position,
  ) {}

  get value(): V | undefined {
    return this.chunks[this.position.chunk]?.[this.position.index];
  }

  next(): void {
    this.position.index++;
    if (this.position.index >= (this.chunks[this.position.chunk]?.length ?? 0)) {
      this.position = { chunk: this.position.chunk + 1, index: 0 };
    }
  }

  /** On the first key behind all that start with `prefix`. */
  skipPrefix(prefix: string): void {
    this.position = this.search((key) => key.startsWith(prefix) || compareUtf8(key, prefix) < 0);
  }
}
