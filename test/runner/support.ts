/** What the runner's tests share: folders of their own, requests, the fake child, waiting for conditions. */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { type BuildOptions, build } from 'esbuild';
import type { Progress, RunReport } from '../../src/engine/report.js';
import type { RunListener } from '../../src/runner/runner.js';
import type { RunRequest, TaskSettings } from '../../src/runner/task.js';
import { TASK_DEFAULTS } from '../task-defaults.js';

const folders: string[] = [];

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cloud-sync-runner-'));
  folders.push(folder);
  return folder;
}

after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/**
 * Bundles a file beside this one, as the package's build does with `child.ts`, and the launcher's thread beside it; the
 * path of the result.
 */
export async function bundle(name: string): Promise<string> {
  // Within the package, where its dependencies are found.
  const folder = mkdtempSync(resolve('node_modules', '.runner-test-'));
  folders.push(folder);
  const outfile = join(folder, `${basename(name)}.cjs`);
  const { dependencies = {} } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies?: object };
  const shared: BuildOptions = {
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node22',
    external: [...Object.keys(dependencies), 'sodium-native'],
    logLevel: 'error',
  };
  await Promise.all([
    build({ ...shared, entryPoints: [resolve('test/runner', `${name}.ts`)], outfile }),
    build({ ...shared, entryPoints: [resolve('src/runner/launcher-thread.ts')], outdir: folder }),
  ]);
  return outfile;
}

let runs = 0;

export function runRequest(
  dataFolder: string,
  task: Partial<TaskSettings> = {},
  rest: Partial<Omit<RunRequest, 'task' | 'dataFolder'>> = {},
): RunRequest {
  const nodeId = rest.nodeId ?? task.taskId ?? 'node-1';
  return {
    runId: `run-${++runs}-${process.pid}`,
    nodeId,
    operation: 'sync',
    dataFolder,
    ...rest,
    task: {
      taskId: nodeId,
      name: 'quick',
      credential: {
        id: 'credential-1',
        name: 'Store',
        provider: 's3',
        config: { endpoint: 'http://127.0.0.1:9' },
        secrets: { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'top/secret+value' },
      },
      direction: 'push',
      transferMode: 'sync',
      path: `/nowhere/${nodeId}`,
      bucket: 'photos',
      folder: nodeId,
      ...TASK_DEFAULTS,
      ...task,
    },
  };
}

/** Keeps everything it is told. */
export class Recorder implements RunListener {
  queued: string[] = [];
  starts = 0;
  progress: (Progress & { at: number })[] = [];
  reports: RunReport[] = [];

  onQueued(why: string): void {
    this.queued.push(why);
  }
  onStart(): void {
    this.starts++;
  }
  onProgress(progress: Progress): void {
    this.progress.push({ ...progress, at: performance.now() });
  }
  onFinish(report: RunReport): void {
    this.reports.push(report);
  }
}

/** Whether a process is there and no zombie. */
export async function isRunning(pid: number): Promise<boolean> {
  const { identifyProcess, processState } = await import('../../src/runner/process-identity.js');
  const identity = await identifyProcess(pid);
  return identity.started !== '' && (await processState(identity)) === 'alive';
}

/** How nice each thread of a process is, 0 to 19 (Linux). */
export function nicenessOfThreads(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).map((id) => {
    const text = readFileSync(`/proc/${pid}/task/${id}/stat`, 'latin1');
    // proc(5): nice is field 19; the first one behind the name is field 3.
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[19 - 3]);
  });
}
