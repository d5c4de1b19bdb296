/**
 * A large file whose run is stopped in the middle, or killed, and taken up by another process: what goes over the wire a
 * second time, counted in front of the server, for every provider, both directions, plain and encrypted.
 *
 * `RESUME_MIB=1024` takes a file of that size, with the parts that users get; then the runs are stopped as soon as half
 * of the bytes have gone by, and not after the last part before that has arrived.
 */

import assert from 'node:assert/strict';
import { createHash, randomFillSync } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { RunRequest, TaskCredential, TaskSettings } from '../../src/runner/task.js';
import { HEADER_SIZE, MAGIC } from '../../src/stores/encryption/format.js';
import { NONCE_SIZE } from '../../src/stores/encryption/secretbox.js';
import { runRequest } from '../runner/support.js';
import { startAzurite } from '../servers/azurite.js';
import { startDropboxServer } from '../servers/dropbox/server.js';
import { startGoogleCloudStorageServer } from '../servers/google-cloud-storage/server.js';
import { MeteringProxy } from '../servers/metering-proxy.js';
import { startS3Server } from '../servers/s3/server.js';
import { runInProcess } from './child-process.js';
import { removeFolder, temporaryFolder } from './support.js';

const MIB = 1024 * 1024;
const WANTED_MIB = process.env.RESUME_MIB;
/** Downloads are taken up from 64 MiB. */
const PULLED_SIZE = (WANTED_MIB === undefined ? 80 : Number(WANTED_MIB)) * MIB;
const PUSHED_SIZE = (WANTED_MIB === undefined ? 32 : Number(WANTED_MIB)) * MIB;
/** Parts of a download that are under way together with the one that completes the half. Bytes. */
const UNDER_WAY = 3 * 8 * MIB;
const IS_BY_HAND = WANTED_MIB !== undefined;
const PATIENCE_MS = IS_BY_HAND ? 1_800_000 : 180_000;

type Credential = Omit<TaskCredential, 'id' | 'name'>;

interface Provider {
  label: string;
  /** MiB: the least the provider takes. */
  chunkSize: number;
  start(): Promise<{
    endpoint: string;
    credential(endpoint: string): Credential;
    createBucket(name: string): void | Promise<void>;
    stop(): Promise<void>;
  }>;
}

const PROVIDERS: Provider[] = [
  {
    label: 'S3',
    chunkSize: 5,
    start: async () => {
      const server = await startS3Server({ logLimit: 0 });
      const { accessKeyId, secretAccessKey, region } = server;
      return {
        endpoint: server.url,
        credential: (endpoint) => ({
          provider: 's3',
          config: { endpoint, region },
          secrets: { accessKeyId, secretAccessKey },
        }),
        createBucket: (name) => {
          server.createBucket(name);
        },
        stop: () => server.stop(),
      };
    },
  },
  {
    label: 'Azure Blob Storage',
    chunkSize: 4,
    start: async () => {
      const azurite = await startAzurite();
      const { accountName, accountKey } = azurite;
      const credential = (endpoint: string): Credential => ({
        provider: 'azure-blob',
        config: { accountName, endpoint: `${endpoint}/${accountName}` },
        secrets: { accountKey },
      });
      return {
        endpoint: azurite.endpoint,
        credential,
        createBucket: async (name) => {
          const { openAzureBlobAccount } = await import('../../src/stores/azure-blob.js');
          const { config, secrets } = credential(azurite.endpoint);
          const account = openAzureBlobAccount(config, secrets, {});
          await account.createBucket(name);
          await account.close();
        },
        stop: () => azurite.stop(),
      };
    },
  },
  {
    label: 'Google Cloud Storage',
    chunkSize: 4,
    start: async () => {
      const server = await startGoogleCloudStorageServer({ port: 0 });
      const { serviceAccountKey } = server;
      return {
        endpoint: server.url,
        credential: (endpoint) => ({
          provider: 'google-cloud-storage',
          config: { endpoint },
          secrets: { serviceAccountKey },
        }),
        createBucket: (name) => {
          server.createBucket(name);
        },
        stop: () => server.stop(),
      };
    },
  },
  {
    label: 'Dropbox',
    chunkSize: 5,
    start: async () => {
      const server = await startDropboxServer({ port: 0 });
      const { refreshToken, appKey } = server;
      return {
        endpoint: server.url,
        credential: (endpoint) => ({
          provider: 'dropbox',
          config: { endpoint },
          secrets: { refreshToken, appKey },
        }),
        createBucket: () => {},
        stop: () => server.stop(),
      };
    },
  },
];

