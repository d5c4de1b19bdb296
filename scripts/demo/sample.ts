/** A folder to back up: a few hundred files of every size and sort, made from a seed. */

import { createHash } from 'node:crypto';
import {
  createReadStream,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

const MIB = 1024 * 1024;

/** Bytes that look random and are the same each time. */
function bytes(seed: string, size: number): Buffer {
  const block = Buffer.alloc(64 * 1024);
  for (let at = 0; at < block.length; at += 32)
    createHash('sha256').update(`${seed} ${at}`).digest().copy(block, at);
  const content = Buffer.alloc(size);
  for (let at = 0; at < size; at += block.length) {
    block.writeUInt32BE(at / block.length, 0);
    block.copy(content, at, 0, Math.min(block.length, size - at));
  }
  return content;
}

function write(root: string, path: string, content: Buffer, time: number): void {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  utimesSync(file, time, time);
}

const ODD_NAMES = [
  'Grüße aus Köln.txt',
  '写真/東京.txt',
  'e\u0301 decomposed.txt',
  '\u00e9 composed.txt',
  ' leading and trailing ',
  'plus + percent % hash # and & question ?.txt',
  '.hidden',
  'dots...',
  '😀.txt',
];

/** Writes 240 files from 0 bytes to `largest` MiB, five folders deep. */
export function makeSample(root: string, largest: number): void {
  const start = 1_700_000_000;
  for (let year = 0; year < 3; year++) {
    for (let at = 0; at < 76; at++) {
      const folder = `photos/${2022 + year}/month-${(at % 12) + 1}/day-${(at % 5) + 1}/originals`;
      write(
        root,
        `${folder}/IMG_${at}.jpg`,
        bytes(`${year} ${at}`, (at * 977) % 30_000),
        start + at + 0.123_456,
      );
    }
  }
  for (const [at, name] of ODD_NAMES.entries())
    write(root, `odd names/${name}`, bytes(name, at * 100), start + at);
  write(root, 'documents/empty.txt', Buffer.alloc(0), start);
  write(root, 'documents/letter.txt', Buffer.from('Dear all,\n'), start);
  write(root, 'videos/short.mp4', bytes('short', Math.min(20, largest) * MIB + 17), start + 0.987_654);
  write(root, 'videos/long.mp4', bytes('long', largest * MIB), start + 1.5);
}

/** What a week does to a folder: edits, new files, deletions, a rename, an edit that keeps size and time. */
export function changeSample(root: string): void {
  write(root, 'documents/letter.txt', Buffer.from('Dear all, once more,\n'), 1_700_100_000);
  write(root, 'documents/new.txt', Buffer.from('new\n'), 1_700_100_001);
  rmSync(join(root, 'photos/2022/month-1'), { recursive: true });
  const quiet = join(root, 'photos/2023/month-2/day-2/originals/IMG_1.jpg');
  const before = statSync(quiet);
  writeFileSync(quiet, bytes('another picture', before.size));
  utimesSync(quiet, before.atimeMs / 1000, before.mtimeMs / 1000);
  const folder = join(root, 'photos/2024/month-3');
  rmSync(folder, { recursive: true });
  writeFileSync(folder, 'a file where a folder was\n');
}

export interface FileSummary {
  size: number;
  /** ms since the epoch. */
  time: number;
  sha256: string;
}

/** Every file below `root`. */
export async function summarise(root: string): Promise<Map<string, FileSummary>> {
  const files = new Map<string, FileSummary>();
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const { size, mtimeMs } = statSync(file);
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
    files.set(file.slice(root.length + 1), { size, time: mtimeMs, sha256: hash.digest('hex') });
  }
  return files;
}

/** How exactly a provider keeps what isn't content. */
export interface Kept {
  timeStepMs: number;
  normalizesNames: boolean;
}

/** As far as Node sets times. */
const EXACT: Kept = { timeStepMs: 0.001, normalizesNames: false };

/** What differs between two summaries, a sentence each. */
export function differences(
  a: Map<string, FileSummary>,
  b: Map<string, FileSummary>,
  { timeStepMs, normalizesNames }: Kept = EXACT,
): string[] {
  const found: string[] = [];
  const nameOf = (path: string) => (normalizesNames ? path.normalize('NFC') : path);
  const wanted = new Set([...a.keys()].map(nameOf));
  for (const [path, one] of a) {
    const other = b.get(nameOf(path));
    if (other === undefined) found.push(`${path} is missing`);
    else if (other.size !== one.size) found.push(`${path} has ${other.size} bytes instead of ${one.size}`);
    else if (other.sha256 !== one.sha256) found.push(`${path} has other bytes`);
    else if (Math.abs(other.time - one.time) > timeStepMs) found.push(`${path} has another time`);
  }
  for (const path of b.keys()) if (!wanted.has(path)) found.push(`${path} is one too many`);
  return found;
}
