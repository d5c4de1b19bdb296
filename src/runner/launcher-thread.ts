/**
 * The thread that starts child processes, in Node-RED's process but beside its event loop: the system suspends whoever
 * starts a process until the new program is loaded, on a busy machine for tens of milliseconds. It does nothing but pass
 * on what launcher.ts and the children say to each other.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { parentPort } from 'node:worker_threads';
import type { FromThread, ToThread } from './launcher.js';
import { lowerPriority } from './low-priority.js';

/** Characters of a child's standard error that are kept: the last ones. */
const LAST_WORDS = 8192;
/** ms between two times that they are told: a child that floods its standard error must not flood Node-RED. */
const WORDS_INTERVAL_MS = 100;

if (parentPort === null) throw new Error('This file is started by the launcher only');
const port = parentPort;
const children = new Map<number, ChildProcess>();

port.on('message', (message: ToThread) => {
  switch (message.type) {
    case 'start':
      start(message);
      break;
    case 'send': {
      const child = children.get(message.id);
      // A channel that broke meanwhile shows as the child's end.
      if (child?.connected) child.send(message.message as object, () => undefined);
      break;
    }
    case 'signal':
      // By the handle and not by the number, which the system may give to another process.
      children.get(message.id)?.kill(message.signal);
      break;
    case 'release':
      release(message.id);
      break;
    case 'settle':
      tell({ type: 'settled', id: message.id });
      break;
    case 'end':
      // Nothing else keeps this thread.
      port.close();
      break;
  }
});

// Ends this thread, which is told: better than a child that waits for what was lost.
port.on('messageerror', (error) => {
  throw error;
});

function tell(message: FromThread): void {
  port.postMessage(message);
}

function start({ id, file, execArgv, env }: ToThread & { type: 'start' }): void {
  let child: ChildProcess;
  try {
    child = fork(file, [], {
      execArgv,
      env,
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
  } catch (error) {
    tell({ type: 'failed', id, message: error instanceof Error ? error.message : String(error) });
    return;
  }
  const { pid } = child;
  child.on('error', (error) => {
    if (pid === undefined) tell({ type: 'failed', id, message: error.message });
  });
  if (pid === undefined) return;
  children.set(id, child);
  lowerPriority(pid);
  tell({ type: 'started', id, pid });
  child.on('message', (message) => tell({ type: 'message', id, message }));
  child.on('disconnect', () => tell({ type: 'disconnected', id }));
  child.on('exit', (code, signal) => tell({ type: 'exited', id, code, signal }));
  tellLastWords(id, child);
}

function release(id: number): void {
  const child = children.get(id);
  children.delete(id);
  if (child?.connected) child.disconnect();
  child?.stderr?.destroy();
}

function tellLastWords(id: number, child: ChildProcess): void {
  let words = '';
  let timer: NodeJS.Timeout | undefined;
  const tellNow = () => {
    clearTimeout(timer);
    timer = undefined;
    tell({ type: 'words', id, words });
  };
  child.stderr?.setEncoding('utf8');
  child.stderr?.on('data', (text: string) => {
    words = (words + text).slice(-LAST_WORDS);
    timer ??= setTimeout(tellNow, WORDS_INTERVAL_MS);
  });
  child.stderr?.on('end', tellNow);
  child.stderr?.on('close', () => {
    clearTimeout(timer);
    tell({ type: 'silent', id });
  });
}
