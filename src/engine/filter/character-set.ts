/**
 * Sets of code points for the regular expressions of filter patterns, as flat lists of inclusive ranges
 * (`[low, high, low, high, ...]`), in order and not touching once normalised.
 */

export type CharacterSet = readonly number[];

export const LAST_CODE_POINT = 0x10ffff;
export const EVERYTHING: CharacterSet = [0, LAST_CODE_POINT];
export const NEWLINE: CharacterSet = [0x0a, 0x0a];
export const DIGIT: CharacterSet = [0x30, 0x39];
export const WORD: CharacterSet = [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a];
/** `\s` knows no vertical tab, unlike `[[:space:]]`. */
export const SPACE: CharacterSet = [0x09, 0x0a, 0x0c, 0x0d, 0x20, 0x20];

/** The names inside `[[:name:]]`; all of them ASCII (https://github.com/google/re2/wiki/Syntax). */
export const POSIX_CLASSES: Readonly<Record<string, CharacterSet>> = {
  alnum: [0x30, 0x39, 0x41, 0x5a, 0x61, 0x7a],
  alpha: [0x41, 0x5a, 0x61, 0x7a],
  ascii: [0x00, 0x7f],
  blank: [0x09, 0x09, 0x20, 0x20],
  cntrl: [0x00, 0x1f, 0x7f, 0x7f],
  digit: DIGIT,
  graph: [0x21, 0x7e],
  lower: [0x61, 0x7a],
  print: [0x20, 0x7e],
  punct: [0x21, 0x2f, 0x3a, 0x40, 0x5b, 0x60, 0x7b, 0x7e],
  space: [0x09, 0x0d, 0x20, 0x20],
  upper: [0x41, 0x5a],
  word: WORD,
  xdigit: [0x30, 0x39, 0x41, 0x46, 0x61, 0x66],
};

/** Sorted, with ranges that overlap or touch made one. */
export function normalise(ranges: readonly number[]): CharacterSet {
  const pairs: [number, number][] = [];
  for (let index = 0; index < ranges.length; index += 2) pairs.push([ranges[index]!, ranges[index + 1]!]);
  pairs.sort((first, second) => first[0] - second[0]);
  const result: number[] = [];
  for (const [low, high] of pairs) {
    const last = result.length - 1;
    if (last > 0 && low <= result[last]! + 1) result[last] = Math.max(result[last]!, high);
    else result.push(low, high);
  }
  return result;
}

const negated = new WeakMap<CharacterSet, CharacterSet>();

/** Everything that isn't in `set`, which has to be normalised. Asked about again and again for the same sets. */
export function negate(set: CharacterSet): CharacterSet {
  const known = negated.get(set);
  if (known !== undefined) return known;
  const result = computeNegated(set);
  negated.set(set, result);
  return result;
}

function computeNegated(set: CharacterSet): CharacterSet {
  const result: number[] = [];
  let next = 0;
  for (let index = 0; index < set.length; index += 2) {
    if (set[index]! > next) result.push(next, set[index]! - 1);
    next = set[index + 1]! + 1;
  }
  if (next <= LAST_CODE_POINT) result.push(next, LAST_CODE_POINT);
  return result;
}

/** Whether `codePoint` is in `set`, which has to be normalised. */
export function contains(set: CharacterSet, codePoint: number): boolean {
  let low = 0;
  let high = set.length / 2 - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (codePoint < set[middle * 2]!) high = middle - 1;
    else if (codePoint > set[middle * 2 + 1]!) low = middle + 1;
    else return true;
  }
  return false;
}

/** Last code point with an upper or a lower case form (Adlam). */
const LAST_CASED = 0x1e943;
/** Not equal to any other letter by Unicode's simple case folding, in spite of their upper and lower case forms. */
const NEVER_FOLDED = new Set([0x130, 0x131]);
let caseGroups: readonly (readonly number[])[] | undefined;

/** All letters that have other forms by Unicode's simple case folding, grouped: `k`, `K` and the Kelvin sign are one. */
function allCaseGroups(): readonly (readonly number[])[] {
  if (caseGroups !== undefined) return caseGroups;
  const groups = new Map<string, number[]>();
  for (let codePoint = 0x41; codePoint <= LAST_CASED; codePoint++) {
    if ((codePoint >= 0xd800 && codePoint <= 0xdfff) || NEVER_FOLDED.has(codePoint)) continue;
    const character = String.fromCodePoint(codePoint);
    const upper = character.toUpperCase();
    const upperIsOne = upper.length === (upper.codePointAt(0)! > 0xffff ? 2 : 1);
    const folded = (upperIsOne ? upper : character).toLowerCase();
    const group = groups.get(folded);
    if (group === undefined) groups.set(folded, [codePoint]);
    else group.push(codePoint);
  }
  caseGroups = [...groups.values()].filter((group) => group.length > 1);
  return caseGroups;
}

