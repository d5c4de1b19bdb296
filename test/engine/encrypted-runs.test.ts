/** Whole runs on an encrypted remote. */

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { contentOfBytes, readAll } from '../../src/stores/content.js';
import { type Cipher, createCipher } from '../../src/stores/encryption/cipher.js';
import { openMemoryStore } from '../../src/stores/memory.js';
import type { Store, Upload } from '../../src/stores/store.js';
import { patternBytes } from '../rclone/encryption/pattern.js';
import { type Bench, readTree, removeFolder, runOnce, temporaryFolder, writeTree } from './support.js';

const TREE = {
  'a.txt': 'hello',
  'b/c/d é.txt': 'x'.repeat(70_000),
  'photo-v2024-02-29-120000-000.jpg': 'version',
  'z/empty': '',
  [`${'n'.repeat(143)}`]: 'long name',
};
const LARGE = 20 << 20;

for (const filenameEncryption of [true, false]) {
  describe(`Runs on an encrypted remote with ${filenameEncryption ? 'encrypted' : 'plain'} names`, () => {
    let folder: string;
    let bench: Bench & { cipher: Cipher };
    let pulls = 0;

    /** The remote side as a fresh folder gets it. */
    const pull = async () => {
      const other = {
        ...bench,
        folder: join(folder, `pull-${++pulls}`),
        localRoot: join(folder, `to-${pulls}`),
      };
      const result = await runOnce(other, { prefix: 'backup/', direction: 'pull' });
      return { ...result, root: other.localRoot };
    };
    const push = (options = {}) => runOnce(bench, { prefix: 'backup/', ...options });
    const verify = async (method: 'metadata' | 'checksum' | 'download') =>
      (await push({ verify: { method, sample: 100 }, withIndex: false })).findings!;

    beforeEach(async () => {
      folder = temporaryFolder();
      bench = {
        folder: join(folder, 'state'),
        localRoot: join(folder, 'local'),
        remote: openMemoryStore(),
        cipher: await createCipher({ password: 'secret', filenameEncryption }),
      };
      mkdirSync(bench.folder);
      writeTree(bench.localRoot, TREE);
    });
    afterEach(() => removeFolder(folder));

    it('give every byte and name back, and send nothing twice', async () => {
      writeFileSync(join(bench.localRoot, 'large'), patternBytes('large', LARGE));
      const first = await push();
      assert.deepEqual(first.errors, []);
      assert.equal(first.transferred.files, 6);
      assert.equal((await push()).transferred.files, 0);
      for await (const page of bench.remote.list()) {
        for (const { key } of page) {
          assert.ok(key.startsWith('backup/'));
          if (filenameEncryption) assert.doesNotMatch(key.slice(7), /txt|photo|empty|large/);
          else assert.ok(key.endsWith('.bin'));
        }
      }
      const back = await pull();
      assert.deepEqual(back.errors, []);
      const { large, ...rest } = readTree(back.root);
      assert.ok(large !== undefined);
      assert.deepEqual(rest, TREE);
      assert.ok(readFileSync(join(back.root, 'large')).equals(patternBytes('large', LARGE)));
      for (const method of ['metadata', 'checksum', 'download'] as const) {
        const { counts } = await verify(method);
        assert.deepEqual(
          counts,
          { matched: 6, differs: 0, missingLocal: 0, missingRemote: 0, unreadable: 0, unverifiable: 0 },
          method,
        );
      }
    });

    it('know a file sent in parts by its hash when only its mode changed', async () => {
      const large = join(bench.localRoot, 'large');
      writeFileSync(large, patternBytes('large', LARGE));
      await push();
      chmodSync(large, 0o600);
      const again = await push();
      assert.deepEqual(again.errors, []);
      assert.equal(again.transferred.files, 0);
    });

    it('name what was damaged in the store, replace it on push and never restore it', async () => {
      await push();
      const key = await keyOfSize(bench.remote, 70_000);
      const opened = await bench.remote.open(key);
      const stored = await readAll(opened.read());
      await opened.close();
      const flipped = Buffer.from(stored);
      flipped[50_000]! ^= 1;
      const { modificationTime } = opened.object;
      for (const damaged of [stored.subarray(0, 40), stored.subarray(0, 60_000), flipped]) {
        await bench.remote.write(key, contentOfBytes(damaged), { modificationTime });
        for (const method of ['checksum', 'download'] as const) {
          const findings = await verify(method);
          assert.deepEqual(findings.differs, ['b/c/d é.txt'], `${method} of ${damaged.length} bytes`);
          assert.equal(findings.counts.matched, 4);
        }
        const back = await pull();
        if (damaged.length !== 60_000) assert.deepEqual(back.codes, ['CHECKSUM_MISMATCH']);
        else assert.equal(back.errors.length, 1);
        assert.ok(!('b/c/d é.txt' in readTree(back.root)));
      }
      const healed = await push();
      assert.equal(healed.transferred.files, 1);
      assert.equal((await verify('checksum')).matched, 5);
    });

    it('go on where an aborted one stopped, and begin anew where the file was edited', async () => {
      const large = join(bench.localRoot, 'large');
      writeFileSync(large, patternBytes('large', LARGE));
      const inner = bench.remote;
      const nonces: string[] = [];
      for (const edit of [false, true]) {
        const controller = new AbortController();
        let sent = 0;
        bench.remote = counting(inner, (bytes) => {
          sent += bytes;
          if (sent > LARGE / 2) controller.abort();
        });
        await push({ signal: controller.signal });
        assert.ok(sent < 0.9 * LARGE, 'the run was not stopped in the middle');
        if (edit) writeFileSync(large, patternBytes('edited', LARGE));
        sent = 0;
        bench.remote = counting(inner, (bytes) => {
          sent += bytes;
        });
        const finished = await push();
        assert.deepEqual(finished.errors, []);
        assert.ok(edit ? sent >= LARGE : sent < 0.55 * LARGE, `${sent} of ${LARGE} bytes`);
        bench.remote = inner;
        const back = await pull();
        assert.ok(readFileSync(join(back.root, 'large')).equals(readFileSync(large)));
        nonces.push(await nonceOf(inner, LARGE));
        writeFileSync(large, patternBytes('next', LARGE));
      }
      assert.equal(new Set(nonces).size, 2);
    });
  });
}

