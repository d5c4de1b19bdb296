/** The S3 server that both programs work against, in a process of its own so that its work is nobody's. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';

export const BUCKET = 'bench';

type FarEndWish =
  | { type: 'empty'; bucket: string }
  | { type: 'latency'; ms: number }
  | { type: 'take-counts' }
  | { type: 'summary'; bucket: string };

export type FarEndQuestion = FarEndWish & { id: number };
export interface FarEndAnswer {
  id: number;
  value: unknown;
}

export interface S3Access {
  url: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
}

export class FarEnd {
  #questions = 0;
  readonly #waiting = new Map<number, (value: unknown) => void>();

  private constructor(
    private readonly child: ChildProcess,
    readonly access: S3Access,
  ) {
    child.on('message', ({ id, value }: FarEndAnswer) => {
      this.#waiting.get(id)?.(value);
      this.#waiting.delete(id);
    });
  }

  /** @param wrapper a program and its arguments that start the server in its place */
  static async start(wrapper: readonly string[]): Promise<FarEnd> {
    const main = resolve(__dirname, 'far-end-process.ts');
    const command = [process.execPath, '--max-old-space-size=8192', '--import', 'tsx', main, BUCKET];
    const [program, ...parameters] = [...wrapper, ...command];
    const child = spawn(program!, parameters, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const [access] = (await once(child, 'message')) as [S3Access];
    return new FarEnd(child, access);
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** Removes all objects. */
  async empty(): Promise<void> {
    await this.#ask({ type: 'empty', bucket: BUCKET });
  }

  /** Waits so many ms before each answer. */
  async setLatency(ms: number): Promise<void> {
    await this.#ask({ type: 'latency', ms });
  }

  /** Requests by operation since it was last asked. */
  async takeCounts(): Promise<Record<string, number>> {
    return (await this.#ask({ type: 'take-counts' })) as Record<string, number>;
  }

  async summary(): Promise<{ objects: number; bytes: number }> {
    return (await this.#ask({ type: 'summary', bucket: BUCKET })) as { objects: number; bytes: number };
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await gone;
  }

  #ask(wish: FarEndWish): Promise<unknown> {
    const id = ++this.#questions;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.child.send({ ...wish, id });
    });
  }
}
