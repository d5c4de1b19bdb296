/** Restores and verifications of whole tasks on S3: previews, repairs, filters, encryption, either direction. */

import assert from 'node:assert/strict';
import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LogEntry } from '../../src/engine/report.js';
import { execute } from '../../src/runner/execute.js';
import type { RestoreSettings, TaskSettings, VerifySettings } from '../../src/runner/task.js';
import { runRequest } from '../runner/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { BUCKET } from '../stores/s3-support.js';
import { editQuietly, readTree, removeFolder, temporaryFolder, writeTree } from './support.js';

type Method = VerifySettings['method'];

const TREE = { 'a.txt': 'aaa', 'b/c.txt': 'ccc', 'b/d.tmp': 'ddd', 'e/f/g.txt': 'ggg' };

describe('restore and verify of a task', () => {
  let server: S3Server;
  let root: string;
  let log: LogEntry[];
  before(async () => {
    server = await startS3Server();
  });
  after(() => server.stop());
  beforeEach(() => {
    server.createBucket(BUCKET);
    root = temporaryFolder();
    log = [];
    writeTree(join(root, 'local'), TREE);
  });
  afterEach(() => removeFolder(root));

  const run = async (task: Partial<TaskSettings>, rest: Parameters<typeof runRequest>[2] = {}) => {
    const { url: endpoint, region, accessKeyId, secretAccessKey } = server;
    const secrets = { accessKeyId, secretAccessKey };
    const credential = { id: 'c', name: '', provider: 's3', config: { endpoint, region }, secrets };
    const own = { credential, bucket: BUCKET, folder: 'photos', path: join(root, 'local') };
    const request = runRequest(join(root, 'data'), { ...own, ...task }, rest);
    const host = {
      signal: new AbortController().signal,
      phase: () => {},
      log: (entry: LogEntry) => {
        log.push(entry);
      },
    };
    return await execute(request, host).result;
  };
  const restoreSettings = (settings: Partial<RestoreSettings>): RestoreSettings => ({
    path: join(root, 'restored'),
    transferMode: 'copy',
    include: [],
    exclude: [],
    thaw: false,
    thawTier: '',
    thawDays: null,
    dryRun: false,
    ...settings,
  });
  const restore = (settings: Partial<RestoreSettings> = {}, task: Partial<TaskSettings> = {}) =>
    run(task, { nodeId: 'restore', operation: 'restore', restore: restoreSettings(settings) });
  const verify = async (settings: Partial<VerifySettings> = {}, task: Partial<TaskSettings> = {}) => {
    const options: VerifySettings = { method: 'checksum', sample: 100, ...settings };
    const result = await run(task, { nodeId: 'verify', operation: 'verify', verify: options });
    return { ...result, ...result.verify! };
  };

  it('previews what a restore would overwrite, and does exactly that', async () => {
    await run({});
    const restored = join(root, 'restored');
    writeTree(restored, { 'a.txt': 'AAA', 'b/c.txt': 'ccc', 'mine.txt': 'mine' });
    editQuietly(join(restored, 'b/c.txt'), 'CCC');
    const before = readTree(restored);
    log = [];
    const preview = await restore({ transferMode: 'sync', dryRun: true });
    assert.deepEqual(
      [preview.transferred.files, preview.overwrites, preview.deleted, preview.errors],
      [4, 2, 1, []],
    );
    assert.deepEqual(
      log
        .filter(({ event }) => event.startsWith('would '))
        .map(({ event, path, message = '' }) => `${event} ${path} ${message}`.trim())
        .sort(),
      [
        'would delete mine.txt',
        'would transfer a.txt overwrites what is there',
        'would transfer b/c.txt overwrites what is there',
        'would transfer b/d.tmp',
        'would transfer e/f/g.txt',
      ],
    );
    assert.deepEqual(readTree(restored), before);
    const real = await restore({ transferMode: 'sync' });
    assert.deepEqual([real.transferred.files, real.overwrites, real.deleted], [4, 2, 1]);
    assert.deepEqual(readTree(restored), TREE);
  });

  for (const encryption of [false, true]) {
    const task: Partial<TaskSettings> = encryption
      ? { encryption, filenameEncryption: true, encryptionPassword: 'secret' }
      : {};
    const name = encryption ? ', encrypted' : '';

    it(`repairs by restore what verify has found, size and time notwithstanding${name}`, async () => {
      await run(task);
      editQuietly(join(root, 'local/b/c.txt'), 'CCC');
      assert.equal((await verify({ method: 'metadata' }, task)).status, 'success');
      const found = await verify({}, task);
      assert.deepEqual([found.status, found.differs, found.matched], ['failed', ['b/c.txt'], 3]);
      const repaired = await restore({ path: join(root, 'local'), paths: found.differs }, task);
      assert.deepEqual([repaired.errors, repaired.transferred.files], [[], 1]);
      assert.deepEqual(readTree(join(root, 'local')), TREE);
      assert.equal((await verify({ method: 'download' }, task)).status, 'success');
      assert.equal((await restore({ path: join(root, 'local') }, task)).transferred.files, 0);
    });

    it(`looks at what the task's filters take, and at nothing else${name}`, async () => {
      const filtered = { ...task, exclude: ['*.tmp'] };
      await run(filtered);
      writeFileSync(join(root, 'local/b/new.tmp'), 'new');
      const { status, counts } = await verify({}, filtered);
      assert.deepEqual([status, counts.matched], ['success', 3]);
      assert.deepEqual((await verify({}, task)).missingRemote.sort(), ['b/d.tmp', 'b/new.tmp']);
      const narrowed = await restore({ include: ['/b/**'] }, filtered);
      assert.deepEqual([narrowed.errors, readTree(join(root, 'restored'))], [[], { 'b/c.txt': 'ccc' }]);
    });

    it(`verifies a task that pulls, and restores it by pushing${name}`, async () => {
      await run(task);
      const pull: Partial<TaskSettings> = { ...task, direction: 'pull', path: join(root, 'pulled') };
      await run(pull, { nodeId: 'pull' });
      assert.deepEqual((await verify({ method: 'download' }, pull)).counts.matched, 4);
      rmSync(join(root, 'pulled/a.txt'));
      editQuietly(join(root, 'pulled/b/c.txt'), 'CCC');
      const { status, differs, missingLocal } = await verify({}, pull);
      assert.deepEqual([status, differs, missingLocal], ['failed', ['b/c.txt'], ['a.txt']]);
      const pushed = await restore({ path: join(root, 'pulled') }, pull);
      assert.deepEqual([pushed.errors, pushed.transferred.files], [[], 1]);
      rmSync(join(root, 'again'), { recursive: true, force: true });
      await run({ ...pull, path: join(root, 'again') }, { nodeId: 'again' });
      assert.equal(readTree(join(root, 'again'))['b/c.txt'], 'CCC');
    });
  }

  describe('of a restore', () => {
    /** What the restore with these settings has brought back, compared with the bucket. */
    const verifyRestored = async (settings: Partial<RestoreSettings> = {}, method: Method = 'checksum') => {
      const verification = { verify: { method, sample: 100 }, restore: restoreSettings(settings) };
      const result = await run({}, { nodeId: 'verify', operation: 'verify', ...verification });
      return { ...result, ...result.verify! };
    };

    it("compares the restored folder, and not the task's own", async () => {
      await run({});
      rmSync(join(root, 'local'), { recursive: true });
      assert.equal((await restore()).status, 'success');
      const { status, matched } = await verifyRestored();
      assert.deepEqual([status, matched], ['success', 4]);
      editQuietly(join(root, 'restored/b/c.txt'), 'CCC');
      assert.deepEqual((await verifyRestored()).differs, ['b/c.txt']);
    });

    it('looks at what was restored, and at nothing else', async () => {
      await run({});
      for (const settings of [{ include: ['/b/*.txt'] }, { paths: ['b/c.txt'] }]) {
        assert.equal((await restore(settings)).status, 'success');
        const { status, matched } = await verifyRestored(settings);
        assert.deepEqual([status, matched], ['success', 1]);
        rmSync(join(root, 'restored/b/c.txt'));
        assert.deepEqual((await verifyRestored(settings)).missingLocal, ['b/c.txt']);
      }
      assert.deepEqual((await verifyRestored({ paths: ['b', 'gone'] })).missingRemote, ['gone']);
    });

    it('does not miss an empty folder that was asked for', async () => {
      const task = { createEmptySrcDirs: true };
      mkdirSync(join(root, 'local/nothing here'));
      await run(task);
      const settings = { paths: ['nothing here', 'a.txt'] };
      assert.equal((await restore(settings, task)).status, 'success');
      const verification = {
        verify: { method: 'checksum', sample: 100 },
        restore: restoreSettings(settings),
      } as const;
      const { status, verify: found } = await run(task, {
        nodeId: 'verify',
        operation: 'verify',
        ...verification,
      });
      assert.deepEqual([status, found?.matched, found?.missingRemote], ['success', 1, []]);
    });

    for (const method of ['metadata', 'checksum', 'download'] as const) {
      it(`compares with the bucket as it was then, by ${method}`, async () => {
        server.createBucket({ name: 'versions', versioning: 'Enabled' });
        const inVersions = { bucket: 'versions' };
        await run(inVersions);
        const asOf = server.clock.now() + 30_000;
        server.clock.advance(60_000);
        editQuietly(join(root, 'local/b/c.txt'), 'CCC');
        utimesSync(join(root, 'local/b/c.txt'), 1_700_000_000, 1_700_000_000);
        rmSync(join(root, 'local/a.txt'));
        await run(inVersions);
        assert.equal((await restore({ asOf }, inVersions)).status, 'success');
        assert.deepEqual(readTree(join(root, 'restored')), TREE);
        const verifyThen = () =>
          run(inVersions, {
            nodeId: 'verify',
            operation: 'verify',
            verify: { method, sample: 100 },
            restore: restoreSettings({ asOf }),
          });
        const then = await verifyThen();
        assert.deepEqual([then.status, then.verify?.matched], ['success', 4]);
        writeFileSync(join(root, 'restored/b/c.txt'), 'XXX');
        assert.deepEqual((await verifyThen()).verify?.differs, ['b/c.txt']);
      });
    }
  });

  it('has succeeded only if every file matched: what can not be told is no match', async () => {
    await run({ serverSideEncryption: 'aws:kms' });
    const checked = await verify();
    assert.deepEqual([checked.status, checked.counts.unverifiable, checked.errors], ['failed', 4, []]);
    assert.equal((await verify({ method: 'download' })).status, 'success');
  });

  it('reads back the share that is asked for, and compares the time of the others', async () => {
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`many/${index}`, `${index}`]));
    writeTree(join(root, 'local'), many);
    await run({});
    server.requests.reset();
    const { status, matched, sampled } = await verify({ method: 'sample', sample: 20 });
    assert.deepEqual([status, matched], ['success', 304]);
    const read = server.requests.log
      .filter(({ operation }) => operation === 'GetObject')
      .map(({ key }) => key);
    // Six standard deviations to each side.
    assert.ok(read.length > 18 && read.length < 104, `${read.length} of 304`);
    assert.deepEqual(sampled?.toSorted(), read.map((key) => key.slice('photos/'.length)).sort());
  });

  it('reads back one file of few where chance picks none', async () => {
    await run({});
    const picked = new Set<string>();
    for (let round = 0; round < 60; round++) {
      const { status, matched, sampled = [] } = await verify({ method: 'sample', sample: 1 });
      assert.deepEqual([status, matched], ['success', 4]);
      assert.ok(sampled.length >= 1);
      for (const path of sampled) picked.add(path);
    }
    // That one of four is never picked in sixty rounds happens once in eight million.
    assert.equal(picked.size, 4);
  });

  it('fails and names what was asked for and is not there', async () => {
    await run({});
    const { errors, transferred } = await restore({ paths: ['b', 'e/f', 'a.TXT', 'b/gone', 'e/f/g.txt'] });
    assert.deepEqual(
      errors.map(({ code, path }) => `${code} ${path}`),
      ['NOT_FOUND a.TXT', 'NOT_FOUND b/gone'],
    );
    assert.equal(transferred.files, 3);
    const { status, errors: none } = await restore({ include: ['*.jpg'] });
    assert.deepEqual([status, none.map(({ code }) => code)], ['failed', ['SOURCE_EMPTY']]);
  });

  it('brings again what nothing proves to be equal', async () => {
    await run({ serverSideEncryption: 'aws:kms' });
    const keys = server.objects.keys(BUCKET).filter((key) => key.startsWith('photos/'));
    // As another program would have put it: no word of its content.
    for (const key of keys) delete server.objects.find(BUCKET, key)!.metadata.md5chksum;
    editQuietly(join(root, 'local/b/c.txt'), 'CCC');
    const repaired = await restore({ path: join(root, 'local') });
    assert.deepEqual(repaired.errors, []);
    assert.deepEqual(readTree(join(root, 'local')), TREE);
  });

  it('is a failure where there is nothing on either side', async () => {
    rmSync(join(root, 'local'), { recursive: true });
    mkdirSync(join(root, 'local'));
    const { status, errors } = await run(
      {},
      { operation: 'verify', verify: { method: 'checksum', sample: 1 } },
    );
    assert.deepEqual([status, errors.map(({ code }) => code)], ['failed', ['SOURCE_EMPTY']]);
  });
});
