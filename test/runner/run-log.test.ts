import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LogEntry } from '../../src/engine/report.js';
import { currentLogFile, DEFAULT_LOG_LIMITS, LogWriter, readLog } from '../../src/runner/run-log.js';

describe('the end of a log', () => {
  let folder: string;
  let writer: LogWriter;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cloud-sync-log-'));
    // Small segments, so that the log consists of several.
    writer = new LogWriter(folder, 'run', DEFAULT_LOG_LIMITS, 1000);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Lines `from` to `to`, every tenth a warning. */
  function write(from: number, to: number): void {
    for (let number = from; number < to; number++) {
      const level = number % 10 === 0 ? 'warning' : 'info';
      writer.write({ time: number, level, event: 'transfer', path: `file ${number}` });
      writer.flush();
    }
  }
  const times = (query: Parameters<typeof readLog>[2]) =>
    readLog(folder, 'run', query).entries.map(({ time }) => time);

  it('comes first, across segments, and goes on from there', () => {
    write(0, 100);
    assert.ok(readdirSync(join(folder, 'logs')).length > 3);
    const page = readLog(folder, 'run', { fromEnd: true, limit: 40 });
    assert.deepEqual(
      page.entries.map(({ time }) => time),
      Array.from({ length: 40 }, (_, index) => 60 + index),
    );
    assert.equal(page.end, true);
    assert.deepEqual(times({ after: page.next }), []);
    write(100, 130);
    assert.deepEqual(
      times({ after: page.next }),
      Array.from({ length: 30 }, (_, index) => 100 + index),
    );
  });

  it('is searched and filtered as the whole is', () => {
    write(0, 100);
    assert.deepEqual(times({ fromEnd: true, limit: 3, level: 'warning' }), [70, 80, 90]);
    assert.deepEqual(times({ fromEnd: true, search: 'FILE 9', limit: 2 }), [98, 99]);
    assert.deepEqual(times({ fromEnd: true, limit: 1000 }), times({ limit: 1000 }));
  });

  it('of a run that has written nothing yet is empty, and has a place to go on from', () => {
    const { entries, next } = readLog(folder, 'run', { fromEnd: true });
    assert.deepEqual(entries, []);
    write(0, 3);
    assert.deepEqual(times({ after: next }), [0, 1, 2]);
  });
});

describe('a line of a log', () => {
  it('is the entry as JSON', () => {
    const folder = mkdtempSync(join(tmpdir(), 'cloud-sync-log-'));
    try {
      const entries: LogEntry[] = [
        { time: 1, level: 'info', event: 'unchanged' },
        { time: 2, level: 'info', event: 'transfer', path: 'ä "quoted" \\ \n \u2028 \ud800', bytes: 0 },
        { time: 3, level: 'error', event: 'a "b"', path: undefined, message: 'tab\tand\u0000' },
        { time: 4, level: 'warning', event: 'would transfer', path: '', bytes: 5e15, message: '' },
      ];
      const writer = new LogWriter(folder, 'run', DEFAULT_LOG_LIMITS);
      for (const entry of entries) writer.write(entry);
      writer.flush();
      const text = readFileSync(currentLogFile(folder, 'run'), 'utf8');
      assert.equal(text, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
