/** 'Dry run' in the dialogs: begun, followed and stopped by the browser, and stopped where the browser has gone. */

import type { NodeAPI } from 'node-red';
import type { LogEntry, Progress, RunReport } from '../../src/engine/report.js';
import type { RunTicket } from '../../src/runner/runner.js';
import { addRoute, CloudSyncError, dataFolder, previewRequest, removeLog, sharedRunner } from '../runtime.js';

/** What the dialog is told each time it asks. */
export interface DryRunState {
  progress?: Progress;
  /** Why it waits. */
  waitingFor?: string;
  /** Once it is over: told once. */
  report?: RunReport;
  /** With the report: the first of what it would delete, transfer and rename. */
  entries?: LogEntry[];
}

interface DryRun {
  ticket: RunTicket;
  state: DryRunState;
  forget: NodeJS.Timeout;
}

/** The dialog asks every second; a browser that doesn't for so long has been closed. ms. */
const FORGOTTEN_MS = 30_000;
/** Lines of each kind that are shown. */
const SHOWN = 50;
const KINDS = ['would delete', 'would transfer', 'would rename'];

const dryRuns = new Map<string, DryRun>();

/** Stops it, where it goes on, and removes its log, which would push out those of real runs. */
async function forget(RED: NodeAPI, runId: string): Promise<void> {
  const ticket = dryRuns.get(runId)?.ticket;
  dryRuns.delete(runId);
  ticket?.abort('The dialog was closed');
  await ticket?.finished;
  await removeLog(dataFolder(RED), runId);
}

function forgetLater(RED: NodeAPI, runId: string): NodeJS.Timeout {
  const timer = setTimeout(() => {
    forget(RED, runId).catch((error: unknown) => RED.log.warn(`cloud-sync: ${String(error)}`));
  }, FORGOTTEN_MS);
  return timer.unref();
}

function dryRunOf(runId: string | undefined): DryRun {
  const found = dryRuns.get(runId ?? '');
  if (found !== undefined) return found;
  throw new CloudSyncError('NOT_FOUND', 'That dry run is over', { advice: 'Begin it again.' });
}

async function begin(RED: NodeAPI, body: Readonly<Record<string, unknown>>): Promise<{ runId: string }> {
  const request = await previewRequest(RED, body, dataFolder(RED));
  const { runId } = request;
  const state: DryRunState = {};
  const ticket = sharedRunner(RED).submit(request, {
    onQueued: (why) => {
      state.waitingFor = why;
    },
    onStart: () => {
      state.waitingFor = undefined;
    },
    onProgress: (progress) => {
      state.progress = progress;
    },
    onFinish: (report) => {
      state.report = report;
    },
  });
  dryRuns.set(runId, { ticket, state, forget: forgetLater(RED, runId) });
  return { runId };
}

/** Deletes first: they are what one wants to see. */
async function firstEntries(RED: NodeAPI, runId: string): Promise<LogEntry[]> {
  const pages = await Promise.all(
    KINDS.map((search) => sharedRunner(RED).log(runId, { search, limit: SHOWN })),
  );
  return pages.flatMap((page, index) => {
    if (!page.ok) throw CloudSyncError.fromRecord(page.error);
    return page.value.entries.filter(({ event }) => event === KINDS[index]);
  });
}

/**
 * | POST /cloud-sync/ | body | answer |
 * | --- | --- | --- |
 * | `dry-run` | what `previewRequest` reads | `{ runId }` |
 * | `dry-run/:runId` | | {@link DryRunState} |
 * | `dry-run/:runId/abort` | | `{}` |
 *
 * All of them use secrets, so all need `cloud-sync.write`.
 */
export function addDryRunRoutes(RED: NodeAPI): void {
  addRoute(RED, 'post', 'dry-run', ({ body }) => begin(RED, body));
  addRoute(RED, 'post', 'dry-run/:runId', async ({ params }) => {
    const runId = params.runId ?? '';
    const dryRun = dryRunOf(runId);
    clearTimeout(dryRun.forget);
    const { state } = dryRun;
    if (state.report === undefined) {
      dryRun.forget = forgetLater(RED, runId);
      return state;
    }
    const entries = await firstEntries(RED, runId);
    await forget(RED, runId);
    return { ...state, entries };
  });
  addRoute(RED, 'post', 'dry-run/:runId/abort', ({ params }) => {
    dryRunOf(params.runId).ticket.abort('Stopped in the dialog');
  });
}
