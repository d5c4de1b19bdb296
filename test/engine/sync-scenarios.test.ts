import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openLocalStore } from '../../src/stores/local.js';
import { openMemoryStore } from '../../src/stores/memory.js';
import type { Store } from '../../src/stores/store.js';
import { readScenarios, type SyncScenario } from '../rclone/sync-scenarios.js';
import { bytesOf, readTree, type TreeEntry, writeTree } from '../rclone/sync-tree.js';
import { type RunOptions, removeFolder, runOnce, temporaryFolder } from './support.js';

/**
 * Where we differ from rclone, and why: it takes a file with the same size and time for the same, and a move then
 * deletes the source, whose content is lost. We compare hashes before a source is deleted.
 */
const SAFER_MOVES = new Set(['other content of the same size, same time, move', 'random 4, move']);

/** Node sets times to the microsecond. */
function toMicroseconds(entries: readonly TreeEntry[]): TreeEntry[] {
  return entries.map((entry) =>
    entry.modificationTime === undefined
      ? entry
      : { ...entry, modificationTime: String(floorTo(BigInt(entry.modificationTime), 1_000n)) },
  );
}

function floorTo(time: bigint, step: bigint): bigint {
  return time - (((time % step) + step) % step);
}

function optionsOf(scenario: SyncScenario): RunOptions {
  const { include, exclude, checksum, createEmptySrcDirs, followSymlinks } = scenario.options;
  return { transferMode: scenario.mode, include, exclude, checksum, createEmptySrcDirs, followSymlinks };
}

function filesOf(entries: readonly TreeEntry[]): TreeEntry[] {
  return entries.filter((entry) => entry.kind === 'file');
}

async function fillStore(store: Store, entries: readonly TreeEntry[]): Promise<void> {
  for (const entry of filesOf(entries)) {
    const bytes = bytesOf(entry);
    await store.write(
      entry.path,
      {
        size: bytes.length,
        bytes,
        read: async function* (from = 0, length = bytes.length - from) {
          yield bytes.subarray(from, from + length);
        },
      },
      { modificationTime: BigInt(entry.modificationTime!) },
    );
  }
}

async function filesIn(store: Store): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for await (const page of store.list()) {
    for (const object of page) {
      const { modificationTime } = (await store.head(object.key))!;
      files[object.key] = `${object.size} ${object.hashes?.md5} ${floorTo(modificationTime!, 1_000n)}`;
    }
  }
  return files;
}

describe('what rclone 1.60 does with two folders', () => {
  let folder: string;
  beforeEach(() => {
    folder = temporaryFolder();
  });
  afterEach(() => removeFolder(folder));

  for (const scenario of readScenarios().scenarios) {
    if (SAFER_MOVES.has(scenario.name)) continue;
    const known = [...scenario.source, ...scenario.destination];

    for (const direction of ['push', 'pull'] as const) {
      it(`${direction} does too: ${scenario.name}`, async () => {
        const sourceRoot = join(folder, 'source');
        const destinationRoot = join(folder, 'destination');
        writeTree(sourceRoot, scenario.source);
        writeTree(destinationRoot, scenario.destination);
        const [localRoot, remoteRoot] =
          direction === 'push' ? [sourceRoot, destinationRoot] : [destinationRoot, sourceRoot];
        const { followSymlinks } = scenario.options;
        const bench = { folder, localRoot, remote: openLocalStore(remoteRoot, { followSymlinks }) };
        const result = await runOnce(bench, { ...optionsOf(scenario), direction });
        await bench.remote.close();
        assert.deepEqual(result.errors, []);
        const after = {
          source: toMicroseconds(readTree(sourceRoot, known)),
          destination: toMicroseconds(readTree(destinationRoot, known)),
        };
        const expected = scenario.expected;
        assert.deepEqual(after, {
          source: toMicroseconds(expected.source),
          destination: toMicroseconds(expected.destination),
        });
      });
    }

    it(`to an object store too: ${scenario.name}`, async () => {
      const localRoot = join(folder, 'source');
      mkdirSync(localRoot);
      writeTree(localRoot, scenario.source);
      const remote = openMemoryStore();
      await fillStore(remote, scenario.destination);
      const expected = openMemoryStore();
      await fillStore(expected, scenario.expected.destination);
      const result = await runOnce({ folder, localRoot, remote }, optionsOf(scenario));
      assert.deepEqual(result.errors, []);
      assert.deepEqual(await filesIn(remote), await filesIn(expected));
    });
  }

  it('except that a move never deletes a source whose copy has other bytes', async () => {
    for (const scenario of readScenarios().scenarios.filter(({ name }) => SAFER_MOVES.has(name))) {
      const localRoot = join(folder, scenario.name);
      writeTree(localRoot, scenario.source);
      const remote = openMemoryStore();
      await fillStore(remote, scenario.destination);
      const everything = openMemoryStore();
      await fillStore(everything, scenario.source);
      await runOnce({ folder, localRoot, remote }, optionsOf(scenario));
      const wanted = await filesIn(everything);
      const there = await filesIn(remote);
      const kept = new Set(scenario.expected.source.map(({ path }) => path));
      for (const { path } of filesOf(scenario.source)) {
        if (!kept.has(path)) assert.equal(there[path], wanted[path], path);
      }
    }
  });
});
