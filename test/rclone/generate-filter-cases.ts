/**
 * Writes filter-cases.json: what rclone takes of a tree under many filters, by running rclone 1.60.1.
 * To make it again: `npx tsx test/rclone/generate-filter-cases.ts`, then
 * `npx biome check --write test/rclone`.
 *
 * Format: `tree` holds the paths of all files; each case has the patterns and either `refused: true`, or `files` and
 * `folders`, the positions in `tree` (and in the sorted list of the tree's folders) of what rclone listed.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTree, FILES, type FilterCase, foldersOf, listWithRclone } from './filter-tree.js';
import { randomFilter, seededRandom } from './random-filter.js';
import { REFERENCE_VERSION, rcloneVersion } from './rclone.js';

/** Each is tried as the only exclude and as the only include. */
const PATTERNS: readonly string[] = [
  '*',
  '**',
  '/**',
  '/*',
  '*/',
  '**/',
  '/',
  '//',
  '*/*',
  '*/**',
  '**/*',
  '***',
  'foo',
  '/foo',
  'foo/',
  '/foo/',
  'foo*',
  '*foo',
  'foo?',
  'foo??',
  '?',
  '??',
  '*.jpg',
  '/*.jpg',
  '**.jpg',
  '**/*.jpg',
  '*.{jpg,txt}',
  '*.jp*g',
  '*.JPG',
  'dir',
  'dir/',
  '/dir/',
  'dir/*',
  '/dir/*',
  'dir/**',
  '/dir/**',
  'dir/*.jpg',
  '/dir/*.jpg',
  'dir/**.jpg',
  'dir/sub/*',
  'dir//sub/*',
  'dir/sub/**',
  'dir/*/deep/',
  'dir/**/a.jpg',
  '/dir/**/a.jpg',
  '**/dir/**',
  '**/foo',
  '**/deep/**',
  'di?/',
  'di*/*',
  '{dir,dir2}/',
  '{dir,dir2}/*.jpg',
  '/{dir,x}/**',
  '{dir/sub,x/y}/**',
  '{**}',
  '{a,}b',
  '{a}',
  '{a,b,c}.jpg',
  '{,x}foo',
  '{{a,b}}',
  '{a{b,c}}',
  '{a,{b,c}}',
  '{a',
  'a}',
  '{}',
  '[ab]',
  '[a-c]',
  '[^a]',
  '[!a]',
  '[^a]*',
  '[!a]*',
  '[]a]',
  '[a',
  'a]',
  '[',
  '[]',
  '[a-]b',
  '[z-a]',
  '[[:alpha:]]',
  '[[:digit:]]*',
  '[[:nosuch:]]',
  '[[:^alpha:]]',
  '[\\d]*',
  '[^/]*.jpg',
  '[a/b]c',
  '[*]',
  '[?]',
  'a[*]b',
  '[é-ü].jpg',
  '[日本]*',
  '[A-Z]*',
  'img_000[1-3].*',
  '20[0-9][0-9]/',
  'a\\*b',
  'a\\?b',
  'a\\[b\\]',
  'a\\{b\\}',
  'a\\\\b',
  'a\\,b',
  '{a\\,b,foo}',
  '\\d',
  '\\d*',
  'foo\\d',
  '\\w',
  '\\a',
  '\\q',
  '\\é.jpg',
  'foo\\',
  '\\/foo',
  '\\foo',
  '\\Qa.b\\E',
  '\\pN*',
  '\\**',
  'a+b',
  'a(b)',
  'a|b',
  'a^b',
  'a$b',
  'a.b',
  'foo$',
  'a!b',
  'a,b',
  'a-b',
  'a b',
  'foo bar',
  ' foo',
  'foo ',
  '*bar',
  '#c',
  ';d',
  '!',
  '^',
  'é.jpg',
  'e\u0301.jpg',
  'É.JPG',
  '?.jpg',
  '??.jpg',
  '日本.jpg',
  '日*',
  '😀',
  '😀*',
  '/😀d/**',
  '.*',
  '.*/',
  '.git/',
  '.git/**',
  '**/.git/**',
  '/.git/**',
  'node_modules/',
  '/node_modules/',
  '.zfs',
  '.zfs/**',
  '.zfs*',
  'Photos/',
  '/Photos/**',
  '/Photos/*',
  '/Photos/*/**',
  '/Photos/*/*',
  '/Photos/2023/**',
  '/Photos/2023/01/img_0001.jpg',
  '/Photos/**/*.jpg',
  '/Photos/**.{jpg,JPG}',
  'Photos/été/*',
  'photos/**',
  'Thumbs.db',
  'thumbs.db',
  'tmp/**',
  '*.tmp',
  'we ird/**',
  'na\\[me\\]/',
  '/we ird/\\*/f',
  'x/dir/',
  'x/*/',
  'x/**/foo',
  'x/y/z',
  'y/z/',
  '*/y/z/*',
  '/x/*/z/**',
  'deep/**',
  'c.txt*',
  '*.txt.*',
  '*~',
  '{{.*\\.jpe?g}}',
  '{{(?i).*\\.jpg}}',
  '*.{{(?i)jpg}}',
  '{{(?i)k}}',
  '{{(?i)ß|σ}}',
  '{{\\d+}}',
  '{{[0-9]{4}}}',
  '{{\\d{4}-\\d{2}-\\d{2}}}.log',
  '/{{dir|x}}/**',
  '{{dir/.*}}',
  '{{.*/foo}}',
  '/{{[^/]+}}',
  '{{\\p{Lu}.*}}',
  '{{\\p{Han}+}}.jpg',
  '{{\\pL}}',
  '{{\\P{L}}}',
  '{{foo\\b}}*',
  '{{foo\\B}}*',
  '{{a|b$|c}}*',
  '{{)|(}}',
  '{{foo)|(x}}',
  '{{(?P<name>a)b}}',
  '{{(?<name>a)b}}',
  '{{(?=foo)}}*',
  '{{(?!foo).*}}',
  '{{(?<=a)b}}',
  '{{(a)\\1}}',
  '{{(a+)+b}}',
  '{{a++}}',
  '{{a**}}',
  '{{*}}',
  '{{a{2,1}}}',
  '{{a{1001}}}',
  '{{\\x41|\\x{1F600}}}',
  '{{\\101}}',
  '{{\\Q.\\E}}*',
  '{{\\Aa\\z}}',
  '{{\\Z}}',
  '{{(?s-i:.)}}',
  '{{(?U)a+}}',
  '{{(?x)a}}',
  '{{[[:alpha:]]{3}}}',
  '{{\\p{Nosuch}}}',
  '{{a}',
  '{{a',
  '{{}}',
];

