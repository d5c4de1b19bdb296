/**
 * Commits: what makes uploaded bytes a file. Each takes the lock of the whole account for a while, and two at the same
 * time refuse one another (too_many_write_operations). So ours come one after the other, and those of small files
 * together: bytes are uploaded in as many sessions at once as there are writers, and the sessions are finished in batches
 * of up to 1,000. https://developers.dropbox.com/dbx-performance-guide
 *
 * A batch is sent as soon as no writer is left that could still join it, or 50 ms after its first file came (a fraction
 * of what a commit takes), or when the batch before it is done: the slower Dropbox commits and the more writers there
 * are, the larger the batches. A writer that is alone makes none: one request (files/upload) then does all.
 */

import { asCloudSyncError, CloudSyncError, hasCode } from '../../errors.js';
import { pause, unlessAborted } from '../http.js';
import type { WriteOptions } from '../store.js';
import { errorOfEntry, tagsOf } from './errors.js';
import { formatTime, type Metadata, pathOf } from './objects.js';
import type { Attempts, DropboxTransport } from './transport.js';

/** Entries of a batch at most. */
export const MAX_BATCH = 1000;
/** How long the first file of a batch waits for others. */
const LINGER_MS = 50;

/** Where and how a file is written: CommitInfo of the API. */
export interface CommitInfo {
  path: string;
  mode: unknown;
  autorename: false;
  mute: true;
  strict_conflict?: true;
  client_modified?: string;
}

export function commitInfo(
  key: string,
  options: Pick<WriteOptions, 'ifMatch' | 'ifNoneMatch' | 'modificationTime'>,
): CommitInfo {
  const { ifMatch, ifNoneMatch, modificationTime } = options;
  const commit: CommitInfo = {
    path: pathOf(key),
    mode: 'overwrite',
    autorename: false,
    // No notification on each of the user's computers for each file.
    mute: true,
  };
  if (ifMatch !== undefined) commit.mode = { '.tag': 'update', update: ifMatch };
  else if (ifNoneMatch !== undefined) commit.mode = 'add';
  // Without it a file with the same content is no conflict, nor is one that was deleted.
  if (commit.mode !== 'overwrite') commit.strict_conflict = true;
  const time = formatTime(modificationTime);
  if (time !== undefined) commit.client_modified = time;
  return commit;
}

/** One after the other. */
export class CommitLane {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  get isIdle(): boolean {
    return this.#waiting === 0;
  }

  /** Calls `work` when all before it are done, unless `signal` fires first. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.#waiting += 1;
    const turn = this.#last;
    const mine = turn.then(() => {
      if (signal?.aborted !== true) return work();
      return undefined as T;
    });
    this.#last = mine
      .catch(() => {})
      .then(() => {
        this.#waiting -= 1;
      });
    await unlessAborted(turn, signal);
    return await mine;
  }
}

/** A session whose bytes are all there. */
export interface FinishEntry {
  key: string;
  sessionId: string;
  size: number;
  contentHash: string;
  commit: CommitInfo;
}

interface Waiting {
  entry: FinishEntry;
  resolve(metadata: Metadata): void;
  reject(error: unknown): void;
}

type Success = Omit<Metadata, '.tag'> & { '.tag': 'success' };
type EntryResult = Success | { '.tag': 'failure'; failure: unknown };

function isSuccess(result: EntryResult | undefined): result is Success {
  return result?.['.tag'] === 'success';
}

export class CommitCollector {
  /** Writers that have not handed over their entry yet. */
  #writers = 0;
  #queue: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isDue = false;
  #isCommitting = false;

  constructor(
    private readonly transport: DropboxTransport,
    private readonly lane: CommitLane,
  ) {}

  /** Whether nobody else writes now. */
  get isIdle(): boolean {
    return this.#writers === 0 && this.#queue.length === 0 && this.lane.isIdle;
  }

  /** A writer begins. The function it is given has to be called once, when it has handed over its entry or given up. */
  enter(): () => void {
    this.#writers += 1;
    return () => {
      this.#writers -= 1;
      this.#sendIfReady();
    };
  }

