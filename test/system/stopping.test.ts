import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { until } from '../until.js';
import { installedPackages } from './package.js';
import { isAlive } from './processes.js';
import { BUCKET, Station } from './station.js';

const PACKAGE = join('@cloud-sync', 'node-red-cloud-sync');

/** The installed package with another child process; what it depends on is linked. */
async function packagesWithHungChild(folder: string): Promise<string> {
  const installed = await installedPackages();
  const packages = join(folder, 'node_modules');
  for (const name of readdirSync(installed)) {
    if (name === dirname(PACKAGE) || name.startsWith('.')) continue;
    mkdirSync(packages, { recursive: true });
    symlinkSync(join(installed, name), join(packages, name));
  }
  cpSync(join(installed, PACKAGE), join(packages, PACKAGE), { recursive: true });
  await build({
    entryPoints: ['test/system/hung-child.ts'],
    outfile: join(packages, PACKAGE, 'dist', 'runner', 'child.js'),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    external: ['sodium-native'],
    logLevel: 'error',
  });
  return packages;
}

/** Ends Node-RED as a service manager does; ms it took. */
async function terminate(station: Station): Promise<number> {
  const start = performance.now();
  const exited = new Promise((resolve) => station.nodeRed.process.once('exit', resolve));
  station.nodeRed.process.kill('SIGTERM');
  await exited;
  return performance.now() - start;
}

describe('Node-RED that is told to stop in the middle of a run', function () {
  this.timeout(120_000);
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'cloud-sync-stopping-'));
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  it('stops within 15 s where the run hangs in the operating system', async () => {
    const station = await Station.start({ packages: await packagesWithHungChild(folder) });
    try {
      const source = station.path('source');
      mkdirSync(source);
      execFileSync('mkfifo', [join(source, 'fifo')]);
      await station.deploy([station.task('hung', { path: source })]);
      await station.press('hung');
      const [child] = await until(() => station.children, 'the run has a process');
      await until(() => existsSync(join(source, 'hangs')), 'the run hangs', 10_000);
      const took = await terminate(station);
      assert.ok(took < 15_000, `it took ${Math.round(took)} ms`);
      await until(() => !isAlive(child!), 'its process ends');

      await station.startNodeRed();
      assert.equal((await station.state('hung')).status, 'interrupted');
    } finally {
      await station.stop();
    }
  });

  it('stops soon where the run waits for a server, shows it as interrupted, and the next run goes on from there', async () => {
    const station = await Station.start();
    try {
      const source = station.path('source');
      mkdirSync(source);
      writeFileSync(join(source, 'film.mkv'), Buffer.alloc(40 << 20, 'film'));
      await station.deploy([station.task('push', { path: source })]);
      const stalls = station.server.faults.add({
        operation: 'UploadPart',
        skip: 3,
        action: { type: 'stall-request', afterBytes: 0 },
      });
      await station.press('push');
      const { children } = station;
      await until(() => stalls.hits > 0, 'the server stands still');
      await terminate(station);
      assert.deepEqual([...station.children, ...children].filter(isAlive), []);
      station.server.faults.clear();

      const sent = station.server.requests.counts.UploadPart ?? 0;
      await station.startNodeRed();
      const state = await station.state('push');
      assert.equal(state.status, 'interrupted');
      // It ended by itself, and didn't have to be killed, which it is after 5 s.
      assert.deepEqual(
        state.report!.warnings.map(({ code }) => code),
        ['ABORTED'],
      );
      assert.match(state.report!.warnings[0]!.message, /Node-RED was stopped/);
      await station.runWell('push');
      const again = (station.server.requests.counts.UploadPart ?? 0) - sent;
      assert.ok(again < 5, `${again} of 5 parts were sent again`);
      assert.deepEqual(station.server.objects.pendingUploads(BUCKET), []);
      assert.ok(station.server.objects.bytes(BUCKET, 'push/film.mkv').equals(Buffer.alloc(40 << 20, 'film')));
    } finally {
      await station.stop();
    }
  });
});
