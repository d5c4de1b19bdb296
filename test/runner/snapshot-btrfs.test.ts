/** Whole runs that read from snapshots of a real Btrfs, on a loop device: needs root, btrfs-progs and the kernel's btrfs. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunReport } from '../../src/engine/report.js';
import { Runner } from '../../src/runner/runner.js';
import type { TaskCredential, TaskSettings } from '../../src/runner/task.js';
import type { Store } from '../../src/stores/store.js';
import { readStore } from '../engine/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { BUCKET, closeAll, openAt } from '../stores/s3-support.js';
import { until } from '../until.js';
import { bundle, Recorder, runRequest, temporaryFolder } from './support.js';

const TREE: Record<string, string> = { 'a.txt': 'a', 'b/c.txt': 'c', 'b/nested.txt': 'beside', 'z.txt': 'z' };

describe('A snapshot of Btrfs', function () {
  this.timeout(60_000);
  let server: S3Server;
  let store: Store;
  let runner: Runner;
  let dataFolder: string;
  let credential: TaskCredential;
  let mountPoint: string | undefined;
  /** The subvolume that is backed up. */
  let source: string;
  let tests = 0;

  before(async function () {
    const why = mountBtrfs((path) => {
      mountPoint = path;
    });
    if (why !== undefined) {
      console.warn(`      NOT TESTED: snapshots of a real Btrfs: ${why}`);
      this.skip();
    }
    server = await startS3Server({ buckets: [BUCKET] });
    store = openAt(server).store;
    dataFolder = temporaryFolder();
    runner = new Runner({ dataFolder, childFile: await bundle('../../src/runner/child') });
    credential = {
      id: 'c',
      name: 'Here',
      provider: 's3',
      config: { endpoint: server.url, region: server.region },
      secrets: { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey },
    };
  });

  after(async () => {
    await runner?.stop();
    await closeAll();
    await server?.stop();
    if (mountPoint === undefined) return;
    spawnSync('umount', ['--recursive', mountPoint]);
    rmSync(`${mountPoint}.img`, { force: true });
    rmSync(mountPoint, { recursive: true, force: true });
  });

  beforeEach(() => {
    source = subvolume(join(mountPoint!, `source-${++tests}`));
    write(source, TREE);
  });

  const request = (task: Partial<TaskSettings> = {}) =>
    runRequest(dataFolder, {
      credential,
      taskId: `task ${tests}`,
      path: source,
      bucket: BUCKET,
      folder: `folder-${tests}`,
      snapshot: true,
      lease: false,
      maxDelete: null,
      ...task,
    });
  const run = (task?: Partial<TaskSettings>): Promise<RunReport> =>
    runner.submit(request(task), new Recorder()).finished;
  const stored = () => readStore(store, `folder-${tests}/`);
  const stateFolder = () => join(dataFolder, 'state');
  const snapshots = () =>
    execFileSync('btrfs', ['subvolume', 'list', '-s', mountPoint!], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.includes('cloud-sync-'));
  const nothingLeft = () => {
    assert.deepEqual(snapshots(), []);
    assert.equal(existsSync(join(source, '.cloud-sync-snapshots')), false);
    assert.equal(
      readdirSync(stateFolder(), { recursive: true }).some((name) => String(name).endsWith('snapshots.json')),
      false,
    );
  };
  const good = async (task?: Partial<TaskSettings>) => {
    const report = await run(task);
    assert.deepEqual([report.status, report.errors, report.warnings], ['success', [], []]);
    nothingLeft();
    return report;
  };

  it('is read, what the pre-script wrote among it, and destroyed before the post-script', async () => {
    const list = `btrfs subvolume list -s ${mountPoint} | grep -c cloud-sync- > ${mountPoint}/post-${tests} || true`;
    const report = await good({ preScript: `echo dump > ${source}/dump.sql`, postScript: list });
    assert.equal(report.env.CLOUD_SYNC_PATH, source);
    assert.deepEqual(await stored(), { ...TREE, 'dump.sql': 'dump\n' });
    assert.equal(readFileSync(`${mountPoint}/post-${tests}`, 'utf8'), '0\n');
    const log = await runner.log(report.runId, {});
    const events = log.ok ? log.value.entries.filter(({ event }) => event === 'phase') : [];
    assert.deepEqual(
      events.map(({ message }) => message),
      ['pre-script', 'snapshot', 'listing', 'transferring', 'post-script'],
    );
  });

  it('knows on the next run, from another snapshot or none, what it has sent', async () => {
    await good();
    assert.equal((await good()).transferred.files, 0);
    const third = await good();
    assert.equal(third.transferred.files, 0);
    assert.equal(third.requests.HEAD ?? 0, 0, 'the index is enough');
    const live = await run({ snapshot: false });
    assert.deepEqual([live.transferred.files, live.requests.HEAD ?? 0], [0, 0]);
    writeFileSync(join(source, 'z.txt'), 'Z');
    assert.equal((await good()).transferred.files, 1);
    assert.equal((await stored())['z.txt'], 'Z');
  });

  it('does not change while the folder does', async () => {
    writeFileSync(join(source, 'a-slow.bin'), Buffer.alloc(300_000));
    const ticket = runner.submit(
      request({ bandwidthLimit: [{ time: '00:00', bandwidth: 200_000 }], transfers: 1 }),
      new Recorder(),
    );
    await until(() => snapshots().length > 0, 'the snapshot');
    writeFileSync(join(source, 'z.txt'), 'changed meanwhile');
    rmSync(join(source, 'b'), { recursive: true });
    const report = await ticket.finished;
    assert.deepEqual([report.status, report.errors], ['success', []]);
    const found = await stored();
    delete found['a-slow.bin'];
    assert.deepEqual(found, TREE);
    nothingLeft();
  });

  it('of a folder within the subvolume, by its own and by a second mount', async () => {
    await good({ path: join(source, 'b') });
    assert.deepEqual(await stored(), { 'c.txt': 'c', 'nested.txt': 'beside' });
    const bound = join(mountPoint!, `bound-${tests}`);
    mkdirSync(bound);
    execFileSync('mount', ['--bind', join(source, 'b'), bound]);
    writeFileSync(join(source, 'b/new'), 'new');
    assert.equal((await run({ path: bound })).status, 'success');
    assert.equal((await stored()).new, 'new');
    execFileSync('umount', [bound]);
    nothingLeft();
  });

  it('has the subvolumes within from their own snapshots, and deletes nothing of theirs', async () => {
    const nested = subvolume(join(source, 'b/nested'));
    const deeper = subvolume(join(nested, 'x/deeper'));
    write(nested, { 'n.txt': 'n' });
    write(deeper, { 'd.txt': 'd' });
    const all: Record<string, string> = { ...TREE, 'b/nested/n.txt': 'n', 'b/nested/x/deeper/d.txt': 'd' };
    await good();
    assert.deepEqual(await stored(), all);
    writeFileSync(join(deeper, 'd.txt'), 'D');
    rmSync(join(source, 'a.txt'));
    const second = await good();
    assert.deepEqual([second.transferred.files, second.deleted], [1, 1]);
    const { 'a.txt': _gone, ...rest } = all;
    assert.deepEqual(await stored(), { ...rest, 'b/nested/x/deeper/d.txt': 'D' });
    const log = await runner.log((await good({ exclude: ['/b/nested/**'] })).runId, { search: 'nested' });
    assert.equal(log.ok && log.value.entries.length, 0, 'no snapshot of what is left out');
    assert.equal(Object.keys(await stored()).length, 5);
  });

  it('refuses where another file system is mounted within, names it, and deletes nothing of it', async () => {
    const other = join(source, 'other disk');
    mkdirSync(other);
    execFileSync('mount', ['-t', 'tmpfs', 'none', other]);
    writeFileSync(join(other, 'o.txt'), 'o');
    try {
      await run({ snapshot: false });
      const before = await stored();
      assert.equal(before['other disk/o.txt'], 'o');
      const report = await run();
      assert.equal(report.status, 'failed');
      assert.deepEqual([report.errors[0]!.code, report.errors[0]!.field], ['NOT_SUPPORTED', 'snapshot']);
      assert.match(report.errors[0]!.message, /other disk" \(tmpfs\)/);
      assert.deepEqual(await stored(), before);
      await good({ exclude: ['/other disk/**'] });
      assert.deepEqual(await stored(), before);
    } finally {
      execFileSync('umount', [other]);
    }
    nothingLeft();
  });

  it('goes after a run that failed, and after one that was aborted', async () => {
    const failed = await run({ bucket: 'no-such-bucket' });
    assert.equal(failed.errors[0]!.code, 'BUCKET_NOT_FOUND');
    nothingLeft();
    writeFileSync(join(source, 'a-slow.bin'), Buffer.alloc(3_000_000));
    const ticket = runner.submit(
      request({ bandwidthLimit: [{ time: '00:00', bandwidth: 50_000 }] }),
      new Recorder(),
    );
    await until(() => snapshots().length > 0, 'the snapshot');
    ticket.abort();
    assert.equal((await ticket.finished).status, 'aborted');
    nothingLeft();
  });

  it('that a killed run left goes with the next run, even without a snapshot of its own', async () => {
    for (const snapshot of [true, false]) {
      writeFileSync(join(source, 'a-slow.bin'), Buffer.alloc(3_000_000));
      const ticket = runner.submit(
        request({ bandwidthLimit: [{ time: '00:00', bandwidth: 50_000 }] }),
        new Recorder(),
      );
      await until(() => snapshots().length > 0, 'the snapshot');
      const holder = readdirSync(join(dataFolder, 'locks')).find((name) => name.endsWith('.json'))!;
      const lock = readFileSync(join(dataFolder, 'locks', holder), 'utf8');
      process.kill(Number(/"pid":(\d+)/.exec(lock)![1]), 'SIGKILL');
      assert.equal((await ticket.finished).status, 'failed');
      assert.equal(snapshots().length, 1);
      rmSync(join(source, 'a-slow.bin'));
      assert.equal((await run({ snapshot, dryRun: true })).status, 'success');
      assert.equal(snapshots().length, 1, 'a dry run changes nothing');
      assert.deepEqual((await run({ snapshot })).errors, []);
      nothingLeft();
    }
  });

  it('that can not be destroyed is a warning, and tried again by the next run', async () => {
    writeFileSync(join(source, 'a-slow.bin'), Buffer.alloc(300_000));
    const ticket = runner.submit(
      request({ bandwidthLimit: [{ time: '00:00', bandwidth: 200_000 }] }),
      new Recorder(),
    );
    await until(() => snapshots().length > 0, 'the snapshot');
    // A subvolume that is mounted by default may not be deleted.
    const pinned = readdirSync(join(source, '.cloud-sync-snapshots')).map((name) =>
      join(source, '.cloud-sync-snapshots', name),
    );
    execFileSync('btrfs', ['subvolume', 'set-default', pinned[0]!]);
    const report = await ticket.finished;
    assert.equal(report.status, 'success');
    assert.equal(report.warnings.length, 1);
    assert.match(report.warnings[0]!.message, /The snapshot .*cloud-sync-task_.* could not be destroyed/);
    execFileSync('btrfs', ['subvolume', 'set-default', '5', mountPoint!]);
    await good({ bandwidthLimit: [] });
  });

  it('destroys nothing that is not its own, whatever the record says', async () => {
    const precious = subvolume(join(mountPoint!, `precious-${tests}`));
    await run();
    const folder = readdirSync(stateFolder()).find((name) => existsSync(join(stateFolder(), name, 'index')))!;
    for (const path of [precious, `${source}/.cloud-sync-snapshots/../../precious-${tests}`, 'relative']) {
      writeFileSync(
        join(stateFolder(), folder, 'snapshots.json'),
        JSON.stringify([{ system: 'btrfs', path }]),
      );
      await run();
      assert.ok(existsSync(precious));
    }
    rmSync(join(stateFolder(), folder, 'snapshots.json'), { force: true });
  });

  it('is never part of what a run reads', async () => {
    mkdirSync(join(source, '.cloud-sync-snapshots/cloud-sync-x'), { recursive: true });
    writeFileSync(join(source, '.cloud-sync-snapshots/cloud-sync-x/file'), 'x');
    await run({ snapshot: false });
    assert.deepEqual(await stored(), TREE);
  });

  it('follows links within it', async () => {
    symlinkSync('a.txt', join(source, 'link'));
    await good({ followSymlinks: true });
    assert.equal((await stored()).link, 'a');
  });

  it('is taken by no dry run', async () => {
    const report = await run({ dryRun: true });
    assert.equal(report.transferred.files, 4);
    const log = await runner.log(report.runId, {});
    assert.ok(log.ok && !log.value.entries.some(({ event }) => event === 'snapshot'));
  });

  it('says where there are no snapshots', async () => {
    const plain = temporaryFolder();
    writeFileSync(join(plain, 'x'), 'x');
    const report = await run({ path: plain });
    assert.equal(report.status, 'failed');
    const [error] = report.errors;
    assert.deepEqual([error!.code, error!.field], ['NOT_SUPPORTED', 'snapshot']);
    assert.match(error!.message, /^".*" lies on \w+, which has no snapshots$/);
    const missing = await run({ path: join(source, 'missing') });
    assert.deepEqual([missing.errors[0]!.code, missing.errors[0]!.field], ['NOT_FOUND', 'path']);
  });
});

