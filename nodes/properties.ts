/**
 * The properties of a task one by one: how a saved value or a message's value is read, what is assumed where there is
 * none, and what a message may do with it. Runs in the editor too, so nothing of Node.js in here.
 */

import { validateBandwidthTimetable } from '../src/engine/bandwidth-timetable.js';
import { compileFilter } from '../src/engine/filter.js';
import { CloudSyncError, shown } from '../src/errors.js';
import { validateSchedule } from '../src/runner/schedule.js';
import type { BandwidthLimit } from '../src/runner/task.js';

export { shown } from '../src/errors.js';

/** The one folder in a bucket that belongs to this package (leases, probes). */
export const RESERVED_FOLDER = '.node-red-cloud-sync';

/** A validated share of files, for example `"50%"`. */
const SHARE = /^(\d{1,3}(?:\.\d+)?)\s*%$/;

/** The error of every value that can't be used. */
export function invalid(field: string, message: string, advice?: string): CloudSyncError {
  return new CloudSyncError('INVALID_INPUT', message, { field, advice });
}

export function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'string' && value.trim() === '');
}

type Reader<T> = (value: unknown, field: string) => T;

const text: Reader<string> = (value, field) => {
  if (typeof value !== 'string') throw invalid(field, `${field} has to be text, not ${shown(value)}`);
  if (value.includes('\0')) throw invalid(field, `${field} contains a NUL character`);
  if (!value.isWellFormed()) throw invalid(field, `${field} contains half a character`);
  return value;
};

const trimmedText: Reader<string> = (value, field) => text(value, field).trim();

const yesOrNo: Reader<boolean> = (value, field) => {
  if (typeof value === 'boolean') return value;
  throw invalid(field, `${field} has to be true or false, not ${shown(value)}`);
};

function oneOf<T extends string>(...choices: readonly T[]): Reader<T> {
  return (value, field) => {
    const found = choices.find((choice) => choice === value);
    if (found === undefined) {
      throw invalid(field, `${field} is ${shown(value)}`, `Use one of ${choices.join(', ')}.`);
    }
    return found;
  };
}

function numberBetween(least: number, most: number, unit: string, whole = true): Reader<number> {
  return (value, field) => {
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
    const usable =
      typeof number === 'number' &&
      Number.isFinite(number) &&
      number >= least &&
      number <= most &&
      (!whole || Number.isInteger(number));
    if (!usable) {
      const kind = whole ? 'whole number' : 'number';
      throw invalid(
        field,
        `${field} has to be a ${kind} of ${unit} from ${least} to ${most}, not ${shown(value)}`,
      );
    }
    return number as number;
  };
}

function filterPatterns(kind: 'include' | 'exclude'): Reader<string[]> {
  return (value, field) => {
    if (!Array.isArray(value)) {
      throw invalid(
        field,
        `${field} has to be a list of filter patterns, not ${shown(value)}`,
        'Write ["*.jpg"].',
      );
    }
    // An editor's empty row is no pattern; a row that holds no text is wrong, and the filter says so.
    const patterns = value.filter((pattern) => typeof pattern !== 'string' || pattern.trim() !== '');
    compileFilter({ include: [], exclude: [], [kind]: patterns });
    return patterns as string[];
  };
}

/** Whether `path` names a folder from the root of a file system: POSIX, drive letter or UNC. */
export function isAbsolutePath(path: string): boolean {
  return path.startsWith('/') || /^[A-Za-z]:[\\/]/.test(path) || path.startsWith('\\\\');
}

export const localFolder: Reader<string> = (value, field) => {
  const path = text(value, field);
  if (!isAbsolutePath(path)) {
    throw invalid(
      field,
      `${field} is ${shown(path)}, a relative path`,
      'Write the whole path of the folder, starting with /.',
    );
  }
  return path;
};

/** A prefix in a bucket, given back without leading and trailing slashes. */
export const remoteFolder: Reader<string> = (value, field) => {
  const folder = text(value, field).replace(/^\/+|\/+$/g, '');
  if (folder === '') return '';
  const segments = folder.split('/');
  if (segments.includes(RESERVED_FOLDER)) {
    throw invalid(
      field,
      `${field} names ${RESERVED_FOLDER}, which this package keeps for itself`,
      'Choose another folder.',
    );
  }
  if (segments.some((segment) => segment === '.' || segment === '..')) {
    throw invalid(field, `${field} is ${shown(folder)}: . and .. have no meaning in a bucket`);
  }
  return folder;
};

