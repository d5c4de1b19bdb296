/**
 * A renamed folder at every provider, plain and encrypted: the server copies, and no byte of any file goes over the wire,
 * counted in front of the server. `RENAME_MIB=1024` renames a folder of that size.
 */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEMO_PROVIDERS } from '../../scripts/demo/providers.js';
import { execute } from '../../src/runner/execute.js';
import type { TaskSettings } from '../../src/runner/task.js';
import { pseudoRandomBytes } from '../conformance/support.js';
import { runRequest } from '../runner/support.js';
import { MeteringProxy } from '../servers/metering-proxy.js';
import { removeFolder, temporaryFolder } from './support.js';

const MIB = 1024 * 1024;
/** Sent in parts at every provider. */
const LARGE = Number(process.env.RENAME_MIB ?? 20) * MIB;
/** Large enough to be counted as content, should they be sent. */
const SMALL = 100 * 1024;
const SIZES = [LARGE, ...Array.from({ length: 6 }, () => SMALL)];

function hashes(folder: string): Record<string, string> {
  const hash = (name: string) =>
    createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex');
  return Object.fromEntries(readdirSync(folder).map((name) => [name, hash(name)]));
}

describe('a renamed folder sends no byte of any file', function () {
  this.timeout(process.env.RENAME_MIB === undefined ? 180_000 : 1_800_000);

  for (const [name, start] of Object.entries(DEMO_PROVIDERS)) {
    describe(name, () => {
      let provider: Awaited<ReturnType<typeof start>>;
      let proxy: MeteringProxy;
      let folder: string;

      before(async () => {
        provider = await start();
        proxy = await MeteringProxy.start(new URL(String(provider.credential.config.endpoint)).origin);
      });
      after(async () => {
        await proxy?.stop();
        await provider?.stop();
      });
      beforeEach(() => {
        folder = temporaryFolder();
      });
      afterEach(() => removeFolder(folder));

      for (const encryption of [false, true]) {
        it(encryption ? 'encrypted' : 'plain', async () => {
          const { secrets } = provider.credential;
          const { pathname } = new URL(String(provider.credential.config.endpoint));
          const endpoint = `${proxy.endpoint}${pathname === '/' ? '' : pathname}`;
          const config = { ...provider.credential.config, endpoint };
          const local = join(folder, 'local');
          const run = async (task: Partial<TaskSettings>) => {
            const request = runRequest(join(folder, 'data'), {
              credential: { id: 'c', name: '', provider: name, config, secrets },
              bucket: provider.bucket,
              folder: `renamed ${encryption}`,
              path: local,
              encryption,
              filenameEncryption: encryption,
              ...(encryption ? { encryptionPassword: 'a long password' } : {}),
              ...task,
            });
            const host = { signal: new AbortController().signal, phase: () => {}, log: () => {} };
            const result = await execute(request, host).result;
            assert.deepEqual([result.status, result.errors], ['success', []]);
            return result;
          };
          mkdirSync(join(local, 'old name'), { recursive: true });
          for (const [at, size] of SIZES.entries()) {
            const file = join(local, 'old name', `${at}.bin`);
            writeFileSync(file, pseudoRandomBytes(size, at + 1));
            utimesSync(file, 1_600_000_000, 1_600_000_000);
          }
          await run({});
          renameSync(join(local, 'old name'), join(local, 'new name'));
          proxy.reset();
          const { transferred, deleted } = await run({ maxDelete: 0 });
          assert.deepEqual([transferred.files, deleted], [0, SIZES.length]);
          assert.equal(proxy.sent, 0);
          const restored = join(folder, 'restored');
          await run({ direction: 'pull', path: restored, taskId: 'pull' });
          assert.deepEqual(readdirSync(restored), ['new name']);
          assert.deepEqual(hashes(join(restored, 'new name')), hashes(join(local, 'new name')));
        });
      }
    });
  }
});
