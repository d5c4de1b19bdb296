/** What verify finds, what it never blames, and what it asks and reads for that, on the strict S3 server. */

import assert from 'node:assert/strict';
import { createHash, randomInt } from 'node:crypto';
import { mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Cipher, createCipher } from '../../src/stores/encryption/cipher.js';
import { encryptedNames } from '../../src/stores/encryption/names.js';
import { mapPath, providerNames } from '../../src/stores/names.js';
import type { OpenedObject, Store } from '../../src/stores/store.js';
import { pseudoRandomBytes } from '../conformance/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { withSmallParts } from '../soak/small-parts.js';
import { BUCKET, closeAll, openAt } from '../stores/s3-support.js';
import { type Bench, removeFolder, runOnce, temporaryFolder, writeTree } from './support.js';

const KIB = 1024;
const THRESHOLD = 4 * KIB;
const PART = 2 * KIB;

/** Numbers from 0 up to `below`, the same for the same seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest();

/** The ETag of a content uploaded as the tests' store does it. */
function etagOf(bytes: Buffer, isInParts: boolean): string {
  if (!isInParts) return md5(bytes).toString('hex');
  const parts = Array.from({ length: Math.ceil(bytes.length / PART) }, (_, index) =>
    md5(bytes.subarray(index * PART, (index + 1) * PART)),
  );
  return `${md5(Buffer.concat(parts)).toString('hex')}-${parts.length}`;
}

function flipped(bytes: Buffer, position: number, bit: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[position]! ^= 1 << bit;
  return copy;
}