function writeLarge(file: string, size: number): void {
  const fd = openSync(file, 'w');
  const buffer = Buffer.allocUnsafe(16 * MIB);
  for (let left = size; left > 0; left -= buffer.length) {
    randomFillSync(buffer);
    writeSync(fd, buffer, 0, Math.min(left, buffer.length));
  }
  closeSync(fd);
  utimesSync(file, 1_600_000_000, 1_600_000_000);
}

async function digest(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Changes one byte and puts the time back, as some programs do. */
function editQuietly(file: string, position: number): void {
  const before = lstatSync(file);
  const fd = openSync(file, 'r+');
  writeSync(fd, Buffer.from([0]), 0, 1, position);
  writeSync(fd, Buffer.from([1]), 0, 1, position + 1);
  closeSync(fd);
  utimesSync(file, before.atimeMs / 1000, before.mtimeMs / 1000);
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > PATIENCE_MS) throw new Error(`Waited in vain: ${what}`);
    await delay(5);
  }
}

describe('resuming a large file in another process', function () {
  this.timeout(PATIENCE_MS * 2);

  for (const { label, chunkSize, start } of PROVIDERS) {
    describe(label, () => {
      let server: Awaited<ReturnType<Provider['start']>>;
      let proxy: MeteringProxy;
      let folder: string;
      let count = 0;

      before(async () => {
        server = await start();
        proxy = await MeteringProxy.start(server.endpoint);
      });
      after(async () => {
        await proxy?.stop();
        await server?.stop();
      });
      beforeEach(async () => {
        folder = temporaryFolder();
        mkdirSync(join(folder, 'local'));
        writeLarge(join(folder, 'local', 'large.bin'), PUSHED_SIZE);
        count++;
        await server.createBucket(`resume-${count}`);
        proxy.reset();
      });
      afterEach(() => removeFolder(folder));

      function requestOf(task: Partial<TaskSettings>): RunRequest {
        return runRequest(join(folder, 'data'), {
          taskId: task.direction === 'pull' ? 'pull' : 'push',
          credential: { id: 'c', name: label, ...server.credential(proxy.endpoint) },
          bucket: label === 'Dropbox' ? '' : `resume-${count}`,
          folder: `run-${count}`,
          path: join(folder, 'local'),
          chunkSize: IS_BY_HAND ? null : chunkSize,
          lease: false,
          ...task,
        });
      }

      /** Ends the run in its middle; gives the bytes of content that went by in it. */
      async function stopInTheMiddle(request: RunRequest, how: 'abort' | 'kill', way: 'sent' | 'received') {
        const isPush = way === 'sent';
        // Of so small a download a part more: the first bytes, which come with opening the object, count for much.
        const half = isPush ? PUSHED_SIZE / 2 : PULLED_SIZE / 2 + (IS_BY_HAND ? 0 : 8 * MIB);
        proxy.reset(IS_BY_HAND ? undefined : half + (isPush ? 0 : UNDER_WAY));
        const hasArrived = () =>
          isPush ? proxy.held > 0 && proxy.isSettled : downloadedBytes(request.task.path) >= half;
        const run = runInProcess(request);
        let isOver = false;
        const ended = run.result.finally(() => {
          isOver = true;
        });
        if (IS_BY_HAND) await until(() => isOver || proxy[way] >= half, 'half of it went by');
        else await until(() => isOver || hasArrived(), 'half of it has arrived');
        if (isOver) assert.fail(`The run ended: ${JSON.stringify(await ended)}`);
        if (how === 'abort') run.abort();
        else run.kill();
        const result = await ended;
        assert.equal(result?.status, how === 'abort' ? 'aborted' : undefined);
        return proxy[way];
      }

      async function goOn(request: RunRequest, way: 'sent' | 'received'): Promise<number> {
        proxy.reset();
        const result = await runInProcess(request).result;
        assert.deepEqual([result?.status, result?.errors], ['success', []]);
        return proxy[way];
      }

      async function restored(task: Partial<TaskSettings>): Promise<string> {
        const path = join(folder, 'restored');
        await goOn(requestOf({ ...task, direction: 'pull', path }), 'received');
        return digest(join(path, 'large.bin'));
      }

      const say = (what: string, size: number, first: number, again: number) => {
        const share = (bytes: number) => `${((bytes / size) * 100).toFixed(1)} %`;
        if (IS_BY_HAND) console.log(`      ${label}, ${what}: ${share(first)}, then ${share(again)}`);
        assert.ok(again <= 0.55 * size, `${share(again)} went again`);
        assert.ok(first + again >= size, `${share(first)} and ${share(again)} are not all`);
      };

      for (const encryption of [false, true]) {
        const kind = encryption ? 'encrypted' : 'plain';
        const task: Partial<TaskSettings> = {
          encryption,
          filenameEncryption: encryption,
          encryptionPassword: encryption ? 'a long password' : undefined,
        };

        for (const how of ['abort', 'kill'] as const) {
          it(`a push, ${kind}, ${how}ed: at most 55 % again`, async () => {
            const request = requestOf(task);
            const first = await stopInTheMiddle(request, how, 'sent');
            const again = await goOn(requestOf(task), 'sent');
            say(`push ${kind} ${how}`, PUSHED_SIZE, first, again);
            assert.equal(await restored(task), await digest(join(folder, 'local', 'large.bin')));
          });
        }

        it(`a pull, ${kind}, killed: at most 55 % again`, async () => {
          writeLarge(join(folder, 'local', 'large.bin'), PULLED_SIZE);
          await goOn(requestOf(task), 'sent');
          const path = join(folder, 'restored');
          const pull = () => requestOf({ ...task, direction: 'pull', path });
          const first = await stopInTheMiddle(pull(), 'kill', 'received');
          const again = await goOn(pull(), 'received');
          say(`pull ${kind} kill`, PULLED_SIZE, first, again);
          assert.equal(
            await digest(join(path, 'large.bin')),
            await digest(join(folder, 'local', 'large.bin')),
          );
        });
      }

      it('a file edited in between, its time put back: its new content, under another nonce', async () => {
        const task = { encryption: true, filenameEncryption: false, encryptionPassword: 'a long password' };
        const file = join(folder, 'local', 'large.bin');
        await stopInTheMiddle(requestOf(task), 'kill', 'sent');
        const journal = readFileSync(join(folder, 'data', 'state', 'push', 'uploads.jsonl'), 'utf8');
        const nonces = [...journal.matchAll(/"encryptionNonce":"([0-9a-f]+)"/g)].map((match) => match[1]);
        assert.ok(nonces.length > 0, journal);
        const before = beginnings(proxy);
        // In a part that had arrived, and in one that had not.
        editQuietly(file, 100);
        editQuietly(file, PUSHED_SIZE - 100);
        await goOn(requestOf(task), 'sent');
        const after = beginnings(proxy);
        assert.equal(before.size, 1);
        assert.deepEqual([...before.keys()], [...new Set(nonces)]);
        assert.equal(after.size, 1);
        for (const nonce of after.keys()) assert.ok(!before.has(nonce), 'one nonce for two contents');
        assert.equal(await restored(task), await digest(file));
      });
    });
  }
});

/** Bytes of parts that a download has noted down as whole, beside the file that it fills. */
function downloadedBytes(folder: string): number {
  const record = existsSync(folder) ? readdirSync(folder).find((name) => name.endsWith('.parts')) : undefined;
  if (record === undefined) return 0;
  const parts = readFileSync(join(folder, record), 'utf8').matchAll(/^\d+ (\d+) crc32:\w+$/gm);
  return [...parts].reduce((sum, [, size]) => sum + Number(size), 0);
}

/** Nonces of encrypted content that went by. */
function beginnings({ meters }: MeteringProxy): Map<string, string> {
  const found = new Map<string, string>();
  for (const { head } of meters) {
    if (!head.subarray(0, MAGIC.length).equals(MAGIC)) continue;
    const nonce = head.subarray(MAGIC.length, MAGIC.length + NONCE_SIZE).toString('hex');
    found.set(nonce, head.subarray(HEADER_SIZE).toString('hex'));
  }
  return found;
}
