/** Processes of this machine, from /proc. */

import { readdirSync, readFileSync } from 'node:fs';

interface Entry {
  pid: number;
  parent: number;
  state: string;
}

/** proc(5), `stat`: pid, name in brackets, state, parent. */
function readEntry(pid: string): Entry | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { pid: Number(pid), parent: Number(parent), state: state ?? '' };
  } catch {
    return undefined;
  }
}

/** Every process that descends from `pid`. */
export function descendantsOf(pid: number): number[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(readEntry)
    .filter((entry) => entry !== undefined);
  const found: number[] = [];
  for (const parents = [pid]; parents.length > 0; ) {
    const parent = parents.pop();
    for (const entry of all) {
      if (entry.parent !== parent) continue;
      found.push(entry.pid);
      parents.push(entry.pid);
    }
  }
  return found;
}

/** Whether it is there and no zombie. */
export function isAlive(pid: number): boolean {
  const entry = readEntry(String(pid));
  return entry !== undefined && entry.state !== 'Z' && entry.state !== 'X';
}
