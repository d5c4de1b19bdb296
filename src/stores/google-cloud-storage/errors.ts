/** What the service's words mean: https://cloud.google.com/storage/docs/json_api/v1/status-codes */

import { CloudSyncError, type ErrorCode, type ErrorDetails } from '../../errors.js';
import { parseRetryAfter } from '../http.js';

/** What an error is about, for its words. */
export interface ErrorSubject {
  /** What was tried, as it stands in a sentence: `list the objects`, `write`. */
  action: string;
  bucket?: string;
  key?: string;
  /** E-mail address of the service account. */
  account: string;
  projectId: string;
  /** ms since the epoch, by the server's clock. */
  now: number;
}

/** An answer that says no, taken apart. */
export interface GcsErrorAnswer {
  status: number;
  /** `notFound`, `conditionNotMet` ...; '' where the answer has none. */
  reason: string;
  message: string;
  headers: Readonly<Record<string, string>>;
}

/** The original error of an answer: what the service said, without anything secret in it. */
export class GcsAnswerError extends Error {
  constructor(
    readonly status: number,
    readonly reason: string,
    message: string,
  ) {
    super(message);
    this.name = 'GcsAnswerError';
  }
}

interface ErrorBody {
  error?: { message?: unknown; errors?: { reason?: unknown; message?: unknown }[] } | string;
}

/** Takes an answer apart. Errors of downloads are plain text, all others JSON. */
export function readErrorAnswer(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
): GcsErrorAnswer {
  try {
    const { error } = JSON.parse(body) as ErrorBody;
    if (typeof error === 'object' && error !== null) {
      const first = error.errors?.[0];
      const reason = typeof first?.reason === 'string' ? first.reason : '';
      const message = typeof error.message === 'string' ? error.message : '';
      return { status, reason, message, headers };
    }
  } catch {
    // Plain text.
  }
  const isText = (headers['content-type'] ?? '').startsWith('text/') && !body.trimStart().startsWith('<!');
  return { status, reason: '', message: isText ? body.trim() : '', headers };
}

