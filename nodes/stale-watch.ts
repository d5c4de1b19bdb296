/** Says when a task has had no success for too long: the failure nobody notices is the run that never comes. */

import type { NodeRunState } from '../src/runner/runner.js';
import { TASK_PROPERTIES } from './properties.js';
import type { ConfiguredNode } from './requests.js';

const HOUR_MS = 3_600_000;
/** ms between two looks. */
const LOOK_MS = 60_000;

/** What was said already, by node id: the time of the last success (or what stands for it), so that a deploy says nothing twice. */
const said = new Map<string, number>();

/** Since when a node is watched, by its id: a task that has never run counts from then on. */
const begun = new Map<string, number>();

/** Hours of `staleAfter`; undefined where it is off or can't be used. */
function hoursOf(node: ConfiguredNode): number | undefined {
  const { staleAfter } = node.saved;
  if (staleAfter === undefined || staleAfter === null || staleAfter === '') return undefined;
  try {
    return TASK_PROPERTIES.staleAfter.read(staleAfter, 'staleAfter') ?? undefined;
  } catch {
    return undefined;
  }
}

/** Since when a task waits for a success: the last one, else the first failure, else undefined. ms since the epoch. */
function waitsSince({ succeededAt, failedSince }: NodeRunState): number | undefined {
  const since = succeededAt ?? failedSince;
  return since === undefined ? undefined : Date.parse(since);
}

/** Whether the last success of `node` is longer ago than its `staleAfter`. */
export function isStale(node: ConfiguredNode, state: NodeRunState): boolean {
  const hours = hoursOf(node);
  const since = waitsSince(state) ?? begun.get(node.id);
  return hours !== undefined && since !== undefined && Date.now() - since > hours * HOUR_MS;
}

/**
 * Watches a cloud-sync node: `{status: "stale"}` leaves by output 2 once for each success that is too long ago. A task
 * that has never run counts from now on.
 */
export function watchStaleness(node: ConfiguredNode, load: () => Promise<NodeRunState>): void {
  const hours = hoursOf(node);
  if (hours === undefined) return;
  begun.set(node.id, Date.now());
  const look = async () => {
    const state = await load();
    const since = waitsSince(state) ?? begun.get(node.id)!;
    if (Date.now() - since <= hours * HOUR_MS || said.get(node.id) === since) return;
    said.set(node.id, since);
    const { id, saved } = node;
    const payload = {
      status: 'stale',
      taskId: id,
      task: String(saved.name ?? ''),
      staleAfter: hours,
      succeededAt: state.succeededAt ?? null,
    };
    node.send([null, { payload }, null] as never);
    node.status({ fill: 'yellow', shape: 'ring', text: `no success for ${hours} h` });
  };
  const lookSafely = () => {
    look().catch((error: unknown) => node.warn(String(error)));
  };
  const timer = setInterval(lookSafely, LOOK_MS);
  timer.unref();
  const first = setTimeout(lookSafely, 1000);
  first.unref();
  node.on('close', () => {
    clearInterval(timer);
    clearTimeout(first);
  });
}