  /** Makes a file of a session; with others where there are any. Each has its own error. */
  async commit(entry: FinishEntry, signal: AbortSignal | undefined): Promise<Metadata> {
    const committed = new Promise<Metadata>((resolve, reject) => {
      this.#queue.push({ entry, resolve, reject });
    });
    this.#timer ??= setTimeout(() => {
      this.#isDue = true;
      this.#sendIfReady();
    }, LINGER_MS);
    try {
      return await unlessAborted(committed, signal);
    } catch (error) {
      if (signal?.aborted === true) {
        committed.catch(() => {});
        this.#queue = this.#queue.filter((waiting) => waiting.entry !== entry);
      }
      throw error;
    }
  }

  #sendIfReady(): void {
    if (this.#isCommitting || this.#queue.length === 0) return;
    if (this.#writers > 0 && !this.#isDue && this.#queue.length < MAX_BATCH) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isDue = false;
    const batch = this.#queue.splice(0, MAX_BATCH);
    this.#isCommitting = true;
    void this.lane
      .run(() => this.#send(batch))
      .catch((error: unknown) => {
        for (const { entry, reject } of batch) reject(errorFor(entry, error));
      })
      .finally(() => {
        this.#isCommitting = false;
        // What came meanwhile has waited long enough.
        this.#isDue ||= this.#queue.length > 0;
        this.#sendIfReady();
      });
  }

  /** A request that isn't understood for the sake of one entry is sent in halves, so that the others don't suffer. */
  async #send(batch: readonly Waiting[]): Promise<void> {
    try {
      await this.#sendWhole(batch);
    } catch (error) {
      if (!hasCode(error, 'BAD_ANSWER') || error.httpStatus !== 400) throw error;
      if (batch.length === 1) {
        batch[0]!.reject(error);
        return;
      }
      const middle = batch.length >> 1;
      await this.#send(batch.slice(0, middle));
      await this.#send(batch.slice(middle));
    }
  }

  async #sendWhole(batch: readonly Waiting[]): Promise<void> {
    const { retryPolicy } = this.transport;
    let left = batch;
    for (let attempt = 1; left.length > 0; attempt++) {
      const attempts: Attempts = { count: attempt };
      const { entries } = await this.transport.rpc<{ entries: EntryResult[] }>(
        {
          kind: 'POST',
          route: 'files/upload_session/finish_batch_v2',
          argument: { entries: left.map(({ entry }) => finishArgument(entry)) },
        },
        attempts,
      );
      const refused: Waiting[] = [];
      let refusal: CloudSyncError | undefined;
      for (const [index, waiting] of left.entries()) {
        const result = entries[index];
        if (isSuccess(result)) {
          waiting.resolve({ ...result, '.tag': 'file' });
          continue;
        }
        const error = errorOfEntry(result?.failure, waiting.entry.key);
        if (error.retryable && attempt < retryPolicy.attempts) {
          refused.push(waiting);
          refusal = error;
        } else await this.#settle(waiting, error, attempts.count > 1 || attempt > 1);
      }
      left = refused;
      if (refusal === undefined) return;
      this.transport.onRetry(refusal, attempt);
      const ceiling = Math.min(retryPolicy.maxDelayMs, retryPolicy.baseDelayMs * 2 ** attempt);
      await pause(ceiling / 2 + (Math.random() * ceiling) / 2);
    }
  }

  async #settle(waiting: Waiting, error: CloudSyncError, isRepeated: boolean): Promise<void> {
    const { entry } = waiting;
    const found = isRepeated ? await committedBefore(this.transport, entry, error) : undefined;
    if (found === undefined) waiting.reject(error);
    else waiting.resolve(found);
  }
}

/** Each file has an error of its own, with its own path. */
function errorFor({ key }: FinishEntry, error: unknown): CloudSyncError {
  const shared = asCloudSyncError(error);
  const { code, message, advice, retryAfterMs, httpStatus, retryable, cause } = shared;
  const details = { path: key, retryable, cause, ...defined({ advice, retryAfterMs, httpStatus }) };
  return new CloudSyncError(code, message, details);
}

function defined<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}

export function finishArgument({ sessionId, size, commit }: FinishEntry): object {
  return { cursor: { session_id: sessionId, offset: size }, commit };
}

/**
 * A commit that was sent twice may fail because the first was carried out and only its answer was lost. The file as it is,
 * if it is what was to be written.
 */
export async function committedBefore(
  transport: DropboxTransport,
  entry: Pick<FinishEntry, 'key' | 'size' | 'contentHash' | 'commit'>,
  error: unknown,
): Promise<Metadata | undefined> {
  const isSign =
    hasCode(error, 'PRECONDITION_FAILED') || /^lookup_failed\/(not_found|closed)/.test(tagsOf(error));
  if (!isSign) return undefined;
  try {
    const metadata = await transport.rpc<Metadata>({
      kind: 'HEAD',
      route: 'files/get_metadata',
      argument: { path: entry.commit.path },
      key: entry.key,
    });
    const { client_modified: time } = entry.commit;
    const isIt =
      metadata.content_hash === entry.contentHash &&
      metadata.size === entry.size &&
      (time === undefined || metadata.client_modified === time);
    return isIt ? metadata : undefined;
  } catch (lookup) {
    if (hasCode(lookup, 'NOT_FOUND')) return undefined;
    throw lookup;
  }
}
