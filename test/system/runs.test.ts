import assert from 'node:assert/strict';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { RunReport } from '../../src/engine/report.js';
import { until } from '../until.js';
import { BUCKET, Station } from './station.js';

const MIB = 1024 * 1024;
const isRoot = process.getuid?.() === 0;

describe('Runs of the packed package', function () {
  this.timeout(120_000);
  let station: Station;

  before(async () => {
    station = await Station.start();
  });

  afterEach(() => {
    station.server.faults.clear();
    station.server.network.bandwidth = 0;
  });

  after(() => station?.stop());

  function folderOf(name: string, files: Record<string, Buffer>): string {
    const folder = station.path(name);
    mkdirSync(folder, { recursive: true });
    for (const [path, bytes] of Object.entries(files)) writeFileSync(join(folder, path), bytes);
    return folder;
  }

  /** Aborts the run of the message `mark`, which has to answer within a second. */
  async function abort(node: string, mark: number): Promise<RunReport> {
    const asked = Date.now();
    await station.press(node, { action: 'abort' });
    // Some ms, where the machine isn't busy.
    const pressed = Date.now() - asked;
    const report = await station.report(mark);
    const answer = station.records.find((record) => record.mark === mark && record.kind === 'output 2');
    const took = answer!.time - asked;
    assert.ok(took < 1000 + 20 * pressed, `it took ${took} ms, and the press alone ${pressed}`);
    return report;
  }

  it('wait for each other where a cloud-sync and a cloud-restore share a folder', async () => {
    const files = { 'a.bin': Buffer.alloc(3 * MIB, 'a'), 'b.bin': Buffer.alloc(3 * MIB, 'b') };
    const folder = folderOf('shared', files);
    await station.deploy([
      station.task('shared', { path: folder }),
      { id: 'back', type: 'cloud-restore', name: 'back', task: 'shared', path: folder, transferMode: 'copy' },
    ]);
    await station.runWell('shared');
    for (const [first, second] of [
      ['shared', 'back'],
      ['back', 'shared'],
    ] as const) {
      // New bytes here, which the first run has to carry while the second one comes.
      for (const path of Object.keys(files)) {
        const time = Date.now() / 1000 - (first === 'back' ? 9000 : 0);
        writeFileSync(join(folder, path), Buffer.alloc(3 * MIB + 1, `${first} ${path}`));
        utimesSync(join(folder, path), time, time);
      }
      station.server.network.bandwidth = 3 * MIB;
      const from = Date.now();
      const mark = await station.press(first);
      const isTransferring = () =>
        station
          .progressOf(first)
          .some(({ time, phase, files }) => time > from && phase !== 'waiting' && files.total > 0);
      await until(isTransferring, `${first} transfers`);
      const other = await station.press(second);
      const waits = await until(
        () => station.progressOf(second).find(({ time, phase }) => time > from && phase === 'waiting'),
        `${second} says on output 3 that it waits`,
      );
      const status = station.records.find(
        (record) => record.node === second && record.kind === 'status' && record.time >= from,
      );
      assert.match(status?.status?.text ?? '', /^queued: /);
      assert.ok(isTransferring());
      const [one, two] = await Promise.all([station.report(mark), station.report(other)]);
      assert.equal(one.status, 'success', JSON.stringify(one.errors));
      assert.equal(two.status, 'success', JSON.stringify(two.errors));
      assert.equal(waits.runId, two.runId);
      assert.ok(one.transferred.files > 0);
      assert.ok(
        two.startedAt >= one.finishedAt,
        `${second} began ${two.startedAt}, ${first} ended ${one.finishedAt}`,
      );
      station.server.network.bandwidth = 0;
    }
  });

  it('keep what V8 has compiled for the runs that follow, and tell no script of it', async () => {
    const folder = folderOf('compiled', { 'a.txt': Buffer.from('a') });
    const seen = station.path('environment.txt');
    await station.deploy([station.task('compiled', { path: folder, preScript: `env > '${seen}'` })]);
    await station.runWell('compiled');
    const kept = join(station.dataFolder, 'compiled');
    const files = () => readdirSync(kept, { recursive: true, withFileTypes: true });
    await until(() => existsSync(kept) && files().some((entry) => entry.isFile()), 'it is kept');
    await station.runWell('compiled');
    assert.doesNotMatch(readFileSync(seen, 'utf8'), /COMPILE_CACHE/);
  });

  it('end within a second when msg.action is abort, even where the server stands still, and leave no orphan', async () => {
    const folder = folderOf('aborted', {
      'film.mkv': Buffer.alloc(24 * MIB, 'film'),
      'a.txt': Buffer.from('a'),
    });
    await station.deploy([station.task('aborted', { path: folder })]);
    const stalls = station.server.faults.add({
      operation: 'UploadPart',
      skip: 1,
      action: { type: 'stall-request', afterBytes: MIB },
    });
    const mark = await station.press('aborted');
    await until(() => stalls.hits > 0, 'the server stands still');
    const report = await abort('aborted', mark);
    assert.equal(report.status, 'aborted');
    assert.deepEqual(report.errors, []);
    assert.match(report.warnings.at(-1)!.message, /Stopped by a message/);
    await until(() => station.children.length === 0, 'its process ends', 5000);
    assert.equal(station.server.objects.find(BUCKET, 'aborted/film.mkv'), undefined);
    assert.ok(
      !station.records.some((record) => record.kind === 'catch' && record.mark === mark),
      'no failure',
    );

    assert.ok(
      !station.server.objects.keys(BUCKET).some((key) => key.includes('/leases/')),
      'a lease is left',
    );
    // What was begun is written down, for the next run to take up.
    const journal = readFileSync(join(station.dataFolder, 'state', 'aborted', 'uploads.jsonl'), 'utf8');
    const pending = station.server.objects.pendingUploads(BUCKET);
    assert.ok(pending.every(({ uploadId }) => journal.includes(uploadId)));
    station.server.faults.clear();
    await station.runWell('aborted');
    assert.deepEqual(station.server.objects.pendingUploads(BUCKET), []);
    assert.equal(station.server.objects.find(BUCKET, 'aborted/film.mkv')?.size, 24 * MIB);
  });

  it('leave no temporary file where a pull is aborted and never comes again as it was', async () => {
    const folder = folderOf('pulled', {
      'film.mkv': Buffer.alloc(70 * MIB, 'film'),
      'b.bin': Buffer.alloc(MIB, 'b'),
    });
    const target = station.path('pulled to');
    await station.deploy([
      station.task('source', { path: folder }),
      station.task('pulled', { path: target, direction: 'pull', folder: 'source' }),
    ]);
    await station.runWell('source');
    const stalls = station.server.faults.add({
      operation: 'GetObject',
      match: ({ key }) => key.endsWith('film.mkv'),
      skip: 2,
      action: { type: 'stall-response', afterBytes: MIB },
    });
    const mark = await station.press('pulled');
    await until(() => stalls.hits > 0, 'the server stands still');
    assert.equal((await abort('pulled', mark)).status, 'aborted');
    station.server.faults.clear();
    // Another film now: what has arrived of the first one is of no use any more.
    writeFileSync(join(folder, 'film.mkv'), Buffer.alloc(MIB, 'short'));
    await station.runWell('source');
    await station.runWell('pulled');
    assert.deepEqual(readdirSync(target).sort(), ['b.bin', 'film.mkv']);
    assert.equal(statSync(join(target, 'film.mkv')).size, MIB);
  });

  it('keep owner, group and mode of files that a pull replaces', async function () {
    if (!isRoot) {
      if (process.env.CI_REQUIRE_SERVERS === '1') assert.fail('Files of another user need root');
      console.warn(
        '\n    !!! Only root can give files to another user: their owner is not tested here !!!\n',
      );
      this.skip();
    }
    const paths = ['small.txt', 'medium.bin', 'large.bin'];
    const sizes = [10, 600_000, 66 * MIB];
    const files = Object.fromEntries(paths.map((path, index) => [path, Buffer.alloc(sizes[index]!, path)]));
    const folder = folderOf('owned', files);
    const target = folderOf('owned too', { 'kept.txt': Buffer.from('kept') });
    for (const [index, path] of paths.entries()) {
      writeFileSync(join(target, path), 'old', { mode: 0o640 - index });
      chownSync(join(target, path), 1234 + index, 2345 + index);
    }
    const owners = () =>
      paths.map((path) => {
        const { uid, gid, mode } = statSync(join(target, path));
        return { uid, gid, mode };
      });
    const before = owners();
    await station.deploy([
      station.task('owned', { path: folder }),
      {
        id: 'again',
        type: 'cloud-restore',
        name: 'again',
        task: 'owned',
        path: target,
        transferMode: 'copy',
      },
    ]);
    await station.runWell('owned');
    assert.equal((await station.runWell('again')).transferred.files, 3);
    for (const [path, bytes] of Object.entries(files))
      assert.ok(readFileSync(join(target, path)).equals(bytes));
    assert.deepEqual(owners(), before);
    assert.deepEqual(readdirSync(target).sort(), ['kept.txt', ...paths].sort());
  });
});
