/** One side of a run: a place in a store, and how names are written there. */

import { CloudSyncError } from '../errors.js';
import { mapPath, type NameKind, type NameMapping } from '../stores/names.js';
import type { ObjectKind, Store, StoredObject } from '../stores/store.js';

export interface Location {
  store: Store;
  /** Keys of the run start with this: '' or a text that ends in `/`. */
  prefix: string;
  /** How the run's paths (rclone's standard names) are written as keys. */
  names: NameMapping;
}

/** What this package keeps in a bucket lies under this prefix; no run ever touches it. */
export const RESERVED_PREFIX = '.node-red-cloud-sync/';

/** People write folders with slashes around them or without. */
export function withoutOuterSlashes(path: string): string {
  return path.replace(/^\/+|\/+$/g, '');
}

/** `folder` as the contract allows it to be written (slashes around it or not) as a prefix. */
export function prefixOfFolder(folder: string): string {
  const trimmed = withoutOuterSlashes(folder);
  return trimmed === '' ? '' : `${trimmed}/`;
}

/** The key of a path relative to the location. Throws INVALID_NAME or NAME_TOO_LONG with the path. */
export function keyOfPath(location: Location, path: string, kind: 'file' | 'folder'): string {
  return location.prefix + mapWhole(path, kind, (segment, of) => location.names.toStored(segment, of));
}

/** The path of a key relative to the location. Throws INVALID_NAME with the key as its path. */
export function pathOfKey(location: Location, relativeKey: string, kind: 'file' | 'folder'): string {
  return mapWhole(relativeKey, kind, (segment, of) => location.names.fromStored(segment, of));
}

/** A name that can't be mapped is told with all of the path it stands in. */
function mapWhole(path: string, kind: NameKind, map: (segment: string, kind: NameKind) => string): string {
  try {
    return mapPath(path, kind, map);
  } catch (error) {
    if (error instanceof CloudSyncError) error.path = path;
    throw error;
  }
}

/** Files and folders are named by different rules (an encrypted remote adds `.bin` to plain file names). */
export function namedKind(kind: ObjectKind): 'file' | 'folder' {
  return kind === 'folder' ? 'folder' : 'file';
}

/** What tells one state of a remote object from another. */
export function remoteTag(object: StoredObject): string {
  return object.etag ?? object.versionId ?? '';
}
