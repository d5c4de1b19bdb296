/** Telling a process from another one that was given the same number later. */

import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';

export interface ProcessIdentity {
  pid: number;
  /** Start time in clock ticks since boot (`/proc/<pid>/stat`, field 22); '' where there is no /proc. */
  started: string;
  /** Boot and pid namespace (a container has its own) in which `pid` means something; else the host's name. */
  space: string;
}

let ownSpace: Promise<string> | undefined;

/** The space this process's numbers belong to. */
function processSpace(): Promise<string> {
  ownSpace ??= Promise.all([
    readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
    readlink('/proc/self/ns/pid'),
  ]).then(
    ([boot, namespace]) => `${boot.trim()} ${namespace}`,
    () => hostname(),
  );
  return ownSpace;
}

/** What `pid` is now. */
export async function identifyProcess(pid: number): Promise<ProcessIdentity> {
  return { pid, started: (await statOf(pid))?.started ?? '', space: await processSpace() };
}

/** `unknown`: it belongs to another container, or to this machine before it was booted again. */
export async function processState(identity: ProcessIdentity): Promise<'alive' | 'dead' | 'unknown'> {
  const space = await processSpace();
  if (identity.space !== space) return 'unknown';
  if (identity.started === '') return isSignalable(identity.pid) ? 'alive' : 'dead';
  const stat = await statOf(identity.pid);
  // A zombie does nothing any more; it stays where the first process of a container reaps nobody.
  if (stat === undefined || stat.state === 'Z' || stat.state === 'X') return 'dead';
  return stat.started === identity.started ? 'alive' : 'dead';
}

function isSignalable(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** proc(5): the name in parentheses may hold spaces and parentheses itself, so fields are counted from the last `)`. */
async function statOf(pid: number): Promise<{ state: string; started: string } | undefined> {
  let text: string;
  try {
    text = await readFile(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // The first of them is field 3.
  return { state: fields[0] ?? '', started: fields[22 - 3] ?? '' };
}
