/**
 * Names on the disk are bytes, keys are Unicode. A key segment is the name as rclone's S3 encoding (Slash, Dot,
 * InvalidUtf8) writes it, so that it stands in a bucket as it stands here:
 * - a byte that is no valid UTF-8 becomes `‛BF`;
 * - a quote rune `‛` that is part of the name is doubled, except before `／` and `␀`, where rclone's own local encoding
 *   (Slash, Dot) has put it.
 *
 * Every name on the disk has exactly one key and comes back as the same bytes. rclone 1.60 can't do that for a name with
 * a single `‛`: it lists it doubled, and then fails to open it.
 */

import { CloudSyncError } from '../../errors.js';
import { byteAt, bytesToRaw, rawToBytes } from '../names/bytes.js';

/** A name or path as `fs` takes it: text where it is valid UTF-8, else bytes. */
export type DiskName = string | Buffer;

const QUOTE = '‛';
/** Names that rclone's Dot rule makes; they stay as they are. */
const QUOTED_DOTS = new Set(['‛．', '‛．‛．']);
/**
 * In the top folder of a Btrfs subvolume: where its snapshots lie while they are read. Never listed, and no key's name.
 */
export const SNAPSHOT_FOLDER = '.cloud-sync-snapshots';
const TEMPORARY = /^\.cloud-sync-[uw]-[0-9a-z-]+\.parts?$/;

/** The key segment of a name given as bytes. */
export function keyOfBytes(bytes: Uint8Array): string {
  return keyOfText(bytesToRaw(bytes));
}

/** The key segment of a name given as text (or as raw name, see `names/bytes.ts`). */
export function keyOfText(raw: string): string {
  if (!raw.includes(QUOTE) && raw.isWellFormed()) return raw;
  if (QUOTED_DOTS.has(raw)) return raw;
  let key = '';
  for (let index = 0; index < raw.length; ) {
    const run = quoteRun(raw, index);
    if (run > 0) {
      index += run;
      key += QUOTE.repeat(keepsQuotes(raw[index]) ? run : run * 2);
      continue;
    }
    const byte = byteAt(raw, index);
    key += byte === -1 ? raw[index] : `${QUOTE}${byte.toString(16).toUpperCase()}`;
    index++;
  }
  return key;
}

/** The name on the disk of a key segment. Throws INVALID_NAME for what no name on a disk has as its key. */
export function diskNameOf(segment: string): DiskName {
  if (segment === '' || segment === '.' || segment === '..' || /[\0/]/.test(segment)) {
    throw invalidName(segment);
  }
  if (!segment.isWellFormed() || isOwnName(segment)) throw invalidName(segment);
  if (!segment.includes(QUOTE) || QUOTED_DOTS.has(segment)) return segment;
  const raw = rawOfKey(segment);
  const bytes = rawToBytes(raw);
  // What can't come back as the same key (`‛C3‛A9`, which is `é`) would be another file at the next listing.
  if (keyOfBytes(bytes) !== segment) throw invalidName(segment);
  return raw.isWellFormed() ? raw : bytes;
}

/** Bytes that a key segment takes on the disk. */
export function diskNameLength(segment: string): number {
  if (!segment.includes(QUOTE)) return Buffer.byteLength(segment);
  return rawToBytes(rawOfKey(segment)).length;
}

/** The names on the disk of all segments of a key; none for ''. Throws INVALID_NAME. */
export function diskNamesOf(key: string): DiskName[] {
  if (key === '') return [];
  try {
    return key.split('/').map(diskNameOf);
  } catch (error) {
    if (error instanceof CloudSyncError) error.path = key;
    throw error;
  }
}

/** `folder` and `name` with a slash between. */
export function joinPath(folder: DiskName, name: DiskName): DiskName {
  if (typeof folder === 'string' && typeof name === 'string') {
    return folder.endsWith('/') ? folder + name : `${folder}/${name}`;
  }
  return Buffer.concat([Buffer.from(folder), Buffer.from('/'), Buffer.from(name)]);
}

/** Whether a name is one of our temporary files. */
export function isTemporaryName(name: string): boolean {
  return name.startsWith('.cloud-sync-') && TEMPORARY.test(name);
}

/** Whether a name is one that only we use: no part of the user's tree. */
export function isOwnName(name: string): boolean {
  return name === SNAPSHOT_FOLDER || isTemporaryName(name);
}

function rawOfKey(segment: string): string {
  let raw = '';
  for (let index = 0; index < segment.length; ) {
    const run = quoteRun(segment, index);
    if (run === 0) {
      raw += segment[index++];
      continue;
    }
    index += run;
    if (keepsQuotes(segment[index])) {
      raw += QUOTE.repeat(run);
      continue;
    }
    raw += QUOTE.repeat(Math.floor(run / 2));
    if (run % 2 === 0) continue;
    const digits = /^[89A-F][0-9A-F]/.exec(segment.slice(index, index + 2));
    if (digits === null) throw invalidName(segment);
    raw += String.fromCharCode(0xdc00 + Number.parseInt(digits[0], 16));
    index += 2;
  }
  return raw;
}

function quoteRun(text: string, from: number): number {
  let index = from;
  while (text[index] === QUOTE) index++;
  return index - from;
}

function keepsQuotes(following: string | undefined): boolean {
  return following === '／' || following === '␀';
}

function invalidName(segment: string): CloudSyncError {
  return new CloudSyncError('INVALID_NAME', `${JSON.stringify(segment)} is no name a file can have here`, {
    path: segment,
    advice: 'Rename it.',
  });
}
