/** The files and folders of an account, with every revision of every file. */

import { createHash } from 'node:crypto';
import { type Refusal, refusedBecause, unionOf } from './api-error.js';
import { composed, folded, isIgnoredName, isWellFormed, nameOf, parentOf } from './paths.js';

export interface Revision {
  rev: string;
  id: string;
  content: Buffer;
  contentHash: string;
  /** ms since the epoch, whole seconds. */
  clientModified: number;
  serverModified: number;
  /** False: a document such as Paper's, that can only be exported. */
  isDownloadable: boolean;
  /** Its content may not be handed out. */
  isRestricted: boolean;
}

export interface Node {
  kind: 'file' | 'folder' | 'deleted';
  id: string;
  /** From the root of the tree, in the case it was made with. */
  display: string;
  /** Newest first. */
  history: Revision[];
  /** ms since the epoch. */
  deletedAt?: number;
  /** When it last changed, in the order of changes. */
  sequence: number;
}

export interface Commit {
  path: string;
  mode: { tag: string; value?: string };
  autorename: boolean;
  clientModified?: number;
  isStrict: boolean;
}

/** https://www.dropbox.com/developers/reference/content-hash */
export function contentHashOf(content: Buffer): string {
  const blocks: Buffer[] = [];
  for (let offset = 0; offset < content.length; offset += 4 * 1024 * 1024) {
    blocks.push(
      createHash('sha256')
        .update(content.subarray(offset, offset + 4 * 1024 * 1024))
        .digest(),
    );
  }
  return createHash('sha256').update(Buffer.concat(blocks)).digest('hex');
}

export class Tree {
  readonly nodes = new Map<string, Node>();
  readonly revisions = new Map<string, { revision: Revision; key: string }>();
  quotaBytes = Number.POSITIVE_INFINITY;
  usedBytes = 0;
  /** Counts changes. */
  sequence = 0;
  private count = 0;

  constructor(private readonly now: () => number) {}

  /** Undefined where there is nothing now. */
  find(path: string): Node | undefined {
    const node = this.nodes.get(keyOf(path));
    return node === undefined || node.kind === 'deleted' ? undefined : node;
  }

  /** Throws `malformed_path` and `disallowed_name`. */
  checkWritable(path: string, fail: (tags: string, fields?: Record<string, unknown>) => Refusal): void {
    if (!isWellFormed(path)) throw fail('malformed_path');
    if (path.slice(1).split('/').some(isIgnoredName)) throw fail('disallowed_name');
  }

  /** Writes a file as `commit` says. https://github.com/dropbox/dropbox-api-spec, WriteMode and CommitInfo. */
  commit(commit: Commit, content: Buffer, fail: (tags: string) => Refusal): Node {
    this.checkWritable(commit.path, fail);
    let path = composed(commit.path);
    const contentHash = contentHashOf(content);
    const ancestor = this.fileAncestor(path);
    if (ancestor) throw fail('conflict/file_ancestor');
    const present = this.find(path);
    if (present?.kind === 'folder') {
      if (!commit.autorename) throw fail('conflict/folder');
      path = this.freeName(path);
    } else if (present !== undefined) {
      const isSame = present.history[0]!.contentHash === contentHash;
      if (this.isConflict(commit, present, isSame)) {
        if (!commit.autorename) throw fail('conflict/file');
        path = this.freeName(path);
      } else if (isSame) {
        // "If the target path refers to a file with identical contents, nothing gets written; no conflict."
        return present;
      }
    } else if (commit.mode.tag === 'update' && commit.isStrict) {
      throw fail('conflict/file');
    }
    if (this.usedBytes + content.length > this.quotaBytes) throw fail('insufficient_space');
    return this.put(path, content, commit.clientModified ?? this.now(), contentHash);
  }

  private isConflict({ mode, isStrict }: Commit, present: Node, isSame: boolean): boolean {
    if (mode.tag === 'overwrite') return false;
    if (mode.tag === 'update' && present.history[0]!.rev === mode.value) return false;
    return isStrict || !isSame;
  }

