/**
 * Large files in upload sessions. They are sequential: of a concurrent session nobody can find out what has arrived, so
 * that another process could not go on with it, and on the uplinks people have parts side by side are no faster. Dropbox
 * offers no way to end a session either: one that is given up is closed, so that it can't be taken up any more, and is
 * forgotten after 7 days like all that are never finished. Nor can sessions be listed.
 */

import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import { sliceContent } from '../parts.js';
import type { ArrivedPart, Content, StoredObject, Upload, UploadState, WriteOptions } from '../store.js';
import { prepareBody } from './bodies.js';
import { type CommitLane, commitInfo, committedBefore, finishArgument } from './commits.js';
import { BLOCK_SIZE, hashOfBlocks } from './content-hash.js';
import { correctOffsetOf } from './errors.js';
import { type Metadata, objectOf, pathOf } from './objects.js';
import { revisionPages } from './revisions.js';
import type { Attempts, DropboxTransport } from './transport.js';
import { confirmed } from './writing.js';

const MIB = 1024 * 1024;
/** Blocks of the content_hash are never split between parts. */
export const MIN_PART_SIZE = BLOCK_SIZE;
/** A request may carry 150 MiB. */
export const MAX_PART_SIZE = 148 * MIB;
/** As rclone's: 91 % of the speed of 128 MiB, with less to send again. */
export const DEFAULT_CHUNK_MIB = 48;
/** The largest file: 2^41 - 2^22 bytes. */
export const MAX_FILE_SIZE = 2 ** 41 - 2 ** 22;

/** A part size in whole blocks within the limits. */
export function partSizeOf(wanted: number): number {
  return Math.min(MAX_PART_SIZE, Math.max(MIN_PART_SIZE, Math.floor(wanted / BLOCK_SIZE) * BLOCK_SIZE));
}

type Options = Pick<WriteOptions, 'ifMatch' | 'ifNoneMatch' | 'hashes' | 'beforeCommit' | 'signal'>;

/** Begins a session. */
export async function beginUpload(
  place: { transport: DropboxTransport; lane: CommitLane },
  key: string,
  size: number,
  partSize: number,
  options: WriteOptions,
): Promise<DropboxUpload> {
  const { transport, lane } = place;
  const { signal, modificationTime } = options;
  throwIfAborted(signal);
  const { session_id: sessionId } = await transport.upload<{ session_id: string }>({
    kind: 'PUT',
    route: 'files/upload_session/start',
    argument: { close: false },
    body: new Uint8Array(),
    key,
    ...(signal === undefined ? {} : { signal }),
  });
  const details: UploadState['details'] = { sessionId };
  // What the commit needs, for another process that makes it.
  if (modificationTime !== undefined) details.modificationTime = modificationTime.toString();
  if (options.ifMatch !== undefined) details.ifMatch = options.ifMatch;
  if (options.ifNoneMatch !== undefined) details.ifNoneMatch = options.ifNoneMatch;
  const state: UploadState = { key, size, partSize, startedAt: transport.now(), details };
  return new DropboxUpload(transport, lane, state, options, 0);
}

export class DropboxUpload implements Upload {
  readonly partCount: number;
  /** SHA-256 of the blocks of each part that went through this process, by number. */
  readonly #blocks = new Map<number, readonly Buffer[]>();
  readonly #kept = new Set<number>();
  readonly #sessionId: string;
  /** Bytes Dropbox holds; undefined where it hasn't been asked. */
  #offset: number | undefined;

  constructor(
    private readonly transport: DropboxTransport,
    private readonly lane: CommitLane,
    readonly state: UploadState,
    private readonly options: Options,
    offset: number | undefined,
  ) {
    this.partCount = Math.max(1, Math.ceil(state.size / state.partSize));
    this.#sessionId = String(state.details.sessionId);
    this.#offset = offset;
  }

