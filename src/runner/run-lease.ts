/** The lease of a run: nobody else writes to the prefix while it does. */

import { hostname } from 'node:os';
import { heldBy, LateLease, PrefixInUse } from '../engine/late-lease.js';
import { Lease, type LeaseOptions } from '../engine/lease.js';
import { prefixOfFolder } from '../engine/location.js';
import type { RunContext } from '../engine/run-context.js';
import type { Store } from '../stores/store.js';
import { effectiveRun } from './claims.js';
import { LeaseFiles } from './lease-record.js';
import type { RunRequest } from './task.js';

/** Whether the run writes to the remote side. A restore never leaves a trace in the bucket. */
export function needsLease(request: RunRequest, context: RunContext): boolean {
  const { operation, task } = request;
  const { transferMode, dryRun } = effectiveRun(request);
  return task.lease && operation === 'sync' && !dryRun && (context.isPush || transferMode === 'move');
}

/**
 * The lease of the run, for when it is needed. Taking it waits or throws {@link PrefixInUse}, as the task says.
 *
 * @param openStore gives the bucket, without the guard that the lease is for the run's own requests
 * @param durationMs of the lease; default: the engine's
 */
export function leaseOf(
  request: RunRequest,
  context: RunContext,
  openStore: () => Promise<Store>,
  durationMs: number | undefined,
): LateLease {
  const record = new LeaseFiles(request);
  const take = async (given: AbortSignal, onWait: () => void): Promise<Lease> => {
    const signal = AbortSignal.any([context.signal, given]);
    const options = {
      ...leaseOptions(request, context),
      store: await openStore(),
      record,
      signal,
      durationMs,
    };
    return takeLease(request, context, options, onWait);
  };
  return new LateLease(take, () => record.hasLeftBehind());
}

function leaseOptions({ task }: RunRequest, context: RunContext): Pick<LeaseOptions, 'prefixes' | 'holder'> {
  const backup = task.backupFolder === '' || !context.isPush ? [] : [prefixOfFolder(task.backupFolder)];
  return {
    prefixes: [context.remote.prefix, ...backup],
    holder: { host: hostname(), taskId: task.taskId, task: task.name },
  };
}

async function takeLease(
  { task }: RunRequest,
  context: RunContext,
  options: LeaseOptions,
  onWait: () => void,
): Promise<Lease> {
  if (task.whenBusy === 'skip') {
    const taken = await Lease.take(options);
    if (taken instanceof Lease) return taken;
    throw new PrefixInUse(taken);
  }
  return Lease.wait(options, (held) => {
    onWait();
    context.host.phase('waiting');
    context.log('waiting', undefined, { message: heldBy(held) });
  });
}
