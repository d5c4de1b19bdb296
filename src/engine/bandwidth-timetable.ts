/**
 * The limits of a day: rows of a time and a number of bytes per second, as TrueNAS keeps them and as rclone writes them
 * for `--bwlimit` (https://rclone.org/docs/#bwlimit-bwtimetable).
 */

import { CloudSyncError, shown } from '../errors.js';

/** From `time` on, until the next row's. */
export interface BandwidthRow {
  /** `HH:MM`, 24 hours. */
  time: string;
  /** Bytes per second; null: no limit. */
  bandwidth: number | null;
}

const FIELD = 'bandwidthLimit';
const TIME = /^(?:[01]\d|2[0-3]):[0-5]\d$/;
/** rclone's letters, all of them powers of 1024. */
const UNITS = ['b', 'k', 'm', 'g', 't', 'p', 'e'];

function refuse(message: string, advice: string): never {
  throw new CloudSyncError('INVALID_INPUT', message, { field: FIELD, advice });
}

function checkRow(row: BandwidthRow, previous: BandwidthRow | undefined): void {
  // Rows come from messages and from files edited by hand.
  const { time, bandwidth } = (row ?? {}) as BandwidthRow;
  if (typeof time !== 'string' || !TIME.test(time)) {
    refuse(`${shown(time)} is no time for a bandwidth limit`, 'Write hours and minutes as 08:00 or 23:30.');
  }
  if (bandwidth !== null && !(Number.isSafeInteger(bandwidth) && bandwidth > 0)) {
    refuse(
      `The bandwidth limit at ${time} is ${shown(bandwidth)}`,
      'Give whole bytes per second, at least 1, or none for no limit.',
    );
  }
  if (previous !== undefined && time <= previous.time) {
    const message =
      time === previous.time
        ? `The bandwidth limit has two rows for ${time}`
        : `The bandwidth limit has ${time} behind ${previous.time}`;
    refuse(message, 'Put the rows in the order of their times, each time once.');
  }
}

/** Throws INVALID_INPUT (field `bandwidthLimit`) where a row can't be used or the times aren't in order. */
export function validateBandwidthTimetable(rows: readonly BandwidthRow[]): void {
  for (const [index, row] of rows.entries()) checkRow(row, rows[index - 1]);
}

/**
 * The limit at a time of day, in bytes per second; null for none. Before the first row the last one holds, which began
 * the day before. `minutes` are counted from midnight on the clock on the wall.
 */
export function bandwidthAt(rows: readonly BandwidthRow[], minutes: number): number | null {
  const now = `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
  const row = rows.findLast((candidate) => candidate.time <= now) ?? rows.at(-1);
  return row?.bandwidth ?? null;
}

/** Bytes per second of rclone's `512k`, `10M`, `1.5Mi`, `100b`; null for `off` and 0. A bare number is KiB. */
function parseBandwidth(text: string): number | null {
  if (text.toLowerCase() === 'off') return null;
  const parts = /^(\d+\.?\d*|\.\d+)(?:([bkmgtpe])|([kmgtpe])i|([kmgtpe])iB)?$/i.exec(text);
  if (parts === null) {
    refuse(`${shown(text)} is no bandwidth`, 'Write 512k, 10M or off; a number alone means KiB per second.');
  }
  const unit = (parts[2] ?? parts[3] ?? parts[4] ?? 'k').toLowerCase();
  const bytes = Math.floor(Number(parts[1]) * 1024 ** UNITS.indexOf(unit));
  if (Number(parts[1]) === 0) return null;
  if (!Number.isSafeInteger(bytes) || bytes < 1) {
    refuse(`${shown(text)} is no usable bandwidth`, 'Give at least one byte per second.');
  }
  return bytes;
}

function parseRow(text: string): BandwidthRow {
  const [time = '', bandwidth, ...more] = text.split(',');
  if (bandwidth === undefined || more.length > 0) {
    refuse(`${shown(text)} is no row of a bandwidth limit`, 'Write a time and a limit, such as 08:00,512k.');
  }
  if (/^[a-z]+-/i.test(time)) {
    refuse(
      `${shown(text)} names a day of the week`,
      'A timetable holds for every day; leave the day out, or start runs with their own limit by message.',
    );
  }
  if (bandwidth.includes(':')) {
    refuse(`${shown(text)} has two limits`, 'One limit holds for both directions; write it once.');
  }
  return { time, bandwidth: parseBandwidth(bandwidth) };
}

/**
 * The rows of rclone's text: `08:00,512k 23:00,off`, or one limit for all of the day (`10M`). Times have to be in
 * order. Days of the week, which rclone knows too, and separate limits for the two directions are refused.
 *
 * Throws INVALID_INPUT (field `bandwidthLimit`).
 */
export function parseBandwidthTimetable(text: string): BandwidthRow[] {
  const pieces = text.split(/[ ;]+/).filter((piece) => piece !== '');
  if (pieces.length === 0) return [];
  // A time alone has lost its limit; it must not be read as one.
  const isSingle = pieces.length === 1 && !/[,:]/.test(text);
  const rows = isSingle ? [parseRow(`00:00,${pieces[0]}`)] : pieces.map(parseRow);
  validateBandwidthTimetable(rows);
  return rows;
}

/** As {@link parseBandwidthTimetable} reads it, in the largest unit that loses nothing. */
export function formatBandwidthTimetable(rows: readonly BandwidthRow[]): string {
  return rows.map(({ time, bandwidth }) => `${time},${formatBandwidth(bandwidth)}`).join(' ');
}

function formatBandwidth(bandwidth: number | null): string {
  if (bandwidth === null) return 'off';
  let power = 0;
  while (power < UNITS.length - 1 && bandwidth % 1024 ** (power + 1) === 0) power++;
  const unit = UNITS[power]!;
  return `${bandwidth / 1024 ** power}${power <= 1 ? unit : unit.toUpperCase()}`;
}
