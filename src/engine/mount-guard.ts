/**
 * A folder that lay on a mounted disk at the last run and doesn't now is an empty stand-in for it: nothing may be read
 * from it, nothing written to it, nothing deleted because of it.
 */

import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CloudSyncError } from '../errors.js';

/** What a run remembers of the folder's place. */
interface Place {
  path: string;
  /** Where the file system that holds the folder was mounted. */
  mountPoint: string;
}

/**
 * Throws NOT_MOUNTED where the file system that held `path` at the last run isn't mounted any more. Another disk
 * mounted in its place is fine.
 *
 * @param stateFolder where the place is remembered; {@link rememberPlace} writes it
 */
export function checkPlace(path: string, stateFolder: string): void {
  const place = readPlace(stateFolder);
  if (place === undefined || place.path !== path || isMountPoint(place.mountPoint)) return;
  throw new CloudSyncError(
    'NOT_MOUNTED',
    `Nothing is mounted at "${place.mountPoint}" now, as it was at the last run`,
    {
      field: 'path',
      path: '',
      advice: 'Mount the disk. If the folder lies elsewhere for good, enter it anew.',
    },
  );
}

/** Remembers where the folder lies, for the next run. */
export function rememberPlace(path: string, stateFolder: string): void {
  const mountPoint = mountPointOf(path);
  if (mountPoint === undefined) return;
  const known = readPlace(stateFolder);
  if (known?.path === path && known.mountPoint === mountPoint) return;
  mkdirSync(stateFolder, { recursive: true, mode: 0o700 });
  writeFileSync(fileOf(stateFolder), JSON.stringify({ path, mountPoint } satisfies Place), { mode: 0o600 });
}

function fileOf(stateFolder: string): string {
  return join(stateFolder, 'place.json');
}

function readPlace(stateFolder: string): Place | undefined {
  try {
    return JSON.parse(readFileSync(fileOf(stateFolder), 'utf8')) as Place;
  } catch {
    return undefined;
  }
}

function deviceOf(path: string): bigint | undefined {
  try {
    return statSync(path, { bigint: true }).dev;
  } catch {
    return undefined;
  }
}

function isMountPoint(path: string): boolean {
  const parent = dirname(path);
  return parent === path || (deviceOf(path) !== undefined && deviceOf(path) !== deviceOf(parent));
}

/** The outermost folder above `path` that is on the same device; undefined where `path` isn't there. */
function mountPointOf(path: string): string | undefined {
  const device = deviceOf(path);
  if (device === undefined) return undefined;
  let current = path;
  for (;;) {
    const parent = dirname(current);
    if (parent === current || deviceOf(parent) !== device) return current;
    current = parent;
  }
}
