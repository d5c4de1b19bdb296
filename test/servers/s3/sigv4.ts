import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Credential } from './credentials.js';
import { canonicalQuery, header, type S3Request } from './request.js';
import { invalidArgument, type S3Error, s3Error } from './s3-error.js';

/**
 * Signature Version 4 as S3 wants it: "Authenticating Requests: Using the Authorization Header" and "... Using Query
 * Parameters" of the S3 API reference.
 */

const ALGORITHM = 'AWS4-HMAC-SHA256';
const MAX_SKEW = 15 * 60 * 1000;
const MAX_EXPIRES = 7 * 24 * 3600;

/** What a request turned out to be signed with. */
export interface Signed {
  credential: Credential;
  signingKey: Buffer;
  /** Hex. */
  signature: string;
  /** `20260728T100000Z` */
  date: string;
  scope: string;
  /** `x-amz-content-sha256`, or UNSIGNED-PAYLOAD for presigned requests. */
  payload: string;
}

export const PAYLOADS = [
  'UNSIGNED-PAYLOAD',
  'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
];

export interface SigningRules {
  credentials: ReadonlyMap<string, Credential>;
  /** Region this request has to be signed for. */
  region: string;
  /** ms since the epoch. */
  now: number;
}

interface Claim {
  presigned: boolean;
  accessKeyId: string;
  /** day, region, service, `aws4_request` */
  scope: readonly [string, string, string, string];
  signedHeaders: string[];
  signature: string;
  date: string;
}

/** Checks the signature; throws what S3 would answer. */
export function verifySignature(request: S3Request, rules: SigningRules): Signed {
  const claim =
    header(request, 'authorization') === undefined ? claimOfQuery(request) : claimOfHeader(request);
  const time = parseAmzDate(claim.date);
  if (time === undefined) {
    throw s3Error('AccessDenied', {
      message: 'AWS authentication requires a valid Date or x-amz-date header',
    });
  }
  checkScope(claim, rules);
  const payload = payloadHash(request, claim.presigned);
  const credential = rules.credentials.get(claim.accessKeyId);
  if (credential === undefined) {
    throw s3Error('InvalidAccessKeyId', { details: { AWSAccessKeyId: claim.accessKeyId } });
  }
  checkTime(request, claim, time, rules.now);
  checkToken(request, claim, credential, rules.now);
  refuseUnsigned(request, claim.signedHeaders);

  const canonical = canonicalRequest(request, claim, payload);
  const scope = claim.scope.join('/');
  const canonicalHash = createHash('sha256').update(canonical, 'latin1').digest('hex');
  const stringToSign = `${ALGORITHM}\n${claim.date}\n${scope}\n${canonicalHash}`;
  const signingKey = deriveKey(credential.secretAccessKey, claim.scope);
  const expected = createHmac('sha256', signingKey).update(stringToSign).digest('hex');
  if (!sameSignature(expected, claim.signature)) {
    throw s3Error('SignatureDoesNotMatch', {
      details: {
        AWSAccessKeyId: claim.accessKeyId,
        StringToSign: stringToSign,
        SignatureProvided: claim.signature,
        CanonicalRequest: canonical,
      },
    });
  }
  return { credential, signingKey, signature: claim.signature, date: claim.date, scope, payload };
}

export function sameSignature(expected: string, given: string): boolean {
  return expected.length === given.length && timingSafeEqual(Buffer.from(expected), Buffer.from(given));
}

