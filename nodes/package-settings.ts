/** `cloudSync` in Node-RED's settings.js: what this Node-RED allows, whoever edits its flows. */

import { shortened, shown } from '../src/errors.js';
import { isAbsolutePath } from './properties.js';
import type { PackageSettings } from './task-settings.js';

/** What was read, and what could not be, one sentence each. */
export interface ReadSettings {
  settings: PackageSettings;
  problems: string[];
}

const PLACE = 'in settings.js';

function isFolderList(value: unknown): value is string[] {
  return (
    Array.isArray(value) && value.every((folder) => typeof folder === 'string' && isAbsolutePath(folder))
  );
}

function isNumberFrom(least: number, value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= least;
}

/** How each is read: a value that can't be used counts as the one that allows least, where it allows anything. */
const READERS: {
  [Name in keyof Required<PackageSettings>]: {
    isUsable: (value: unknown) => boolean;
    wanted: string;
    instead: PackageSettings[Name];
  };
} = {
  allowedPaths: {
    isUsable: isFolderList,
    wanted: "a list of whole paths, as in ['/srv', '/home/photos']; no folder is allowed now",
    instead: [],
  },
  runMemoryMb: {
    isUsable: (value) => isNumberFrom(128, value),
    wanted: 'a number of MB from 128; it is 1024 now',
    instead: undefined,
  },
  historyDays: {
    isUsable: (value) => isNumberFrom(1, value),
    wanted: 'a number of days from 1; it is 90 now',
    instead: undefined,
  },
  allowScripts: {
    isUsable: (value) => typeof value === 'boolean',
    wanted: 'true or false; scripts are not allowed now',
    instead: false,
  },
};

/** Reads `cloudSync` of settings.js, which is written by hand. Never throws: a task must not start with less confinement. */
export function readPackageSettings(written: unknown): ReadSettings {
  if (written === undefined || written === null) return { settings: {}, problems: [] };
  if (typeof written !== 'object' || Array.isArray(written)) {
    const problem = `cloudSync ${PLACE} is ${shown(written)}: it has to be an object. No folder and no script is allowed now`;
    return { settings: { allowedPaths: [], allowScripts: false }, problems: [problem] };
  }
  const settings: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [name, value] of Object.entries(written)) {
    const reader = Object.hasOwn(READERS, name) ? READERS[name as keyof PackageSettings] : undefined;
    if (reader === undefined) {
      const known = Object.keys(READERS).join(', ');
      problems.push(`cloudSync.${shortened(name)} ${PLACE} means nothing: there are ${known}`);
    } else if (value === undefined) {
    } else if (reader.isUsable(value)) {
      settings[name] = value;
    } else {
      settings[name] = reader.instead;
      problems.push(`cloudSync.${name} ${PLACE} is ${shown(value)}: it has to be ${reader.wanted}`);
    }
  }
  return { settings, problems };
}
