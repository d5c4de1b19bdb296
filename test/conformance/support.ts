/** What the parts of the conformance suite share: the store under test, content to write, ways to look at results. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { CloudSyncError, type ErrorCode } from '../../src/errors.js';
import type { Content, ListOptions, OpenedObject, Store, StoredObject } from '../../src/stores/store.js';

export interface MakeStoreOptions {
  /** Keep every version of every key (S3: a bucket with versioning on). Asked only where `features.versions`. */
  versioned?: boolean;
}

/** A store and what the suite needs around it. */
export interface StoreUnderTest {
  /** Empty at the start. */
  store: Store;
  /** Another instance on the same content, sharing no memory with the first, as another process would open it. */
  reopen(): Store;
  /** A store whose bucket, container or root folder does not exist; left out where there is no such thing. */
  missing?: () => Store;
  /** Where objects can be archived: the class, and how a restore that was asked for is made to finish. */
  archive?: { storageClass: string; finishThaw(key: string): Promise<void> };
  /** Segments that this server, an emulator, can't hold although the provider it stands for can. */
  emulatorRefuses?: RegExp;
  /** Removes everything and ends what was started. */
  dispose(): Promise<void>;
}

export type MakeStore = (options: MakeStoreOptions) => Promise<StoreUnderTest>;

/** The store under test, filled in when mocha gets to it, with a prefix of its own for each test. */
export class Subject {
  #target: StoreUnderTest | undefined;
  #opened: Store[] = [];
  #count = 0;

  start(target: StoreUnderTest): void {
    this.#target = target;
  }

  async stop(): Promise<void> {
    for (const store of this.#opened.splice(0)) await store.close();
    const target = this.#target;
    this.#target = undefined;
    if (target === undefined) return;
    await target.store.close();
    await target.dispose();
  }

  get target(): StoreUnderTest {
    assert.ok(this.#target, 'makeStore has not given a store');
    return this.#target;
  }

  get store(): Store {
    return this.target.store;
  }

  /** Another instance on the same content; closed at the end. */
  reopen(): Store {
    const store = this.target.reopen();
    this.#opened.push(store);
    return store;
  }

  /** A prefix nobody else uses, with a slash at its end. */
  prefix(): string {
    this.#count += 1;
    return `case-${this.#count}/`;
  }
}

/** Content that is in memory already. */
export function contentOf(bytes: Uint8Array | string): Content {
  const whole = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
  return { ...streamedContent(whole), bytes: whole };
}

/** Content that has to be read, `chunkSize` bytes at a time. */
export function streamedContent(bytes: Uint8Array, chunkSize = 60_000): Content {
  return {
    size: bytes.length,
    async *read(offset = 0, length = bytes.length - offset) {
      const end = Math.min(bytes.length, offset + length);
      for (let from = offset; from < end; from += chunkSize) {
        yield bytes.subarray(from, Math.min(end, from + chunkSize));
      }
    },
  };
}

/** Content whose reading fails after `goodBytes` bytes. */
export function failingContent(size: number, goodBytes: number, error: Error): Content {
  return {
    size,
    async *read(offset = 0) {
      if (offset < goodBytes) yield new Uint8Array(goodBytes - offset);
      throw error;
    },
  };
}

/** `size` bytes that look random and are the same for the same seed. */
export function pseudoRandomBytes(size: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(size);
  let state = (seed * 2654435761) >>> 0 || 1;
  let offset = 0;
  for (; offset + 4 <= size; offset += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes.writeInt32LE(state | 0, offset);
  }
  for (; offset < size; offset += 1) bytes[offset] = (state >>> ((offset & 3) * 8)) & 255;
  return bytes;
}

export function md5(bytes: Uint8Array | string): string {
  return createHash('md5').update(bytes).digest('hex');
}

/** All of an async iterable of bytes. */
export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(Uint8Array.from(chunk));
  return Buffer.concat(parts);
}

/** The whole object. */
export async function readAll(store: Store, key: string, versionId?: string): Promise<Buffer> {
  const opened = await store.open(key, versionId === undefined ? {} : { versionId });
  return await closing(opened, () => collect(opened.read()));
}

/** Runs `use` and closes `opened` whatever happens. */
export async function closing<T>(opened: OpenedObject, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } finally {
    await opened.close();
  }
}

