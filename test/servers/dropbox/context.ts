/** What the handlers of routes share. */

import type { Refusal } from './api-error.js';
import { refusedBecause } from './api-error.js';
import { composed, folded, isWellFormed, nameOf } from './paths.js';
import { keyOf, type Node, type Revision, type Tree } from './tree.js';

/** One call, its arguments checked. */
export interface Call {
  route: string;
  view: View;
  body: Buffer;
  headers: Record<string, string | undefined>;
  signal: AbortSignal;
}

/** What a handler answers. */
export interface Reply {
  status?: number;
  /** JSON; of a download in the Dropbox-API-Result header. */
  result: unknown;
  content?: Buffer;
  headers?: Record<string, string>;
}

export interface ServerState {
  tree: Tree;
  /** ms since the epoch. */
  now(): number;
  /** Entries a listing gives at most, whatever is asked. */
  pageLimit: number;
  /** How often an asynchronous job says that it is in progress. */
  jobPolls: number;
  /** Runs `write` with the account's lock, or refuses with too_many_write_operations where another has it. */
  withLock<T>(write: () => T): Promise<T>;
  /** Tags with which the commit of a path fails, each once. */
  commitFailures: Map<string, string[]>;
}

/** The part of the tree that an app sees as its root. */
export class View {
  constructor(
    readonly tree: Tree,
    /** Where the root is: '' or a path. */
    readonly prefix: string,
  ) {}

  absolute(path: string): string {
    return composed(this.prefix + path);
  }

  /** The node and revision of a path, `id:` or `rev:`. Throws what `fail` makes. */
  file(
    path: string,
    fail: (tags: string) => Refusal = lookupRefusal('path'),
  ): { node: Node; revision: Revision } {
    if (path.startsWith('rev:')) {
      const found = this.tree.revisions.get(path.slice(4));
      const node = found === undefined ? undefined : this.tree.nodes.get(found.key);
      if (found === undefined || node === undefined) throw fail('not_found');
      return { node, revision: found.revision };
    }
    const node = this.any(path, fail);
    if (node.kind !== 'file') throw fail('not_file');
    return { node, revision: node.history[0]! };
  }

  /** Whatever stands at a path or `id:` now. */
  any(path: string, fail: (tags: string) => Refusal = lookupRefusal('path')): Node {
    if (path.startsWith('id:')) {
      for (const node of this.tree.nodes.values())
        if (node.id === path && node.kind !== 'deleted') return node;
      throw fail('not_found');
    }
    if (!isWellFormed(path)) throw fail('malformed_path');
    const node = this.tree.find(this.absolute(path));
    if (node === undefined) throw fail('not_found');
    return node;
  }

  metadata(node: Node, revision: Revision | undefined = node.history[0]): Record<string, unknown> {
    const display = node.display.slice(this.prefix.length);
    const common = { name: nameOf(display), path_lower: folded(display), path_display: display };
    if (node.kind === 'folder') return { '.tag': 'folder', ...common, id: node.id };
    if (revision === undefined || (node.kind === 'deleted' && revision === node.history[0])) {
      return { '.tag': 'deleted', ...common };
    }
    return { '.tag': 'file', ...common, ...fileFields(revision) };
  }

  /** As `metadata` of a file, without the tag: what routes answer that give nothing but files. */
  fileMetadata(node: Node, revision: Revision = node.history[0]!): Record<string, unknown> {
    const display = node.display.slice(this.prefix.length);
    return {
      name: nameOf(display),
      path_lower: folded(display),
      path_display: display,
      ...fileFields(revision),
    };
  }

  contains(key: string): boolean {
    return this.prefix === '' || key.startsWith(`${keyOf(this.prefix)}/`);
  }
}

export function lookupRefusal(prefix: string): (tags: string) => Refusal {
  return (tags) => refusedBecause(`${prefix}/${tags}`);
}

export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

function fileFields(revision: Revision): Record<string, unknown> {
  const { isDownloadable } = revision;
  return {
    id: revision.id,
    client_modified: formatTime(revision.clientModified),
    server_modified: formatTime(revision.serverModified),
    rev: revision.rev,
    size: revision.content.length,
    is_downloadable: isDownloadable,
    ...(isDownloadable ? { content_hash: revision.contentHash } : { export_info: { export_as: 'html' } }),
  };
}
