/** Whole runs beside what rclone did with the same two sides. */

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { contentOfBytes, readAll } from '../../src/stores/content.js';
import { openMemoryStore } from '../../src/stores/memory.js';
import type { Store } from '../../src/stores/store.js';
import { readScenarios, type SyncScenario } from '../rclone/sync-scenarios.js';
import { bytesOf, readTree, type TreeEntry, writeTree } from '../rclone/sync-tree.js';
import { removeFolder, runOnce, temporaryFolder } from './support.js';

/** What two sides of different kinds can be compared by. */
type Files = Record<string, { time: string; bytes: string }>;

const digest = (bytes: Uint8Array): string =>
  bytes.byteLength > 100
    ? `${bytes.byteLength} bytes, ${Buffer.from(bytes).subarray(0, 20).toString('hex')}`
    : Buffer.from(bytes).toString();

function filesOf(entries: readonly TreeEntry[]): Files {
  const files: Files = {};
  for (const entry of entries) {
    if (entry.kind !== 'file') continue;
    files[entry.path] = { time: entry.modificationTime!, bytes: digest(bytesOf(entry)) };
  }
  return files;
}

async function fillStore(store: Store, entries: readonly TreeEntry[]): Promise<void> {
  for (const entry of entries) {
    if (entry.kind !== 'file') continue;
    await store.write(entry.path, contentOfBytes(bytesOf(entry)), {
      modificationTime: BigInt(entry.modificationTime!),
    });
  }
}

async function readStore(store: Store): Promise<Files> {
  const files: Files = {};
  for await (const page of store.list()) {
    for (const { key } of page) {
      const opened = await store.open(key);
      const bytes = await readAll(opened.read());
      files[key] = { time: String(opened.object.modificationTime), bytes: digest(bytes) };
      await opened.close();
    }
  }
  return files;
}

/** Folders and links of a tree; none where only files can be told. */
const rest = (entries: readonly TreeEntry[]): string[] =>
  entries.filter(({ kind }) => kind !== 'file').map(({ path, kind }) => `${kind} ${path}`);

function isPullable({ source }: SyncScenario): boolean {
  // A store has neither links nor empty folders.
  return source.every(({ kind }) => kind === 'file');
}

describe('Runs, beside rclone', () => {
  const { scenarios } = readScenarios();
  let folder: string;
  let remote: Store;
  let local: string;

  beforeEach(() => {
    folder = temporaryFolder();
    mkdirSync(join(folder, 'state'));
    local = join(folder, 'local');
    remote = openMemoryStore();
  });
  afterEach(() => removeFolder(folder));

  const run = async (scenario: SyncScenario, direction: 'push' | 'pull') => {
    const { include, exclude, checksum, createEmptySrcDirs, followSymlinks } = scenario.options;
    const bench = { folder: join(folder, 'state'), localRoot: local, remote };
    return runOnce(bench, {
      direction,
      transferMode: scenario.mode,
      include,
      exclude,
      checksum,
      createEmptySrcDirs,
      followSymlinks,
    });
  };

  it('are at least forty', () => {
    assert.ok(scenarios.length >= 40);
  });

  for (const scenario of scenarios) {
    const { source, destination, expected, actions } = scenario;

    it(`push: ${scenario.name}`, async () => {
      writeTree(local, source);
      await fillStore(remote, destination);
      const result = await run(scenario, 'push');
      assert.deepEqual(result.errors, []);
      assert.deepEqual(await readStore(remote), filesOf(expected.destination));
      const after = readTree(local, source);
      assert.deepEqual(filesOf(after), filesOf(expected.source));
      assert.deepEqual(rest(after), rest(expected.source));
      assert.equal(result.transferred.files, actions.copied.length);
    });

    if (!isPullable(scenario)) continue;
    it(`pull: ${scenario.name}`, async () => {
      await fillStore(remote, source);
      writeTree(local, destination);
      const result = await run(scenario, 'pull');
      assert.deepEqual(result.errors, []);
      const after = readTree(local, [...source, ...destination]);
      assert.deepEqual(filesOf(after), filesOf(expected.destination));
      assert.deepEqual(rest(after), rest(expected.destination));
      assert.deepEqual(await readStore(remote), filesOf(expected.source));
      assert.equal(result.transferred.files, actions.copied.length);
    });
  }
});