/** All entries of a listing. */
export async function listAll(store: Store, options: ListOptions = {}): Promise<StoredObject[]> {
  const entries: StoredObject[] = [];
  for await (const page of store.list(options)) entries.push(...page);
  return entries;
}

export async function listKeys(store: Store, options: ListOptions = {}): Promise<string[]> {
  return (await listAll(store, options)).map((entry) => entry.key);
}

/** In UTF-8 byte order, which is not JavaScript's order. */
export function inUtf8Order(keys: readonly string[]): string[] {
  return [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** Keys as the store promises to list them; sorted on both sides where it promises no order. */
export function assertListed(store: Store, listed: readonly string[], expected: readonly string[]): void {
  const got = store.features.order === 'utf8' ? listed : inUtf8Order(listed);
  assert.deepEqual(got, inUtf8Order(expected));
}

/** `action` has to fail with one of `codes`; gives the error. */
export async function rejectsWith(
  action: () => Promise<unknown>,
  ...codes: ErrorCode[]
): Promise<CloudSyncError> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof CloudSyncError)) throw error;
    assert.ok(
      codes.includes(error.code),
      `expected ${codes.join(' or ')}, got ${error.code}: ${error.message}`,
    );
    assert.notEqual(error.message, '');
    return error;
  }
  assert.fail(`expected ${codes.join(' or ')}, but it succeeded`);
}

/** The times differ by less than the store's declared step. */
export function assertSameTime(store: Store, got: bigint | undefined, expected: bigint): void {
  assert.ok(got !== undefined, 'there is no modification time');
  const difference = got > expected ? got - expected : expected - got;
  const step = store.features.modificationTime.precision;
  assert.ok(difference < step || difference === 0n, `time ${got} instead of ${expected}, step ${step}`);
}

/** Calls `action` for each item, some at a time. */
export async function forEachParallel<T>(
  items: readonly T[],
  action: (item: T) => Promise<void>,
  width = 16,
): Promise<void> {
  const rest = items[Symbol.iterator]();
  const worker = async () => {
    for (const item of rest) await action(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

/** Asks `condition` again until it gives something true. */
export async function until<T>(
  condition: () => Promise<T | undefined | false>,
  timeoutMs = 10_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) assert.fail('the condition did not come true in time');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Whether folders are things of their own, so that no file can be where one is. */
export function hasRealFolders(store: Store): boolean {
  return store.features.folders === 'real';
}

/** Whether this store holds `segment` as it is, that is without encoding it first (`features.names`). */
export function holdsAsIs(store: Store, segment: string): boolean {
  const { encoding, maxSegmentBytes } = store.features.names;
  if (maxSegmentBytes !== undefined && Buffer.byteLength(segment) > maxSegmentBytes) return false;
  return !encoding.some((rule) => ENCODED[rule]?.test(segment) ?? false);
}

/** rclone's encoding flags: what each of them would change in one segment. */
const ENCODED: Record<string, RegExp> = {
  BackQuote: /`/,
  BackSlash: /\\/,
  Colon: /:/,
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this flag is about
  Ctl: /[\u0000-\u001f]/,
  CrLf: /[\r\n]/,
  Del: /\u007f/,
  Dollar: /\$/,
  DoubleQuote: /"/,
  Exclamation: /!/,
  Hash: /#/,
  LeftCrLfHtVt: /^[\r\n\t\v]/,
  LeftPeriod: /^\./,
  LeftSpace: /^ /,
  LeftTilde: /^~/,
  LtGt: /[<>]/,
  Percent: /%/,
  Pipe: /\|/,
  Question: /\?/,
  RightCrLfHtVt: /[\r\n\t\v]$/,
  RightPeriod: /\.$/,
  RightSpace: / $/,
  Semicolon: /;/,
  SingleQuote: /'/,
  SquareBracket: /[[\]]/,
  Asterisk: /\*/,
};