  put(path: string, content: Buffer, clientModified: number, contentHash = contentHashOf(content)): Node {
    this.makeFolders(parentOf(path));
    const before = this.nodes.get(keyOf(path));
    const revision: Revision = {
      rev: (0x5a10000000000 + ++this.count).toString(16),
      id: before?.kind === 'file' ? before.id : this.newId(),
      content,
      contentHash,
      clientModified: seconds(clientModified),
      serverModified: seconds(this.now()),
      isDownloadable: true,
      isRestricted: false,
    };
    const display = before?.kind === 'file' ? before.display : path;
    const node: Node = {
      kind: 'file',
      id: revision.id,
      display,
      history: [revision, ...(before?.history ?? [])],
      sequence: ++this.sequence,
    };
    this.usedBytes += content.length - (before?.kind === 'file' ? before.history[0]!.content.length : 0);
    this.nodes.set(keyOf(path), node);
    this.revisions.set(revision.rev, { revision, key: keyOf(path) });
    return node;
  }

  makeFolder(path: string): Node {
    this.makeFolders(parentOf(path));
    const before = this.nodes.get(keyOf(path));
    const node: Node = {
      kind: 'folder',
      id: this.newId(),
      display: path,
      history: before?.history ?? [],
      sequence: ++this.sequence,
    };
    this.nodes.set(keyOf(path), node);
    return node;
  }

  private makeFolders(path: string): void {
    if (path === '' || this.find(path)?.kind === 'folder') return;
    this.makeFolder(path);
  }

  /** Whether a file stands where a folder would have to be. */
  fileAncestor(path: string): boolean {
    for (let parent = parentOf(path); parent !== ''; parent = parentOf(parent)) {
      if (this.find(parent)?.kind === 'file') return true;
    }
    return false;
  }

  /** With all that lies in it. */
  remove(path: string): void {
    const key = keyOf(path);
    for (const [other, node] of this.nodes) {
      if (node.kind === 'deleted' || (other !== key && !other.startsWith(`${key}/`))) continue;
      if (node.kind === 'file') this.usedBytes -= node.history[0]!.content.length;
      node.kind = 'deleted';
      node.deletedAt = seconds(this.now());
      node.sequence = ++this.sequence;
    }
  }

  /** Everything at and below `from`, as a list made before anything changes. */
  subtree(from: string): [string, Node][] {
    const key = keyOf(from);
    return [...this.nodes].filter(
      ([other, node]) => node.kind !== 'deleted' && (other === key || other.startsWith(`${key}/`)),
    );
  }

  copy(from: string, to: string): Node {
    const length = keyOf(from).length;
    for (const [key, node] of this.subtree(from)) {
      const target = to + (key.length === length ? '' : node.display.slice(from.length));
      if (node.kind === 'folder') this.makeFolder(target);
      else this.put(target, node.history[0]!.content, node.history[0]!.clientModified);
    }
    return this.find(to)!;
  }

  private freeName(path: string): string {
    const dot = nameOf(path).lastIndexOf('.');
    const at = dot > 0 ? path.length - nameOf(path).length + dot : path.length;
    for (let number = 1; ; number++) {
      const candidate = `${path.slice(0, at)} (${number})${path.slice(at)}`;
      if (this.find(candidate) === undefined) return candidate;
    }
  }

  private newId(): string {
    return `id:a4ayc_80_OEAAAAAAA${String(++this.count).padStart(6, '0')}`;
  }
}

export function keyOf(path: string): string {
  return folded(composed(path));
}

export function seconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

/** Refusals of a write, below the member of the union that the route puts them in. */
export function writeRefusal(prefix: string): (tags: string, fields?: Record<string, unknown>) => Refusal {
  return (tags, fields) => refusedBecause(`${prefix}/${tags}`, fields);
}

export { unionOf };
