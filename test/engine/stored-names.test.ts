/** Names that a provider can't hold, through whole runs: encoded as rclone encodes them, and the same bytes when back. */

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { createCipher } from '../../src/stores/encryption/cipher.js';
import { openMemoryStore } from '../../src/stores/memory.js';
import type { Store, StoreFeatures } from '../../src/stores/store.js';
import { type Bench, memoryBench, removeFolder, runOnce, temporaryFolder } from './support.js';

/** rclone's masks (the defaults in its backends), and what must never be in a key then. */
const PROVIDERS: { name: string; features: Partial<StoreFeatures>; forbidden: RegExp }[] = [
  {
    name: 'S3',
    features: { names: { encoding: ['Slash', 'InvalidUtf8', 'Dot'] } },
    forbidden: /(^|\/)\.\.?($|\/)/,
  },
  {
    name: 'B2',
    features: { names: { encoding: ['Slash', 'Ctl', 'Del', 'Dot', 'BackSlash', 'InvalidUtf8'] } },
    forbidden: /[\p{Cc}\\]/u,
  },
  {
    name: 'Azure',
    features: { names: { encoding: ['Slash', 'Ctl', 'Del', 'BackSlash', 'RightPeriod', 'InvalidUtf8'] } },
    forbidden: /[\p{Cc}\\]|\.($|\/)/u,
  },
  {
    name: 'Google',
    features: { names: { encoding: ['Slash', 'CrLf', 'InvalidUtf8', 'Dot'] } },
    forbidden: /[\r\n]/,
  },
  {
    name: 'Dropbox',
    features: {
      names: { encoding: ['Slash', 'BackSlash', 'Del', 'RightSpace', 'InvalidUtf8', 'Dot'] },
      order: 'none',
      caseSensitive: false,
    },
    forbidden: /[\\\x7f]| ($|\/)/,
  },
];

/** What encodings trip over, and what they make of it. */
const PIECES = [
  ...['a', 'b.txt', 'a-b', '日本', '😀', 'u\u0308', ' ', '  ', '.', '..', '~'],
  ...['\\', '\x01', '\t', '\n', '\r', '\x7f', ':', '*', '?', '"', '<', '|', '%', '%41', '+', '#'],
  ...['＼', '␁', '␉', '␊', '␡', '．', '␠', '‛', '‛‛', '‛＼', '／', '␀', '：', '\ufffd'],
].map((piece) => Buffer.from(piece));
const BROKEN = [Buffer.from([0xbf]), Buffer.from([0xe2, 0x80]), Buffer.from([0xc3])];

const name = fc
  .array(fc.constantFrom(...PIECES, ...BROKEN), { minLength: 1, maxLength: 4 })
  .map((pieces) => Buffer.concat(pieces))
  .filter((bytes) => !['.', '..'].includes(bytes.toString()));
const path = fc.array(name, { minLength: 1, maxLength: 3 });
const tree = fc.record({
  files: fc.array(path, { minLength: 1, maxLength: 8 }),
  folders: fc.array(path, { maxLength: 3 }),
});

describe('names that a provider can not hold', function () {
  this.timeout(60_000);
  let bench: Bench;

  for (const { name: provider, features, forbidden } of PROVIDERS) {
    for (const isEncrypted of [false, true]) {
      it(`come back from ${provider} as the same bytes${isEncrypted ? ', encrypted' : ''}`, async () => {
        const cipher = isEncrypted
          ? await createCipher({ password: 'correct horse', filenameEncryption: true })
          : undefined;
        await fc.assert(
          fc.asyncProperty(tree, async (wanted) => {
            const folder = temporaryFolder();
            try {
              bench = {
                folder,
                localRoot: join(folder, 'local'),
                remote: openMemoryStore({ features }),
                cipher,
              };
              const made = makeTree(bench.localRoot, wanted);
              const settings = { createEmptySrcDirs: true };
              const pushed = await runOnce(bench, settings);
              assert.deepEqual([pushed.errors, pushed.warnings], [[], []]);
              for (const key of await keysOf(bench.remote)) assert.doesNotMatch(key, forbidden);
              const again = await runOnce(bench, settings);
              assert.deepEqual([again.transferred.files, again.deleted, again.errors], [0, 0, []]);
              const verify = { method: 'download', sample: 100 } as const;
              const { findings } = await runOnce(bench, { verify });
              assert.equal(findings?.matched, pushed.transferred.files);
              const back = { ...bench, localRoot: join(folder, 'back'), folder: join(folder, 'other') };
              const pulled = await runOnce(back, { ...settings, direction: 'pull' });
              assert.deepEqual([pulled.errors, pulled.warnings], [[], []]);
              assert.deepEqual(namesIn(back.localRoot), made);
              const twice = await runOnce(back, { ...settings, direction: 'pull' });
              assert.deepEqual([twice.transferred.files, twice.deleted, twice.errors], [0, 0, []]);
            } finally {
              removeFolder(folder);
            }
          }),
          { numRuns: isEncrypted ? 8 : 20 },
        );
      });
    }
  }
});

