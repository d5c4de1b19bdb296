/** Random faults of the S3 server, for one run. */

import type { Fault, FaultAction, ListPage, S3Server } from '../servers/s3/server.js';
import type { Random } from './random.js';

/** What the oracle has to know of a run's faults. */
export interface FaultsInPlace {
  /** In words, for the trace. */
  words: string[];
  /** Listings may hide what is there. */
  hidesKeys: boolean;
}

const WRITES = ['PutObject', 'UploadPart', 'CopyObject', 'CompleteMultipartUpload'] as const;
const ALL_BUT_BUCKET: Pick<Fault, 'match'> = { match: ({ operation }) => operation !== 'HeadBucket' };

type Maker = (random: Random) => Fault & { hides?: boolean };

const MAKERS: Record<string, Maker> = {
  busy: (random) => ({ ...burst(random), action: error('SlowDown', 503) }),
  busyWithWait: (random) => ({ ...burst(random), action: { ...error('SlowDown', 503), retryAfter: 0 } }),
  busyForLong: (random) => ({
    times: random.whole(1, 2),
    action: { ...error('SlowDown', 503), retryAfter: 30 },
  }),
  tooMany: (random) => ({ ...burst(random), action: error('TooManyRequests', 429) }),
  internal: (random) => ({ ...burst(random), action: error('InternalError', 500) }),
  internalForEver: (random) => ({
    operation: random.pick([
      'PutObject',
      'GetObject',
      'DeleteObjects',
      'ListObjectsV2',
      'HeadObject',
      'CopyObject',
    ]),
    probability: 0.5,
    action: error('InternalError', 500),
  }),
  forbidden: (random) => ({
    operation: random.pick(['PutObject', 'GetObject', 'DeleteObjects', 'CopyObject', 'UploadPart']),
    times: random.whole(1, 3),
    skip: random.whole(0, 3),
    action: error('AccessDenied', 403),
  }),
  expired: (random) => ({ ...ALL_BUT_BUCKET, skip: random.whole(0, 8), action: error('ExpiredToken', 400) }),
  resetRequest: (random) => ({
    ...burst(random),
    action: { type: 'reset-request', afterBytes: random.whole(0, 40) },
  }),
  resetResponse: (random) => ({
    ...burst(random),
    action: { type: 'reset-response', afterBytes: random.whole(0, 80) },
  }),
  dropAnswer: (random) => ({ ...burst(random), action: { type: 'drop-answer' } }),
  dropAnswersOfWrites: (random) => ({
    operation: [...WRITES, 'DeleteObjects', 'DeleteObject'],
    probability: random.pick([0.3, 1]),
    times: random.whole(1, 12),
    action: { type: 'drop-answer' },
  }),
  stallRequest: () => ({ times: 1, operation: WRITES, action: { type: 'stall-request', afterBytes: 5 } }),
  stallResponse: () => ({
    times: 1,
    operation: 'GetObject',
    action: { type: 'stall-response', afterBytes: 5 },
  }),
  truncated: (random) => ({
    ...burst(random),
    action: { type: 'truncate-response', fraction: random.next() },
  }),
  corruptUp: (random) => ({
    operation: WRITES,
    probability: random.pick([0.3, 1]),
    action: { type: 'corrupt-request', offset: random.whole(0, 30) },
  }),
  corruptDown: (random) => ({
    operation: 'GetObject',
    probability: random.pick([0.3, 1]),
    action: { type: 'corrupt-response', offset: random.whole(0, 30) },
  }),
  wrongEtag: (random) => ({
    operation: random.pick([...WRITES, 'GetObject', 'HeadObject', 'ListObjectsV2']),
    probability: random.pick([0.3, 1]),
    times: random.whole(1, 5),
    action: { type: 'wrong-etag' },
  }),
  errorInOk: (random) => ({
    operation: random.pick(['CompleteMultipartUpload', 'CopyObject', 'DeleteObjects']),
    times: random.whole(1, 5),
    action: { type: 'error-in-ok', code: random.pick(['InternalError', 'AccessDenied', 'SlowDown']) },
  }),
  repeatPage: () => ({ operation: 'ListObjectsV2', skip: 1, times: 1, action: { type: 'repeat-list-page' } }),
  hiddenKeys: (random) => ({
    operation: 'ListObjectsV2',
    hides: true,
    action: { type: 'list', change: (page) => hide(random, page) },
  }),
  disorder: (random) => ({
    operation: 'ListObjectsV2',
    action: { type: 'list', change: (page) => page.items.sort(() => random.next() - 0.5) },
  }),
  doubled: () => ({
    operation: 'ListObjectsV2',
    action: { type: 'list', change: (page) => page.items.push(...page.items.slice(0, 2)) },
  }),
};

const SLOW = new Set(['stallRequest', 'stallResponse']);

/** Puts some faults in place; they go with `server.faults.clear()` and `server.clock.reset()`. */
export function makeFaults(server: S3Server, bucket: string, random: Random): FaultsInPlace {
  const made: FaultsInPlace = { words: [], hidesKeys: false };
  const count = random.pick([1, 1, 1, 2, 3]);
  for (let index = 0; index < count; index++) {
    const kinds = Object.keys(MAKERS).filter((kind) => !SLOW.has(kind) || random.chance(0.3));
    const kind = random.pick(kinds);
    const { hides = false, ...fault } = MAKERS[kind]!(random);
    const { match } = fault;
    server.faults.add({
      random: random.fork().next,
      ...fault,
      match: (request) => request.bucket === bucket && (match?.(request) ?? true),
    });
    made.words.push(kind);
    made.hidesKeys ||= hides;
  }
  if (random.chance(0.1)) {
    const minutes = random.pick([-30, 30]);
    server.clock.advance(minutes * 60_000);
    made.words.push(`clock ${minutes} min`);
  }
  return made;
}

function burst(random: Random): Pick<Fault, 'skip' | 'times' | 'probability'> {
  return { skip: random.whole(0, 6), times: random.whole(1, 12), probability: random.pick([0.2, 0.5, 1]) };
}

function error(code: string, status: number): FaultAction & { type: 'error' } {
  return { type: 'error', code, status };
}

function hide(random: Random, page: ListPage): void {
  const from = random.whole(0, Math.max(0, page.items.length - 1));
  page.items.splice(from, random.whole(1, 4));
}
