/**
 * Questions of the editor (is this credential right, which buckets are there ...), answered in a child process as runs
 * are: a long listing, a stuck connection or mount must not reach Node-RED.
 */

import { abortedError, CloudSyncError, type ErrorRecord } from '../errors.js';
import type { Launcher } from './launcher.js';
import { describeEnd, lastLines, type ProcessEnd, SupervisedProcess } from './process.js';
import type { Answer, AnswerTo, Question } from './questions.js';
import { scrubber, secretsOf } from './scrub.js';
import type { FromChild } from './transport.js';

export interface AskOptions {
  /** Starts the children. */
  launcher: Launcher;
  /** MiB. */
  memoryMb?: number;
  /** ms for one answer. */
  timeLimitMs?: number;
  /** ms a child waits for the next question. */
  idleMs?: number;
  /** Children at the same time at most; each answers one question at a time. */
  maxChildren?: number;
}

/** Questions that may wait at the same time; more than that is no person clicking. */
const MOST_WAITING = 100;

interface Asked {
  question: Question;
  signal: AbortSignal | undefined;
  settle: (answer: Answer) => void;
}

interface Helper {
  process: SupervisedProcess;
  current: { id: number; question: Question; settle: (answer: Answer) => void } | undefined;
  idle: NodeJS.Timeout | undefined;
}

export class QuestionPool {
  readonly #options: Required<AskOptions>;
  readonly #helpers = new Set<Helper>();
  readonly #waiting: Asked[] = [];
  #nextId = 1;
  #closed = false;

  constructor(options: AskOptions) {
    this.#options = { memoryMb: 512, timeLimitMs: 60_000, idleMs: 30_000, maxChildren: 2, ...options };
  }

  /** Never rejects: what went wrong is the answer. */
  ask<Q extends Question>(question: Q, signal?: AbortSignal): Promise<AnswerTo<Q>> {
    return new Promise((resolve) => {
      if (this.#closed || signal?.aborted) return resolve(failure(abortedError()));
      if (this.#waiting.length >= MOST_WAITING) {
        return resolve(failure(new CloudSyncError('BUSY', 'Too many questions at once')));
      }
      this.#waiting.push({ question, signal, settle: (answer) => resolve(answer as AnswerTo<Q>) });
      this.#serve();
    });
  }

  /** Ends the children; open questions are answered with ABORTED. */
  close(): void {
    this.#closed = true;
    for (const asked of this.#waiting.splice(0)) asked.settle(failure(abortedError()));
    for (const helper of this.#helpers) helper.process.kill('stopped');
  }

  #serve(): void {
    while (this.#waiting.length > 0) {
      const helper = this.#freeHelper();
      if (helper === undefined) return;
      const asked = this.#waiting.shift()!;
      if (asked.signal?.aborted) asked.settle(failure(abortedError()));
      else this.#put(asked, helper);
    }
  }

  #freeHelper(): Helper | undefined {
    const free = [...this.#helpers].find((helper) => helper.current === undefined);
    if (free !== undefined || this.#helpers.size >= this.#options.maxChildren) return free;
    const helper: Helper = {
      process: new SupervisedProcess({
        launcher: this.#options.launcher,
        memoryMb: this.#options.memoryMb,
        onMessage: (message) => this.#onMessage(helper, message),
      }),
      current: undefined,
      idle: undefined,
    };
    this.#helpers.add(helper);
    void helper.process.ended.then((end) => {
      this.#drop(helper);
      helper.current?.settle(failure(this.#died(end, helper.current.question)));
      this.#serve();
    });
    return helper;
  }

  #died(end: ProcessEnd, question: Question): CloudSyncError {
    const scrub = scrubber('credential' in question ? secretsOf(question.credential) : []);
    const what = describeEnd(end, this.#options.memoryMb).replace("The run's process", 'The process');
    const words = scrub(lastLines(end).join(' / ')).slice(0, 300);
    return new CloudSyncError('RUN_DIED', words === '' ? what : `${what}. Its last words: ${words}`);
  }

  #put(asked: Asked, helper: Helper): void {
    clearTimeout(helper.idle);
    const id = this.#nextId++;
    const limit = setTimeout(() => {
      const seconds = Math.round(this.#options.timeLimitMs / 1000);
      finish(failure(new CloudSyncError('TIMEOUT', `No answer within ${seconds} s`)));
      this.#end(helper);
    }, this.#options.timeLimitMs);
    limit.unref();
    const onAbort = () => {
      finish(failure(abortedError()));
      this.#end(helper);
    };
    const finish = (answer: Answer) => {
      clearTimeout(limit);
      asked.signal?.removeEventListener('abort', onAbort);
      helper.current = undefined;
      asked.settle(answer);
    };
    asked.signal?.addEventListener('abort', onAbort, { once: true });
    helper.current = { id, question: asked.question, settle: finish };
    helper.process.send({ type: 'ask', id, question: asked.question });
  }

  #onMessage(helper: Helper, message: FromChild): void {
    if (message.type !== 'answer' || helper.current?.id !== message.id) return;
    helper.current.settle(message.answer);
    helper.idle = setTimeout(() => this.#end(helper), this.#options.idleMs);
    helper.idle.unref();
    this.#serve();
  }

  /** A child that still works on something nobody wants is not asked again. */
  #end(helper: Helper): void {
    this.#drop(helper);
    helper.process.kill('stopped');
    this.#serve();
  }

  #drop(helper: Helper): void {
    clearTimeout(helper.idle);
    this.#helpers.delete(helper);
  }
}

function failure(error: CloudSyncError): { ok: false; error: ErrorRecord } {
  return { ok: false, error: error.toRecord() };
}
