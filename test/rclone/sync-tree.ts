/** Trees of sync-scenarios.json: how to lay one out on disk, and what one looks like there. */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { seededRandom } from './random-filter.js';

/** One file, folder or symbolic link. A file has either `content` or `size` and `seed`. */
export interface TreeEntry {
  /** `/` between segments, relative to the tree's root. */
  path: string;
  kind: 'file' | 'folder' | 'link';
  /** A file's text, UTF-8. */
  content?: string;
  /** Bytes of a file that is made by {@link seededBytes}. */
  size?: number;
  seed?: number;
  /** Files only: ns since the epoch, as text, because JSON's numbers don't hold it. */
  modificationTime?: string;
  /** Links only: where it leads, as it is written in the link. */
  target?: string;
}

/** The same bytes for the same seed; those of a longer file begin with those of a shorter one. */
export function seededBytes(size: number, seed: number): Buffer {
  const random = seededRandom(seed);
  const bytes = Buffer.alloc(size);
  for (let index = 0; index < size; index++) bytes[index] = Math.floor(random() * 256);
  return bytes;
}

export function bytesOf(entry: TreeEntry): Buffer {
  return entry.content === undefined
    ? seededBytes(entry.size ?? 0, entry.seed ?? 0)
    : Buffer.from(entry.content);
}

/** Sets a time to the nanosecond, which Node's own functions can't. */
export function setTime(path: string, time: bigint): void {
  const size = time < 0n ? -time : time;
  const decimals = String(size % 1_000_000_000n).padStart(9, '0');
  const text = `@${time < 0n ? '-' : ''}${size / 1_000_000_000n}.${decimals}`;
  const result = spawnSync('touch', ['-h', '-m', '-d', text, path], { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`touch failed: ${result.stderr}`);
}

/** Makes `root` and in it the entries; folders above them are made too. Needs `touch` for times. */
export function writeTree(root: string, entries: readonly TreeEntry[]): void {
  mkdirSync(root, { recursive: true });
  for (const entry of entries) {
    const path = join(root, entry.path);
    mkdirSync(dirname(path), { recursive: true });
    if (entry.kind === 'folder') mkdirSync(path, { recursive: true });
    else if (entry.kind === 'link') symlinkSync(entry.target!, path);
    else {
      writeFileSync(path, bytesOf(entry));
      if (entry.modificationTime !== undefined) setTime(path, BigInt(entry.modificationTime));
    }
  }
}

/**
 * All that is in `root`, in the order of paths, every folder included. A file's bytes are described as in `known` where
 * the same bytes stand there, else as text.
 */
export function readTree(root: string, known: readonly TreeEntry[]): TreeEntry[] {
  const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  const descriptions = new Map<string, Pick<TreeEntry, 'content' | 'size' | 'seed'>>();
  for (const entry of known) {
    if (entry.kind !== 'file') continue;
    const { content, size, seed } = entry;
    descriptions.set(hash(bytesOf(entry)), content === undefined ? { size, seed } : { content });
  }
  const entries: TreeEntry[] = [];
  const visit = (folder: string): void => {
    for (const name of readdirSync(join(root, folder))) {
      const path = folder === '' ? name : `${folder}/${name}`;
      const full = join(root, path);
      const stat = lstatSync(full, { bigint: true });
      if (stat.isSymbolicLink()) entries.push({ path, kind: 'link', target: readlinkSync(full) });
      else if (stat.isDirectory()) {
        entries.push({ path, kind: 'folder' });
        visit(path);
      } else {
        const bytes = readFileSync(full);
        const description = descriptions.get(hash(bytes)) ?? { content: bytes.toString() };
        entries.push({ path, kind: 'file', ...description, modificationTime: String(stat.mtimeNs) });
      }
    }
  };
  visit('');
  return entries.sort((first, second) => Buffer.compare(Buffer.from(first.path), Buffer.from(second.path)));
}
