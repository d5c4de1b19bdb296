import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ExternalSort } from '../../src/engine/external-sort.js';
import { type IndexEntry, StateIndex } from '../../src/engine/state-index.js';
import { compareUtf8 } from '../../src/stores/utf8-order.js';
import { removeFolder, temporaryFolder } from './support.js';

function entry(sortKey: string, size = 1): IndexEntry {
  return {
    sortKey,
    size,
    modificationTime: 1_600_000_000_123_456_789n,
    changeTime: 1_700_000_000_000_000_001n,
    inode: 18_446_744_073_709_551_615n,
    remoteTag: 'tag\twith\\odd\ncharacters',
    md5: 'd41d8cd98f00b204e9800998ecf8427e',
    settled: true,
  };
}

async function contentOf(index: StateIndex): Promise<IndexEntry[]> {
  const entries: IndexEntry[] = [];
  for await (const page of index.pages()) entries.push(...page);
  return entries;
}

describe('the state index', () => {
  let folder: string;
  beforeEach(() => {
    folder = temporaryFolder();
  });
  afterEach(() => removeFolder(folder));

  const open = async (binding = ['s3://host/bucket', 'photos/']) => {
    const index = new StateIndex(join(folder, 'state'), binding);
    await index.recover();
    return index;
  };

  it('gives back what was recorded, in UTF-8 order, odd characters included', async () => {
    const keys = ['b', 'a/x', 'a', '😀', '．', 'tab\there', 'line\nfeed', 'back\\slash', 'a-b', '#1', '#'];
    const index = await open();
    for (const key of keys) index.record(entry(key));
    await index.finish();
    const read = await contentOf(await open());
    assert.deepEqual(
      read.map(({ sortKey }) => sortKey),
      [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
    );
    assert.deepEqual(
      read.find(({ sortKey }) => sortKey === 'a'),
      entry('a'),
    );
  });

  it('replaces and forgets', async () => {
    const first = await open();
    for (let at = 0; at < 3_000; at++) first.record(entry(`k${String(at).padStart(5, '0')}`));
    await first.finish();
    const second = await open();
    second.record(entry('k00001', 42));
    second.forget('k00002');
    second.record(entry('new'));
    await second.finish();
    const read = await contentOf(await open());
    assert.equal(read.length, 3_000);
    assert.equal(read[1]!.size, 42);
    assert.equal(read[2]!.sortKey, 'k00003');
    assert.equal(read.at(-1)!.sortKey, 'new');
  });

  it('leaves the file alone where nothing changed', async () => {
    const first = await open();
    first.record(entry('a'));
    await first.finish();
    const before = readFileSync(join(folder, 'state', 'index'));
    await (await open()).finish();
    assert.deepEqual(readFileSync(join(folder, 'state', 'index')), before);
  });

  it('takes up the journal of a run that was killed', async () => {
    const killed = await open();
    killed.record(entry('a'));
    killed.record(entry('b'));
    killed.flush();
    const journal = join(folder, 'state', 'index.journal');
    writeFileSync(journal, `${readFileSync(journal, 'utf8')}+half a li`);
    const read = await contentOf(await open());
    assert.deepEqual(
      read.map(({ sortKey }) => sortKey),
      ['a', 'b'],
    );
  });

  it('hears at once who stops a run with very many files, and loses nothing by that', async () => {
    const files = 100_000;
    const stopped = await open();
    for (let at = 0; at < files; at++) stopped.record(entry(`k${at}`));
    const controller = new AbortController();
    // Were the work done in one go, this would come after it.
    setImmediate(() => controller.abort());
    await stopped.finish(controller.signal);
    assert.ok(existsSync(join(folder, 'state', 'index.journal')));
    await assert.rejects(
      new StateIndex(join(folder, 'state'), ['s3://host/bucket', 'photos/']).recover(AbortSignal.abort()),
      { code: 'ABORTED' },
    );
    assert.equal((await contentOf(await open())).length, files);
  });

  it('is another one for another binding', async () => {
    const first = await open();
    first.record(entry('a'));
    await first.finish();
    assert.deepEqual(await contentOf(await open(['s3://host/other', 'photos/'])), []);
  });

  it('gives nothing from a block that was damaged, wherever the damage is', async () => {
    const first = await open();
    for (const key of ['a', 'b', 'c']) first.record(entry(key));
    await first.finish();
    const file = join(folder, 'state', 'index');
    const whole = readFileSync(file);
    const bodyStart = whole.indexOf(10) + 1;
    for (let at = bodyStart; at < whole.length; at += 7) {
      const damaged = Buffer.from(whole);
      damaged[at] = damaged[at]! ^ 1;
      writeFileSync(file, damaged);
      assert.deepEqual(await contentOf(await open()), [], `byte ${at}`);
    }
    writeFileSync(file, whole.subarray(0, whole.length - 20));
    assert.deepEqual(await contentOf(await open()), []);
  });
});

describe('sorting past memory', () => {
  it('is stable, and equal to sorting in memory', () => {
    const folder = temporaryFolder();
    const values = Array.from({ length: 1_000 }, (_, at) => ({ key: String((at * 7919) % 251), at }));
    const sort = new ExternalSort<{ key: string; at: number }>(
      join(folder, 'sort'),
      {
        compare: (a, b) => compareUtf8(a.key, b.key),
        encode: (value) => JSON.stringify(value),
        decode: (line) => JSON.parse(line) as { key: string; at: number },
      },
      64,
    );
    for (const value of values) sort.add(value);
    const sorted = [...sort.sorted()].flat();
    sort.dispose();
    removeFolder(folder);
    assert.deepEqual(
      sorted,
      [...values].sort((a, b) => compareUtf8(a.key, b.key)),
    );
  });
});
