/** A child of the runner whose transfers are made up; the task's name says how it behaves. */

import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Execution, ExecutionHost, ExecutionResult } from '../../src/runner/execute.js';
import { serve } from '../../src/runner/serve.js';
import type { RunRequest } from '../../src/runner/task.js';

const RESULT: ExecutionResult = {
  status: 'success',
  checked: 3,
  transferred: { files: 2, bytes: 2048 },
  deleted: 1,
  skipped: 0,
  errors: [],
  errorCount: 0,
  warnings: [],
  requests: { PUT: 2, total: 2 },
};

const behaviours: Record<string, (request: RunRequest, host: ExecutionHost) => Promise<ExecutionResult>> = {
  async quick(_request, host) {
    host.log({ time: Date.now(), level: 'info', event: 'transfer', path: 'a.txt', bytes: 1024 });
    host.log({ time: Date.now(), level: 'error', event: 'error', path: 'b.txt', message: 'Refused' });
    return RESULT;
  },
  /** Goes on until it is aborted, and ends as asked. */
  async slow(_request, host) {
    await new Promise((resolve) => host.signal.addEventListener('abort', resolve, { once: true }));
    return { ...RESULT, status: 'aborted' };
  },
  /** Ends when the file named by `bucket` exists. */
  async untilFile(request) {
    for (;;) {
      try {
        readFileSync(request.task.bucket);
        return RESULT;
      } catch {
        await delay(20);
      }
    }
  },
  /** Hears no abort. */
  deaf: async () => await new Promise(() => undefined),
  /** Its event loop stands still. */
  async busy() {
    for (;;);
  },
  async heapMap() {
    const map = new Map<number, string[]>();
    for (let index = 0; ; index++) map.set(index, [`${index}`, `${index}-`]);
  },
  async heapJson() {
    let text = '[1,2,3]';
    const kept: unknown[] = [];
    for (;;) {
      text = `[${text},${text}]`.slice(0, 1 << 26);
      try {
        kept.push(JSON.parse(text));
      } catch {
        text = '[{"a":[1,2,3]},{"b":[1,2,3]}]';
      }
    }
  },
  async buffers() {
    const kept: Buffer[] = [];
    for (;;) {
      kept.push(Buffer.alloc(16 << 20, 1));
      await delay(10);
    }
  },
  async abort() {
    process.abort();
  },
  /** `bucket` is a FIFO that nobody writes to. */
  async fifo(request) {
    readFileSync(request.task.bucket);
    return RESULT;
  },
  async throwsLater(request) {
    setTimeout(() => {
      throw new Error(`Nobody caught this, ${request.task.credential.secrets.secretAccessKey}`);
    }, 10);
    return await new Promise(() => undefined);
  },
  async exits() {
    process.stderr.write('something went wrong\n');
    process.exit(7);
  },
  async throws() {
    throw new Error('The engine is broken');
  },
  /** Tells what it was given, in the file named by `bucket`. */
  async tells(request) {
    writeFileSync(
      request.task.bucket,
      JSON.stringify({ argv: process.argv, env: process.env, pid: process.pid }),
    );
    return RESULT;
  },
};

function execute(request: RunRequest, host: ExecutionHost): Execution {
  const behave = behaviours[request.task.name.split(' ')[0]!];
  if (behave === undefined) throw new Error(`No behaviour ${request.task.name}`);
  host.phase('listing');
  host.phase('transferring');
  let done = 0;
  return {
    result: behave(request, host),
    progress: () => {
      done = Math.min(done + 100, 1000);
      return { phase: 'transferring', files: { done: done / 100, total: 10 }, bytes: { done, total: 1000 } };
    },
  };
}

serve({
  execute,
  async answer(question) {
    if (question.kind === 'checkBucket' && question.bucket === 'hangs') await new Promise(() => undefined);
    if (question.kind === 'checkBucket' && question.bucket === 'dies') process.exit(3);
    if (question.kind === 'checkBucket') return { pid: process.pid };
    const { answer } = await import('../../src/runner/answer.js');
    return await answer(question, new AbortController().signal);
  },
});
