import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { CloudSyncError } from '../../src/errors.js';
import { readAll } from '../../src/stores/content.js';
import { newUploadName, newWriteName, recordNameOf } from '../../src/stores/local/temporary-names.js';
import { openLocalStore, removeStaleTemporaryFiles } from '../../src/stores/local.js';
import { failsWith, keysOf, listAll, Place, withoutPrivileges } from './local-support.js';

const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

describe('listing a local folder', () => {
  let place: Place;
  beforeEach(() => {
    place = new Place();
  });
  afterEach(() => place.remove());

  it('comes in UTF-8 byte order of whole keys', async () => {
    const names = [
      'a-b',
      'a.txt',
      'a/x',
      'a/-',
      'a0',
      'A',
      '\uff0e',
      '\u{1f600}',
      'e\u0301',
      '\u00e9',
      'a-/b',
      'a!',
    ];
    for (const name of names) place.file(name);
    assert.deepEqual(await keysOf(place.store()), names.sort(byBytes));
  });

  it('comes in order whatever the tree', async () => {
    const segment = fc.string({
      unit: fc.constantFrom(...'a-.0~\u{1f600}\uff0e'),
      minLength: 1,
      maxLength: 3,
    });
    const path = fc.array(segment, { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(fc.array(path, { maxLength: 25 }), async (paths) => {
        const inner = new Place();
        try {
          const expected = new Set<string>();
          for (const segments of paths) {
            if (segments.some((name) => name === '.' || name === '..')) continue;
            const key = segments.join('/');
            try {
              inner.file(key);
              expected.add(key);
            } catch {
              // A file and a folder of one name can't both be.
            }
          }
          assert.deepEqual(await keysOf(inner.store()), [...expected].sort(byBytes));
        } finally {
          await inner.remove();
        }
      }),
      { numRuns: 60 },
    );
  });

  it('comes in the order of the other side, with its keys', async () => {
    const mapped: Record<string, string> = { a: 'z', b: 'y', sub: 'm', 'a.txt': 'sub' };
    for (const name of ['a', 'b', 'sub/a', 'sub/b', 'a.txt']) place.file(name);
    const kinds = new Map<string, string>();
    const entries = await listAll(place.store(), {
      folders: true,
      orderName: (name, kind) => {
        kinds.set(name, kind);
        return mapped[name]!;
      },
    });
    assert.deepEqual(
      entries.map((entry) => `${entry.orderKey} ${entry.key}`),
      ['m sub', 'm/y sub/b', 'm/z sub/a', 'sub a.txt', 'y b', 'z a'],
    );
    assert.deepEqual([kinds.get('sub'), kinds.get('a')], ['folder', 'file']);
    const after = await keysOf(place.store(), { orderName: (name) => mapped[name]!, startAfter: 'm/y' });
    assert.deepEqual(after, ['sub/a', 'a.txt', 'b', 'a']);
  });

  it('names what the other side cannot hold and goes on', async () => {
    for (const name of ['bad', 'folder/x', 'good']) place.file(name);
    const orderName = (name: string) => {
      if (name !== 'good') throw new CloudSyncError('NAME_TOO_LONG', 'too long');
      return name;
    };
    const entries = await listAll(place.store(), { orderName });
    assert.deepEqual(
      entries.map((entry) => [entry.key, entry.kind, entry.problem?.code, entry.problem?.path]),
      [
        ['bad', 'special', 'NAME_TOO_LONG', 'bad'],
        ['folder', 'folder', 'NAME_TOO_LONG', 'folder'],
        ['good', 'file', undefined, undefined],
      ],
    );
  });

  it('gives names that are no text, and the same bytes back', async () => {
    const bytes = [
      ...['caf\xe9', '\xff\xfe', 'plain'].map((name) => Buffer.from(name, 'latin1')),
      Buffer.from('it‛s'),
    ];
    const folder = Buffer.concat([Buffer.from(`${place.root}/d`), Buffer.of(0xe9)]);
    fs.mkdirSync(folder);
    for (const name of bytes) fs.writeFileSync(Buffer.concat([folder, Buffer.from('/'), name]), name);
    const store = place.store();
    const keys = await keysOf(store);
    assert.deepEqual(keys, ['d‛E9/caf‛E9', 'd‛E9/it‛‛s', 'd‛E9/plain', 'd‛E9/‛FF‛FE'].sort(byBytes));
    const copy = openLocalStore(join(place.folder, 'copy'));
    for (const key of keys) {
      const opened = await store.open(key);
      const content = await readAll(opened.read());
      await opened.close();
      await copy.write(key, {
        size: content.length,
        bytes: content,
        read: async function* () {
          yield content;
        },
      });
      assert.equal((await store.head(key))?.key, key);
    }
    const copied = Buffer.concat([Buffer.from(join(place.folder, 'copy', 'd')), Buffer.of(0xe9)]);
    const listed = fs.readdirSync(copied, { encoding: 'buffer' });
    assert.deepEqual(listed.map(String).sort(), bytes.map(String).sort());
    for (const name of listed) {
      assert.deepEqual(fs.readFileSync(Buffer.concat([copied, Buffer.from('/'), name])), name);
    }
    for (const key of keys) await store.delete({ key });
    assert.deepEqual(await keysOf(store), []);
  });

  it('starts after any key and keeps to any prefix', async () => {
    const names = ['a-b', 'a/b/c', 'a/b/d', 'a/e', 'a0', 'b/a', '\uff0e/x', '\u{1f600}'].sort(byBytes);
    for (const name of names) place.file(name);
    const store = place.store();
    for (const startAfter of [...names, 'a', 'a/', 'a/b', 'a/b/', 'a/b0', '', '\uff0f', 'zzz']) {
      const expected = names.filter((name) => byBytes(name, startAfter) > 0);
      assert.deepEqual(await keysOf(store, { startAfter }), expected, `after ${startAfter}`);
    }
    for (const prefix of ['a', 'a/', 'a/b', 'a/b/', 'a/b/c', 'b', 'c', 'c/', 'a-b/', '\uff0e']) {
      const expected = names.filter((name) => name.startsWith(prefix));
      assert.deepEqual(await keysOf(store, { prefix }), expected, `prefix ${prefix}`);
    }
  });

  it('gives folders before what is in them, with time and mode', async () => {
    place.file('folder/file');
    fs.mkdirSync(place.path('empty'), 0o700);
    fs.utimesSync(place.path('empty'), 1_000_000, 1_000_000);
    const entries = await listAll(place.store(), { folders: true });
    assert.deepEqual(
      entries.map((entry) => `${entry.kind} ${entry.key}`),
      ['folder empty', 'folder folder', 'file folder/file'],
    );
    assert.equal(entries[0]?.modificationTime, 1_000_000_000_000_000n);
    assert.equal(entries[0]!.identity!.mode & 0o777, 0o700);
  });

  it('does not enter folders that are not wanted', async () => {
    for (const name of ['wanted/a', 'unwanted/a', 'wanted/unwanted/b']) place.file(name);
    const asked: string[] = [];
    const keys = await keysOf(place.store(), {
      folders: true,
      entersFolder: (folder) => {
        asked.push(folder);
        return !folder.endsWith('unwanted/');
      },
    });
    assert.deepEqual(keys, ['wanted', 'wanted/a']);
    assert.deepEqual(asked.sort(), ['unwanted/', 'wanted/', 'wanted/unwanted/']);
  });

  it('names a folder that cannot be read, and goes on', async () => {
    for (const name of ['a', 'locked/x', 'z']) place.file(name);
    fs.chmodSync(place.path('locked'), 0o000);
    const entries = await withoutPrivileges(() => listAll(place.store()));
    fs.chmodSync(place.path('locked'), 0o755);
    assert.deepEqual(
      entries.map((entry) => [entry.key, entry.kind, entry.problem?.code]),
      [
        ['a', 'file', undefined],
        ['locked', 'folder', 'NO_PERMISSION'],
        ['z', 'file', undefined],
      ],
    );
    assert.ok(entries[1]?.problem?.advice);
  });

  it('is refused as a whole where the folder itself is missing, no folder or locked', async () => {
    const missing = await failsWith('NOT_FOUND', () => keysOf(openLocalStore(place.path('missing'))));
    assert.equal(missing.field, 'path');
    const file = await failsWith('INVALID_INPUT', () => keysOf(openLocalStore(place.file('file'))));
    assert.equal(file.field, 'path');
    fs.chmodSync(place.root, 0o000);
    const locked = await withoutPrivileges(() => failsWith('NO_PERMISSION', () => keysOf(place.store())));
    const checked = await withoutPrivileges(() => failsWith('NO_PERMISSION', () => place.store().check()));
    fs.chmodSync(place.root, 0o755);
    assert.equal(locked.field, 'path');
    assert.equal(checked.field, 'path');
    await failsWith('INVALID_INPUT', () => openLocalStore('relative/path'));
  });

  it('shows links as links, sockets and pipes as special, and opens none of them', async () => {
    place.file('file');
    fs.symlinkSync('file', place.path('link'));
    fs.symlinkSync(place.outside, place.path('link to folder'));
    execFileSync('mkfifo', [place.path('pipe')]);
    const server = net.createServer().listen(place.path('socket'));
    await once(server, 'listening');
    try {
      const store = place.store();
      const entries = await listAll(store);
      assert.deepEqual(
        entries.map((entry) => [entry.key, entry.kind, entry.problem?.code]),
        [
          ['file', 'file', undefined],
          ['link', 'link', undefined],
          ['link to folder', 'link', undefined],
          ['pipe', 'special', 'SPECIAL_FILE'],
          ['socket', 'special', 'SPECIAL_FILE'],
        ],
      );
      for (const key of ['link', 'link to folder', 'pipe', 'socket']) {
        await failsWith('SPECIAL_FILE', () => store.open(key));
      }
      await failsWith('NOT_FOUND', () => store.open('file/below'));
      await failsWith('OBSTRUCTED', () => store.open('link to folder/secret'));
      assert.equal(await store.head('link to folder/secret'), undefined);
    } finally {
      server.close();
    }
  });

  it('goes through links where asked to, and never round in a circle', async () => {
    place.file('real/file', 'content');
    fs.symlinkSync('file', place.path('real/link'));
    fs.symlinkSync('../real', place.path('real/circle'));
    fs.symlinkSync('.', place.path('dot'));
    fs.symlinkSync('real', place.path('again'));
    fs.symlinkSync('nowhere', place.path('dangling'));
    fs.symlinkSync('loop', place.path('loop'));
    fs.symlinkSync(place.outside, place.path('outside'));
    const store = place.store({ followSymlinks: true });
    const entries = await listAll(store);
    assert.deepEqual(
      entries.map((entry) => `${entry.kind} ${entry.key}${entry.problem ? ` ${entry.problem.code}` : ''}`),
      [
        'special again/circle SPECIAL_FILE',
        'file again/file',
        'file again/link',
        'special dangling SPECIAL_FILE',
        'special dot SPECIAL_FILE',
        'special loop SPECIAL_FILE',
        'file outside/secret',
        'special real/circle SPECIAL_FILE',
        'file real/file',
        'file real/link',
      ],
    );
    const linked = entries.find((entry) => entry.key === 'again/link');
    assert.equal(linked?.size, 7);
    const opened = await store.open('again/link');
    assert.equal((await readAll(opened.read())).toString(), 'content');
    await opened.confirmUnchanged();
    await opened.close();
    assert.equal((await store.head('dangling'))?.problem?.code, 'SPECIAL_FILE');
    assert.equal(await store.head('nothing'), undefined);
  });

  it('leaves the event loop its turns and survives files that vanish', async () => {
    for (let index = 0; index < 2500; index++) place.file(`f${String(index).padStart(4, '0')}`, '');
    let turns = 0;
    const timer = setInterval(() => {}, 1);
    const count = () => {
      turns += 1;
      immediate = setImmediate(count);
    };
    let immediate = setImmediate(count);
    const sizes: number[] = [];
    for await (const page of place.store().list()) {
      sizes.push(page.length);
      if (sizes.length === 1)
        for (let index = 1000; index < 2000; index++) fs.unlinkSync(place.path(`f${index}`));
    }
    clearImmediate(immediate);
    clearInterval(timer);
    assert.equal(
      sizes.reduce((sum, size) => sum + size, 0),
      1500,
    );
    assert.ok(turns >= 2, `only ${turns} turns`);
  });

  it('hides our temporary files, of which those of dead processes can be removed', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    await once(child, 'spawn');
    const own = newWriteName();
    const start = fs.readFileSync(`/proc/${child.pid}/stat`, 'latin1').split(') ')[1]!.split(' ')[19];
    const parts = own.split('-');
    const childs = [...parts.slice(0, 4), child.pid, start, parts[6]].join('-');
    const upload = newUploadName();
    for (const name of [own, childs, upload, recordNameOf(upload)]) place.file(`folder/${name}`);
    place.file('folder/.cloud-sync-mine.part');
    assert.deepEqual(await keysOf(place.store()), ['folder/.cloud-sync-mine.part']);
    await failsWith('INVALID_NAME', () => place.store().head(`folder/${upload}`));
    assert.equal(await removeStaleTemporaryFiles(place.root), 0);
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal(await removeStaleTemporaryFiles(place.root), 1);
    assert.ok(!fs.existsSync(place.path(`folder/${childs}`)));
    assert.ok(fs.existsSync(place.path(`folder/${own}`)));
    assert.ok(fs.existsSync(place.path(`folder/${upload}`)));
  });
});
