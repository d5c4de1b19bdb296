import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { readAll } from '../../src/stores/content.js';
import type { OpenedObject, Store } from '../../src/stores/store.js';
import { failsWith, listAll, Place } from './local-support.js';

/** Files of one folder, of which all but the first are opened in the folder held open. */
const FILES = ['folder/a', 'folder/b', 'folder/c', 'folder/d'];

describe('files that a listing has shown', () => {
  let place: Place;
  let store: Store;
  let opened: OpenedObject[];
  beforeEach(() => {
    place = new Place();
    store = place.store();
    opened = [];
    for (const name of FILES) place.file(name);
  });
  afterEach(async () => {
    for (const object of opened) await object.close();
    await place.remove();
  });

  async function open(key: string): Promise<OpenedObject> {
    const object = await store.open(key, { listed: { kind: 'file' } });
    opened.push(object);
    return object;
  }

  /** Opens the first two, so that the folder is held. */
  async function openSome(): Promise<void> {
    for (const key of FILES.slice(0, 2)) await open(key);
  }

  it('are read, at once or as they come', async () => {
    place.file('other/large', 'x'.repeat(100_000));
    place.file('folder/empty', '');
    for (const { key, kind, size, etag } of await listAll(store)) {
      assert.equal(kind, 'file');
      const object = await open(key);
      assert.equal(object.object.etag, etag);
      const streamed = await readAll(object.read());
      assert.equal(streamed.length, size);
      const filled = Buffer.alloc(size);
      const reading = object.readInto!(filled, 0);
      assert.equal(reading === undefined, key !== 'other/large');
      await reading;
      assert.deepEqual(filled, streamed);
      await object.confirmUnchanged();
    }
  });

  it('may have become something else', async () => {
    const server = createServer();
    const makers: Record<string, (path: string) => unknown> = {
      pipe: (path) => execFileSync('mkfifo', [path]),
      socket: (path) => new Promise<void>((resolve) => server.listen(path, resolve)),
      link: (path) => fs.symlinkSync(join(place.outside, 'secret'), path),
      folder: (path) => fs.mkdirSync(path),
    };
    try {
      for (const isHeld of [false, true]) {
        for (const [name, make] of Object.entries(makers)) {
          const path = place.path('folder/c');
          fs.rmSync(path, { recursive: true, force: true });
          await make(path);
          if (isHeld) await openSome();
          else await open('folder/a');
          await failsWith(name === 'folder' ? 'OBSTRUCTED' : 'SPECIAL_FILE', () => open('folder/c'));
          server.close();
        }
      }
      fs.rmSync(place.path('folder/c'), { recursive: true });
      await failsWith('NOT_FOUND', () => open('folder/c'));
      fs.rmSync(place.path('folder'), { recursive: true });
      fs.writeFileSync(place.path('folder'), '');
      await failsWith('NOT_FOUND', () => open('folder/c'));
    } finally {
      server.close();
    }
  });

  it('are never read through a link that took the place of their folder', async () => {
    place.file('folder/secret');
    await openSome();
    fs.renameSync(place.path('folder'), place.path('moved'));
    fs.symlinkSync(place.outside, place.path('folder'));
    // It may be opened where it is now, but is found to be another file than what has its name.
    await store
      .open('folder/secret', { listed: { kind: 'file' } })
      .then(async (object) => {
        opened.push(object);
        assert.equal((await readAll(object.read())).toString(), 'folder/secret');
        await failsWith('CHANGED', () => object.confirmUnchanged());
      })
      .catch((error) => assert.equal(error.code, 'OBSTRUCTED'));
    await failsWith('OBSTRUCTED', () => open('folder/secret'));
    await failsWith('OBSTRUCTED', () => open('folder/secret'));
    place.assertOutsideUntouched();
  });

  it('are read from the folder that took the place of theirs', async () => {
    await openSome();
    fs.renameSync(place.path('folder'), place.path('moved'));
    place.file('folder/c', 'new');
    const object = await open('folder/c');
    if ((await readAll(object.read())).toString() !== 'new') {
      await failsWith('CHANGED', () => object.confirmUnchanged());
      assert.equal((await readAll((await open('folder/c')).read())).toString(), 'new');
    }
  });

  it('are gone with their folder', async () => {
    await openSome();
    fs.rmSync(place.path('folder'), { recursive: true });
    for (const key of FILES) await failsWith('NOT_FOUND', () => open(key));
  });

  it('hold one folder open and none when the store is closed', async () => {
    place.file('other/e');
    place.file('other/f');
    const before = descriptors();
    for (const key of [...FILES, 'other/e', 'other/f']) await (await open(key)).close();
    assert.ok(descriptors() <= before + 1);
    await store.close();
    assert.ok(descriptors() <= before);
  });
});

function descriptors(): number {
  return fs.readdirSync('/proc/self/fd').length;
}
