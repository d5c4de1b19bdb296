/** The ransomware story on every provider that keeps versions: everything as it was a minute before, every byte. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { execute } from '../../src/runner/execute.js';
import type { RestoreSettings, RunRequest, TaskSettings, VerifySettings } from '../../src/runner/task.js';
import { createCipher } from '../../src/stores/encryption/cipher.js';
import { openS3Account } from '../../src/stores/s3.js';
import { encryptedStore } from '../../src/stores/wrap/encrypted.js';
import { contentOf, pseudoRandomBytes } from '../conformance/support.js';
import { runRequest } from '../runner/support.js';
import { startAzurite } from '../servers/azurite.js';
import { startB2Server } from '../servers/b2/server.js';
import { startDropboxServer } from '../servers/dropbox/server.js';
import { startGoogleCloudStorageServer } from '../servers/google-cloud-storage/server.js';
import { denyOperations, startS3Server } from '../servers/s3/server.js';
import { editQuietly, removeFolder, temporaryFolder } from './support.js';

const HOUR = 3_600_000;
const MINUTE = 60_000;
const RESTORE: RestoreSettings = {
  path: '',
  transferMode: 'copy',
  include: [],
  exclude: [],
  thaw: false,
  thawTier: '',
  thawDays: null,
  dryRun: false,
};

interface Provider {
  provider: string;
  config: Record<string, unknown>;
  secrets: Record<string, string>;
  bucket: string;
  /** ms since the epoch, by the server's clock. */
  now(): number;
  advance(ms: number): void;
  stop(): Promise<void>;
}

const PROVIDERS: Record<string, () => Promise<Provider>> = {
  's3 (clock seven hours ahead)': async () => {
    const server = await startS3Server({ buckets: [{ name: 'photos', versioning: 'Enabled' }] });
    server.clock.advance(7 * HOUR);
    return {
      provider: 's3',
      config: { endpoint: server.url, region: server.region },
      secrets: { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey },
      bucket: 'photos',
      now: () => server.clock.now(),
      advance: (ms) => server.clock.advance(ms),
      stop: () => server.stop(),
    };
  },
  b2: async () => {
    const server = await startB2Server();
    server.createBucket('photos');
    const { applicationKeyId, applicationKey } = server.addKey();
    return {
      provider: 'b2',
      config: { endpoint: server.url },
      secrets: { applicationKeyId, applicationKey },
      bucket: 'photos',
      now: () => server.s3.clock.now(),
      advance: (ms) => server.s3.clock.advance(ms),
      stop: () => server.stop(),
    };
  },
  'google-cloud-storage': async () => {
    const server = await startGoogleCloudStorageServer();
    server.createBucket('photos', { versioning: true });
    return {
      provider: 'google-cloud-storage',
      config: { endpoint: server.url },
      secrets: { serviceAccountKey: server.serviceAccountKey },
      bucket: 'photos',
      now: () => Date.now() + server.clockOffsetMs,
      advance: (ms) => {
        server.clockOffsetMs += ms;
      },
      stop: () => server.stop(),
    };
  },
  dropbox: async () => {
    const server = await startDropboxServer({ port: 0 });
    let offset = 0;
    return {
      provider: 'dropbox',
      config: { endpoint: server.url },
      secrets: { refreshToken: server.refreshToken, appKey: server.appKey },
      bucket: '',
      now: () => Date.now() + offset,
      advance: (ms) => {
        offset += ms;
        server.advance(ms);
      },
      stop: () => server.stop(),
    };
  },
};

/** Every file below `folder`: hash of its bytes, and its time. */
function filesOf(folder: string): Record<string, string> {
  const files: Record<string, string> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const hash = createHash('sha256').update(readFileSync(path)).digest('hex');
    files[path.slice(folder.length + 1)] = `${hash} ${statSync(path).mtimeMs}`;
  }
  return files;
}

function write(folder: string, path: string, content: Uint8Array | string, time = 1_600_000_000): void {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  utimesSync(file, time, time);
}

