/**
 * Everything that can go wrong, by meaning and not by provider: the same code whether the words came from S3,
 * Azure, Dropbox or the local disk. A message says what happened, `advice` what the user can do about it.
 */

/** How the error codes behave: whether waiting and asking again can help. */
export const ERROR_CODES = {
  /** A property, message or file the user gave is not usable; `field` names it. */
  INVALID_INPUT: { retryable: false },
  /** No credential, or one that lacks a secret. */
  CREDENTIAL_MISSING: { retryable: false },
  /** The provider doesn't know this access key, account or application. */
  WRONG_KEY: { retryable: false },
  /** The key is known, the secret doesn't fit it. */
  WRONG_SECRET: { retryable: false },
  /** A session token, SAS or refresh token has run out or was revoked. */
  CREDENTIAL_EXPIRED: { retryable: false },
  /** This machine's clock is too far from the server's. */
  CLOCK_SKEW: { retryable: false },
  /** The credential is right but may not do this; also a local file without read or write permission. */
  NO_PERMISSION: { retryable: false },
  BUCKET_NOT_FOUND: { retryable: false },
  /** The bucket lies in another region than the one asked. */
  WRONG_REGION: { retryable: false },
  /** Name resolution failed or the connection was refused. */
  ENDPOINT_UNREACHABLE: { retryable: true },
  TLS_FAILURE: { retryable: false },
  /** Silence for too long, measured as silence and not as duration. */
  TIMEOUT: { retryable: true },
  /** The connection broke while it was used. */
  CONNECTION_LOST: { retryable: true },
  /** The object, version, upload or local file isn't there. */
  NOT_FOUND: { retryable: false },
  ALREADY_EXISTS: { retryable: false },
  /** `ifMatch` or `ifNoneMatch` didn't hold. */
  PRECONDITION_FAILED: { retryable: false },
  /** The file or object is another one than when it was looked at first. */
  CHANGED: { retryable: false },
  /** A file that changed every time it was tried. */
  CHANGING: { retryable: false },
  /** Bytes on one side aren't the bytes on the other. */
  CHECKSUM_MISMATCH: { retryable: true },
  /** In an archive tier: has to be restored by the provider before it can be read. */
  ARCHIVED: { retryable: false },
  /** The provider refuses to hand this content out. */
  RESTRICTED_CONTENT: { retryable: false },
  /** The account's space or a spending cap is used up. */
  QUOTA_EXCEEDED: { retryable: false },
  /** The local file system is full. */
  DISK_FULL: { retryable: false },
  /** The provider asks to go slower; `retryAfterMs` where it says for how long. */
  RATE_LIMITED: { retryable: true },
  /** The provider failed on its side (5xx). */
  SERVER_ERROR: { retryable: true },
  /** A name this store can't hold in any encoding, or one that would leave the target folder. */
  INVALID_NAME: { retryable: false },
  NAME_TOO_LONG: { retryable: false },
  /** Two source names that become one destination name. */
  COLLISION: { retryable: false },
  /** A file stands where a folder has to be, or the reverse. */
  OBSTRUCTED: { retryable: false },
  /** A local read or write failed (EIO, ESTALE ...). */
  IO_ERROR: { retryable: false },
  /** A symbolic link that leads nowhere or around in a circle, a socket, a device ...: left out, and said. */
  SPECIAL_FILE: { retryable: false },
  /** This store can't do that at all. */
  NOT_SUPPORTED: { retryable: false },
  /** Stopped by the user, a redeploy or the end of Node-RED. */
  ABORTED: { retryable: false },
  WRONG_PASSWORD: { retryable: false },
  /** More deletes were due than `maxDelete` allows: nothing was deleted. */
  MAX_DELETE: { retryable: false },
  /** Deleted before the time was over for which its storage class is paid for at least. */
  EARLY_DELETION: { retryable: false },
  /** The source is missing, not mounted or suddenly without files. */
  SOURCE_EMPTY: { retryable: false },
  /** The file system that held the local folder at the last run isn't mounted. */
  NOT_MOUNTED: { retryable: false },
  /** What would be deleted belongs to another task. */
  OTHER_TASK: { retryable: false },
  /** Other programs have begun uploads and not finished them: their parts are paid for. */
  UNFINISHED_UPLOADS: { retryable: false },
  /** The source could not be listed whole, so nothing may be deleted. */
  SOURCE_INCOMPLETE: { retryable: false },
  /** Another run holds the folder or prefix. */
  BUSY: { retryable: false },
  /** A pre- or post-script failed. */
  SCRIPT_FAILED: { retryable: false },
  /** The process that carried the run out ended without a report. */
  RUN_DIED: { retryable: false },
  /** The answer of a server makes no sense. */
  BAD_ANSWER: { retryable: true },
  /** A fault of this package. */
  INTERNAL: { retryable: false },
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** What else an error knows. */
export interface ErrorDetails {
  /** File or object the error is about, relative to the folder of the run where there is one. */
  path?: string;
  /** Name of the property at fault, as the contract spells it. */
  field?: string;
  /** What the user can do, one sentence. */
  advice?: string;
  /** How long the provider asks to wait, in milliseconds. */
  retryAfterMs?: number;
  /** HTTP status where there was one. */
  httpStatus?: number;
  /** The original error. */
  cause?: unknown;
  /** Overrides what the code says, where this one case is different. */
  retryable?: boolean;
}

/** The plain form of an error that crosses process borders and stands in reports. Never holds a secret. */
export interface ErrorRecord {
  path: string;
  code: ErrorCode;
  message: string;
  advice?: string;
  field?: string;
}

export class CloudSyncError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  path?: string;
  /** A request's body of so many bytes was cut on its way, though nothing else was being sent. */
  cutBody?: number;
  readonly field?: string;
  readonly advice?: string;
  readonly retryAfterMs?: number;
  readonly httpStatus?: number;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'CloudSyncError';
    this.code = code;
    this.retryable = details.retryable ?? ERROR_CODES[code].retryable;
    this.path = details.path;
    this.field = details.field;
    this.advice = details.advice;
    this.retryAfterMs = details.retryAfterMs;
    this.httpStatus = details.httpStatus;
  }

  /** The plain form for reports and messages between processes. */
  toRecord(): ErrorRecord {
    const record: ErrorRecord = { path: this.path ?? '', code: this.code, message: this.message };
    if (this.advice !== undefined) record.advice = this.advice;
    if (this.field !== undefined) record.field = this.field;
    return record;
  }

  /** The error that `record` describes. */
  static fromRecord(record: ErrorRecord): CloudSyncError {
    return new CloudSyncError(record.code, record.message, record);
  }
}

