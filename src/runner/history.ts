/**
 * Runs remembered across restarts: `history/<nodeId>.jsonl`, one line per run, the last ones only; and a marker in
 * `running/` for each run that goes on, so that one that Node-RED didn't survive is shown as interrupted.
 */

import { appendFile, mkdir, readdir, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RunReport } from '../engine/report.js';
import type { ErrorRecord } from '../errors.js';
import { safeFileName } from './file-names.js';
import { identifyProcess, type ProcessIdentity, processState } from './process-identity.js';
import type { Resumption } from './task.js';

/** One remembered run. */
export interface HistoryEntry {
  report: RunReport;
  /** Node-RED ended or was stopped while it went on. */
  interrupted: boolean;
  /** How the interrupted run can be asked for again. */
  resumption?: Resumption;
  /** ISO 8601: the first failure since the last success; undefined: it doesn't count as failed. */
  failedSince?: string;
  /** ISO 8601: when the last run that succeeded and was no dry run finished. */
  succeededAt?: string;
}

export interface HistoryLimits {
  /** Runs remembered per node. */
  runs: number;
  days: number;
}

interface Marker {
  nodeId: string;
  owner: ProcessIdentity;
  report: RunReport;
  resumption?: Resumption;
}

interface NodeHistory {
  last: HistoryEntry | undefined;
  /** Lines in the file. */
  lines: number;
  loading: Promise<void> | undefined;
  /** Writes follow each other. */
  queue: Promise<void>;
}

/** Of each list in a report, what history keeps: the log has all. */
const KEPT = 20;
const LISTS = ['differs', 'missingLocal', 'missingRemote', 'unreadable', 'unverifiable', 'sampled'] as const;
const INTERRUPTED: ErrorRecord = {
  path: '',
  code: 'ABORTED',
  message: 'Node-RED ended while this run went on',
};

export class History {
  readonly #historyFolder: string;
  readonly #runningFolder: string;
  readonly #limits: HistoryLimits;
  readonly #nodes = new Map<string, NodeHistory>();

  constructor(dataFolder: string, limits: HistoryLimits) {
    this.#historyFolder = join(dataFolder, 'history');
    this.#runningFolder = join(dataFolder, 'running');
    this.#limits = limits;
  }

  /** The last run of `nodeId` as far as it is known by now; {@link load} makes sure. */
  last(nodeId: string): HistoryEntry | undefined {
    return this.#nodes.get(nodeId)?.last;
  }

