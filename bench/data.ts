/** The files that are backed up. */

import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, utimesSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export interface DataSet {
  files: number;
  /** Bytes of each. */
  size: number;
}

const FILES_PER_FOLDER = 500;
const MIB = 1024 * 1024;
/** Files are older than any run, s since the epoch. */
const TIME = 1_700_000_000;

/** Makes the files of `data` below `root` unless they are there already. */
export function makeData(root: string, { files, size }: DataSet): string {
  const folder = join(root, `${files}-files-of-${size}`);
  if (existsSync(folder)) return folder;
  for (let file = 0; file < files; file++) {
    const inner = join(folder, `folder ${String(Math.floor(file / FILES_PER_FOLDER)).padStart(4, '0')}`);
    if (file % FILES_PER_FOLDER === 0) mkdirSync(inner, { recursive: true });
    const path = join(inner, `picture ${String(file).padStart(7, '0')}.jpg`);
    const descriptor = openSync(path, 'wx');
    for (let written = 0; written < size; written += MIB) {
      writeSync(descriptor, randomBytes(Math.min(MIB, size - written)));
    }
    closeSync(descriptor);
    utimesSync(path, TIME + file, TIME + file);
  }
  return folder;
}

export function countFiles(root: string): number {
  let count = 0;
  for (const entry of readdirSync(root, { withFileTypes: true, recursive: true }))
    if (entry.isFile()) count++;
  return count;
}
