import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import sinon from 'sinon';
import { CloudSyncError } from '../../src/errors.js';
import { missedRuns, nextRuns, Schedule, validateSchedule } from '../../src/runner/schedule.js';

const BERLIN = { timeZone: 'Europe/Berlin' };

function iso(dates: readonly Date[]): string[] {
  return dates.map((date) => date.toISOString().replace(':00.000Z', 'Z'));
}

/** The runs of the 48 hours from noon of the day before `day`, in Berlin. */
function runsAround(text: string, day: string): string[] {
  const from = new Date(Date.parse(`${day}T12:00:00Z`) - 86_400_000);
  return iso(
    nextRuns(text, 100, from, BERLIN).filter((run) => run.getTime() < from.getTime() + 2 * 86_400_000),
  );
}

// Berlin: 2024-03-31 has no 02:00 to 02:59 (gap at 01:00Z), 2024-10-27 has it twice (00:00Z and 01:00Z).
const SPRING = '2024-03-31';
const AUTUMN = '2024-10-27';

describe('Schedule text', () => {
  for (const text of [
    '30 2 * * *',
    ' */15  * * * * ',
    '0 4 1,15 * *',
    '0 0-6/2 * JAN,jul MON-FRI',
    '0 3 * * 7',
  ]) {
    it(`takes ${JSON.stringify(text)}`, () => {
      validateSchedule(text);
      assert.equal(nextRuns(text, 3).length, 3);
    });
  }

  for (const [text, words] of [
    ['', /five fields/],
    ['* * * *', /five fields/],
    ['0 * * * * *', /five fields/],
    ['@daily', /five fields/],
    ['61 * * * *', /The minute "61"/],
    ['* 24 * * *', /The hour "24"/],
    ['* * 0 * *', /The day of the month "0"/],
    ['* * * 13 *', /The month "13"/],
    ['* * * * 8', /The day of the week "8"/],
    ['*/0 * * * *', /The minute "\*\/0"/],
    ['5-1 * * * *', /The minute "5-1"/],
    ['1,,2 * * * *', /The minute "1,,2"/],
    ['? * * * *', /The minute "\?"/],
    ['noon * * * *', /The minute "noon"/],
    ['0 0 31 2 *', /never due/],
  ] as const) {
    it(`says what is wrong in ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => validateSchedule(text),
        (error: unknown) => {
          assert.ok(error instanceof CloudSyncError);
          assert.equal(error.code, 'INVALID_INPUT');
          assert.equal(error.field, 'schedule');
          assert.match(error.message, words);
          assert.notEqual(error.advice, undefined);
          return true;
        },
      );
      assert.throws(() => new Schedule(text, () => {}));
    });
  }
});

describe('Schedule on the days the clock changes', () => {
  it('is due once in the hour that is skipped, just after it', () => {
    assert.deepEqual(runsAround('30 2 * * *', SPRING), ['2024-03-31T01:00Z', '2024-04-01T00:30Z']);
    assert.deepEqual(runsAround('30 2,14 * * *', SPRING).slice(1, 3), [
      '2024-03-31T01:00Z',
      '2024-03-31T12:30Z',
    ]);
  });

  it('is due once in the hour that comes twice', () => {
    assert.deepEqual(runsAround('30 2 * * *', AUTUMN), ['2024-10-27T00:30Z', '2024-10-28T01:30Z']);
  });

  it('does the same with steps', () => {
    assert.deepEqual(
      runsAround('*/20 2 * * *', SPRING).filter((run) => run.startsWith(SPRING)),
      ['2024-03-31T01:00Z'],
    );
    assert.deepEqual(
      runsAround('*/20 2 * * *', AUTUMN).filter((run) => run.startsWith(AUTUMN)),
      ['2024-10-27T00:00Z', '2024-10-27T00:20Z', '2024-10-27T00:40Z'],
    );
    assert.deepEqual(
      runsAround('0 */2 * * *', SPRING)
        .filter((run) => run.startsWith(SPRING))
        .slice(0, 3),
      ['2024-03-31T01:00Z', '2024-03-31T02:00Z', '2024-03-31T04:00Z'],
    );
  });

  it('is due every hour there is, where it is hourly', () => {
    for (const day of [SPRING, AUTUMN]) {
      const runs = runsAround('0 * * * *', day).map((run) => Date.parse(run));
      assert.equal(runs.length, 47);
      for (const [index, run] of runs.slice(1).entries()) assert.equal(run - runs[index]!, 3_600_000);
    }
  });

  for (const [day, due] of [
    [SPRING, '2024-03-31T01:00Z'],
    [AUTUMN, '2024-10-27T00:30Z'],
  ] as const) {
    it(`calls back once on ${day}`, () => {
      const clock = sinon.useFakeTimers({ now: Date.parse(`${day}T00:00:00Z`) - 3_600_000 });
      const ticks: Date[] = [];
      try {
        const schedule = new Schedule('30 2 * * *', () => ticks.push(new Date()), BERLIN);
        assert.deepEqual(iso([schedule.next!]), [due]);
        clock.tick(20 * 3_600_000);
        assert.deepEqual(iso(ticks), [due]);
        schedule.stop();
      } finally {
        clock.restore();
      }
    });
  }

  it("goes by the machine's time zone", () => {
    const script = `
      const { nextRuns } = require(${JSON.stringify(join(__dirname, '../../src/runner/schedule.ts'))});
      console.log(nextRuns('30 2 * * *', 2, new Date('2024-03-30T12:00:00Z')).map((run) => run.toISOString()).join());`;
    for (const [timeZone, expected] of [
      ['Europe/Berlin', '2024-03-31T01:00:00.000Z,2024-04-01T00:30:00.000Z'],
      ['America/New_York', '2024-03-31T06:30:00.000Z,2024-04-01T06:30:00.000Z'],
    ]) {
      const result = spawnSync(process.execPath, ['--import', 'tsx', '-e', script], {
        encoding: 'utf8',
        env: { ...process.env, TZ: timeZone },
        cwd: join(__dirname, '../..'),
      });
      assert.equal(result.stdout.trim(), expected, result.stderr);
    }
  });
});

describe('Schedule', () => {
  let clock: sinon.SinonFakeTimers;
  beforeEach(() => {
    clock = sinon.useFakeTimers({ now: Date.parse('2024-01-01T00:00:30Z') });
  });
  afterEach(() => clock.restore());

  it('calls back at each due time with that time, until it is stopped', () => {
    const due: Date[] = [];
    const schedule = new Schedule('*/10 * * * *', (time) => due.push(time), { timeZone: 'UTC' });
    clock.tick(25 * 60_000);
    assert.deepEqual(iso(due), ['2024-01-01T00:10Z', '2024-01-01T00:20Z']);
    schedule.stop();
    assert.equal(schedule.next, null);
    clock.tick(60 * 60_000);
    assert.equal(due.length, 2);
    assert.equal(clock.countTimers(), 0);
  });

  it('waits longer than the longest timer without calling back early', () => {
    const due: Date[] = [];
    const schedule = new Schedule('0 5 1 6 *', (time) => due.push(time), { timeZone: 'UTC' });
    clock.setSystemTime(Date.parse('2024-06-01T04:59:00Z'));
    clock.tick(30_000);
    assert.equal(due.length, 0);
    clock.tick(60_000);
    assert.deepEqual(iso(due), ['2024-06-01T05:00Z']);
    schedule.stop();
  });

  it('keeps no process alive', () => {
    clock.restore();
    const script = `
      const { Schedule } = require(${JSON.stringify(join(__dirname, '../../src/runner/schedule.ts'))});
      new Schedule('0 0 1 1 *', () => {});`;
    const result = spawnSync(process.execPath, ['--import', 'tsx', '-e', script], {
      encoding: 'utf8',
      timeout: 20_000,
      cwd: join(__dirname, '../..'),
    });
    assert.equal(result.status, 0, result.stderr);
  });
});

describe('Missed runs', () => {
  const at = (text: string): Date => new Date(text);

  it('are the due times since the last run, in order', () => {
    const missed = missedRuns('30 2 * * *', at('2024-03-29T01:30:00Z'), at('2024-03-31T12:00:00Z'), BERLIN);
    assert.deepEqual(iso(missed), ['2024-03-30T01:30Z', '2024-03-31T01:00Z']);
  });

  it('are none where nothing was due', () => {
    assert.deepEqual(
      missedRuns('30 2 * * *', at('2024-03-30T01:30:20Z'), at('2024-03-30T22:00:00Z'), BERLIN),
      [],
    );
  });

  it('are the latest hundred at most', () => {
    const missed = missedRuns('* * * * *', at('2024-01-01T00:00:00Z'), at('2024-01-02T00:00:00Z'), BERLIN);
    assert.equal(missed.length, 100);
    assert.deepEqual(iso(missed.slice(-1)), ['2024-01-01T23:59Z']);
  });
});