/** `store`, telling the bytes of each part that has arrived. */
function counting(store: Store, onPart: (bytes: number) => void): Store {
  const countingUpload = (upload: Upload): Upload =>
    new Proxy(upload, {
      get(target, name) {
        if (name === 'sendPart') {
          return async (...args: Parameters<Upload['sendPart']>) => {
            const part = await target.sendPart(...args);
            onPart(part.size);
            return part;
          };
        }
        const value = Reflect.get(target, name, target) as unknown;
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  return new Proxy(store, {
    get(target, name) {
      if (name === 'createUpload') {
        return async (...args: Parameters<Store['createUpload']>) =>
          countingUpload(await target.createUpload(...args));
      }
      if (name === 'resumeUpload') {
        return async (...args: Parameters<Store['resumeUpload']>) =>
          countingUpload(await target.resumeUpload(...args));
      }
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** The object that is a little longer than `size` bytes. */
async function keyOfSize(store: Store, size: number): Promise<string> {
  for await (const page of store.list()) {
    const found = page.find((object) => object.size > size && object.size < size * 1.01);
    if (found !== undefined) return found.key;
  }
  return assert.fail(`no object of ${size} bytes`);
}

async function nonceOf(store: Store, size: number): Promise<string> {
  const opened = await store.open(await keyOfSize(store, size));
  const header = await readAll(opened.read(0, 32));
  await opened.close();
  return header.subarray(8).toString('hex');
}
