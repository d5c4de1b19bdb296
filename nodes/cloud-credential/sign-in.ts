/** Sign-ins to Dropbox that were begun in a dialog and wait for their code. The verifier stays in this process. */

import { randomUUID } from 'node:crypto';
import { CloudSyncError } from '../runtime.js';

export interface SignIn {
  appKey: string;
  endpoint: string | undefined;
  caCertificate: string | undefined;
  /** Secret: with it the code is worth a token. */
  codeVerifier: string;
}

/** A person looks for a password; a code is good for minutes. ms. */
const LIFETIME_MS = 15 * 60_000;
/** More than that is nobody signing in. */
const MOST_OPEN = 20;

const open = new Map<string, { signIn: SignIn; since: number }>();

/** The name under which the code is to be handed in. */
export function keepSignIn(signIn: SignIn): string {
  for (const [id, { since }] of open) {
    if (Date.now() - since > LIFETIME_MS || open.size >= MOST_OPEN) open.delete(id);
  }
  const id = randomUUID();
  open.set(id, { signIn, since: Date.now() });
  return id;
}

/**
 * @throws CloudSyncError CREDENTIAL_EXPIRED where nothing was begun under this name, or too long ago
 */
export async function finishSignIn<T>(id: string, finish: (signIn: SignIn) => Promise<T>): Promise<T> {
  const begun = open.get(id);
  if (begun === undefined || Date.now() - begun.since > LIFETIME_MS) {
    throw new CloudSyncError('CREDENTIAL_EXPIRED', 'This sign-in took too long', {
      advice: 'Begin it again.',
    });
  }
  // A code that was mistyped may be tried once more.
  const answer = await finish(begun.signIn);
  open.delete(id);
  return answer;
}
