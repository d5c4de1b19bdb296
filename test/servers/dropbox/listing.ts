/** files/list_folder, its continuation, and files/list_revisions. */

import { createHash } from 'node:crypto';
import { refusedBecause } from './api-error.js';
import * as arg from './arguments.js';
import { type Call, formatTime, lookupRefusal, type Reply, type ServerState, type View } from './context.js';
import { isWellFormed } from './paths.js';
import { keyOf, type Node } from './tree.js';

export const LIST_FOLDER = arg.struct({
  path: arg.required(arg.folderPath),
  recursive: arg.withDefault(arg.boolean, false),
  include_media_info: arg.withDefault(arg.boolean, false),
  include_deleted: arg.withDefault(arg.boolean, false),
  include_has_explicit_shared_members: arg.withDefault(arg.boolean, false),
  include_mounted_folders: arg.withDefault(arg.boolean, true),
  include_non_downloadable_files: arg.withDefault(arg.boolean, true),
  include_restorable_info: arg.withDefault(arg.boolean, false),
  limit: arg.optional(arg.integer(1, 2000)),
});
export const CONTINUE = arg.struct({ cursor: arg.required(arg.text({ minLength: 1 })) });
export const LIST_REVISIONS = arg.struct({
  path: arg.required(arg.pathOrId),
  mode: arg.withDefault(arg.union({ path: undefined, id: undefined }), { tag: 'path' }),
  limit: arg.withDefault(arg.integer(1, 100), 10),
  before_rev: arg.optional(arg.revision),
  include_restorable_info: arg.withDefault(arg.boolean, false),
});

type ListArguments = ReturnType<typeof LIST_FOLDER>;

interface Cursor {
  view: View;
  folderKey: string;
  arguments: ListArguments;
  limit: number;
  /** Keys still to be given. */
  waiting: string[];
  /** What changed later than this comes after them. */
  sequence: number;
}

/** The cursors that were given out; none is the same twice. */
export class Listings {
  private readonly cursors = new Map<string, Cursor>();
  private count = 0;

  constructor(private readonly state: ServerState) {}

  /** All cursors become invalid: `reset`. */
  invalidate(): void {
    this.cursors.clear();
  }

  start({ view }: Call, given: ListArguments): Reply {
    const { path } = given;
    if (path !== '' && !isWellFormed(path) && !path.startsWith('id:'))
      throw refusedBecause('path/malformed_path');
    const folder = path === '' ? undefined : view.any(path, lookupRefusal('path'));
    if (folder !== undefined && folder.kind !== 'folder') throw refusedBecause('path/not_folder');
    const folderKey = folder === undefined ? keyOf(view.prefix) : keyOf(folder.display);
    const waiting = [...this.state.tree.nodes.keys()].filter((key) => isListed(key, folderKey, given));
    // In an order of its own: Dropbox promises none.
    waiting.sort((a, b) => (scattered(a) < scattered(b) ? -1 : 1));
    const cursor: Cursor = {
      view,
      folderKey,
      arguments: given,
      limit: Math.min(given.limit ?? 2000, this.state.pageLimit),
      waiting,
      sequence: this.state.tree.sequence,
    };
    return this.page(cursor);
  }

  continue({ cursor: id }: ReturnType<typeof CONTINUE>): Reply {
    const cursor = this.cursors.get(id);
    if (cursor === undefined) throw refusedBecause('reset');
    return this.page(cursor);
  }

  private page(cursor: Cursor): Reply {
    const { tree } = this.state;
    const { view, folderKey, arguments: given } = cursor;
    let { waiting, sequence } = cursor;
    const entries: unknown[] = [];
    if (waiting.length > 0) {
      for (const key of waiting.slice(0, cursor.limit)) {
        const node = tree.nodes.get(key)!;
        if (isShown(node, given)) entries.push(view.metadata(node));
      }
      waiting = waiting.slice(cursor.limit);
    } else {
      // What changed since the listing began, deletions too.
      const changed = [...tree.nodes]
        .filter(([key, node]) => node.sequence > sequence && isListed(key, folderKey, given))
        .sort(([, a], [, b]) => a.sequence - b.sequence)
        .slice(0, cursor.limit);
      for (const [, node] of changed) {
        entries.push(view.metadata(node));
        sequence = node.sequence;
      }
      if (changed.length < cursor.limit) sequence = tree.sequence;
    }
    const id = `AAE${createHash('sha256')
      .update(String(++this.count))
      .digest('base64url')}`;
    this.cursors.set(id, { ...cursor, waiting, sequence });
    const hasMore = waiting.length > 0 || sequence < tree.sequence;
    return { result: { entries, cursor: id, has_more: hasMore } };
  }
}

function isShown(node: Node, given: ListArguments): boolean {
  if (node.kind === 'deleted') return given.include_deleted;
  return node.kind === 'folder' || given.include_non_downloadable_files || node.history[0]!.isDownloadable;
}

/** A recursive listing has the folder itself, too. */
function isListed(key: string, folderKey: string, given: ListArguments): boolean {
  if (key === folderKey) return given.recursive;
  if (!key.startsWith(`${folderKey}/`)) return false;
  return given.recursive || !key.slice(folderKey.length + 1).includes('/');
}

function scattered(key: string): string {
  return createHash('md5').update(key).digest('hex');
}

/** Revisions at a path, newest first; a deleted file has them too, "only revisions that are not deleted". */
export function listRevisions({ view }: Call, given: ReturnType<typeof LIST_REVISIONS>): Reply {
  if (given.mode.tag !== 'path' || given.path.startsWith('id:')) throw refusedBecause('other');
  if (!isWellFormed(given.path)) throw refusedBecause('path/malformed_path');
  const node = view.tree.nodes.get(keyOf(view.absolute(given.path)));
  if (node === undefined) throw refusedBecause('path/not_found');
  if (node.kind === 'folder' || node.history.length === 0) throw refusedBecause('path/not_file');
  let from = 0;
  if (given.before_rev !== undefined) {
    from = node.history.findIndex(({ rev }) => rev === given.before_rev) + 1;
    if (from === 0) throw refusedBecause('invalid_before_rev');
  }
  const revisions = node.history.slice(from, from + given.limit);
  const isDeleted = node.kind === 'deleted' && from === 0;
  return {
    result: {
      is_deleted: isDeleted,
      ...(isDeleted ? { server_deleted: formatTime(node.deletedAt!) } : {}),
      entries: revisions.map((revision) => view.fileMetadata(node, revision)),
      has_more: from + revisions.length < node.history.length,
    },
  };
}
