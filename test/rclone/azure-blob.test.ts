/** rclone and this store on one container of azurite: what either writes, the other takes for up to date. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { openAzureBlobAccount } from '../../src/stores/azure-blob.js';
import { mapPath, providerNames } from '../../src/stores/names.js';
import { partContent } from '../../src/stores/parts.js';
import type { Account, Store } from '../../src/stores/store.js';
import { contentOf, listAll, md5, pseudoRandomBytes, readAll } from '../conformance/support.js';
import { type Azurite, startAzurite } from '../servers/azurite.js';
import { rcloneVersion, runRclone } from './rclone.js';

const MIB = 1024 * 1024;
/** Standard names, sizes. 9 MiB is more than one block for rclone, 18 MiB for us too. */
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

describe('rclone and Azure Blob Storage', function () {
  this.timeout(120_000);
  let azurite: Azurite;
  let account: Account;
  let folder: string;
  let containers = 0;

  before(async function () {
    if (rcloneVersion() === undefined) {
      if (process.env.CI_REQUIRE_SERVERS === '1') assert.fail('rclone is required here and not installed');
      console.warn('      NOT TESTED: rclone is not installed, Azure Blob Storage was not shared with it');
      this.skip();
    }
    azurite = await startAzurite();
    account = openAzureBlobAccount(
      { accountName: azurite.accountName, endpoint: azurite.endpoint },
      { accountKey: azurite.accountKey },
      {},
    );
    folder = mkdtempSync(join(tmpdir(), 'azure-rclone-'));
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
    await azurite?.stop();
  });

  const newStore = async (): Promise<{ store: Store; remote: string }> => {
    containers += 1;
    const name = `shared-${containers}`;
    await account.createBucket(name);
    const endpoint = `${azurite.endpoint}/${azurite.accountName}`;
    return {
      store: account.openStore(name),
      remote: `:azureblob,use_emulator=true,endpoint="${endpoint}":${name}`,
    };
  };

  const rclone = (...args: string[]): { stdout: string; stderr: string } => {
    const result = runRclone(args);
    assert.equal(result.exitCode, 0, result.stderr);
    return result;
  };

  it('what rclone has pushed is here with its times, hashes and content', async () => {
    const { store, remote } = await newStore();
    rclone('copy', folder, remote);
    const names = providerNames(store.features.names);
    const entries = new Map(
      (await listAll(store)).map((entry) => [
        mapPath(entry.key, 'file', (segment, kind) => names.fromStored(segment, kind)),
        entry,
      ]),
    );
    assert.deepEqual([...entries.keys()].sort(), FILES.map(([path]) => path).sort());
    for (const [path, size] of FILES) {
      const entry = entries.get(path)!;
      const local = readFileSync(join(folder, path));
      assert.equal(entry.size, size);
      assert.equal(entry.modificationTime, statSync(join(folder, path), { bigint: true }).mtimeNs, path);
      assert.equal(entry.hashes?.md5 ?? entry.claimedHashes?.md5, md5(local), path);
      assert.ok((await readAll(store, entry.key)).equals(local), path);
    }
  });

  it('what we have pushed is up to date for rclone, by time and by hash', async () => {
    const { store, remote } = await newStore();
    const names = providerNames(store.features.names);
    for (const [path, size] of FILES) {
      const key = mapPath(path, 'file', (segment, kind) => names.toStored(segment, kind));
      const bytes = readFileSync(join(folder, path));
      const modificationTime = statSync(join(folder, path), { bigint: true }).mtimeNs;
      const hashes = { md5: md5(bytes) };
      if (size < store.features.upload.threshold) {
        await store.write(key, contentOf(bytes), { modificationTime, hashes });
        continue;
      }
      const upload = await store.createUpload(key, size, { modificationTime });
      for (let number = 1; number <= upload.partCount; number++) {
        await upload.sendPart(number, partContent(upload, contentOf(bytes), number));
      }
      await upload.complete({ hashes });
    }
    const byTime = rclone('sync', folder, remote, '--dry-run', '-v');
    assert.match(byTime.stderr, /There was nothing to transfer/);
    assert.doesNotMatch(byTime.stderr, /Skipped (copy|delete|update)/);
    const byHash = rclone('check', folder, remote, '-v');
    assert.match(byHash.stderr, new RegExp(`${FILES.length} matching files`));
    assert.doesNotMatch(byHash.stderr, /could not be checked/);
  });

  it('a time changed here is changed for rclone, and the other way round', async () => {
    const { store, remote } = await newStore();
    await store.write('a', contentOf('x'), { modificationTime: 1_000_000_000n });
    const [entry] = await listAll(store);
    await store.setModificationTime(entry!, 1_600_000_000_987_654_321n);
    assert.match(rclone('lsf', remote, '--format', 'tp').stdout, /^2020-09-13 12:26:40;a\n$/);
    rclone('touch', remote.replace(/$/, '/a'), '--timestamp', '2021-02-03T04:05:06.123456789');
    assert.equal((await store.head('a'))?.modificationTime, 1_612_325_106_123_456_789n);
  });

  it('a folder marker of ours is no file for rclone', async () => {
    const { store, remote } = await newStore();
    await store.createFolder('empty');
    await store.write('file', contentOf('x'));
    assert.equal(rclone('lsf', remote, '-R', '--files-only').stdout, 'file\n');
  });
});
