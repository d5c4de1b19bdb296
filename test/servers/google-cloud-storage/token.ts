/**
 * The token endpoint: assertions in, access tokens out.
 * https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests
 */

import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, verify } from 'node:crypto';

const GOOGLE_AUDIENCE = 'https://oauth2.googleapis.com/token';
/** Clocks may differ by so much. s. */
const SKEW = 300;
const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
/** Each allows all that the store does, objects.patch among it: https://cloud.google.com/storage/docs/oauth-scopes */
const SCOPES = [
  'https://www.googleapis.com/auth/devstorage.full_control',
  'https://www.googleapis.com/auth/cloud-platform',
];
const READ_WRITE = 'https://www.googleapis.com/auth/devstorage.read_write';
const IGNORED = ['https://www.googleapis.com/auth/iam'];

export interface ServiceAccount {
  email: string;
  keyId: string;
  publicKey: KeyObject;
  isDeleted?: boolean;
}

export interface AccessToken {
  email: string;
  /** ms since the epoch, by the server's clock. */
  expiresAt: number;
  /** devstorage.full_control or better; else devstorage.read_write. */
  isFull: boolean;
}

export interface TokenAnswer {
  status: number;
  body: Record<string, unknown>;
}

/** A key as Google's console makes it. */
export function makeServiceAccount(
  projectId: string,
  tokenUri: string,
): { account: ServiceAccount; key: Record<string, string> } {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const email = `backup@${projectId}.iam.gserviceaccount.com`;
  const keyId = randomBytes(20).toString('hex');
  return {
    account: { email, keyId, publicKey: createPublicKey(publicKey.export({ type: 'spki', format: 'pem' })) },
    key: {
      type: 'service_account',
      project_id: projectId,
      private_key_id: keyId,
      private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      client_email: email,
      client_id: '100000000000000000001',
      auth_uri: 'https://accounts.google.com/o/oauth2/auth',
      token_uri: tokenUri,
      universe_domain: 'googleapis.com',
    },
  };
}

export class TokenService {
  readonly tokens = new Map<string, AccessToken>();
  /** s */
  lifetime = 3600;

  constructor(
    private readonly accounts: readonly ServiceAccount[],
    private readonly audience: () => string,
    private readonly now: () => number,
  ) {}

  exchange(form: URLSearchParams): TokenAnswer {
    if (form.get('grant_type') !== GRANT_TYPE) {
      return refuse('unsupported_grant_type', `Invalid grant_type: ${form.get('grant_type') ?? ''}`);
    }
    for (const name of form.keys()) {
      if (name !== 'grant_type' && name !== 'assertion') return refuse('invalid_request', `Unknown: ${name}`);
    }
    const parts = (form.get('assertion') ?? '').split('.');
    const header = decode(parts[0]);
    const claims = decode(parts[1]);
    if (parts.length !== 3 || header === undefined || claims === undefined) {
      return refuse('invalid_grant', 'Invalid JWT: Failed to decode.');
    }
    const account = this.accounts.find(({ email }) => email === claims.iss);
    if (account === undefined || account.isDeleted === true) {
      return refuse('invalid_grant', 'Invalid grant: account not found');
    }
    if (header.alg !== 'RS256') return refuse('invalid_grant', 'Invalid JWT Signature.');
    const isSigned = verify(
      'sha256',
      Buffer.from(`${parts[0]}.${parts[1]}`),
      account.publicKey,
      Buffer.from(parts[2]!, 'base64url'),
    );
    if (!isSigned || (header.kid !== undefined && header.kid !== account.keyId)) {
      return refuse('invalid_grant', 'Invalid JWT Signature.');
    }
    return this.#grant(account, claims);
  }

  #grant(account: ServiceAccount, claims: Record<string, unknown>): TokenAnswer {
    // Google's Node.js library signs for Google's own address, whatever the key says.
    if (claims.aud !== this.audience() && claims.aud !== GOOGLE_AUDIENCE) {
      return refuse('invalid_grant', 'Invalid JWT: Failed audience check.');
    }
    const now = this.now() / 1000;
    const { iat, exp } = claims;
    const isTimely =
      typeof iat === 'number' &&
      typeof exp === 'number' &&
      iat <= now + SKEW &&
      exp > now - SKEW &&
      exp > iat &&
      exp - iat <= 3600;
    if (!isTimely) {
      return refuse(
        'invalid_grant',
        'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.',
      );
    }
    const scopes = String(claims.scope ?? '')
      .split(' ')
      .filter((scope) => scope !== '' && !IGNORED.includes(scope));
    if (scopes.length === 0 || !scopes.every((scope) => SCOPES.includes(scope) || scope === READ_WRITE)) {
      return refuse('invalid_scope', 'Invalid OAuth scope or ID token audience provided.');
    }
    const token = `ya29.${randomBytes(48).toString('base64url')}`;
    this.tokens.set(token, {
      email: account.email,
      expiresAt: this.now() + this.lifetime * 1000,
      isFull: scopes.some((scope) => SCOPES.includes(scope)),
    });
    return {
      status: 200,
      body: { access_token: token, expires_in: this.lifetime, token_type: 'Bearer' },
    };
  }
}

function refuse(error: string, description: string): TokenAnswer {
  return { status: 400, body: { error, error_description: description } };
}

function decode(part: string | undefined): Record<string, unknown> | undefined {
  try {
    return JSON.parse(Buffer.from(part ?? '', 'base64url').toString()) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
