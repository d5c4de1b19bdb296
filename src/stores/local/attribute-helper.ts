/** The process that copies extended attributes, one for all stores of this process. */

import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { DiskName } from './file-names.js';

/**
 * Reads lines of two paths in hexadecimal, answers each with a line: the attributes that could not be copied. What is as
 * it should be already isn't touched. Paths are used without following a link.
 */
const HELPER = `
import os, sys
for line in sys.stdin.buffer:
    source, target = [bytes.fromhex(word) for word in line.decode().split()]
    failed = []
    def names(path):
        try:
            return os.listxattr(path, follow_symlinks=False)
        except OSError:
            return []
    def get(path, name):
        try:
            return os.getxattr(path, name, follow_symlinks=False)
        except OSError:
            return None
    wanted = names(source)
    for name in names(target):
        if name not in wanted:
            try:
                os.removexattr(target, name, follow_symlinks=False)
            except OSError:
                pass
    for name in wanted:
        value = get(source, name)
        if value is None or value == get(target, name):
            continue
        try:
            os.setxattr(target, name, value, follow_symlinks=False)
        except OSError:
            failed.append(name.encode(errors='replace').decode(errors='replace'))
    print(' '.join(failed), flush=True)
`;

interface Helper {
  process: ChildProcess;
  stdin: Socket;
  stdout: Socket;
  /** Those who wait for a line, in the order they asked. */
  waiting: ((answer: string | undefined) => void)[];
}

let running: Helper | undefined;
const users = new Set<object>();

/**
 * Copies the attributes; the names of those that could not be set, '' for none, undefined where there is no helper.
 *
 * @param user Who asks; the process ends when all of them said {@link leaveHelper}, or with this process.
 */
export async function askHelper(
  user: object,
  source: DiskName,
  target: DiskName,
): Promise<string | undefined> {
  users.add(user);
  running ??= startHelper();
  const helper = running;
  return await new Promise((resolve) => {
    // An answer that is waited for keeps this process alive, the helper alone doesn't.
    helper.stdout.ref();
    helper.waiting.push(resolve);
    helper.stdin.write(`${hex(source)} ${hex(target)}\n`);
  });
}

/** `user` needs the helper no more. */
export function leaveHelper(user: object): void {
  if (!users.delete(user) || users.size > 0) return;
  running?.stdin.end();
  running = undefined;
}

function startHelper(): Helper {
  // -I -S: nothing of the environment or the current folder is loaded.
  const child = spawn('python3', ['-I', '-S', '-c', HELPER], { stdio: ['pipe', 'pipe', 'ignore'] });
  const stdin = child.stdin as unknown as Socket;
  const stdout = child.stdout as unknown as Socket;
  const helper: Helper = { process: child, stdin, stdout, waiting: [] };
  const end = () => {
    if (running === helper) running = undefined;
    for (const resolve of helper.waiting.splice(0)) resolve(undefined);
  };
  child.on('error', end);
  child.on('close', end);
  stdin.on('error', end);
  createInterface({ input: stdout }).on('line', (line) => {
    helper.waiting.shift()?.(line);
    if (helper.waiting.length === 0) stdout.unref();
  });
  child.unref();
  stdin.unref();
  stdout.unref();
  return helper;
}

function hex(path: DiskName): string {
  return Buffer.from(path).toString('hex');
}