async function run(request: RunRequest) {
  const host = { signal: new AbortController().signal, phase: () => {}, log: () => {} };
  return await execute(request, host).result;
}

for (const [name, start] of Object.entries(PROVIDERS)) {
  describe(`everything overwritten and deleted, on ${name}`, function () {
    this.timeout(180_000);
    let provider: Provider;
    let root: string;
    before(async () => {
      provider = await start();
    });
    after(() => provider.stop());
    beforeEach(() => {
      root = temporaryFolder();
    });
    afterEach(() => removeFolder(root));

    for (const isEncrypted of [false, true]) {
      it(`comes back as it was a minute before${isEncrypted ? ', encrypted' : ''}`, async () => {
        const { provider: id, config, secrets, bucket } = provider;
        const local = join(root, 'local');
        const task: Partial<TaskSettings> = {
          credential: { id: 'c', name: '', provider: id, config, secrets },
          bucket,
          folder: isEncrypted ? 'encrypted/photos' : 'photos',
          path: local,
          transferMode: 'sync',
          maxDelete: null,
          encryption: isEncrypted,
          filenameEncryption: isEncrypted,
          ...(isEncrypted ? { encryptionPassword: 'secret', encryptionSalt: 'salt' } : {}),
        };
        const push = () => run(runRequest(join(root, 'data'), task));
        const data = join(root, 'data');
        const restore = (settings: Partial<RestoreSettings>) => {
          const of = {
            nodeId: 'restore',
            operation: 'restore',
            restore: { ...RESTORE, ...settings },
          } as const;
          return run(runRequest(data, task, of));
        };
        const verify = (settings: Partial<RestoreSettings>, method: VerifySettings['method']) => {
          const of = { nodeId: 'verify', operation: 'verify', restore: { ...RESTORE, ...settings } } as const;
          return run(runRequest(data, task, { ...of, verify: { method, sample: 100 } }));
        };

        for (let index = 0; index < 40; index++) {
          write(local, `${index % 4}/ü ${index}.jpg`, pseudoRandomBytes(index * 131, index + 1));
        }
        write(local, 'large', pseudoRandomBytes(17 * 1024 * 1024));
        write(local, 'deleted long ago', 'x');
        assert.deepEqual((await push()).errors, []);
        provider.advance(HOUR);
        rmSync(join(local, 'deleted long ago'));
        write(local, '1/ü 1.jpg', 'edited once', 1_610_000_000);
        assert.deepEqual((await push()).errors, []);
        const good = filesOf(local);
        provider.advance(24 * HOUR);

        const attack = provider.now();
        for (const path of Object.keys(good)) {
          const file = join(local, path);
          // Some of them with size and time as they were.
          if (path.startsWith('2/')) editQuietly(file, 'x'.repeat(statSync(file).size));
          else write(local, path, `locked ${path}`, 1_700_000_000);
        }
        rmSync(join(local, '3'), { recursive: true });
        renameSync(join(local, '0/ü 4.jpg'), join(local, '0/ü 4.jpg.locked'));
        write(local, 'READ ME.txt', 'pay');
        // Not by our task: it would have sent this up with the next run.
        assert.deepEqual((await push()).errors, []);
        provider.advance(3 * HOUR);

        const asOf = attack - MINUTE;
        const elsewhere = join(root, 'elsewhere');
        const copied = await restore({ path: elsewhere, asOf });
        assert.deepEqual([copied.errors, copied.transferred.files], [[], 41]);
        assert.deepEqual(filesOf(elsewhere), good);
        for (const method of ['metadata', 'checksum', 'download'] as const) {
          const verified = await verify({ path: elsewhere, asOf }, method);
          assert.deepEqual([verified.status, verified.verify?.matched], ['success', 41], method);
        }
        editQuietly(join(elsewhere, '2/ü 2.jpg'), 'x'.repeat(262));
        assert.deepEqual((await verify({ path: elsewhere, asOf }, 'checksum')).verify?.differs, [
          '2/ü 2.jpg',
        ]);

        // Over what the attack left: copy keeps what it added, sync takes it away.
        const overwritten = await restore({ path: local, asOf });
        assert.deepEqual(overwritten.errors, []);
        const { 'READ ME.txt': note, '0/ü 4.jpg.locked': locked, ...rest } = filesOf(local);
        assert.ok(note !== undefined && locked !== undefined);
        assert.deepEqual(rest, good);
        const synced = await restore({ path: local, asOf, transferMode: 'sync' });
        assert.deepEqual([synced.errors, synced.transferred.files, synced.deleted], [[], 0, 2]);
        assert.deepEqual(filesOf(local), good);

        // An hour before that, another file was there and an edit wasn't.
        const earlier = await restore({ path: join(root, 'earlier'), asOf: asOf - 24 * HOUR - 30 * MINUTE });
        assert.deepEqual(earlier.errors, []);
        const before = filesOf(join(root, 'earlier'));
        assert.ok(before['deleted long ago'] !== undefined);
        assert.notEqual(before['1/ü 1.jpg'], good['1/ü 1.jpg']);
        assert.equal(Object.keys(before).length, 42);
      });
    }
  });
}

