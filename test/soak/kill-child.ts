/** Processes that carry out one run each and are killed in the middle of it. */

import { type ChildProcess, fork } from 'node:child_process';
import type { RunRequest } from '../../src/runner/task.js';
import type { S3Access } from './places.js';

/** What a process is told. */
export interface KillOrder {
  access: S3Access;
  request: RunRequest;
}

export class KillChild {
  private readonly child: ChildProcess;
  private wasKilled = false;

  constructor(
    private readonly access: S3Access,
    program: string,
  ) {
    this.child = fork(program, { execArgv: [] });
  }

  /** Carries the run out; true where the process was killed before its end. */
  async run(request: RunRequest): Promise<boolean> {
    const ended = new Promise<void>((resolve) => this.child.once('exit', () => resolve()));
    this.child.send({ access: this.access, request } satisfies KillOrder);
    await ended;
    return this.wasKilled;
  }

  kill(): void {
    if (this.child.exitCode !== null || this.wasKilled) return;
    this.wasKilled = this.child.kill('SIGKILL');
  }
}
