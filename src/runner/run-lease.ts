/** The lease of a run: nobody else writes to the prefix while it does. */

import { hostname } from 'node:os';
import { type ForeignLease, Lease } from '../engine/lease.js';
import { prefixOfFolder } from '../engine/location.js';
import type { RunContext } from '../engine/run-context.js';
import { CloudSyncError } from '../errors.js';
import type { Store } from '../stores/store.js';
import { effectiveRun } from './claims.js';
import { LeaseFiles } from './lease-record.js';
import type { RunRequest } from './task.js';

/** Another host holds the prefix, and the task is not to wait for it. */
export class PrefixInUse extends CloudSyncError {
  constructor(held: ForeignLease) {
    super('BUSY', heldBy(held));
  }
}

/** Whether the run writes to the remote side. A restore never leaves a trace in the bucket. */
export function needsLease(request: RunRequest, context: RunContext): boolean {
  const { operation, task } = request;
  const { transferMode, dryRun } = effectiveRun(request);
  return task.lease && operation === 'sync' && !dryRun && (context.isPush || transferMode === 'move');
}

/**
 * Takes the lease; waits or throws {@link PrefixInUse}, as the task says.
 *
 * @param store the bucket, without the guard that the lease is for the run's own requests
 * @param durationMs of the lease; default: the engine's
 */
export async function takeLease(
  request: RunRequest,
  context: RunContext,
  store: Store,
  durationMs: number | undefined,
): Promise<Lease> {
  const { task } = request;
  const backup = task.backupFolder === '' || !context.isPush ? [] : [prefixOfFolder(task.backupFolder)];
  const options = {
    store,
    prefixes: [context.remote.prefix, ...backup],
    holder: { host: hostname(), taskId: task.taskId, task: task.name },
    record: new LeaseFiles(request),
    signal: context.signal,
    ...(durationMs === undefined ? {} : { durationMs }),
  };
  if (task.whenBusy === 'skip') {
    const taken = await Lease.take(options);
    if (taken instanceof Lease) return taken;
    throw new PrefixInUse(taken);
  }
  return Lease.wait(options, (held) => {
    context.host.phase('waiting');
    context.log('waiting', undefined, { message: heldBy(held) });
  });
}

function heldBy({ host, task, prefix }: ForeignLease): string {
  return `"${prefix === '' ? '/' : prefix}" is in use by the task "${task}" on ${host}`;
}
