/** Random patterns, from sensible to hostile; the same seed gives the same ones. */

import type { FilterCase } from './filter-tree.js';

export type Random = () => number;

/** Numbers from 0 to below 1 (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

export function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[Math.floor(random() * items.length)]!;
}

function repeated(random: Random, most: number, piece: () => string): string {
  let text = '';
  for (let count = 1 + Math.floor(random() * most); count > 0; count--) text += piece();
  return text;
}

const NAMES = [
  'a',
  'b',
  'foo',
  'dir',
  'sub',
  'x',
  'y',
  'z',
  '.jpg',
  '.txt',
  'Photos',
  '2023',
  'é',
  '日',
  '😀',
  '.',
  '-',
  ' ',
];
const CLASSES = [
  '[ab]',
  '[^a]',
  '[!a]',
  '[a-f]',
  '[0-9]',
  '[[:alpha:]]',
  '[^/]',
  '[a-]',
  '[é-ü]',
  '[]a]',
  '[\\d]',
  '[\\w-]',
];
const EXPRESSIONS = [
  '.',
  '.*',
  '\\d',
  '\\w+',
  '[a-c]',
  '(?i)',
  '(?i:FOO)',
  'jpe?g',
  '(a|b)',
  '^',
  '$',
  '/',
  '\\.',
  '\\pL',
  '\\p{Lu}',
  '\\p{Greek}',
  '\\b',
  '\\B',
  '\\Qa.b\\E',
  'a{1,3}',
  '\\x61',
  '[^/]+',
  '(?:dir|x)/',
  '+?',
  '*',
  '|',
  '(?P<n>a)',
  '(',
  ')',
  '(?=a)',
  '\\1',
  '\\z',
  '}',
];
const SYNTAX = [
  ...'*?[]{},/\\^$.+()|!-:',
  '**',
  '***',
  '{{',
  '}}',
  '(?',
  '[:',
  ':]',
  '\\d',
  '\\Q',
  '\\E',
  '\\p',
  '\\x',
];

function globPiece(random: Random): string {
  const choice = random();
  if (choice < 0.45) return pick(random, NAMES);
  if (choice < 0.6) return '*';
  if (choice < 0.66) return '**';
  if (choice < 0.7) return '?';
  if (choice < 0.78) return pick(random, CLASSES);
  if (choice < 0.9) return '/';
  if (choice < 0.96)
    return `{${repeated(random, 3, () => `${pick(random, [...NAMES, '*', ''])},`).slice(0, -1)}}`;
  if (choice < 0.98) return `\\${pick(random, ['*', '?', '[', '{', 'a', 'd', '\\'])}`;
  return `{{${randomExpression(random)}}}`;
}

function randomExpression(random: Random): string {
  return repeated(random, 4, () => (random() < 0.7 ? pick(random, EXPRESSIONS) : pick(random, NAMES)));
}

/** One pattern: mostly a proper glob, sometimes a regular expression, sometimes rubbish. */
export function randomPattern(random: Random): string {
  const choice = random();
  if (choice < 0.15)
    return `${pick(random, ['', '/', '*', 'dir/'])}{{${randomExpression(random)}}}${pick(random, ['', '', '/**', '*'])}`;
  if (choice < 0.25) return repeated(random, 8, () => pick(random, random() < 0.6 ? SYNTAX : NAMES));
  return `${random() < 0.35 ? '/' : ''}${repeated(random, 5, () => globPiece(random))}${random() < 0.2 ? '/' : ''}`;
}

const asGlob = (name: string) => name.replace(/[\\*?[\]{}]/g, '\\$&');
const asExpression = (name: string) => name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** `name`, or something that may stand for it. */
function globAbout(random: Random, name: string, others: readonly string[]): string {
  const characters = [...name];
  const at = Math.floor(random() * characters.length);
  const [before, after] = [characters.slice(0, at).join(''), characters.slice(at + 1).join('')].map(asGlob);
  const choice = random();
  if (choice < 0.35) return asGlob(name);
  if (choice < 0.5) return pick(random, ['*', '**', '?*', '***']);
  if (choice < 0.6) return `${before}${pick(random, ['*', '**', '?', '*.*', ''])}`;
  if (choice < 0.7) return `${pick(random, ['*', '**', '?', ''])}${after}`;
  if (choice < 0.78) return `${before}${pick(random, ['?', ...CLASSES])}${after}`;
  if (choice < 0.86)
    return `{${asGlob(name)},${asGlob(pick(random, others))}${pick(random, ['', ',*', ',?', ','])}}`;
  const flag = pick(random, ['', '', '(?i)', '.*', '^']);
  return `{{${flag}${asExpression(name)}${pick(random, ['', '', '.*', '$', '|b.*', '+', '{1,2}'])}}}`;
}

/** A pattern that takes, or nearly takes, some of `paths`. */
export function patternAbout(random: Random, paths: readonly string[]): string {
  const names = pick(random, paths).split('/');
  const others = paths.map((path) => path.slice(path.lastIndexOf('/') + 1));
  const from = random() < 0.3 ? Math.floor(random() * names.length) : 0;
  const to = random() < 0.3 ? from + 1 + Math.floor(random() * (names.length - from)) : names.length;
  const glob = names
    .slice(from, to)
    .map((name) => globAbout(random, name, others))
    .join('/');
  const end = to < names.length || random() < 0.1 ? pick(random, ['/', '/**', '/*', '/***', '']) : '';
  // An empty pattern is refused here, and takes nothing for rclone.
  return `${random() < 0.35 ? '/' : ''}${glob}${end}` || '*';
}

/** Up to three excludes and up to three includes about `paths`, at least one of them. */
export function filterAbout(random: Random, paths: readonly string[]): FilterCase {
  const patterns = (least: number): string[] =>
    Array.from({ length: least + Math.floor(random() * 3) }, () => patternAbout(random, paths));
  const exclude = patterns(0);
  return { exclude, include: patterns(exclude.length === 0 ? 1 : 0) };
}

function randomPatterns(random: Random, most: number): string[] {
  return Array.from({ length: Math.floor(random() * (most + 1)) }, () => randomPattern(random));
}

/** Up to three excludes and up to three includes, at least one of them. */
export function randomFilter(random: Random): FilterCase {
  for (;;) {
    const filter = { exclude: randomPatterns(random, 3), include: randomPatterns(random, 3) };
    if (filter.exclude.length + filter.include.length > 0) return filter;
  }
}
