/** Runs in processes of their own, as Node-RED starts them: to be stopped, killed, and taken up by another process. */

import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { ExecutionResult } from '../../src/runner/execute.js';
import { DEFAULT_LOG_LIMITS } from '../../src/runner/run-log.js';
import type { RunRequest } from '../../src/runner/task.js';
import type { FromChild, ToChild } from '../../src/runner/transport.js';

export interface ProcessRun {
  /** undefined: the process ended without one. */
  result: Promise<ExecutionResult | undefined>;
  abort(): void;
  kill(): void;
}

const CHILD_FILE = join(import.meta.dirname, '../../src/runner/child.ts');

export function runInProcess(request: RunRequest): ProcessRun {
  const child = fork(CHILD_FILE, [], { execArgv: ['--import', 'tsx'], serialization: 'advanced' });
  const say = (message: ToChild) => child.send(message);
  let result: ExecutionResult | undefined;
  child.on('message', (message: FromChild) => {
    if (message.type === 'claims') say({ type: 'go' });
    if (message.type === 'result') result = message.result;
  });
  const ended = new Promise<ExecutionResult | undefined>((resolve, reject) => {
    child.once('error', reject);
    // When the channel is closed as well, everything it said has been heard.
    child.once('close', () => resolve(result));
  });
  say({ type: 'run', request, logLimits: DEFAULT_LOG_LIMITS });
  return { result: ended, abort: () => say({ type: 'abort' }), kill: () => child.kill('SIGKILL') };
}
