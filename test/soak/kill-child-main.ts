/** The program of a process that will be killed: one run, then it ends. */

import { execute } from '../../src/runner/execute.js';
import type { KillOrder } from './kill-child.js';
import { openImpatiently, useForRuns } from './places.js';

process.once('message', (order: KillOrder) => {
  useForRuns((context) => openImpatiently(order.access, context));
  const host = { signal: new AbortController().signal, phase: () => {}, log: () => {} };
  void execute(order.request, host).result.then(() => process.exit(0));
});
