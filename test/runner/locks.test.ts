import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Claim, claimsOf, claimsOverlap, findOverlap } from '../../src/runner/claims.js';
import { LockFiles } from '../../src/runner/lock-files.js';
import { LockTable } from '../../src/runner/locks.js';
import { identifyProcess, processState } from '../../src/runner/process-identity.js';
import type { RunRequest, TaskSettings } from '../../src/runner/task.js';
import { until } from '../until.js';
import { bundle, runRequest, temporaryFolder } from './support.js';

const never = new AbortController().signal;
const ignore = () => undefined;

function claim(path: string, write: boolean, root = 'local'): Claim {
  return { root, segments: path.split('/').filter((part) => part !== ''), write, label: path };
}

describe('Claims', () => {
  const overlaps: [string, boolean, string, boolean, boolean][] = [
    ['/photos', true, '/photos', true, true],
    ['/photos', true, '/photos', false, true],
    ['/photos', false, '/photos', false, false],
    ['/photos', true, '/photos/2024', false, true],
    ['/photos/2024', false, '/photos', true, true],
    ['/photos', true, '/photos2', true, false],
    ['/photos/a', true, '/photos/b', true, false],
    ['/', true, '/anything/below', false, true],
  ];
  for (const [first, firstWrites, second, secondWrites, expected] of overlaps) {
    const mode = (writes: boolean) => (writes ? 'written' : 'read');
    it(`${first} ${mode(firstWrites)}, ${second} ${mode(secondWrites)}: ${expected ? 'one waits' : 'both run'}`, () => {
      assert.equal(claimsOverlap(claim(first, firstWrites), claim(second, secondWrites)), expected);
      assert.equal(claimsOverlap(claim(second, secondWrites), claim(first, firstWrites)), expected);
    });
  }

  it('of different stores never overlap', () => {
    assert.equal(claimsOverlap(claim('/a', true), claim('/a', true, 's3://host/bucket')), false);
  });

  function writes(
    task: Partial<TaskSettings>,
    rest: Partial<RunRequest> = {},
  ): [local: boolean, remote: boolean] {
    const claims = claimsOf(runRequest('/data', task, rest));
    return [claims[0]!.write, claims[1]!.write];
  }

  it('write what the run writes', () => {
    const restore = {
      include: [],
      exclude: [],
      thaw: false,
      thawTier: '',
      thawDays: null,
      dryRun: false,
    } as const;
    const restored = { ...restore, include: [], exclude: [], path: '/back', transferMode: 'copy' as const };
    assert.deepEqual(writes({ direction: 'push', transferMode: 'sync' }), [false, true]);
    assert.deepEqual(writes({ direction: 'pull', transferMode: 'copy' }), [true, false]);
    assert.deepEqual(writes({ direction: 'push', transferMode: 'move' }), [true, true]);
    assert.deepEqual(writes({ direction: 'pull', transferMode: 'move' }), [true, true]);
    assert.deepEqual(writes({ direction: 'push', transferMode: 'move', dryRun: true }), [false, false]);
    assert.deepEqual(writes({ direction: 'push' }, { operation: 'verify' }), [false, false]);
    assert.deepEqual(writes({ direction: 'push' }, { operation: 'restore', restore: restored }), [
      true,
      false,
    ]);
    assert.deepEqual(writes({ direction: 'pull' }, { operation: 'restore', restore: restored }), [
      false,
      true,
    ]);
    const dry = { ...restored, dryRun: true };
    assert.deepEqual(writes({ direction: 'push' }, { operation: 'restore', restore: dry }), [false, false]);
  });

  it('name the restored folder, not the one that was backed up', () => {
    const folder = temporaryFolder();
    const restore = { path: folder, transferMode: 'copy', include: [], exclude: [], thaw: false } as const;
    const request = runRequest(
      '/data',
      {},
      {
        operation: 'restore',
        restore: { ...restore, include: [], exclude: [], thawTier: '', thawDays: null, dryRun: false },
      },
    );
    assert.deepEqual(claimsOf(request)[0]!.segments, folder.split('/').slice(1));
  });

  it('see one folder behind two names, also where its last part is not there yet', () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'real'));
    symlinkSync(join(folder, 'real'), join(folder, 'link'));
    const pull = (path: string) => claimsOf(runRequest('/data', { direction: 'pull', path }));
    assert.ok(findOverlap(pull(join(folder, 'link', 'new', 'deep')), pull(join(folder, 'real', 'new'))));
    assert.equal(pull(join(folder, 'link', 'a'))[0]!.segments.at(-2), 'real');
    assert.ok(!claimsOverlap(pull(join(folder, 'link', 'a'))[0]!, pull(join(folder, 'real', 'b'))[0]!));
  });

  it('cover the backup folder', () => {
    const one = claimsOf(runRequest('/data', { taskId: 'a', backupFolder: 'old' }));
    const other = claimsOf(runRequest('/data', { taskId: 'b', folder: 'old/things', direction: 'pull' }));
    assert.ok(findOverlap(one, other));
  });

  it('are the same for two credentials that reach one bucket, and others for another endpoint', () => {
    const { task } = runRequest('/data');
    const withCredential = (config: Record<string, unknown>, accessKeyId: string) =>
      claimsOf(
        runRequest('/data', {
          credential: { ...task.credential, config, secrets: { accessKeyId, secretAccessKey: 'x' } },
        }),
      )[1]!;
    const first = withCredential({ endpoint: 'http://127.0.0.1:9' }, 'ONE');
    assert.ok(claimsOverlap(first, withCredential({ endpoint: 'http://127.0.0.1:9' }, 'TWO')));
    assert.ok(!claimsOverlap(first, withCredential({ endpoint: 'http://127.0.0.1:10' }, 'ONE')));
  });
});

