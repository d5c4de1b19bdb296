/**
 * The log of a run: one JSON text per line. The child process writes it, so that not one line passes through Node-RED's
 * event loop, and what was written survives the child. `logs/<runId>.jsonl` grows to {@link SEGMENT_BYTES}, then becomes
 * `<runId>.<n>.jsonl.gz` and a new one begins.
 */

import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { LogEntry } from '../engine/report.js';
import { safeFileName } from './file-names.js';

/** Bounds of all logs together and of each. */
export interface LogLimits {
  /** Bytes of one run's log, before compression; beyond, only warnings and errors are kept. */
  runBytes: number;
  /** Bytes of all logs on the disk. */
  totalBytes: number;
  /** Logs older than this are removed. */
  days: number;
  /** Files of all logs together: of a task that runs every minute there are more than anybody reads. Default 5,000. */
  files?: number;
}

export const DEFAULT_LOG_LIMITS: LogLimits = { runBytes: 256 << 20, totalBytes: 512 << 20, days: 90 };
const DEFAULT_FILES = 5000;

const SEGMENT_BYTES = 2 << 20;
const FLUSH_BYTES = 64 << 10;
const FLUSH_MS = 200;
/** Warnings and errors may go on past `runBytes` by this much. */
const PROBLEM_BYTES = 32 << 20;

function logFolder(dataFolder: string): string {
  return join(dataFolder, 'logs');
}

/** Path of the part of the log that is being written. */
export function currentLogFile(dataFolder: string, runId: string): string {
  return join(logFolder(dataFolder), `${safeFileName(runId)}.jsonl`);
}

function rotatedLogFile(dataFolder: string, runId: string, segment: number): string {
  return join(logFolder(dataFolder), `${safeFileName(runId)}.${String(segment).padStart(4, '0')}.jsonl`);
}

/**
 * Writes a log, synchronously, in small batches: for the child process only. A log that can't be written (full disk)
 * never stops a run; `lostEntries` says how much is missing.
 */
export class LogWriter {
  lostEntries = 0;
  readonly #dataFolder: string;
  readonly #runId: string;
  readonly #limits: LogLimits;
  readonly #segmentBytes: number;
  #lines: string[] = [];
  #lineBytes = 0;
  #segment = 1;
  #segmentSize = 0;
  #written = 0;
  #full = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(dataFolder: string, runId: string, limits: LogLimits, segmentBytes = SEGMENT_BYTES) {
    this.#dataFolder = dataFolder;
    this.#runId = runId;
    this.#limits = limits;
    this.#segmentBytes = segmentBytes;
    try {
      mkdirSync(logFolder(dataFolder), { recursive: true, mode: 0o700 });
    } catch {
      // Said by `lostEntries` as soon as there is something to write.
    }
  }

  write(entry: LogEntry): void {
    const bound = this.#limits.runBytes + (entry.level === 'info' ? 0 : PROBLEM_BYTES);
    if (this.#written + this.#lineBytes > bound) {
      if (this.#full) return;
      this.#full = true;
      this.#add({
        time: entry.time,
        level: 'warning',
        event: 'log-full',
        message: 'The log of this run is full: from here on only warnings and errors are kept',
      });
      return;
    }
    this.#add(entry);
  }

  /** Everything given so far is handed to the file system. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#lines.length === 0) return;
    const count = this.#lines.length;
    const text = this.#lines.join('');
    this.#lines = [];
    try {
      appendFileSync(currentLogFile(this.#dataFolder, this.#runId), text, { mode: 0o600 });
      this.#written += this.#lineBytes;
      this.#segmentSize += this.#lineBytes;
      if (this.#segmentSize >= this.#segmentBytes) this.#rotate();
    } catch {
      this.lostEntries += count;
    }
    this.#lineBytes = 0;
  }

  #add(entry: LogEntry): void {
    const line = lineOf(entry);
    this.#lines.push(line);
    this.#lineBytes += Buffer.byteLength(line);
    if (this.#lineBytes >= FLUSH_BYTES) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref();
  }

  #rotate(): void {
    const rotated = rotatedLogFile(this.#dataFolder, this.#runId, this.#segment);
    renameSync(currentLogFile(this.#dataFolder, this.#runId), rotated);
    this.#segment++;
    this.#segmentSize = 0;
    writeFileSync(`${rotated}.tmp`, gzipSync(readFileSync(rotated), { level: 4 }), { mode: 0o600 });
    renameSync(`${rotated}.tmp`, `${rotated}.gz`);
    unlinkSync(rotated);
  }
}

/** The entry as `JSON.stringify` writes it; put together here, which takes a third of the time. */
function lineOf({ time, level, event, path, bytes, message }: LogEntry): string {
  const begin = `{"time":${time},"level":"${level}","event":${JSON.stringify(event)}`;
  const ofPath = path === undefined ? '' : `,"path":${JSON.stringify(path)}`;
  const ofBytes = bytes === undefined ? '' : `,"bytes":${bytes}`;
  const ofMessage = message === undefined ? '' : `,"message":${JSON.stringify(message)}`;
  return `${begin}${ofPath}${ofBytes}${ofMessage}}\n`;
}

/** Which lines of a log are wanted. */
export interface LogQuery {
  /** `next` of the page before; undefined: from the start. */
  after?: string;
  /** Lines at most, 1 to 1,000; default 200. */
  limit?: number;
  /** Only lines that contain this, whatever the case. */
  search?: string;
  /** Only lines of this level and worse. */
  level?: LogEntry['level'];
  /** The last `limit` lines instead of the first; without `after`. */
  fromEnd?: boolean;
}

