/**
 * What Azure's words mean. https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes and
 * common-rest-api-error-codes.
 */

import { CloudSyncError, type ErrorCode, type ErrorDetails } from '../../errors.js';
import { parseRetryAfter } from '../http.js';
import { type AzureCredential, sasExpiry } from './credential.js';

/** What an error is about. */
export interface ErrorSubject {
  accountName: string;
  /** Container, where one was asked for. */
  bucket?: string;
  key?: string;
  usesSas: boolean;
  /** When the SAS ends, ms since the epoch, where it says so itself. */
  sasExpiry?: number;
}

export function errorSubject(
  credential: AzureCredential,
  bucket: string | undefined,
  key: string | undefined,
): ErrorSubject {
  const subject: ErrorSubject = {
    accountName: credential.accountName,
    usesSas: credential.sas !== undefined,
  };
  if (bucket !== undefined) subject.bucket = bucket;
  if (key !== undefined) subject.key = key;
  const expiry = sasExpiry(credential);
  if (expiry !== undefined) subject.sasExpiry = expiry;
  return subject;
}

/** An answer that says no. */
export interface FailedAnswer {
  status: number;
  headers: Readonly<Record<string, string | undefined>>;
  body: string;
  /** ms between this machine's clock and the server's; positive where ours is behind. */
  clockOffsetMs?: number;
}

/** The original error of an answer: what the service said, without anything secret in it. */
export class AzureAnswerError extends Error {
  constructor(
    readonly status: number,
    readonly azureCode: string,
    message: string,
    readonly requestId: string | undefined,
  ) {
    super(message);
    this.name = 'AzureAnswerError';
  }
}

/** What the service calls this error (`BlobNotFound`), '' where it isn't an answer of the service. */
export function azureCodeOf(error: unknown): string {
  const cause = error instanceof CloudSyncError ? error.cause : undefined;
  return cause instanceof AzureAnswerError ? cause.azureCode : '';
}

