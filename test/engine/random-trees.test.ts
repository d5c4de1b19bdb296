import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { openMemoryStore } from '../../src/stores/memory.js';
import {
  putObject,
  readStore,
  readTree,
  removeFolder,
  runOnce,
  type Tree,
  temporaryFolder,
  writeTree,
} from './support.js';

const SEGMENTS = [
  'a',
  'a-b',
  'a.txt',
  'a0',
  'A',
  'ü',
  'u\u0308',
  'x．y',
  '😀',
  ' x',
  'x ',
  'b',
  'c+d',
  '%20',
  '#1',
];

const segment = fc.constantFrom(...SEGMENTS);
const file = fc.record({
  path: fc.array(segment, { minLength: 1, maxLength: 3 }).map((segments) => segments.join('/')),
  content: fc.constantFrom('', '1', '2', 'long content'),
  time: fc.constantFrom(1_600_000_000, 1_600_000_001),
});
type GeneratedFile = { path: string; content: string; time: number };

/** A tree on a file system: no file is also a folder. */
function consistent(files: GeneratedFile[]): Map<string, GeneratedFile> {
  const kept = new Map<string, GeneratedFile>();
  for (const one of files) {
    const clashes = [...kept.keys()].some(
      (other) => other.startsWith(`${one.path}/`) || one.path.startsWith(`${other}/`),
    );
    if (!clashes) kept.set(one.path, one);
  }
  return kept;
}

function treeOf(files: Map<string, GeneratedFile>): Tree {
  return Object.fromEntries([...files].map(([path, { content }]) => [path, content]));
}

/** What has to be sent and deleted, by two plain maps. */
function plainDifference(source: Map<string, GeneratedFile>, destination: Map<string, GeneratedFile>) {
  const transfers = [...source].filter(([path, one]) => {
    const other = destination.get(path);
    // Size and time decide; where the time differs, equal content is found by its hash.
    return (
      other === undefined ||
      other.content.length !== one.content.length ||
      (other.time !== one.time && other.content !== one.content)
    );
  });
  const deletes = [...destination.keys()].filter((path) => !source.has(path));
  return { transfers: transfers.length, deletes: deletes.length };
}

describe('random trees', function () {
  this.timeout(120_000);

  for (const direction of ['push', 'pull'] as const) {
    it(`give the difference that two maps give: ${direction}`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(file, { maxLength: 25 }),
          fc.array(file, { maxLength: 25 }),
          async (one, two) => {
            const source = consistent(one);
            const destination = consistent(two);
            fc.pre(source.size > 0);
            const folder = temporaryFolder();
            try {
              const bench = { folder, localRoot: join(folder, 'local'), remote: openMemoryStore() };
              const [local, remote] = direction === 'push' ? [source, destination] : [destination, source];
              writeTree(bench.localRoot, {});
              for (const { path, content, time } of local.values())
                writeTree(bench.localRoot, { [path]: content }, time);
              for (const { path, content, time } of remote.values())
                await putObject(bench.remote, path, content, time);
              const before = plainDifference(source, destination);
              // The same size and time with other content is not a difference without an index, for rclone neither.
              const expected = treeOf(source);
              for (const [path, { content, time }] of source) {
                const there = destination.get(path);
                if (there !== undefined && there.time === time && there.content.length === content.length)
                  expected[path] = there.content;
              }
              const result = await runOnce(bench, { direction });
              assert.deepEqual(result.errors, []);
              assert.deepEqual({ transfers: result.transferred.files, deletes: result.deleted }, before);
              const after = direction === 'push' ? await readStore(bench.remote) : readTree(bench.localRoot);
              assert.deepEqual(after, expected);
              // What a quiet difference hid may be found once the file is read for another reason, nothing else.
              const quiet = [...source].filter(([path, one]) => expected[path] !== one.content);
              const again = await runOnce(bench, { direction });
              assert.deepEqual([again.deleted, again.errors.length], [0, 0]);
              assert.ok(
                again.transferred.files <= quiet.length,
                `${again.transferred.files} files were sent again`,
              );
            } finally {
              rmSync(folder, { recursive: true, force: true });
              removeFolder(folder);
            }
          },
        ),
        { numRuns: 150, interruptAfterTimeLimit: 60_000, markInterruptAsFailure: true },
      );
    });
  }
});
