/** A store whose uploads and downloads keep to a limit of bytes per second. */

import type { Content, OpenedObject, Store, Upload } from '../store.js';

/** Tells when bytes may pass; the engine's BandwidthLimiter is one. */
export interface ByteLimiter {
  /** Resolves when `bytes` more may pass; rejects with ABORTED where `signal` fires. */
  take(bytes: number, signal?: AbortSignal): Promise<void>;
  /** Bytes per second that hold now; null: no limit. */
  limitNow(): number | null;
}

const LARGEST_PIECE = 64 * 1024;
const SMALLEST_PIECE = 256;
/** A piece is no more than this many seconds of the limit, so that a slow transfer isn't taken for a dead one. */
const PIECE_SECONDS = 0.125;

function pieceSize(limit: number): number {
  return Math.max(SMALLEST_PIECE, Math.min(LARGEST_PIECE, Math.floor(limit * PIECE_SECONDS)));
}

async function* throttled(
  chunks: AsyncIterable<Uint8Array>,
  limiter: ByteLimiter,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    let offset = 0;
    while (offset < chunk.byteLength) {
      const limit = limiter.limitNow();
      const end = limit === null ? chunk.byteLength : Math.min(offset + pieceSize(limit), chunk.byteLength);
      if (limit !== null) await limiter.take(end - offset, signal);
      yield offset === 0 && end === chunk.byteLength ? chunk : chunk.subarray(offset, end);
      offset = end;
    }
  }
}

/** `content`, read no faster than allowed. Its bytes in memory are hidden while there is a limit, so that it is read. */
function throttledContent(content: Content, limiter: ByteLimiter, signal: AbortSignal | undefined): Content {
  if (content.bytes !== undefined && limiter.limitNow() === null) return content;
  return {
    size: content.size,
    unlimited: content,
    read: (offset, length) => throttled(content.read(offset, length), limiter, signal),
  };
}

/** `target` with some members replaced; all others, also ones added later, are its own. */
function replacing<Target extends object>(target: Target, members: Partial<Target>): Target {
  return new Proxy(target, {
    get(_, name) {
      if (Object.hasOwn(members, name)) return Reflect.get(members, name);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function throttledUpload(
  upload: Upload,
  limiter: ByteLimiter,
  uploadSignal: AbortSignal | undefined,
): Upload {
  return replacing(upload, {
    sendPart: (number, content, signal) =>
      upload.sendPart(number, throttledContent(content, limiter, signal ?? uploadSignal), signal),
  });
}

function throttledObject(
  opened: OpenedObject,
  limiter: ByteLimiter,
  openSignal: AbortSignal | undefined,
): OpenedObject {
  return replacing(opened, {
    read: (offset, length, signal) =>
      throttled(opened.read(offset, length, signal), limiter, signal ?? openSignal),
    // They would go past the limiter.
    bytes: undefined,
    readInto: undefined,
  });
}

/**
 * `store`, all of whose content that is written or read goes through `limiter`, in pieces of up to 64 KiB. What a retry
 * sends again counts again. Listings, copies at the provider's side and the like aren't limited.
 */
export function throttledStore(store: Store, limiter: ByteLimiter): Store {
  return replacing(store, {
    open: async (key, options) => throttledObject(await store.open(key, options), limiter, options?.signal),
    write: (key, content, options) =>
      store.write(key, throttledContent(content, limiter, options?.signal), options),
    createUpload: async (key, size, options) =>
      throttledUpload(await store.createUpload(key, size, options), limiter, options?.signal),
    resumeUpload: async (state, options) =>
      throttledUpload(await store.resumeUpload(state, options), limiter, options?.signal),
  });
}
