/** Local folders and where they may lie: `cloudSync.allowedPaths` in settings.js. */

import { readlink, realpath } from 'node:fs/promises';
import { dirname, relative, resolve, sep } from 'node:path';
import { CloudSyncError } from '../src/errors.js';
import type { TaskSettings } from '../src/runner/task.js';

function liesWithin(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && resolve(folder, way) === path);
}

function notAllowed(path: string, field: string, allowed: readonly string[]): CloudSyncError {
  return new CloudSyncError('NO_PERMISSION', `${path} is outside the folders this Node-RED may use`, {
    field,
    advice:
      allowed.length === 0
        ? 'None is allowed: see cloudSync.allowedPaths in settings.js.'
        : `Allowed are ${allowed.join(', ')}: cloudSync.allowedPaths in settings.js.`,
  });
}

/** So many links may lead to links that lead nowhere yet. */
const MOST_LINKS = 40;

/** The real place of `path`: of the nearest folder above it that exists, and the rest behind it. */
async function realPlace(path: string, links = 0): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    // A link may lead to what isn't there yet.
    const target = links < MOST_LINKS ? await readlink(path).catch(() => undefined) : undefined;
    if (target !== undefined) return realPlace(resolve(await realPlace(dirname(path)), target), links + 1);
    const parent = dirname(path);
    return parent === path ? path : resolve(await realPlace(parent, links), relative(parent, path));
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

type TaskFolders = Pick<TaskSettings, 'path' | 'direction' | 'backupFolder'>;

/**
 * A task whose local folders all lie in `allowedPaths`: the one that is synced, and on pull the one for what is replaced.
 * @throws NO_PERMISSION
 */
export async function confineFolders<Task extends TaskFolders>(
  task: Task,
  allowedPaths: readonly string[] | undefined,
): Promise<Task> {
  const path = await confinePath(task.path, 'path', allowedPaths);
  if (task.direction === 'push' || task.backupFolder === '') return { ...task, path };
  // From the task's folder on, or absolute.
  const backupFolder = resolve(path, task.backupFolder);
  await confinePath(backupFolder, 'backupFolder', allowedPaths);
  return { ...task, path };
}
