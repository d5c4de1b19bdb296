/**
 * S3's errors by meaning, with what the user can do.
 * Source: "Error responses", Amazon S3 API Reference; and what Ceph, MinIO, Garage, R2 and B2 answer instead.
 */

import { CloudSyncError, type ErrorCode } from '../../errors.js';
import { parseRetryAfter } from '../http.js';
import { elementText } from './xml.js';

/** How a provider calls its keys, and which fields of the credential they stand in. */
export interface KeyWords {
  /** As in `The access key may not ...`. */
  key: string;
  /** As in `The server does not know this access key`. */
  keyId: string;
  secret: string;
  /** What to do about a key that isn't known. */
  keyAdvice: string;
  secretAdvice: string;
  keyField: string;
  secretField: string;
}

export const AMAZON_KEY_WORDS: KeyWords = {
  key: 'access key',
  keyId: 'access key',
  secret: 'secret access key',
  keyAdvice: 'Check the access key ID, and that it belongs to this endpoint and was not deleted or disabled.',
  secretAdvice:
    'Type the secret access key again; it is shown only once when the key is made, so make a new key if it is lost.',
  keyField: 'accessKeyId',
  secretField: 'secretAccessKey',
};

/** What an error is about, for its words. */
export interface ErrorSubject {
  /** What was tried, as it stands in a sentence: `list the bucket`, `write`. */
  action: string;
  bucket?: string;
  key?: string;
  /** Region the request was signed for. */
  region: string;
  /** Texts that must never be repeated. */
  secrets: readonly string[];
  /** ms since the epoch, by the server's clock. */
  now: number;
  keyWords: KeyWords;
}

/** An answer that is an error, taken apart. */
export interface S3ErrorAnswer {
  status: number;
  code: string;
  message: string;
  /** Where the bucket is, if the answer says so. */
  region?: string;
  headers: Record<string, string>;
  /** The body says that HTTPS is wanted. */
  mentionsHttps?: boolean;
}

/** Takes an error answer apart; answers to HEAD have no body and so no code. */
export function readErrorAnswer(
  status: number,
  headers: Record<string, string>,
  body: string,
): S3ErrorAnswer {
  const region = headers['x-amz-bucket-region'] ?? elementText(body, 'Region');
  return {
    status,
    code: elementText(body, 'Code') ?? '',
    message: elementText(body, 'Message') ?? '',
    headers,
    ...(region === undefined || region === '' ? {} : { region }),
    ...(status === 400 && /HTTP request .{0,20}to .{0,10}HTTPS/i.test(body) ? { mentionsHttps: true } : {}),
  };
}

type Advice = string | ((about: ErrorSubject) => string);
type Translation = [ErrorCode, (about: ErrorSubject, answer: S3ErrorAnswer) => string, Advice?];

const WRONG_KEY: Translation = [
  'WRONG_KEY',
  ({ keyWords }) => `The server does not know this ${keyWords.keyId}`,
  ({ keyWords }) => keyWords.keyAdvice,
];
const WRONG_SECRET: Translation = [
  'WRONG_SECRET',
  ({ keyWords }) => `The ${keyWords.secret} does not fit the ${keyWords.keyId}`,
  ({ keyWords }) => keyWords.secretAdvice,
];
const EXPIRED: Translation = [
  'CREDENTIAL_EXPIRED',
  () => 'The session token has expired or is not valid',
  'Get a new session token, or use an access key that does not expire.',
];
const NO_BUCKET: Translation = [
  'BUCKET_NOT_FOUND',
  (about) => `There is no bucket "${about.bucket ?? ''}"`,
  "Check the bucket's name, or create it first.",
];
const NOT_THERE: Translation = ['NOT_FOUND', (about) => `${named(about)} does not exist`];
const BUSY: Translation = ['RATE_LIMITED', () => 'The server asks to send fewer requests'];
const FAILED: Translation = [
  'SERVER_ERROR',
  (_, answer) => `The server failed (${answer.code || answer.status})`,
];
const FORBIDDEN: Translation = [
  'NO_PERMISSION',
  (about) => `The ${about.keyWords.key} may not ${about.action}${placeOf(about)}`,
  "Give the key's user or policy this permission, or use another key.",
];
const FULL: Translation = [
  'QUOTA_EXCEEDED',
  () => 'The space or spending limit of the account or bucket is used up',
  'Make room, or raise the limit at the provider.',
];
/** Backblaze answers 403 AccessDenied and says so in words: https://www.backblaze.com/docs/cloud-storage-data-caps-and-alerts */
const CAPPED: Translation = [
  'QUOTA_EXCEEDED',
  (_, answer) => `A cap that was set for this Backblaze account is used up: ${answer.message}`,
  'Raise the cap under "Caps & Alerts" at Backblaze; caps on downloads and transactions begin anew at midnight GMT.',
];
/** What nginx, Go's and other servers answer in plain HTTP on a port for TLS. */
const PLAIN_HTTP: Translation = [
  'TLS_FAILURE',
  () => 'The server speaks HTTPS on this port, and the endpoint says http://',
  'Write https:// in front of the endpoint.',
];
const SKEWED: Translation = [
  'CLOCK_SKEW',
  () => "This machine's clock is too far from the server's",
  'Set the clock of this machine (NTP).',
];
const BAD_BYTES: Translation = [
  'CHECKSUM_MISMATCH',
  (about) => `${named(about)} arrived damaged and was refused by the server`,
];
const CONDITION: Translation = [
  'PRECONDITION_FAILED',
  (about) => `${named(about)} is not as the condition asks`,
];
const WRONG_REGION: Translation = [
  'WRONG_REGION',
  (about, answer) =>
    answer.region === undefined
      ? `The bucket "${about.bucket ?? ''}" is not in the region ${about.region}`
      : `The bucket "${about.bucket ?? ''}" is in the region ${answer.region}, not in ${about.region}`,
  'Set this region in the credential, or leave it empty to have it found.',
];
const ARCHIVED: Translation = [
  'ARCHIVED',
  (about) => `${named(about)} is archived and can't be read now`,
  'Have it restored from the archive first (thaw), then try again.',
];
const TOO_LONG: Translation = [
  'NAME_TOO_LONG',
  (about) => `The name is longer than the 1,024 bytes a key may have${placeOf(about)}`,
];
const TAKEN: Translation = [
  'ALREADY_EXISTS',
  (about) => `The bucket name "${about.bucket ?? ''}" is taken`,
  'Bucket names are unique over all accounts: choose another.',
];
const UNSUPPORTED: Translation = ['NOT_SUPPORTED', (about) => `This server can't ${about.action}`];
const LOST_UPLOAD: Translation = [
  'NOT_FOUND',
  (about) => `The server no longer knows the upload of ${named(about)}`,
];

