/** The package as users get it: built and packed once for all system tests, from a copy, so that nobody's dist/ changes. */

import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { installTarball } from '../../scripts/demo/node-red.js';

/** What a checkout holds that its package is not made of. */
const LEFT_OUT = new Set(['node_modules', 'dist', 'resources', '.git', '.demo', 'test']);

export interface PackedPackage {
  tarball: string;
  /** Paths in it. */
  files: string[];
}

let folder: string | undefined;
let packed: Promise<PackedPackage> | undefined;
let installed: Promise<string> | undefined;

after(() => {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

function ownFolder(): string {
  folder ??= mkdtempSync(join(tmpdir(), 'cloud-sync-package-'));
  return folder;
}

/** What `npm pack` makes of this checkout. */
export function packedPackage(): Promise<PackedPackage> {
  packed ??= pack();
  return packed;
}

/** A `node_modules` folder with the packed package and what it needs at run time, and nothing else. */
export function installedPackages(): Promise<string> {
  installed ??= install();
  return installed;
}

async function pack(): Promise<PackedPackage> {
  const copy = join(ownFolder(), 'checkout');
  cpSync(resolve('.'), copy, {
    recursive: true,
    filter: (path) => dirname(path) !== resolve('.') || !LEFT_OUT.has(basename(path)),
  });
  symlinkSync(resolve('node_modules'), join(copy, 'node_modules'), 'dir');
  const { stdout } = await promisify(execFile)('npm', ['pack', '--json', '--pack-destination', ownFolder()], {
    cwd: copy,
    env: { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` },
  });
  // The build's own words come before it.
  const described: unknown = JSON.parse(stdout.slice(stdout.search(/^[[{]/m)));
  const [{ filename, files }] = Object.values(described as object) as [
    { filename: string; files: { path: string }[] },
  ];
  return { tarball: join(ownFolder(), filename), files: files.map(({ path }) => path) };
}

async function install(): Promise<string> {
  const { tarball } = await packedPackage();
  const userDir = join(ownFolder(), 'installed');
  mkdirSync(userDir);
  await installTarball(userDir, tarball);
  return join(userDir, 'node_modules');
}
