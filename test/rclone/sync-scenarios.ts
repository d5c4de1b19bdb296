/** The form of sync-scenarios.json. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TreeEntry } from './sync-tree.js';

export interface ScenarioOptions {
  /** Patterns in TrueNAS's order: `.zfs`, excludes, includes, then the rest out if there is an include. */
  include: string[];
  exclude: string[];
  /** Compare by hash, not by time. */
  checksum: boolean;
  createEmptySrcDirs: boolean;
  followSymlinks: boolean;
}

/**
 * What rclone does with two folders. There is no limit on deletes (`maxDelete`), and the folder a file is replaced
 * from is on a file system that keeps times to the nanosecond, as is the other.
 */
export interface SyncScenario {
  name: string;
  mode: 'sync' | 'copy' | 'move';
  options: ScenarioOptions;
  /** Before; folders above the entries exist too. */
  source: TreeEntry[];
  destination: TreeEntry[];
  /** After, every folder named. Times of folders aren't kept. */
  expected: { source: TreeEntry[]; destination: TreeEntry[] };
  /** What rclone said it did, paths in order. `deleted` are files of the destination (sync) or the source (move). */
  actions: { copied: string[]; deleted: string[]; timesSet: string[] };
}

export function readScenarios(): { rclone: string; scenarios: SyncScenario[] } {
  return JSON.parse(readFileSync(join(__dirname, 'sync-scenarios.json'), 'utf8'));
}
