/**
 * What Dropbox's words mean. https://www.dropbox.com/developers/documentation/http/documentation#error-handling and the
 * unions of errors in https://github.com/dropbox/dropbox-api-spec.
 */

import { CloudSyncError, type ErrorCode, type ErrorDetails } from '../../errors.js';
import { parseRetryAfter } from '../http.js';

/** An answer that says no. */
export interface FailedAnswer {
  status: number;
  headers: Readonly<Record<string, string | undefined>>;
  body: string;
}

/** What Dropbox said, without anything secret in it. */
export class DropboxAnswerError extends Error {
  constructor(
    readonly status: number,
    /** Tags of the nested unions: `path/conflict/file`; '' where it is no error of the API. */
    readonly tags: string,
    readonly error: unknown,
    message: string,
    readonly requestId: string | undefined,
  ) {
    super(message);
    this.name = 'DropboxAnswerError';
  }
}

/** The tags of the answer behind `error`, '' where there are none. */
export function tagsOf(error: unknown): string {
  const cause = error instanceof CloudSyncError ? error.cause : undefined;
  return cause instanceof DropboxAnswerError ? cause.tags : '';
}

/** The offset Dropbox expects, where that is what `error` says. */
export function correctOffsetOf(error: unknown): number | undefined {
  const cause = error instanceof CloudSyncError ? error.cause : undefined;
  if (!(cause instanceof DropboxAnswerError) || !cause.tags.endsWith('incorrect_offset')) return undefined;
  let current: unknown = cause.error;
  while (isUnion(current)) {
    if (typeof current.correct_offset === 'number') return current.correct_offset;
    current = current[current['.tag']];
  }
  return undefined;
}

type Meaning = [code: ErrorCode, message: string, advice?: string, field?: string];

const OBSTRUCTED_ADVICE = 'Move it away in Dropbox.';
const SPACE_ADVICE = 'Free space in Dropbox (deleted files count for a while), or get more.';

/** The innermost tag that is known here -> meaning. `%p` stands for the path. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  not_found: ['NOT_FOUND', '"%p" does not exist'],
  not_file: ['OBSTRUCTED', '"%p" is a folder', OBSTRUCTED_ADVICE],
  not_folder: ['OBSTRUCTED', '"%p" is no folder', OBSTRUCTED_ADVICE],
  restricted_content: [
    'RESTRICTED_CONTENT',
    'Dropbox does not hand out "%p": its content is restricted',
    'Dropbox does this for legal reasons; its support can tell more. The file itself is still there.',
  ],
  unsupported_file: [
    'NOT_SUPPORTED',
    '"%p" is a document that lives in Dropbox only and can\'t be downloaded',
    'Export it in Dropbox to keep a copy of it.',
  ],
  unsupported_content_type: [
    'NOT_SUPPORTED',
    '"%p" is of a kind that Dropbox does not hand out',
    'Export it in Dropbox to keep a copy of it.',
  ],
  locked: ['NO_PERMISSION', 'Somebody has locked "%p" in Dropbox', 'Unlock it there, then try again.'],
  malformed_path: ['INVALID_NAME', 'Dropbox can\'t hold the name "%p"', 'Rename it.'],
  disallowed_name: ['INVALID_NAME', 'Dropbox does not store files of the name "%p"', 'Rename it.'],
  folder: ['OBSTRUCTED', 'A folder stands where the file "%p" has to be', OBSTRUCTED_ADVICE],
  file_ancestor: ['OBSTRUCTED', 'A file stands where a folder of "%p" has to be', OBSTRUCTED_ADVICE],
  file: ['PRECONDITION_FAILED', '"%p" is another file than when it was looked at'],
  conflict: ['PRECONDITION_FAILED', '"%p" is another file than when it was looked at'],
  no_write_permission: [
    'NO_PERMISSION',
    'The account may not write to "%p"',
    'Ask the owner of the shared folder for the right to edit.',
  ],
  access_restricted: ['NO_PERMISSION', 'The administrator of the team does not allow this for "%p"'],
  team_folder: ['NO_PERMISSION', '"%p" is a team folder, which can be changed in the admin console only'],
  operation_suppressed: ['NO_PERMISSION', 'Dropbox does not allow this at "%p"'],
  insufficient_space: ['QUOTA_EXCEEDED', 'The space of the Dropbox account is used up', SPACE_ADVICE],
  insufficient_quota: ['QUOTA_EXCEEDED', 'The space of the Dropbox account is used up', SPACE_ADVICE],
  too_many_write_operations: [
    'RATE_LIMITED',
    'Too many changes at the same time in this Dropbox',
    'Lower "transfers", or let other programs finish first.',
  ],
  content_hash_mismatch: [
    'CHECKSUM_MISMATCH',
    'The bytes that arrived for "%p" are not those that were sent',
  ],
  too_large: ['NOT_SUPPORTED', '"%p" is larger than Dropbox can hold (2 TiB)'],
  invalid_revision: ['NOT_FOUND', 'Dropbox no longer has this revision of "%p"'],
  internal_error: ['SERVER_ERROR', 'Dropbox failed on its side'],
  invalid_async_job_id: ['BAD_ANSWER', 'Dropbox does not know the job it began'],
  closed: ['NOT_FOUND', 'The unfinished upload of "%p" was given up'],
};

const SIGN_IN = 'Sign in to Dropbox again in the credential.';

/** Tags of 401. */
const AUTH_MEANINGS: Readonly<Record<string, Meaning>> = {
  invalid_access_token: [
    'WRONG_SECRET',
    'Dropbox does not know this access token, or it was revoked',
    SIGN_IN,
    'accessToken',
  ],
  expired_access_token: ['CREDENTIAL_EXPIRED', 'The access token has run out', SIGN_IN, 'accessToken'],
  user_suspended: ['NO_PERMISSION', 'The Dropbox account is suspended', 'Ask the administrator of the team.'],
  route_access_denied: ['NO_PERMISSION', 'The app may not use this part of the Dropbox API'],
};

