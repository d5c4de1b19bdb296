/** Whole runs between a folder and a provider on loopback, through a proxy that does harm. */

import { join } from 'node:path';
import type { LogEntry } from '../../src/engine/report.js';
import { type Execution, type ExecutionResult, execute } from '../../src/runner/execute.js';
import type { RunRequest, TaskSettings } from '../../src/runner/task.js';
import { removeFolder, temporaryFolder } from '../engine/support.js';
import { runRequest } from '../runner/support.js';
import type { Access, FarEnd } from './far-ends.js';

export type BenchRun = ExecutionResult & {
  log: LogEntry[];
  /** `CODE: message` of each error, paths in front. */
  said: string[];
};

export interface BenchOptions extends Partial<TaskSettings> {
  access?: Access;
  signal?: AbortSignal;
  /** Called with the run when it has begun. */
  watch?: (execution: Execution) => void;
  request?: Partial<Omit<RunRequest, 'task'>>;
}

export class FaultBench {
  readonly root = temporaryFolder();
  readonly local = join(this.root, 'local');
  readonly restored = join(this.root, 'restored');

  /**
   * @param endpoint Where runs go: the server's address or that of a proxy in front of it.
   * @param folder In the bucket.
   */
  constructor(
    readonly farEnd: FarEnd,
    private readonly endpoint: string,
    private readonly folder: string,
  ) {}

  /** A push of {@link local}, unless `options` say otherwise. */
  async run(options: BenchOptions = {}): Promise<BenchRun> {
    const { access = this.farEnd.access(this.endpoint), signal, watch, request, ...task } = options;
    const log: LogEntry[] = [];
    const whole = runRequest(
      join(this.root, 'data'),
      {
        taskId: task.direction ?? 'push',
        credential: { id: 'c', name: 'Store', provider: this.farEnd.provider, ...access },
        bucket: this.farEnd.bucket,
        folder: this.folder,
        path: task.direction === 'pull' ? this.restored : this.local,
        lease: false,
        ...task,
      },
      request,
    );
    const execution = execute(whole, {
      signal: signal ?? new AbortController().signal,
      phase: () => {},
      log: (entry) => {
        log.push(entry);
      },
    });
    watch?.(execution);
    const result = await execution.result;
    const said = result.errors.map(({ path, code, message }) => `${path}${path && ' '}${code}: ${message}`);
    return { ...result, log, said };
  }

  /** A copy back to {@link restored}. */
  pull(options: BenchOptions = {}): Promise<BenchRun> {
    return this.run({ direction: 'pull', transferMode: 'copy', ...options });
  }

  dispose(): void {
    removeFolder(this.root);
  }
}
