/** What the operating system's error numbers mean to the user. */

import { CloudSyncError, type ErrorCode, type ErrorDetails } from '../../errors.js';

interface Meaning {
  code: ErrorCode;
  text: string;
  advice?: string;
  retryable?: boolean;
}

const OBSTRUCTED_ADVICE = 'Move or rename what stands in its place.';
const OPEN_FILES_ADVICE = 'Raise the limit of open files of Node-RED, or lower "transfers".';
const DISK_ADVICE = 'Check the disk, its cable and the system log; for a network share the connection.';

/** Error names of Node.js; from errno(3). */
const MEANINGS: Record<string, Meaning> = {
  ENOENT: { code: 'NOT_FOUND', text: 'there is no such file or folder' },
  EACCES: {
    code: 'NO_PERMISSION',
    text: 'permission denied',
    advice: 'Give the user that Node-RED runs as the right to it.',
  },
  EPERM: {
    code: 'NO_PERMISSION',
    text: 'the operation is not permitted',
    advice: 'Give the user that Node-RED runs as the right to it; it may also be marked as immutable.',
  },
  EROFS: {
    code: 'NO_PERMISSION',
    text: 'the file system is read-only',
    advice: 'Mount it for writing; a disk with errors is often switched to read-only by the system.',
  },
  ENOSPC: { code: 'DISK_FULL', text: 'the disk is full', advice: 'Make room on it, then run again.' },
  EDQUOT: {
    code: 'DISK_FULL',
    text: 'the quota of the user or dataset is used up',
    advice: 'Make room or raise the quota, then run again.',
  },
  EFBIG: {
    code: 'DISK_FULL',
    text: 'the file is larger than the file system or the process limit allows',
    advice: 'Use a file system that holds larger files (FAT32 ends at 4 GiB).',
  },
  EIO: { code: 'IO_ERROR', text: 'reading or writing the disk failed', advice: DISK_ADVICE },
  ESTALE: {
    code: 'IO_ERROR',
    text: 'the network share no longer knows it',
    advice: 'Mount the share again.',
  },
  ENOTCONN: { code: 'IO_ERROR', text: 'the share is not connected', advice: 'Mount the share again.' },
  ENODEV: { code: 'IO_ERROR', text: 'the device is gone', advice: DISK_ADVICE },
  ENXIO: { code: 'IO_ERROR', text: 'the device is gone', advice: DISK_ADVICE },
  EMFILE: { code: 'IO_ERROR', text: 'too many open files', advice: OPEN_FILES_ADVICE, retryable: true },
  ENFILE: { code: 'IO_ERROR', text: 'too many open files', advice: OPEN_FILES_ADVICE, retryable: true },
  ENOMEM: { code: 'IO_ERROR', text: 'the system is out of memory', retryable: true },
  EBUSY: { code: 'IO_ERROR', text: 'it is in use by the system', advice: 'It may be a mount point.' },
  ETXTBSY: { code: 'IO_ERROR', text: 'it is a program that runs' },
  ETIMEDOUT: { code: 'TIMEOUT', text: 'the network share does not answer', advice: DISK_ADVICE },
  ENAMETOOLONG: {
    code: 'NAME_TOO_LONG',
    text: 'the name or path is too long for the file system',
    advice: 'Shorten it.',
  },
  EILSEQ: { code: 'INVALID_NAME', text: 'the file system cannot hold this name', advice: 'Rename it.' },
  EINVAL: { code: 'INVALID_NAME', text: 'the file system cannot hold this name', advice: 'Rename it.' },
  EISDIR: { code: 'OBSTRUCTED', text: 'a folder stands in its place', advice: OBSTRUCTED_ADVICE },
  ENOTDIR: {
    code: 'OBSTRUCTED',
    text: 'something that is no folder stands on the way to it',
    advice: OBSTRUCTED_ADVICE,
  },
  ELOOP: {
    code: 'OBSTRUCTED',
    text: 'a symbolic link stands on the way to it',
    advice: OBSTRUCTED_ADVICE,
  },
  EEXIST: { code: 'OBSTRUCTED', text: 'something stands in its place already', advice: OBSTRUCTED_ADVICE },
  ENOTEMPTY: {
    code: 'OBSTRUCTED',
    text: 'a folder that is not empty stands in its place',
    advice: OBSTRUCTED_ADVICE,
  },
};

/** The error's name (`ENOENT`), '' where it is none of the operating system. */
export function systemErrorName(error: unknown): string {
  const name = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof name === 'string' ? name : '';
}

/**
 * `error` in our words; ours come back unchanged.
 *
 * @param path The key it is about, '' for the root.
 * @param intention What was tried, as in `Cannot ${intention} "a.txt": ...`.
 */
export function fromSystemError(
  error: unknown,
  path: string,
  intention: string,
  details: ErrorDetails = {},
): CloudSyncError {
  if (error instanceof CloudSyncError) return error;
  const name = systemErrorName(error);
  const meaning = MEANINGS[name];
  const what = path === '' ? 'the folder' : JSON.stringify(path);
  if (meaning === undefined) {
    const code = /^E[A-Z]/.test(name) && !name.startsWith('ERR_') ? 'IO_ERROR' : 'INTERNAL';
    const text = name === '' ? String(error) : name;
    return new CloudSyncError(code, `Cannot ${intention} ${what}: ${text}`, {
      path,
      cause: error,
      ...details,
    });
  }
  return new CloudSyncError(meaning.code, `Cannot ${intention} ${what}: ${meaning.text}`, {
    path,
    advice: meaning.advice,
    retryable: meaning.retryable,
    cause: error,
    ...details,
  });
}
