/**
 * The child process: one run, or questions of the editor. It lives as long as its channel to Node-RED and not a moment
 * longer, so that a killed Node-RED leaves nobody who writes.
 */

import { writeFileSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { asCloudSyncError } from '../errors.js';
import { ChildRun } from './child-run.js';
import type { Execution, ExecutionHost } from './execute.js';
import type { Answer, Question } from './questions.js';
import { killScripts } from './scripts.js';
import type { RunRequest } from './task.js';
import { ALIVE_INTERVAL_MS, COMPILED_FOLDER_VARIABLE, type FromChild, type ToChild } from './transport.js';

/** Node.js 22.10 and later. */
const { flushCompileCache } = nodeModule as { flushCompileCache?: () => void };

/** What the child is able to do; tests put others in their place. */
export interface ChildAbilities {
  execute: (request: RunRequest, host: ExecutionHost) => Execution;
  answer: (question: Question, signal: AbortSignal) => Promise<unknown>;
}

/** Makes this process a child of the runner. Call it once, from the file that was forked. */
export function serve(abilities: ChildAbilities): void {
  if (process.send === undefined) throw new Error('This file is started by the runner only');
  behaveInTheBackground();
  // Meant for this process: what scripts start has nothing to keep here.
  delete process.env[COMPILED_FOLDER_VARIABLE];
  let run: ChildRun | undefined;

  process.on('disconnect', endNow);
  // Ctrl-C in a terminal reaches the whole group; Node-RED decides what becomes of the run.
  process.on('SIGINT', () => undefined);
  process.on('SIGHUP', () => undefined);
  process.on('SIGTERM', () => {
    if (run === undefined) endNow();
    else run.abort();
  });
  const onUncaught = (error: unknown) => {
    if (run === undefined) {
      process.stderr.write(`${asCloudSyncError(error).message}\n`);
      endNow();
    } else run.die(error, endNow);
  };
  process.on('uncaughtException', onUncaught);
  process.on('unhandledRejection', onUncaught);

  process.on('message', (message: ToChild) => {
    switch (message.type) {
      case 'run':
        run = new ChildRun(message.request, message.logLimits, abilities.execute, send);
        run.prepare(endNow);
        break;
      case 'go':
        run?.go().then(endAfterRun, onUncaught);
        break;
      case 'abort':
        run?.abort();
        break;
      case 'ask':
        void answerOne(message.id, message.question);
        break;
    }
  });
  setInterval(() => void send({ type: 'alive' }), ALIVE_INTERVAL_MS);

  async function answerOne(id: number, question: Question): Promise<void> {
    let answer: Answer;
    try {
      // Who no longer wants an answer ends this process.
      answer = { ok: true, value: await abilities.answer(question, new AbortController().signal) };
    } catch (error) {
      answer = { ok: false, error: asCloudSyncError(error).toRecord() };
    }
    await send({ type: 'answer', id, answer });
  }
}

/** Resolves when the message is on its way; a parent that is gone is the `disconnect` event's matter. */
function send(message: FromChild): Promise<void> {
  return new Promise((resolve) => {
    if (!process.connected) return resolve();
    process.send!(message, undefined, undefined, () => resolve());
  });
}

/** The next run begins with what V8 has compiled in this one. Nothing is written where it is there already. */
function endAfterRun(): void {
  flushCompileCache?.();
  endNow();
}

/**
 * SIGKILL and not `process.exit()`: that waits for the threads of the pool, and one that is stuck in a dead network
 * mount would keep this process alive.
 */
function endNow(): void {
  killScripts();
  process.kill(process.pid, 'SIGKILL');
}

/** Besides its priority, which the launcher sets. */
function behaveInTheBackground(): void {
  const wishes = [
    // Where memory runs out for all, this process goes first, not Node-RED.
    () => writeFileSync('/proc/self/oom_score_adj', '500'),
    // A core file would hold the secrets: leave every kind of memory out of it (core(5)).
    () => writeFileSync('/proc/self/coredump_filter', '0'),
  ];
  for (const wish of wishes) {
    try {
      wish();
    } catch {
      // Another system, or not allowed: the run works without.
    }
  }
}
