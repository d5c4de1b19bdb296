/** rclone and this store on one bucket: what either writes, the other takes for up to date. Judges the strict server too. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { openGoogleCloudStorageAccount } from '../../src/stores/google-cloud-storage.js';
import { mapPath, providerNames } from '../../src/stores/names.js';
import { partContent } from '../../src/stores/parts.js';
import type { Account, Store } from '../../src/stores/store.js';
import { contentOf, listAll, md5, pseudoRandomBytes, readAll } from '../conformance/support.js';
import {
  type GoogleCloudStorageServer,
  startGoogleCloudStorageServer,
} from '../servers/google-cloud-storage/server.js';
import { rcloneVersion, runRcloneAlongside } from './rclone.js';

const MIB = 1024 * 1024;
/** Standard names, sizes. 18 MiB is an upload session for both. */
const FILES: readonly [path: string, size: number][] = [
  ['a.txt', 1],
  ['empty', 0],
  ['folder/nested/deep.bin', 3 * MIB],
  ['large.bin', 18 * MIB],
  ['Grüße/世界 📷.jpg', 1234],
  ['odd/100 % +&#?.txt', 10],
  ['odd/back\\slash', 11],
  ['odd/trailing dot.', 12],
  ['odd/ends with space ', 13],
  ['odd/new\nline', 14],
];
/** Local files keep microseconds when Node.js sets them; that is enough to tell. */
const TIME_S = 1_700_000_000.123456;

describe('rclone and Google Cloud Storage', function () {
  this.timeout(120_000);
  let server: GoogleCloudStorageServer;
  let account: Account;
  let folder: string;
  let buckets = 0;

  before(async function () {
    if (rcloneVersion() === undefined) {
      if (process.env.CI_REQUIRE_SERVERS === '1') assert.fail('rclone is required here and not installed');
      console.warn('      NOT TESTED: rclone is not installed, Google Cloud Storage was not shared with it');
      this.skip();
    }
    server = await startGoogleCloudStorageServer({ port: 0 });
    account = openGoogleCloudStorageAccount(
      { endpoint: server.url },
      { serviceAccountKey: server.serviceAccountKey },
      {},
    );
    folder = mkdtempSync(join(tmpdir(), 'gcs-rclone-'));
    for (const [index, [path, size]] of FILES.entries()) {
      const file = join(folder, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, pseudoRandomBytes(size, index + 1));
      utimesSync(file, TIME_S + index, TIME_S + index);
    }
  });
  after(async () => {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    await account?.close();
    await server?.stop();
  });

  /** What to call rclone with, its output on standard error. */
  const rclone = (...args: string[]) =>
    runRcloneAlongside(
      [
        ...args,
        '--gcs-service-account-credentials',
        server.serviceAccountKey.replaceAll(/\s*\n\s*/g, ''),
        // 1.60 wants the path of the API in it.
        '--gcs-endpoint',
        `${server.url}/storage/v1/`,
        '--gcs-bucket-policy-only',
        '--low-level-retries=1',
        '--retries=1',
        '-v',
      ],
      {},
    );

  const newBucket = async (): Promise<{ name: string; store: Store }> => {
    buckets += 1;
    const name = `shared-${buckets}`;
    await account.createBucket(name);
    return { name, store: account.openStore(name) };
  };

  it('rclone finds nothing to do after this store has pushed', async () => {
    const { name, store } = await newBucket();
    const names = providerNames(store.features.names);
    const storedKey = (path: string) =>
      `there/${mapPath(path, 'file', (segment, kind) => names.toStored(segment, kind))}`;
    for (const [path] of FILES) {
      const bytes = readFileSync(join(folder, path));
      const key = storedKey(path);
      const modificationTime = statSync(join(folder, path), { bigint: true }).mtimeNs;
      if (bytes.length < store.features.upload.threshold) {
        await store.write(key, contentOf(bytes), { modificationTime });
      } else {
        const upload = await store.createUpload(key, bytes.length, { modificationTime });
        for (let number = 1; number <= upload.partCount; number += 1) {
          await upload.sendPart(number, partContent(upload, contentOf(bytes), number));
        }
        await upload.complete({ hashes: { md5: md5(bytes) } });
      }
    }
    server.requests.reset();
    const result = await rclone('sync', folder, `:gcs:${name}/there`);
    assert.equal(result.exitCode, 0, result.stderr);
    assert.equal(server.requests.counts['objects.insert'] ?? 0, 0, result.stderr);
    assert.equal(server.requests.counts['session.start'] ?? 0, 0, result.stderr);
    assert.equal(server.requests.counts['objects.delete'] ?? 0, 0, result.stderr);
    const check = await rclone('check', '--download', folder, `:gcs:${name}/there`);
    assert.equal(check.exitCode, 0, check.stderr);
  });

  it('this store reads names, times, hashes and bytes as rclone wrote them', async () => {
    const { name, store } = await newBucket();
    const result = await rclone('copy', folder, `:gcs:${name}/there`);
    assert.equal(result.exitCode, 0, result.stderr);
    const listed = await listAll(store, { prefix: 'there/' });
    const names = providerNames(store.features.names);
    const storedKey = (path: string) =>
      `there/${mapPath(path, 'file', (segment, kind) => names.toStored(segment, kind))}`;
    assert.deepEqual(listed.map((entry) => entry.key).sort(), FILES.map(([path]) => storedKey(path)).sort());
    for (const [path] of FILES) {
      const bytes = readFileSync(join(folder, path));
      const key = storedKey(path);
      const entry = listed.find((candidate) => candidate.key === key);
      assert.equal(entry?.modificationTime, statSync(join(folder, path), { bigint: true }).mtimeNs);
      assert.equal(entry?.hashes?.md5, md5(bytes));
      assert.ok((await readAll(store, key)).equals(bytes));
    }
  });

  it('rclone sees a time that this store has changed', async () => {
    const { name, store } = await newBucket();
    const time = 1_600_000_000_987_654_321n;
    const written = await store.write('x', contentOf('x'), { modificationTime: 1n });
    await store.setModificationTime(written, time);
    const result = await rclone('lsjson', `:gcs:${name}`);
    assert.equal(result.exitCode, 0, result.stderr);
    const [entry] = JSON.parse(result.stdout) as { ModTime: string }[];
    assert.equal(entry?.ModTime, '2020-09-13T12:26:40.987654321Z');
  });
});
