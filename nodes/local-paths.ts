/** Local folders and where they may lie: `cloudSync.allowedPaths` in settings.js. */

import { realpath } from 'node:fs/promises';
import { dirname, relative, resolve, sep } from 'node:path';
import { CloudSyncError } from '../src/errors.js';

function liesWithin(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && resolve(folder, way) === path);
}

function notAllowed(path: string, field: string, allowed: readonly string[]): CloudSyncError {
  return new CloudSyncError('NO_PERMISSION', `${path} is outside the folders this Node-RED may use`, {
    field,
    advice: `Allowed are ${allowed.join(', ')}: cloudSync.allowedPaths in settings.js.`,
  });
}

/** The real place of `path`: of the nearest folder above it that exists, and the rest behind it. */
async function realPlace(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : resolve(await realPlace(parent), relative(parent, path));
  }
}

/**
 * `path` without `.`, `..` and doubled slashes, if it lies in one of `allowedPaths`, through links too.
 * @throws NO_PERMISSION
 */
export async function confinePath(
  path: string,
  field: string,
  allowedPaths: readonly string[] | undefined,
): Promise<string> {
  const whole = resolve(path);
  if (allowedPaths === undefined) return whole;
  const place = await realPlace(whole);
  for (const allowed of allowedPaths) {
    if (liesWithin(whole, resolve(allowed)) && liesWithin(place, await realPlace(resolve(allowed))))
      return whole;
  }
  throw notAllowed(whole, field, allowedPaths);
}
