/** The secrets of all providers, as Node-RED has to know them. */

import { PROVIDERS } from '../src/stores/registry.js';

export type SecretDeclarations = Record<string, { type: 'text' | 'password' }>;

/** `text` ones (an access key id) come back to the editor in clear, `password` ones never do. */
export const CREDENTIAL_SECRETS: SecretDeclarations = Object.fromEntries(
  PROVIDERS.flatMap((provider) => provider.fields)
    .filter((field) => field.secret)
    .map((field) => [field.name, { type: field.type === 'text' ? 'text' : 'password' }]),
);
