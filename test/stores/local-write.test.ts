import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CloudSyncError } from '../../src/errors.js';
import { contentOfBytes, readAll } from '../../src/stores/content.js';
import { endHelper } from '../../src/stores/local/attribute-helper.js';
import { openLocalStore } from '../../src/stores/local.js';
import type { Content, Store } from '../../src/stores/store.js';
import { failsWith, isRoot, mountTemporary, NOBODY, Place, withoutPrivileges } from './local-support.js';

const text = (content: string): Content => contentOfBytes(Buffer.from(content));
/** POSIX ACL of acl(5) as the kernel keeps it: user rw-, user 1234 r--, group r--, mask rw-, other ---. */
const ACL = [
  '02000000',
  '01000600ffffffff',
  '02000400d2040000',
  '04000400ffffffff',
  '10000600ffffffff',
  '20000000ffffffff',
].join('');

describe('writing to a local folder', () => {
  let place: Place;
  let store: Store;
  beforeEach(() => {
    place = new Place();
    store = place.store();
  });
  afterEach(async () => {
    place.assertNoTemporaryFiles();
    place.assertOutsideUntouched();
    await place.remove();
  });

  it('sets times to the microsecond, cut off, before 1970 too', async () => {
    for (const time of [
      1_700_000_000_123_456_789n,
      1_700_000_000_000_000_999n,
      1_234_567_890_999_999_999n,
      4_102_444_800_000_001_000n,
      0n,
      -1n,
      -1_500_000_000n,
      -86_400_000_000_001n,
    ]) {
      const rest = ((time % 1000n) + 1000n) % 1000n;
      const written = await store.write('file', text('x'), { modificationTime: time });
      assert.equal(written.modificationTime, time - rest);
      assert.equal(fs.statSync(place.path('file'), { bigint: true }).mtimeNs, time - rest);
      const later = await store.setModificationTime(written, time + 1_000_000n);
      assert.equal(later.modificationTime, time + 1_000_000n - rest);
    }
  });

  it('gives new files the usual mode, or that of the metadata, but never set-user-id', async () => {
    const mask = process.umask(0o027);
    try {
      await store.write('usual', text('x'));
      await store.write('given', text('x'), { metadata: { mode: '104755', uid: '12', gid: '34' } });
      await store.write('nonsense', text('x'), { metadata: { mode: '9', uid: 'me', gid: '-1' } });
      await store.createFolder('folder', { metadata: { mode: '40750' }, modificationTime: 5_000_000_000n });
    } finally {
      process.umask(mask);
    }
    const modeOf = (name: string) => fs.statSync(place.path(name)).mode & 0o7777;
    assert.equal(modeOf('usual'), 0o640);
    assert.equal(modeOf('nonsense'), 0o640);
    assert.equal(modeOf('given'), 0o755);
    assert.equal(modeOf('folder'), 0o750);
    assert.equal(fs.statSync(place.path('folder')).mtimeMs, 5000);
    const given = fs.statSync(place.path('given'));
    if (isRoot) assert.deepEqual([given.uid, given.gid], [12, 34]);
    const described = await store.head('given');
    assert.deepEqual(described?.metadata, { mode: '100755', uid: String(given.uid), gid: String(given.gid) });
  });

  it('keeps owner, group and mode of the file it replaces, whatever the metadata says', async function () {
    if (!isRoot) {
      console.warn('      not root: owners are NOT tested');
      this.skip();
    }
    for (const [uid, gid, mode] of [
      [NOBODY, 1234, 0o640],
      [1234, NOBODY, 0o4755],
      [0, 0, 0o400],
    ] as const) {
      place.file('theirs', 'old');
      fs.chownSync(place.path('theirs'), uid, gid);
      fs.chmodSync(place.path('theirs'), mode);
      const metadata = { mode: '100777', uid: '1', gid: '1' };
      const written = await store.write('theirs', text('new'), {
        metadata,
        modificationTime: 1_000_000_000n,
      });
      const stats = fs.statSync(place.path('theirs'));
      assert.deepEqual([stats.uid, stats.gid, stats.mode & 0o7777], [uid, gid, mode]);
      assert.deepEqual([written.identity?.uid, written.identity?.gid], [uid, gid]);
      assert.equal(fs.readFileSync(place.path('theirs'), 'utf8'), 'new');
      assert.equal(stats.mtimeMs, 1000);
    }
  });

  it('keeps what rights allow of a file that another user owns', async function () {
    if (!isRoot) this.skip();
    place.file('theirs', 'old');
    fs.chownSync(place.path('theirs'), 1234, 1234);
    fs.chmodSync(place.path('theirs'), 0o644);
    fs.chmodSync(place.root, 0o777);
    const written = await withoutPrivileges(() => store.write('theirs', text('new')));
    assert.deepEqual([written.identity?.uid, written.identity!.mode & 0o777], [NOBODY, 0o644]);
  });

  for (const way of ['Python', 'cp']) {
    it(`keeps ACL and extended attributes of the file it replaces, by ${way}`, async function () {
      if (!canSetAttributes(place.file('probe'))) {
        console.warn('      extended attributes cannot be set here: NOT tested');
        this.skip();
      }
      if (way === 'cp' && !isGnuCp()) {
        console.warn('      no GNU cp: NOT tested');
        this.skip();
      }
      for (const name of ['a', 'b', 'plain']) place.file(name, 'old');
      for (const name of ['a', 'b']) setAttributes(place.path(name));
      const problems: CloudSyncError[] = [];
      const keeping = place.store({ onProblem: (problem) => problems.push(problem) });
      await withPrograms(way === 'cp' ? ['cp'] : ['python3', 'cp'], async () => {
        for (const name of ['a', 'b', 'plain', 'new']) await keeping.write(name, text('new'));
        await keeping.close();
      });
      assert.deepEqual(problems, []);
      for (const name of ['a', 'b']) {
        assert.deepEqual(attributesOf(place.path(name)), {
          'user.note': '6b657074',
          'system.posix_acl_access': ACL,
        });
        assert.equal(fs.statSync(place.path(name)).mode & 0o777, 0o660);
        assert.equal(fs.readFileSync(place.path(name), 'utf8'), 'new');
      }
      for (const name of ['plain', 'new']) assert.deepEqual(attributesOf(place.path(name)), {});
    });
  }

  it('says once that attributes cannot be kept where there is no program for it', async () => {
    const problems: CloudSyncError[] = [];
    // One that an earlier test left would still serve.
    endHelper();
    const keeping = place.store({ onProblem: (problem) => problems.push(problem) });
    await withPrograms([], async () => {
      for (const content of ['1', '2', '3']) await keeping.write('file', text(content));
    });
    assert.deepEqual(
      problems.map((problem) => problem.code),
      ['NOT_SUPPORTED'],
    );
    assert.equal(fs.readFileSync(place.path('file'), 'utf8'), '3');
  });

  it('replaces a link instead of writing through it', async () => {
    fs.symlinkSync(join(place.outside, 'secret'), place.path('link'));
    await store.write('link', text('harmless'));
    assert.ok(fs.lstatSync(place.path('link')).isFile());
    assert.equal(fs.readFileSync(place.path('link'), 'utf8'), 'harmless');
  });

  it('does not overwrite what came in between', async () => {
    const beforeCommit = async () => void place.file('file', 'theirs');
    await failsWith('PRECONDITION_FAILED', () =>
      store.write('file', text('ours'), { ifNoneMatch: '*', beforeCommit }),
    );
    assert.equal(fs.readFileSync(place.path('file'), 'utf8'), 'theirs');
    const { etag } = (await store.head('file'))!;
    await failsWith('PRECONDITION_FAILED', () =>
      store.write('file', text('ours'), {
        ifMatch: etag,
        beforeCommit: async () => void place.file('file', 'new'),
      }),
    );
    assert.equal(fs.readFileSync(place.path('file'), 'utf8'), 'new');
  });

  it('says what stands in the way', async () => {
    place.file('folder/file', 'kept');
    await failsWith('OBSTRUCTED', () => store.write('folder', text('x')));
    await failsWith('OBSTRUCTED', () => store.write('folder/file/below', text('x')));
    await failsWith('OBSTRUCTED', () => store.createFolder('folder/file'));
    await failsWith('OBSTRUCTED', () => store.delete({ key: 'folder' }));
    await failsWith('OBSTRUCTED', () => store.open('folder'));
    await failsWith('NAME_TOO_LONG', () => store.write('é'.repeat(128), text('x')));
    await store.deleteFolder('folder');
    await store.deleteFolder('folder/file');
    assert.equal(fs.readFileSync(place.path('folder/file'), 'utf8'), 'kept');
  });

  it('finds an edit of the same size whose time was put back', async () => {
    place.file('file', 'before');
    const { atime, mtime } = fs.statSync(place.path('file'));
    const opened = await store.open('file');
    await opened.confirmUnchanged();
    fs.writeFileSync(place.path('file'), 'after!');
    fs.utimesSync(place.path('file'), atime, mtime);
    await failsWith('CHANGED', () => opened.confirmUnchanged());
    await failsWith('CHANGED', () => store.setModificationTime(opened.object, 0n));
    await failsWith('CHANGED', () => store.open('file', { ifMatch: opened.object.etag }));
    await failsWith('PRECONDITION_FAILED', () => store.delete({ key: 'file', ifMatch: opened.object.etag }));
    await opened.close();
  });

  it('is CHANGED where a file shrinks while it is read', async () => {
    place.file('file', 'x'.repeat(700_000));
    const opened = await store.open('file');
    await failsWith('CHANGED', async () => {
      for await (const _ of opened.read()) fs.truncateSync(place.path('file'), 10);
    });
    await opened.close();
  });

  it('does not rename over anything but an empty folder', async () => {
    for (const name of ['a', 'b', 'folder/x', 'other/y']) place.file(name);
    fs.mkdirSync(place.path('empty'));
    await failsWith('ALREADY_EXISTS', () => store.rename('a', 'b'));
    await failsWith('ALREADY_EXISTS', () => store.rename('folder', 'other'));
    await failsWith('ALREADY_EXISTS', () => store.rename('a', 'empty'));
    await store.rename('folder', 'empty');
    await store.rename('a', 'new/place/a');
    assert.equal(fs.readFileSync(place.path('empty/x'), 'utf8'), 'folder/x');
    assert.equal(fs.readFileSync(place.path('new/place/a'), 'utf8'), 'a');
    await failsWith('INVALID_NAME', () => store.rename('empty', 'empty/below'));
  });

  it('says that the disk is full, and leaves the old file', async function () {
    const mount = mountTemporary(place.path('small'), 'size=1m');
    if (mount === undefined) this.skip();
    try {
      await store.write('small/file', text('old'));
      const tooMuch = contentOfBytes(Buffer.alloc(3_000_000));
      const error = await failsWith('DISK_FULL', () => store.write('small/file', tooMuch));
      assert.ok(error.advice);
      assert.equal(error.path, 'small/file');
      assert.equal(fs.readFileSync(place.path('small/file'), 'utf8'), 'old');
      const upload = await store.createUpload('small/big', 3_000_000, { partSize: 3_000_000 });
      await failsWith('DISK_FULL', () => upload.sendPart(1, tooMuch));
      await upload.abort();
      place.assertNoTemporaryFiles();
      // Another file system below the root: a file is carried over, a folder can't be.
      place.file('moved', 'moved');
      await store.rename('moved', 'small/moved');
      assert.equal(fs.readFileSync(place.path('small/moved'), 'utf8'), 'moved');
      assert.ok(!fs.existsSync(place.path('moved')));
      fs.mkdirSync(place.path('folder'));
      await failsWith('NOT_SUPPORTED', () => store.rename('folder', 'small/folder'));
      await store.deleteFolder('small');
    } finally {
      // It keeps the folders open that it wrote to last.
      await store.close();
      mount.unmount();
    }
  });

  it('says what is not permitted', async function () {
    place.file('locked/file', 'old');
    place.file('secret', 'secret');
    fs.chmodSync(place.path('secret'), 0o000);
    fs.chmodSync(place.path('locked'), 0o555);
    await withoutPrivileges(async () => {
      for (const action of [
        () => store.write('locked/file', text('new')),
        () => store.write('locked/new/file', text('new')),
        () => store.delete({ key: 'locked/file' }),
        () => store.createUpload('locked/file', 10),
        () => store.open('secret'),
      ]) {
        const error = await failsWith('NO_PERMISSION', action);
        assert.ok(error.advice);
        assert.equal(error.retryable, false);
      }
    });
    fs.chmodSync(place.path('locked'), 0o755);
    const mount = mountTemporary(place.path('readonly'), 'ro');
    if (mount === undefined) this.skip();
    try {
      await failsWith('NO_PERMISSION', () => store.write('readonly/file', text('x')));
    } finally {
      await store.close();
      mount.unmount();
    }
  });

  it('keeps a part that arrived, and none whose bytes are not those recorded', async () => {
    const size = 3 * 65_536;
    const part = (fill: number) => contentOfBytes(Buffer.alloc(65_536, fill));
    const upload = await store.createUpload('big', size, { partSize: 65_536 });
    await upload.sendPart(1, part(1));
    await upload.sendPart(3, part(3));
    const [temporary] = fs.readdirSync(place.root).filter((name) => name.endsWith('.part'));
    // As a power cut leaves it: the record survived, the bytes of part 3 didn't; a record line cut off.
    const fd = fs.openSync(place.path(temporary!), 'r+');
    fs.writeSync(fd, Buffer.alloc(100), 0, 100, 2 * 65_536);
    fs.closeSync(fd);
    fs.appendFileSync(place.path(`${temporary}s`), '2 65536 d41d8cd98f00b2');
    const again = await openLocalStore(place.root).resumeUpload(JSON.parse(JSON.stringify(upload.state)));
    const arrived: number[] = [];
    for await (const found of again.arrived()) {
      arrived.push(found.number);
      again.keepPart(found);
    }
    assert.deepEqual(arrived, [1]);
    await again.sendPart(2, part(2));
    await again.sendPart(3, part(4));
    const wrong = { hashes: { md5: '0'.repeat(32) } };
    await failsWith('CHECKSUM_MISMATCH', () => again.complete(wrong));
    assert.ok(!fs.existsSync(place.path('big')));
    await again.sendPart(3, part(3));
    await again.complete();
    const expected = Buffer.concat([1, 2, 3].map((fill) => Buffer.alloc(65_536, fill)));
    assert.deepEqual(fs.readFileSync(place.path('big')), expected);
  });

  it('refuses the state of another upload', async () => {
    const upload = await store.createUpload('a', 10);
    for (const details of [{ temporaryName: '../outside/secret' }, { temporaryName: 'secret' }, {}]) {
      await failsWith('NOT_FOUND', () =>
        store.resumeUpload({ ...upload.state, details } as typeof upload.state),
      );
    }
    await failsWith('NOT_FOUND', () => store.resumeUpload({ ...upload.state, key: 'b' }));
    await failsWith('NOT_FOUND', () => store.resumeUpload({ ...upload.state, size: 11 }));
    await upload.abort();
  });

  it('lets the process end, closed or not', () => {
    const script = `
      const { openLocalStore } = require('./src/stores/local.ts');
      const { contentOfBytes } = require('./src/stores/content.ts');
      (async () => {
        const store = openLocalStore(process.argv[1]);
        for (const content of ['1', '2', '3']) await store.write('file', contentOfBytes(Buffer.from(content)));
        process.stdout.write('written');
      })();`;
    const result = spawnSync(process.execPath, ['--import', 'tsx', '-e', script, place.root], {
      cwd: join(__dirname, '../..'),
      encoding: 'utf8',
      timeout: 20_000,
    });
    assert.equal(result.stdout, 'written', result.stderr);
    assert.equal(result.status, 0);
    assert.equal(fs.readFileSync(place.path('file'), 'utf8'), '3');
  });

  it('can be made to survive a power cut, new folders too', async () => {
    const deep = openLocalStore(place.path('new/root'));
    for (const key of ['a/b/c', 'a/b/d', 'a/e', 'f']) await deep.write(key, text(key), { durable: true });
    await deep.delete({ key: 'a/e' });
    const upload = await deep.createUpload('g/h', 4);
    await upload.sendPart(1, text('part'));
    await upload.complete({ durable: true });
    assert.equal(fs.readFileSync(place.path('new/root/a/b/d'), 'utf8'), 'a/b/d');
    assert.equal(fs.readFileSync(place.path('new/root/g/h'), 'utf8'), 'part');
    await deep.close();
  });

  it('gives all bytes back through readAll', async () => {
    await store.write('file', text('content'));
    const opened = await store.open('file');
    assert.equal((await readAll(opened.read(2, 3))).toString(), 'nte');
    await opened.close();
    await failsWith('INTERNAL', () => readAll(opened.read()));
  });
});