describe('LockTable', () => {
  /** Who has what, in order of being served. */
  function take(table: LockTable, served: string[], name: string, ...claims: Claim[]) {
    const controller = new AbortController();
    const reasons: string[] = [];
    const release = table.acquire(claims, name, controller.signal, (why) => reasons.push(why));
    release.then(
      () => served.push(name),
      () => served.push(`${name} aborted`),
    );
    return { release, controller, reasons };
  }
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  it('serves those who wait in order; nobody overtakes a waiter it overlaps', async () => {
    const table = new LockTable();
    const served: string[] = [];
    const reader = take(table, served, 'reader', claim('/a', false));
    const writer = take(table, served, 'writer', claim('/a', true));
    const late = take(table, served, 'late reader', claim('/a/b', false));
    take(table, served, 'elsewhere', claim('/z', true));
    await turn();
    assert.deepEqual(served, ['reader', 'elsewhere']);
    assert.match(writer.reasons[0]!, /"reader".*\/a/);
    assert.match(late.reasons[0]!, /"writer"/);
    (await reader.release)();
    await turn();
    assert.deepEqual(served, ['reader', 'elsewhere', 'writer']);
    (await writer.release)();
    await turn();
    assert.deepEqual(served, ['reader', 'elsewhere', 'writer', 'late reader']);
  });

  it('takes all or nothing, so that two who want the same two in other orders both end', async () => {
    const table = new LockTable();
    const served: string[] = [];
    const one = take(table, served, 'one', claim('/a', true), claim('/b', true));
    const two = take(table, served, 'two', claim('/b', true), claim('/a', true));
    await turn();
    (await one.release)();
    (await two.release)();
    assert.deepEqual(served, ['one', 'two']);
  });

  it('forgets a waiter that is aborted, and serves who waited behind it', async () => {
    const table = new LockTable();
    const served: string[] = [];
    take(table, served, 'reader', claim('/a', false));
    const writer = take(table, served, 'writer', claim('/a', true));
    take(table, served, 'second reader', claim('/a', false));
    writer.controller.abort();
    await turn();
    assert.deepEqual(served.sort(), ['reader', 'second reader', 'writer aborted']);
  });

  it('gives a lock back once', async () => {
    const table = new LockTable();
    const release = await table.acquire([claim('/a', true)], 'one', never, ignore);
    release();
    await table.acquire([claim('/a', true)], 'two', never, ignore);
    release();
    const served: string[] = [];
    take(table, served, 'three', claim('/a', true));
    await turn();
    assert.deepEqual(served, []);
  });
});

