import { type Answer, emptyAnswer } from './answer.js';
import type { ObjectVersion } from './buckets.js';
import { httpDate } from './clock.js';
import { bucketOf, type Context, documentOf } from './context.js';
import { wantedVersion } from './read.js';
import { invalidArgument, s3Error } from './s3-error.js';
import { childOf, childText, onlyChildren, parseXml } from './xml.js';

/** "Understanding archive retrieval options": hours until a copy is readable, the longest promised. */
const HOURS: Record<string, Record<string, number>> = {
  GLACIER: { Expedited: 5 / 60, Standard: 5, Bulk: 12 },
  DEEP_ARCHIVE: { Standard: 12, Bulk: 48 },
};
const HOUR = 3600 * 1000;
const DAY = 24 * HOUR;

/** Whether this version can't be read now. */
export function isFrozen(version: ObjectVersion, now: number): boolean {
  if (HOURS[version.storageClass] === undefined) return false;
  const { restore } = version;
  return restore === undefined || now < restore.readyAt || now >= restore.expiresAt;
}

/** The `x-amz-restore` header; undefined where nobody asked, or the copy has gone again. */
export function restoreHeader(version: ObjectVersion, now: number): string | undefined {
  const { restore } = version;
  if (restore === undefined || now >= restore.expiresAt) return undefined;
  if (now < restore.readyAt) return 'ongoing-request="true"';
  return `ongoing-request="false", expiry-date="${httpDate(restore.expiresAt)}"`;
}

/** InvalidObjectState as GetObject answers it. */
export function refuseFrozen(version: ObjectVersion, now: number): void {
  if (isFrozen(version, now))
    throw s3Error('InvalidObjectState', { details: { StorageClass: version.storageClass } });
}

/** "RestoreObject": 202 the first time, 200 to extend, 409 while it is on its way. */
export function restoreObject(context: Context): Answer {
  const { state, request } = context;
  const version = wantedVersion(context, bucketOf(context), request.key);
  const { days, tier } = parseRestore(documentOf(context));
  const hours = HOURS[version.storageClass];
  if (hours === undefined) {
    throw s3Error('InvalidObjectState', {
      message: "Restore is not allowed for the object's current storage class",
      details: { StorageClass: version.storageClass },
    });
  }
  const wait = hours[tier];
  if (wait === undefined)
    throw invalidArgument('Tier', tier, `${tier} is not supported for ${version.storageClass}`);
  const now = state.clock.now();
  const status = restoreHeader(version, now);
  if (status !== undefined && version.restore !== undefined) {
    if (now < version.restore.readyAt) throw s3Error('RestoreAlreadyInProgress');
    version.restore = { ...version.restore, expiresAt: midnightAfter(now + days * DAY) };
    return emptyAnswer(200);
  }
  const readyAt = now + (state.thawMs ?? wait * HOUR);
  version.restore = { readyAt, expiresAt: midnightAfter(readyAt + days * DAY) };
  return emptyAnswer(202);
}

/** "rounding the resulting time to the next day midnight UTC" */
function midnightAfter(time: number): number {
  return Math.ceil(time / DAY) * DAY;
}

function parseRestore(document: Buffer): { days: number; tier: string } {
  if (document.length === 0) throw s3Error('MissingRequestBodyError');
  const root = parseXml(document, 'RestoreRequest');
  onlyChildren(root, ['Days', 'GlacierJobParameters', 'Tier']);
  const days = Number(childText(root, 'Days'));
  if (!Number.isInteger(days) || days < 1) throw s3Error('MalformedXML');
  const parameters = childOf(root, 'GlacierJobParameters');
  if (parameters !== undefined) onlyChildren(parameters, ['Tier']);
  const tier = (parameters && childText(parameters, 'Tier')) ?? childText(root, 'Tier') ?? 'Standard';
  if (!['Expedited', 'Standard', 'Bulk'].includes(tier)) throw s3Error('MalformedXML');
  return { days, tier };
}