const bucketName: Reader<string> = (value, field) => {
  const name = trimmedText(value, field);
  if (name.includes('/')) {
    throw invalid(
      field,
      `${field} is ${shown(name)}: a bucket has no slash in its name`,
      'Put the rest into folder.',
    );
  }
  return name;
};

/** Rows in time order, each time once. `bandwidth` in bytes per second. */
const bandwidthRows: Reader<BandwidthLimit[]> = (value, field) => {
  if (!Array.isArray(value)) {
    throw invalid(
      field,
      `${field} has to be a list of rows, not ${shown(value)}`,
      'Write [{"time": "08:00", "bandwidth": 1000000}].',
    );
  }
  const rows = value.map((row: unknown) => {
    const { time, bandwidth } = (row ?? {}) as Partial<BandwidthLimit>;
    return { time: time as string, bandwidth: bandwidth ?? null };
  });
  validateBandwidthTimetable(rows);
  return rows;
};

/** A number of files, a share like `"50%"`, or null for no limit. */
const deleteLimit: Reader<number | string | null> = (value, field) => {
  const number = typeof value === 'string' && /^\s*\d+\s*$/.test(value) ? Number(value) : value;
  if (typeof number === 'number' && Number.isSafeInteger(number) && number >= 0) return number;
  if (typeof number === 'string') {
    const share = SHARE.exec(number.trim());
    if (share !== null && Number(share[1]) <= 100) return `${Number(share[1])}%`;
  }
  throw invalid(
    field,
    `${field} is ${shown(value)}`,
    'Write a number of files, a share like 50%, or nothing for no limit.',
  );
};

const cronText: Reader<string> = (value, field) => {
  const schedule = trimmedText(value, field);
  validateSchedule(schedule);
  return schedule;
};

/** Names a message may use where `allowOverrides` says so. */
export const LISTED_OVERRIDES = [
  'path',
  'bucket',
  'folder',
  'direction',
  'transferMode',
  'followSymlinks',
  'createEmptySrcDirs',
  'metadata',
  'storageClass',
  'chunkSize',
  'backupFolder',
] as const;

/** The same for cloud-restore. */
export const LISTED_RESTORE_OVERRIDES = ['path', 'transferMode'] as const;

function overrideNames(allowed: readonly string[]): Reader<string[]> {
  return (value, field) => {
    if (!Array.isArray(value)) {
      throw invalid(field, `${field} has to be a list of property names, not ${shown(value)}`);
    }
    for (const name of value) {
      if (!allowed.includes(name as string)) {
        throw invalid(
          field,
          `${field} names ${shown(name)}, which a message may never override`,
          `Possible are ${allowed.join(', ')}.`,
        );
      }
    }
    return value as string[];
  };
}

/**
 * One property: how it is read, its value where the node has none, and what `msg.cloudSync` may do: `always`,
 * `listed` (only where allowOverrides names it) or `never`.
 */
export interface Property<T> {
  read: Reader<T>;
  default: T;
  override: 'always' | 'listed' | 'never';
}

function property<T>(read: Reader<T>, value: T, override: Property<T>['override']): Property<T> {
  return { read, default: value, override };
}

/** All properties of cloud-sync but the credential and the secrets, by the contract's names. */
export const TASK_PROPERTIES = {
  name: property(text, '', 'never'),
  direction: property(oneOf('push', 'pull'), 'push', 'listed'),
  transferMode: property(oneOf('sync', 'copy', 'move'), 'copy', 'listed'),
  schedule: property(cronText, '', 'never'),
  enabled: property(yesOrNo, true, 'never'),
  path: property(localFolder, '', 'listed'),
  bucket: property(bucketName, '', 'listed'),
  folder: property(remoteFolder, '', 'listed'),
  include: property<string[]>(filterPatterns('include'), [], 'always'),
  exclude: property<string[]>(filterPatterns('exclude'), [], 'always'),
  followSymlinks: property(yesOrNo, false, 'listed'),
  createEmptySrcDirs: property(yesOrNo, false, 'listed'),
  keepSymlinks: property(yesOrNo, false, 'never'),
  metadata: property(yesOrNo, false, 'listed'),
  checksum: property(yesOrNo, false, 'always'),
  transfers: property<number | null>(numberBetween(1, 256, 'files at once'), null, 'always'),
  bandwidthLimit: property<BandwidthLimit[]>(bandwidthRows, [], 'always'),
  encryption: property(yesOrNo, false, 'never'),
  filenameEncryption: property(yesOrNo, false, 'never'),
  storageClass: property(trimmedText, '', 'listed'),
  serverSideEncryption: property(trimmedText, '', 'never'),
  chunkSize: property<number | null>(numberBetween(5, 5120, 'MiB'), null, 'listed'),
  deleteVersions: property(yesOrNo, false, 'never'),
  snapshot: property(yesOrNo, false, 'never'),
  preScript: property(text, '', 'never'),
  postScript: property(text, '', 'never'),
  scriptSecrets: property(yesOrNo, false, 'never'),
  dryRun: property(yesOrNo, false, 'always'),
  staleAfter: property<number | null>(numberBetween(0.01, 87_600, 'hours', false), null, 'never'),
  backupFolder: property(trimmedText, '', 'listed'),
  backupKeepDays: property<number | null>(numberBetween(1, 36_500, 'days'), null, 'never'),
  lease: property(yesOrNo, true, 'never'),
  maxDelete: property<number | string | null>(deleteLimit, '50%', 'always'),
  whenBusy: property(oneOf('queue', 'skip'), 'queue', 'never'),
  allowOverrides: property<string[]>(overrideNames(LISTED_OVERRIDES), [], 'never'),
} as const;

