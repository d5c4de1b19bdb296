/**
 * The snapshots that a task has, on disk before they are made: what a killed run left is destroyed by the next one.
 */

import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { SnapshotName } from './part.js';

export class SnapshotRecord {
  private readonly file: string;

  /** @param folder the task's folder of state */
  constructor(private readonly folder: string) {
    this.file = join(folder, 'snapshots.json');
  }

  /** All that were made or were about to be made and aren't known to be gone. */
  read(): SnapshotName[] {
    try {
      const found: unknown = JSON.parse(readFileSync(this.file, 'utf8'));
      return Array.isArray(found) ? found.filter(isSnapshotName) : [];
    } catch {
      return [];
    }
  }

  write(snapshots: readonly SnapshotName[]): void {
    if (snapshots.length === 0) {
      rmSync(this.file, { force: true });
      return;
    }
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    const temporary = `${this.file}.new`;
    const descriptor = openSync(temporary, 'w', 0o600);
    try {
      writeSync(descriptor, JSON.stringify(snapshots));
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, this.file);
  }
}

function isSnapshotName(value: unknown): value is SnapshotName {
  const { system, name, path } = (value ?? {}) as Record<string, unknown>;
  return (system === 'zfs' && typeof name === 'string') || (system === 'btrfs' && typeof path === 'string');
}