describe('empty folders', () => {
  let bench: Bench;
  const FOLDERS = ['b/empty', 'b/nested/empty', 'c', 'odd \\ \t.'];
  const settings = { createEmptySrcDirs: true };

  beforeEach(() => {
    bench = memoryBench();
    for (const one of FOLDERS) mkdirSync(join(bench.localRoot, one), { recursive: true });
    mkdirSync(join(bench.localRoot, 'full'));
    writeFileSync(join(bench.localRoot, 'full/file'), 'x');
  });
  afterEach(() => removeFolder(bench.folder));

  const back = () => ({
    ...bench,
    localRoot: join(bench.folder, 'back'),
    folder: join(bench.folder, 'other'),
  });
  const foldersIn = (root: string) =>
    namesIn(root)
      .filter((one) => one.endsWith('/'))
      .map((one) => Buffer.from(one.slice(0, -1), 'latin1').toString());

  it('are stored and made again, encrypted names too, and gone again after a sync', async () => {
    for (const filenameEncryption of [undefined, false, true]) {
      bench.remote = openMemoryStore();
      if (filenameEncryption !== undefined) {
        bench.cipher = await createCipher({ password: 'correct horse', filenameEncryption });
      }
      await runOnce(bench, settings);
      const target = back();
      await runOnce(target, { ...settings, direction: 'pull' });
      assert.deepEqual(foldersIn(target.localRoot).sort(), ['b', 'b/nested', 'full', ...FOLDERS].sort());
      rmSync(join(bench.localRoot, 'b/empty'), { recursive: true });
      assert.deepEqual((await runOnce(bench, settings)).errors, []);
      await runOnce(target, { ...settings, direction: 'pull' });
      assert.equal(foldersIn(target.localRoot).includes('b/empty'), false);
      mkdirSync(join(bench.localRoot, 'b/empty'));
      removeFolder(target.localRoot);
    }
  });

  it('are left where nobody asked for them', async () => {
    await runOnce(bench);
    assert.deepEqual(await keysOf(bench.remote), ['full/file']);
    await runOnce(bench, settings);
    const target = back();
    await runOnce(target, { direction: 'pull' });
    assert.deepEqual(foldersIn(target.localRoot), ['full']);
  });

  it('are left out by filters, and not removed where the filters leave them out', async () => {
    await runOnce(bench, { ...settings, exclude: ['/b/**', 'c/'] });
    assert.deepEqual(await keysOf(bench.remote), ['full/file', 'odd \\ \t./']);
    await runOnce(bench, settings);
    for (const one of FOLDERS) rmSync(join(bench.localRoot, one), { recursive: true, force: true });
    await runOnce(bench, { ...settings, exclude: ['c/'] });
    assert.ok((await keysOf(bench.remote)).includes('c/'));
  });

  it('are made by no dry run', async () => {
    await runOnce(bench, { ...settings, dryRun: true });
    assert.deepEqual(await keysOf(bench.remote), []);
  });
});

/** Makes files and empty folders, those left out that others stand in the way of; the names there are then. */
function makeTree(root: string, { files, folders }: { files: Buffer[][]; folders: Buffer[][] }): string[] {
  mkdirSync(root, { recursive: true });
  const below = (names: Buffer[]) =>
    Buffer.concat([Buffer.from(root), ...names.flatMap((one) => [SLASH, one])]);
  for (const names of files) {
    try {
      if (names.length > 1) mkdirSync(below(names.slice(0, -1)), { recursive: true });
      writeFileSync(below(names), 'content', { flag: 'wx' });
    } catch (error) {
      if (!['EEXIST', 'ENOTDIR', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
  for (const names of folders) {
    try {
      mkdirSync(below(names), { recursive: true });
    } catch (error) {
      if (!['EEXIST', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
  return namesIn(root);
}

const SLASH = Buffer.from('/');

/** Every file and folder (a slash at its end) below `root`, one character a byte, in order. */
function namesIn(root: string): string[] {
  const found: string[] = [];
  const walk = (folder: Buffer, above: string) => {
    for (const entry of readdirSync(folder, { withFileTypes: true, encoding: 'buffer' })) {
      const own = above + entry.name.toString('latin1');
      found.push(entry.isDirectory() ? `${own}/` : own);
      if (entry.isDirectory()) walk(Buffer.concat([folder, SLASH, entry.name]), `${own}/`);
    }
  };
  walk(Buffer.from(root), '');
  return found.sort();
}

/** Every key, folder markers with a slash. */
async function keysOf(store: Store): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of store.list({ folders: true })) {
    keys.push(...page.map(({ key, kind }) => (kind === 'folder' ? `${key}/` : key)));
  }
  return keys;
}