/** Takes signatures out of anything that may be shown: SAS parameters, Authorization values, signed strings. */
export function withoutSecrets(text: string): string {
  return text
    .replace(/([?&;\s]|&amp;|^)(sig|skoid|se|st|sp|spr|sip|srt|ss|sr|sv|si)=[^&\s"'<>]*/gi, '$1$2=…')
    .replace(/(SharedKey(?:Lite)?\s+[^:\s]+:)[A-Za-z0-9+/=]+/g, '$1…')
    .replace(/MAC signature found in the HTTP request '[^']*'/g, 'signature of the request')
    .replace(/(?:Server used following )?string to sign:?[\s\S]*/i, '')
    .trim();
}

type Meaning = [code: ErrorCode, message: string, advice?: string, field?: string];

/** The service's code -> meaning. `%b` stands for the container, `%k` for the blob, `%a` for the account. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  ContainerNotFound: [
    'BUCKET_NOT_FOUND',
    'There is no container "%b" in the storage account "%a"',
    'Check its spelling, or create it.',
  ],
  ContainerBeingDeleted: [
    'BUCKET_NOT_FOUND',
    'The container "%b" is being deleted',
    'Wait some minutes before it is created again, or choose another one.',
  ],
  ContainerDisabled: ['BUCKET_NOT_FOUND', 'The container "%b" is disabled', 'Ask who manages the account.'],
  ContainerAlreadyExists: ['ALREADY_EXISTS', 'There is a container "%b" already'],
  BlobNotFound: ['NOT_FOUND', 'There is no blob "%k"'],
  ResourceNotFound: ['NOT_FOUND', 'There is no blob "%k"'],
  CannotVerifyCopySource: ['NOT_FOUND', 'The blob to copy is not there or may not be read'],
  BlobAlreadyExists: ['PRECONDITION_FAILED', 'There is a blob "%k" already'],
  ConditionNotMet: ['PRECONDITION_FAILED', 'The blob "%k" is another one than when it was looked at'],
  TargetConditionNotMet: ['PRECONDITION_FAILED', 'The blob "%k" is another one than when it was looked at'],
  SourceConditionNotMet: ['CHANGED', 'The blob to copy is another one than when it was looked at'],
  Md5Mismatch: ['CHECKSUM_MISMATCH', 'The bytes that arrived for "%k" are not those that were sent'],
  Crc64Mismatch: ['CHECKSUM_MISMATCH', 'The bytes that arrived for "%k" are not those that were sent'],
  BlobArchived: [
    'ARCHIVED',
    'The blob "%k" is in the archive tier',
    'Bring it back to an online tier first ("thaw" of the restore); this takes up to 15 hours.',
  ],
  BlobBeingRehydrated: [
    'ARCHIVED',
    'The blob "%k" is on its way back from the archive tier',
    'Wait until that is finished; it takes up to 15 hours.',
  ],
  BlobImmutableDueToPolicy: [
    'NO_PERMISSION',
    'An immutability policy or legal hold protects the blob "%k"',
    'It can be changed or deleted when the policy has run out.',
  ],
  LeaseIdMissing: [
    'NO_PERMISSION',
    'Another program holds a lease on the blob "%k"',
    'Break the lease in the Azure portal, or wait until it ends.',
  ],
  LeaseAlreadyPresent: ['NO_PERMISSION', 'Another program holds a lease on the blob "%k"'],
  AuthorizationPermissionMismatch: [
    'NO_PERMISSION',
    'The credential may not do this (%o)',
    'Give the SAS token the permissions read, write, list and delete, or use the account key.',
  ],
  AuthorizationFailure: [
    'NO_PERMISSION',
    'The storage account "%a" does not allow this request (%o)',
    'Check the permissions of the SAS token or the account key, and the firewall of the storage account.',
  ],
  AuthorizationServiceMismatch: [
    'NO_PERMISSION',
    'The SAS token is not for blobs',
    'Create one with the service "Blob".',
    'sasToken',
  ],
  AuthorizationResourceTypeMismatch: [
    'NO_PERMISSION',
    'The SAS token does not reach this kind of resource (%o)',
    'Create one with the resource types "Container" and "Object".',
    'sasToken',
  ],
  AuthorizationProtocolMismatch: [
    'NO_PERMISSION',
    'The SAS token is for https alone',
    'Use an endpoint that begins with https.',
    'endpoint',
  ],
  AuthorizationSourceIPMismatch: [
    'NO_PERMISSION',
    'The SAS token is not for the address of this machine',
    'Create one without an address range, or with this one in it.',
    'sasToken',
  ],
  InsufficientAccountPermissions: ['NO_PERMISSION', 'The storage account "%a" does not allow this'],
  UnauthorizedBlobOverwrite: ['NO_PERMISSION', 'The credential may create blobs, but not replace "%k"'],
  KeyBasedAuthenticationNotPermitted: [
    'NO_PERMISSION',
    'The storage account "%a" does not accept account keys',
    'Switch on "Allow storage account key access" in its configuration.',
  ],
  AccountIsDisabled: ['NO_PERMISSION', 'The storage account "%a" is disabled', 'Ask who pays for it.'],
  AccountNotFound: [
    'WRONG_KEY',
    'There is no storage account "%a" here',
    'Check how the account name is written.',
    'accountName',
  ],
  InvalidResourceName: ['INVALID_NAME', 'Azure does not take this name'],
  OutOfRangeInput: ['INVALID_NAME', 'Azure does not take this name'],
  InvalidUri: ['INVALID_NAME', 'Azure does not take this name'],
  RequestUriTooLarge: ['NAME_TOO_LONG', 'The name "%k" is too long for Azure'],
  ServerBusy: ['RATE_LIMITED', 'Azure asks to go slower'],
  TooManyRequests: ['RATE_LIMITED', 'Azure asks to go slower'],
  AccountLimitExceeded: ['QUOTA_EXCEEDED', 'The storage account "%a" is full'],
  QuotaExceeded: ['QUOTA_EXCEEDED', 'The storage account "%a" is full'],
  InsufficientStorage: ['QUOTA_EXCEEDED', 'The storage account "%a" is full'],
  BlockCountExceedsLimit: [
    'INVALID_INPUT',
    'The file needs too many blocks',
    'Raise the chunk size.',
    'chunkSize',
  ],
  OperationTimedOut: ['SERVER_ERROR', 'Azure could not finish in time'],
  InternalError: ['SERVER_ERROR', 'Azure failed on its side'],
  FeatureNotSupportedByAccount: ['NOT_SUPPORTED', 'The storage account "%a" cannot do this (%o)'],
};

/** The error that `answer` means. */
export function errorFromAnswer(answer: FailedAnswer, subject: ErrorSubject): CloudSyncError {
  const azureCode = answer.headers['x-ms-error-code'] ?? element(answer.body, 'Code') ?? '';
  const said = withoutSecrets((element(answer.body, 'Message') ?? '').split(/\n|RequestId:/)[0]!.trim());
  const detail = element(answer.body, 'AuthenticationErrorDetail') ?? '';
  const details: ErrorDetails = {
    path: subject.key,
    httpStatus: answer.status,
    cause: new AzureAnswerError(
      answer.status,
      azureCode,
      `${answer.status} ${azureCode}${said === '' ? '' : `: ${said}`}`,
      answer.headers['x-ms-request-id'],
    ),
    retryAfterMs: parseRetryAfter(answer.headers['retry-after'], Date.now() + (answer.clockOffsetMs ?? 0)),
  };
  if (isAuthenticationFailure(answer.status, azureCode, said)) {
    return authenticationError(answer, subject, detail, said, details);
  }
  if (azureCode === 'InvalidHeaderValue' && /x-ms-access-tier/.test(answer.body)) {
    return new CloudSyncError('INVALID_INPUT', 'Azure does not know this access tier', {
      ...details,
      field: 'storageClass',
      advice: 'Choose Hot, Cool, Cold or Archive.',
    });
  }
  // A container that is missing has a code of its own.
  const isAccountMissing = azureCode === 'ResourceNotFound' && subject.key === undefined;
  const isGeneral = subject.bucket === undefined && answer.status === 404;
  const known = isGeneral ? undefined : MEANINGS[isAccountMissing ? 'AccountNotFound' : azureCode];
  const meaning = known ?? meaningOfStatus(answer.status, subject);
  const [code, message, advice, field] = meaning;
  const words = message
    .replaceAll('%b', subject.bucket ?? '')
    .replaceAll('%k', subject.key ?? '')
    .replaceAll('%a', subject.accountName)
    .replaceAll('%o', said === '' ? azureCode : said);
  const suffix = azureCode in MEANINGS || said === '' ? '' : `: ${said}`;
  // A request that Azure doesn't understand won't be understood the next time.
  const retryable = code === 'BAD_ANSWER' && answer.status < 500 ? false : undefined;
  return new CloudSyncError(code, words + suffix, { ...details, advice, field, retryable });
}

/** Azurite calls a wrong signature AuthorizationFailure, which in Azure means a firewall or a missing permission. */
function isAuthenticationFailure(status: number, azureCode: string, said: string): boolean {
  if (status === 401 || azureCode === 'AuthenticationFailed' || azureCode === 'InvalidAuthenticationInfo')
    return true;
  return azureCode === 'AuthorizationFailure' && said.includes('failed to authenticate');
}

function meaningOfStatus(status: number, subject: ErrorSubject): Meaning {
  if (status === 404) {
    if (subject.bucket === undefined) return MEANINGS.AccountNotFound!;
    return subject.key === undefined ? MEANINGS.ContainerNotFound! : MEANINGS.BlobNotFound!;
  }
  if (status === 403) return ['NO_PERMISSION', 'Azure does not allow this request'];
  if (status === 412) return MEANINGS.ConditionNotMet!;
  if (status === 429 || status === 503) return MEANINGS.ServerBusy!;
  if (status === 408) return MEANINGS.OperationTimedOut!;
  if (status === 507) return MEANINGS.QuotaExceeded!;
  if (status >= 500) return ['SERVER_ERROR', `Azure failed on its side (${status})`];
  if (status < 400) return ['BAD_ANSWER', `The server answers with status ${status}, which Azure does not`];
  return ['BAD_ANSWER', `Azure does not take the request (${status})`];
}

/** Wrong key, wrong SAS, a SAS that ran out, or a clock that is off. */
function authenticationError(
  answer: FailedAnswer,
  subject: ErrorSubject,
  detail: string,
  said: string,
  details: ErrorDetails,
): CloudSyncError {
  const offset = answer.clockOffsetMs ?? 0;
  if (subject.usesSas) return sasError(detail, details, subject.sasExpiry, Date.now() + offset);
  // Requests are refused when they are more than 15 minutes old.
  if (/date header|too old|x-ms-date/i.test(detail) || Math.abs(offset) > 14 * 60_000) {
    const minutes = Math.round(Math.abs(offset) / 60_000);
    const direction = offset > 0 ? 'behind' : 'ahead of';
    return new CloudSyncError(
      'CLOCK_SKEW',
      `The clock of this machine is ${minutes} minutes ${direction} Azure's`,
      { ...details, advice: 'Set the clock, or switch on its synchronisation (NTP).' },
    );
  }
  if (said !== '' && !/correctly|authenticat/i.test(said)) {
    return new CloudSyncError('WRONG_SECRET', `Azure refuses the account key: ${said}`, {
      ...details,
      field: 'accountKey',
    });
  }
  return new CloudSyncError(
    'WRONG_SECRET',
    `The account key does not fit the storage account "${subject.accountName}"`,
    {
      ...details,
      field: 'accountKey',
      advice: 'Copy key1 or key2 again from "Access keys" of this storage account; it may have been rotated.',
    },
  );
}

/** Azure names the times of a token that isn't valid now; where it doesn't, the token's own end tells. */
function sasError(
  detail: string,
  details: ErrorDetails,
  expiry: number | undefined,
  now: number,
): CloudSyncError {
  // "Signature not valid in the specified time frame: Start [...] - Expiry [...] - Current [...]"
  const frame = /Expiry \[([^\]]+)\] - Current \[([^\]]+)\]/i.exec(detail);
  const end = frame === null ? expiry : Date.parse(frame[1]!);
  const current = frame === null ? now : Date.parse(frame[2]!);
  if (end !== undefined && end <= current) {
    return new CloudSyncError(
      'CREDENTIAL_EXPIRED',
      `The SAS token ran out at ${new Date(end).toISOString()}`,
      {
        ...details,
        field: 'sasToken',
        advice: 'Create a new one and save it in the credential.',
      },
    );
  }
  if (frame !== null) {
    return new CloudSyncError('CREDENTIAL_EXPIRED', 'The SAS token is not valid yet', {
      ...details,
      field: 'sasToken',
      advice: 'Wait, or create one with an earlier start time.',
    });
  }
  return new CloudSyncError('WRONG_SECRET', 'Azure does not accept the SAS token', {
    ...details,
    field: 'sasToken',
    advice: 'Copy the whole token again; it is void once the key it was made with was rotated.',
  });
}

/** What the network's error means here: the account's name is part of the address. */
export function explainUnreachable(error: CloudSyncError, accountName: string, host: string): CloudSyncError {
  if (error.code !== 'ENDPOINT_UNREACHABLE' || !error.message.includes('resolved')) return error;
  return new CloudSyncError(
    'ENDPOINT_UNREACHABLE',
    `There is no storage account "${accountName}", or the network is down: the name ${host} can't be resolved`,
    {
      cause: error.cause,
      field: 'accountName',
      advice: 'Check how the account (and the endpoint) is written, and the network and DNS of this machine.',
    },
  );
}

function element(xml: string, name: string): string | undefined {
  const start = xml.indexOf(`<${name}>`);
  const end = xml.indexOf(`</${name}>`, start);
  return start === -1 || end === -1 ? undefined : xml.slice(start + name.length + 2, end);
}
