/** The way over both sides that transferring and verifying share: which keys of theirs a run meets, and under which paths. */

import { throwIfAborted } from '../errors.js';
import { ListedTooEarly } from './late-lease.js';
import { listBothSides, OrderBroken } from './listing.js';
import { namedKind, pathOfKey } from './location.js';
import { type Meeting, march } from './march.js';
import type { RunContext } from './run-context.js';
import type { IndexEntry } from './state-index.js';

/** What is done with the keys on the way. */
export interface Walker {
  /** One key. Undefined, which is the rule: there is room for the next; otherwise there will be. */
  take(meeting: Meeting): Promise<void> | undefined;
  /** No more keys will come. */
  finish(): Promise<void>;
  /** Returns when nothing is in flight any more; called also after a failure. */
  drain(): Promise<void>;
}

/** So long may a listing go on without the lease that a change would need: others may write as long. ms. */
const WITHOUT_LEASE_MS = 2_000;

/**
 * Takes a walker over both sides (and the index, where there is one); gives the one that went all the way. Where a listing
 * turns out not to be in the order it promised, all begins again with a new walker and sorted listings; where another run
 * wrote meanwhile, with new listings.
 */
export async function walkBothSides<W extends Walker>(
  run: RunContext,
  newWalker: () => W,
  index?: RunContext['index'],
): Promise<W> {
  let sort = false;
  for (;;) {
    const forgetProblems = run.problems.mark();
    try {
      return await walkOnce(run, newWalker(), sort, index);
    } catch (error) {
      if (error instanceof OrderBroken && !sort) {
        sort = true;
        run.log('listing', undefined, { level: 'warning', message: `${error.message}; it is sorted now` });
      } else if (error instanceof ListedTooEarly) {
        forgetProblems();
        run.host.phase('listing');
        run.log('listing', undefined, { message: `${error.message}: it is listed anew` });
      } else throw error;
      // All is looked at once more.
      Object.assign(run.counts, { checked: 0, skipped: 0 });
      run.unchanged = 0;
    }
  }
}

async function walkOnce<W extends Walker>(
  run: RunContext,
  walker: W,
  sort: boolean,
  index: RunContext['index'],
): Promise<W> {
  run.listedSince = performance.now();
  const { local, remote } = listBothSides(run, sort);
  const { leaveOut } = run.settings;
  try {
    for await (const page of march(local, remote, index?.pages() ?? noEntries())) {
      throwIfAborted(run.signal);
      if (performance.now() - run.listedSince > WITHOUT_LEASE_MS) await run.holdLease();
      for (const meeting of page) {
        if (leaveOut.some((prefix) => meeting.sortKey.startsWith(prefix))) continue;
        const taking = walker.take(meeting);
        if (taking !== undefined) await taking;
      }
    }
    await walker.finish();
  } finally {
    // What is in flight has to land before anything else is decided.
    await walker.drain();
  }
  throwIfAborted(run.signal);
  return walker;
}

async function* noEntries(): AsyncGenerator<IndexEntry[]> {}

/** The path both sides meet under. Throws INVALID_NAME where the key of what is only at the remote side stands for none. */
export function pathOfMeeting({ local, remote }: RunContext, meeting: Meeting): string {
  const [side, object] = meeting.local === undefined ? [remote, meeting.remote!] : [local, meeting.local];
  return pathOfKey(side, object.key.slice(side.prefix.length), namedKind(object.kind));
}

/** Whether filters and the paths that were asked for take it. */
export function isWanted({ settings, wanted }: RunContext, path: string, kind: 'file' | 'folder'): boolean {
  const { filter } = settings;
  if (!(kind === 'folder' ? filter.entersFolder(path) : filter.includesFile(path))) return false;
  return wanted === undefined || wanted.includes(path);
}
