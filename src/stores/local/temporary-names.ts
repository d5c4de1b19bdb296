/**
 * Names of our temporary files. They lie beside their target, because a rename is only then one step.
 * - `.cloud-sync-w-<place>-<pid>-<start>-<random>.part`: a file being written by the process with this pid and start
 *   time on this place (boot and pid namespace); of no use to anybody else.
 * - `.cloud-sync-u-<random>.part` and `.parts`: an upload in parts that another process may take up, and what arrived.
 */

import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { hostname } from 'node:os';

let place: string | undefined;
let ownStart: string | undefined;

export function newWriteName(): string {
  ownStart ??= startOf(process.pid) ?? '0';
  return `.cloud-sync-w-${thisPlace()}-${process.pid}-${ownStart}-${randomHex()}.part`;
}

let randomness = '';

/** Ten random digits. Drawn in stock, because every file needs some and each draw asks the system. */
function randomHex(): string {
  if (randomness === '') randomness = randomBytes(500).toString('hex');
  const digits = randomness.slice(0, 10);
  randomness = randomness.slice(10);
  return digits;
}

export function newUploadName(): string {
  return `.cloud-sync-u-${randomBytes(10).toString('hex')}.part`;
}

/** The name of the file that says which parts of an upload have arrived. */
export function recordNameOf(uploadName: string): string {
  return `${uploadName}s`;
}

export function isUploadName(name: string): boolean {
  return /^\.cloud-sync-u-[0-9a-f]+\.part$/.test(name);
}

/** Whether the writer of a temporary file lives; `unknown` for one of another machine, boot or container. */
export function writerState(name: string): 'alive' | 'dead' | 'unknown' | 'no-writer' {
  const found = /^\.cloud-sync-w-([0-9a-f]+)-([0-9]+)-([0-9]+)-[0-9a-f]+\.part$/.exec(name);
  if (found === null) return 'no-writer';
  if (found[1] !== thisPlace()) return 'unknown';
  const pid = Number(found[2]);
  if (process.platform === 'linux') return startOf(pid) === found[3] ? 'alive' : 'dead';
  try {
    process.kill(pid, 0);
    return 'alive';
  } catch {
    return 'dead';
  }
}

/** Where pids mean the same processes: this boot of this machine, seen from this container. */
function thisPlace(): string {
  place ??= createHash('sha256').update(placeWords()).digest('hex').slice(0, 8);
  return place;
}

function placeWords(): string {
  try {
    const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
    return boot + fs.readlinkSync('/proc/self/ns/pid');
  } catch {
    return hostname();
  }
}

/**
 * When a process that lives started, in clock ticks since the boot: fields 3 and 22 of proc(5)'s stat, counted after the
 * name's bracket. A zombie is dead, and in containers whose first process reaps nobody it stays in the table for ever.
 */
function startOf(pid: number): string | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return /^[ZX]/.test(fields[0] ?? '') ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
