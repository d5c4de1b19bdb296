/**
 * Copies ACL and extended attributes from the file that is replaced to the one that takes its place. Node.js can't, so
 * a helper does: one Python process for the whole run (about 30 µs a file; starting a program for each file would cost
 * 3 ms), or `cp` of GNU coreutils for each file where there is no Python. Where there is neither (Alpine without
 * Python), it can't be done, which is said once.
 * POSIX ACLs are the extended attribute `system.posix_acl_access` (acl(5)).
 */

import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { CloudSyncError } from '../../errors.js';
import type { DiskName } from './file-names.js';

const execFileAsync = promisify(execFile);

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

type Helper = ChildProcessByStdio<Writable, Readable, null>;

export class AttributeCopier {
  #helper: Helper | undefined;
  #way: 'helper' | 'cp' | 'none';
  #waiting: ((answer: string | undefined) => void)[] = [];
  readonly #onProblem: (problem: CloudSyncError) => void;

  /** `onProblem` is told once if there is no way, and of each file that some attribute can't be kept of. */
  constructor(onProblem: (problem: CloudSyncError) => void) {
    this.#onProblem = onProblem;
    this.#way = process.platform === 'linux' ? 'helper' : 'none';
  }

  /** Gives `target` the ACL and extended attributes of `source`. Never fails: what can't be kept is a problem told. */
  async copy(source: DiskName, target: DiskName, key: string): Promise<void> {
    if (this.#way === 'helper') {
      const failed = await this.#askHelper(source, target);
      if (failed === undefined) this.#way = 'cp';
      else if (failed !== '') this.#onProblem(notKept(key, failed));
    }
    if (this.#way === 'cp' && !(await copyWithCp(source, target))) {
      this.#way = 'none';
      this.#onProblem(noWay());
    }
  }

  close(): void {
    this.#helper?.stdin.end();
    this.#helper = undefined;
  }

  /** Undefined where the helper can't be used. */
  async #askHelper(source: DiskName, target: DiskName): Promise<string | undefined> {
    this.#helper ??= this.#startHelper();
    const { stdin } = this.#helper;
    return await new Promise((resolve) => {
      this.#waiting.push(resolve);
      stdin.write(`${hex(source)} ${hex(target)}\n`);
    });
  }

  #startHelper(): Helper {
    // -I -S: nothing of the environment or the current folder is loaded.
    const helper = spawn('python3', ['-I', '-S', '-c', HELPER], { stdio: ['pipe', 'pipe', 'ignore'] });
    const end = () => {
      for (const resolve of this.#waiting.splice(0)) resolve(undefined);
    };
    helper.on('error', end);
    helper.on('close', end);
    helper.stdin.on('error', end);
    createInterface({ input: helper.stdout }).on('line', (line) => this.#waiting.shift()?.(line));
    helper.unref();
    return helper;
  }
}

async function copyWithCp(source: DiskName, target: DiskName): Promise<boolean> {
  if (typeof source !== 'string' || typeof target !== 'string') return true;
  const options = ['--attributes-only', '--no-dereference', '--preserve=mode,ownership,xattr'];
  try {
    await execFileAsync('cp', [...options, '--', source, target]);
    return true;
  } catch (error) {
    // An attribute that this file system refuses is 1 too; only a cp that isn't GNU's doesn't know the options.
    const { code, stderr = '' } = error as { code?: unknown; stderr?: string };
    return code !== 'ENOENT' && !/unrecognized option|invalid option/i.test(stderr);
  }
}

function hex(path: DiskName): string {
  return Buffer.from(path).toString('hex');
}

function notKept(key: string, attributes: string): CloudSyncError {
  return new CloudSyncError('NO_PERMISSION', `Attributes of the replaced file were not kept: ${attributes}`, {
    path: key,
    advice: 'Set them again, or run Node-RED as a user that may.',
  });
}

function noWay(): CloudSyncError {
  return new CloudSyncError('NOT_SUPPORTED', 'ACLs and extended attributes of replaced files are not kept', {
    advice: 'Install Python 3 or GNU coreutils.',
  });
}
