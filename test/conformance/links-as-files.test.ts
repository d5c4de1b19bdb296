import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLocalStore } from '../../src/stores/local.js';
import { linksAsFiles } from '../../src/stores/wrap/links-as-files.js';
import { conformanceSuite } from './suite.js';

conformanceSuite('local folder with links as files', async () => {
  const root = fs.mkdtempSync(join(tmpdir(), 'cloud-sync-links-'));
  const open = (path: string) => linksAsFiles(openLocalStore(path), [path]);
  return {
    store: open(root),
    reopen: () => open(root),
    missing: () => open(join(root, 'missing')),
    dispose: async () => fs.rmSync(root, { recursive: true, force: true }),
  };
});
