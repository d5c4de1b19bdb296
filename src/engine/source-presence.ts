/** Whether the source has certain keys, asked directly: what a listing didn't show is missing only if this says so too. */

import type { StoredObject } from '../stores/store.js';
import { compareUtf8 } from '../stores/utf8-order.js';
import type { RunContext } from './run-context.js';

/** So many keys are looked for one by one; more of them in one listing of all between the first and the last. */
const ONE_BY_ONE = 16;
/** Questions at once. */
const ASKED_AT_ONCE = 32;

/**
 * What the source has under these keys; of a restore of an earlier moment, what it had then, which takes another listing
 * from the first key to the last, since no provider answers that for one key.
 */
export async function presentAtSource(
  run: RunContext,
  keys: readonly string[],
): Promise<Map<string, StoredObject>> {
  const { asOf } = run.settings;
  return asOf === undefined ? presentNow(run, keys) : presentThen(run, keys, asOf);
}

async function presentNow(run: RunContext, keys: readonly string[]): Promise<Map<string, StoredObject>> {
  const present = new Map<string, StoredObject>();
  for (let at = 0; at < keys.length; at += ASKED_AT_ONCE) {
    const some = keys.slice(at, at + ASKED_AT_ONCE);
    const found = await Promise.all(some.map((key) => run.source.store.head(key, { signal: run.signal })));
    for (const [index, object] of found.entries())
      if (object !== undefined) present.set(some[index]!, object);
  }
  return present;
}

async function presentThen(
  run: RunContext,
  keys: readonly string[],
  asOf: number,
): Promise<Map<string, StoredObject>> {
  const present = new Map<string, StoredObject>();
  if (keys.length === 0) return present;
  const { store, prefix } = run.source;
  const { order, caseSensitive, normalizationSensitive } = store.features;
  const fold = (key: string) => {
    const cased = caseSensitive ? key : key.toLowerCase();
    return normalizationSensitive ? cased : cased.normalize('NFC');
  };
  const wanted = new Map(keys.map((key) => [fold(key), key]));
  const sorted = [...keys].sort(compareUtf8);
  const isOrdered = order === 'utf8';
  if (isOrdered && sorted.length <= ONE_BY_ONE) {
    for (const key of sorted) {
      // The key itself comes before all that begin with it.
      for await (const [first] of store.list({ prefix: key, asOf, signal: run.signal })) {
        if (first?.key === key) present.set(key, first);
        break;
      }
    }
    return present;
  }
  const options = {
    prefix,
    asOf,
    signal: run.signal,
    ...(isOrdered ? { startAfter: justBefore(sorted[0]!) } : {}),
  };
  for await (const page of store.list(options)) {
    for (const object of page) {
      const key = wanted.get(fold(object.key));
      if (key !== undefined) present.set(key, object);
    }
    const last = page.at(-1)?.key;
    if (isOrdered && last !== undefined && compareUtf8(last, sorted.at(-1)!) >= 0) break;
  }
  return present;
}

/** A text that comes before `key`, and not much before it. */
function justBefore(key: string): string {
  return [...key].slice(0, -1).join('');
}
