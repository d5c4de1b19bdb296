/** Runs the rclone that is installed on this machine, with a configuration of its own. */

import { spawn, spawnSync } from 'node:child_process';
import { text } from 'node:stream/consumers';

/** The version all data in this folder comes from. */
export const REFERENCE_VERSION = 'v1.60.1';

function cleanEnvironment(): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { ...process.env, RCLONE_CONFIG: '/dev/null', LC_ALL: 'C.UTF-8' };
  // It refuses to start where this is set.
  delete environment.AWS_CA_BUNDLE;
  for (const name of Object.keys(environment)) {
    if (name.startsWith('RCLONE_') && name !== 'RCLONE_CONFIG') delete environment[name];
  }
  return environment;
}

export interface RcloneResult {
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `rclone` to its end; throws where it can't be started. */
export function runRclone(args: readonly string[], environment: Record<string, string> = {}): RcloneResult {
  const result = spawnSync('rclone', args, {
    encoding: 'utf8',
    env: { ...cleanEnvironment(), ...environment },
    maxBuffer: 64 * 1024 * 1024,
  });
  if (result.error !== undefined) throw result.error;
  return { exitCode: result.status, stdout: result.stdout, stderr: result.stderr };
}

/** The same while this process goes on: for a server that runs in it. */
export async function runRcloneAlongside(
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<RcloneResult> {
  const child = spawn('rclone', args, {
    env: { ...cleanEnvironment(), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const [exitCode, stdout, stderr] = await Promise.all([exited, text(child.stdout), text(child.stderr)]);
  return { exitCode, stdout, stderr };
}

/** `v1.60.1`, or undefined where no rclone is installed. */
export function rcloneVersion(): string | undefined {
  try {
    return /rclone (v\d+\.\d+\.\d+)/.exec(runRclone(['version']).stdout)?.[1];
  } catch {
    return undefined;
  }
}