const BY_CODE: Record<string, Translation> = {
  InvalidAccessKeyId: WRONG_KEY,
  UnrecognizedClientException: WRONG_KEY,
  SignatureDoesNotMatch: WRONG_SECRET,
  ExpiredToken: EXPIRED,
  TokenRefreshRequired: EXPIRED,
  InvalidToken: EXPIRED,
  RequestExpired: SKEWED,
  RequestTimeTooSkewed: SKEWED,
  AccessDenied: FORBIDDEN,
  AllAccessDisabled: FORBIDDEN,
  AccountProblem: FORBIDDEN,
  NotSignedUp: FORBIDDEN,
  UnauthorizedAccess: FORBIDDEN,
  NoSuchBucket: NO_BUCKET,
  InvalidBucketName: [
    'INVALID_INPUT',
    (about) => `"${about.bucket ?? ''}" can't be the name of a bucket`,
    'Use 3 to 63 lower-case letters, digits, dots and hyphens.',
  ],
  NoSuchKey: NOT_THERE,
  NoSuchVersion: NOT_THERE,
  NoSuchUpload: LOST_UPLOAD,
  PermanentRedirect: WRONG_REGION,
  TemporaryRedirect: WRONG_REGION,
  AuthorizationHeaderMalformed: WRONG_REGION,
  IllegalLocationConstraintException: WRONG_REGION,
  InvalidLocationConstraint: [
    'WRONG_REGION',
    () => 'The server has no such region',
    'Check the region in the credential.',
  ],
  IncorrectEndpoint: WRONG_REGION,
  SlowDown: BUSY,
  SlowDownRead: BUSY,
  SlowDownWrite: BUSY,
  Throttling: BUSY,
  ThrottlingException: BUSY,
  TooManyRequests: BUSY,
  RequestLimitExceeded: BUSY,
  ServiceUnavailable: BUSY,
  Busy: BUSY,
  InternalError: FAILED,
  OperationAborted: FAILED,
  ConditionalRequestConflict: ['SERVER_ERROR', (about) => `Another write to ${named(about)} is going on`],
  RequestTimeout: ['TIMEOUT', () => 'The server waited too long for data'],
  BadDigest: BAD_BYTES,
  InvalidDigest: BAD_BYTES,
  XAmzContentSHA256Mismatch: BAD_BYTES,
  XAmzContentChecksumMismatch: BAD_BYTES,
  IncompleteBody: ['CONNECTION_LOST', () => 'The body did not arrive whole'],
  PreconditionFailed: CONDITION,
  InvalidObjectState: ARCHIVED,
  ObjectAlreadyInActiveTierError: ['NOT_SUPPORTED', (about) => `${named(about)} is not archived`],
  GlacierExpeditedRetrievalNotAvailable: [
    'RATE_LIMITED',
    () => 'Expedited restores are not available now',
    'Choose the tier Standard.',
  ],
  KeyTooLongError: TOO_LONG,
  KeyTooLong: TOO_LONG,
  QuotaExceeded: FULL,
  InsufficientQuota: FULL,
  StorageFull: FULL,
  XMinioStorageFull: FULL,
  XMinioAdminBucketQuotaExceeded: FULL,
  EntityTooLarge: ['NOT_SUPPORTED', (about) => `${named(about)} is larger than the server takes`],
  BucketAlreadyExists: TAKEN,
  BucketAlreadyOwnedByYou: [
    'ALREADY_EXISTS',
    (about) => `The bucket "${about.bucket ?? ''}" exists already, and is yours`,
  ],
  TooManyBuckets: FULL,
  NotImplemented: UNSUPPORTED,
  MethodNotAllowed: UNSUPPORTED,
  InvalidStorageClass: [
    'INVALID_INPUT',
    () => 'The server has no such storage class',
    'Choose one the provider offers for this bucket.',
  ],
};