describe('everything encrypted again in the bucket itself, with a password of theirs', () => {
  it('comes back as it was a minute before', async () => {
    const server = await startS3Server({ buckets: [{ name: 'photos', versioning: 'Enabled' }] });
    const root = temporaryFolder();
    try {
      const { accessKeyId, secretAccessKey, url: endpoint, region } = server;
      const secrets = { accessKeyId, secretAccessKey };
      const local = join(root, 'local');
      const task: Partial<TaskSettings> = {
        credential: { id: 'c', name: '', provider: 's3', config: { endpoint, region }, secrets },
        bucket: 'photos',
        folder: 'backup',
        path: local,
        encryption: true,
        filenameEncryption: true,
        encryptionPassword: 'ours',
      };
      for (let index = 0; index < 30; index++) {
        write(local, `${index % 3}/${index}`, pseudoRandomBytes(200 + index, index + 1));
      }
      assert.deepEqual((await run(runRequest(join(root, 'data'), task))).errors, []);
      const good = filesOf(local);
      server.clock.advance(HOUR);
      const attack = server.clock.now();

      const account = openS3Account({ endpoint, region }, secrets, {});
      const store = account.openStore('photos');
      const theirs = encryptedStore(
        store,
        await createCipher({ password: 'theirs', filenameEncryption: true }),
      );
      for (const [index, key] of server.objects.keys('photos').entries()) {
        if (index % 5 === 0) await store.delete({ key });
        else if (index % 5 === 1) await store.write(key, contentOf('garbage'));
        else await theirs.write(key, contentOf(pseudoRandomBytes(200 + index)));
      }
      await store.write('backup/READ ME', contentOf('pay'));
      await account.close();
      server.clock.advance(HOUR);

      for (const transferMode of ['copy', 'sync'] as const) {
        const path = join(root, transferMode);
        const restore = { ...RESTORE, path, transferMode, asOf: attack - MINUTE };
        const result = await run(runRequest(join(root, 'data'), task, { operation: 'restore', restore }));
        assert.deepEqual(result.errors, []);
        assert.deepEqual(filesOf(path), good);
      }
    } finally {
      await server.stop();
      removeFolder(root);
    }
  });
});

