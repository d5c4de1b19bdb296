/** One of two hosts: a process that carries out one run, with leases that end soon. */

import { execute } from '../../src/runner/execute.js';
import type { RunRequest } from '../../src/runner/task.js';

process.once('message', ({ request, leaseMs }: { request: RunRequest; leaseMs: number }) => {
  const host = {
    signal: new AbortController().signal,
    phase: () => {},
    log: () => {},
    leaseMs,
  };
  void execute(request, host).result.then((result) => process.send?.(result, () => process.exit(0)));
});
process.send?.('ready');
