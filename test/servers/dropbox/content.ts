/** Uploads, upload sessions and downloads. */

import { endpointError, type Refusal, refusedBecause, unionOf } from './api-error.js';
import * as arg from './arguments.js';
import type { Call, Reply, ServerState } from './context.js';
import { contentHashOf, writeRefusal } from './tree.js';

const MAX_PAYLOAD = 150 * 1024 * 1024;
/** Upload sessions "are valid for 7 days". */
const SESSION_MS = 7 * 24 * 3600_000;
const CONCURRENT_UNIT = 4 * 1024 * 1024;

const commitFields = {
  path: arg.required(arg.writePathOrId),
  mode: arg.withDefault(arg.union<string>({ add: undefined, overwrite: undefined, update: arg.revision }), {
    tag: 'add',
  }),
  autorename: arg.withDefault(arg.boolean, false),
  client_modified: arg.optional(arg.timestamp),
  mute: arg.withDefault(arg.boolean, false),
  strict_conflict: arg.withDefault(arg.boolean, false),
};
const COMMIT = arg.struct(commitFields);
const CURSOR = arg.struct({ session_id: arg.required(arg.text()), offset: arg.required(arg.integer(0)) });
const sessionType = arg.union({ sequential: undefined, concurrent: undefined });

export const UPLOAD = arg.struct({ ...commitFields, content_hash: arg.optional(arg.contentHash) });
export const START = arg.struct({
  close: arg.withDefault(arg.boolean, false),
  session_type: arg.withDefault(sessionType, { tag: 'sequential' }),
  content_hash: arg.optional(arg.contentHash),
});
export const APPEND = arg.struct({
  cursor: arg.required(CURSOR),
  close: arg.withDefault(arg.boolean, false),
  content_hash: arg.optional(arg.contentHash),
});
export const FINISH = arg.struct({
  cursor: arg.required(CURSOR),
  commit: arg.required(COMMIT),
  content_hash: arg.optional(arg.contentHash),
});
export const FINISH_BATCH = arg.struct({ entries: arg.required(arg.list(FINISH, 1000)) });
export const DOWNLOAD = arg.struct({ path: arg.required(arg.readPath), rev: arg.optional(arg.revision) });

interface Session {
  pieces: Map<number, Buffer>;
  size: number;
  isConcurrent: boolean;
  isClosed: boolean;
  expiresAt: number;
}

export class Uploads {
  private readonly sessions = new Map<string, Session>();
  private count = 0;

  constructor(private readonly state: ServerState) {}

  /** Sessions that are neither closed nor committed. */
  get openSessions(): number {
    return [...this.sessions.values()].filter((session) => !session.isClosed).length;
  }

  async upload(call: Call, given: ReturnType<typeof UPLOAD>): Promise<Reply> {
    checkPayload(call.body, given.content_hash);
    const metadata = await this.state.withLock(() =>
      this.commit(call, given, call.body, (tags) =>
        // The reason is a field of its own here, beside the session to go on with.
        endpointError({
          '.tag': 'path',
          reason: unionOf(tags),
          upload_session_id: 'pid_upload_session:failed',
        }),
      ),
    );
    return { result: metadata };
  }

  start(call: Call, given: ReturnType<typeof START>): Reply {
    checkPayload(call.body, given.content_hash);
    const isConcurrent = given.session_type.tag === 'concurrent';
    if (isConcurrent && call.body.length > 0) throw refusedBecause('concurrent_session_data_not_allowed');
    if (isConcurrent && given.close) throw refusedBecause('concurrent_session_close_not_allowed');
    const id = `pid_upload_session:${String(++this.count).padStart(12, 'A')}`;
    this.sessions.set(id, {
      pieces: new Map([[0, call.body]]),
      size: call.body.length,
      isConcurrent,
      isClosed: given.close,
      expiresAt: this.state.now() + SESSION_MS,
    });
    return { result: { session_id: id } };
  }

  append(call: Call, given: ReturnType<typeof APPEND>): Reply {
    checkPayload(call.body, given.content_hash);
    const session = this.session(given.cursor.session_id, (tags) => refusedBecause(tags));
    if (session.isClosed) throw refusedBecause('closed');
    const { offset } = given.cursor;
    if (session.isConcurrent) {
      if (offset % CONCURRENT_UNIT !== 0) throw refusedBecause('concurrent_session_invalid_offset');
      if (!given.close && call.body.length % CONCURRENT_UNIT !== 0) {
        throw refusedBecause('concurrent_session_invalid_data_size');
      }
    } else if (offset !== session.size) {
      throw refusedBecause('incorrect_offset', { correct_offset: session.size });
    }
    session.pieces.set(offset, call.body);
    session.size = Math.max(session.size, offset + call.body.length);
    session.isClosed = given.close;
    return { result: null };
  }

