/** Bodies with their hashes, made from content, and checks that the same bytes are sent as were hashed. */

import { createHash, hash } from 'node:crypto';
import { abortedError, CloudSyncError, throwIfAborted } from '../../errors.js';
import { forHashing, sizeChanged } from '../content.js';
import { hashesOf } from '../hashing.js';
import type { Content, Hashes } from '../store.js';
import type { RequestBody, S3Connection } from './connection.js';
import { md5ToBase64 } from './objects.js';

type Algorithm = 'md5' | 'sha1' | 'sha256';

/** Content up to this size is read into memory even where it comes as a stream: one reading instead of two. */
const BUFFERED_LIMIT = 256 * 1024;

/** A body ready to be sent, with its MD5 as hex. */
export interface PreparedBody {
  body: RequestBody;
  md5: string;
}

export interface BodyOptions {
  /** Hashes the caller knows: CHECKSUM_MISMATCH where the content has others. */
  hashes?: Hashes;
  /** Called after the last byte was read and before it is sent. */
  beforeCommit?: () => Promise<void> | undefined;
  signal?: AbortSignal;
}

/** Reads `content` once for its hashes; large content that isn't in memory is read again when it is sent. */
export async function prepareBody(
  connection: S3Connection,
  content: Content,
  options: BodyOptions,
): Promise<PreparedBody> {
  throwIfAborted(options.signal);
  const waiting = connection.ready(options.signal);
  if (waiting !== undefined) await waiting;
  const bytes =
    content.bytes ?? (content.size <= BUFFERED_LIMIT ? await readWhole(content, options.signal) : undefined);
  if (bytes !== undefined && bytes.length !== content.size) throw sizeChanged(content.size, bytes.length);
  const wantsSha256 = connection.wantsSha256(content.size);
  const algorithms: Algorithm[] = ['md5'];
  if (wantsSha256 || options.hashes?.sha256 !== undefined) algorithms.push('sha256');
  if (options.hashes?.sha1 !== undefined) algorithms.push('sha1');
  const digests =
    bytes === undefined
      ? await hashStream(forHashing(content), algorithms, options.signal)
      : hashesOf(bytes === content.bytes ? content : {}, bytes, algorithms);
  const md5 = digests.md5!;
  confirmHashes(options.hashes, digests);

  let source: RequestBody['source'];
  if (bytes !== undefined) {
    const confirming = options.beforeCommit?.();
    if (confirming !== undefined) await confirming;
    source = bytes;
  } else {
    const hooks = new CommitOnce(options.beforeCommit);
    source = () => resend(content, hooks, options.signal);
  }
  const body: RequestBody = { size: content.size, source, md5: md5ToBase64(md5) };
  if (wantsSha256) body.sha256 = digests.sha256!;
  return { body, md5 };
}

/** A body of XML. */
export function xmlBody(xml: string): RequestBody {
  const source = Buffer.from(xml);
  return {
    size: source.length,
    source,
    md5: hash('md5', source, 'base64'),
    sha256: hash('sha256', source, 'hex'),
  };
}

function confirmHashes(expected: Hashes | undefined, digests: Hashes): void {
  for (const algorithm of ['md5', 'sha1', 'sha256'] as const) {
    const wanted = expected?.[algorithm];
    const digest = digests[algorithm];
    if (wanted !== undefined && digest !== undefined && digest !== wanted.toLowerCase()) {
      throw new CloudSyncError(
        'CHECKSUM_MISMATCH',
        `The content does not have the ${algorithm.toUpperCase()} it should have`,
      );
    }
  }
}

async function readWhole(content: Content, signal?: AbortSignal): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of interruptible(content.read(), signal)) {
    size += chunk.length;
    if (size > content.size) throw sizeChanged(content.size, size);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

async function hashStream(
  content: Content,
  algorithms: readonly Algorithm[],
  signal?: AbortSignal,
): Promise<Hashes> {
  const hashers = algorithms.map((algorithm) => createHash(algorithm));
  let size = 0;
  for await (const chunk of interruptible(content.read(), signal)) {
    size += chunk.length;
    for (const hasher of hashers) hasher.update(chunk);
  }
  if (size !== content.size) throw sizeChanged(content.size, size);
  const digests: Hashes = {};
  for (const [index, algorithm] of algorithms.entries()) digests[algorithm] = hashers[index]!.digest('hex');
  return digests;
}

/** The bytes for one attempt; the last of them goes out only when the caller agrees. */
async function* resend(
  content: Content,
  commit: CommitOnce,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of interruptible(content.read(), signal)) {
    size += chunk.length;
    if (size > content.size) throw sizeChanged(content.size, size);
    if (size < content.size) {
      yield chunk;
      continue;
    }
    if (chunk.length === 0) continue;
    yield chunk.subarray(0, chunk.length - 1);
    const last = Uint8Array.from(chunk.subarray(chunk.length - 1));
    await commit.ask();
    yield last;
  }
  if (size !== content.size) throw sizeChanged(content.size, size);
}

/** Asks `beforeCommit` once, however often the body is sent. */
class CommitOnce {
  #agreed = false;
  constructor(private readonly beforeCommit: BodyOptions['beforeCommit']) {}
  async ask(): Promise<void> {
    if (this.#agreed) return;
    await this.beforeCommit?.();
    this.#agreed = true;
  }
}

/** `source`, ended with ABORTED as soon as `signal` fires, even while it has nothing to give. */
export async function* interruptible(
  source: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  if (signal === undefined) {
    yield* source;
    return;
  }
  const iterator = source[Symbol.asyncIterator]();
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(abortedError());
    signal.addEventListener('abort', onAbort);
  });
  aborted.catch(() => {});
  try {
    for (;;) {
      throwIfAborted(signal);
      const { done, value } = await Promise.race([iterator.next(), aborted]);
      if (done === true) return;
      yield value;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    // Not awaited: it may be the very call that hangs.
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}
