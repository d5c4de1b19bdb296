/** The process that copies extended attributes, one for all stores of this process. */

import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { DiskName } from './file-names.js';

/**
 * Reads lines of two paths in hexadecimal, answers each with a line: the attributes that could not be copied. What is as
 * it should be already isn't touched. The source is a name and isn't followed where it is a link; the target is the
 * kernel's name of an open file, so that it is that file and no other. Capabilities stay behind, as with every write.
 */
const HELPER = `
import errno, os, sys

def attributes(path, follow):
    try:
        names = os.listxattr(path, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
    found = {}
    for name in names:
        if name == 'security.capability':
            continue
        try:
            found[name] = os.getxattr(path, name, follow_symlinks=follow)
        except OSError:
            found[name] = None
    return found

def copy(source, target):
    failed = []
    wanted = attributes(source, False)
    present = attributes(target, True)
    for name in present:
        if name not in wanted:
            try:
                os.removexattr(target, name)
            except OSError:
                pass
    for name, value in wanted.items():
        if value is not None and value == present.get(name):
            continue
        try:
            os.setxattr(target, name, value)
        except (OSError, TypeError):
            failed.append(name)
    return failed

for line in sys.stdin.buffer:
    source, target = [bytes.fromhex(word) for word in line.decode().split()]
    try:
        failed = copy(source, target)
    except OSError:
        failed = ['all']
    print(' '.join(failed).encode('ascii', 'replace').decode(), flush=True)
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

/** Ends the helper whoever uses it: for tests of what happens without one. */
export function endHelper(): void {
  users.clear();
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
