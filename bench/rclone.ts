/** rclone on the same server and data. */

import { spawn, spawnSync } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { BUCKET, type FarEnd } from './far-end.js';
import type { Measurement } from './measurement.js';
import { cpuTime, MemoryWatch } from './processes.js';
import { PASSWORD, type Station, type Task } from './station.js';

function cleanEnvironment(): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { ...process.env, RCLONE_CONFIG: '/dev/null' };
  // It refuses to start where this is set.
  delete environment.AWS_CA_BUNDLE;
  return environment;
}

/** `v1.60.1`, or undefined where no rclone is installed. */
export function rcloneVersion(): string | undefined {
  const { stdout } = spawnSync('rclone', ['version'], { encoding: 'utf8', env: cleanEnvironment() });
  return /rclone (v[\d.]+)/.exec(stdout ?? '')?.[1];
}

/** Runs a task with `flags`. Throws where rclone says that something went wrong. */
export async function runRclone(
  task: Task,
  flags: readonly string[],
  farEnd: FarEnd,
  station: Station,
  wrapper: readonly string[],
): Promise<Measurement> {
  const remote = task.encrypted === true ? 'secret:' : `bench:${BUCKET}/${task.folder}`;
  const sides = task.direction === 'push' ? [task.path, remote] : [remote, task.path];
  // The package's runs give way to everything else on the machine (nice 10): so that other work on it slows both down.
  const [program, ...parameters] = [...wrapper, 'nice', '-n', '10', 'rclone', 'sync', ...sides, ...flags];
  await farEnd.takeCounts();
  await station.takeLoopDelay();
  const server = farEnd.cpuMs;
  const before = cpuTime('self').children;
  const start = performance.now();
  const child = spawn(program!, parameters, {
    env: { ...cleanEnvironment(), ...configuration(task, farEnd) },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const watch = new MemoryWatch(child.pid!, true);
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const [exitCode, complaint] = await Promise.all([ended, text(child.stderr)]);
  const wallMs = performance.now() - start;
  const peakBytes = watch.stop();
  if (exitCode !== 0) throw new Error(`rclone ended with ${exitCode}: ${complaint}`);
  return {
    wallMs,
    cpuMs: cpuTime('self').children - before,
    nodeRedCpuMs: 0,
    peakBytes,
    requests: await farEnd.takeCounts(),
    loop: await station.takeLoopDelay(),
    serverCpuMs: farEnd.cpuMs - server,
  };
}

function configuration(task: Task, { access }: FarEnd): Record<string, string> {
  const options = Object.entries(access.rclone);
  const plain = Object.fromEntries(
    options.map(([name, value]) => [`RCLONE_CONFIG_BENCH_${name.toUpperCase()}`, value]),
  );
  if (task.encrypted !== true) return plain;
  return {
    ...plain,
    RCLONE_CONFIG_SECRET_TYPE: 'crypt',
    RCLONE_CONFIG_SECRET_REMOTE: `bench:${BUCKET}/${task.folder}`,
    RCLONE_CONFIG_SECRET_PASSWORD: obscured(),
  };
}

function obscured(): string {
  const { stdout } = spawnSync('rclone', ['obscure', PASSWORD], {
    encoding: 'utf8',
    env: cleanEnvironment(),
  });
  return stdout.trim();
}
