/** rclone and our stores on one bucket: what either writes, the other takes for up to date. Judges the servers too. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { openAzureBlobAccount } from '../../src/stores/azure-blob.js';
import { openGoogleCloudStorageAccount } from '../../src/stores/google-cloud-storage.js';
import { mapPath, providerNames } from '../../src/stores/names.js';
import { partContent } from '../../src/stores/parts.js';
import type { Account, Store } from '../../src/stores/store.js';
import { contentOf, listAll, md5, pseudoRandomBytes, readAll } from '../conformance/support.js';
import { startAzurite } from '../servers/azurite.js';
import { startGoogleCloudStorageServer } from '../servers/google-cloud-storage/server.js';
import { type RcloneResult, rcloneVersion, runRcloneAlongside } from './rclone.js';

interface Provider {
  label: string;
  /** Beside {@link FILES}: names that this server can hold. */
  moreFiles: readonly [path: string, size: number][];
  /** At Google Cloud Storage rclone changes a time by the old `objects.copy`, which the server doesn't have. */
  letsRcloneChangeTimes: boolean;
  start(): Promise<{
    account: Account;
    /** `:backend:` and its options, without the bucket. */
    remote: string;
    flags: string[];
    stop(): Promise<void>;
  }>;
}

const PROVIDERS: readonly Provider[] = [
  {
    label: 'Azure Blob Storage',
    moreFiles: [],
    letsRcloneChangeTimes: true,
    start: async () => {
      const { endpoint, accountName, accountKey, stop } = await startAzurite();
      return {
        account: openAzureBlobAccount({ accountName, endpoint }, { accountKey }, {}),
        remote: `:azureblob,use_emulator=true,endpoint="${endpoint}/${accountName}":`,
        flags: [],
        stop,
      };
    },
  },
  {
    label: 'Google Cloud Storage',
    moreFiles: [['odd/new\nline', 14]],
    letsRcloneChangeTimes: false,
    start: async () => {
      const server = await startGoogleCloudStorageServer({ port: 0 });
      const { url: endpoint, serviceAccountKey } = server;
      const flags = [
        ['--gcs-service-account-credentials', serviceAccountKey.replaceAll(/\s*\n\s*/g, '')],
        // 1.60 wants the path of the API in it.
        ['--gcs-endpoint', `${endpoint}/storage/v1/`],
        ['--gcs-bucket-policy-only'],
      ];
      return {
        account: openGoogleCloudStorageAccount({ endpoint }, { serviceAccountKey }, {}),
        remote: ':gcs:',
        flags: flags.flat(),
        stop: () => server.stop(),
      };
    },
  },
];

const MIB = 1024 * 1024;
/** Standard names, sizes. 9 MiB is more than one block of rclone's, 18 MiB is sent in parts by both. */
const FILES: readonly [path: string, size: number][] = [
  ['a.txt', 1],
  ['empty', 0],
  ['folder/nested/deep.bin', 9 * MIB],
  ['large.bin', 18 * MIB],
  ['Grüße/世界 📷.jpg', 1234],
  ['odd/100 % +&#?.txt', 10],
  ['odd/back\\slash', 11],
  ['odd/trailing dot.', 12],
  ['odd/ends with space ', 13],
];
/** Local files keep microseconds when Node.js sets them; that is enough to tell. */
const TIME_S = 1_700_000_000.123456;

