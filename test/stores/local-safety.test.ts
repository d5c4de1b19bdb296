import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { hasCode } from '../../src/errors.js';
import { contentOfBytes } from '../../src/stores/content.js';
import type { Store } from '../../src/stores/store.js';
import { failsWith, keysOf, Place } from './local-support.js';

const evil = contentOfBytes(Buffer.from('evil'));

/** Every call that could do something, for a key it is to do it to. */
const CALLS: Record<string, (store: Store, key: string) => Promise<unknown>> = {
  write: (store, key) => store.write(key, evil),
  createUpload: (store, key) => store.createUpload(key, 10),
  createFolder: (store, key) => store.createFolder(key, { metadata: { mode: '777' } }),
  'copy to': (store, key) => store.copy('inside', key),
  'copy from': (store, key) => store.copy(key, 'copied'),
  'rename to': (store, key) => store.rename('inside', key),
  'rename from': (store, key) => store.rename(key, 'renamed'),
  setModificationTime: (store, key) => store.setModificationTime({ key, kind: 'file', size: 0 }, 0n),
  open: (store, key) => store.open(key),
};

describe('a local folder is never left', () => {
  let place: Place;
  let store: Store;
  beforeEach(() => {
    place = new Place();
    store = place.store();
    place.file('inside', 'inside');
  });
  afterEach(async () => {
    place.assertOutsideUntouched();
    assert.equal(fs.readFileSync(place.path('inside'), 'utf8'), 'inside');
    await place.remove();
  });

  const names = [
    '..',
    '../outside/secret',
    'a/../../outside/secret',
    '/etc/passwd',
    'a//b',
    './inside',
    'a/',
    '',
  ];
  for (const [name, call] of Object.entries(CALLS)) {
    it(`by a hostile name: ${name}`, async () => {
      for (const key of [...names, 'a\0b', '.', '\ud800']) {
        if (key === '' && name === 'createFolder') continue;
        const allowed =
          key === '' && (name === 'open' || name === 'copy from') ? 'OBSTRUCTED' : 'INVALID_NAME';
        await failsWith(allowed, () => call(store, key));
      }
      assert.deepEqual(fs.readdirSync(place.root), ['inside']);
    });

    it(`through a planted link: ${name}`, async () => {
      fs.symlinkSync(place.outside, place.path('link'));
      fs.symlinkSync('../outside', place.path('relative'));
      for (const key of ['link/secret', 'relative/secret']) {
        await failsWith('OBSTRUCTED', () => call(store, key));
      }
      for (const key of ['link/new', 'link/new/deep']) {
        await assert.rejects(
          () => call(store, key),
          (error) => hasCode(error, 'OBSTRUCTED', 'NOT_FOUND'),
        );
      }
      if (name === 'createFolder') await failsWith('OBSTRUCTED', () => call(store, 'link'));
    });
  }

  it('by deleting: what is reached through a link is not there', async () => {
    fs.symlinkSync(place.outside, place.path('link'));
    await store.delete({ key: 'link/secret' });
    await store.deleteFolder('link/folder');
    await store.deleteFolder('link');
    for (const name of names.slice(0, -1)) {
      await failsWith('INVALID_NAME', () => store.delete({ key: name }));
      await failsWith('INVALID_NAME', () => store.deleteFolder(name));
    }
    await store.deleteFolder('');
    const outcomes = await store.deleteMany([{ key: '../outside/secret' }, { key: 'link' }]);
    assert.deepEqual(
      outcomes.map((outcome) => outcome.error?.code),
      ['INVALID_NAME', undefined],
    );
    assert.ok(!fs.existsSync(place.path('link')), 'the link itself can be deleted');
  });

  it('when a folder becomes a link while a file is written into it', async () => {
    place.file('folder/old', 'old');
    const swap = async () => {
      fs.renameSync(place.path('folder'), place.path('moved'));
      fs.symlinkSync(place.outside, place.path('folder'));
    };
    await store.write('folder/secret', evil, { beforeCommit: swap });
    // It went into the folder that was opened, wherever that is now.
    assert.deepEqual(fs.readdirSync(place.path('moved')).sort(), ['old', 'secret']);
    await failsWith('OBSTRUCTED', () => store.write('folder/secret', evil));
  });

  it('when a folder that was written to before becomes a link, or another folder', async () => {
    await store.write('folder/first', contentOfBytes(Buffer.from('first')));
    fs.renameSync(place.path('folder'), place.path('moved'));
    fs.symlinkSync(place.outside, place.path('folder'));
    await failsWith('OBSTRUCTED', () => store.write('folder/second', evil));
    fs.unlinkSync(place.path('folder'));
    await store.write('folder/second', contentOfBytes(Buffer.from('second')));
    fs.rmSync(place.path('folder'), { recursive: true });
    fs.mkdirSync(place.path('folder'));
    await store.write('folder/third', contentOfBytes(Buffer.from('third')));
    assert.deepEqual(fs.readdirSync(place.path('moved')), ['first']);
    assert.deepEqual(fs.readdirSync(place.path('folder')), ['third']);
  });

  it('keeps few folders open, and none once it is closed', async function () {
    if (!fs.existsSync('/proc/self/fd')) this.skip();
    const openFolders = () =>
      fs.readdirSync('/proc/self/fd').filter((fd) => {
        const link = `/proc/self/fd/${fd}`;
        return fs.existsSync(link) && fs.readlinkSync(link).startsWith(place.root);
      }).length;
    for (let index = 0; index < 100; index++) {
      await store.write(`folder ${index}/file`, contentOfBytes(Buffer.from('content')));
    }
    const kept = openFolders();
    assert.ok(kept > 0 && kept < 30, `${kept} folders are open`);
    await store.close();
    assert.equal(openFolders(), 0);
  });

  it('when a folder becomes a link between two parts of an upload', async () => {
    const upload = await store.createUpload('folder/secret', 4);
    fs.renameSync(place.path('folder'), place.path('moved'));
    fs.symlinkSync(place.outside, place.path('folder'));
    await failsWith('OBSTRUCTED', () => upload.sendPart(1, evil));
    await failsWith('OBSTRUCTED', () => store.resumeUpload(upload.state));
    fs.rmSync(place.path('moved'), { recursive: true });
  });

  it('when a folder becomes a link between listing and reading', async () => {
    place.file('folder/secret', 'ours');
    assert.deepEqual(await keysOf(store), ['folder/secret', 'inside']);
    fs.rmSync(place.path('folder'), { recursive: true });
    fs.symlinkSync(place.outside, place.path('folder'));
    await failsWith('OBSTRUCTED', () => store.open('folder/secret'));
    assert.deepEqual(await keysOf(store), ['folder', 'inside']);
    assert.deepEqual(await keysOf(store, { prefix: 'folder/' }), []);
  });

  it('when the folder itself becomes a link', async () => {
    const moved = join(place.folder, 'moved');
    fs.renameSync(place.root, moved);
    fs.symlinkSync(place.outside, place.root);
    try {
      await failsWith('OBSTRUCTED', () => store.write('file', evil));
      await failsWith('OBSTRUCTED', () => store.open('secret'));
      await store.delete({ key: 'secret' });
    } finally {
      fs.unlinkSync(place.root);
      fs.renameSync(moved, place.root);
    }
  });

  it('though the folder may be reached by a link from the start', async () => {
    const link = join(place.root, 'link');
    fs.symlinkSync(place.outside, link);
    const { openLocalStore } = await import('../../src/stores/local.js');
    const linked = openLocalStore(join(link, 'made', 'here'));
    assert.equal(linked.identity, `file://${place.outside}/made/here`);
    await linked.createFolder('');
    await linked.write('a/b', evil);
    assert.equal(fs.readFileSync(join(place.outside, 'made/here/a/b'), 'utf8'), 'evil');
    fs.rmSync(join(place.outside, 'made'), { recursive: true });
    fs.unlinkSync(link);
  });
});
