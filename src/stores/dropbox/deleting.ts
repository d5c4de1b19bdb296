/**
 * Deleting files, one by one or 1,000 with a request that is worked on in the background. Dropbox deletes a folder with all
 * that lies in it if a folder is what stands at the path; given a revision it deletes no folder. So each file is deleted
 * with the revision it has: the one the caller knows, else one asked for.
 */

import { CloudSyncError, hasCode } from '../../errors.js';
import { pause } from '../http.js';
import type { DeleteOutcome, DeleteRequest, StoredObject } from '../store.js';
import type { CommitLane } from './commits.js';
import { errorOfEntry, tagsOf } from './errors.js';
import { checkKey, pathOf } from './objects.js';
import type { DropboxTransport } from './transport.js';

/** Entries of a batch at most. */
export const DELETE_BATCH = 1000;
/** Revisions asked for at the same time. */
const ASKED_AT_ONCE = 16;
/** Waits between questions after a job. */
const FIRST_POLL_MS = 50;
const LONGEST_POLL_MS = 2000;
/** How often a file that changed between the question and its delete is asked for anew. */
const ASKED_AGAIN = 3;

type Head = (key: string, signal: AbortSignal | undefined) => Promise<StoredObject | undefined>;

type EntryResult = { '.tag': 'success' } | { '.tag': 'failure'; failure: unknown };
type JobStatus =
  | { '.tag': 'async_job_id'; async_job_id: string }
  | { '.tag': 'in_progress' }
  | { '.tag': 'complete'; entries: EntryResult[] }
  | { '.tag': 'failed'; failed: unknown };

/** A file to delete, its revision known. */
interface Target {
  request: DeleteRequest;
  index: number;
  rev: string;
}

export class Deleter {
  constructor(
    private readonly transport: DropboxTransport,
    private readonly lane: CommitLane,
    private readonly head: Head,
  ) {}

  /** No error where it isn't there. */
  async delete(request: DeleteRequest, signal: AbortSignal | undefined): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const rev = request.ifMatch ?? (await this.#revisionOf(request.key, signal));
      if (rev === undefined) return;
      try {
        await this.lane.run(() => this.#deleteOne(request.key, rev, signal), signal);
        return;
      } catch (error) {
        if (isGone(error)) return;
        const isRace = hasCode(error, 'PRECONDITION_FAILED') && request.ifMatch === undefined;
        if (!isRace || attempt >= ASKED_AGAIN) throw error;
      }
    }
  }

  /** At most {@link DELETE_BATCH} requests, all answered in their order. */
  async deleteBatch(
    requests: readonly DeleteRequest[],
    signal: AbortSignal | undefined,
  ): Promise<DeleteOutcome[]> {
    const outcomes: (DeleteOutcome | undefined)[] = requests.map(() => undefined);
    let targets = await this.#targetsOf(requests, outcomes, signal);
    const { attempts, baseDelayMs, maxDelayMs } = this.transport.retryPolicy;
    for (let attempt = 1; targets.length > 0; attempt++) {
      const results = await this.lane.run(() => this.#runJob(targets, signal), signal);
      const again: DeleteRequest[] = [];
      const indexes: number[] = [];
      let refusal: CloudSyncError | undefined;
      for (const [position, { request, index }] of targets.entries()) {
        const result = results[position]!;
        const { key } = request;
        const error = result['.tag'] === 'success' ? undefined : errorOfEntry(result.failure, key);
        if (error === undefined || isGone(error)) outcomes[index] = { key };
        else if (attempt < attempts && this.#isWorthAnother(error, request)) {
          refusal = error;
          again.push(request);
          indexes.push(index);
        } else outcomes[index] = { key, error };
      }
      if (refusal === undefined) break;
      this.transport.onRetry(refusal, attempt);
      const ceiling = Math.min(maxDelayMs, baseDelayMs * 2 ** attempt);
      await pause(ceiling / 2 + (Math.random() * ceiling) / 2, signal);
      targets = await this.#targetsOf(again, outcomes, signal, indexes);
    }
    return outcomes.map((outcome) => outcome!);
  }

  #isWorthAnother(error: CloudSyncError, request: DeleteRequest): boolean {
    return error.retryable || (error.code === 'PRECONDITION_FAILED' && request.ifMatch === undefined);
  }

  /** Fills in the outcome of what needs no request. */
  async #targetsOf(
    requests: readonly DeleteRequest[],
    outcomes: (DeleteOutcome | undefined)[],
    signal: AbortSignal | undefined,
    indexes: readonly number[] = requests.map((_, index) => index),
  ): Promise<Target[]> {
    const targets: Target[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let position = next++; position < requests.length; position = next++) {
        const request = requests[position]!;
        const index = indexes[position]!;
        try {
          checkKey(request.key);
          const rev = request.ifMatch ?? (await this.#revisionOf(request.key, signal));
          if (rev === undefined) outcomes[index] = { key: request.key };
          else targets.push({ request, index, rev });
        } catch (error) {
          if (!(error instanceof CloudSyncError) || error.code === 'ABORTED') throw error;
          outcomes[index] = { key: request.key, error };
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(ASKED_AT_ONCE, requests.length) }, worker));
    return targets;
  }

  async #revisionOf(key: string, signal: AbortSignal | undefined): Promise<string | undefined> {
    const object = await this.head(key, signal);
    if (object?.kind !== 'folder') return object?.versionId;
    throw new CloudSyncError('OBSTRUCTED', `"${key}" is a folder and no file`, { path: key });
  }

  async #deleteOne(key: string, rev: string, signal: AbortSignal | undefined): Promise<void> {
    await this.transport.rpc({
      kind: 'DELETE',
      route: 'files/delete_v2',
      argument: { path: pathOf(key), parent_rev: rev },
      key,
      ...(signal === undefined ? {} : { signal }),
    });
  }

  async #runJob(targets: readonly Target[], signal: AbortSignal | undefined): Promise<EntryResult[]> {
    const { transport } = this;
    const withSignal = signal === undefined ? {} : { signal };
    const entries = targets.map(({ request, rev }) => ({ path: pathOf(request.key), parent_rev: rev }));
    let status = await transport.rpc<JobStatus>({
      kind: 'DELETE',
      route: 'files/delete_batch',
      argument: { entries },
      ...withSignal,
    });
    const id = status['.tag'] === 'async_job_id' ? status.async_job_id : undefined;
    for (let wait = FIRST_POLL_MS; status['.tag'] === 'async_job_id' || status['.tag'] === 'in_progress'; ) {
      await pause(wait, signal);
      wait = Math.min(LONGEST_POLL_MS, wait * 2);
      status = await this.#check(id, signal);
    }
    if (status['.tag'] === 'complete' && status.entries.length === targets.length) return status.entries;
    // The whole of it failed: each entry is tried again, or says so.
    const failure = status['.tag'] === 'failed' ? status.failed : { '.tag': 'internal_error' };
    return targets.map(() => ({ '.tag': 'failure', failure }));
  }

  /** A job that Dropbox lost has failed. */
  async #check(id: string | undefined, signal: AbortSignal | undefined): Promise<JobStatus> {
    try {
      return await this.transport.rpc<JobStatus>({
        kind: 'DELETE',
        route: 'files/delete_batch/check',
        argument: { async_job_id: id },
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (!/^(invalid_async_job_id|internal_error)/.test(tagsOf(error))) throw error;
      return { '.tag': 'failed', failed: { '.tag': 'internal_error' } };
    }
  }
}

/** It isn't there, nor is the folder it was in. */
function isGone(error: unknown): boolean {
  return tagsOf(error).startsWith('path_lookup/not_found');
}