function claimOfHeader(request: S3Request): Claim {
  const text = header(request, 'authorization') as string;
  if (request.query.has('X-Amz-Signature')) {
    throw s3Error('InvalidArgument', { message: 'Only one auth mechanism allowed' });
  }
  if (!text.startsWith(`${ALGORITHM} `)) {
    // Version 2 and all that never existed.
    throw s3Error('InvalidRequest', {
      message: 'The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.',
    });
  }
  const fields = new Map<string, string>();
  for (const field of text.slice(ALGORITHM.length + 1).split(',')) {
    const equals = field.indexOf('=');
    fields.set(field.slice(0, equals).trim(), field.slice(equals + 1).trim());
  }
  const [credential, signedHeaders, signature] = ['Credential', 'SignedHeaders', 'Signature'].map((name) =>
    fields.get(name),
  );
  if (fields.size !== 3 || !credential || !signedHeaders || !signature)
    throw s3Error('AuthorizationHeaderMalformed');
  return {
    presigned: false,
    ...parseCredential(credential, () => s3Error('AuthorizationHeaderMalformed')),
    signedHeaders: signedHeaders.split(';'),
    signature,
    date: header(request, 'x-amz-date') ?? amzDateOf(header(request, 'date')),
  };
}

function claimOfQuery(request: S3Request): Claim {
  const get = (name: string) => request.query.get(`X-Amz-${name}`);
  if (get('Algorithm') === undefined) throw s3Error('AccessDenied');
  const malformed = (message: string) => s3Error('AuthorizationQueryParametersError', { message });
  const [credential, signedHeaders, signature, date] = [
    get('Credential'),
    get('SignedHeaders'),
    get('Signature'),
    get('Date'),
  ];
  const expires = get('Expires');
  if (get('Algorithm') !== ALGORITHM) throw malformed('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"');
  if (!credential || !signedHeaders || !signature || !date || expires === undefined) {
    throw malformed(
      'Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.',
    );
  }
  if (!/^\d+$/.test(expires)) throw malformed('X-Amz-Expires should be a number');
  if (Number(expires) > MAX_EXPIRES) {
    throw malformed(
      'X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds',
    );
  }
  return {
    presigned: true,
    ...parseCredential(credential, () => malformed('Error parsing the X-Amz-Credential parameter')),
    signedHeaders: signedHeaders.split(';'),
    signature,
    date,
  };
}

function parseCredential(text: string, malformed: () => S3Error): Pick<Claim, 'accessKeyId' | 'scope'> {
  const parts = text.split('/');
  if (parts.length < 5) throw malformed();
  const [day, region, service, end] = parts.slice(-4) as [string, string, string, string];
  return { accessKeyId: parts.slice(0, -4).join('/'), scope: [day, region, service, end] };
}

function checkScope(claim: Claim, rules: SigningRules): void {
  const [day, region, service, end] = claim.scope;
  const code = claim.presigned ? 'AuthorizationQueryParametersError' : 'AuthorizationHeaderMalformed';
  const where = claim.presigned
    ? 'Error parsing the X-Amz-Credential parameter'
    : 'The authorization header is malformed';
  if (service !== 's3')
    throw s3Error(code, {
      message: `${where}; incorrect service "${service}". This endpoint belongs to "s3".`,
    });
  if (end !== 'aws4_request')
    throw s3Error(code, {
      message: `${where}; incorrect terminal "${end}". This endpoint uses "aws4_request".`,
    });
  if (day !== claim.date.slice(0, 8))
    throw s3Error(code, { message: `${where}; Invalid credential date "${day}".` });
  if (region !== rules.region) {
    throw s3Error(code, {
      message: `${where}; the region '${region}' is wrong; expecting '${rules.region}'`,
      details: { Region: rules.region },
      headers: { 'x-amz-bucket-region': rules.region },
    });
  }
}

function checkTime(request: S3Request, claim: Claim, time: number, now: number): void {
  if (claim.presigned) {
    const expires = Number(request.query.get('X-Amz-Expires'));
    if (time > now + MAX_SKEW) throw s3Error('AccessDenied', { message: 'Request is not yet valid' });
    if (now > time + expires * 1000) {
      throw s3Error('AccessDenied', {
        message: 'Request has expired',
        details: { 'X-Amz-Expires': expires },
      });
    }
  } else if (Math.abs(now - time) > MAX_SKEW) {
    throw s3Error('RequestTimeTooSkewed', {
      details: {
        RequestTime: claim.date,
        ServerTime: new Date(now).toISOString(),
        MaxAllowedSkewMilliseconds: MAX_SKEW,
      },
    });
  }
}

