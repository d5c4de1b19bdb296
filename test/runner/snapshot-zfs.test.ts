/**
 * Snapshots of ZFS, with a stand-in for the command `zfs` that is as strict as its manual (zfs-snapshot(8), zfs-destroy(8))
 * and file systems in memory in the place of datasets: the kernel module is not to be had here.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { execute } from '../../src/runner/execute.js';
import { mountOf, mountsBelow, parseMounts, readMounts } from '../../src/runner/snapshot/mounts.js';
import { RunSnapshot, type SnapshotOptions } from '../../src/runner/snapshot.js';
import { readStore } from '../engine/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { BUCKET, closeAll, openAt } from '../stores/s3-support.js';
import { runRequest } from './support.js';

const COMMAND = `#!/bin/bash
# $STAND_IN holds: datasets (name, tab, mount point), commands (what was run), and what it is told to get wrong.
cd "$STAND_IN"; echo "zfs $*" >> commands
told() { [ -e "told-$1" ]; }
place() { awk -F'\\t' -v name="$1" '$1 == name { print $2 }' datasets; }
verb=$1; shift
case $verb in
snapshot)
  told deny && { echo "cannot create snapshots : permission denied" >&2; exit 1; }
  pool=
  for full in "$@"; do
    [[ $full =~ ^([a-z][a-z0-9/_.-]*)@([A-Za-z0-9_.:-]+)$ ]] || { echo "invalid snapshot name '$full'" >&2; exit 2; }
    [ -n "$(place "\${full%@*}")" ] || { echo "cannot open '\${full%@*}': dataset does not exist" >&2; exit 1; }
    own=\${full%%[/@]*}; [ -z "$pool" ] || [ "$pool" = "$own" ] || { echo "cannot create snapshots : pools differ" >&2; exit 1; }
    pool=$own
  done
  for full in "$@"; do
    top=$(place "\${full%@*}"); at="$top/.zfs/snapshot/\${full#*@}"
    [ -e "$at" ] && { echo "cannot create snapshot '$full': dataset already exists" >&2; exit 1; }
    mkdir -p "$at"; told unmounted && continue
    mount -t tmpfs none "$at" && tar -C "$top" --one-file-system --exclude=./.zfs -cf - . | tar -C "$at" -xf -
  done;;
destroy)
  [ $# = 1 ] && [[ $1 =~ ^[a-z][a-z0-9/_.-]*@cloud-sync-[^@,%]+$ ]] || { echo "refused: $*" >> ../destroyed-wrongly; exit 2; }
  at="$(place "\${1%@*}")/.zfs/snapshot/\${1#*@}"
  [ -e "$at" ] || { echo "could not find any snapshots to destroy; check snapshot names." >&2; exit 1; }
  told busy && { echo "cannot destroy snapshot $1: dataset is busy" >&2; exit 1; }
  mountpoint -q "$at" && umount "$at"; rmdir "$at";;
*) echo "unrecognized command '$verb'" >&2; exit 2;;
esac
`;

describe('A snapshot of ZFS', function () {
  this.timeout(30_000);
  let folder: string;
  let standIn: string;
  let top: string;
  let server: S3Server;
  let path: string | undefined;
  const datasets = new Map<string, string>();
  let runs = 0;

  before(async function () {
    if (process.getuid?.() !== 0 || spawnSync('mount', ['-t', 'tmpfs', 'none', '/mnt']).status !== 0) {
      console.warn('      NOT TESTED: snapshots of ZFS, because file systems can not be mounted here');
      this.skip();
    }
    spawnSync('umount', ['/mnt']);
    server = await startS3Server({ buckets: [BUCKET] });
  });
  after(async () => {
    await closeAll();
    await server?.stop();
  });

  beforeEach(() => {
    runs++;
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'cloud-sync-zfs-')));
    standIn = join(folder, 'stand-in');
    mkdirSync(join(standIn, 'bin'), { recursive: true });
    writeFileSync(join(standIn, 'bin/zfs'), COMMAND);
    chmodSync(join(standIn, 'bin/zfs'), 0o755);
    path = process.env.PATH;
    process.env.PATH = `${join(standIn, 'bin')}${delimiter}${path}`;
    process.env.STAND_IN = standIn;
    top = join(folder, 'photos');
    dataset('tank/photos', top, { 'a.txt': 'a', 'b/c.txt': 'c' });
  });
  afterEach(() => {
    process.env.PATH = path;
    delete process.env.STAND_IN;
    assert.equal(existsSync(join(folder, 'destroyed-wrongly')), false);
    for (const mount of mountsBelow(readMounts(), folder).reverse()) spawnSync('umount', [mount.mountPoint]);
    datasets.clear();
    rmSync(folder, { recursive: true, force: true });
  });

  const dataset = (name: string, at: string, tree: Record<string, string>) => {
    mkdirSync(at, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', 'none', at]);
    datasets.set(at, name);
    writeFileSync(join(standIn, 'datasets'), [...datasets].map(([to, of]) => `${of}\t${to}\n`).join(''));
    for (const [file, content] of Object.entries(tree)) {
      mkdirSync(join(at, file, '..'), { recursive: true });
      writeFileSync(join(at, file), content);
    }
  };
  const mounts = () =>
    readMounts().map((mount) => {
      const source = datasets.get(mount.mountPoint);
      return source === undefined ? mount : { ...mount, type: 'zfs', source };
    });
  const snapshotOf = (options: Partial<SnapshotOptions> = {}) =>
    new RunSnapshot({
      taskId: 'a task/1',
      path: top,
      stateFolder: join(folder, 'state'),
      entersFolder: () => true,
      log: () => {},
      mounts,
      ...options,
    });
  const commands = () => readFileSync(join(standIn, 'commands'), 'utf8').trim().split('\n');
  const tell = (what: string) => writeFileSync(join(standIn, `told-${what}`), '');
  const tellNoMore = (what: string) => rmSync(join(standIn, `told-${what}`));
  const left = () =>
    mountsBelow(readMounts(), folder).filter(({ mountPoint }) => mountPoint.includes('.zfs'));

  /** A run through a snapshot; what is stored then. */
  const pushed = async (options: Partial<SnapshotOptions> = {}, meanwhile = () => {}) => {
    const snapshot = snapshotOf(options);
    const view = await snapshot.take();
    meanwhile();
    const { url: endpoint, region, accessKeyId, secretAccessKey } = server;
    const config = { endpoint, region };
    const credential = {
      id: 'c',
      name: '',
      provider: 's3',
      config,
      secrets: { accessKeyId, secretAccessKey },
    };
    const task = {
      credential,
      path: top,
      bucket: BUCKET,
      folder: `run-${runs}`,
      maxDelete: null,
      lease: false,
    };
    const request = runRequest(join(folder, 'data'), task);
    const host = { signal: new AbortController().signal, phase: () => {}, log: () => {}, snapshot: view };
    const result = await execute(request, host).result;
    assert.deepEqual([result.errors, result.status], [[], 'success']);
    assert.deepEqual(await snapshot.destroy(), []);
    assert.deepEqual(left(), []);
    return await readStore(openAt(server).store, `run-${runs}/`);
  };

  it('is read instead of the folder, and destroyed', async () => {
    const found = await pushed({}, () => writeFileSync(join(top, 'a.txt'), 'changed meanwhile'));
    assert.deepEqual(found, { 'a.txt': 'a', 'b/c.txt': 'c' });
    assert.equal(commands().length, 2);
    assert.match(commands()[0]!, /^zfs snapshot tank\/photos@cloud-sync-a_task_1-\d{8}T\d{9}Z$/);
    assert.equal(commands()[1], commands()[0]!.replace('snapshot', 'destroy'));
  });

  it('of child datasets is taken at the same moment, and read in their places', async () => {
    dataset('tank/photos/child', join(top, 'b/child'), { 'd.txt': 'd' });
    dataset('tank/photos/child/deep', join(top, 'b/child/deep er'), { 'e.txt': 'e' });
    dataset('other', join(top, 'other'), { 'o.txt': 'o' });
    const all = {
      'a.txt': 'a',
      'b/c.txt': 'c',
      'b/child/d.txt': 'd',
      'b/child/deep er/e.txt': 'e',
      'other/o.txt': 'o',
    };
    const change = () => {
      writeFileSync(join(top, 'b/child/deep er/e.txt'), 'later');
      rmSync(join(top, 'b/child/d.txt'));
    };
    assert.deepEqual(await pushed({}, change), all);
    assert.match(commands()[0]!, /^zfs snapshot (tank\/photos\S*@\S+ ?){3}$/);
    assert.match(commands()[1]!, /^zfs snapshot other@\S+$/);
    assert.equal(commands().length, 6);
    const { 'b/child/d.txt': _gone, ...rest } = all;
    assert.deepEqual(await pushed(), { ...rest, 'b/child/deep er/e.txt': 'later' });
  });

  it('of a folder within a dataset takes only what lies in it and the filters take', async () => {
    dataset('tank/photos/beside', join(top, 'beside'), { x: 'x' });
    dataset('tank/photos/left-out', join(top, 'b/left-out'), { x: 'x' });
    const snapshot = snapshotOf({ path: join(top, 'b'), entersFolder: (name) => name !== 'left-out' });
    const view = await snapshot.take();
    assert.match(commands().join(), /^zfs snapshot tank\/photos@\S+$/);
    assert.match(view.path, /photos\/\.zfs\/snapshot\/cloud-sync-[^/]*\/b$/);
    assert.equal(view.tree.replaced.size, 0);
    assert.deepEqual(await snapshot.destroy(), []);
  });

  it('of a part that is mounted elsewhere is found by the mount of the whole, or refused', async () => {
    const bound = join(folder, 'bound');
    mkdirSync(bound);
    execFileSync('mount', ['--bind', join(top, 'b'), bound]);
    const withBound = () =>
      mounts().map((mount) =>
        mount.mountPoint === bound ? { ...mount, type: 'zfs', source: 'tank/photos' } : mount,
      );
    const snapshot = snapshotOf({ path: bound, mounts: withBound });
    assert.match((await snapshot.take()).path, /photos\/\.zfs\/snapshot\/cloud-sync-[^/]*\/b$/);
    assert.deepEqual(await snapshot.destroy(), []);
    const alone = () => withBound().filter(({ mountPoint }) => mountPoint !== top);
    await assert.rejects(snapshotOf({ path: bound, mounts: alone }).take(), {
      code: 'NOT_SUPPORTED',
      field: 'snapshot',
      message: /Only a part of the dataset tank\/photos/,
    });
  });

  it('that can not be mounted where Node-RED runs is refused and destroyed', async () => {
    tell('unmounted');
    const snapshot = snapshotOf();
    await assert.rejects(snapshot.take(), { code: 'NOT_SUPPORTED', message: /can not be read/ });
    assert.deepEqual(await snapshot.destroy(), []);
    assert.equal(commands().at(-1)!.startsWith('zfs destroy tank/photos@cloud-sync-'), true);
  });

  it('without the right to it says how to get it', async () => {
    tell('deny');
    const snapshot = snapshotOf();
    await assert.rejects(snapshot.take(), {
      code: 'NO_PERMISSION',
      field: 'snapshot',
      message: /permission denied/,
      advice: /^As root: zfs allow -u \S+ snapshot,destroy,mount tank\/photos$/,
    });
    assert.deepEqual(await snapshot.destroy(), [], 'what never was is no warning');
  });

  it('without the command says what is missing', async () => {
    rmSync(join(standIn, 'bin/zfs'));
    process.env.PATH = join(standIn, 'bin');
    const installed = ['/usr/local/sbin', '/usr/sbin', '/sbin'].some((one) => existsSync(join(one, 'zfs')));
    if (installed) return console.warn('      NOT TESTED: a missing zfs, because there is one');
    await assert.rejects(snapshotOf().take(), { code: 'NOT_SUPPORTED', message: /no command "zfs"/ });
  });

  it('that is busy stays on record until it can be destroyed', async () => {
    tell('busy');
    const first = snapshotOf();
    await first.take();
    const [warning] = await first.destroy();
    assert.match(warning!.message, /tank\/photos@cloud-sync-a_task_1-.* could not be destroyed: .*is busy/);
    assert.equal(left().length, 1);
    tellNoMore('busy');
    assert.deepEqual(await snapshotOf().destroy(), []);
    assert.deepEqual(left(), []);
  });

  it('on record is destroyed only if it is one of ours', async () => {
    const record = join(folder, 'state/snapshots.json');
    mkdirSync(join(folder, 'state'));
    for (const name of ['tank/photos', 'tank/photos@precious', '-r@cloud-sync-x', 'tank@a@cloud-sync-x']) {
      writeFileSync(record, JSON.stringify([{ system: 'zfs', name }]));
      assert.equal((await snapshotOf().destroy()).length, 1);
    }
    assert.equal(existsSync(join(standIn, 'commands')), false);
    writeFileSync(record, 'no JSON');
    assert.deepEqual(await snapshotOf().destroy(), []);
  });

  it('is not begun once the run is stopped', async () => {
    await assert.rejects(snapshotOf().take(AbortSignal.abort()), { code: 'ABORTED' });
    assert.equal(existsSync(join(standIn, 'commands')), false);
  });
});

