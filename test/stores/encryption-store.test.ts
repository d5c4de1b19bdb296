import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { CloudSyncError, hasCode } from '../../src/errors.js';
import { contentOfBytes, readAll } from '../../src/stores/content.js';
import { type Cipher, createCipher } from '../../src/stores/encryption/cipher.js';
import { BLOCK_DATA_SIZE, BOX_SIZE, encryptedSize, HEADER_SIZE } from '../../src/stores/encryption/format.js';
import { encryptedNames } from '../../src/stores/encryption/names.js';
import { openMemoryStore } from '../../src/stores/memory.js';
import { mapPath, providerNames } from '../../src/stores/names.js';
import { partContent, storedPartContent } from '../../src/stores/parts.js';
import type {
  ArrivedPart,
  Content,
  CreateUploadOptions,
  OpenOptions,
  Store,
  Upload,
  UploadState,
  WriteOptions,
} from '../../src/stores/store.js';
import {
  checkPassword,
  type EncryptedStore,
  encryptedStore,
  IMPOSSIBLE_SIZE,
  isEncryptedStore,
} from '../../src/stores/wrap/encrypted.js';
import { listAll } from '../conformance/support.js';
import { patternBytes, patternContent } from '../rclone/encryption/pattern.js';

const MIB = 1 << 20;

/** What the store below was asked. */
interface Asked {
  reads: { offset: number; length: number }[];
  firstReads: OpenOptions['firstRead'][];
  writes: WriteOptions[];
  uploads: CreateUploadOptions[];
  parts: { number: number; bytes: Buffer }[];
}