  /** Dropbox tells how many bytes it holds, and no hash of them: each append was checked by its content_hash. */
  async *arrived(signal?: AbortSignal): AsyncGenerator<ArrivedPart> {
    await this.#askOffset(signal);
    for (let number = 1; number <= this.partCount; number++) {
      const { end, size } = this.#range(number);
      if (this.#offset! < end || size === 0) return;
      yield { number, size };
    }
  }

  async sendPart(number: number, content: Content, signal = this.options.signal): Promise<ArrivedPart> {
    const { start, end, size } = this.#range(number);
    const { key } = this.state;
    if (content.size !== size) {
      throw new CloudSyncError(
        'INTERNAL',
        `Part ${number} of "${key}" has ${content.size} bytes and not ${size}`,
      );
    }
    const read = { key, ...(signal === undefined ? {} : { signal }) };
    const whole = await prepareBody(content, read);
    this.#offset ??= await this.#askOffset(signal);
    // What is there from an earlier process isn't sent again; the whole is proven when it is complete.
    while (this.#offset < end) {
      const from: number = this.#offset;
      if (from < start) throw new CloudSyncError('INTERNAL', `Part ${number} of "${key}" is not the next`);
      const rest =
        from === start ? whole : await prepareBody(sliceContent(content, from - start, end - from), read);
      this.#offset = await this.#append(rest.body, rest.contentHash, from, end, signal);
      if (this.#offset < from) {
        throw new CloudSyncError('NOT_FOUND', `Dropbox has lost a part of the upload of "${key}"`, {
          path: key,
        });
      }
    }
    this.#blocks.set(number, whole.blocks);
    return { number, size, hashes: { dropbox: whole.contentHash } };
  }

  keepPart(part: ArrivedPart): void {
    this.#kept.add(part.number);
  }

  async complete(options: Options = {}): Promise<StoredObject> {
    const { key, size } = this.state;
    for (let number = 1; number <= this.partCount; number++) {
      if (this.#blocks.has(number) || this.#kept.has(number)) continue;
      throw new CloudSyncError('INTERNAL', `Part ${number} of "${key}" was not sent`, { path: key });
    }
    const contentHash = this.#contentHash(options.hashes?.dropbox);
    await (options.beforeCommit ?? this.options.beforeCommit)?.();
    const signal = options.signal ?? this.options.signal;
    throwIfAborted(signal);
    const metadata = await this.lane.run(() => this.#finish(options, contentHash, signal), signal);
    if (contentHash === undefined && metadata.size === size) {
      return objectOf(key, { ...metadata, '.tag': 'file' });
    }
    try {
      return confirmed(key, { size, contentHash: contentHash ?? '' }, metadata);
    } catch (error) {
      await this.#takeBack(metadata);
      throw error;
    }
  }

  /** Closes the session. */
  async abort(): Promise<void> {
    let offset = this.#offset ?? 0;
    for (;;) {
      try {
        await this.#appendOnce(new Uint8Array(), undefined, offset, true, undefined);
        return;
      } catch (error) {
        if (hasCode(error, 'NOT_FOUND')) return;
        const correct = correctOffsetOf(error);
        if (correct === undefined || correct === offset) throw error;
        offset = correct;
      }
    }
  }

  #range(number: number): { start: number; end: number; size: number } {
    const { size, partSize } = this.state;
    if (!(number >= 1 && number <= this.partCount)) {
      throw new CloudSyncError('INTERNAL', `There is no part ${number}`);
    }
    const start = (number - 1) * partSize;
    const end = Math.min(size, start + partSize);
    return { start, end, size: end - start };
  }

  /** Undefined where parts came from another process and were taken over as they are. */
  #contentHash(known: string | undefined): string | undefined {
    if (this.#blocks.size < this.partCount) return known;
    const blocks = Array.from({ length: this.partCount }, (_, index) => this.#blocks.get(index + 1)!);
    const contentHash = hashOfBlocks(blocks.flat());
    if (known !== undefined && known !== contentHash) {
      const { key } = this.state;
      throw new CloudSyncError('CHECKSUM_MISMATCH', `"${key}" does not have the hash it should have`, {
        path: key,
      });
    }
    return contentHash;
  }

  /** Adds nothing; where that isn't at the end of what is there, Dropbox says where the end is. */
  async #askOffset(signal: AbortSignal | undefined): Promise<number> {
    throwIfAborted(signal);
    this.#offset = await this.#append(new Uint8Array(), undefined, 0, 0, signal);
    return this.#offset;
  }

  /** Gives how many bytes Dropbox holds then. */
  async #append(
    body: Parameters<DropboxTransport['upload']>[0]['body'],
    contentHash: string | undefined,
    from: number,
    end: number,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    try {
      await this.#appendOnce(body, contentHash, from, false, signal);
      return end;
    } catch (error) {
      // Also after an attempt whose answer was lost: then it is the end of this part.
      const correct = correctOffsetOf(error);
      if (correct === undefined || correct === from) throw error;
      return correct;
    }
  }

  async #appendOnce(
    body: Parameters<DropboxTransport['upload']>[0]['body'],
    contentHash: string | undefined,
    offset: number,
    close: boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    await this.transport.upload<null>({
      kind: 'PUT',
      route: 'files/upload_session/append_v2',
      argument: {
        cursor: { session_id: this.#sessionId, offset },
        close,
        ...(contentHash === undefined ? {} : { content_hash: contentHash }),
      },
      body,
      key: this.state.key,
      ...(signal === undefined ? {} : { signal }),
    });
  }

  async #finish(
    options: Options,
    contentHash: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Metadata> {
    const { key, size, details } = this.state;
    const { ifMatch = this.options.ifMatch, ifNoneMatch = this.options.ifNoneMatch } = options;
    const time = details.modificationTime;
    const commit = commitInfo(key, {
      ...(ifMatch === undefined ? {} : { ifMatch }),
      ...(ifNoneMatch === undefined ? {} : { ifNoneMatch }),
      ...(time === undefined ? {} : { modificationTime: BigInt(String(time)) }),
    });
    const entry = { key, size, sessionId: this.#sessionId, contentHash: contentHash ?? '', commit };
    const attempts: Attempts = { count: 0 };
    try {
      return await this.transport.upload<Metadata>(
        {
          kind: 'POST',
          route: 'files/upload_session/finish',
          argument: finishArgument(entry),
          body: new Uint8Array(),
          key,
          ...(signal === undefined ? {} : { signal }),
        },
        attempts,
      );
    } catch (error) {
      const found = attempts.count > 1 ? await committedBefore(this.transport, entry, error) : undefined;
      if (found === undefined) throw error;
      return found;
    }
  }

  /** What was committed is not what was read: the file before it comes back, or none. */
  async #takeBack({ rev }: Metadata): Promise<void> {
    const { key } = this.state;
    for await (const { entries } of revisionPages(this.transport, key, undefined, 2)) {
      const before = entries[0]?.rev === rev ? entries[1] : undefined;
      await this.lane.run(() =>
        before === undefined
          ? this.transport.rpc({
              kind: 'DELETE',
              route: 'files/delete_v2',
              argument: { path: pathOf(key), parent_rev: rev },
              key,
            })
          : this.transport.rpc({
              kind: 'POST',
              route: 'files/restore',
              argument: { path: pathOf(key), rev: before.rev },
              key,
            }),
      );
      return;
    }
  }
}

/** Takes up a session in another process. Dropbox is asked when the first thing is to be known. */
export function resumeUpload(
  place: { transport: DropboxTransport; lane: CommitLane },
  state: UploadState,
  options: WriteOptions,
): DropboxUpload {
  const { ifMatch, ifNoneMatch } = state.details;
  const conditions = {
    ...(ifMatch === undefined ? {} : { ifMatch: String(ifMatch) }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch: '*' as const }),
  };
  return new DropboxUpload(place.transport, place.lane, state, { ...conditions, ...options }, undefined);
}
