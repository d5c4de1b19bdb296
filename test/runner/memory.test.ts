/** What outlives a run: its log, its report, the marks of a node. */

import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { LogEntry, RunReport } from '../../src/engine/report.js';
import { safeFileName } from '../../src/runner/file-names.js';
import { History } from '../../src/runner/history.js';
import { reportOf, resultWithout } from '../../src/runner/report.js';
import {
  currentLogFile,
  DEFAULT_LOG_LIMITS,
  LogWriter,
  pruneLogs,
  readLog,
} from '../../src/runner/run-log.js';
import { runRequest, temporaryFolder } from './support.js';

const DAY = 86_400_000;

function entry(number: number, level: LogEntry['level'] = 'info'): LogEntry {
  return { time: number, level, event: 'transfer', path: `folder/file ${number}.jpg`, bytes: number };
}

describe('The log of a run', () => {
  let dataFolder: string;

  beforeEach(() => {
    dataFolder = temporaryFolder();
  });

  function pages(runId: string, limit: number, rest = {}): LogEntry[] {
    const found: LogEntry[] = [];
    let after: string | undefined;
    for (;;) {
      const page = readLog(dataFolder, runId, { after, limit, ...rest });
      assert.ok(page.entries.length <= limit);
      found.push(...page.entries);
      if (page.end) return found;
      after = page.next;
    }
  }

  it('says in pages for every file what happened to it, across its compressed parts', () => {
    const writer = new LogWriter(dataFolder, 'run', DEFAULT_LOG_LIMITS, 10_000);
    for (let number = 0; number < 5000; number++) writer.write(entry(number));
    writer.flush();
    const names = readdirSync(join(dataFolder, 'logs'));
    assert.ok(names.filter((name) => name.endsWith('.jsonl.gz')).length >= 3, names.join());
    const read = pages('run', 777);
    assert.deepEqual(
      read.map((one) => one.bytes),
      Array.from({ length: 5000 }, (_, index) => index),
    );
    assert.deepEqual(
      pages('run', 10, { search: 'FILE 4321.' }).map((one) => one.bytes),
      [4321],
    );
  });

  it('can be followed while it is written, also over a half-written line', () => {
    const writer = new LogWriter(dataFolder, 'run', DEFAULT_LOG_LIMITS, 300);
    let after: string | undefined;
    const seen: (number | undefined)[] = [];
    for (let number = 0; number < 20; number++) {
      writer.write(entry(number));
      writer.flush();
      appendFileSync(currentLogFile(dataFolder, 'run'), '');
      const page = readLog(dataFolder, 'run', { after });
      seen.push(...page.entries.map((one) => one.bytes));
      after = page.next;
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 20 }, (_, index) => index),
    );
    appendFileSync(currentLogFile(dataFolder, 'run'), '{"time":1,"lev');
    assert.equal(readLog(dataFolder, 'run', { after }).entries.length, 0);
  });

  it('keeps only problems when it is full, and says so', () => {
    const writer = new LogWriter(dataFolder, 'run', { ...DEFAULT_LOG_LIMITS, runBytes: 2000 });
    for (let number = 0; number < 1000; number++) writer.write(entry(number));
    writer.write(entry(5000, 'error'));
    writer.flush();
    const read = pages('run', 1000);
    assert.ok(read.length < 40);
    assert.deepEqual(
      read.slice(-2).map((one) => one.event),
      ['log-full', 'transfer'],
    );
    assert.equal(read.at(-1)!.level, 'error');
  });

  it('never stops a run where it can not be written, and counts what is lost', () => {
    writeFileSync(join(dataFolder, 'logs'), 'a file where a folder has to be');
    const writer = new LogWriter(dataFolder, 'run', DEFAULT_LOG_LIMITS);
    writer.write(entry(1));
    writer.write(entry(2));
    writer.flush();
    assert.equal(writer.lostEntries, 2);
  });

  it('is empty for a run nobody knows, and takes no part of a run id for a path', () => {
    assert.deepEqual(readLog(dataFolder, '../../etc/passwd'), { entries: [], next: '1:0', end: true });
    const writer = new LogWriter(dataFolder, '../outside', DEFAULT_LOG_LIMITS);
    writer.write(entry(1));
    writer.flush();
    assert.ok(!existsSync(join(dataFolder, 'outside.jsonl')));
    assert.equal(pages('../outside', 10).length, 1);
  });

  it('goes when it is old or all logs together are too large, oldest first, but not while its run goes on', () => {
    mkdirSync(join(dataFolder, 'running'), { recursive: true });
    writeFileSync(join(dataFolder, 'running', 'old-running.json'), '{}');
    for (const [runId, days] of [
      ['old', 91],
      ['old-running', 92],
      ['middle', 3],
      ['young', 1],
    ] as const) {
      const writer = new LogWriter(dataFolder, runId, DEFAULT_LOG_LIMITS);
      for (let number = 0; number < 10; number++) writer.write(entry(number));
      writer.flush();
      const time = new Date(Date.now() - days * DAY);
      utimesSync(currentLogFile(dataFolder, runId), time, time);
    }
    const left = () => readdirSync(join(dataFolder, 'logs')).sort();
    pruneLogs(dataFolder, DEFAULT_LOG_LIMITS);
    assert.deepEqual(left(), ['middle.jsonl', 'old-running.jsonl', 'young.jsonl']);
    const size = readFileSync(currentLogFile(dataFolder, 'young')).length;
    pruneLogs(dataFolder, { ...DEFAULT_LOG_LIMITS, totalBytes: size });
    assert.deepEqual(left(), ['old-running.jsonl', 'young.jsonl']);
  });
});

