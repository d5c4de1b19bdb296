/** When a task is due: five-field cron text in the machine's time zone. */

import { Cron, type CronOptions } from 'croner';
import { CloudSyncError, shown } from '../errors.js';

export interface ScheduleOptions {
  /** Name of the time zone; default: the machine's. */
  timeZone?: string;
}

interface Field {
  name: string;
  least: number;
  most: number;
}

const FIELDS: readonly Field[] = [
  { name: 'minute', least: 0, most: 59 },
  { name: 'hour', least: 0, most: 23 },
  { name: 'day of the month', least: 1, most: 31 },
  { name: 'month', least: 1, most: 12 },
  { name: 'day of the week', least: 0, most: 7 },
];
const MINUTE = 0;
const HOUR = 1;
/** `missedRuns` names no more. */
const MOST_MISSED = 100;

function refuse(message: string, advice: string): never {
  throw new CloudSyncError('INVALID_INPUT', message, { field: 'schedule', advice });
}

function isUsable(fields: readonly string[]): boolean {
  try {
    new Cron(fields.join(' '), { mode: '5-part', paused: true });
    return true;
  } catch {
    return false;
  }
}

function checkField(text: string, field: Field, position: number): void {
  const fields: string[] = FIELDS.map(() => '*');
  fields[position] = text;
  if (/^[0-9A-Za-z*,/#-]+$/.test(text) && isUsable(fields)) return;
  refuse(
    `The ${field.name} ${shown(text)} of the schedule can't be used`,
    `Give numbers from ${field.least} to ${field.most}, a list (1,5), a range (1-5), a step (*/15) or *.`,
  );
}

function fieldsOf(text: string): string[] {
  const fields = text.trim().split(/\s+/);
  if (fields.length !== FIELDS.length || fields[0] === '') {
    refuse(
      `The schedule ${shown(text)} doesn't have five fields`,
      'Write minute, hour, day of the month, month and day of the week, such as "30 2 * * *" for 02:30 every day.',
    );
  }
  for (const [position, field] of FIELDS.entries()) checkField(fields[position]!, field, position);
  return fields;
}

/** A step or a star as the list of what it stands for. */
function spelledOut(text: string, field: Field): string {
  const parts = text.split(',').map((part) => {
    const stepped = /^(\*|(\d+)-(\d+))(?:\/(\d+))?$/.exec(part);
    if (stepped === null) return part;
    const values: number[] = [];
    const most = Number(stepped[3] ?? field.most);
    for (let value = Number(stepped[2] ?? field.least); value <= most; value += Number(stepped[4] ?? 1)) {
      values.push(value);
    }
    return values.join();
  });
  return parts.join();
}

/**
 * The cron library takes a schedule for a clock time, which runs once on the days of a time change, only where minute
 * and hour are lists. So steps are written as lists; a schedule for every hour stays one that runs each hour there is.
 */
function parse(text: string, options: ScheduleOptions): { pattern: string; options: CronOptions } {
  const fields = fieldsOf(text);
  if (!/^\*(?:\/1)?$/.test(fields[HOUR]!)) {
    for (const position of [MINUTE, HOUR]) {
      fields[position] = spelledOut(fields[position]!, FIELDS[position]!);
    }
  }
  return {
    pattern: fields.join(' '),
    options: { mode: '5-part', fixedTimeRule: 'no-wildcard', timezone: options.timeZone },
  };
}

function pausedCron(text: string, options: ScheduleOptions): Cron {
  const parsed = parse(text, options);
  return new Cron(parsed.pattern, { ...parsed.options, paused: true });
}

/** Throws INVALID_INPUT (field `schedule`), saying which field is wrong, or that the schedule is never due. */
export function validateSchedule(text: string): void {
  if (pausedCron(text, {}).nextRun() === null) {
    refuse(`The schedule ${shown(text)} is never due`, 'Choose a day that its months have.');
  }
}

/**
 * The next `count` times the schedule is due after `from` (default now). A time in the hour that a change to summer time
 * skips is due just after the gap, one in the hour that comes twice is due the first time.
 */
export function nextRuns(
  text: string,
  count: number,
  from = new Date(),
  options: ScheduleOptions = {},
): Date[] {
  return pausedCron(text, options).nextRuns(count, from);
}

/**
 * The times the schedule was due after `lastRunAt` and before `now`, the latest 100 of them, in order: what was missed
 * while nobody was there to start it. For showing; nothing makes them up.
 */
export function missedRuns(
  text: string,
  lastRunAt: Date,
  now: Date = new Date(),
  options: ScheduleOptions = {},
): Date[] {
  const runs = pausedCron(text, options).previousRuns(MOST_MISSED, now);
  return runs.filter((run) => run > lastRunAt && run < now).reverse();
}

/** Calls back whenever a schedule is due, until it is stopped. Keeps no process alive. */
export class Schedule {
  private readonly cron: Cron;
  private due: Date | null;

  /**
   * Throws INVALID_INPUT (field `schedule`). `onTick` is given the time that was due; where the machine slept through
   * several, it is called once on waking, for the first of them.
   */
  constructor(text: string, onTick: (due: Date) => void, options: ScheduleOptions = {}) {
    validateSchedule(text);
    const parsed = parse(text, options);
    this.cron = new Cron(parsed.pattern, { ...parsed.options, unref: true }, () => {
      const due = this.due ?? new Date();
      this.due = this.cron.nextRun();
      onTick(due);
    });
    this.due = this.cron.nextRun();
  }

  /** When it is due next; null once stopped. */
  get next(): Date | null {
    return this.cron.nextRun();
  }

  stop(): void {
    this.cron.stop();
  }
}
