/**
 * A thread that hashes stretches of open files, one for all stores of this process: an MD5 can only be taken from one end
 * to the other, and takes longer than fetching and writing the bytes on a fast line.
 */

import { Worker } from 'node:worker_threads';
import type { HashAlgorithm, Hashes } from '../store.js';

/** What the thread can compute. */
const ALGORITHMS: readonly HashAlgorithm[] = ['md5', 'sha1', 'sha256'];

/** Answers each message with what failed or with the hashes, in the order it was asked. */
const THREAD = `
const { createHash } = require('node:crypto');
const { readSync } = require('node:fs');
const { parentPort } = require('node:worker_threads');

const buffer = Buffer.allocUnsafeSlow(512 * 1024);
const started = new Map();

function update({ id, algorithms, fd, offset, length }) {
  let hashes = started.get(id);
  if (hashes === undefined) started.set(id, (hashes = algorithms.map((algorithm) => createHash(algorithm))));
  for (let done = 0; done < length; ) {
    const count = readSync(fd, buffer, 0, Math.min(buffer.length, length - done), offset + done);
    if (count === 0) throw new Error('The file ends too early');
    const bytes = buffer.subarray(0, count);
    for (const hash of hashes) hash.update(bytes);
    done += count;
  }
}

function finish({ id, algorithms }) {
  const hashes = started.get(id) ?? algorithms.map((algorithm) => createHash(algorithm));
  started.delete(id);
  return Object.fromEntries(algorithms.map((algorithm, index) => [algorithm, hashes[index].digest('hex')]));
}

const acts = { update, finish, drop: ({ id }) => void started.delete(id) };

parentPort.on('message', (message) => {
  try {
    parentPort.postMessage({ result: acts[message.act](message) });
  } catch (error) {
    started.delete(message.id);
    parentPort.postMessage({ failure: String(error.message) });
  }
});
`;

interface Answer {
  result?: Hashes;
  failure?: string;
}

interface Thread {
  worker: Worker;
  hasEnded: boolean;
  /** Those who wait for an answer, in the order they asked. */
  waiting: ((answer: Answer) => void)[];
}

const ENDED = 'The thread that hashes has ended';

let running: Thread | undefined;
let lastId = 0;

/** Whether {@link ThreadHash} can compute all of these. */
export function canHashInThread(algorithms: readonly HashAlgorithm[]): boolean {
  return algorithms.every((algorithm) => ALGORITHMS.includes(algorithm));
}

/** A FileHash whose bytes are read in the thread, which nothing stops. */
export class ThreadHash {
  readonly #id = ++lastId;
  /** The one that has what was hashed so far. */
  #thread: Thread | undefined;

  constructor(private readonly algorithms: readonly HashAlgorithm[]) {}

  async update(fd: number, offset: number, length: number): Promise<void> {
    await this.#ask({ act: 'update', fd, offset, length });
  }

  async finish(): Promise<Hashes> {
    return (await this.#ask({ act: 'finish' }))!;
  }

  drop(): void {
    if (this.#thread?.hasEnded === false) this.#ask({ act: 'drop' }).catch(() => {});
  }

  async #ask(message: object): Promise<Hashes | undefined> {
    this.#thread ??= running ??= startThread();
    const { worker, waiting, hasEnded } = this.#thread;
    if (hasEnded) throw new Error(ENDED);
    const { result, failure } = await new Promise<Answer>((resolve) => {
      waiting.push(resolve);
      // An answer that is waited for keeps this process alive, the thread alone doesn't.
      worker.ref();
      worker.postMessage({ ...message, id: this.#id, algorithms: this.algorithms });
    });
    if (failure !== undefined) throw new Error(failure);
    return result;
  }
}

/** Ends the thread whoever uses it: for tests of what happens without one. */
export async function endHashThread(): Promise<void> {
  await running?.worker.terminate();
}

function startThread(): Thread {
  const worker = new Worker(THREAD, {
    eval: true,
    execArgv: [],
    // It allocates next to nothing; a heap as small as possible.
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1 },
  });
  const thread: Thread = { worker, hasEnded: false, waiting: [] };
  const end = () => {
    thread.hasEnded = true;
    if (running === thread) running = undefined;
    for (const resolve of thread.waiting.splice(0)) resolve({ failure: ENDED });
  };
  worker.on('error', end);
  worker.on('exit', end);
  worker.on('message', (answer: Answer) => {
    thread.waiting.shift()?.(answer);
    if (thread.waiting.length === 0) worker.unref();
  });
  worker.unref();
  return thread;
}
