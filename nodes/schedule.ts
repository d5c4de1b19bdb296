/** The schedule of a cloud-sync node. */

import { asCloudSyncError } from '../src/errors.js';
import { nextRuns, Schedule } from '../src/runner/schedule.js';
import { isEmpty } from './properties.js';
import type { ConfiguredNode } from './requests.js';

type Saved = Readonly<Record<string, unknown>>;

function isOff({ schedule, enabled }: Saved): boolean {
  return isEmpty(schedule) || enabled === false || enabled === 'false';
}

/**
 * Sends the node a message of its own at every due time, in the machine's time zone. Does nothing where the schedule is
 * empty or off; a wrong one is a warning, the node still takes messages.
 */
export function startSchedule(node: ConfiguredNode): void {
  if (isOff(node.saved)) return;
  try {
    const schedule = new Schedule(String(node.saved.schedule), (due) => {
      node.receive({ payload: due.getTime(), topic: 'schedule' });
    });
    node.on('close', () => schedule.stop());
  } catch (error) {
    node.warn(asCloudSyncError(error).message);
  }
}

/** When the schedule is due next, ms since the epoch; null where it never is. */
export function nextRun(saved: Saved): number | null {
  if (isOff(saved)) return null;
  try {
    return nextRuns(String(saved.schedule), 1)[0]?.getTime() ?? null;
  } catch {
    return null;
  }
}
