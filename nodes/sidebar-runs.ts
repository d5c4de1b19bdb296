/** Restores and verifications that are started in the sidebar, without a node on a flow. */

import type { NodeMessage } from 'node-red';
import type { Operation } from '../src/engine/report.js';
import type { Runner } from '../src/runner/runner.js';
import type { RunRequest } from '../src/runner/task.js';

/** One of them, for as long as this process lives; its history and log stay. */
export interface SidebarRun {
  id: string;
  operation: 'restore' | 'verify';
  taskId: string;
  /** Of the task. */
  name: string;
}

const known = new Map<string, SidebarRun>();

/** A task has one place for restores and one for verifications. */
export function sidebarRunId(taskId: string, operation: Operation): string {
  return `${taskId}-${operation}`;
}

export function sidebarRuns(): SidebarRun[] {
  return [...known.values()];
}

export function sidebarRun(id: string): SidebarRun | undefined {
  return known.get(id);
}

/** Takes it off the list. */
export function forgetSidebarRun(id: string): boolean {
  return known.delete(id);
}

/** Starts it. What comes of it stands in its report, which the runner keeps. */
export function startSidebarRun(runs: Pick<Runner, 'submit'>, request: RunRequest): string {
  const { nodeId, operation, task } = request;
  if (operation !== 'sync')
    known.set(nodeId, { id: nodeId, operation, taskId: task.taskId, name: task.name });
  return runs.submit(request, { onFinish: () => undefined }).runId;
}

/** `payload.paths` of a restore. */
export function pathsMessage(paths: readonly string[] | undefined): NodeMessage {
  return paths === undefined ? {} : { payload: { paths } };
}