describe('History', () => {
  let dataFolder: string;
  const limits = { runs: 20, days: 90 };

  beforeEach(() => {
    dataFolder = temporaryFolder();
  });

  function report(number: number, change: Partial<RunReport> = {}): RunReport {
    const times = { startedAt: new Date(Date.now() + number), durationMs: 1 };
    const result = resultWithout('failed', { path: '', code: 'INTERNAL', message: 'x' }, undefined);
    const made = reportOf(runRequest(dataFolder), times, { ...result, status: 'success', checked: number });
    return { ...made, ...change };
  }

  it('is bounded, in runs and in the size of each', async () => {
    const history = new History(dataFolder, limits);
    const error = { path: 'a', code: 'IO_ERROR', message: 'm'.repeat(100) } as const;
    for (let number = 0; number < 500; number++) {
      await history.add('node', report(number, { errors: Array(1000).fill(error), errorCount: 1000 }), false);
    }
    const read = await history.read('node');
    assert.ok(read.length >= 20 && read.length <= 25, `${read.length}`);
    assert.deepEqual([read[0]!.checked, read.at(-1)!.checked], [499, 500 - read.length]);
    assert.equal(read[0]!.errorCount, 1000);
    assert.ok(readFileSync(join(dataFolder, 'history', 'node.jsonl')).length < 200_000);
  });

  it('forgets what is too old, but never the last run', async () => {
    const history = new History(dataFolder, limits);
    for (let number = 0; number < 26; number++) await history.add('node', report(number - 100 * DAY), false);
    assert.equal((await history.read('node')).length, 1);
  });

  it('survives a half-written line', async () => {
    await new History(dataFolder, limits).add('node', report(1), false);
    appendFileSync(join(dataFolder, 'history', 'node.jsonl'), '{"report":{"runI');
    const history = new History(dataFolder, limits);
    await history.load('node');
    assert.equal(history.last('node')?.report.checked, 1);
    await history.add('node', report(2), false);
    assert.deepEqual(
      (await history.read('node')).map((one) => one.checked),
      [2, 1],
    );
  });

  it('keeps nodes apart, whatever their ids', async () => {
    const history = new History(dataFolder, limits);
    for (const [number, id] of ['a', '../a', 'a/b', 'A'.repeat(200), ''].entries()) {
      await history.add(id, report(number), false);
    }
    for (const [number, id] of ['a', '../a', 'a/b', 'A'.repeat(200), ''].entries()) {
      assert.deepEqual(
        (await history.read(id)).map((one) => one.checked),
        [number],
      );
    }
    assert.deepEqual(
      readdirSync(dataFolder).filter((name) => name !== 'history'),
      [],
    );
  });

  it('removes the history of nodes that are long gone', async () => {
    const history = new History(dataFolder, limits);
    await history.add('gone', report(1), false);
    await history.add('here', report(1), false);
    const old = new Date(Date.now() - 91 * DAY);
    utimesSync(join(dataFolder, 'history', 'gone.jsonl'), old, old);
    await history.prune();
    assert.deepEqual(readdirSync(join(dataFolder, 'history')), ['here.jsonl']);
  });

  it('does not take the running runs of a living process for interrupted ones', async () => {
    const history = new History(dataFolder, limits);
    await history.begin('node', report(1, { runId: 'one' }));
    const found = await new History(dataFolder, limits).recover(async () => false);
    assert.deepEqual(found, { nodeIds: [], again: false });
    assert.deepEqual(await history.running(), ['one']);
  });

  it('waits with a dead one as long as its process still holds its lock', async () => {
    const history = new History(dataFolder, limits);
    await history.begin('node', report(1, { runId: 'one' }));
    const file = join(dataFolder, 'running', 'one.json');
    const marker = JSON.parse(readFileSync(file, 'utf8')) as { owner: object };
    writeFileSync(file, JSON.stringify({ ...marker, owner: { ...marker.owner, started: '1' } }));
    assert.deepEqual(await history.recover(async () => true), { nodeIds: [], again: true });
    assert.deepEqual(await history.recover(async () => false), { nodeIds: ['node'], again: false });
    assert.equal(history.last('node')?.interrupted, true);
    assert.deepEqual(await history.running(), []);
  });
});

describe('File names of ids', () => {
  it('are different for different ids, and harmless', () => {
    const ids = ['a', 'A', '../a', '..', '', 'a/b', 'a.b', `.${'0'.repeat(40)}`, 'ä', 'x'.repeat(300)];
    const names = ids.map(safeFileName);
    assert.equal(new Set(names).size, ids.length);
    for (const name of names) assert.match(name, /^\.?[A-Za-z0-9_-]{1,100}$/);
  });
});