  async finish(call: Call, given: ReturnType<typeof FINISH>): Promise<Reply> {
    checkPayload(call.body, given.content_hash);
    return { result: await this.state.withLock(() => this.finishOne(call, given, false)) };
  }

  async finishBatch(call: Call, { entries }: ReturnType<typeof FINISH_BATCH>): Promise<Reply> {
    return await this.state.withLock(() => ({
      result: {
        entries: entries.map((entry) => {
          try {
            return { '.tag': 'success', ...this.finishOne(call, entry, true) };
          } catch (refusal) {
            const { error } = (refusal as Refusal).body as { error: unknown };
            return { '.tag': 'failure', failure: error };
          }
        }),
      },
    }));
  }

  private finishOne(
    call: Call,
    { cursor, commit }: ReturnType<typeof FINISH>,
    isBatch: boolean,
  ): Record<string, unknown> {
    const fail = (tags: string, fields?: Record<string, unknown>) =>
      refusedBecause(`lookup_failed/${tags}`, fields);
    const session = this.session(cursor.session_id, fail);
    if (isBatch && !session.isClosed) throw fail('not_closed');
    if (session.isConcurrent && !session.isClosed) throw refusedBecause('concurrent_session_not_closed');
    const body = isBatch ? Buffer.alloc(0) : call.body;
    if (body.length > 0 && session.isConcurrent) throw refusedBecause('concurrent_session_data_not_allowed');
    if (cursor.offset !== session.size) throw fail('incorrect_offset', { correct_offset: session.size });
    const content = contentOf(session, body);
    const metadata = this.commit(call, commit, content, writeRefusal('path'));
    this.sessions.delete(cursor.session_id);
    return metadata;
  }

  private commit(
    { view }: Call,
    given: ReturnType<typeof COMMIT>,
    content: Buffer,
    fail: (tags: string) => Refusal,
  ): Record<string, unknown> {
    const failures = this.state.commitFailures.get(given.path);
    const failure = failures?.shift();
    if (failure === 'too_many_write_operations') throw refusedBecause(failure);
    if (failure !== undefined) throw fail(failure);
    // Paths are checked as they were given, not behind the root they are relative to.
    view.tree.checkWritable(given.path, fail);
    const { mode, autorename, client_modified: clientModified, strict_conflict: isStrict } = given;
    const path = view.absolute(given.path);
    return view.fileMetadata(
      view.tree.commit({ path, mode, autorename, clientModified, isStrict }, content, fail),
    );
  }

  private session(id: string, fail: (tags: string) => Refusal): Session {
    const session = this.sessions.get(id);
    if (session === undefined || session.expiresAt <= this.state.now()) throw fail('not_found');
    return session;
  }
}

function contentOf(session: Session, last: Buffer): Buffer {
  const pieces = [...session.pieces].sort(([a], [b]) => a - b);
  let position = 0;
  for (const [offset, piece] of pieces) {
    if (offset !== position) throw refusedBecause('concurrent_session_missing_data');
    position += piece.length;
  }
  return Buffer.concat([...pieces.map(([, piece]) => piece), last]);
}

/** "The request payload must be at most 150 MiB"; the content has to be the one the caller means. */
function checkPayload(body: Buffer, contentHash: string | undefined): void {
  if (body.length > MAX_PAYLOAD) throw refusedBecause('payload_too_large');
  if (contentHash !== undefined && contentHash !== contentHashOf(body)) {
    throw refusedBecause('content_hash_mismatch');
  }
}

/** Content-download endpoints "also support HTTP GET along with ETag-based caching and HTTP range requests". */
export function download({ view, headers }: Call, given: ReturnType<typeof DOWNLOAD>): Reply {
  const path = given.rev === undefined ? given.path : `rev:${given.rev}`;
  const { node, revision } = view.file(path);
  if (revision.isRestricted) throw refusedBecause('path/restricted_content');
  if (!revision.isDownloadable) throw refusedBecause('unsupported_file');
  const { content } = revision;
  const reply: Reply = {
    result: view.fileMetadata(node, revision),
    content,
    headers: { etag: `W/"${revision.rev}"`, 'accept-ranges': 'bytes' },
  };
  const range = /^bytes=(\d*)-(\d*)$/.exec(headers.range ?? '');
  if (range === null || (range[1] === '' && range[2] === '')) return reply;
  const last = content.length - 1;
  const from = range[1] === '' ? Math.max(0, content.length - Number(range[2])) : Number(range[1]);
  const to = range[1] === '' || range[2] === '' ? last : Math.min(last, Number(range[2]));
  if (from > last || to < from) {
    return {
      ...reply,
      status: 416,
      content: Buffer.alloc(0),
      headers: { ...reply.headers, 'content-range': `bytes */${content.length}` },
    };
  }
  return {
    ...reply,
    status: 206,
    content: content.subarray(from, to + 1),
    headers: { ...reply.headers, 'content-range': `bytes ${from}-${to}/${content.length}` },
  };
}
