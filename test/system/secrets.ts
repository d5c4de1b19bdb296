/** Looking for secrets in what comes out. */

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** Where Node-RED keeps credentials, with a backup of the version before. */
const CREDENTIAL_FILES = new Set(['flows_cred.json', '.flows_cred.json.backup']);

/** A secret as it is and as it may have been written: base64 (at each of the three offsets it can start at), URL, JSON. */
function formsOf(secret: string): string[] {
  const base64 = [0, 1, 2].map((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), Buffer.from(secret)]).toString('base64');
    // The first and last characters depend on what stands beside it.
    return text.replace(/=+$/, '').slice(offset === 0 ? 0 : 4, -1);
  });
  const url = base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
  return [
    ...new Set([secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1), ...base64, ...url]),
  ];
}

/** Which of `secrets` stand in `text`, by their position in the list: a message must not repeat them. */
export function secretsIn(text: string, secrets: readonly string[]): number[] {
  return secrets.flatMap((secret, index) =>
    formsOf(secret).some((form) => text.includes(form)) ? [index] : [],
  );
}

/** Files below `folder` that hold one of `secrets`; Node-RED's own credential file is left out unless `all`. */
export function filesWithSecrets(folder: string, secrets: readonly string[], all = false): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (!entry.isFile() || (!all && CREDENTIAL_FILES.has(basename(file)))) continue;
    if (secretsIn(readFileSync(file, 'latin1'), secrets).length > 0) found.push(file);
  }
  return found;
}
