import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  bandwidthAt,
  formatBandwidthTimetable,
  parseBandwidthTimetable,
  validateBandwidthTimetable,
} from '../../src/engine/bandwidth-timetable.js';
import { missedRuns, nextRuns, Schedule, validateSchedule } from '../../src/runner/schedule.js';
import { anyText, anyValue, fuzz, objectWith, runs, SEED, takenOrRefused } from './support.js';

const FEW = 800;
const number = fc.constantFrom(
  '0',
  '1',
  '00',
  '7',
  '8',
  '12',
  '23',
  '24',
  '31',
  '59',
  '60',
  '99999999999',
  '-1',
  '1.5',
  '',
);
const cronPart = fc
  .array(
    fc.oneof(
      number,
      fc.constantFrom('*', '/', '-', ',', '*/5', '*/0', 'MON', 'jan', 'L', '#', '?', 'W', '@daily'),
    ),
    { maxLength: 5 },
  )
  .map((pieces) => pieces.join(''));
const cronText = fc.oneof(
  fc.array(cronPart, { minLength: 4, maxLength: 7 }).map((fields) => fields.join(' ')),
  fc
    .array(fc.constantFrom('*', '*/5', '0', '1-5', '30', '2', '31', '0-59/7', '29'), {
      minLength: 5,
      maxLength: 5,
    })
    .map((fields) => fields.join(' ')),
  anyText,
);
const bandwidthText = fc.oneof(
  fc
    .array(
      fc.tuple(
        fc.constantFrom('08:00', '23:30', '24:00', '8:00', 'Mon-08:00', '', '00:60'),
        fc.constantFrom(',', ' ', ':', ''),
        fc.constantFrom('off', '512k', '10M', '1.5Mi', '1e9', '0', '-1', '99999999P', '1:2', 'k', ''),
      ),
      { maxLength: 5 },
    )
    .map((rows) => rows.map((row) => row.join('')).join(' ')),
  anyText,
);
const rows = fc.oneof(
  fc.array(
    objectWith(
      {
        time: fc.constantFrom('00:00', '08:00', '23:59'),
        bandwidth: fc.oneof(fc.integer(), fc.constant(null)),
      },
      anyValue,
    ),
    { maxLength: 4 },
  ),
  fc.array(anyValue, { maxLength: 3 }),
);

describe('Fuzzed texts', function () {
  this.timeout(600_000);

  it(`as schedules (${runs(FEW)}, seed ${SEED})`, () => {
    fuzz(FEW, cronText, (text) => {
      takenOrRefused(() => {
        validateSchedule(text);
        const now = new Date(1_700_000_000_000);
        const [first, second] = nextRuns(text, 2, now, { timeZone: 'Europe/Berlin' });
        // What was accepted is due some day.
        assert.ok(first === undefined || first > now);
        assert.ok(second === undefined || second > first!);
        missedRuns(text, new Date(1_699_990_000_000), now, { timeZone: 'UTC' });
        new Schedule(text, () => assert.fail('it is stopped')).stop();
      });
    });
  });

  it(`as bandwidth limits (${runs(FEW)}, seed ${SEED})`, () => {
    fuzz(FEW, bandwidthText, (text) => {
      const read = takenOrRefused(() => parseBandwidthTimetable(text));
      if (read === undefined) return;
      assert.deepEqual(parseBandwidthTimetable(formatBandwidthTimetable(read)), read);
    });
  });

  it(`as rows of bandwidth limits (${runs(FEW)}, seed ${SEED})`, () => {
    fuzz(FEW, rows, (table) => {
      const read = takenOrRefused(() => {
        validateBandwidthTimetable(table as never);
        return table as { time: string; bandwidth: number | null }[];
      });
      if (read === undefined) return;
      for (const minutes of [0, 481, 1439]) {
        const limit = bandwidthAt(read, minutes);
        assert.ok(limit === null || (Number.isSafeInteger(limit) && limit > 0));
      }
    });
  });
});