/** @param path Key of the file, for the words. */
export function errorFromAnswer(answer: FailedAnswer, path: string | undefined): CloudSyncError {
  const { status, headers, body } = answer;
  const parsed = parseBody(body, headers['content-type']);
  const tags = parsed === undefined ? '' : tagsIn(parsed.error);
  const message = `Dropbox answers ${status}${tags === '' ? '' : ` ${tags}`}`;
  const cause = new DropboxAnswerError(status, tags, parsed?.error, message, headers['x-dropbox-request-id']);
  const details: ErrorDetails = { cause, httpStatus: status };
  if (path !== undefined) details.path = path;
  const wait = retryAfter(headers, parsed?.error);
  if (wait !== undefined) details.retryAfterMs = wait;
  if (status === 429) return rateLimited(tags, details);
  if (status === 401) return unauthorized(tags, parsed?.error, details);
  if (status === 409) return errorOfTags(tags, details);
  if (status === 400) return badInput(body, details);
  if (status === 403) return forbidden(tags, details);
  if (status === 422) {
    return make(
      ['NO_PERMISSION', "The app can't use the folder that is the root of this account", SIGN_IN],
      details,
    );
  }
  if (status >= 500) {
    return new CloudSyncError('SERVER_ERROR', `Dropbox fails on its side (${status})`, details);
  }
  return new CloudSyncError('BAD_ANSWER', `The answer makes no sense (${status})`, {
    ...details,
    advice: 'Check the endpoint; leave it empty for Dropbox itself.',
    retryable: false,
  });
}

/** The error of an entry of a batch, or of a 409. `error` is the union as Dropbox gives it. */
export function errorOfEntry(error: unknown, path: string): CloudSyncError {
  const tags = tagsIn(error);
  const cause = new DropboxAnswerError(200, tags, error, `Dropbox refuses an entry: ${tags}`, undefined);
  return errorOfTags(tags, { cause, path });
}

