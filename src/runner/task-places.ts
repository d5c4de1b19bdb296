/**
 * Which prefix each task of this installation pushes to, remembered in its folder of state: a sync whose prefix holds
 * another task's must not take that task's files for leftovers of its own.
 */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where a task pushes to. */
export interface TaskPlace {
  nodeId: string;
  /** The task's name. */
  task: string;
  /** Identity of the bucket. */
  store: string;
  /** '' or a text that ends in `/`. */
  prefix: string;
}

const FILE = 'pushes-to.json';

/** Remembers it, in the task's own folder of state. */
export function rememberTaskPlace(stateFolder: string, place: TaskPlace): void {
  mkdirSync(stateFolder, { recursive: true, mode: 0o700 });
  writeFileSync(join(stateFolder, FILE), JSON.stringify(place), { mode: 0o600 });
}

/**
 * Other tasks that push to `place`'s prefix or into it.
 *
 * @param statesFolder holds the folders of state of all tasks
 * @param deployed ids of the nodes that are there now: what was removed has no say; undefined: not known, all have
 */
export function tasksInside(
  place: TaskPlace,
  statesFolder: string,
  deployed: readonly string[] | undefined,
): TaskPlace[] {
  return readPlaces(statesFolder).filter(
    (other) =>
      other.nodeId !== place.nodeId &&
      other.store === place.store &&
      other.prefix.startsWith(place.prefix) &&
      (deployed === undefined || deployed.includes(other.nodeId)),
  );
}

function readPlaces(statesFolder: string): TaskPlace[] {
  const places: TaskPlace[] = [];
  for (const name of namesIn(statesFolder)) {
    try {
      places.push(JSON.parse(readFileSync(join(statesFolder, name, FILE), 'utf8')) as TaskPlace);
    } catch {
      // A task that pushes nowhere, or never did.
    }
  }
  return places;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
