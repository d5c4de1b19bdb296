/** A dry run says what a run would do, and the run then does exactly that: file by file, on random trees. */

import assert from 'node:assert/strict';
import { existsSync, lstatSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { execute } from '../../src/runner/execute.js';
import type { RunRequest, TaskSettings } from '../../src/runner/task.js';
import { openMemoryStore } from '../../src/stores/memory.js';
import type { Store } from '../../src/stores/store.js';
import { runRequest } from '../runner/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { BUCKET } from '../stores/s3-support.js';
import {
  type Bench,
  putObject,
  type RunOptions,
  removeFolder,
  runOnce,
  temporaryFolder,
  writeTree,
} from './support.js';

const segment = fc.constantFrom('a', 'b', 'b-c', 'b.txt', 'ü', 'x y');
const path = fc.array(segment, { minLength: 1, maxLength: 3 }).map((segments) => segments.join('/'));
const files = fc.array(
  fc.record({
    path,
    content: fc.constantFrom('', '1', '2', 'longer content'),
    time: fc.constantFrom(1_600_000_000, 1_600_000_001, 1_600_000_000.5),
  }),
  { maxLength: 10 },
);
type GeneratedFile = { path: string; content: string; time: number };

const scenario = fc.record({
  before: files,
  after: files,
  elsewhere: files,
  renames: fc.array(fc.tuple(fc.nat(20), path), { maxLength: 3 }),
  direction: fc.constantFrom('push' as const, 'pull' as const),
  transferMode: fc.constantFrom('sync' as const, 'copy' as const, 'move' as const),
  createEmptySrcDirs: fc.boolean(),
  checksum: fc.boolean(),
  exclude: fc.constantFrom<string[]>([], ['*.txt'], ['/b/**']),
  maxDelete: fc.constantFrom(null, 1, '50%'),
  hasRunBefore: fc.boolean(),
});

/** No file is also a folder. */
function consistent(list: GeneratedFile[]): GeneratedFile[] {
  const kept: GeneratedFile[] = [];
  for (const one of list) {
    const clashes = kept.some(
      (other) =>
        other.path === one.path ||
        other.path.startsWith(`${one.path}/`) ||
        one.path.startsWith(`${other.path}/`),
    );
    if (!clashes) kept.push(one);
  }
  return kept;
}

/** Those of `list` that are no folder of `others` and don't make one of a file of theirs: a bucket could, a disk can't. */
function besides(list: GeneratedFile[], others: GeneratedFile[]): GeneratedFile[] {
  const clashes = ({ path }: GeneratedFile) =>
    others.some((other) => other.path.startsWith(`${path}/`) || path.startsWith(`${other.path}/`));
  return list.filter((one) => !clashes(one));
}

function writeLocal(root: string, list: GeneratedFile[]): void {
  writeTree(root, {});
  for (const { path, content, time } of consistent(list)) {
    const taken = path.split('/').some((_, at, all) => {
      const stats = lstatSync(join(root, all.slice(0, at + 1).join('/')), { throwIfNoEntry: false });
      return stats !== undefined && stats.isDirectory() === (at === all.length - 1);
    });
    if (!taken) writeTree(root, { [path]: content }, time);
  }
}

async function writeRemote(store: Store, list: GeneratedFile[]): Promise<void> {
  for (const { path, content, time } of consistent(list))
    await putObject(store, path, content, Math.floor(time));
}

/** Everything on a disk, times and change times too. */
function stateOf(root: string): string[] {
  if (!existsSync(root)) return [];
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((name) => {
      const stats = lstatSync(join(root, name), { bigint: true });
      const content = stats.isFile() ? readFileSync(join(root, name), 'utf8') : '/';
      return `${name} ${content} ${stats.mtimeNs} ${stats.ctimeNs} ${stats.ino}`;
    })
    .sort();
}

const READS = new Set([
  'check',
  'list',
  'head',
  'open',
  'compareContent',
  'pendingUploads',
  'close',
  'keepsVersions',
]);

/** `store`, which may be looked at only. */
function readOnly(store: Store): Store {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (!READS.has(String(name))) throw new Error(`A dry run calls ${String(name)}`);
      return value.bind(target);
    },
  });
}

type Result = Awaited<ReturnType<typeof runOnce>>;

function summary(result: Result, of: (event: string) => string) {
  const named = (event: string) =>
    result.log
      .filter((entry) => entry.event === of(event) && entry.path !== undefined)
      .map((entry) => entry.path)
      .sort();
  return {
    transferred: result.transferred,
    deleted: result.deleted,
    checked: result.checked,
    skipped: result.skipped,
    errors: result.errors.map(({ path, code }) => `${path} ${code}`).sort(),
    transfers: named('transfer'),
    deletes: named('delete'),
    renames: named('rename'),
    folders: named('make folder'),
    deletedFolders: named('delete folder'),
  };
}

