/**
 * How names are written where the store can't hold them as they are: rclone's encoding, so that both tools find each
 * other's files. A reserved character is replaced by a look-alike (`:` by `：`, NUL by `␀`); a look-alike that was there
 * before is quoted with `‛` (U+201B), and so is the quote itself.
 * Facts: rclone's documentation, https://rclone.org/overview/#encoding, and its lib/encoder.
 *
 * *Standard* names are those of rclone's standard encoding (Slash, Ctl, Del, Dot), which its paths and filters use. One
 * thing is written differently: rclone keeps bytes that are no valid UTF-8 as they are, which a JavaScript string can't.
 * Here they stand as `‛BF`, which is unambiguous, because a quote that was there before is doubled; see
 * {@link standardToBytes} for the bytes rclone has in its place.
 */

import { CloudSyncError } from '../errors.js';
import { bytesToRaw, rawToBytes } from './names/bytes.js';
import { type NameEncoder, nameEncoder } from './names/encoder.js';
import type { NameLimits } from './store.js';

/** Only files and folders are told apart, because encrypted names depend on it; links and the like count as files. */
export type NameKind = 'file' | 'folder';

/** How the names of one side are written at the other, one segment at a time. */
export interface NameMapping {
  /** Standard name -> stored name. Throws INVALID_NAME or NAME_TOO_LONG. */
  toStored(name: string, kind: NameKind): string;
  /**
   * Stored name -> standard name. Throws INVALID_NAME. A name nobody would have stored by this mapping (`..`, a `‛` that
   * quotes nothing) gets the standard name it would be decoded to: then `toStored` of it is another name.
   */
  fromStored(name: string, kind: NameKind): string;
}

const STANDARD: NameEncoder = nameEncoder(['Slash', 'Ctl', 'Del', 'Dot', 'InvalidUtf8']);

/** rclone's encoding with the mask `limits.encoding`. */
export function providerNames(limits: NameLimits): NameMapping {
  const encoder = nameEncoder(limits.encoding);
  const { maxSegmentBytes, segmentBytes = utf8Length } = limits;
  return {
    toStored(name) {
      checkSegment(name);
      const plain = STANDARD.isPlain(name) && encoder.isPlain(name);
      const stored = plain ? name : encoder.encode(STANDARD.decode(name));
      if (!plain) checkStored(name, stored);
      // A UTF-16 unit takes at most three bytes, so that most names need no counting.
      if (maxSegmentBytes !== undefined && stored.length * 3 > maxSegmentBytes) {
        const bytes = segmentBytes(stored);
        if (bytes > maxSegmentBytes) throw tooLong(name, bytes, maxSegmentBytes);
      }
      return stored;
    },
    fromStored(name) {
      checkSegment(name);
      if (encoder.isPlain(name) && STANDARD.isPlain(name)) return name;
      return STANDARD.encode(encoder.decode(name));
    },
  };
}

/**
 * Maps a path segment by segment: the last one is of `kind` (links and special files count as files), the others are
 * folders. A slash at the end stays.
 */
export function mapPath(
  path: string,
  kind: NameKind | 'link' | 'special',
  map: (segment: string, kind: NameKind) => string,
): string {
  const lastKind = kind === 'folder' ? 'folder' : 'file';
  if (path === '') return '';
  if (path.endsWith('/')) return `${mapPath(path.slice(0, -1), 'folder', map)}/`;
  let mapped = '';
  let start = 0;
  for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', start)) {
    mapped += `${map(path.slice(start, slash), 'folder')}/`;
    start = slash + 1;
  }
  return mapped + map(path.slice(start), lastKind);
}

/** Throws NAME_TOO_LONG where the whole stored key is longer than the provider allows. */
export function checkKeyLength(key: string, limits: NameLimits): void {
  if (limits.maxKeyBytes === undefined || key.length * 3 <= limits.maxKeyBytes) return;
  const bytes = utf8Length(key);
  if (bytes > limits.maxKeyBytes) throw tooLong(key, bytes, limits.maxKeyBytes);
}

/** The bytes that rclone has as standard name: those of `name`, with `‛BF` as the byte BF. For encrypting names. */
export function standardToBytes(name: string): Buffer {
  if (!name.includes('‛')) return Buffer.from(name, 'utf8');
  const withoutBytes = RCLONE_STANDARD.encode(STANDARD.decode(name));
  return rawToBytes(withoutBytes);
}

/** The reverse of {@link standardToBytes}; bytes that rclone would write otherwise come out in the standard way. */
export function standardFromBytes(bytes: Uint8Array): string {
  return STANDARD.encode(RCLONE_STANDARD.decode(bytesToRaw(bytes)));
}

const RCLONE_STANDARD: NameEncoder = nameEncoder(['Slash', 'Ctl', 'Del', 'Dot']);

function checkSegment(name: string): void {
  if (name === '')
    throw invalid(name, 'A path with an empty name in it (two slashes in a row) cannot be held');
  if (name.includes('/')) throw invalid(name, `"${name}" is not one name but a path`);
  if (!name.isWellFormed()) throw invalid(name, 'The name is no valid Unicode');
}

function checkStored(name: string, stored: string): void {
  if (stored === '') throw invalid(name, `"${name}" would become an empty name`);
  if (stored.includes('/') || !stored.isWellFormed()) {
    throw invalid(name, `"${name}" cannot be written as a name here`);
  }
}

function invalid(path: string, message: string): CloudSyncError {
  return new CloudSyncError('INVALID_NAME', message, { path, advice: 'Rename it.' });
}

function tooLong(path: string, bytes: number, limit: number): CloudSyncError {
  return new CloudSyncError('NAME_TOO_LONG', `The name is ${bytes} bytes long, ${limit} are possible`, {
    path,
    advice: 'Give it a shorter name.',
  });
}

function utf8Length(text: string): number {
  return Buffer.byteLength(text, 'utf8');
}