  /** Reads what earlier processes left of `nodeId`. Unreadable history is no history, never an error. */
  load(nodeId: string): Promise<void> {
    const node = this.#node(nodeId);
    node.loading ??= this.#lines(nodeId).then((lines) => {
      node.lines += lines.length;
      // Unless a run ended meanwhile.
      node.last ??= parseEntry(lines.at(-1));
    });
    return node.loading;
  }

  /** Remembers a run. {@link last} knows it at once; the file follows. */
  async add(nodeId: string, report: RunReport, interrupted: boolean, resumption?: Resumption): Promise<void> {
    await this.load(nodeId);
    const node = this.#node(nodeId);
    const entry = follow(node.last, bounded(report), interrupted);
    if (interrupted && resumption !== undefined) entry.resumption = resumption;
    node.last = entry;
    node.queue = node.queue.then(() => this.#append(nodeId, node, entry)).catch(() => undefined);
    await node.queue;
  }

  /** All remembered runs of `nodeId`, newest first. */
  async read(nodeId: string): Promise<RunReport[]> {
    await this.#nodes.get(nodeId)?.queue;
    const reports: RunReport[] = [];
    for (const line of (await this.#lines(nodeId)).reverse()) {
      const entry = parseEntry(line);
      if (entry !== undefined) reports.push(entry.report);
      // Node-RED's other flows go between.
      if (reports.length % 25 === 0) await nextTurn();
    }
    return reports;
  }

  /** Marks a run as going on. `report` is what will be remembered should Node-RED not survive it. */
  async begin(nodeId: string, report: RunReport, resumption?: Resumption): Promise<void> {
    const owner = await identifyProcess(process.pid);
    const marker: Marker = { nodeId, owner, report: bounded(report) };
    if (resumption !== undefined) marker.resumption = resumption;
    await mkdir(this.#runningFolder, { recursive: true });
    await writeAtomically(this.#markerFile(report.runId), JSON.stringify(marker));
  }

  async end(runId: string): Promise<void> {
    await unlink(this.#markerFile(runId)).catch(() => undefined);
  }

  /** Ids of the runs that go on, of all processes. */
  async running(): Promise<string[]> {
    return (await this.#markers()).map((marker) => marker.report.runId);
  }

  /**
   * Turns the markers that dead processes left into interrupted runs. `isHeld` tells whether a run's lock is still
   * held by a living process. Returns the nodes concerned, and whether it has to be called again a little later.
   */
  async recover(isHeld: (runId: string) => Promise<boolean>): Promise<{ nodeIds: string[]; again: boolean }> {
    const nodeIds: string[] = [];
    let again = false;
    for (const { nodeId, owner, report, resumption } of await this.#markers()) {
      if ((await processState(owner)) === 'alive') continue;
      if (await isHeld(report.runId)) {
        again = true;
        continue;
      }
      const finishedAt = await this.#lastSign(report);
      const durationMs = Math.max(0, finishedAt.getTime() - Date.parse(report.startedAt));
      const ended = { ...report, finishedAt: finishedAt.toISOString(), durationMs, warnings: [INTERRUPTED] };
      await this.add(nodeId, ended, true, resumption);
      await this.end(report.runId);
      nodeIds.push(nodeId);
    }
    return { nodeIds, again };
  }

  /** Removes the history of nodes that have not run for longer than history is kept. */
  async prune(): Promise<void> {
    const oldest = Date.now() - this.#limits.days * 86_400_000;
    for (const name of await readdir(this.#historyFolder).catch(() => [])) {
      const file = join(this.#historyFolder, name);
      const found = await stat(file).catch(() => undefined);
      if (found !== undefined && found.mtimeMs < oldest) await unlink(file).catch(() => undefined);
    }
  }

  /** Resolves when everything remembered so far is in its file. */
  async settled(): Promise<void> {
    await Promise.all([...this.#nodes.values()].map((node) => node.queue));
  }

  async #append(nodeId: string, node: NodeHistory, entry: HistoryEntry): Promise<void> {
    const file = this.#historyFile(nodeId);
    await mkdir(this.#historyFolder, { recursive: true });
    await appendFile(file, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
    node.lines++;
    // Not at every run: rewriting costs more than a few lines too many.
    if (node.lines > this.#limits.runs * 1.25) {
      const kept = await this.#recent(nodeId);
      await writeAtomically(file, kept.map((line) => `${line}\n`).join(''));
      node.lines = kept.length;
    }
  }

  async #recent(nodeId: string): Promise<string[]> {
    const oldest = Date.now() - this.#limits.days * 86_400_000;
    const lines = (await this.#lines(nodeId)).slice(-this.#limits.runs);
    // In order of time: where the first young one is, the old ones end.
    let first = 0;
    while (first < lines.length - 1) {
      const finishedAt = parseEntry(lines[first])?.report.finishedAt;
      if (finishedAt !== undefined && Date.parse(finishedAt) >= oldest) break;
      first++;
    }
    return lines.slice(first);
  }

  /** Whole lines only: the last one may be half written. */
  async #lines(nodeId: string): Promise<string[]> {
    const text = await readFile(this.#historyFile(nodeId), 'utf8').catch(() => '');
    const lines = text.split('\n');
    if (lines.pop() !== '') await this.#mend(nodeId, lines);
    return lines;
  }

  /** What a crash left half written must not grow together with the next line. */
  async #mend(nodeId: string, lines: readonly string[]): Promise<void> {
    await writeAtomically(this.#historyFile(nodeId), lines.map((line) => `${line}\n`).join('')).catch(
      () => undefined,
    );
  }

  async #markers(): Promise<Marker[]> {
    const markers: Marker[] = [];
    for (const name of await readdir(this.#runningFolder).catch(() => [])) {
      if (!name.endsWith('.json')) continue;
      const file = join(this.#runningFolder, name);
      try {
        markers.push(JSON.parse(await readFile(file, 'utf8')) as Marker);
      } catch (error) {
        if (error instanceof SyntaxError) await unlink(file).catch(() => undefined);
      }
    }
    return markers;
  }

  /** When the run is known to have lived last: its marker is no younger than its start. */
  async #lastSign(report: RunReport): Promise<Date> {
    const found = await stat(this.#markerFile(report.runId)).catch(() => undefined);
    return found?.mtime ?? new Date(report.startedAt);
  }

  #node(nodeId: string): NodeHistory {
    let node = this.#nodes.get(nodeId);
    if (node === undefined) {
      node = { last: undefined, lines: 0, loading: undefined, queue: Promise.resolve() };
      this.#nodes.set(nodeId, node);
    }
    return node;
  }

  #historyFile(nodeId: string): string {
    return join(this.#historyFolder, `${safeFileName(nodeId)}.jsonl`);
  }

  #markerFile(runId: string): string {
    return join(this.#runningFolder, `${safeFileName(runId)}.json`);
  }
}

/** A failed task stays marked until it succeeds; a dry run neither sets nor clears the mark. */
function follow(before: HistoryEntry | undefined, report: RunReport, interrupted: boolean): HistoryEntry {
  let { failedSince, succeededAt } = before ?? {};
  if (!report.dryRun && report.status === 'success') {
    failedSince = undefined;
    succeededAt = report.finishedAt;
  }
  if (!report.dryRun && report.status === 'failed') failedSince ??= report.finishedAt;
  return { report, interrupted, failedSince, succeededAt };
}

function bounded(report: RunReport): RunReport {
  const copy: RunReport = {
    ...report,
    errors: report.errors.slice(0, KEPT),
    warnings: report.warnings.slice(0, KEPT),
  };
  const { pendingDeletes, restored } = report;
  if (restored?.paths !== undefined) copy.restored = { ...restored, paths: restored.paths.slice(0, KEPT) };
  if (pendingDeletes !== undefined) {
    copy.pendingDeletes = { ...pendingDeletes, paths: pendingDeletes.paths.slice(0, KEPT) };
  }
  for (const list of LISTS) if (copy[list] !== undefined) copy[list] = copy[list].slice(0, KEPT);
  return copy;
}

function parseEntry(line: string | undefined): HistoryEntry | undefined {
  if (line === undefined) return undefined;
  try {
    return JSON.parse(line) as HistoryEntry;
  } catch {
    return undefined;
  }
}

async function writeAtomically(file: string, text: string): Promise<void> {
  await writeFile(`${file}.tmp`, text, { mode: 0o600 });
  await rename(`${file}.tmp`, file);
}
