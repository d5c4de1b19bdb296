import { readdirSync } from 'node:fs';
import { setPriority } from 'node:os';

/** A backup is never urgent, and home labs run their heating on the same machine; on an idle one it costs nothing. */
const NICENESS = 10;

/**
 * Gives a process the priority of work in the background; does nothing where it has ended or the system refuses.
 *
 * On Linux a priority belongs to a thread, and `setpriority` takes a thread's number as well as a process's; a new
 * thread inherits that of its maker (setpriority(2), "C library/kernel differences"). So the first thread comes first,
 * then those that it made before.
 *
 * @param pid the process, by its number
 */
export function lowerPriority(pid: number): void {
  lower(pid);
  for (const id of otherThreads(pid)) lower(id);
}

function lower(id: number): void {
  try {
    setPriority(id, NICENESS);
  } catch {
    // Gone already, or not allowed: the run works without.
  }
}

function otherThreads(pid: number): number[] {
  if (process.platform !== 'linux') return [];
  try {
    return readdirSync(`/proc/${pid}/task`)
      .map(Number)
      .filter((id) => id !== pid);
  } catch {
    return [];
  }
}