describe('LockFiles', () => {
  let folder: string;
  const lock = (runId: string, path: string, write = true, pid = process.pid) => {
    return { runId, task: `task of ${runId}`, claims: [claim(path, write)], pid };
  };

  beforeEach(() => {
    folder = join(temporaryFolder(), 'locks');
  });

  it('make the second of two processes wait until the first gives back', async () => {
    const [ours, theirs] = [new LockFiles(folder, { pollMs: 10 }), new LockFiles(folder, { pollMs: 10 })];
    const release = await ours.acquire(lock('one', '/a'), never, ignore);
    await ours.acquire(lock('elsewhere', '/b'), never, ignore);
    const reasons: string[] = [];
    let granted = false;
    const second = theirs.acquire(lock('two', '/a/b'), never, (why) => reasons.push(why));
    void second.then(() => {
      granted = true;
    });
    await until(() => reasons.length > 0, 'the second waits');
    assert.match(reasons[0]!, /"task of one"/);
    assert.equal(granted, false);
    assert.ok(await theirs.isHeld('one'));
    await release();
    await second;
    assert.ok(!(await theirs.isHeld('one')));
  });

  it('are taken over from a process that is dead, also where its number was given to another', async () => {
    const locks = new LockFiles(folder);
    await locks.acquire(lock('one', '/a'), never, ignore);
    const file = join(folder, 'one.json');
    const entry = JSON.parse(readFileSync(file, 'utf8')) as { holder: { pid: number; started: string } };
    writeFileSync(file, JSON.stringify({ ...entry, holder: { ...entry.holder, started: '12345' } }));
    await locks.acquire(lock('two', '/a'), never, ignore);
    assert.ok(!existsSync(file));
    const other = join(folder, 'two.json');
    writeFileSync(other, JSON.stringify({ ...entry, holder: { ...entry.holder, pid: 4_194_300 } }));
    await locks.acquire(lock('three', '/a'), never, ignore);
    assert.deepEqual(readdirSync(folder), ['three.json']);
  });

  it('of another container count as long as they give a sign of life', async () => {
    const locks = new LockFiles(folder, { pollMs: 10, silentMs: 60_000 });
    const release = await locks.acquire(lock('one', '/a'), never, ignore);
    const file = join(folder, 'one.json');
    const entry = JSON.parse(readFileSync(file, 'utf8')) as { holder: object };
    writeFileSync(file, JSON.stringify({ ...entry, holder: { ...entry.holder, space: 'another boot' } }));
    const reasons: string[] = [];
    const second = locks.acquire(lock('two', '/a'), never, (why) => reasons.push(why));
    await until(() => reasons.length > 0, 'it is respected');
    const old = new Date(Date.now() - 61_000);
    utimesSync(file, old, old);
    await second;
    await release();
  });

  it('survive what a power cut leaves in the folder', async () => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'torn.json'), '{"runId":');
    await new LockFiles(folder).acquire(lock('one', '/a'), never, ignore);
    assert.deepEqual(readdirSync(folder), ['one.json']);
  });

  it('stop waiting when aborted, leaving nothing', async () => {
    const locks = new LockFiles(folder, { pollMs: 60_000 });
    await locks.acquire(lock('one', '/a'), never, ignore);
    const controller = new AbortController();
    const second = locks.acquire(lock('two', '/a'), controller.signal, () => controller.abort());
    await assert.rejects(second, { code: 'ABORTED' });
    assert.deepEqual(readdirSync(folder), ['one.json']);
  });

  it('never let two of several processes in at once', async () => {
    const file = await bundle('lock-contender');
    const shared = temporaryFolder();
    const children: ChildProcess[] = [];
    const results = await Promise.all(
      [1, 2, 3].map(
        (number) =>
          new Promise<{ rounds: number; clashes: number }>((resolve, reject) => {
            const child = fork(file, [], { execArgv: [] });
            children.push(child);
            child.once('message', resolve);
            child.once('error', reject);
            child.send({ folder, shared, number, rounds: 25 });
          }),
      ),
    );
    for (const child of children) child.disconnect();
    assert.deepEqual(results, Array(3).fill({ rounds: 25, clashes: 0 }));
  });
});

describe('Process identity', () => {
  it('tells living from dead', async () => {
    const self = await identifyProcess(process.pid);
    assert.equal(await processState(self), 'alive');
    assert.equal(await processState({ ...self, started: '1' }), 'dead');
    assert.equal(await processState({ ...self, pid: 4_194_300 }), 'dead');
    assert.equal(await processState({ ...self, space: 'elsewhere' }), 'unknown');
  });
});
