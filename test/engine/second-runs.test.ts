/** What a run costs in requests where nothing has changed: pages of the listing, and nothing per file, at every provider. */

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DEMO_PROVIDERS } from '../../scripts/demo/providers.js';
import { execute } from '../../src/runner/execute.js';
import type { TaskCredential } from '../../src/runner/task.js';
import { runRequest } from '../runner/support.js';
import { temporaryFolder, writeTree } from './support.js';

const FILES = 2_000;
/** Pages of the listing (a page has 1,000 entries, Dropbox's 2,000), the lease and a look at the bucket: nothing more. */
const MOST_REQUESTS = 16;

describe(`a second run on ${FILES} unchanged files`, function () {
  this.timeout(180_000);

  for (const [name, start] of Object.entries(DEMO_PROVIDERS)) {
    it(`asks nothing per file: ${name}`, async () => {
      const folder = temporaryFolder();
      const provider = await start();
      const { config, secrets } = provider.credential;
      const path = join(folder, 'local');
      const tree = Object.fromEntries(
        Array.from({ length: FILES }, (_, at) => [`folder ${at % 20}/${at}.txt`, `content ${at}`]),
      );
      const credential: TaskCredential = { id: 'c', name: '', provider: name, config, secrets };
      const run = async () => {
        const request = runRequest(join(folder, 'data'), {
          credential,
          bucket: provider.bucket,
          folder: 'p',
          path,
        });
        const host = { signal: new AbortController().signal, phase: () => {}, log: () => {} };
        return execute(request, host).result;
      };
      try {
        writeTree(path, tree, Date.now() / 1000 - 3_600);
        const first = await run();
        assert.deepEqual([first.errors, first.transferred.files], [[], FILES]);
        const second = await run();
        assert.deepEqual([second.errors, second.checked, second.transferred.files], [[], FILES, 0]);
        const sent = Object.entries(second.requests);
        const total = sent.reduce((sum, [, count]) => sum + count, 0);
        console.log(`      ${name}: ${sent.map(([kind, count]) => `${count} ${kind}`).join(', ')}`);
        assert.ok(total <= MOST_REQUESTS, `${total} requests`);
      } finally {
        await provider.stop();
        rmSync(folder, { recursive: true, force: true });
      }
    });
  }
});
