/** A run's process that stands still in the operating system, as on a dead network mount: a FIFO nobody writes to. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionResult } from '../../src/runner/execute.js';
import { serve } from '../../src/runner/serve.js';

serve({
  execute(request, host) {
    host.phase('transferring');
    const result = new Promise<ExecutionResult>(() => {
      setTimeout(() => {
        writeFileSync(join(request.task.path, 'hangs'), '');
        readFileSync(join(request.task.path, 'fifo'));
      }, 600);
    });
    return {
      result,
      progress: () => ({ phase: 'transferring', files: { done: 0, total: 1 }, bytes: { done: 0, total: 1 } }),
    };
  },
  answer: async () => undefined,
});
