/**
 * Writes sync-scenarios.json: two folders before and after rclone 1.60.1 was run on them. The form is in
 * sync-scenarios.ts. To make it again: `npx tsx test/rclone/generate-sync-scenarios.ts`, then
 * `npx biome check --write test/rclone`.
 *
 * rclone's short cuts between two folders of one disk (renaming for a move) are switched off: it does what it would do
 * between a folder and a bucket. Left out on purpose: a file where a folder has to be and the reverse, on which rclone
 * 1.60 fails, and two normal forms of one name, which rclone takes for one file even where they are two.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rcloneRules } from './filter-tree.js';
import { pick, type Random, seededRandom } from './random-filter.js';
import { REFERENCE_VERSION, rcloneVersion, runRclone } from './rclone.js';
import type { ScenarioOptions, SyncScenario } from './sync-scenarios.js';
import { readTree, type TreeEntry, writeTree } from './sync-tree.js';

type Mode = SyncScenario['mode'];
type Given = Pick<SyncScenario, 'name' | 'mode' | 'source' | 'destination'> & {
  options: Partial<ScenarioOptions>;
};

const EARLY = '1600000000123456789';
const LATER = '1650000000987654321';
const MODES: readonly Mode[] = ['sync', 'copy', 'move'];

function file(path: string, content: string, modificationTime = EARLY): TreeEntry {
  return { path, kind: 'file', content, modificationTime };
}

function seeded(path: string, size: number, seed: number, modificationTime = EARLY): TreeEntry {
  return { path, kind: 'file', size, seed, modificationTime };
}

function folder(path: string): TreeEntry {
  return { path, kind: 'folder' };
}

function link(path: string, target: string): TreeEntry {
  return { path, kind: 'link', target };
}

/** The same two trees under each mode. */
function inEachMode(
  name: string,
  source: TreeEntry[],
  destination: TreeEntry[],
  options: Partial<ScenarioOptions> = {},
): Given[] {
  return MODES.map((mode) => ({ name: `${name}, ${mode}`, mode, options, source, destination }));
}

const PHOTOS = [
  file('2023/a.jpg', 'first'),
  file('2023/b.jpg', 'second', LATER),
  file('2024/c.jpg', 'third'),
  file('notes.txt', 'notes'),
  file('tmp/x.tmp', 'scratch'),
];

