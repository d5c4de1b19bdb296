/**
 * Unfinished uploads that aren't this task's: parts that other programs have left take up room that is paid for and that
 * no listing of objects shows. They are counted and told of, never touched. That takes a request of its own, so they are
 * looked for once a day, and what was found then is repeated until the next look.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { CloudSyncError, throwIfAborted } from '../errors.js';
import type { PendingUpload } from '../stores/store.js';
import type { RunContext } from './run-context.js';

const DAY = 24 * 3_600_000;
/** More are not counted. */
const MOST = 10_000;

interface Look {
  /** ms since the epoch. */
  at: number;
  count: number;
  /** When the oldest one was begun, ms since the epoch. */
  oldest: number;
  /** Key of the oldest one. */
  key: string;
}

export class OtherUploads {
  /** @param file where the last look is remembered */
  constructor(private readonly file: string) {}

  /** Puts a warning into the run's report where there are any. Never fails a run. */
  async warn(run: RunContext): Promise<void> {
    let look = this.remembered();
    const now = Date.now();
    if (look === undefined || now - look.at >= DAY || look.at > now) {
      look = await lookFor(run, now);
      mkdirSync(dirname(this.file), { recursive: true, mode: 0o700 });
      writeFileSync(this.file, JSON.stringify(look), { mode: 0o600 });
    }
    if (look.count === 0) return;
    const uploads =
      look.count === 1 ? '1 upload' : `${look.count}${look.count >= MOST ? ' or more' : ''} uploads`;
    const since = new Date(look.oldest).toISOString().slice(0, 10);
    run.problems.warning(
      new CloudSyncError(
        'UNFINISHED_UPLOADS',
        `${uploads} of other programs under this folder were begun and not finished, since ${since} ("${look.key}")`,
        {
          path: '',
          advice:
            'Their parts are paid for. If no program goes on with them, have a lifecycle rule of the bucket remove them.',
        },
      ),
    );
  }

  private remembered(): Look | undefined {
    try {
      return JSON.parse(readFileSync(this.file, 'utf8')) as Look;
    } catch {
      return undefined;
    }
  }
}

/** Those of the last day may still be going on. */
async function lookFor(run: RunContext, now: number): Promise<Look> {
  const look: Look = { at: now, count: 0, oldest: now, key: '' };
  const { store, prefix } = run.destination;
  const own = new Set((run.journal?.unfinished ?? []).flatMap(({ state }) => identities(state)));
  try {
    for await (const pending of store.pendingUploads(prefix, run.signal)) {
      if (now - pending.startedAt < DAY || identities(pending).some((identity) => own.has(identity)))
        continue;
      look.count++;
      if (pending.startedAt < look.oldest)
        Object.assign(look, { oldest: pending.startedAt, key: pending.key });
      if (look.count >= MOST) break;
    }
  } catch (error) {
    throwIfAborted(run.signal);
    // A key that may not list them is a good one all the same.
    run.log('pending uploads', undefined, { message: `Not known: ${(error as Error).message}` });
  }
  return look;
}

function identities({ key, details }: Pick<PendingUpload, 'key' | 'details'>): string[] {
  return Object.values(details).map((detail) => JSON.stringify([key, detail]));
}
