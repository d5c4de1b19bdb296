/** Metadata, deleting, copying, moving, folders, restoring. */

import { type Refusal, refusedBecause } from './api-error.js';
import * as arg from './arguments.js';
import { type Call, lookupRefusal, type Reply, type ServerState } from './context.js';
import { composed } from './paths.js';
import { keyOf, writeRefusal } from './tree.js';

export const GET_METADATA = arg.struct({
  path: arg.required(arg.readPath),
  include_media_info: arg.withDefault(arg.boolean, false),
  include_deleted: arg.withDefault(arg.boolean, false),
  include_has_explicit_shared_members: arg.withDefault(arg.boolean, false),
});
export const DELETE = arg.struct({
  path: arg.required(arg.writePathOrId),
  parent_rev: arg.optional(arg.revision),
});
export const DELETE_BATCH = arg.struct({ entries: arg.required(arg.list(DELETE, 1000)) });
export const POLL = arg.struct({ async_job_id: arg.required(arg.text({ minLength: 1 })) });
export const RELOCATION = arg.struct({
  from_path: arg.required(arg.writePathOrId),
  to_path: arg.required(arg.writePathOrId),
  allow_shared_folder: arg.withDefault(arg.boolean, false),
  autorename: arg.withDefault(arg.boolean, false),
  allow_ownership_transfer: arg.withDefault(arg.boolean, false),
});
export const CREATE_FOLDER = arg.struct({
  path: arg.required(arg.writePath),
  autorename: arg.withDefault(arg.boolean, false),
});
export const RESTORE = arg.struct({ path: arg.required(arg.writePath), rev: arg.required(arg.revision) });

export function getMetadata({ view }: Call, given: ReturnType<typeof GET_METADATA>): Reply {
  if (given.path.startsWith('rev:')) {
    const { node, revision } = view.file(given.path);
    return { result: { '.tag': 'file', ...view.fileMetadata(node, revision) } };
  }
  if (given.include_deleted) {
    const node = view.tree.nodes.get(keyOf(view.absolute(given.path)));
    if (node?.kind === 'deleted') return { result: view.metadata(node) };
  }
  return { result: view.metadata(view.any(given.path)) };
}

/** What was deleted, as it was. */
function deleteOne({ view }: Call, given: ReturnType<typeof DELETE>): unknown {
  const node = view.any(given.path, lookupRefusal('path_lookup'));
  // "Perform delete if given rev matches the existing file's latest rev. This field does not support deleting a folder."
  if (given.parent_rev !== undefined) {
    if (node.kind === 'folder') throw refusedBecause('path_write/conflict/folder');
    if (node.history[0]!.rev !== given.parent_rev) throw refusedBecause('path_write/conflict/file');
  }
  const metadata = view.metadata(node);
  view.tree.remove(node.display);
  return metadata;
}

export async function deleteFile(
  state: ServerState,
  call: Call,
  given: ReturnType<typeof DELETE>,
): Promise<Reply> {
  return { result: { metadata: await state.withLock(() => deleteOne(call, given)) } };
}

interface Job {
  polls: number;
  work(): unknown[];
}

/** Batch deletes: asynchronous, each entry with a result of its own, in their order. */
export class DeleteJobs {
  private readonly jobs = new Map<string, Job>();
  /** Paths whose next delete in a batch fails with these tags. */
  readonly failures = new Map<string, string>();

  constructor(private readonly state: ServerState) {}

  start(call: Call, { entries }: ReturnType<typeof DELETE_BATCH>): Reply {
    const id = `dbjid:${String(this.jobs.size + 1).padStart(8, 'A')}`;
    const work = () => entries.map((entry) => this.outcome(call, entry));
    this.jobs.set(id, { polls: this.state.jobPolls, work });
    return { result: { '.tag': 'async_job_id', async_job_id: id } };
  }

  async check({ async_job_id: id }: ReturnType<typeof POLL>): Promise<Reply> {
    const job = this.jobs.get(id);
    if (job === undefined) throw refusedBecause('invalid_async_job_id');
    if (job.polls-- > 0) return { result: { '.tag': 'in_progress' } };
    this.jobs.delete(id);
    return { result: { '.tag': 'complete', entries: job.work() } };
  }

  private outcome(call: Call, entry: ReturnType<typeof DELETE>): unknown {
    try {
      const failure = this.failures.get(entry.path);
      if (failure !== undefined) {
        this.failures.delete(entry.path);
        throw refusedBecause(failure);
      }
      return { '.tag': 'success', metadata: deleteOne(call, entry) };
    } catch (refusal) {
      const { error } = (refusal as Refusal).body as { error: unknown };
      return { '.tag': 'failure', failure: error };
    }
  }
}

export async function relocate(
  state: ServerState,
  call: Call,
  given: ReturnType<typeof RELOCATION>,
  moves: boolean,
): Promise<Reply> {
  const { view } = call;
  return await state.withLock(() => {
    const node = view.any(given.from_path, lookupRefusal('from_lookup'));
    const to = view.absolute(composed(given.to_path));
    view.tree.checkWritable(given.to_path, writeRefusal('to'));
    if (keyOf(to) === keyOf(node.display) || keyOf(to).startsWith(`${keyOf(node.display)}/`)) {
      throw refusedBecause('duplicated_or_nested_paths');
    }
    const present = view.tree.find(to);
    if (present !== undefined) throw refusedBecause(`to/conflict/${present.kind}`);
    if (view.tree.fileAncestor(to)) throw refusedBecause('to/conflict/file_ancestor');
    if (state.tree.usedBytes + (node.history[0]?.content.length ?? 0) > state.tree.quotaBytes && !moves) {
      throw refusedBecause('insufficient_quota');
    }
    const made = view.tree.copy(node.display, to);
    if (moves) view.tree.remove(node.display);
    return { result: { metadata: view.metadata(made) } };
  });
}

export async function createFolder(
  state: ServerState,
  { view }: Call,
  given: ReturnType<typeof CREATE_FOLDER>,
): Promise<Reply> {
  return await state.withLock(() => {
    view.tree.checkWritable(given.path, writeRefusal('path'));
    const path = view.absolute(given.path);
    const present = view.tree.find(path);
    if (present !== undefined) throw refusedBecause(`path/conflict/${present.kind}`);
    if (view.tree.fileAncestor(path)) throw refusedBecause('path/conflict/file_ancestor');
    const { '.tag': _tag, ...metadata } = view.metadata(view.tree.makeFolder(path));
    return { result: { metadata } };
  });
}

export async function restore(
  state: ServerState,
  { view }: Call,
  given: ReturnType<typeof RESTORE>,
): Promise<Reply> {
  return await state.withLock(() => {
    view.tree.checkWritable(given.path, writeRefusal('path_write'));
    const found = view.tree.revisions.get(given.rev);
    if (found === undefined) throw refusedBecause('invalid_revision');
    const { content, clientModified } = found.revision;
    return { result: view.fileMetadata(view.tree.put(view.absolute(given.path), content, clientModified)) };
  });
}