export interface LogPage {
  entries: LogEntry[];
  /** Where to go on, also when the run goes on and there will be more. */
  next: string;
  /** Nothing more for now. */
  end: boolean;
}

const LEVELS: readonly LogEntry['level'][] = ['info', 'warning', 'error'];

/**
 * One page of a run's log; an unknown run has an empty one. Synchronous and up to a whole log's work where a search
 * finds little: for the child that answers questions.
 */
export function readLog(dataFolder: string, runId: string, query: LogQuery = {}): LogPage {
  const limit = Math.min(Math.max(query.limit ?? 200, 1), 1000);
  const search = query.search?.toLowerCase() ?? '';
  const lowest = LEVELS.indexOf(query.level ?? 'info');
  let [segment, line] = parsePosition(query.after);
  const entries: LogEntry[] = [];
  const rotated = rotatedSegments(dataFolder, runId);
  const last = Math.max(0, ...rotated.keys()) + 1;
  const linesOf = (number: number) =>
    readSegment(number === last ? currentLogFile(dataFolder, runId) : rotated.get(number));
  if (query.fromEnd === true) {
    let next = '';
    for (segment = last; segment >= 1 && entries.length < limit; segment--) {
      const lines = linesOf(segment);
      if (segment === last) next = `${last}:${lines.length}`;
      for (line = lines.length - 1; line >= 0 && entries.length < limit; line--) {
        const entry = matchingEntry(lines[line]!, search, lowest);
        if (entry !== undefined) entries.push(entry);
      }
    }
    return { entries: entries.reverse(), next, end: true };
  }
  for (; segment <= last; segment++, line = 0) {
    const lines = linesOf(segment);
    for (; line < lines.length; line++) {
      if (entries.length === limit) return { entries, next: `${segment}:${line}`, end: false };
      const entry = matchingEntry(lines[line]!, search, lowest);
      if (entry !== undefined) entries.push(entry);
    }
    if (segment === last) break;
  }
  return { entries, next: `${segment}:${line}`, end: true };
}

function parsePosition(after: string | undefined): [number, number] {
  const match = /^(\d{1,9}):(\d{1,9})$/.exec(after ?? '');
  return match === null ? [1, 0] : [Math.max(1, Number(match[1])), Number(match[2])];
}

function matchingEntry(line: string, search: string, lowest: number): LogEntry | undefined {
  // Before parsing: most lines of a large log don't match.
  if (search !== '' && !line.toLowerCase().includes(search) && !/\\/.test(line)) return undefined;
  let entry: LogEntry;
  try {
    entry = JSON.parse(line) as LogEntry;
  } catch {
    return undefined;
  }
  if (LEVELS.indexOf(entry.level) < lowest) return undefined;
  const text = `${entry.event} ${entry.path ?? ''} ${entry.message ?? ''}`;
  return search === '' || text.toLowerCase().includes(search) ? entry : undefined;
}

/** Segment number to file; the compressed one where both are there. */
function rotatedSegments(dataFolder: string, runId: string): Map<number, string> {
  const prefix = `${safeFileName(runId)}.`;
  const found = new Map<number, string>();
  for (const name of namesIn(logFolder(dataFolder)).sort()) {
    if (!name.startsWith(prefix)) continue;
    const match = /^(\d+)\.jsonl(\.gz)?$/.exec(name.slice(prefix.length));
    if (match !== null) found.set(Number(match[1]), join(logFolder(dataFolder), name));
  }
  return found;
}

/** Whole lines only: the last one may be half written. */
function readSegment(file: string | undefined): string[] {
  if (file === undefined) return [];
  try {
    const bytes = readFileSync(file);
    const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
    const lines = text.split('\n');
    lines.pop();
    return lines;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/**
 * Removes the oldest logs until all are within `limits`; those of runs that go on stay. Synchronous: for the child
 * process.
 */
export function pruneLogs(dataFolder: string, limits: LogLimits): void {
  // Their markers are named as their logs are.
  const kept = new Set(namesIn(join(dataFolder, 'running')).map((name) => name.replace(/\.json$/, '')));
  const oldest = Date.now() - limits.days * 86_400_000;
  const files: { path: string; size: number; time: number }[] = [];
  for (const name of namesIn(logFolder(dataFolder))) {
    // A hashed name begins with a dot.
    const run = /^\.?[^.]+/.exec(name)?.[0] ?? '';
    if (kept.has(run)) continue;
    const path = join(logFolder(dataFolder), name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat !== undefined) files.push({ path, size: stat.size, time: stat.mtimeMs });
  }
  let total = files.reduce((sum, file) => sum + file.size, 0);
  let count = files.length;
  const most = limits.files ?? DEFAULT_FILES;
  for (const file of files.sort((a, b) => a.time - b.time)) {
    if (file.time >= oldest && total <= limits.totalBytes && count <= most) break;
    rmSync(file.path, { force: true });
    total -= file.size;
    count--;
  }
}

/** Removes the log of a run that nobody will ask about again. */
export async function removeLog(dataFolder: string, runId: string): Promise<void> {
  const own = `${safeFileName(runId)}.`;
  const names = await readdir(logFolder(dataFolder)).catch(() => []);
  for (const name of names) {
    if (name.startsWith(own)) await rm(join(logFolder(dataFolder), name), { force: true });
  }
}

/** Removes what runs that didn't live to clean up left in `work/`. Synchronous: for the child process. */
export function removeLeftovers(dataFolder: string): void {
  const alive = new Set(namesIn(join(dataFolder, 'running')).map((name) => name.replace(/\.json$/, '')));
  for (const name of namesIn(join(dataFolder, 'work'))) {
    if (!alive.has(name)) rmSync(join(dataFolder, 'work', name), { recursive: true, force: true });
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