for (const { label, moreFiles, letsRcloneChangeTimes, start } of PROVIDERS) {
  describe(`rclone and ${label}`, function () {
    this.timeout(120_000);
    const files = [...FILES, ...moreFiles];
    let server: Awaited<ReturnType<Provider['start']>>;
    let folder: string;
    let buckets = 0;

    before(async function () {
      if (rcloneVersion() === undefined) {
        if (process.env.CI_REQUIRE_SERVERS === '1') assert.fail('rclone is required here and not installed');
        console.warn(`      NOT TESTED: rclone is not installed, ${label} was not shared with it`);
        this.skip();
      }
      server = await start();
      folder = mkdtempSync(join(tmpdir(), 'rclone-stores-'));
      for (const [index, [path, size]] of files.entries()) {
        const file = join(folder, path);
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, pseudoRandomBytes(size, index + 1));
        utimesSync(file, TIME_S + index, TIME_S + index);
      }
    });
    after(async () => {
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
      await server?.account.close();
      await server?.stop();
    });

    const newBucket = async (): Promise<{ store: Store; remote: string }> => {
      buckets += 1;
      const name = `shared-${buckets}`;
      await server.account.createBucket(name);
      return { store: server.account.openStore(name), remote: `${server.remote}${name}` };
    };

    const rclone = async (...args: string[]): Promise<RcloneResult> => {
      const result = await runRcloneAlongside([...args, ...server.flags, '--retries=1', '-v']);
      assert.equal(result.exitCode, 0, result.stderr);
      return result;
    };

    const timeOf = (path: string) => statSync(join(folder, path), { bigint: true }).mtimeNs;

    const storedKey = ({ features }: Store, path: string) => {
      const names = providerNames(features.names);
      return `there/${mapPath(path, 'file', (segment, kind) => names.toStored(segment, kind))}`;
    };

    async function push(store: Store, path: string): Promise<void> {
      const bytes = readFileSync(join(folder, path));
      const [key, modificationTime, hashes] = [storedKey(store, path), timeOf(path), { md5: md5(bytes) }];
      if (bytes.length < store.features.upload.threshold) {
        await store.write(key, contentOf(bytes), { modificationTime, hashes });
        return;
      }
      const upload = await store.createUpload(key, bytes.length, { modificationTime });
      for (let number = 1; number <= upload.partCount; number++) {
        await upload.sendPart(number, partContent(upload, contentOf(bytes), number));
      }
      await upload.complete({ hashes });
    }

    it('what rclone has pushed is here with its names, times, hashes and content', async () => {
      const { store, remote } = await newBucket();
      await rclone('copy', folder, `${remote}/there`);
      const listed = new Map(
        (await listAll(store, { prefix: 'there/' })).map((entry) => [entry.key, entry] as const),
      );
      assert.deepEqual([...listed.keys()].sort(), files.map(([path]) => storedKey(store, path)).sort());
      for (const [path, size] of files) {
        const entry = listed.get(storedKey(store, path))!;
        const bytes = readFileSync(join(folder, path));
        assert.deepEqual([entry.size, entry.modificationTime], [size, timeOf(path)], path);
        assert.equal(entry.hashes?.md5 ?? entry.claimedHashes?.md5, md5(bytes), path);
        assert.ok((await readAll(store, entry.key)).equals(bytes), path);
      }
    });

    it('what we have pushed is up to date for rclone, by time, by hash and byte by byte', async () => {
      const { store, remote } = await newBucket();
      for (const [path] of files) await push(store, path);
      const { stderr } = await rclone('sync', folder, `${remote}/there`);
      assert.match(stderr, /There was nothing to transfer/);
      assert.doesNotMatch(stderr, /: (Copied|Deleted|Updated)/);
      for (const flags of [[], ['--download']]) {
        const check = await rclone('check', ...flags, folder, `${remote}/there`);
        assert.match(check.stderr, new RegExp(`${files.length} matching files`));
        assert.doesNotMatch(check.stderr, /could not be checked/);
      }
    });

    it(`a time changed here is changed for rclone${letsRcloneChangeTimes ? ', and the other way round' : ''}`, async () => {
      const { store, remote } = await newBucket();
      await store.write('a', contentOf('x'), { modificationTime: 1_000_000_000n });
      const [entry] = await listAll(store);
      await store.setModificationTime(entry!, 1_600_000_000_987_654_321n);
      const { stdout } = await rclone('lsjson', remote);
      const [told] = JSON.parse(stdout) as { ModTime: string }[];
      assert.equal(told?.ModTime, '2020-09-13T12:26:40.987654321Z');
      if (!letsRcloneChangeTimes) return;
      await rclone('touch', `${remote}/a`, '--timestamp', '2021-02-03T04:05:06.123456789');
      assert.equal((await store.head('a'))?.modificationTime, 1_612_325_106_123_456_789n);
    });

    it('a folder marker of ours is no file for rclone', async () => {
      const { store, remote } = await newBucket();
      await store.createFolder('empty');
      await store.write('file', contentOf('x'));
      assert.equal((await rclone('lsf', remote, '-R', '--files-only')).stdout, 'file\n');
    });
  });
}
