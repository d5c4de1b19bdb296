/** Pre- and post-scripts: run in the child process around the transfer. */

import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LogEntry } from '../engine/report.js';
import { abortedError, CloudSyncError } from '../errors.js';

/** What a script is run with. */
export interface ScriptOptions {
  /** `Pre-script` or `Post-script`, in log and errors. */
  title: string;
  /** The text of the script; one that is empty or blank does nothing. */
  script: string;
  /** Added to this process's own environment. */
  environment: Record<string, string>;
  log: (entry: LogEntry) => void;
  signal: AbortSignal;
}

/** Bytes of one line of output that are kept. */
const LONGEST_LINE = 8192;
/** ms a script has between SIGTERM and SIGKILL. */
const GRACE_MS = 2000;
/** ms to wait for output of something that outlives the script and holds its pipes. */
const LATE_OUTPUT_MS = 500;

const running = new Set<ChildProcess>();

/** Kills every script and what it started, at once: this process is about to end. */
export function killScripts(): void {
  for (const script of running) signalGroup(script, 'SIGKILL');
}

/**
 * Runs `script` with the interpreter of its shebang, else bash, else sh; its output goes to the log line by line.
 * Throws SCRIPT_FAILED when it can't be started, exits with another code than 0 or is killed, ABORTED when `signal`
 * fires (the whole process group is ended).
 */
export async function runScript(options: ScriptOptions): Promise<void> {
  if (options.script.trim() === '') return;
  if (options.signal.aborted) throw abortedError();
  const script = options.script.trimStart();
  const folder = mkdtempSync(join(tmpdir(), 'cloud-sync-script-'));
  try {
    const file = join(folder, 'script');
    writeFileSync(file, script.endsWith('\n') ? script : `${script}\n`, { mode: 0o700 });
    const [command, ...args] = interpreterOf(script);
    await runToEnd(options, command, [...args, file]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Command and arguments of the shebang; its words are split as a shell would. */
export function interpreterOf(script: string): [string, ...string[]] {
  const firstLine = script.split(/\r?\n/, 1)[0]!;
  if (firstLine.startsWith('#!')) {
    const [command, ...args] = shellWords(firstLine.slice(2));
    if (command !== undefined) return [command, ...args];
  }
  return [['/bin/bash', '/usr/bin/bash', '/usr/local/bin/bash'].find(isExecutable) ?? 'sh'];
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function shellWords(text: string): string[] {
  const words = text.match(/(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])+/g) ?? [];
  return words.map((word) =>
    word.replace(
      /"((?:\\.|[^"\\])*)"|'([^']*)'|\\(.)/g,
      (_, double?: string, single?: string, one?: string) =>
        double !== undefined ? double.replace(/\\(["\\$`])/g, '$1') : (single ?? one ?? ''),
    ),
  );
}

async function runToEnd(options: ScriptOptions, command: string, args: string[]): Promise<void> {
  const { title, signal } = options;
  const child = spawn(command, args, {
    // A group of its own, so that an abort reaches everything it started.
    detached: true,
    env: { ...process.env, ...options.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const abort = () => {
    signalGroup(child, 'SIGTERM');
    setTimeout(() => running.has(child) && signalGroup(child, 'SIGKILL'), GRACE_MS).unref();
  };
  signal.addEventListener('abort', abort, { once: true });
  const log = (message: string) =>
    options.log({ time: Date.now(), level: 'info', event: 'script', message: `[${title}] ${message}` });
  const output = [logLines(child.stdout, log), logLines(child.stderr, log)];
  try {
    const end = await endOf(child, title, command);
    await Promise.race([
      Promise.all(output),
      new Promise((done) => setTimeout(done, LATE_OUTPUT_MS).unref()),
    ]);
    if (signal.aborted) throw abortedError();
    if (end !== undefined) {
      throw new CloudSyncError('SCRIPT_FAILED', `${title} ${end}`, {
        advice: "The run's log shows what it wrote.",
      });
    }
  } finally {
    running.delete(child);
    signal.removeEventListener('abort', abort);
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

/** How it failed, in words; undefined: it didn't. */
function endOf(child: ChildProcess, title: string, command: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'ENOENT' ? `there is no "${command}"` : error.message;
      reject(new CloudSyncError('SCRIPT_FAILED', `${title} could not be started: ${why}`));
    });
    child.once('exit', (code, signal) => {
      if (code === 0) resolve(undefined);
      else resolve(signal === null ? `failed with exit code ${code}` : `was killed by ${signal}`);
    });
  });
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group is gone.
  }
}

async function logLines(stream: NodeJS.ReadableStream, log: (line: string) => void): Promise<void> {
  stream.setEncoding('utf8');
  let rest = '';
  try {
    for await (const chunk of stream) {
      const lines = (rest + String(chunk)).split(/\r?\n/);
      rest = lines.pop() ?? '';
      for (const line of lines) log(line.slice(0, LONGEST_LINE));
      if (rest.length > LONGEST_LINE) {
        log(rest.slice(0, LONGEST_LINE));
        rest = '';
      }
    }
  } catch {
    // Destroyed, because something that outlives the script still holds it.
  }
  if (rest !== '') log(rest);
}
