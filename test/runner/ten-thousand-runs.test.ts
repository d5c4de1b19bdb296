/** What 10,000 runs leave on the disk. */

import assert from 'node:assert/strict';
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { RunReport } from '../../src/engine/report.js';
import { History } from '../../src/runner/history.js';
import { reportOf, resultWithout } from '../../src/runner/report.js';
import { DEFAULT_LOG_LIMITS, LogWriter, pruneLogs, readLog } from '../../src/runner/run-log.js';
import { runRequest, temporaryFolder } from './support.js';

const RUNS = 10_000;
const KEPT_RUNS = 200;

describe('10,000 runs', function () {
  this.timeout(120_000);
  let dataFolder: string;
  beforeEach(() => {
    dataFolder = temporaryFolder();
  });
  afterEach(() => rmSync(dataFolder, { recursive: true, force: true }));

  function report(number: number): RunReport {
    const times = { startedAt: new Date(Date.now() - (RUNS - number) * 60_000), durationMs: 1 };
    const error = { path: 'a', code: 'IO_ERROR', message: 'm'.repeat(200) } as const;
    const result = resultWithout('failed', error, undefined);
    const errors = Array.from({ length: 1000 }, () => error);
    const made = reportOf(runRequest(dataFolder), times, { ...result, errors, errorCount: 1000 });
    return { ...made, checked: number, runId: `run-${number}` };
  }

  it('leave a history of the last ones, across restarts, and the mark of the first failure', async () => {
    let history = new History(dataFolder, { runs: KEPT_RUNS, days: 90 });
    let largest = 0;
    const first = report(0);
    await history.add('node', first, false);
    for (let number = 1; number < RUNS; number++) {
      if (number % 2500 === 0) history = new History(dataFolder, { runs: KEPT_RUNS, days: 90 });
      await history.add('node', report(number), false);
      if (number % 100 === 0) largest = Math.max(largest, sizeOf(join(dataFolder, 'history')));
    }
    const read = await history.read('node');
    assert.ok(read.length >= KEPT_RUNS && read.length <= KEPT_RUNS * 1.25 + 1, `${read.length}`);
    assert.equal(read[0]!.checked, RUNS - 1);
    assert.equal(history.last('node')?.failedSince, first.finishedAt);
    assert.ok(largest < 4 << 20, `${largest} bytes`);
  });

  it('leave logs of the last ones, and each says what it was told', () => {
    const limits = { ...DEFAULT_LOG_LIMITS, files: 500 };
    let most = 0;
    for (let number = 0; number < RUNS; number++) {
      const writer = new LogWriter(dataFolder, `run-${number}`, limits);
      writer.write({ time: number, level: 'info', event: 'transfer', path: `file ${number}`, bytes: 1 });
      writer.flush();
      if (number % 100 !== 0) continue;
      pruneLogs(dataFolder, limits);
      most = Math.max(most, readdirSync(join(dataFolder, 'logs')).length);
    }
    assert.ok(most <= 500, `${most} files`);
    assert.ok(sizeOf(join(dataFolder, 'logs')) < 1 << 20);
    const { entries } = readLog(dataFolder, `run-${RUNS - 1}`);
    assert.deepEqual(
      entries.map(({ path }) => path),
      [`file ${RUNS - 1}`],
    );
  });
});

function sizeOf(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}