function errorOfTags(tags: string, details: ErrorDetails): CloudSyncError {
  for (const tag of tags.split('/').reverse()) {
    const meaning = MEANINGS[tag];
    if (meaning !== undefined) return make(meaning, details);
  }
  return new CloudSyncError('BAD_ANSWER', `Dropbox refuses this (${tags || 'without a reason'})`, {
    ...details,
    retryable: false,
  });
}

function make([code, text, advice, field]: Meaning, details: ErrorDetails): CloudSyncError {
  return new CloudSyncError(code, text.replaceAll('%p', details.path ?? ''), {
    ...details,
    // What Dropbox means to say will be the same the next time.
    ...(code === 'BAD_ANSWER' ? { retryable: false } : {}),
    ...(advice === undefined ? {} : { advice }),
    ...(field === undefined ? {} : { field }),
  });
}

/** https://www.dropbox.com/developers/reference/data-ingress-guide: a text without a reason is too_many_requests. */
function rateLimited(tags: string, details: ErrorDetails): CloudSyncError {
  if (tags.includes('too_many_write_operations')) return errorOfTags('too_many_write_operations', details);
  return new CloudSyncError('RATE_LIMITED', 'Dropbox asks to go slower', {
    ...details,
    advice: 'Lower "transfers" if this happens often.',
  });
}

function unauthorized(tags: string, error: unknown, details: ErrorDetails): CloudSyncError {
  const scope = isUnion(error) ? error.required_scope : undefined;
  if (typeof scope === 'string') {
    return new CloudSyncError('NO_PERMISSION', `The Dropbox app lacks the permission ${scope}`, {
      ...details,
      advice: 'Tick it under "Permissions" of the app in the Dropbox App Console, then sign in again.',
    });
  }
  const meaning = AUTH_MEANINGS[tags.split('/')[0]!];
  return make(
    meaning ?? ['NO_PERMISSION', `Dropbox does not accept the credential (${tags || 401})`, SIGN_IN],
    details,
  );
}

function forbidden(tags: string, details: ErrorDetails): CloudSyncError {
  return new CloudSyncError(
    'NO_PERMISSION',
    `The account may not do this${tags === '' ? '' : ` (${tags})`}`,
    details,
  );
}

function badInput(body: string, details: ErrorDetails): CloudSyncError {
  if (/authorization/i.test(body)) {
    return make(['WRONG_SECRET', 'The access token is no Dropbox token', SIGN_IN, 'accessToken'], details);
  }
  const said = body.replace(/[A-Za-z0-9_.-]{60,}/g, '…').slice(0, 300);
  return new CloudSyncError('BAD_ANSWER', `Dropbox does not understand the request: ${said}`, {
    ...details,
    retryable: false,
  });
}

function parseBody(body: string, contentType: string | undefined): { error?: unknown } | undefined {
  if (contentType?.startsWith('application/json') !== true) return undefined;
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function retryAfter(headers: FailedAnswer['headers'], error: unknown): number | undefined {
  const fromHeader = parseRetryAfter(headers['retry-after'], Date.parse(headers.date ?? '') || Date.now());
  if (fromHeader !== undefined) return fromHeader;
  const seconds = (error as { retry_after?: unknown } | undefined)?.retry_after;
  return typeof seconds === 'number' ? seconds * 1000 : undefined;
}

interface Union {
  '.tag': string;
  [field: string]: unknown;
}

function isUnion(value: unknown): value is Union {
  return typeof value === 'object' && value !== null && typeof (value as Union)['.tag'] === 'string';
}

/** `path/conflict/file`; a reason in a field of its own is taken in. */
function tagsIn(error: unknown): string {
  const tags: string[] = [];
  // Rate limits have their reason without a tag of their own.
  let current: unknown = isUnion(error) ? error : (error as { reason?: unknown } | undefined)?.reason;
  while (isUnion(current)) {
    const tag: string = current['.tag'];
    tags.push(tag);
    current = current[tag] ?? current.reason;
  }
  return tags.join('/');
}
