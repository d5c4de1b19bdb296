/** A tree with all sorts of names, and what rclone takes of it under a filter. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runRclone } from './rclone.js';

export const FILES: readonly string[] = [
  'a',
  'A',
  'ab',
  'abc',
  'a.b',
  'a.jpg',
  'b.JPG',
  'b.jpeg',
  'c.txt',
  'c.txt.bak',
  'c.txt~',
  'Foo',
  'foo',
  'foo1',
  'foo12',
  'food',
  'xfoo',
  'foo$',
  'foo bar',
  ' foo',
  'foo ',
  '.hidden',
  '.zfs.txt',
  'a+b',
  'a(b)',
  'a|b',
  'a^b',
  'a$b',
  'a!b',
  'a,b',
  'a-b',
  'a_b',
  'a*b',
  'a?b',
  'a[b]',
  'a{b}',
  'a\\b',
  '!',
  '^',
  '#c',
  ';d',
  'é.jpg',
  'e\u0301.jpg',
  'É.JPG',
  '日本.jpg',
  'ß',
  'σ',
  'ς',
  '\u212a',
  'k',
  '😀',
  '😀.jpg',
  '0',
  '42',
  '2024-01-31.log',
  '２',
  'dir/a',
  'dir/a.jpg',
  'dir/b',
  'dir/c.txt',
  'dir/foo',
  'dir/sub/a.jpg',
  'dir/sub/b.txt',
  'dir/sub/deep/a.jpg',
  'dir/sub/deep/foo',
  'dir/sub/deep/er/z',
  'dir2/a.jpg',
  'dir2/foo/a.jpg',
  'foo.d/dir/a.jpg',
  'foo.d/dir/sub/foo',
  'Dir/a.jpg',
  'x/dir/a.jpg',
  'x/dir/sub/b.txt',
  'x/y/z/a.jpg',
  'x/y/z/dir/foo',
  'x/y/foo',
  '.git/config',
  'src/.git/config',
  'src/main.c',
  'src/node_modules/m/index.js',
  'node_modules/n/index.js',
  'Photos/2023/01/img_0001.jpg',
  'Photos/2023/02/img_0002.JPG',
  'Photos/2024/01/img_0003.jpg',
  'Photos/2024/raw/img_0003.cr2',
  'Photos/Thumbs.db',
  'Photos/été/img.jpg',
  '.zfs/snapshot/today/a.jpg',
  'dir/.zfs/snapshot/b',
  'x/y/.zfs',
  'we ird/na[me]/f',
  'we ird/{b}/f',
  'we ird/*/f',
  'we ird/a\\b/f',
  '😀d/日/f.jpg',
  'tmp/cache/1.tmp',
  'tmp/cache/keep.txt',
  'tmp/2.tmp',
];

/** Every folder above a file of `files`. */
export function foldersOf(files: readonly string[]): string[] {
  const folders = new Set<string>();
  for (const file of files) {
    for (let end = file.lastIndexOf('/'); end > 0; end = file.lastIndexOf('/', end - 1)) {
      folders.add(file.slice(0, end));
    }
  }
  return [...folders].sort();
}

export function createTree(root: string): void {
  for (const file of FILES) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), '');
  }
}

export interface FilterCase {
  exclude: string[];
  include: string[];
}

/** What rclone listed, or that it refused the patterns. */
export type FilterOutcome = { files: string[]; folders: string[] } | { refused: true };

/** The rules in the order in which TrueNAS gives them to rclone (`middlewared/plugins/cloud_sync/rclone.py`). */
export function rcloneRules({ exclude, include }: FilterCase): string[] {
  return [
    '- .zfs',
    '- .zfs/**',
    ...exclude.map((pattern) => `- ${pattern}`),
    ...include.map((pattern) => `+ ${pattern}`),
    ...(include.length > 0 ? ['- *'] : []),
  ];
}

/** Lists `root` with rclone. */
export function listWithRclone(root: string, filter: FilterCase): FilterOutcome {
  const args = rcloneRules(filter).flatMap((rule) => ['--filter', rule]);
  const result = runRclone(['lsjson', '-R', '--no-modtime', '--no-mimetype', ...args, root]);
  if (result.exitCode !== 0) {
    if (!/Failed to load filters/i.test(result.stderr)) throw new Error(`rclone failed: ${result.stderr}`);
    return { refused: true };
  }
  const entries = JSON.parse(result.stdout) as { Path: string; IsDir: boolean }[];
  return {
    files: entries.filter((entry) => !entry.IsDir).map((entry) => entry.Path),
    folders: entries.filter((entry) => entry.IsDir).map((entry) => entry.Path),
  };
}