function checkToken(request: S3Request, claim: Claim, credential: Credential, now: number): void {
  const token = claim.presigned
    ? request.query.get('X-Amz-Security-Token')
    : header(request, 'x-amz-security-token');
  if (credential.expiresAt !== undefined && now >= credential.expiresAt) {
    throw s3Error('ExpiredToken', token === undefined ? {} : { details: { 'Token-0': token } });
  }
  if (token === credential.sessionToken) return;
  // A temporary key without its token isn't known at all.
  if (token === undefined)
    throw s3Error('InvalidAccessKeyId', { details: { AWSAccessKeyId: claim.accessKeyId } });
  throw s3Error('InvalidToken', { details: { 'Token-0': token } });
}

/** "Host header and all x-amz-* headers must be signed." */
function refuseUnsigned(request: S3Request, signedHeaders: readonly string[]): void {
  const missing: string[] = [];
  for (const name in request.incoming.headers) {
    if ((name === 'host' || name.startsWith('x-amz-')) && !signedHeaders.includes(name)) missing.push(name);
  }
  if (missing.length > 0) {
    throw s3Error('AccessDenied', {
      message: 'There were headers present in the request which were not signed',
      details: { HeadersNotSigned: missing.join(', ') },
    });
  }
}

function payloadHash(request: S3Request, presigned: boolean): string {
  const name = 'x-amz-content-sha256';
  const given = header(request, name) ?? request.query.get('X-Amz-Content-Sha256');
  if (given === undefined) {
    if (presigned) return 'UNSIGNED-PAYLOAD';
    throw s3Error('InvalidRequest', { message: `Missing required header for this request: ${name}` });
  }
  if (!PAYLOADS.includes(given) && !/^[0-9a-f]{64}$/.test(given)) {
    throw invalidArgument(
      name,
      given,
      `${name} must be UNSIGNED-PAYLOAD, ${PAYLOADS.slice(1).join(', ')} or a valid sha256 value.`,
    );
  }
  return given;
}

function canonicalRequest(request: S3Request, claim: Claim, payload: string): string {
  const { headers } = request.incoming;
  let lines = '';
  let last = '';
  for (const name of claim.signedHeaders) {
    const value = headers[name];
    if (name <= last || value === undefined) {
      throw s3Error('SignatureDoesNotMatch', { details: { SignedHeaders: claim.signedHeaders.join(';') } });
    }
    last = name;
    // Node joins repeated headers with ', ', the canonical form with ','; none of those signed here is repeated.
    const text = typeof value === 'string' ? value : value.join(',');
    lines += `${name}:${text.trim().replace(/ {2,}/g, ' ')}\n`;
  }
  const query = canonicalQuery(request.query, claim.presigned ? 'X-Amz-Signature' : undefined);
  return `${request.method}\n${request.canonicalPath}\n${query}\n${lines}\n${claim.signedHeaders.join(';')}\n${payload}`;
}

const keys = new Map<string, Buffer>();

function deriveKey(secret: string, scope: readonly [string, string, string, string]): Buffer {
  const id = `${secret}\n${scope.join('/')}`;
  let key = keys.get(id);
  if (key === undefined) {
    key = Buffer.from(`AWS4${secret}`);
    for (const part of scope) key = createHmac('sha256', key).update(part).digest();
    if (keys.size > 100) keys.clear();
    keys.set(id, key);
  }
  return key;
}

function parseAmzDate(text: string): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

function amzDateOf(httpDate: string | undefined): string {
  const time = httpDate === undefined ? Number.NaN : Date.parse(httpDate);
  return Number.isNaN(time) ? '' : `${new Date(time).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
}
