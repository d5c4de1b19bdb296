/**
 * Signing in and renewing tokens. https://www.dropbox.com/developers/documentation/http/documentation#authorization and
 * https://developers.dropbox.com/oauth-guide
 */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** Access tokens "expire after a short period of time": `expires_in` 14400. */
const TOKEN_SECONDS = 14_400;

export interface App {
  appKey: string;
  /** Undefined: known to nobody; then codes have to come with their verifier. */
  appSecret: string;
}

interface Code {
  challenge?: string;
  redirectUri?: string;
  isOffline: boolean;
}

export interface TokenAnswer {
  status: number;
  body: Record<string, unknown>;
}

export class Authorization {
  private readonly codes = new Map<string, Code>();
  /** Access token -> when it ends, ms. */
  private readonly accessTokens = new Map<string, number>();
  /** Refresh tokens, and whether their app proves itself by PKCE (then without its secret). */
  private readonly refreshTokens = new Map<string, { byPkce: boolean }>();
  /** Scopes of the app. */
  readonly scopes = new Set([
    'account_info.read',
    'files.metadata.read',
    'files.content.read',
    'files.content.write',
  ]);

  constructor(
    readonly app: App,
    private readonly now: () => number,
  ) {}

  newAccessToken(seconds = TOKEN_SECONDS): string {
    const token = `sl.${randomBytes(24).toString('base64url')}`;
    this.accessTokens.set(token, this.now() + seconds * 1000);
    return token;
  }

  newRefreshToken(byPkce: boolean): string {
    const token = randomBytes(32).toString('base64url');
    this.refreshTokens.set(token, { byPkce });
    return token;
  }

  revokeRefreshToken(token: string): void {
    this.refreshTokens.delete(token);
  }

  expireAccessTokens(): void {
    for (const token of this.accessTokens.keys()) this.accessTokens.set(token, 0);
  }

  stateOf(token: string): 'valid' | 'expired' | 'unknown' {
    const end = this.accessTokens.get(token);
    if (end === undefined) return 'unknown';
    return end > this.now() ? 'valid' : 'expired';
  }

  /** What the page at /oauth2/authorize leads to once a user agrees: a code. Undefined where the address is wrong. */
  authorize(query: URLSearchParams): { code: string; redirect?: string } | undefined {
    const redirectUri = query.get('redirect_uri') ?? undefined;
    const method = query.get('code_challenge_method');
    if (query.get('client_id') !== this.app.appKey || query.get('response_type') !== 'code') return undefined;
    if (query.has('code_challenge') && method !== 'S256' && method !== 'plain') return undefined;
    const code = randomBytes(16).toString('base64url');
    this.codes.set(code, {
      isOffline: query.get('token_access_type') === 'offline',
      ...(query.has('code_challenge') ? { challenge: query.get('code_challenge')! } : {}),
      ...(redirectUri === undefined ? {} : { redirectUri }),
    });
    if (redirectUri === undefined) return { code };
    const redirect = new URL(redirectUri);
    redirect.searchParams.set('code', code);
    if (query.has('state')) redirect.searchParams.set('state', query.get('state')!);
    return { code, redirect: redirect.href };
  }

  /** POST /oauth2/token. */
  token(form: URLSearchParams, authorization: string | undefined): TokenAnswer {
    const basic = /^Basic (.+)$/.exec(authorization ?? '');
    const [user = '', password = ''] = basic
      ? Buffer.from(basic[1]!, 'base64').toString().split(':')
      : [form.get('client_id') ?? '', form.get('client_secret') ?? ''];
    const knows = equal(password, this.app.appSecret);
    if (user !== this.app.appKey || (password !== '' && !knows)) {
      return refused('invalid_client', 'Invalid client_id or client_secret');
    }
    switch (form.get('grant_type')) {
      case 'refresh_token':
        return this.refresh(form.get('refresh_token') ?? '', knows);
      case 'authorization_code':
        return this.exchange(form, knows);
      default:
        return refused(
          'unsupported_grant_type',
          'grant_type must be "authorization_code" or "refresh_token"',
        );
    }
  }

  private refresh(token: string, knowsSecret: boolean): TokenAnswer {
    const known = this.refreshTokens.get(token);
    if (known === undefined) return refused('invalid_grant', 'refresh token is invalid or revoked');
    if (!known.byPkce && !knowsSecret) return refused('invalid_client', 'Invalid client_id or client_secret');
    return this.tokens();
  }

  private exchange(form: URLSearchParams, knowsSecret: boolean): TokenAnswer {
    const code = this.codes.get(form.get('code') ?? '');
    if (code === undefined) return refused('invalid_grant', "code doesn't exist or has expired");
    this.codes.delete(form.get('code')!);
    if ((form.get('redirect_uri') ?? undefined) !== code.redirectUri) {
      return refused('invalid_grant', 'redirect_uri mismatch');
    }
    const verifier = form.get('code_verifier') ?? '';
    if (code.challenge === undefined) {
      if (!knowsSecret) return refused('invalid_client', 'Invalid client_id or client_secret');
    } else {
      // RFC 7636, 4.1: 43 to 128 unreserved characters.
      const isWellFormed = /^[A-Za-z0-9\-._~]{43,128}$/.test(verifier);
      const challenge = createHash('sha256').update(verifier).digest('base64url');
      if (!isWellFormed || challenge !== code.challenge) {
        return refused('invalid_grant', 'invalid code verifier');
      }
    }
    const answer = this.tokens();
    if (code.isOffline) answer.body.refresh_token = this.newRefreshToken(code.challenge !== undefined);
    Object.assign(answer.body, { uid: '12345', account_id: 'dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc' });
    return answer;
  }

  private tokens(): TokenAnswer {
    return {
      status: 200,
      body: { access_token: this.newAccessToken(), token_type: 'bearer', expires_in: TOKEN_SECONDS },
    };
  }
}

function refused(error: string, description: string): TokenAnswer {
  return { status: 400, body: { error, error_description: description } };
}

function equal(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}
