/** Copies and moves within Dropbox, without the bytes going through here. */

import { randomBytes } from 'node:crypto';
import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import type { CopyOptions, StoredObject } from '../store.js';
import type { CommitLane } from './commits.js';
import { tagsOf } from './errors.js';
import { checkKey, keptTime, type Metadata, objectOf, pathOf } from './objects.js';
import type { HeadFile } from './reading.js';
import type { DropboxTransport, RequestKind } from './transport.js';

export class Copier {
  constructor(
    private readonly transport: DropboxTransport,
    private readonly lane: CommitLane,
    private readonly head: HeadFile,
  ) {}

  /**
   * The copy has the time of its source: Dropbox keeps it, and can't change it (NOT_SUPPORTED where another is wanted).
   * Dropbox copies over nothing; what is there is deleted when the copy is ready beside it, and comes back if it can't
   * take its place.
   */
  async copy(sourceKey: string, key: string, options: CopyOptions): Promise<StoredObject> {
    const { signal } = options;
    throwIfAborted(signal);
    checkKey(key);
    const source = await this.#source(sourceKey, options);
    refuseOtherTime(source, options);
    if (options.sourceVersionId !== undefined) {
      const current = await this.head(sourceKey, withSignal(signal));
      if (current?.versionId !== source.versionId) return await this.#restoreTo(source, key, options);
    }
    if (options.ifMatch === undefined) {
      const copied = await this.#copyUnlessThere(sourceKey, key, options);
      if (copied !== undefined) return await this.#checked(source, key, copied, signal);
    }
    const present = await this.head(key, withSignal(signal));
    checkConditions(key, present, options);
    if (present === undefined) return await this.copy(sourceKey, key, { ...options, ifNoneMatch: '*' });
    return await this.#copyOver(source, sourceKey, key, present, signal);
  }

  /** Moves a file or folder; what stands in its way is OBSTRUCTED. */
  async rename(key: string, newKey: string, signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(signal);
    checkKey(newKey);
    await this.#relocate('files/move_v2', key, newKey, signal);
  }

  async #source(key: string, options: CopyOptions): Promise<StoredObject> {
    const { sourceVersionId, sourceIfMatch, signal } = options;
    const source = await this.head(key, {
      ...(sourceVersionId === undefined ? {} : { versionId: sourceVersionId }),
      ...withSignal(signal),
    });
    if (source === undefined || source.kind === 'folder') {
      throw new CloudSyncError('NOT_FOUND', `"${key}" does not exist`, { path: key });
    }
    if (sourceIfMatch !== undefined && source.etag !== sourceIfMatch) throw changed(key);
    return source;
  }

  /** Undefined where a file is there that may be replaced. */
  async #copyUnlessThere(
    sourceKey: string,
    key: string,
    { ifNoneMatch, signal }: CopyOptions,
  ): Promise<Metadata | undefined> {
    try {
      return await this.#relocate('files/copy_v2', sourceKey, key, signal);
    } catch (error) {
      if (!isInTheWay(error)) throw error;
      if (ifNoneMatch === undefined) return undefined;
      throw new CloudSyncError('PRECONDITION_FAILED', `"${key}" is there already`, {
        path: key,
        cause: error,
      });
    }
  }

  async #restoreTo(source: StoredObject, key: string, options: CopyOptions): Promise<StoredObject> {
    checkConditions(key, await this.head(key, withSignal(options.signal)), options);
    return await this.#restore(source, key, options.signal);
  }

  async #copyOver(
    source: StoredObject,
    sourceKey: string,
    key: string,
    present: StoredObject,
    signal: AbortSignal | undefined,
  ): Promise<StoredObject> {
    const slash = key.lastIndexOf('/') + 1;
    const temporary = `${key.slice(0, slash)}.${randomBytes(8).toString('hex')}.partial`;
    const copied = await this.#relocate('files/copy_v2', sourceKey, temporary, signal);
    let isDeleted = false;
    try {
      await this.#checked(source, temporary, copied, signal);
      throwIfAborted(signal);
      await this.#delete(key, present.versionId!);
      isDeleted = true;
      const moved = await this.#relocate('files/move_v2', temporary, key, undefined);
      return objectOf(key, moved);
    } catch (error) {
      if (isDeleted) await this.#restore(present, key, undefined).catch(() => {});
      await this.#delete(temporary, copied.rev!).catch(() => {});
      if (hasCode(error, 'PRECONDITION_FAILED')) error.path = key;
      throw error;
    }
  }

  /** What was copied has to be what was looked at. */
  async #checked(
    source: StoredObject,
    key: string,
    copied: Metadata,
    signal: AbortSignal | undefined,
  ): Promise<StoredObject> {
    throwIfAborted(signal);
    if (copied.content_hash === source.hashes?.dropbox) return objectOf(key, copied);
    await this.#delete(key, copied.rev!);
    throw changed(source.key);
  }

  /** Any revision can be written to any path. */
  async #restore(source: StoredObject, key: string, signal: AbortSignal | undefined): Promise<StoredObject> {
    const metadata = await this.#call<Metadata>(
      'COPY',
      'files/restore',
      { path: pathOf(key), rev: source.versionId },
      key,
      signal,
    );
    return objectOf(key, { ...metadata, '.tag': 'file' });
  }

  async #relocate(
    route: 'files/copy_v2' | 'files/move_v2',
    from: string,
    to: string,
    signal: AbortSignal | undefined,
  ): Promise<Metadata> {
    const argument = { from_path: pathOf(from), to_path: pathOf(to), autorename: false };
    try {
      return (await this.#call<{ metadata: Metadata }>('COPY', route, argument, from, signal)).metadata;
    } catch (error) {
      if (!tagsOf(error).startsWith('to/conflict')) throw error;
      throw new CloudSyncError('OBSTRUCTED', `Something stands at "${to}" already`, {
        path: to,
        cause: error,
      });
    }
  }

  async #delete(key: string, rev: string): Promise<void> {
    await this.#call('DELETE', 'files/delete_v2', { path: pathOf(key), parent_rev: rev }, key, undefined);
  }

  async #call<T>(
    kind: RequestKind,
    route: string,
    argument: object,
    key: string,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    return await this.lane.run(
      () => this.transport.rpc<T>({ kind, route, argument, key, ...withSignal(signal) }),
      signal,
    );
  }
}

/** A file stands at the target of a copy. */
function isInTheWay(error: unknown): boolean {
  return error instanceof CloudSyncError && tagsOf(error.cause) === 'to/conflict/file';
}

function withSignal(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

function refuseOtherTime(source: StoredObject, { attributes }: CopyOptions): void {
  const wanted = attributes?.modificationTime;
  if (wanted === undefined || keptTime(wanted) === source.modificationTime) return;
  throw new CloudSyncError('NOT_SUPPORTED', "Dropbox can't change the time of a file", { path: source.key });
}

function checkConditions(key: string, present: StoredObject | undefined, options: CopyOptions): void {
  if (present?.kind === 'folder') {
    throw new CloudSyncError('OBSTRUCTED', `A folder stands where the file "${key}" has to be`, {
      path: key,
    });
  }
  const { ifMatch, ifNoneMatch } = options;
  const holds =
    (ifMatch === undefined || present?.etag === ifMatch) && (ifNoneMatch === undefined || !present);
  if (holds) return;
  throw new CloudSyncError('PRECONDITION_FAILED', `"${key}" is another file than when it was looked at`, {
    path: key,
  });
}

function changed(key: string): CloudSyncError {
  return new CloudSyncError('CHANGED', `"${key}" is another file now than when it was looked at first`, {
    path: key,
  });
}