/** `inner`, noting what it is asked. */
function noting(inner: Store): { store: Store; asked: Asked } {
  const asked: Asked = { reads: [], firstReads: [], writes: [], uploads: [], parts: [] };
  const notingUpload = (upload: Upload): Upload =>
    new Proxy(upload, {
      get(target, name) {
        if (name === 'sendPart') {
          return async (number: number, content: Content, signal?: AbortSignal) => {
            asked.parts.push({ number, bytes: await readAll(content.read()) });
            return target.sendPart(number, content, signal);
          };
        }
        const value = Reflect.get(target, name, target) as unknown;
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  const overrides: Partial<Store> = {
    async open(key, options) {
      asked.firstReads.push(options?.firstRead);
      const opened = await inner.open(key, options);
      return {
        object: opened.object,
        read(offset = 0, length = opened.object.size - offset, signal) {
          asked.reads.push({ offset, length });
          return opened.read(offset, length, signal);
        },
        confirmUnchanged: () => opened.confirmUnchanged(),
        close: () => opened.close(),
      };
    },
    write(key, content, options = {}) {
      asked.writes.push(options);
      return inner.write(key, content, options);
    },
    async createUpload(key, size, options = {}) {
      asked.uploads.push(options);
      return notingUpload(await inner.createUpload(key, size, options));
    },
    async resumeUpload(state, options) {
      return notingUpload(await inner.resumeUpload(state, options));
    },
  };
  const store = new Proxy(inner, {
    get(target, name) {
      if (name in overrides) return overrides[name as keyof Store];
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { store, asked };
}

async function readObject(store: Store, key: string): Promise<Buffer> {
  const opened = await store.open(key);
  try {
    return await readAll(opened.read());
  } finally {
    await opened.close();
  }
}

const isCode =
  (code: CloudSyncError['code']) =>
  (error: unknown): boolean =>
    hasCode(error, code);

const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

describe('An encrypted store', () => {
  let cipher: Cipher;
  let inner: Store;
  let asked: Asked;
  let store: EncryptedStore;

  before(async () => {
    cipher = await createCipher({ password: 'secret', filenameEncryption: true });
  });
  beforeEach(() => {
    const noted = noting(openMemoryStore());
    inner = noted.store;
    asked = noted.asked;
    store = encryptedStore(inner, cipher);
  });

  it('is known as one and gives what it is made of', () => {
    assert.ok(isEncryptedStore(store));
    assert.ok(!isEncryptedStore(inner));
    assert.equal(store.inner, inner);
    assert.equal(store.cipher, cipher);
    assert.equal(store.identity, inner.identity);
    assert.deepEqual(store.features.hashes, []);
    assert.equal(store.features.upload.wantsHashFirst, undefined);
  });

  it('shows plain sizes, and no hashes of what it stores', async () => {
    for (const size of [0, 1, BLOCK_DATA_SIZE, BLOCK_DATA_SIZE + 1]) {
      const written = await store.write(`f-${size}`, patternContent('x', size));
      const head = await store.head(`f-${size}`);
      assert.equal((await inner.head(`f-${size}`))?.size, encryptedSize(size));
      for (const object of [written, head!]) {
        assert.equal(object.size, size);
        assert.equal(object.hashes, undefined);
        assert.equal(object.claimedHashes, undefined);
      }
      assert.equal(head!.etag, (await inner.head(`f-${size}`))?.etag);
      assert.ok((await readObject(store, `f-${size}`)).equals(patternBytes('x', size)));
    }
    const sizes = (await listAll(store)).map((object) => object.size);
    assert.deepEqual(
      sizes.sort((a, b) => a - b),
      [0, 1, BLOCK_DATA_SIZE, BLOCK_DATA_SIZE + 1],
    );
  });

  it('tells what cannot be an encrypted file, and goes on', async () => {
    await inner.write('plain', contentOfBytes(Buffer.from('not encrypted')));
    await inner.write('plain and longer', contentOfBytes(Buffer.alloc(100)));
    await store.write('right', contentOfBytes(Buffer.from('right')));
    const entries = await listAll(store);
    const byKey = new Map(entries.map((entry) => [entry.key, entry]));
    // Equal to no file of any size, so that a backup replaces it and a verification names it.
    assert.equal(byKey.get('plain')?.kind, 'file');
    assert.equal(byKey.get('plain')?.size, IMPOSSIBLE_SIZE);
    assert.equal((await store.head('plain'))?.size, IMPOSSIBLE_SIZE);
    assert.equal(byKey.get('right')?.size, 5);
    await assert.rejects(readObject(store, 'plain'), (error) => {
      assert.ok(hasCode(error, 'CHECKSUM_MISMATCH'));
      assert.equal(error.path, 'plain');
      assert.equal(error.retryable, false);
      return true;
    });
    await assert.rejects(readObject(store, 'plain and longer'), isCode('CHECKSUM_MISMATCH'));
  });

  it('gives any range and reads no more boxes than hold it', async () => {
    const size = 5 * BLOCK_DATA_SIZE + 777;
    const plain = patternBytes('ranges', size);
    await store.write('ranges', contentOfBytes(plain));
    const at = fc.oneof(
      fc.nat({ max: size }),
      fc.constantFrom(0, 1, BLOCK_DATA_SIZE - 1, BLOCK_DATA_SIZE, BLOCK_DATA_SIZE + 1, size - 1, size),
    );
    await fc.assert(
      fc.asyncProperty(at, at, fc.boolean(), async (a, b, saysFirst) => {
        const offset = Math.min(a, b);
        const length = Math.abs(a - b);
        asked.reads.length = 0;
        const opened = await store.open('ranges', saysFirst ? { firstRead: { offset, length } } : {});
        const read = await readAll(opened.read(offset, length));
        await opened.close();
        assert.ok(read.equals(plain.subarray(offset, offset + length)));
        const bytes = asked.reads.reduce((sum, part) => sum + part.length, 0);
        const boxes = Math.ceil((offset + length) / BLOCK_DATA_SIZE) - Math.floor(offset / BLOCK_DATA_SIZE);
        assert.ok(bytes <= 32 + boxes * BOX_SIZE, `${bytes} bytes for ${length}`);
        assert.ok(asked.reads.length <= 2);
      }),
      { numRuns: 200 },
    );
  });

  it('asks for a small object once', async () => {
    await store.write('small', contentOfBytes(Buffer.from('small')));
    const opened = await store.open('small', { firstRead: { offset: 0, length: 5 } });
    await readAll(opened.read());
    await opened.close();
    assert.deepEqual(asked.firstReads, [{ offset: 0, length: 32 + BOX_SIZE }]);
    assert.deepEqual(asked.reads, [{ offset: 0, length: encryptedSize(5) }]);
  });

  it('uses a new nonce for each content, and none twice', async () => {
    const nonces = new Set<string>();
    for (let index = 0; index < 200; index++) {
      await store.write(`same-${index % 3}`, contentOfBytes(Buffer.from('same')));
      nonces.add((await store.readNonce(`same-${index % 3}`)).toString('hex'));
    }
    const [first, second] = await Promise.all([
      store.createUpload('upload', MIB),
      store.createUpload('upload', MIB),
    ]);
    for (const upload of [first, second]) nonces.add(String(upload.state.details.encryptionNonce));
    assert.equal(nonces.size, 202);
  });

  it('tells the provider nothing of what the content is', async () => {
    await store.write('a', contentOfBytes(Buffer.from('a')), {
      contentType: 'image/jpeg',
      hashes: { md5: md5(Buffer.from('a')) },
      metadata: { mode: '644' },
      modificationTime: 5n,
    });
    const [options] = asked.writes;
    assert.equal(options!.contentType, 'application/octet-stream');
    assert.equal(options!.hashes, undefined);
    assert.deepEqual(options!.metadata, { mode: '644' });
    assert.equal(options!.modificationTime, 5n);
  });

  describe('uploads in parts', () => {
    const size = 3 * MIB + 4321;
    const content = (): Content => patternContent('upload', size);
    const begin = (options: CreateUploadOptions = {}): Promise<Upload> =>
      store.createUpload('big', size, { partSize: MIB, ...options });
    const sendAll = async (upload: Upload, skip: number[] = []): Promise<void> => {
      for (let number = upload.partCount; number > 0; number--) {
        if (!skip.includes(number)) await upload.sendPart(number, partContent(upload, content(), number));
      }
    };

    it('are equal parts on the wire, whatever the blocks are', async () => {
      for (const partSize of [MIB, 5 * 128 * 1024, 262144 * 3, 999_999]) {
        asked.parts.length = 0;
        const upload = await begin({ partSize });
        await sendAll(upload);
        const finished = await upload.complete();
        assert.equal(finished.size, size);
        assert.ok((await readObject(store, 'big')).equals(patternBytes('upload', size)));
        const sizes = asked.parts.sort((a, b) => a.number - b.number).map((part) => part.bytes.length);
        assert.ok(sizes.slice(0, -1).every((length) => length === upload.state.partSize));
        assert.equal(
          sizes.reduce((sum, length) => sum + length),
          encryptedSize(size),
        );
      }
    });

    it('are taken up under the same nonce by another process', async () => {
      const first = await begin();
      await first.sendPart(2, partContent(first, content(), 2));
      const state = JSON.parse(JSON.stringify(first.state)) as UploadState;
      const again = encryptedStore(
        inner,
        await createCipher({ password: 'secret', filenameEncryption: true }),
      );
      const upload = await again.resumeUpload(state);
      assert.deepEqual(upload.state, first.state);
      const arrived: ArrivedPart[] = [];
      for await (const part of upload.arrived()) {
        arrived.push(part);
        const stored = await readAll(storedPartContent(upload, content(), part.number));
        assert.equal(part.size, stored.length);
        if (part.hashes?.md5 !== undefined) assert.equal(part.hashes.md5, md5(stored));
        upload.keepPart(part);
      }
      assert.deepEqual(
        arrived.map((part) => part.number),
        [2],
      );
      await sendAll(upload, [2]);
      await upload.complete();
      assert.ok((await readObject(again, 'big')).equals(patternBytes('upload', size)));
    });

    it('send nothing else under a nonce that was used', async () => {
      const upload = await begin();
      const other = patternContent('edited', size);
      // As after a part that failed half-way: what went out may not go out with other bytes.
      const failing: Content = {
        size: partContent(upload, content(), 1).size,
        async *read(offset = 0) {
          yield patternBytes('upload', 300_000 - offset, offset);
          throw new CloudSyncError('CONNECTION_LOST', 'gone');
        },
      };
      await assert.rejects(upload.sendPart(1, failing), isCode('CONNECTION_LOST'));
      await assert.rejects(upload.sendPart(1, partContent(upload, other, 1)), isCode('CHANGED'));
      await upload.sendPart(1, partContent(upload, content(), 1));
      // Neighbours share a block: the second part of another content is noticed by it.
      await assert.rejects(upload.sendPart(2, partContent(upload, other, 2)), isCode('CHANGED'));
      await sendAll(upload);
      await upload.complete();
      assert.ok((await readObject(store, 'big')).equals(patternBytes('upload', size)));
    });

    it('taken up with another content are refused before a byte is sent', async () => {
      const first = await begin();
      await first.sendPart(2, partContent(first, content(), 2));
      const upload = await store.resumeUpload(first.state);
      for await (const part of upload.arrived()) assert.ok(part.hashes?.md5, 'no hash of a part');
      asked.parts.length = 0;
      const other = patternContent('edited', size);
      await assert.rejects(upload.sendPart(2, partContent(upload, other, 2)), isCode('CHANGED'));
      assert.equal(asked.parts.length, 0);
      await upload.abort();
    });

    it('tell no hash of the whole: not that of the plain bytes, and not one that costs a second encryption', async () => {
      const wanting = openMemoryStore({
        features: { upload: { ...openMemoryStore().features.upload, wantsHashFirst: 'md5' } },
      });
      const noted = noting(wanting);
      store = encryptedStore(noted.store, cipher);
      const upload = await begin({ hashes: { md5: 'f'.repeat(32) } });
      await sendAll(upload);
      await upload.complete({ hashes: { md5: 'f'.repeat(32) } });
      const [options] = noted.asked.uploads;
      assert.equal(options!.hashes, undefined);
      assert.ok((await readObject(store, 'big')).equals(patternBytes('upload', size)));
    });

    it('need no part more than the provider allows', async () => {
      const { upload: limits } = openMemoryStore().features;
      const tight = openMemoryStore({ features: { upload: { ...limits, maxParts: 4 } } });
      store = encryptedStore(tight, cipher);
      const plain = patternContent('tight', 4 * MIB);
      const upload = await store.createUpload('tight', plain.size, { partSize: MIB });
      assert.equal(upload.partCount, 4);
      for (let number = 1; number <= 4; number++) {
        await upload.sendPart(number, partContent(upload, plain, number));
      }
      await upload.complete();
      assert.ok((await readObject(store, 'tight')).equals(patternBytes('tight', 4 * MIB)));
    });
  });

  describe('compared with a content, without reading the object', () => {
    const plain = patternBytes('compared', 200_000);
    const trust = { claims: false };

    it('knows equal from different', async () => {
      const object = await store.write('o', contentOfBytes(plain));
      asked.reads.length = 0;
      assert.equal(await store.compareContent(object, contentOfBytes(plain), trust), 'equal');
      assert.ok(asked.reads.every((read) => read.length <= 32));
      const longer = contentOfBytes(Buffer.concat([plain, plain]));
      assert.equal(await store.compareContent(object, longer, trust), 'different');
    });

    it('finds a flipped byte on either side, the header included', async () => {
      await store.write('o', contentOfBytes(plain));
      const stored = await readObject(inner, 'o');
      await fc.assert(
        fc.asyncProperty(
          fc.nat({ max: stored.length - 1 }),
          fc.nat({ max: plain.length - 1 }),
          async (at, local) => {
            const damaged = Buffer.from(stored);
            damaged[at]! ^= 0x40;
            await inner.write('damaged', contentOfBytes(damaged));
            const object = (await store.head('damaged'))!;
            assert.notEqual(await store.compareContent(object, contentOfBytes(plain), trust), 'equal');
            const edited = Buffer.from(plain);
            edited[local]! ^= 1;
            const whole = (await store.head('o'))!;
            assert.notEqual(await store.compareContent(whole, contentOfBytes(edited), trust), 'equal');
          },
        ),
        { numRuns: 50 },
      );
    });
  });

  describe('whose password is checked', () => {
    const put = async (under: Cipher, paths: readonly string[], content = 'content'): Promise<void> => {
      const names = encryptedNames(under, providerNames({ encoding: [] }));
      for (const path of paths) {
        const key = `folder/${mapPath(path, 'file', names.toStored)}`;
        await encryptedStore(inner, under).write(key, contentOfBytes(Buffer.from(content)));
      }
    };
    const fresh = (password: string, filenameEncryption = true): Promise<Cipher> =>
      createCipher({ password, filenameEncryption });
    const rejects = (under: Cipher, code: CloudSyncError['code'], field: string): Promise<void> =>
      assert.rejects(checkPassword(inner, 'folder/', under), (error) => {
        assert.ok(hasCode(error, code), String(error));
        assert.equal(error.field, field);
        return true;
      });

    it('is right where nothing is there, or only what others put there', async () => {
      assert.equal(await checkPassword(inner, 'folder/', await fresh('any')), 'nothing encrypted');
      await inner.write('folder/plain.txt', contentOfBytes(Buffer.from('x'.repeat(1000))));
      await inner.write('folder/empty', contentOfBytes(Buffer.alloc(0)));
      await inner.write('other', contentOfBytes(Buffer.from('RCLONE\0\0')));
      for (const mode of [true, false]) {
        assert.equal(await checkPassword(inner, 'folder/', await fresh('any', mode)), 'nothing encrypted');
      }
    });

    for (const mode of [true, false]) {
      it(`is told right from wrong with ${mode ? 'encrypted' : 'plain'} names`, async () => {
        await put(await fresh('right', mode), ['a.txt', 'b/c.txt', 'd']);
        assert.equal(await checkPassword(inner, 'folder/', await fresh('right', mode)), 'confirmed');
        await rejects(await fresh('wrong', mode), 'WRONG_PASSWORD', 'encryptionPassword');
        const otherSalt = await createCipher({ password: 'right', salt: 's', filenameEncryption: mode });
        await rejects(otherSalt, 'WRONG_PASSWORD', 'encryptionPassword');
        assert.equal(asked.writes.length, 3);
      });

      it(`is right with the names the other way: then that is said (${mode})`, async () => {
        await put(await fresh('right', mode), ['a.txt', 'b/c.txt']);
        await rejects(await fresh('right', !mode), 'INVALID_INPUT', 'filenameEncryption');
      });
    }

    it('is judged by names where all files are empty', async () => {
      await put(await fresh('right'), ['a.txt', 'b/c.txt', 'd', 'e', 'f/g/h'], '');
      assert.equal(await checkPassword(inner, 'folder/', await fresh('right')), 'confirmed');
      await rejects(await fresh('wrong'), 'WRONG_PASSWORD', 'encryptionPassword');
    });

    it('is not called wrong for one damaged file', async () => {
      const right = await fresh('right', false);
      await put(right, ['a', 'b']);
      const damaged = await readObject(inner, 'folder/a.bin');
      damaged[50]! ^= 1;
      await inner.write('folder/a.bin', contentOfBytes(damaged));
      assert.equal(await checkPassword(inner, 'folder/', await fresh('right', false)), 'confirmed');
    });

    /** `inner`, whose first `count` answers come with a flipped bit, each another one. */
    const garbling = (count: number): Store => {
      let answers = 0;
      const open: Store['open'] = async (key, options) => {
        const opened = await inner.open(key, options);
        const flipped = ++answers <= count ? HEADER_SIZE + answers : undefined;
        return {
          object: opened.object,
          async *read(offset, length, signal) {
            const bytes = await readAll(opened.read(offset, length, signal));
            if (flipped !== undefined) bytes[flipped]! ^= 1;
            yield bytes;
          },
          confirmUnchanged: () => opened.confirmUnchanged(),
          close: () => opened.close(),
        };
      };
      return new Proxy(inner, {
        get(target, name) {
          if (name === 'open') return open;
          const value = Reflect.get(target, name, target) as unknown;
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    };

    it('is not called wrong for an answer that came garbled', async () => {
      await put(await fresh('right', false), ['only']);
      const right = await fresh('right', false);
      assert.equal(await checkPassword(garbling(1), 'folder/', right), 'confirmed');
    });

    it('is not judged at all by answers that are never twice the same', async () => {
      await put(await fresh('right', false), ['only']);
      const check = checkPassword(garbling(100), 'folder/', await fresh('right', false));
      await assert.rejects(check, (error) => hasCode(error, 'CHECKSUM_MISMATCH'));
    });
  });
});