const WRITTEN: readonly Given[] = [
  ...inEachMode('first run into nothing', PHOTOS, []),
  ...inEachMode('nothing to do', PHOTOS, PHOTOS),
  ...inEachMode('a file more at the destination', [file('a', 'a')], [file('a', 'a'), file('old/b', 'b')]),
  ...inEachMode('other size', [file('a', 'longer')], [file('a', 'short')]),
  ...inEachMode(
    'other size, same time, newer at the destination',
    [file('a', 'longer')],
    [file('a', 'short', LATER)],
  ),
  ...inEachMode(
    'other content of the same size, other time',
    [file('a', 'left.')],
    [file('a', 'right', LATER)],
  ),
  ...inEachMode('other content of the same size, same time', [file('a', 'left.')], [file('a', 'right')]),
  ...inEachMode('same content, other time', [file('a', 'same')], [file('a', 'same', LATER)]),
  ...inEachMode(
    'same content, two microseconds apart',
    [file('a', 'same')],
    [file('a', 'same', '1600000000123458789')],
  ),
  ...inEachMode('by hash: other content, same time', [file('a', 'left.')], [file('a', 'right')], {
    checksum: true,
  }),
  ...inEachMode('by hash: same content, other time', [file('a', 'same')], [file('a', 'same', LATER)], {
    checksum: true,
  }),
  ...inEachMode('by hash: other size', [file('a', 'longer')], [file('a', 'short')], { checksum: true }),
  ...inEachMode(
    'excluded on both sides',
    PHOTOS,
    [file('keep.tmp', 'kept'), file('tmp/old.tmp', 'kept'), file('gone', 'x')],
    {
      exclude: ['*.tmp'],
    },
  ),
  ...inEachMode('excluded folder', PHOTOS, [file('2023/z.jpg', 'kept'), file('2024/z.jpg', 'gone')], {
    exclude: ['/2023/'],
  }),
  ...inEachMode('only what is included', PHOTOS, [file('other', 'kept'), file('2023/z.jpg', 'gone')], {
    include: ['*.jpg'],
  }),
  ...inEachMode('included but for what is excluded', PHOTOS, [file('2023/b.jpg', 'kept')], {
    include: ['/2023/**'],
    exclude: ['b.*'],
  }),
  ...inEachMode(
    'snapshots of ZFS are left out',
    [file('a', 'a'), file('.zfs/snapshot/a', 'a')],
    [file('.zfs/b', 'b')],
  ),
  ...inEachMode(
    'empty folders',
    [file('a/b', 'b'), folder('empty/deep')],
    [folder('other/empty'), file('gone/c', 'c')],
  ),
  ...inEachMode(
    'empty folders kept',
    [file('a/b', 'b'), folder('empty/deep')],
    [folder('other/empty'), file('gone/c', 'c')],
    {
      createEmptySrcDirs: true,
    },
  ),
  ...inEachMode(
    'empty folders that have files at the destination',
    [file('a', 'a'), folder('b/c'), folder('d')],
    [file('b/c/x', 'x'), file('b/y', 'y'), file('d/e/z', 'z')],
  ),
  ...inEachMode('empty folders kept, some excluded', [folder('in'), folder('out/deep'), file('a', 'a')], [], {
    createEmptySrcDirs: true,
    exclude: ['/out/**'],
  }),
  ...inEachMode(
    'empty files',
    [seeded('a', 0, 1), seeded('b', 0, 1, LATER)],
    [file('a', 'x'), seeded('b', 0, 1)],
  ),
  ...inEachMode(
    'large files',
    [seeded('big', 3_000_000, 1), seeded('changed', 2_000_000, 2), seeded('same', 1_000_000, 3)],
    [seeded('changed', 2_000_000, 4, LATER), seeded('same', 1_000_000, 3)],
  ),
  ...inEachMode(
    'odd names',
    [
      file(' lead', '1'),
      file('trail ', '2'),
      file('é', '3'),
      file('日本/語', '4'),
      file('😀', '5'),
      file('a"b', '6'),
      file('a#b%20c', '7'),
    ],
    [file('A"b', '9')],
  ),
  ...inEachMode(
    'names that sort in odd ways',
    [
      file('a', '1'),
      file('a-b', '2'),
      file('a.txt', '3'),
      file('aa/x', '4'),
      file('a0', '5'),
      file('A', '6'),
      file('\uff0e', '7'),
      file('😀', '8'),
    ],
    [file('a-c', '9'), file('aa/y', '10'), file('aa-', '11'), file('\uff0e', '7')],
  ),
  ...inEachMode(
    'times long ago and far ahead',
    [file('old', 'x', '-86400000000001'), file('new', 'y', '4102444800000000000')],
    [],
  ),
  ...inEachMode('links are left out', [file('real', 'x'), link('alias', 'real')], [file('alias', 'old')]),
  ...inEachMode(
    'links that lead nowhere, in circles and out are left out',
    [file('real', 'x'), link('gone', 'nowhere'), link('here', '.'), link('a/up', '..'), link('out', '/etc')],
    [file('gone', 'old'), file('a/up', 'old'), file('here', 'old')],
  ),
  ...inEachMode(
    'names that differ in case alone',
    [file('Photo.JPG', '1'), file('photo.jpg', '2'), file('A/x', '3'), file('a/x', '4')],
    [file('PHOTO.JPG', '5'), file('photo.jpg', 'other'), file('A/X', '6')],
  ),
  ...inEachMode(
    'an excluded file keeps its folder at the destination',
    [file('a', 'a')],
    [file('old/keep.tmp', 'kept'), file('old/b', 'b'), file('older/c', 'c')],
    { exclude: ['*.tmp'] },
  ),
  ...inEachMode(
    'only folders that a pattern names, empty ones too',
    [file('in/a', 'a'), folder('in/empty'), folder('out'), file('out/b', 'b')],
    [folder('in/old'), folder('out/old'), file('in/c', 'c')],
    { include: ['/in/**'], createEmptySrcDirs: true },
  ),
  // Not in a move, where rclone may delete what a link leads to before it reads the link.
  ...inEachMode(
    'links are followed',
    [file('real/x', 'x'), link('alias', 'real/x'), link('folder', 'real')],
    [],
    {
      followSymlinks: true,
    },
  ).filter(({ mode }) => mode !== 'move'),
  ...inEachMode(
    'deep folders',
    [file('1/2/3/4/5/6/7/8/9/x', 'x')],
    [file('1/2/3/y', 'y'), file('1/2/z/z/z', 'z')],
  ),
  ...inEachMode('no common file', [file('a', '1'), file('c', '2')], [file('b', '3'), file('d', '4')]),
];