/** Lists whose order and interplay matter. */
const COMBINATIONS: readonly FilterCase[] = [
  { exclude: [], include: [] },
  { exclude: ['*.jpg'], include: ['/dir/**'] },
  { exclude: ['/dir/**'], include: ['*.jpg'] },
  { exclude: ['/dir/sub/**'], include: ['/dir/**'] },
  { exclude: ['sub/'], include: ['/dir/**', '/x/**'] },
  { exclude: ['*'], include: ['*.jpg'] },
  { exclude: ['**'], include: ['*.jpg'] },
  { exclude: ['/**'], include: ['/Photos/**'] },
  { exclude: ['.zfs'], include: ['.zfs/**'] },
  { exclude: [], include: ['.zfs/**'] },
  { exclude: [], include: ['.zfs', '/x/y/.zfs'] },
  { exclude: ['*.bak', '*~', '*.tmp'], include: [] },
  { exclude: ['node_modules/', '.git/'], include: ['/src/**'] },
  { exclude: ['node_modules/**', '.git/**'], include: ['*.{c,js}'] },
  { exclude: [], include: ['*.jpg', '*.JPG', '*.jpeg'] },
  { exclude: [], include: ['/Photos/2023/**', '/Photos/2024/01/*'] },
  { exclude: ['Thumbs.db', '/Photos/*/raw/'], include: ['/Photos/**'] },
  { exclude: ['/Photos/2023/'], include: ['/Photos/**', '/dir/a'] },
  { exclude: ['deep/'], include: ['foo', 'a.jpg'] },
  { exclude: ['dir/'], include: ['dir/**'] },
  { exclude: [], include: ['dir/', 'foo'] },
  { exclude: [], include: ['/dir/', '/x/'] },
  { exclude: [], include: ['/dir/a', '/dir/a'] },
  { exclude: ['foo', 'foo'], include: ['foo*'] },
  { exclude: ['{{.*\\.(jpg|JPG)}}'], include: ['/Photos/**'] },
  { exclude: ['[a', 'b'], include: ['c'] },
  { exclude: ['b'], include: ['c', 'a]'] },
  { exclude: ['x/**'], include: ['/x/y/foo', '/dir/**/foo'] },
  { exclude: ['/*'], include: [] },
  { exclude: ['/*/'], include: ['**'] },
  { exclude: ['/*/**'], include: ['*'] },
  { exclude: ['*/*/**'], include: [] },
  { exclude: ['/dir/*'], include: ['/dir/sub/**'] },
  { exclude: [], include: ['/we ird/**', '/😀d/**'] },
];

const RANDOM_CASES = 160;
/** Of the random cases, how many may be ones that rclone refuses. */
const RANDOM_REFUSED = 30;

interface StoredCase extends FilterCase {
  refused?: true;
  files?: number[];
  folders?: number[];
}

function main(): void {
  const version = rcloneVersion();
  if (version !== REFERENCE_VERSION)
    throw new Error(`This needs rclone ${REFERENCE_VERSION}, not ${version}`);
  const root = mkdtempSync(join(tmpdir(), 'filter-cases-'));
  const folders = foldersOf(FILES);
  const cases: StoredCase[] = [];
  const positions = (all: readonly string[], listed: readonly string[]): number[] =>
    listed.map((path) => all.indexOf(path)).sort((first, second) => first - second);
  const run = (filter: FilterCase): StoredCase => {
    const outcome = listWithRclone(root, filter);
    if ('refused' in outcome) return { ...filter, refused: true };
    return {
      ...filter,
      files: positions(FILES, outcome.files),
      folders: positions(folders, outcome.folders),
    };
  };
  try {
    createTree(root);
    for (const filter of COMBINATIONS) cases.push(run(filter));
    for (const pattern of PATTERNS) {
      cases.push(run({ exclude: [pattern], include: [] }), run({ exclude: [], include: [pattern] }));
    }
    const random = seededRandom(1);
    let refused = 0;
    for (let count = 0; count < RANDOM_CASES; ) {
      const result = run(randomFilter(random));
      if (result.refused && ++refused > RANDOM_REFUSED) continue;
      cases.push(result);
      count++;
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  const lines = cases.map((stored) => `    ${JSON.stringify(stored)}`);
  const tree = FILES.map((path) => `    ${JSON.stringify(path)}`);
  writeFileSync(
    join(__dirname, 'filter-cases.json'),
    `{\n  "rclone": ${JSON.stringify(version)},\n  "tree": [\n${tree.join(',\n')}\n  ],\n  "cases": [\n${lines.join(',\n')}\n  ]\n}\n`,
  );
  console.log(`${cases.length} cases, ${cases.filter((stored) => stored.refused).length} of them refused`);
}

main();
