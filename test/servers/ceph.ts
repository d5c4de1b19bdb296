/**
 * Ceph's RADOS gateway, an S3 server that isn't ours, for tests. Debian: `apt install radosgw ceph-osd ceph-mon ceph-mgr
 * ceph-common ceph-base`. One gateway per test process, shared by all test files; whatever they make in it needs names of
 * its own (use {@link Ceph.bucketName}).
 */
import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { createServer } from 'node:net';
import * as path from 'node:path';
import { promisify } from 'node:util';

const SCRIPT = path.resolve(__dirname, '../../.ci/radosgw.sh');
const PROGRAMS = ['radosgw', 'radosgw-admin', 'ceph', 'ceph-mon', 'ceph-osd', 'ceph-mgr', 'monmaptool'];

/** A running gateway. */
export interface Ceph {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** Ceph's default zone group answers to any region; this is what the tests sign for. */
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** A name for a bucket that no other test uses. */
  bucketName(): string;
  /** Ends it once everybody who started it has stopped it. */
  stop(): Promise<void>;
}

let running: Promise<Ceph> | undefined;
let users = 0;

/** Whether Ceph's programs are on this machine. */
export function isCephInstalled(): boolean {
  const folders = (process.env.PATH ?? '').split(path.delimiter);
  return PROGRAMS.every((program) => folders.some((folder) => fs.existsSync(path.join(folder, program))));
}

/**
 * The gateway of this process, started if need be (some seconds). Undefined where Ceph isn't installed; where
 * CI_REQUIRE_SERVERS=1 is set it is an error then.
 */
export async function startCeph(): Promise<Ceph | undefined> {
  if (!isCephInstalled()) {
    if (process.env.CI_REQUIRE_SERVERS === '1')
      throw new Error(`Ceph is required, but not installed: ${PROGRAMS.join(', ')}`);
    console.warn('\n    !!! Ceph is not installed: nothing is compared with its RADOS gateway here !!!\n');
    return undefined;
  }
  users++;
  running ??= start();
  return running;
}

async function start(): Promise<Ceph> {
  const [port, monitorPort] = await freePorts();
  const accessKeyId = 'AKIDTEST00000000TEST';
  const secretAccessKey = randomBytes(20).toString('hex');
  const { stdout } = await promisify(execFile)('bash', [SCRIPT, 'start'], {
    env: {
      ...process.env,
      RADOSGW_PORT: String(port),
      RADOSGW_MONITOR_PORT: String(monitorPort),
      RADOSGW_ACCESS_KEY: accessKeyId,
      RADOSGW_SECRET_KEY: secretAccessKey,
    },
  });
  const folder = stdout.trim().split('\n').at(-1) as string;
  const end = () => {
    process.off('exit', end);
    execFileSync('bash', [SCRIPT, 'stop', folder]);
  };
  // A test run that is broken off leaves nothing running either.
  process.once('exit', end);
  return {
    url: `http://127.0.0.1:${port}`,
    region: 'us-east-1',
    accessKeyId,
    secretAccessKey,
    bucketName: () => `test-${randomBytes(8).toString('hex')}`,
    async stop() {
      users--;
      if (users > 0 || running === undefined) return;
      running = undefined;
      end();
    },
  };
}

/** Two ports that are free now. */
async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()];
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ports.push((server.address() as { port: number }).port);
  }
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  return ports as [number, number];
}