/** Whether `error` is one of ours with one of these codes. */
export function hasCode(error: unknown, ...codes: ErrorCode[]): error is CloudSyncError {
  return error instanceof CloudSyncError && codes.includes(error.code);
}

/** `error` itself if it is one of ours, else wrapped as INTERNAL, so that nothing is ever thrown away. */
export function asCloudSyncError(error: unknown): CloudSyncError {
  if (error instanceof CloudSyncError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new CloudSyncError('INTERNAL', message, { cause: error });
}

/** The error every aborted call ends with. */
export function abortedError(): CloudSyncError {
  return new CloudSyncError('ABORTED', 'Stopped before the end');
}

/** Throws ABORTED where `signal` has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedError();
}

/** So much of a value is repeated in an error. */
const SHOWN_LENGTH = 60;

/** A value the way an error may repeat it, whatever it is: in quotes, short and on one line. */
export function shown(value: unknown): string {
  return `"${shortened(typeof value === 'string' ? value : describe(value))}"`;
}

/** The beginning of a text, on one line. */
export function shortened(text: string, length = SHOWN_LENGTH): string {
  const beginning = text.length > length ? `${text.slice(0, length - 3)}...` : text;
  return beginning.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').toWellFormed();
}

function describe(value: unknown): string {
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    // A circle, or a value that doesn't let itself be looked at.
    return typeof value === 'bigint' ? String(value) : `some ${typeof value}`;
  }
}