/** The error that `answer` means. */
export function translateAnswer(answer: S3ErrorAnswer, about: ErrorSubject): CloudSyncError {
  const [code, words, advice] = translationOf(answer);
  const field = fieldOf(code, about);
  const retryAfterMs = parseRetryAfter(answer.headers['retry-after'], about.now);
  return new CloudSyncError(code, words(about, answer), {
    httpStatus: answer.status,
    cause: originalOf(answer, about),
    ...(about.key === undefined ? {} : { path: about.key }),
    ...(advice === undefined ? {} : { advice: typeof advice === 'string' ? advice : advice(about) }),
    ...(field === undefined ? {} : { field }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    // A proxy without a password and a web page stay what they are.
    ...(code === 'BAD_ANSWER' || answer.status === 407 ? { retryable: false } : {}),
  });
}

function translationOf(answer: S3ErrorAnswer): Translation {
  if (answer.status === 403 && /\bcap exceeded\b/i.test(answer.message)) return CAPPED;
  if (answer.code === '' && answer.mentionsHttps === true) return PLAIN_HTTP;
  return BY_CODE[answer.code] ?? byStatus(answer);
}

/** The field of the credential that is at fault. */
function fieldOf(code: ErrorCode, about: ErrorSubject): string | undefined {
  if (code === 'WRONG_KEY') return about.keyWords.keyField;
  if (code === 'WRONG_SECRET') return about.keyWords.secretField;
  return code === 'WRONG_REGION' ? 'region' : undefined;
}

function byStatus(answer: S3ErrorAnswer): Translation {
  const { status } = answer;
  if (status === 401) return WRONG_KEY;
  if (status === 403) return FORBIDDEN;
  if (status === 404) return NOT_THERE;
  if (status === 405 || status === 501) return UNSUPPORTED;
  if (status === 407) {
    return [
      'ENDPOINT_UNREACHABLE',
      () => 'The proxy wants a user name and a password',
      'Write them into HTTPS_PROXY: http://user:password@proxy:port.',
    ];
  }
  if (status === 408) return ['TIMEOUT', () => 'The server waited too long for data'];
  if (status === 409 && answer.code === '')
    return ['SERVER_ERROR', () => 'Another request stands in the way'];
  if (status === 412) return CONDITION;
  if (status === 429 || status === 503) return BUSY;
  if (status === 507) return FULL;
  if (status === 301 || status === 307) return WRONG_REGION;
  if (status >= 500) return FAILED;
  if (answer.code === '') {
    return [
      'BAD_ANSWER',
      () => `The server answers ${status}, not as an S3 server does`,
      'Check that the endpoint is the S3 address of the server, not its web page.',
    ];
  }
  return [
    'INVALID_INPUT',
    (about) => `The server refuses to ${about.action}: ${answer.code}: ${clean(answer.message, about)}`,
  ];
}

/** The provider's own words, without anything secret. */
function originalOf(answer: S3ErrorAnswer, about: ErrorSubject): Error {
  const id = answer.headers['x-amz-request-id'];
  const text = clean(answer.message, about);
  return new Error(
    `HTTP ${answer.status} ${answer.code}: ${text}${id === undefined ? '' : ` (request ${id})`}`,
  );
}

function clean(text: string, about: ErrorSubject): string {
  let cleaned = text;
  for (const secret of about.secrets) if (secret !== '') cleaned = cleaned.replaceAll(secret, '***');
  return cleaned.slice(0, 500);
}

function named(about: ErrorSubject): string {
  return about.key === undefined ? 'The object' : `"${about.key}"`;
}

function placeOf(about: ErrorSubject): string {
  if (about.bucket === undefined || about.bucket === '') return '';
  return about.key === undefined
    ? ` in the bucket "${about.bucket}"`
    : `: "${about.key}" in the bucket "${about.bucket}"`;
}
