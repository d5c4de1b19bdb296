import assert from 'node:assert/strict';
import fc from 'fast-check';
import { compileFilter } from '../../src/engine/filter.js';
import { anyText, anyValue, fuzz, runs, SEED, takenOrRefused } from './support.js';

/** Pieces that patterns and regular expressions are made of. */
const PIECES = [
  ...[
    '*',
    '**',
    '?',
    '/',
    '[',
    ']',
    '[!',
    '[^a-z]',
    '{',
    '}',
    ',',
    '{{',
    '}}',
    '\\',
    '(',
    ')',
    '|',
    '^',
    '$',
  ],
  ...[
    '.',
    '.*',
    '+',
    '*?',
    '(?i)',
    '(?:',
    '(?P<n>',
    '(?=',
    '(?<!',
    '{2}',
    '{1000}',
    '{0,}',
    '{3,1}',
    '\\d',
    '\\pL',
  ],
  ...[
    '\\p{Greek}',
    '\\P{^Han}',
    '[[:alpha:]]',
    '[[:^',
    '\\b',
    '\\A',
    '\\z',
    '\\Q',
    '\\E',
    '\\x{10ffff}',
    '\\777',
  ],
  ...['\\1', 'a', 'jpg', '.zfs', ' ', '\u{1f600}', '\ud800', '\0', '#', '-', '+', 'a-z'],
];
const pattern = fc.oneof(
  fc.array(fc.constantFrom(...PIECES), { maxLength: 12 }).map((pieces) => pieces.join('')),
  fc.array(fc.constantFrom(...PIECES), { maxLength: 12 }).map((pieces) => `{{${pieces.join('')}}}`),
  anyText,
);
const path = fc.oneof(
  fc
    .array(fc.constantFrom('a', 'jpg', '/', '.', 'b', ' ', '\n', '\u{1f600}', '\ud800'), { maxLength: 40 })
    .map((all) => all.join('')),
  fc.constantFrom('a'.repeat(4000), `${'a/'.repeat(2000)}b`, `${'a'.repeat(3000)}!`),
  anyText,
);

/** Compiles the patterns and asks about the paths. */
function use(include: unknown[], exclude: unknown[], paths: string[]): void {
  const filter = compileFilter({ include: include as string[], exclude: exclude as string[] });
  for (const one of paths) {
    assert.equal(typeof filter.includesFile(one), 'boolean');
    assert.equal(filter.decideFile(one).included, filter.includesFile(one));
    assert.equal(typeof filter.entersFolder(one), 'boolean');
  }
}

describe('Fuzzed filter patterns', function () {
  this.timeout(600_000);

  it(`of all kinds (${runs(800)}, seed ${SEED})`, () => {
    const patterns = fc.array(fc.oneof({ weight: 5, arbitrary: pattern }, anyValue), { maxLength: 4 });
    fuzz(800, fc.tuple(patterns, patterns, fc.array(path, { maxLength: 4 })), ([include, exclude, paths]) => {
      takenOrRefused(() => use(include, exclude, paths));
    });
  });

  // What makes backtracking matchers, or careless automata, take for ever.
  const long = 'a'.repeat(3000);
  for (const [name, patterns] of Object.entries({
    'nested repeats': ['{{(a+)+b}}', '{{(a*)*b}}', '{{(a|aa)+b}}', '{{(a|a)*b}}', '{{(.*)*x}}'],
    'optional letters': [`{{${'a?'.repeat(500)}${'a'.repeat(500)}b}}`],
    'counted repeats': ['{{(a{1,30}){1,30}b}}', '{{(?:.{0,100}a){9}b}}', '{{.*a.{900}b}}'],
    'many states': ['{{.*a.{18}}}', '{{.*(a|b).{14}(a|b)}}'],
    'many large rules': Array.from({ length: 40 }, (_, index) => `{{(.{0,30}a){0,30}${index}}}`),
    'many stars': [`${'*a'.repeat(300)}b`, `${'**/'.repeat(300)}b`],
    'deep parentheses': [`{{${'('.repeat(900)}a${')'.repeat(900)}}}`, `{{${'('.repeat(5000)}}}`],
    'a long class': [`{{[${'\\pL\\p{Greek}a-z'.repeat(5000)}]b}}`],
    'a long word in any case': [`{{(?i)${'kelvin'.repeat(3000)}}}`],
    'every script': [
      `{{[${['Greek', 'Han', 'Latin', 'Cyrillic', 'Arabic', 'Thai', 'Hebrew', 'Hangul', 'Tamil', 'Lao', 'Khmer', 'Mongolian', 'Ogham', 'Runic', 'Cherokee', 'Tibetan'].map((name) => `\\p{${name}}`).join('')}]b}}`,
    ],
    'a pattern of a megabyte': ['x'.repeat(1 << 20)],
    'ten thousand patterns': Array.from({ length: 10_000 }, (_, index) => `*.${index}`),
  })) {
    it(`hold nothing up: ${name}`, () => {
      const paths = [long, `${long}!`, 'ab'.repeat(800), `${'a/'.repeat(800)}x`];
      takenOrRefused(() => use(patterns, [], paths));
      takenOrRefused(() => use([], patterns, paths));
    });
  }
});