describe('What is mounted where', () => {
  const text = `22 1 0:21 / / rw - ext4 /dev/sda1 rw
23 22 0:22 / /mnt/my\\040disk rw,relatime shared:1 master:2 - zfs tank/my\\040data rw,xattr
24 23 0:23 /sub /mnt/my\\040disk/x rw - btrfs /dev/sdb rw,subvol=/sub
25 22 0:24 / /mnt/my rw - fuse.zfs old rw
26 23 0:25 / /mnt/my\\040disk/x rw - tmpfs none rw
27 23 0:26 / /mnt/my\\040disk/x/hidden/no rw - tmpfs none rw
`;
  it('is read with its escapes, the last mount on a place first', () => {
    const mounts = parseMounts(text);
    assert.deepEqual(mounts[1], {
      device: '0:22',
      root: '/',
      mountPoint: '/mnt/my disk',
      type: 'zfs',
      source: 'tank/my data',
      options: ['rw', 'xattr'],
    });
    assert.equal(mountOf(mounts, '/mnt/my disk/x/y')?.type, 'tmpfs');
    assert.equal(mountOf(mounts, '/mnt/my disk')?.source, 'tank/my data');
    assert.equal(mountOf(mounts, '/mnt/my other disk')?.type, 'ext4');
    assert.deepEqual(
      mountsBelow(mounts, '/mnt/my disk').map(({ mountPoint, type }) => [mountPoint, type]),
      [
        ['/mnt/my disk/x', 'tmpfs'],
        ['/mnt/my disk/x/hidden/no', 'tmpfs'],
      ],
    );
  });
});
