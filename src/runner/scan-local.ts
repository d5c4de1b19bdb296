/** What a task would take of a local folder: counted, with the rule that decides about each file shown. */

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { compileFilter } from '../engine/filter.js';
import { CloudSyncError, throwIfAborted } from '../errors.js';

export interface LocalScan {
  /** Taken by the filter. */
  files: number;
  bytes: number;
  largest: number;
  /** Files the filter leaves out, in folders that are walked. */
  leftOut: number;
  /** False: the limits were reached, there is more. */
  complete: boolean;
  /** Some of both, in the order of the walk. */
  shown: Array<{ path: string; size: number; included: boolean; rule?: string }>;
  /** Folders that aren't walked, or can't be read. */
  folders: Array<{ path: string; unreadable: boolean }>;
}

const MOST_SHOWN = 300;
const MOST_FOLDERS = 100;
/** A person waits for it. ms. */
const TIME_LIMIT = 8_000;
const MOST_FILES = 500_000;

/** Walks `path` for a few seconds at most. Throws NOT_FOUND or NO_PERMISSION where it can't be read at all. */
export async function scanLocal(
  path: string,
  rules: { include: readonly string[]; exclude: readonly string[] },
  signal: AbortSignal,
): Promise<LocalScan> {
  const filter = compileFilter(rules);
  const scan: LocalScan = {
    files: 0,
    bytes: 0,
    largest: 0,
    leftOut: 0,
    complete: true,
    shown: [],
    folders: [],
  };
  const end = Date.now() + TIME_LIMIT;
  const open = [''];
  const note = (folder: string, unreadable: boolean) => {
    if (scan.folders.length < MOST_FOLDERS) scan.folders.push({ path: folder, unreadable });
  };
  // Each kind gets half of the places, so that what is left out is seen among many files that are taken.
  const places = { true: MOST_SHOWN / 2, false: MOST_SHOWN / 2 };
  while (open.length > 0) {
    throwIfAborted(signal);
    if (Date.now() > end || scan.files + scan.leftOut > MOST_FILES) return { ...scan, complete: false };
    const folder = open.pop()!;
    const entries = entriesOf(path, folder);
    if (entries === undefined) {
      note(folder, true);
      continue;
    }
    const below: string[] = [];
    for (const entry of entries) {
      const whole = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        if (filter.entersFolder(whole)) below.push(whole);
        else note(whole, false);
        continue;
      }
      if (!entry.isFile()) continue;
      const { included, rule } = filter.decideFile(whole);
      const size = sizeOf(join(path, whole));
      if (included) {
        scan.files++;
        scan.bytes += size;
        scan.largest = Math.max(scan.largest, size);
      } else scan.leftOut++;
      if (places[`${included}`]-- > 0) {
        scan.shown.push({ path: whole, size, included, ...(rule === undefined ? {} : { rule }) });
      }
    }
    open.push(...below.reverse());
    await nextTurn();
  }
  return scan;
}

function entriesOf(root: string, folder: string) {
  try {
    return readdirSync(join(root, folder), { withFileTypes: true }).sort((one, other) =>
      one.name < other.name ? -1 : 1,
    );
  } catch (error) {
    if (folder !== '') return undefined;
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new CloudSyncError(
      isMissing ? 'NOT_FOUND' : 'NO_PERMISSION',
      isMissing ? `There is no folder ${root}` : `${root} can't be read`,
      { field: 'path', cause: error },
    );
  }
}

function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch {
    return 0;
  }
}
