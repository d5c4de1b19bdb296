/** How a run ended, in the words of a report: the property to mend, and the credential where it is at fault. */

import type { VerifyFindings } from '../engine/report.js';
import type { ErrorCode, ErrorRecord } from '../errors.js';
import { providerById } from '../stores/registry.js';
import type { TaskCredential } from './task.js';

/** What is wrong with the whole task names the property to mend, and the credential where it is one of those. */
export function withField(record: ErrorRecord, credential: TaskCredential): ErrorRecord {
  const field = record.field ?? (record.path === '' ? fieldAtFault(record.code, credential) : undefined);
  const named = field === undefined ? record : { ...record, field };
  const isOfCredential = CREDENTIAL_CODES.has(record.code) || (field === 'endpoint' && record.path === '');
  if (!isOfCredential) return named;
  const { id, name } = credential;
  return { ...named, message: `${named.message} (credential "${name === '' ? id : name}")` };
}

const CREDENTIAL_CODES: ReadonlySet<string> = new Set([
  'CREDENTIAL_MISSING',
  'WRONG_KEY',
  'WRONG_SECRET',
  'CREDENTIAL_EXPIRED',
]);

/** The property that a failure of this kind is about. */
function fieldAtFault(code: ErrorCode, { provider, secrets }: TaskCredential): string | undefined {
  const { fields } = providerById(provider);
  switch (code) {
    case 'BUCKET_NOT_FOUND':
      return 'bucket';
    case 'ENDPOINT_UNREACHABLE':
    case 'TLS_FAILURE':
      return 'endpoint';
    case 'WRONG_REGION':
      return 'region';
    case 'WRONG_KEY':
      return fields.find(({ required }) => required)?.name;
    case 'WRONG_SECRET':
      return fields.find(({ name, type }) => type !== 'text' && secrets[name] !== undefined)?.name;
    default:
      return undefined;
  }
}

/** A verify has succeeded only if every file matched; what can't be told is no match. */
export function allMatch(verify: VerifyFindings | undefined): boolean {
  if (verify === undefined) return true;
  const { matched: _matched, ...others } = verify.counts;
  return Object.values(others).every((count) => count === 0);
}
