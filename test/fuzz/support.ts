/**
 * What the fuzz tests have in common: anything at all goes in, and either it is taken or one of our errors says clearly
 * what is wrong. `FUZZ_RUNS=10000` tries as many inputs of each kind, `FUZZ_SEED` repeats or varies them.
 */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { CloudSyncError, ERROR_CODES } from '../../src/errors.js';

export const SEED = Number(process.env.FUZZ_SEED ?? 1);

/** How many inputs are tried: `few` in a usual test run. */
export function runs(few: number): number {
  return Number(process.env.FUZZ_RUNS ?? few);
}

/**
 * CPU time of one input at most, ms. The second that is promised is measured where many are tried on purpose: in a usual
 * test run it would measure the machine.
 */
const LONGEST_MS = process.env.FUZZ_RUNS === undefined ? 10_000 : 1000;

/** Fails unless `error` is one of ours that somebody can do something with. */
export function assertClear(error: unknown): asserts error is CloudSyncError {
  if (!(error instanceof CloudSyncError)) throw error;
  assert.ok(error.code in ERROR_CODES, error.code);
  assert.notEqual(error.code, 'INTERNAL', error.message);
  assert.ok(error.message.length > 3 && error.message.length < 10_000, 'the message says something');
  assert.doesNotMatch(
    error.message,
    /is not (?:a function|iterable|defined)|Cannot (?:read|convert)|\[object /,
  );
}

function assertQuick(before: NodeJS.CpuUsage): void {
  const { user, system } = process.cpuUsage(before);
  const ms = (user + system) / 1000;
  assert.ok(ms < LONGEST_MS, `it took ${Math.round(ms)} ms`);
}

/** What `use` gives, or undefined where it refuses its input clearly. */
export function takenOrRefused<T>(use: () => T): T | undefined {
  const before = process.cpuUsage();
  try {
    return use();
  } catch (error) {
    assertClear(error);
    return undefined;
  } finally {
    assertQuick(before);
  }
}

/** The same for what takes its time. */
export async function takenOrRefusedLater<T>(use: () => Promise<T>): Promise<T | undefined> {
  const before = process.cpuUsage();
  try {
    return await use();
  } catch (error) {
    assertClear(error);
    return undefined;
  } finally {
    assertQuick(before);
  }
}

/** Tries `few` (or `FUZZ_RUNS`) inputs. */
export function fuzz<T>(few: number, input: fc.Arbitrary<T>, check: (value: T) => void): void {
  fc.assert(fc.property(input, check), { seed: SEED, numRuns: runs(few) });
}

/** The same for what takes its time. */
export async function fuzzLater<T>(
  few: number,
  input: fc.Arbitrary<T>,
  check: (value: T) => Promise<void>,
): Promise<void> {
  await fc.assert(fc.asyncProperty(input, check), { seed: SEED, numRuns: runs(few) });
}

/** Names and words that have a meaning of their own somewhere. */
const SPECIAL_TEXTS = [
  '',
  ' ',
  '\0',
  '\n',
  '.',
  '..',
  '../../etc/passwd',
  '/',
  '//',
  'C:\\',
  '\\\\server\\share',
  '__proto__',
  'constructor',
  'toString',
  '-1',
  '0',
  '1e999',
  'NaN',
  'true',
  'null',
  '50%',
  '100.5%',
  '101%',
  '__PWRD__',
  '\u{1f600}',
  '\ud800',
  '\ufeff',
  '\u202e',
  '*'.repeat(1000),
  'x'.repeat(20_000),
  ['$', '{HOME}'].join(''),
  '.node-red-cloud-sync',
] as const;

export const anyText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...SPECIAL_TEXTS),
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.string({ unit: 'binary', maxLength: 30 }),
);

/** What JSON can hold: flow files, bodies of requests. */
export const anyJson: fc.Arbitrary<unknown> = fc.oneof(
  anyText,
  fc.constantFrom<unknown>(null, true, false, 0, 1, -1, 0.5, 1e300, Number.MAX_SAFE_INTEGER + 2, [], {}),
  fc.array(anyText, { maxLength: 5 }),
  fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<unknown>,
);

/** A value that refuses to be looked at. */
function withTraps(): unknown {
  return Object.defineProperties(
    {},
    {
      toString: { value: undefined },
      toJSON: {
        value: () => {
          throw new TypeError('not to be shown');
        },
      },
    },
  );
}

function circle(): unknown {
  const one: unknown[] = [];
  one.push(one);
  return one;
}

/** What a function node can put into a message, odd things among them. */
export const anyValue: fc.Arbitrary<unknown> = fc.oneof(
  anyJson,
  fc.constantFrom<unknown>(undefined, Number.NaN, Number.POSITIVE_INFINITY, 10n ** 40n, Symbol('odd')),
  fc
    .constantFrom(
      circle,
      withTraps,
      () => Object.create(null),
      () => () => 1,
      () => new Date(Number.NaN),
      () => Buffer.alloc(3),
    )
    .map((make) => make()),
  fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withNullPrototype: true,
    withObjectString: true,
    withSet: true,
    withSparseArray: true,
    withTypedArray: true,
    maxDepth: 2,
  }),
);

/**
 * An object with some of the properties in `right`, most of them with a value that fits, and one or two with any value at
 * all, under a name of `right`, of `others` or none that is known.
 */
export function objectWith(
  right: Readonly<Record<string, fc.Arbitrary<unknown>>>,
  value: fc.Arbitrary<unknown>,
  others: readonly string[] = [],
): fc.Arbitrary<Record<string, unknown>> {
  const name = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...Object.keys(right), ...others) },
    { weight: 1, arbitrary: anyText },
  );
  const wrong = fc.array(fc.tuple(name, value), { maxLength: 2 });
  return fc
    .tuple(fc.record(right, { requiredKeys: [] }), wrong)
    .map(([fitting, odd]) => ({ ...fitting, ...Object.fromEntries(odd) }));
}
