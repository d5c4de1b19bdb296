/**
 * Typed inputs: properties whose value a flow gives at the moment of the run. As everywhere in Node-RED the property holds
 * the text, and a second one beside it, `pathType` for `path`, says what the text is; without it the text is the value.
 * The node's author decides that, so it needs no `allowOverrides`. Runs in the editor too.
 */

import { parseBandwidthTimetable } from '../src/engine/bandwidth-timetable.js';
import { CloudSyncError, shortened } from '../src/errors.js';
import { invalid, isEmpty, shown } from './properties.js';

/** Kinds of values, by Node-RED's names. `str`: the property itself. */
export const INPUT_TYPES = ['str', 'msg', 'flow', 'global', 'env', 'jsonata'] as const;
export type InputType = (typeof INPUT_TYPES)[number];

/** Of what an expression throws, characters. */
const LONGEST_REASON = 200;

/** Properties of cloud-sync and cloud-restore that may be typed. */
export const TYPED_TASK_PROPERTIES = [
  'path',
  'bucket',
  'folder',
  'include',
  'exclude',
  'bandwidthLimit',
] as const;
export const TYPED_RESTORE_PROPERTIES = ['path', 'include', 'exclude', 'asOf'] as const;

type Saved = Readonly<Record<string, unknown>>;

/** The property that holds the type of `name`. */
export function typePropertyOf(name: string): string {
  return `${name}Type`;
}

/** @throws INVALID_INPUT where it is no type */
export function inputTypeOf(saved: Saved, name: string): InputType {
  const field = typePropertyOf(name);
  const type = saved[field];
  if (isEmpty(type)) return 'str';
  const found = INPUT_TYPES.find((one) => one === type);
  if (found !== undefined) return found;
  throw invalid(field, `${field} is ${shown(type)}`, `Use one of ${INPUT_TYPES.join(', ')}.`);
}

/** Whether any of `names` gets its value from a flow. */
export function hasTypedInput(saved: Saved, names: readonly string[]): boolean {
  return names.some((name) => inputTypeOf(saved, name) !== 'str');
}

/**
 * `saved` of a task for who looks at its bucket alone: a local folder that comes from a flow isn't asked for.
 * @param standIn a folder that may stand there
 */
export function withoutTypedFolder<T extends Saved>(saved: T, standIn: string): T {
  return inputTypeOf(saved, 'path') === 'str' ? saved : { ...saved, path: standIn, pathType: 'str' };
}

/** There is no value now, but another message may bring one. */
export class NoValueError extends CloudSyncError {
  constructor(field: string, message: string) {
    super('INVALID_INPUT', message, {
      field,
      advice: 'Set it before the run starts; a schedule and the sidebar send a message without it.',
    });
  }
}

/** How an error calls the place a value comes from. */
function sourceOf(type: InputType, text: string): string {
  switch (type) {
    case 'env':
      return `the environment variable ${shortened(text)}`;
    case 'jsonata':
      return `the expression ${shown(text)}`;
    default:
      return `${type}.${shortened(text)}`;
  }
}

/** A list as it is, or a text with one pattern per line. */
function patternsOf(value: unknown): unknown {
  return typeof value === 'string' ? value.split(/\r?\n/).filter((line) => line.trim() !== '') : value;
}

/** Functions of a flow run in a context of their own, whose dates are no `instanceof Date`. */
function isDate(value: unknown): value is Date {
  return Object.prototype.toString.call(value) === '[object Date]';
}

function isoTimeOf(value: unknown): unknown {
  const time = isDate(value) ? value.getTime() : value;
  return typeof time === 'number' && Math.abs(time) <= 8.64e15 ? new Date(time).toISOString() : value;
}

/** What a flow may give for a property, in the form the property has. */
const FORMS: Readonly<Record<string, (value: unknown) => unknown>> = {
  include: patternsOf,
  exclude: patternsOf,
  bandwidthLimit: (value) => (typeof value === 'string' ? parseBandwidthTimetable(value) : value),
  asOf: isoTimeOf,
};

function hasNoPattern(value: unknown): boolean {
  return Array.isArray(value) && value.every(isEmpty);
}

/** Nothing is not 'everything': a missing folder is not the whole bucket, and a missing list not every file. */
function isMissing(name: string, value: unknown): boolean {
  return isEmpty(value) || (name === 'include' && hasNoPattern(value));
}

/** Where the value comes from, as it was typed. */
function textOf(saved: unknown): string {
  return typeof saved === 'string' ? saved.trim() : '';
}

/** The value of a typed input, as Node-RED's `evaluateNodeProperty` finds it. */
export type Evaluate = (text: string, type: InputType) => Promise<unknown>;

async function flowValue(name: string, type: InputType, text: string, evaluate: Evaluate): Promise<unknown> {
  if (text === '')
    throw invalid(name, `${name} comes from a flow, but it isn't said from where`, 'Fill it in.');
  const source = sourceOf(type, text);
  let value: unknown;
  try {
    value = await evaluate(text, type);
  } catch (error) {
    const reason = error instanceof Error ? shortened(error.message, LONGEST_REASON) : shown(error);
    throw new NoValueError(name, `${name} comes from ${source}, which can't be evaluated: ${reason}`);
  }
  if (isMissing(name, value)) throw new NoValueError(name, `${name} comes from ${source}, which is empty`);
  const form = FORMS[name];
  return form === undefined ? value : form(value);
}

/**
 * `saved` with the values of its typed inputs in their place. What the message overrides is left empty: its value is not
 * needed.
 * @param names those that may be typed
 * @throws NoValueError where there is no value, INVALID_INPUT where it can't be read; both name the field
 */
export async function evaluateTypedInputs<T extends Saved>(
  saved: T,
  names: readonly string[],
  overrides: unknown,
  evaluate: Evaluate,
): Promise<T> {
  const values: Record<string, unknown> = {};
  const overridden = (typeof overrides === 'object' && overrides !== null ? overrides : {}) as Saved;
  for (const name of names) {
    const type = inputTypeOf(saved, name);
    if (type === 'str') continue;
    values[name] =
      Object.hasOwn(overridden, name) && overridden[name] !== undefined
        ? undefined
        : await flowValue(name, type, textOf(saved[name]), evaluate);
  }
  return { ...saved, ...values };
}
