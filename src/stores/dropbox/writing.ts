/** Writing whole files: checked by Dropbox over the bytes that arrive, and by us over the hash it answers. */

import { CloudSyncError, throwIfAborted } from '../../errors.js';
import type { Content, StoredObject, WriteOptions } from '../store.js';
import { type PreparedBody, prepareBody } from './bodies.js';
import { type CommitCollector, commitInfo, committedBefore } from './commits.js';
import { checkKey, type Metadata, objectOf } from './objects.js';
import type { Attempts, DropboxTransport } from './transport.js';

export class Writer {
  constructor(
    private readonly transport: DropboxTransport,
    private readonly collector: CommitCollector,
  ) {}

  /** With one request, or with one for the bytes and a share in one that commits several files. */
  async write(key: string, content: Content, options: WriteOptions): Promise<StoredObject> {
    const { signal, beforeCommit } = options;
    throwIfAborted(signal);
    checkKey(key);
    const isAlone = this.collector.isIdle;
    const leave = this.collector.enter();
    let hasLeft = false;
    const leaveOnce = (): void => {
      if (!hasLeft) leave();
      hasLeft = true;
    };
    try {
      const prepared = await prepareBody(content, {
        key,
        ...(options.hashes === undefined ? {} : { expected: options.hashes }),
        ...(signal === undefined ? {} : { signal }),
      });
      // What is read while it is sent must not be visible before the last word is asked for.
      if (isAlone && prepared.isHeld) {
        await beforeCommit?.();
        leaveOnce();
        return confirmed(key, prepared, await this.#upload(key, prepared, options));
      }
      const sessionId = await this.#session(key, prepared, signal);
      await beforeCommit?.();
      const { size, contentHash } = prepared;
      const entry = { key, sessionId, size, contentHash, commit: commitInfo(key, options) };
      const committed = this.collector.commit(entry, signal);
      leaveOnce();
      return confirmed(key, prepared, await committed);
    } finally {
      leaveOnce();
    }
  }

  async #upload(key: string, prepared: PreparedBody, options: WriteOptions): Promise<Metadata> {
    const { signal } = options;
    const { body, size, contentHash } = prepared;
    const commit = commitInfo(key, options);
    const attempts: Attempts = { count: 0 };
    try {
      return await this.transport.upload<Metadata>(
        {
          kind: 'PUT',
          route: 'files/upload',
          argument: { ...commit, content_hash: contentHash },
          body,
          key,
          ...(signal === undefined ? {} : { signal }),
        },
        attempts,
      );
    } catch (error) {
      if (attempts.count < 2) throw error;
      const found = await committedBefore(this.transport, { key, size, contentHash, commit }, error);
      if (found === undefined) throw error;
      return found;
    }
  }

  /** All the bytes in one request; invisible until its session is finished, and forgotten after 7 days if it never is. */
  async #session(key: string, { body, contentHash }: PreparedBody, signal?: AbortSignal): Promise<string> {
    const { session_id: id } = await this.transport.upload<{ session_id: string }>({
      kind: 'PUT',
      route: 'files/upload_session/start',
      argument: { close: true, content_hash: contentHash },
      body,
      key,
      ...(signal === undefined ? {} : { signal }),
    });
    return id;
  }
}

/** Throws CHECKSUM_MISMATCH where Dropbox holds something else than was read. */
export function confirmed(
  key: string,
  { size, contentHash }: Pick<PreparedBody, 'size' | 'contentHash'>,
  metadata: Metadata,
): StoredObject {
  if (metadata.content_hash !== contentHash || metadata.size !== size) {
    throw new CloudSyncError('CHECKSUM_MISMATCH', `"${key}" is not stored as it was sent`, { path: key });
  }
  return objectOf(key, { ...metadata, '.tag': 'file' });
}