/** Takes tokens, assertions and upload ids out of anything that may be shown. */
export function withoutSecrets(text: string): string {
  return text
    .replace(/\bya29\.[\w.-]+/g, '…')
    .replace(/\b(Bearer\s+)[\w.~+/=-]+/gi, '$1…')
    .replace(/\b(upload_id|access_token|assertion)=[^&\s"']+/g, '$1=…')
    .replace(/\beyJ[\w-]+\.[\w-]+\.[\w-]+/g, '…')
    .replace(/-----BEGIN[\s\S]*?(-----END[^-]*-----|$)/g, '…')
    .slice(0, 500)
    .trim();
}

type Meaning = [code: ErrorCode, message: string, advice?: string, field?: string];

/** The service's reason -> meaning. `%b` the bucket, `%k` the object, `%a` the account, `%d` what is to be done. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  rateLimitExceeded: ['RATE_LIMITED', 'Google Cloud Storage asks to go slower'],
  userRateLimitExceeded: ['RATE_LIMITED', 'Google Cloud Storage asks to go slower'],
  usageLimitsRateLimitExceeded: ['RATE_LIMITED', 'Google Cloud Storage asks to go slower'],
  quotaExceeded: [
    'QUOTA_EXCEEDED',
    'A quota of the project is used up',
    'Look under "IAM & Admin", "Quotas" in the Google Cloud console; it may be a limit for the day.',
  ],
  dailyLimitExceeded: [
    'QUOTA_EXCEEDED',
    'The quota of the project for today is used up',
    'Wait until tomorrow, or raise it under "IAM & Admin", "Quotas" in the Google Cloud console.',
  ],
  accountDisabled: [
    'NO_PERMISSION',
    'The billing account of the project is closed or missing',
    'Link a billing account to the project in the Google Cloud console.',
  ],
  userProjectAccountProblem: [
    'NO_PERMISSION',
    'The billing account of the project is closed or missing',
    'Link a billing account to the project in the Google Cloud console.',
  ],
  accessNotConfigured: [
    'NO_PERMISSION',
    'The Cloud Storage API is switched off in the project',
    'Switch it on under "APIs & Services" in the Google Cloud console.',
  ],
  retentionPolicyNotMet: [
    'NO_PERMISSION',
    'A retention policy protects "%k"',
    'It can be replaced or deleted when its retention time is over.',
  ],
  objectUnderActiveHold: [
    'NO_PERMISSION',
    'A hold protects "%k"',
    'It can be replaced or deleted when the hold is released.',
  ],
  userProjectMissing: [
    'NO_PERMISSION',
    'The requester pays for the bucket "%b", which is not supported',
    'Switch off "Requester pays" of the bucket.',
  ],
  insufficientPermissions: ['NO_PERMISSION', 'The service account "%a" may not %d'],
  orgPolicyConstraintFailed: [
    'NO_PERMISSION',
    'A policy of the organization forbids to %d',
    'Ask who manages the organization.',
  ],
  conditionNotMet: ['PRECONDITION_FAILED', '%o is not as the condition asks'],
  uploadTooLarge: ['NOT_SUPPORTED', '%o is larger than the 5 TiB an object may have'],
};

const FORBIDDEN_ADVICE =
  'Give the service account the role "Storage Object Admin" on the bucket, or "Storage Object Viewer" to restore only.';

/** The error that `answer` means. */
export function translateAnswer(answer: GcsErrorAnswer, about: ErrorSubject): CloudSyncError {
  const said = withoutSecrets(answer.message);
  const [code, text, advice, field] = meaningOf(answer, said, about);
  const retryAfterMs = parseRetryAfter(answer.headers['retry-after'], about.now);
  const details: ErrorDetails = {
    httpStatus: answer.status,
    cause: new GcsAnswerError(
      answer.status,
      answer.reason,
      `HTTP ${answer.status}${answer.reason === '' ? '' : ` ${answer.reason}`}${said === '' ? '' : `: ${said}`}`,
    ),
    ...(about.key === undefined ? {} : { path: about.key }),
    ...(advice === undefined ? {} : { advice }),
    ...(field === undefined ? {} : { field }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    // What the service doesn't understand it won't understand the next time.
    ...(code === 'BAD_ANSWER' ? { retryable: false } : {}),
  };
  return new CloudSyncError(code, fill(text, about), details);
}

function fill(text: string, about: ErrorSubject): string {
  const named = about.key === undefined ? 'The object' : `"${about.key}"`;
  const place =
    about.bucket === undefined
      ? ''
      : about.key === undefined
        ? ` in the bucket "${about.bucket}"`
        : `: "${about.key}" in the bucket "${about.bucket}"`;
  const values: Record<string, string> = {
    b: about.bucket ?? '',
    k: about.key ?? '',
    a: about.account,
    d: about.action,
    o: named,
    p: place,
  };
  return text.replace(/%([bkadop])/g, (_, letter: string) => values[letter]!);
}

function meaningOf(answer: GcsErrorAnswer, said: string, about: ErrorSubject): Meaning {
  const { status, reason } = answer;
  const known = MEANINGS[reason];
  if (known !== undefined) return known;
  switch (status) {
    case 400:
      return meaningOfBadRequest(answer, said);
    case 401:
      return [
        'CREDENTIAL_EXPIRED',
        'Google Cloud Storage does not accept the access token, a fresh one neither',
        'Check that the key belongs to this endpoint and was not deleted or disabled.',
        'serviceAccountKey',
      ];
    case 403:
      return meaningOfForbidden(said);
    case 404:
      return meaningOfMissing(said, about);
    case 405:
    case 501:
      return ['NOT_SUPPORTED', "This server can't %d"];
    case 407:
      return [
        'ENDPOINT_UNREACHABLE',
        'The proxy wants a user name and a password',
        'Write them into HTTPS_PROXY: http://user:password@proxy:port.',
      ];
    case 408:
      return ['TIMEOUT', 'The server waited too long for data'];
    case 409:
      return meaningOfConflict(said, about);
    case 410:
    case 499:
      return ['NOT_FOUND', 'The server no longer knows the upload of %o'];
    case 412:
      return MEANINGS.conditionNotMet!;
    case 413:
      return MEANINGS.uploadTooLarge!;
    case 429:
    case 503:
      return MEANINGS.rateLimitExceeded!;
  }
  if (status >= 500) return ['SERVER_ERROR', `Google Cloud Storage failed on its side (${reason || status})`];
  return [
    'BAD_ANSWER',
    `The server answers ${status}, not as Google Cloud Storage does`,
    'Check the endpoint; leave it empty for Google itself.',
    'endpoint',
  ];
}

function meaningOfBadRequest(answer: GcsErrorAnswer, said: string): Meaning {
  // `Provided MD5 hash "…" doesn't match calculated MD5 hash "…".`, the same with CRC32C.
  if (/doesn't match calculated (MD5|CRC32C)/i.test(said)) {
    return ['CHECKSUM_MISMATCH', '%o arrived damaged and was refused by the server'];
  }
  if (/storage ?class/i.test(said)) {
    return [
      'INVALID_INPUT',
      'Google Cloud Storage has no such storage class',
      'Choose STANDARD, NEARLINE, COLDLINE or ARCHIVE.',
      'storageClass',
    ];
  }
  if (/requester pays/i.test(said)) return MEANINGS.userProjectMissing!;
  if (/invalid bucket name/i.test(said)) {
    return ['INVALID_INPUT', '"%b" can\'t be the name of a bucket', BUCKET_NAME_ADVICE, 'bucket'];
  }
  if (/location/i.test(said) && /(invalid|not (valid|supported))/i.test(said)) {
    return ['INVALID_INPUT', 'Google Cloud Storage has no such location', 'Try EU, US or ASIA.', 'region'];
  }
  if (answer.reason === '' && said === '') {
    return [
      'BAD_ANSWER',
      'The server answers 400, not as Google Cloud Storage does',
      'Check the endpoint; leave it empty for Google itself.',
      'endpoint',
    ];
  }
  return ['INVALID_INPUT', `Google Cloud Storage refuses to %d: ${said || answer.reason}`];
}

export const BUCKET_NAME_ADVICE = 'Use 3 to 63 lower-case letters, digits, hyphens, underscores and dots.';

/** `x@y does not have storage.objects.create access to …` */
function meaningOfForbidden(said: string): Meaning {
  if (/billing account/i.test(said)) return MEANINGS.accountDisabled!;
  if (/retention/i.test(said)) return MEANINGS.retentionPolicyNotMet!;
  if (/has not been used in project|it is disabled/i.test(said)) return MEANINGS.accessNotConfigured!;
  const permission = /\bstorage\.[a-z]+\.[A-Za-z]+/.exec(said)?.[0];
  return [
    'NO_PERMISSION',
    `The service account "%a" may not %d%p${permission === undefined ? '' : ` (${permission})`}`,
    FORBIDDEN_ADVICE,
  ];
}

/** `The specified bucket does not exist.`, or `No such object: photos/a.jpg`. */
function meaningOfMissing(said: string, about: ErrorSubject): Meaning {
  if (
    about.bucket !== undefined &&
    (about.key === undefined || /bucket does not exist|no such bucket/i.test(said))
  ) {
    return ['BUCKET_NOT_FOUND', 'There is no bucket "%b"', "Check the bucket's name, or create it first."];
  }
  if (about.key !== undefined) return ['NOT_FOUND', '%o does not exist'];
  if (/project/i.test(said)) {
    return [
      'INVALID_INPUT',
      `There is no project "${about.projectId}"`,
      'Check the project id.',
      'projectId',
    ];
  }
  return [
    'BAD_ANSWER',
    'The endpoint does not answer as Google Cloud Storage does',
    'Check the endpoint; leave it empty for Google itself.',
    'endpoint',
  ];
}

function meaningOfConflict(said: string, about: ErrorSubject): Meaning {
  if (about.key !== undefined) return ['SERVER_ERROR', 'Another request to %o stands in the way'];
  if (/already own/i.test(said)) return ['ALREADY_EXISTS', 'The bucket "%b" exists already, and is yours'];
  return [
    'ALREADY_EXISTS',
    'The bucket name "%b" is taken',
    'Bucket names are unique over all projects: choose another.',
  ];
}
