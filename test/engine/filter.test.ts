import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileFilter } from '../../src/engine/filter.js';
import { CloudSyncError } from '../../src/errors.js';
import {
  createTree,
  FILES,
  type FilterCase,
  type FilterOutcome,
  foldersOf,
  listWithRclone,
} from '../rclone/filter-tree.js';
import { filterAbout, pick, randomFilter, randomPattern, seededRandom } from '../rclone/random-filter.js';
import { REFERENCE_VERSION, rcloneVersion } from '../rclone/rclone.js';

interface StoredCase extends FilterCase {
  refused?: true;
  files?: number[];
  folders?: number[];
}

const data = JSON.parse(readFileSync(join(__dirname, '../rclone/filter-cases.json'), 'utf8')) as {
  tree: string[];
  cases: StoredCase[];
};
const folders = foldersOf(data.tree);
/** Of each kind; `FILTER_CASES=2000` tries so many. */
const RANDOM_CASES = Number(process.env.FILTER_CASES ?? 15);

/** What our filter takes of the tree. */
function listWithFilter(rules: FilterCase, tree: readonly string[]): FilterOutcome {
  try {
    const filter = compileFilter(rules);
    return {
      files: tree.filter((path) => filter.includesFile(path)).sort(),
      folders: foldersOf(tree).filter((folder) => filter.entersFolder(folder)),
    };
  } catch (error) {
    assert.ok(error instanceof CloudSyncError && error.code === 'INVALID_INPUT', String(error));
    return { refused: true };
  }
}

function sorted(outcome: FilterOutcome): FilterOutcome {
  if ('refused' in outcome) return outcome;
  return { files: [...outcome.files].sort(), folders: [...outcome.folders].sort() };
}

