/** The schedule of a cloud-sync node. */

import { Cron } from 'croner';
import { problemOf, TASK_PROPERTIES } from './properties.js';
import type { ConfiguredNode } from './requests.js';

/**
 * Sends the node a message of its own at every due time, in the machine's time zone: across a change to or from summer
 * time a due hour that doesn't exist runs just after it, and one that comes twice runs once. Does nothing where the
 * schedule is empty, off or wrong (a wrong one is shown by the node's validation).
 */
export function startSchedule(node: ConfiguredNode): void {
  const { schedule, enabled } = node.saved;
  if (typeof schedule !== 'string' || schedule.trim() === '' || enabled === false || enabled === 'false')
    return;
  const problem = problemOf(TASK_PROPERTIES, 'schedule', schedule);
  if (problem !== undefined) {
    node.warn(problem);
    return;
  }
  const job = new Cron(schedule.trim(), { mode: '5-part', unref: true }, () => {
    node.receive({ payload: Date.now(), topic: 'schedule' });
  });
  node.on('close', () => job.stop());
}

/** When the schedule is due next, ms since the epoch; null where it never is. */
export function nextRun(saved: Readonly<Record<string, unknown>>): number | null {
  const { schedule, enabled } = saved;
  if (typeof schedule !== 'string' || schedule.trim() === '' || enabled === false) return null;
  if (problemOf(TASK_PROPERTIES, 'schedule', schedule) !== undefined) return null;
  return new Cron(schedule.trim(), { mode: '5-part', paused: true }).nextRun()?.getTime() ?? null;
}