describe('a restore of an earlier state that nobody keeps', function () {
  this.timeout(60_000);
  const target = () => join(root, 'target');
  let root: string;
  beforeEach(() => {
    root = temporaryFolder();
  });
  afterEach(() => removeFolder(root));

  const restore = (provider: string, config: object, secrets: Record<string, string>) =>
    run(
      runRequest(
        join(root, 'data'),
        {
          credential: { id: 'c', name: '', provider, config: { ...config }, secrets },
          bucket: 'photos',
          folder: '',
        },
        {
          operation: 'restore',
          restore: { ...RESTORE, path: target(), asOf: Date.now() - HOUR, transferMode: 'sync' },
        },
      ),
    );

  /** It said so before it touched anything. */
  const assertRefused = async (running: ReturnType<typeof restore>) => {
    write(target(), 'mine', 'x');
    const { status, errors } = await running;
    assert.equal(status, 'failed');
    assert.deepEqual(
      errors.map(({ code, field }) => [code, field]),
      [['NOT_SUPPORTED', 'asOf']],
    );
    assert.deepEqual(Object.keys(filesOf(target())), ['mine']);
  };

  it('is refused before it starts on S3 without versioning', async () => {
    const server = await startS3Server({ buckets: ['photos'] });
    try {
      server.objects.put('photos', 'a', Buffer.from('a'));
      server.clock.advance(2 * HOUR);
      server.objects.put('photos', 'b', Buffer.from('overwritten'));
      const { accessKeyId, secretAccessKey } = server;
      const config = { endpoint: server.url, region: server.region };
      await assertRefused(restore('s3', config, { accessKeyId, secretAccessKey }));
      assert.equal(server.requests.counts.ListObjectVersions, undefined);
    } finally {
      await server.stop();
    }
  });

  it('is said to be unsure where the key may not ask S3 for it', async () => {
    const server = await startS3Server({ buckets: [{ name: 'photos', versioning: 'Enabled' }] });
    try {
      server.clock.advance(-2 * HOUR);
      server.objects.put('photos', 'a', Buffer.from('a'));
      server.clock.reset();
      const secrets = { accessKeyId: 'AKIDRESTRICTED000000', secretAccessKey: 'secret' };
      server.credentials.set(secrets.accessKeyId, {
        ...secrets,
        allows: denyOperations('GetBucketVersioning'),
      });
      const result = await restore('s3', { endpoint: server.url, region: server.region }, secrets);
      assert.equal(result.status, 'success', JSON.stringify(result.errors));
      assert.deepEqual(
        result.warnings.map(({ code, message }) => [code, message]),
        [['NO_PERMISSION', 'This credential may not see whether the bucket keeps versions']],
      );
      assert.deepEqual(Object.keys(filesOf(target())), ['a']);
    } finally {
      await server.stop();
    }
  });

  it('is refused before it starts on Google Cloud Storage without versioning', async () => {
    const server = await startGoogleCloudStorageServer({ buckets: ['photos'] });
    try {
      const { serviceAccountKey } = server;
      await assertRefused(restore('google-cloud-storage', { endpoint: server.url }, { serviceAccountKey }));
    } finally {
      await server.stop();
    }
  });

  it('is said to be unsure where Dropbox may have removed old revisions', async () => {
    const server = await startDropboxServer({ port: 0 });
    try {
      server.advance(-60 * 24 * HOUR);
      server.tree.put('/a', Buffer.from('a'), 1_600_000_000_000);
      server.advance(60 * 24 * HOUR);
      const { refreshToken, appKey } = server;
      const credential = {
        id: 'c',
        name: '',
        provider: 'dropbox',
        config: { endpoint: server.url },
        secrets: { refreshToken, appKey },
      };
      for (const [days, warnings] of [
        [29, 0],
        [31, 1],
      ] as const) {
        const settings = { ...RESTORE, path: target(), asOf: Date.now() - days * 24 * HOUR };
        const task = { credential, bucket: '', folder: '' };
        const result = await run(
          runRequest(join(root, 'data'), task, { operation: 'restore', restore: settings }),
        );
        assert.deepEqual([result.errors, result.warnings.length], [[], warnings], `${days} days`);
        assert.deepEqual(Object.keys(filesOf(target())), ['a']);
      }
    } finally {
      await server.stop();
    }
  });

  it('is refused before it starts on Azure without versioning', async () => {
    const azurite = await startAzurite();
    try {
      const { endpoint, accountName, accountKey } = azurite;
      const { openAzureBlobAccount } = await import('../../src/stores/azure-blob.js');
      const account = openAzureBlobAccount({ endpoint, accountName }, { accountKey }, {});
      await account.createBucket('photos');
      await account.close();
      await assertRefused(restore('azure-blob', { endpoint, accountName }, { accountKey }));
    } finally {
      await azurite.stop();
    }
  });
});