describe('Filter, beside rclone', () => {
  it('has a table worth the name', () => {
    assert.ok(data.cases.length >= 250);
  });

  for (const [index, stored] of data.cases.entries()) {
    const { exclude, include } = stored;
    it(`takes what rclone takes, case ${index}: ${JSON.stringify({ exclude, include })}`, () => {
      const expected: FilterOutcome = stored.refused
        ? { refused: true }
        : {
            files: stored.files!.map((position) => data.tree[position]!),
            folders: stored.folders!.map((position) => folders[position]!),
          };
      assert.deepEqual(listWithFilter({ exclude, include }, data.tree), sorted(expected));
    });
  }

  it('takes what rclone takes where it is run now, on random filters', function () {
    this.timeout(60_000 + RANDOM_CASES * 1000);
    if (rcloneVersion() !== REFERENCE_VERSION) {
      console.warn(`      NOT RUN: rclone ${REFERENCE_VERSION} is not installed`);
      this.skip();
    }
    const seed = Date.now() % 1_000_000;
    const random = seededRandom(seed);
    const root = mkdtempSync(join(tmpdir(), 'filter-test-'));
    try {
      createTree(root);
      const filters: FilterCase[] = [
        ...Array.from({ length: 5 }, () => pick(random, data.cases)),
        ...Array.from({ length: RANDOM_CASES }, () => randomFilter(random)),
        ...Array.from({ length: RANDOM_CASES }, () => filterAbout(random, FILES)),
      ];
      for (const { exclude, include } of filters) {
        const told = `seed ${seed}: ${JSON.stringify({ exclude, include })}`;
        const expected = sorted(listWithRclone(root, { exclude, include }));
        assert.deepEqual(listWithFilter({ exclude, include }, FILES), expected, told);
      }
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });
});

describe('Filter', () => {
  const takes = (rules: Partial<FilterCase>, path: string): boolean =>
    compileFilter({ exclude: [], include: [], ...rules }).includesFile(path);

  it('always walks the root', () => {
    assert.equal(compileFilter({ exclude: ['**'], include: [] }).entersFolder(''), true);
  });

  it('leaves a file out whose folder is not walked, though its own name would pass', () => {
    const filter = compileFilter({ exclude: [], include: ['a/*.jpg'] });
    assert.equal(filter.includesFile('a/b.jpg'), true);
    assert.equal(filter.entersFolder('x'), false);
    assert.equal(filter.entersFolder('x/a'), false);
    assert.equal(filter.includesFile('x/a/b.jpg'), false);
  });

  it('lets a line break be part of a name but not of what a dot or ** stands for', () => {
    assert.equal(takes({ exclude: ['a*b'] }, 'a\nb'), false);
    assert.equal(takes({ exclude: ['a**b'] }, 'a\nb'), true);
    assert.equal(takes({ exclude: ['{{a.b}}'] }, 'a\u2028b'), false);
    assert.equal(takes({ exclude: ['{{a.b}}'] }, 'a\rb'), false);
    assert.equal(takes({ exclude: ['{{(?s)a.b}}'] }, 'a\nb'), false);
    assert.equal(takes({ exclude: ['a{{$}}*'] }, 'a\nb'), true);
    assert.equal(takes({ exclude: ['a{{(?m:$)}}*'] }, 'a\nb'), false);
    assert.equal(takes({ exclude: ['/{{(?m)\\nb}}'] }, 'a\nb'), true);
  });

  it('takes a character outside the basic plane for one', () => {
    assert.equal(takes({ exclude: ['?'] }, '😀'), false);
    assert.equal(takes({ exclude: ['[😀-😂]x'] }, '😁x'), false);
    assert.equal(takes({ exclude: ['[😀-😂]x'] }, '😄x'), true);
  });

  it('says which rule decided', () => {
    const filter = compileFilter({ exclude: ['*.tmp', 'cache/'], include: ['/photos/**'] });
    assert.deepEqual(filter.decideFile('photos/a.jpg'), { included: true, rule: '+ /photos/**' });
    assert.deepEqual(filter.decideFile('photos/a.tmp'), { included: false, rule: '- *.tmp' });
    assert.deepEqual(filter.decideFile('photos/cache/a.jpg'), { included: false, rule: '- cache/' });
    assert.deepEqual(filter.decideFile('a.jpg'), { included: false, rule: '- *' });
    assert.deepEqual(filter.decideFile('photos/.zfs/snapshot/a'), { included: false, rule: '- .zfs/**' });
    assert.deepEqual(compileFilter({ exclude: [], include: [] }).decideFile('a'), {
      included: true,
      rule: undefined,
    });
  });

  for (const [pattern, words] of [
    ['[a', /"\[" is never closed/],
    ['a]', /"\]" has no "\["/],
    ['{a', /"\{" is never closed/],
    ['a}', /"\}" has no "\{"/],
    ['***', /more than two "\*"/],
    ['{a,{b,c}}', /can't stand inside/],
    ['{{a', /"\{\{" is never closed/],
    ['{{(?=a)}}', /look-around \("\(\?="\)/],
    ['{{(?<!a)}}', /look-around \("\(\?<!"\)/],
    ['{{(a)\\1}}', /back-references/],
    ['{{a++}}', /follows another repeat/],
    ['[z-a]', /runs backwards/],
    ['{{a{1001}}}', /no count from 0 to 1000/],
    ['{{(a{100}){100}}}', /more than 1000/],
    ['{{[[:nope:]]}}', /unknown character class/],
    ['', /it is empty/],
  ] as const) {
    it(`says what is wrong in ${JSON.stringify(pattern)}`, () => {
      for (const field of ['include', 'exclude'] as const) {
        assert.throws(
          () => compileFilter({ include: [], exclude: [], [field]: ['good', pattern] }),
          (error: unknown) => {
            assert.ok(error instanceof CloudSyncError);
            assert.equal(error.code, 'INVALID_INPUT');
            assert.equal(error.field, field);
            assert.match(error.message, words);
            assert.ok(error.message.includes(pattern));
            return true;
          },
        );
      }
    });
  }

  it('refuses a pattern too large to be meant', () => {
    const pattern = `{{${'(?:abcdefghij){1000}'.repeat(10)}}}`;
    assert.throws(() => compileFilter({ include: [], exclude: [pattern] }), /too large/);
  });

  it('never takes long, whatever the pattern and the path', () => {
    const seed = 20_240_131;
    const random = seededRandom(seed);
    const pieces = ['a', 'b', 'aaaaaaaaaaaaaaaa', '/', 'foo', '.', 'é', '😀', '\n', ' ', '1'];
    const hostile = [
      '{{(a+)+b}}',
      '{{(a|a)*c}}',
      '{{(a*)*$}}*x',
      '{{([a-z]+)*!}}',
      '{{(.*)(.*)(.*)(.*)[xz]}}',
      '*a*a*a*a*a*a*x',
    ];
    for (let count = 0; count < 10_000; count++) {
      const pattern = count % 50 === 0 ? pick(random, hostile) : randomPattern(random);
      const path = Array.from({ length: 20 }, () => pick(random, pieces)).join('');
      const started = performance.now();
      try {
        compileFilter({ include: [], exclude: [pattern] }).includesFile(path);
      } catch (error) {
        assert.ok(error instanceof CloudSyncError, `${pattern}: ${error}`);
      }
      const took = performance.now() - started;
      assert.ok(took < 1000, `${JSON.stringify(pattern)} took ${took} ms on ${JSON.stringify(path)}`);
    }
  });

  it('stays fast on patterns that make backtracking matchers explode', () => {
    const path = `${'a'.repeat(4000)}!`;
    for (const pattern of [
      '{{(a+)+b}}',
      '{{(a|aa)+b}}',
      '{{(.*a){20}b}}',
      '{{(a?){200}a{200}b}}',
      '*a*a*a*a*a*b',
    ]) {
      const started = performance.now();
      assert.equal(takes({ exclude: [pattern] }, path), true);
      assert.ok(performance.now() - started < 1000, pattern);
    }
  });

  it('goes through many paths and rules quickly', () => {
    const filter = compileFilter({
      exclude: [
        '*.tmp',
        '/cache/**',
        'node_modules/',
        '.git/',
        '*.bak',
        'Thumbs.db',
        '*~',
        '{{(a+)+b}}',
        '/x/y/*.log',
        '~*',
      ],
      include: [
        '*.jpg',
        '/Photos/**',
        'Documents/**',
        '*.{mp4,mov}',
        '**/important/**',
        '*.txt',
        '*.pdf',
        '/B/20[0-9][0-9]/**',
        '*.md',
      ],
    });
    const tops = ['Photos', 'Documents', 'Music', 'cache', 'B'];
    const started = performance.now();
    let taken = 0;
    for (let count = 0; count < 200_000; count++) {
      const path = `${tops[count % 5]}/${2000 + (count % 25)}/${count % 3 === 0 ? 'été' : 'June'}/img_${count}.png`;
      if (filter.includesFile(path)) taken++;
    }
    assert.equal(taken, 120_000);
    assert.ok(performance.now() - started < 3000);
  });

  it('holds thousands of rules', () => {
    const exclude = Array.from({ length: 3000 }, (_, count) => `/folder ${count}/*.x${count}`);
    const filter = compileFilter({ exclude, include: [] });
    for (let count = 0; count < 3000; count += 7) {
      assert.equal(filter.includesFile(`folder ${count}/a.x${count}`), false);
      assert.equal(filter.includesFile(`folder ${count}/a.x${count + 1}`), true);
    }
  });
});
