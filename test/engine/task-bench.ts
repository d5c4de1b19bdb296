/** Whole tasks between a folder and the strict S3 server, as the child process carries them out. */

import { join } from 'node:path';
import type { LogEntry } from '../../src/engine/report.js';
import { type ExecutionResult, execute } from '../../src/runner/execute.js';
import type { RunRequest, TaskCredential, TaskSettings } from '../../src/runner/task.js';
import { runRequest } from '../runner/support.js';
import type { S3Server } from '../servers/s3/server.js';
import { removeFolder, temporaryFolder } from './support.js';

export type BenchResult = ExecutionResult & {
  codes: string[];
  /** Messages of the errors. */
  said: string;
  log: LogEntry[];
};

export class TaskBench {
  readonly root = temporaryFolder();
  readonly local = join(this.root, 'local');
  readonly data = join(this.root, 'data');

  constructor(
    readonly server: S3Server,
    readonly bucket: string,
  ) {}

  get credential(): TaskCredential {
    const { url: endpoint, region, accessKeyId, secretAccessKey } = this.server;
    const secrets = { accessKeyId, secretAccessKey };
    return { id: 'c', name: 'Store', provider: 's3', config: { endpoint, region }, secrets };
  }

  /** Pushes `local` to `photos` with sync, unless `task` says otherwise. */
  async run(
    task: Partial<TaskSettings> = {},
    rest: Partial<Omit<RunRequest, 'task'>> = {},
  ): Promise<BenchResult> {
    const own = { credential: this.credential, bucket: this.bucket, folder: 'photos', path: this.local };
    const log: LogEntry[] = [];
    const host = {
      signal: new AbortController().signal,
      phase: () => {},
      log: (entry: LogEntry) => {
        log.push(entry);
      },
    };
    const { dataFolder = this.data, ...more } = rest;
    const result = await execute(runRequest(dataFolder, { ...own, ...task }, more), host).result;
    return {
      ...result,
      codes: result.errors.map(({ code }) => code),
      said: result.errors.map(({ message }) => message).join('\n'),
      log,
    };
  }

  /** Keys of the task's files. */
  get keys(): string[] {
    return this.server.objects.keys(this.bucket).filter((key) => !key.includes('.node-red-cloud-sync/'));
  }

  /** Requests by operation. */
  get counts(): Record<string, number> {
    return this.server.requests.counts;
  }

  dispose(): void {
    removeFolder(this.root);
  }
}