describe('a dry run', function () {
  this.timeout(120_000);

  it('says exactly what the run then does, and does nothing itself', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async (wanted) => {
        const folder = temporaryFolder();
        const bench: Bench = { folder, localRoot: join(folder, 'local'), remote: openMemoryStore() };
        const { before, after, elsewhere, renames, hasRunBefore, ...options } = wanted;
        const { remote } = bench;
        try {
          writeLocal(bench.localRoot, options.direction === 'push' ? before : elsewhere);
          await writeRemote(remote, options.direction === 'push' ? elsewhere : before);
          if (hasRunBefore) {
            const first = { ...options, transferMode: 'copy' as const, maxDelete: null };
            await runOnce(bench, first);
            await runOnce(bench, first);
          }
          const names = readdirSync(bench.localRoot, { recursive: true, encoding: 'utf8' }).sort();
          for (const [at, to] of renames) rename(bench.localRoot, names[at % (names.length || 1)], to);
          if (options.direction === 'push') writeLocal(bench.localRoot, after);
          else await writeRemote(remote, besides(after, before));

          const seen = stateOf(folder);
          bench.remote = readOnly(remote);
          const dry = await attempt(bench, { ...options, dryRun: true });
          assert.deepEqual(stateOf(folder), seen);
          bench.remote = remote;
          const real = await attempt(bench, options);
          if (typeof dry === 'string' || typeof real === 'string') assert.equal(dry, real);
          else {
            assert.deepEqual(
              summary(dry, (event) => `would ${event}`),
              summary(real, (event) => event),
            );
          }
        } finally {
          removeFolder(folder);
        }
      }),
      { numRuns: Number(process.env.DRY_RUNS ?? 150) },
    );
  });
});

/** What it counts, or why it could not begin. */
async function attempt(bench: Bench, options: RunOptions): Promise<Result | string> {
  try {
    return await runOnce(bench, options);
  } catch (error) {
    return (error as Error).message;
  }
}

function rename(root: string, from: string | undefined, to: string): void {
  if (from === undefined || `${to}/`.startsWith(`${from}/`)) return;
  try {
    if (!existsSync(join(root, to))) renameSync(join(root, from), join(root, to));
  } catch (error) {
    // No folder there, or it was renamed itself.
    if (!['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

describe('a dry run on a server', () => {
  let server: S3Server;
  let folder: string;
  before(async () => {
    server = await startS3Server({ buckets: [BUCKET] });
  });
  after(async () => {
    await server.stop();
  });
  beforeEach(() => {
    folder = temporaryFolder();
  });
  afterEach(() => removeFolder(folder));

  const run = async (task: Partial<TaskSettings>, rest: Partial<RunRequest> = {}) => {
    const { url: endpoint, region, accessKeyId, secretAccessKey } = server;
    const request = runRequest(
      join(folder, 'data'),
      {
        credential: {
          id: 'c',
          name: '',
          provider: 's3',
          config: { endpoint, region },
          secrets: { accessKeyId, secretAccessKey },
        },
        bucket: BUCKET,
        folder: folder.slice(1),
        path: join(folder, 'local'),
        maxDelete: null,
        ...task,
      },
      rest,
    );
    const host = { signal: new AbortController().signal, phase: () => {}, log: () => {} };
    return await execute(request, host).result;
  };

  const settings: [string, Partial<TaskSettings>][] = [
    ['a plain bucket', {}],
    ['an encrypted one', { encryption: true, filenameEncryption: true, encryptionPassword: 'correct horse' }],
    ['a backup folder and empty folders', { backupFolder: 'kept', createEmptySrcDirs: true }],
  ];
  for (const [what, task] of settings) {
    for (const direction of ['push', 'pull'] as const) {
      it(`sends nothing but questions: ${direction} with ${what}`, async () => {
        const local = join(folder, 'local');
        const tree = { 'a.txt': 'a', 'b/c.txt': 'c', gone: 'gone', large: 'x'.repeat(6 * 1024 * 1024) };
        writeTree(local, tree);
        await run({ ...task, direction: 'push' });
        writeTree(local, { 'a.txt': 'AAA', new: 'new' });
        rmSync(join(local, 'gone'));
        if (direction === 'pull') rmSync(join(local, 'large'));
        else writeTree(local, { large: 'y'.repeat(6 * 1024 * 1024) });
        const seen = stateOf(folder);
        server.requests.reset();
        const dry = await run({ ...task, direction, dryRun: true });
        assert.equal(dry.status, 'success');
        const { counts, bodyBytes } = server.requests;
        const harmless = /^(List|Head|Get)/;
        assert.deepEqual(
          Object.keys(counts).filter((operation) => !harmless.test(operation)),
          [],
        );
        assert.equal(bodyBytes, 0);
        assert.deepEqual(stateOf(folder), seen);
        const real = await run({ ...task, direction });
        assert.deepEqual([real.transferred, real.deleted], [dry.transferred, dry.deleted]);
        assert.ok(real.transferred.files >= 3 && real.deleted >= 1);
      });
    }
  }
});
