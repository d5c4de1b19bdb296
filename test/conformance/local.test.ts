import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLocalStore } from '../../src/stores/local.js';
import { conformanceSuite } from './suite.js';

conformanceSuite('local folder', async () => {
  const root = fs.mkdtempSync(join(tmpdir(), 'cloud-sync-local-'));
  return {
    store: openLocalStore(root),
    reopen: () => openLocalStore(root),
    missing: () => openLocalStore(join(root, 'missing')),
    dispose: async () => fs.rmSync(root, { recursive: true, force: true }),
  };
});
