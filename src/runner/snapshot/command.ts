/** Runs the commands of file systems: with arguments, never through a shell, and not for ever. */

import { execFile } from 'node:child_process';
import { CloudSyncError, throwIfAborted } from '../../errors.js';

/** ms that a command may take. */
const TIMEOUT_MS = 60_000;
/** A service often has no `sbin` in its path, where these commands lie. */
const MORE_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

export type Log = (message: string) => void;

export interface CommandResult {
  isOk: boolean;
  stdout: string;
  /** What it said went wrong, one line. */
  problem: string;
}

/**
 * Runs `command` to its end; what it writes goes to the log. Throws NOT_SUPPORTED where there is no such command, TIMEOUT,
 * and ABORTED.
 */
export function runCommand(
  command: string,
  args: readonly string[],
  log: Log,
  signal?: AbortSignal,
): Promise<CommandResult> {
  throwIfAborted(signal);
  log([command, ...args].join(' '));
  const path = [process.env.PATH ?? '', ...MORE_FOLDERS].filter((folder) => folder !== '').join(':');
  const options = {
    env: { ...process.env, PATH: path, LC_ALL: 'C' },
    timeout: TIMEOUT_MS,
    maxBuffer: 64 * 1024 * 1024,
    signal,
  };
  return new Promise((resolve, reject) => {
    execFile(command, args, options, (error, stdout, stderr) => {
      for (const line of stderr.split('\n')) if (line.trim() !== '') log(line.trimEnd());
      if (error === null) {
        resolve({ isOk: true, stdout, problem: '' });
        return;
      }
      const problem = stderr.trim().split('\n')[0] ?? '';
      if (signal?.aborted) reject(new CloudSyncError('ABORTED', 'Stopped before the end'));
      else if (error.code === 'ENOENT') reject(missing(command));
      else if (error.killed) {
        reject(
          new CloudSyncError('TIMEOUT', `"${command} ${args[0]}" did not end within ${TIMEOUT_MS / 1000} s`),
        );
      } else resolve({ isOk: false, stdout, problem: problem === '' ? error.message : problem });
    });
  });
}

function missing(command: string): CloudSyncError {
  const source = command === 'zfs' ? 'zfsutils-linux (or zfs)' : 'btrfs-progs';
  return new CloudSyncError('NOT_SUPPORTED', `There is no command "${command}", which takes the snapshot`, {
    field: 'snapshot',
    advice: `Install ${source} where Node-RED runs, or switch "snapshot" off.`,
  });
}
