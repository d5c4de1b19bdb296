/** A Node-RED that may be killed: starts the run it is told to, and says when that goes on. */

import { Runner } from '../../src/runner/runner.js';
import type { RunRequest } from '../../src/runner/task.js';

process.on('message', (message: { dataFolder: string; childFile: string; request: RunRequest }) => {
  const { dataFolder, childFile, request } = message;
  const runner = new Runner({ dataFolder, childFile });
  runner.submit(request, {
    // The second progress message is said once the run's transfer goes on, if it doesn't hang.
    onStart: () => setTimeout(() => process.send?.('started'), 300),
    onFinish: () => process.exit(1),
  });
});
