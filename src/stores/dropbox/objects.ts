/** Files and folders as Dropbox shows them, and their paths. */

import { CloudSyncError } from '../../errors.js';
import type { StoredObject } from '../store.js';

/** Metadata of a file, a folder or what was deleted, as far as it is used. */
export interface Metadata {
  '.tag'?: 'file' | 'folder' | 'deleted';
  name: string;
  path_lower?: string;
  path_display?: string;
  id?: string;
  client_modified?: string;
  server_modified?: string;
  rev?: string;
  size?: number;
  content_hash?: string;
  is_downloadable?: boolean;
  symlink_info?: { target: string };
}

/** Characters of one name; rclone's backend/dropbox counts them so too. */
export const MAX_NAME_LENGTH = 255;

/** Files Dropbox doesn't keep, in any case: https://help.dropbox.com/sync/files-not-syncing */
const IGNORED_NAMES = new Set([
  'desktop.ini',
  'thumbs.db',
  '.ds_store',
  'icon\r',
  '.dropbox',
  '.dropbox.attr',
]);

/** Pieces of JSON in headers have to be ASCII: https://www.dropbox.com/developers/reference/json-encoding */
export function headerSafeJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The path of a key or of a folder. Names are kept composed by Dropbox, and found by their composed form alone. */
export function pathOf(key: string): string {
  return key === '' ? '' : `/${key.normalize('NFC')}`;
}

/**
 * Throws where Dropbox can't hold a key.
 * @throws CloudSyncError INVALID_NAME, NAME_TOO_LONG
 */
export function checkKey(key: string): void {
  for (const name of key.split('/')) {
    if (name === '' || name === '.' || name === '..' || name.endsWith(' ') || /[\\\u007f\0]/.test(name)) {
      throw new CloudSyncError('INVALID_NAME', `Dropbox can't hold the name "${name}"`, {
        path: key,
        advice: 'Rename it.',
      });
    }
    if (IGNORED_NAMES.has(name.toLowerCase())) {
      throw new CloudSyncError('INVALID_NAME', `Dropbox does not store files of the name "${name}"`, {
        path: key,
        advice: 'Exclude it, or rename it.',
      });
    }
    if (name.length > MAX_NAME_LENGTH && characters(name) > MAX_NAME_LENGTH) {
      throw new CloudSyncError(
        'NAME_TOO_LONG',
        `The name has ${characters(name)} characters, ${MAX_NAME_LENGTH} are possible`,
        { path: key, advice: 'Give it a shorter name.' },
      );
    }
  }
}

export function characters(name: string): number {
  let count = 0;
  for (const _ of name) count += 1;
  return count;
}

const TEXTS = [
  'path_lower',
  'path_display',
  'client_modified',
  'server_modified',
  'rev',
  'content_hash',
] as const;

/** Whether an entry of an answer is what it should be. */
export function isWellFormedEntry(metadata: Metadata | null): boolean {
  if (typeof metadata !== 'object' || metadata === null) return false;
  const { '.tag': tag, name, size } = metadata;
  if (typeof name !== 'string') return false;
  if (!TEXTS.every((field) => metadata[field] === undefined || typeof metadata[field] === 'string'))
    return false;
  if (tag === 'folder' || tag === 'deleted') return true;
  // The folder of an app that is confined to it is listed itself, without a name.
  return tag === 'file' && name !== '' && Number.isSafeInteger(size) && size! >= 0;
}

/** The object of a file's metadata. */
export function objectOf(key: string, metadata: Metadata): StoredObject {
  if (metadata['.tag'] === 'folder') return { key, kind: 'folder', size: 0 };
  const object: StoredObject = { key, kind: 'file', size: metadata.size ?? 0 };
  const modified = Date.parse(metadata.client_modified ?? '');
  if (!Number.isNaN(modified)) object.modificationTime = BigInt(modified) * 1_000_000n;
  const stored = Date.parse(metadata.server_modified ?? '');
  if (!Number.isNaN(stored)) object.storedTime = stored;
  if (metadata.rev !== undefined) {
    object.etag = metadata.rev;
    object.versionId = metadata.rev;
  }
  if (metadata.content_hash !== undefined) object.hashes = { dropbox: metadata.content_hash };
  if (metadata.symlink_info !== undefined) object.kind = 'link';
  if (metadata.is_downloadable === false) {
    object.unreadable = true;
    object.problem = new CloudSyncError(
      'NOT_SUPPORTED',
      "A document that lives in Dropbox only and can't be downloaded: left out",
      { path: key, advice: 'Export it in Dropbox to keep a copy of it.' },
    );
  }
  return object;
}

/**
 * `client_modified`: whole seconds, the nearest as rclone takes it. Undefined for years that can't be written.
 * @param time ns since the epoch
 */
export function formatTime(time: bigint | undefined): string | undefined {
  if (time === undefined) return undefined;
  const shifted = time + 500_000_000n;
  const seconds = shifted / 1_000_000_000n - (shifted % 1_000_000_000n < 0n ? 1n : 0n);
  const date = new Date(Number(seconds) * 1000);
  const year = date.getUTCFullYear();
  if (Number.isNaN(year) || year < 1 || year > 9999) return undefined;
  return `${date.toISOString().slice(0, 19)}Z`;
}

/** The time as it is kept: {@link formatTime}, ns since the epoch. */
export function keptTime(time: bigint): bigint | undefined {
  const text = formatTime(time);
  return text === undefined ? undefined : BigInt(Date.parse(text)) * 1_000_000n;
}