const folded = new WeakMap<CharacterSet, CharacterSet>();

/** `set` with the other case of each of its letters. Asked about again and again for the same sets. */
export function foldCase(set: CharacterSet): CharacterSet {
  const known = folded.get(set);
  if (known !== undefined) return known;
  const result = set.length === 2 && set[0] === set[1] ? caseFormsOf(set[0]!) : computeFolded(set);
  folded.set(set, result);
  return result;
}

let caseForms: ReadonlyMap<number, CharacterSet> | undefined;

/** All forms of one letter. */
function caseFormsOf(codePoint: number): CharacterSet {
  caseForms ??= new Map(
    allCaseGroups().flatMap((group) => {
      const forms = normalise(group.flatMap((form) => [form, form]));
      return group.map((form) => [form, forms] as const);
    }),
  );
  return caseForms.get(codePoint) ?? [codePoint, codePoint];
}

function computeFolded(set: CharacterSet): CharacterSet {
  const added: number[] = [];
  for (const group of allCaseGroups()) {
    if (group.some((codePoint) => contains(set, codePoint))) {
      for (const codePoint of group) added.push(codePoint, codePoint);
    }
  }
  return added.length === 0 ? set : normalise([...set, ...added]);
}

const GENERAL_CATEGORY = /^(?:C[cfos]?|L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?)$/;
const unicodeClasses = new Map<string, CharacterSet>();

/**
 * The code points of a general category (`L`, `Nd`) or script (`Greek`), or `Any`; undefined for an unknown name.
 * Which new characters belong to one depends on the Unicode version of this Node.js.
 */
export function unicodeClass(name: string): CharacterSet | undefined {
  if (name === 'Any') return EVERYTHING;
  const known = unicodeClasses.get(name);
  if (known !== undefined) return known;
  const computed = computeUnicodeClass(name);
  if (computed !== undefined) unicodeClasses.set(name, computed);
  return computed;
}

function computeUnicodeClass(name: string): CharacterSet | undefined {
  let expression: RegExp;
  if (GENERAL_CATEGORY.test(name)) {
    // RE2's C leaves out what isn't assigned, JavaScript's doesn't.
    expression = name === 'C' ? /[\p{Cc}\p{Cf}\p{Cs}\p{Co}]/u : new RegExp(`\\p{${name}}`, 'u');
  } else {
    if (!/^[A-Z]\w*$/.test(name)) return undefined;
    try {
      expression = new RegExp(`\\p{Script=${name}}`, 'u');
    } catch {
      return undefined;
    }
  }
  const result: number[] = [];
  for (const { text, codePointAt } of allCharacters()) {
    for (const { index, 0: run } of text.matchAll(new RegExp(`${expression.source}+`, 'gu'))) {
      const first = codePointAt(index);
      const last = codePointAt(index + run.length - 1);
      result.push(first, last);
    }
  }
  if (expression.test('\ud800')) result.push(0xd800, 0xdfff);
  return normalise(result);
}

interface Characters {
  text: string;
  /** Of the character that the code unit at `index` belongs to. */
  codePointAt: (index: number) => number;
}

let everyCharacter: readonly Characters[] | undefined;

/**
 * Every code point but the surrogates, in texts in which a class is found in one go: asking one by one takes 20 ms for a
 * class (measured), and a pattern may name hundreds.
 */
function allCharacters(): readonly Characters[] {
  everyCharacter ??= [
    charactersBetween(0, 0xd7ff),
    charactersBetween(0xe000, 0xffff),
    charactersBetween(0x10000, LAST_CODE_POINT),
  ];
  return everyCharacter;
}

function charactersBetween(first: number, last: number): Characters {
  const units = first > 0xffff ? 2 : 1;
  let text = '';
  for (let codePoint = first; codePoint <= last; codePoint++) text += String.fromCodePoint(codePoint);
  return { text, codePointAt: (index) => first + Math.floor(index / units) };
}
