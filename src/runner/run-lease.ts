/** The lease of a run: nobody else writes to the prefix while it does. */

import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type ForeignLease, Lease } from '../engine/lease.js';
import { prefixOfFolder } from '../engine/location.js';
import type { RunContext } from '../engine/run-context.js';
import { CloudSyncError } from '../errors.js';
import type { Store } from '../stores/store.js';
import { effectiveRun } from './claims.js';
import type { RunRequest } from './task.js';

/** Another host holds the prefix, and the task is not to wait for it. */
export class PrefixInUse extends CloudSyncError {
  constructor(held: ForeignLease) {
    super('BUSY', heldBy(held));
  }
}

/**
 * Takes the lease where the run writes to the remote side; undefined where none is needed. A restore never leaves a trace
 * in the bucket. Waits or throws {@link PrefixInUse}, as the task says.
 */
export async function takeLease(
  request: RunRequest,
  context: RunContext,
  store: Store,
): Promise<Lease | undefined> {
  const { operation, task, dataFolder } = request;
  const { transferMode, dryRun } = effectiveRun(request);
  const writesRemote = context.isPush || transferMode === 'move';
  if (!task.lease || operation !== 'sync' || !writesRemote || dryRun) return undefined;
  const backup = task.backupFolder === '' || !context.isPush ? [] : [prefixOfFolder(task.backupFolder)];
  const options = {
    store,
    prefixes: [context.remote.prefix, ...backup],
    holder: {
      installation: installationId(dataFolder),
      host: hostname(),
      taskId: task.taskId,
      task: task.name,
    },
    signal: context.signal,
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

/** Made once for this data folder: by it a lease of an earlier run is recognised as our own. */
function installationId(dataFolder: string): string {
  const file = join(dataFolder, 'installation');
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    const id = randomUUID();
    mkdirSync(dataFolder, { recursive: true });
    // Two processes that start together agree on the one that was written first.
    try {
      writeFileSync(file, id, { flag: 'wx' });
      return id;
    } catch {
      return readFileSync(file, 'utf8').trim();
    }
  }
}
