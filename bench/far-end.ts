/** The server that both programs work against, in a process of its own so that its work is nobody's. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { cpuTime, descendants } from './processes.js';

export const BUCKET = 'bench';

/** S3: the strict server of the tests; Google: likewise; Azure: Microsoft's emulator. */
export const PROVIDERS = ['s3', 'azure-blob', 'google-cloud-storage'] as const;
export type Provider = (typeof PROVIDERS)[number];

type FarEndWish =
  | { type: 'empty' }
  | { type: 'latency'; ms: number }
  | { type: 'take-counts' }
  | { type: 'count-objects' };

export type FarEndQuestion = FarEndWish & { id: number };
export interface FarEndAnswer {
  id: number;
  value: unknown;
}

export interface FarEndAccess {
  /** Of a cloud-credential node: its properties, and its secrets under `credentials`. */
  credential: Record<string, string | Record<string, string>>;
  /** Of a remote of rclone, by the names of its configuration file. */
  rclone: Record<string, string>;
}

export class FarEnd {
  #questions = 0;
  readonly #waiting = new Map<number, (value: unknown) => void>();

  private constructor(
    private readonly child: ChildProcess,
    readonly provider: Provider,
    readonly access: FarEndAccess,
  ) {
    child.on('message', ({ id, value }: FarEndAnswer) => {
      this.#waiting.get(id)?.(value);
      this.#waiting.delete(id);
    });
  }

  /** @param wrapper a program and its arguments that start the server in its place */
  static async start(provider: Provider, wrapper: readonly string[]): Promise<FarEnd> {
    const main = resolve(__dirname, 'far-end-process.ts');
    const command = [process.execPath, '--max-old-space-size=8192', '--import', 'tsx', main, provider];
    const [program, ...parameters] = [...wrapper, ...command];
    const child = spawn(program!, parameters, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const [access] = (await once(child, 'message')) as [FarEndAccess];
    return new FarEnd(child, provider, access);
  }

  /** CPU time it has taken so far, ms. */
  get cpuMs(): number {
    const pid = this.child.pid!;
    return [pid, ...descendants(pid)].reduce((sum, each) => sum + cpuTime(each).own, 0);
  }

  /** Removes all objects. */
  async empty(): Promise<void> {
    await this.#ask({ type: 'empty' });
  }

  /** Waits so many ms before each answer. */
  async setLatency(ms: number): Promise<void> {
    await this.#ask({ type: 'latency', ms });
  }

  /** Requests by operation since it was last asked; empty where the server doesn't count. */
  async takeCounts(): Promise<Record<string, number>> {
    return (await this.#ask({ type: 'take-counts' })) as Record<string, number>;
  }

  async countObjects(): Promise<number> {
    return (await this.#ask({ type: 'count-objects' })) as number;
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
