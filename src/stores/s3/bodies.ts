/** Bodies with their hashes, made from content, and checks that the same bytes are sent as were hashed. */

import { createHash } from 'node:crypto';
import { abortedError, CloudSyncError, throwIfAborted } from '../../errors.js';
import { forHashing } from '../content.js';
import type { Content, Hashes } from '../store.js';
import type { RequestBody, S3Connection } from './connection.js';

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
  beforeCommit?: () => Promise<void>;
  signal?: AbortSignal;
}

/** Reads `content` once for its hashes; large content that isn't in memory is read again when it is sent. */
export async function prepareBody(
  connection: S3Connection,
  content: Content,
  options: BodyOptions,
): Promise<PreparedBody> {
  throwIfAborted(options.signal);
  await connection.ready(options.signal);
  const bytes =
    content.bytes ?? (content.size <= BUFFERED_LIMIT ? await readWhole(content, options.signal) : undefined);
  if (bytes !== undefined && bytes.length !== content.size) throw sizeChanged(content.size, bytes.length);
  const wantsSha256 = connection.wantsSha256(content.size);
  const algorithms = ['md5', ...(wantsSha256 || options.hashes?.sha256 !== undefined ? ['sha256'] : [])];
  if (options.hashes?.sha1 !== undefined) algorithms.push('sha1');
  const hashers = algorithms.map((algorithm) => createHash(algorithm));
  if (bytes !== undefined) for (const hasher of hashers) hasher.update(bytes);
  else await hashStream(forHashing(content), hashers, options.signal);
  const digests: Record<string, Buffer> = {};
  for (const [index, algorithm] of algorithms.entries()) digests[algorithm] = hashers[index]!.digest();
  const md5 = digests.md5!.toString('hex');
  confirmHashes(options.hashes, digests);

  let source: RequestBody['source'];
  if (bytes !== undefined) {
    await options.beforeCommit?.();
    source = bytes;
  } else {
    const hooks = new CommitOnce(options.beforeCommit);
    source = () => resend(content, hooks, options.signal);
  }
  const body: RequestBody = { size: content.size, source, md5: digests.md5!.toString('base64') };
  if (wantsSha256) body.sha256 = digests.sha256!.toString('hex');
  return { body, md5 };
}

/** A body of XML. */
export function xmlBody(xml: string): RequestBody {
  const source = Buffer.from(xml);
  return {
    size: source.length,
    source,
    md5: createHash('md5').update(source).digest('base64'),
    sha256: createHash('sha256').update(source).digest('hex'),
  };
}

function confirmHashes(expected: Hashes | undefined, digests: Record<string, Buffer>): void {
  for (const algorithm of ['md5', 'sha1', 'sha256'] as const) {
    const wanted = expected?.[algorithm];
    const digest = digests[algorithm];
    if (wanted !== undefined && digest !== undefined && digest.toString('hex') !== wanted.toLowerCase()) {
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
  hashers: ReturnType<typeof createHash>[],
  signal?: AbortSignal,
): Promise<void> {
  let size = 0;
  for await (const chunk of interruptible(content.read(), signal)) {
    size += chunk.length;
    for (const hasher of hashers) hasher.update(chunk);
  }
  if (size !== content.size) throw sizeChanged(content.size, size);
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
  constructor(private readonly beforeCommit: (() => Promise<void>) | undefined) {}
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

function sizeChanged(expected: number, found: number): CloudSyncError {
  return new CloudSyncError(
    'CHANGED',
    `The content has ${found} bytes and not ${expected}: it changed while it was read`,
  );
}