/** ISO 8601 text to ms since the epoch; without a zone it is the machine's time. */
const moment: Reader<number | undefined> = (value, field) => {
  const time =
    typeof value === 'string' && /^\d{4}-\d\d-\d\d/.test(value.trim()) ? Date.parse(value.trim()) : NaN;
  if (Number.isNaN(time)) {
    throw invalid(
      field,
      `${field} is ${shown(value)}, which is no time`,
      'Write it as in 2025-03-01T12:00:00Z.',
    );
  }
  return time;
};

/** The properties cloud-restore has of its own. */
export const RESTORE_PROPERTIES = {
  name: property(text, '', 'never'),
  path: property(localFolder, '', 'listed'),
  transferMode: property(oneOf('copy', 'sync'), 'copy', 'listed'),
  include: property<string[]>(filterPatterns('include'), [], 'always'),
  exclude: property<string[]>(filterPatterns('exclude'), [], 'always'),
  asOf: property<number | undefined>(moment, undefined, 'always'),
  thaw: property(yesOrNo, false, 'never'),
  thawTier: property(trimmedText, '', 'never'),
  thawDays: property<number | null>(numberBetween(1, 365, 'days'), null, 'never'),
  dryRun: property(yesOrNo, false, 'always'),
  allowOverrides: property<string[]>(overrideNames(LISTED_RESTORE_OVERRIDES), [], 'never'),
} as const;

/** The properties cloud-verify has of its own. */
export const VERIFY_PROPERTIES = {
  name: property(text, '', 'never'),
  method: property(oneOf('metadata', 'checksum', 'download', 'sample'), 'metadata', 'never'),
  sample: property<number>(numberBetween(1, 100, 'percent', false), 10, 'never'),
} as const;

export type Properties = Readonly<Record<string, Property<unknown>>>;
export type Values<P> = { [K in keyof P]: P[K] extends Property<infer T> ? T : never };

/** What an empty saved value means where that isn't the default: no limit at all. */
const EMPTY_VALUES: Readonly<Record<string, unknown>> = { maxDelete: null };

/**
 * All properties read from a saved node. Booleans and numbers saved as text (by hand, by older editors) are understood.
 * @throws INVALID_INPUT naming the first property that can't be used.
 */
export function readProperties<P extends Properties>(
  properties: P,
  config: Readonly<Record<string, unknown>>,
): Values<P> {
  const values: Record<string, unknown> = {};
  for (const [name, { read, default: fallback }] of Object.entries(properties)) {
    const saved = config[name];
    if (isEmpty(saved)) {
      const noLimit = saved !== undefined && name in EMPTY_VALUES;
      values[name] = noLimit ? EMPTY_VALUES[name] : fallback;
    } else if (typeof fallback === 'boolean' && (saved === 'true' || saved === 'false')) {
      values[name] = saved === 'true';
    } else {
      values[name] = read(saved, name);
    }
  }
  return values as Values<P>;
}

/** What is wrong with one saved property, in words; undefined where it is fine. For the editor's validation. */
export function problemOf(properties: Properties, name: string, value: unknown): string | undefined {
  try {
    readProperties({ [name]: properties[name]! }, { [name]: value });
    return undefined;
  } catch (error) {
    if (!(error instanceof CloudSyncError)) throw error;
    return error.advice === undefined ? error.message : `${error.message}. ${error.advice}`;
  }
}