describe('verify on S3', function () {
  this.timeout(120_000);
  let server: S3Server;
  let bench: Bench;
  let store: Store;

  before(async () => {
    server = await startS3Server({ minPartSize: 1 });
  });
  after(() => server.stop());
  beforeEach(() => {
    server.createBucket(BUCKET);
    const folder = temporaryFolder();
    store = withSmallParts(openAt(server).store, THRESHOLD, PART);
    bench = { folder, localRoot: join(folder, 'local'), remote: store };
  });
  afterEach(async () => {
    server.faults.clear();
    await closeAll();
    removeFolder(bench.folder);
  });

  const verify = async (method: 'metadata' | 'checksum' | 'download', options = {}) =>
    runOnce(bench, { withIndex: false, verify: { method, sample: 100 }, ...options });

  function write(path: string, bytes: Buffer): void {
    const file = join(bench.localRoot, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, bytes);
    utimesSync(file, 1_600_000_000, 1_600_000_000);
  }

  for (const kind of ['plain', 'encrypted'] as const) {
    it(`finds any flipped byte in a thousand files, ${kind}, and blames no other file`, async () => {
      const seed = randomInt(2 ** 31);
      const random = randomOf(seed);
      const cipher: Cipher | undefined =
        kind === 'plain' ? undefined : await createCipher({ password: 'p', filenameEncryption: true });
      bench = { ...bench, cipher };
      const paths: string[] = [];
      for (let index = 0; index < 1_000; index++) {
        const path = `${index % 9}/${index % 2 === 0 ? 'ü ' : ''}${index}.bin`;
        const size = index % 20 === 0 ? THRESHOLD + random(4 * THRESHOLD) : random(400);
        write(path, pseudoRandomBytes(size, index + 1));
        paths.push(path);
      }
      assert.deepEqual((await runOnce(bench)).errors, []);
      const names = providerNames(store.features.names);
      const mapping = cipher === undefined ? names : encryptedNames(cipher, names);
      const keyOf = (path: string) => mapPath(path, 'file', (name, of) => mapping.toStored(name, of));
      assert.ok(server.requests.counts.CompleteMultipartUpload! >= 50);

      for (let round = 0; round < 4; round++) {
        const damaged: string[] = [];
        const undo: (() => void)[] = [];
        // One alone in the first round, then several in one look: 52 of each kind, 104 together.
        while (damaged.length < (round === 0 ? 1 : 17)) {
          const path = paths[random(2) === 0 ? random(50) * 20 : random(1_000)]!;
          const file = join(bench.localRoot, path);
          const local = readFileSync(file);
          if (damaged.includes(path) || local.length === 0) continue;
          damaged.push(path);
          if (random(2) === 0) {
            const put = (bytes: Buffer) => {
              writeFileSync(file, bytes);
              utimesSync(file, 1_600_000_000, 1_600_000_000);
            };
            put(flipped(local, random(local.length), random(8)));
            undo.push(() => put(local));
          } else {
            const key = keyOf(path);
            const { etag } = server.objects.find(BUCKET, key)!;
            const content = server.objects.bytes(BUCKET, key);
            const bad = flipped(content, random(content.length), random(8));
            assert.equal(etag, etagOf(content, etag.includes('-')));
            server.objects.change(BUCKET, key, { content: bad, etag: etagOf(bad, etag.includes('-')) });
            undo.push(() => server.objects.change(BUCKET, key, { content, etag }));
          }
        }
        for (const method of ['checksum', 'download'] as const) {
          const { findings } = await verify(method);
          const what = `${method}, seed ${seed}, round ${round}`;
          assert.deepEqual(findings!.differs.sort(), damaged.sort(), what);
          const others = { missingLocal: 0, missingRemote: 0, unreadable: 0, unverifiable: 0 };
          const counts = { matched: 1_000 - damaged.length, differs: damaged.length, ...others };
          assert.deepEqual(findings!.counts, counts, what);
        }
        for (const mend of undo) mend();
      }
      const { findings } = await verify('checksum');
      assert.equal(findings!.matched, 1_000);
    });
  }

  it('names what rotted under an unchanged ETag by download, single and in parts', async () => {
    for (const path of ['small', 'large', 'sound']) {
      write(path, pseudoRandomBytes(path === 'large' ? 3 * THRESHOLD : 100));
    }
    await runOnce(bench);
    for (const key of ['small', 'large']) {
      const content = server.objects.bytes(BUCKET, key);
      server.objects.change(BUCKET, key, { content: flipped(content, content.length - 1, 0) });
    }
    const { findings } = await verify('download');
    assert.deepEqual([findings!.differs.sort(), findings!.matched], [['large', 'small'], 1]);
  });

  it('asks for the pages of the listing alone, ten thousand files unchanged, and reads each once', async () => {
    const tree: Record<string, string> = {};
    for (let index = 0; index < 10_000; index++) tree[`${index % 100}/${index}`] = `content ${index}`;
    writeTree(bench.localRoot, tree);
    for (const [path, content] of Object.entries(tree))
      server.objects.put(BUCKET, path, Buffer.from(content));
    server.requests.reset();
    const reads = countingReads();
    const { findings } = await verify('checksum', { wrapLocal: reads.wrap });
    assert.equal(findings!.matched, 10_000);
    assert.deepEqual(server.requests.counts, { ListObjectsV2: 10 });
    const total = Object.values(tree).reduce((sum, content) => sum + content.length, 0);
    assert.deepEqual([reads.opened, reads.bytes], [10_000, total]);
  });

  it('asks about objects in parts and about what differs, and reads those once too', async () => {
    const sizes = { single: 1_000, parts: 3 * THRESHOLD, edited: 500, 'edited parts': 2 * THRESHOLD };
    for (const [path, size] of Object.entries(sizes)) write(path, pseudoRandomBytes(size));
    await runOnce(bench);
    for (const path of ['edited', 'edited parts'] as const) {
      write(path, flipped(pseudoRandomBytes(sizes[path]), 7, 3));
    }
    server.requests.reset();
    const reads = countingReads();
    const { findings } = await verify('checksum', { wrapLocal: reads.wrap });
    assert.deepEqual([findings!.matched, findings!.differs.sort()], [2, ['edited', 'edited parts']]);
    const heads = server.requests.log.filter(({ operation }) => operation === 'HeadObject');
    assert.deepEqual([...new Set(heads.map(({ key }) => key))].sort(), ['edited', 'edited parts', 'parts']);
    assert.deepEqual(Object.keys(server.requests.counts).sort(), ['HeadObject', 'ListObjectsV2']);
    assert.equal(
      reads.bytes,
      Object.values(sizes).reduce((sum, size) => sum + size, 0),
    );
  });

  it('blames nothing under SSE-KMS, where no hash tells, and believes no claim', async () => {
    write('single', pseudoRandomBytes(1_000));
    write('parts', pseudoRandomBytes(3 * THRESHOLD));
    write('swapped', Buffer.from('content'));
    const pushed = await runOnce(bench, { attributes: { serverSideEncryption: 'aws:kms' } });
    assert.deepEqual(pushed.errors, []);
    const swapped = server.objects.find(BUCKET, 'swapped')!;
    assert.ok(swapped.metadata.md5chksum !== undefined);
    server.objects.change(BUCKET, 'swapped', { content: Buffer.from('CONTENT') });
    const checked = await verify('checksum');
    assert.deepEqual(checked.findings!.counts, {
      matched: 0,
      differs: 0,
      missingLocal: 0,
      missingRemote: 0,
      unreadable: 0,
      unverifiable: 3,
    });
    assert.deepEqual(checked.errors, []);
    const read = await verify('download');
    assert.deepEqual([read.findings!.matched, read.findings!.differs], [2, ['swapped']]);
  });

  for (const size of [1_000, 3 * THRESHOLD]) {
    it(`never matches a body swapped under its metadata, ${size} bytes`, async () => {
      const content = pseudoRandomBytes(size);
      write('file', content);
      await runOnce(bench);
      const { metadata, etag } = server.objects.find(BUCKET, 'file')!;
      const other = pseudoRandomBytes(size, 2);
      const claim = metadata.md5chksum ?? md5(content).toString('base64');
      for (const isInParts of [false, true]) {
        const attributes = {
          metadata: { ...metadata, md5chksum: claim },
          etag: etagOf(other, isInParts),
        };
        server.objects.put(BUCKET, 'file', other, attributes);
        const { findings } = await verify('checksum');
        assert.equal(findings!.matched, 0, `${etag} replaced by ${attributes.etag}`);
        // Equal time and size: looking at those alone can't tell, and says no more than that.
        assert.equal((await verify('metadata')).findings!.matched, 1);
      }
    });
  }

  it('keeps a thousand paths of each list and counts them all', async () => {
    const tree: Record<string, string> = {};
    for (let index = 0; index < 1_200; index++) tree[`here ${index}`] = 'x';
    writeTree(bench.localRoot, tree);
    for (let index = 0; index < 1_100; index++)
      server.objects.put(BUCKET, `there ${index}`, Buffer.from('y'));
    const { findings } = await verify('checksum');
    assert.deepEqual([findings!.missingRemote.length, findings!.counts.missingRemote], [1_000, 1_200]);
    assert.deepEqual([findings!.missingLocal.length, findings!.counts.missingLocal], [1_000, 1_100]);
  });
});

/** Counts what is read of the local files that are opened. */
function countingReads() {
  const reads = { opened: 0, bytes: 0, wrap };
  function wrap(store: Store): Store {
    return new Proxy(store, {
      get(target, name) {
        if (name === 'open') {
          return async (...args: Parameters<Store['open']>) => {
            reads.opened++;
            return counted(await target.open(...args));
          };
        }
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }
  function counted(opened: OpenedObject): OpenedObject {
    return {
      object: opened.object,
      async *read(...args) {
        for await (const chunk of opened.read(...args)) {
          reads.bytes += chunk.byteLength;
          yield chunk;
        }
      },
      confirmUnchanged: () => opened.confirmUnchanged(),
      close: () => opened.close(),
    };
  }
  return reads;
}