function python(script: string, ...args: string[]): { ok: boolean; output: string } {
  const result = spawnSync('python3', ['-c', script, ...args], { encoding: 'utf8' });
  return { ok: result.status === 0, output: result.stdout };
}

function canSetAttributes(path: string): boolean {
  return python('import os,sys; os.setxattr(sys.argv[1], "user.probe", b"x")', path).ok;
}

function setAttributes(path: string): void {
  const script = `
import os, sys
os.setxattr(sys.argv[1], "user.note", b"kept")
os.setxattr(sys.argv[1], "system.posix_acl_access", bytes.fromhex(sys.argv[2]))`;
  assert.ok(python(script, path, ACL).ok, 'attributes can not be set');
}

function attributesOf(path: string): Record<string, string> {
  const script = `
import json, os, sys
print(json.dumps({ n: os.getxattr(sys.argv[1], n).hex() for n in os.listxattr(sys.argv[1]) if not n.startswith("security.") }))`;
  return JSON.parse(python(script, path).output);
}

function isGnuCp(): boolean {
  return /GNU coreutils/.test(spawnSync('cp', ['--version'], { encoding: 'utf8' }).stdout ?? '');
}

/** Runs `action` while PATH leads to these programs alone. */
async function withPrograms(names: string[], action: () => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), 'cloud-sync-programs-'));
  const path = process.env.PATH;
  try {
    for (const name of names) {
      const found = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim();
      fs.writeFileSync(join(folder, name), `#!/bin/sh\nPATH='${path}' exec ${found} "$@"\n`, { mode: 0o755 });
    }
    process.env.PATH = folder;
    await action();
  } finally {
    process.env.PATH = path;
    fs.rmSync(folder, { recursive: true, force: true });
  }
}