const RANDOM_SCENARIOS = 40;
const PATHS = [
  'a',
  'b.txt',
  'c.tmp',
  'd e',
  'f/a',
  'f/b.txt',
  'f/g/c.tmp',
  'f/g/d',
  'h/é',
  'i/j/k/l',
  'm-n',
  'm/n',
  'z.jpg',
];
const FILTERS: readonly Partial<ScenarioOptions>[] = [
  {},
  {},
  { exclude: ['*.tmp'] },
  { exclude: ['/f/**'] },
  { exclude: ['g/'] },
  { include: ['*.txt', '/i/**'] },
  { include: ['f/**'], exclude: ['*.tmp'] },
  { exclude: ['{{.*[ae]}}'] },
];

function randomTree(random: Random): TreeEntry[] {
  const entries: TreeEntry[] = [];
  for (const path of PATHS) {
    if (random() < 0.45) continue;
    entries.push(file(path, pick(random, ['one', 'two', 'three']), pick(random, [EARLY, LATER])));
  }
  for (const path of ['empty', 'f/empty', 'o/p']) if (random() < 0.3) entries.push(folder(path));
  return entries;
}

function randomScenarios(): Given[] {
  const random = seededRandom(2);
  return Array.from({ length: RANDOM_SCENARIOS }, (_, index) => {
    const mode = pick(random, MODES);
    const options = {
      ...pick(random, FILTERS),
      checksum: random() < 0.3,
      createEmptySrcDirs: random() < 0.3,
    };
    const source = randomTree(random);
    // rclone takes no empty source for an error; we do.
    source.push(file('always', 'one'));
    return { name: `random ${index}, ${mode}`, mode, options, source, destination: randomTree(random) };
  });
}

function readActions(log: string, name: string): SyncScenario['actions'] {
  const actions: SyncScenario['actions'] = { copied: [], deleted: [], timesSet: [] };
  for (const line of log.split('\n')) {
    if (!line.startsWith('{')) continue;
    const { level, msg, object } = JSON.parse(line) as { level: string; msg: string; object: string };
    if (level === 'error') throw new Error(`${name}: ${msg}`);
    if (/^Copied \(/.test(msg)) actions.copied.push(object);
    if (msg === 'Deleted') actions.deleted.push(object);
    if (/^Updated modification time in destination/.test(msg)) actions.timesSet.push(object);
  }
  for (const list of Object.values(actions)) list.sort();
  return actions;
}

function runScenario(given: Given): SyncScenario {
  const options: ScenarioOptions = {
    include: [],
    exclude: [],
    checksum: false,
    createEmptySrcDirs: false,
    followSymlinks: false,
    ...given.options,
  };
  const root = mkdtempSync(join(tmpdir(), 'sync-scenarios-'));
  const [source, destination] = [join(root, 'source'), join(root, 'destination')];
  try {
    writeTree(source, given.source);
    writeTree(destination, given.destination);
    const result = runRclone([
      given.mode,
      '-v',
      '--use-json-log',
      '--disable=move,dirmove,copy',
      ...rcloneRules(options).flatMap((rule) => ['--filter', rule]),
      ...(options.checksum ? ['--checksum'] : []),
      ...(options.createEmptySrcDirs ? ['--create-empty-src-dirs'] : []),
      ...(options.followSymlinks ? ['--copy-links'] : []),
      source,
      destination,
    ]);
    if (result.exitCode !== 0) throw new Error(`${given.name}: ${result.stderr}`);
    const known = [...given.source, ...given.destination];
    return {
      ...given,
      options,
      expected: { source: readTree(source, known), destination: readTree(destination, known) },
      actions: readActions(result.stderr, given.name),
    };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function main(): void {
  const version = rcloneVersion();
  if (version !== REFERENCE_VERSION)
    throw new Error(`This needs rclone ${REFERENCE_VERSION}, not ${version}`);
  const scenarios = [...WRITTEN, ...randomScenarios()].map(runScenario);
  const lines = scenarios.map((scenario) => `    ${JSON.stringify(scenario)}`);
  writeFileSync(
    join(__dirname, 'sync-scenarios.json'),
    `{\n  "rclone": ${JSON.stringify(version)},\n  "scenarios": [\n${lines.join(',\n')}\n  ]\n}\n`,
  );
  console.log(`${scenarios.length} scenarios`);
}

main();