/** Why there is no Btrfs to test on; undefined where there is one, mounted at the path that is told. */
function mountBtrfs(onMounted: (path: string) => void): string | undefined {
  if (process.getuid?.() !== 0) return 'that takes root';
  const path = mkdtempSync(join(tmpdir(), 'cloud-sync-btrfs-'));
  const image = `${path}.img`;
  writeFileSync(image, '');
  truncateSync(image, 200 * 1024 * 1024);
  const made = spawnSync('mkfs.btrfs', ['-q', image], { encoding: 'utf8' });
  const mounted =
    made.status === 0 ? spawnSync('mount', ['-o', 'loop', image, path], { encoding: 'utf8' }) : made;
  if (mounted.status === 0) {
    onMounted(path);
    return undefined;
  }
  rmSync(image);
  rmSync(path, { recursive: true });
  return (mounted.error?.message ?? mounted.stderr).trim();
}

function subvolume(path: string): string {
  mkdirSync(join(path, '..'), { recursive: true });
  execFileSync('btrfs', ['subvolume', 'create', path]);
  return path;
}

function write(root: string, tree: Record<string, string>): void {
  for (const [name, content] of Object.entries(tree)) {
    mkdirSync(join(root, name, '..'), { recursive: true });
    writeFileSync(join(root, name), content);
  }
}
