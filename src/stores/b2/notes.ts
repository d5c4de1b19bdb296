/** What there is to say about a Backblaze application key that is valid. */

import type { B2Authorization } from './native.js';

const DAY_MS = 24 * 3600_000;
const SOON_DAYS = 14;

/** One sentence each. */
export function notesOnKey(authorization: B2Authorization, now = Date.now()): string[] {
  return [
    ...notesOnConfinement(authorization),
    ...notesOnAbilities(authorization.capabilities),
    ...notesOnExpiry(authorization.expiresAt, now),
  ];
}

function notesOnConfinement({ buckets, hasLostBuckets, prefix }: B2Authorization): string[] {
  const notes: string[] = [];
  if (hasLostBuckets) notes.push('A bucket this key was made for no longer exists.');
  if (buckets !== undefined && buckets.length > 0) notes.push(`This key is for ${buckets.join(', ')} alone.`);
  if (prefix !== '') {
    notes.push(`It only reaches names that begin with "${prefix}": choose a folder within that in the task.`);
  }
  return notes;
}

function notesOnAbilities(capabilities: readonly string[]): string[] {
  const has = (capability: string) => capabilities.includes(capability);
  if (!has('listFiles'))
    return ['This key may not list files (listFiles), without which nothing can be compared.'];
  if (!has('writeFiles')) return ['This key may not write: good for restore and verify alone.'];
  const notes: string[] = [];
  if (!has('readFiles'))
    notes.push('This key may not read (readFiles): no restore, and no check by download.');
  notes.push(
    has('deleteFiles')
      ? 'At Backblaze deleting and replacing hide the old version, which stays and costs until a lifecycle rule of the bucket, or deleteVersions of the task, removes it.'
      : 'This key may hide files but remove no version (deleteFiles): what it deletes can be brought back, and deleteVersions does not work.',
  );
  return notes;
}

function notesOnExpiry(expiresAt: number | undefined, now: number): string[] {
  if (expiresAt === undefined || expiresAt - now > SOON_DAYS * DAY_MS) return [];
  return [`This key runs out at ${new Date(expiresAt).toISOString()}.`];
}
