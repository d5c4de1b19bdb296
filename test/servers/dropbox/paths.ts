/** Names and paths as Dropbox treats them. */

/**
 * Files Dropbox doesn't keep, by their names in any case.
 * https://help.dropbox.com/sync/files-not-syncing ("Ignored files")
 */
const IGNORED = new Set(['desktop.ini', 'thumbs.db', '.ds_store', 'icon\r', '.dropbox', '.dropbox.attr']);
/** https://help.dropbox.com/organize/file-names: characters of one name. */
const MAX_NAME_LENGTH = 255;

export function isIgnoredName(name: string): boolean {
  return IGNORED.has(name.toLowerCase());
}

/**
 * Names are kept composed: "Dropbox normalizes unicode server-side (NFD -> NFC)" (rclone, fstest/test_all/config.yaml).
 */
export function composed(path: string): string {
  return path.normalize('NFC');
}

/** Paths are case-insensitive: each character's simple lower case, as the first Dropbox servers computed it. */
export function folded(path: string): string {
  let result = '';
  for (const character of path) {
    const lower = character.toLowerCase();
    result += lower.length === character.length ? lower : character;
  }
  return result;
}

/**
 * Whether Dropbox can hold a path: it begins with a slash and doesn't end with one; no name in it is empty, `.` or `..`,
 * ends in a space, holds a backslash or the DEL character, or is too long.
 * https://www.dropbox.com/developers/documentation/http/documentation#path-formats, https://rclone.org/dropbox/
 */
export function isWellFormed(path: string): boolean {
  if (!path.startsWith('/')) return false;
  return path
    .slice(1)
    .split('/')
    .every(
      (name) =>
        name !== '' &&
        name !== '.' &&
        name !== '..' &&
        !name.endsWith(' ') &&
        !/[\\\u007f\0]/.test(name) &&
        name.isWellFormed() &&
        [...name].length <= MAX_NAME_LENGTH,
    );
}

export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
