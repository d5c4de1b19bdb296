/** The package as users get it: built and packed from a copy of this checkout, installed into a folder. */

import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { installTarball } from '../scripts/demo/node-red.js';

/** What a checkout holds that its package is not made of. */
const LEFT_OUT = new Set(['node_modules', 'dist', 'resources', '.git', '.demo', 'test', 'bench']);

/** Gives a `node_modules` folder with the packed package and what it needs at run time. */
export async function installPackage(folder: string): Promise<string> {
  const copy = join(folder, 'checkout');
  const root = resolve('.');
  cpSync(root, copy, {
    recursive: true,
    filter: (path) => dirname(path) !== root || !LEFT_OUT.has(basename(path)),
  });
  symlinkSync(resolve('node_modules'), join(copy, 'node_modules'), 'dir');
  await promisify(execFile)('npm', ['pack', '--pack-destination', folder], {
    cwd: copy,
    env: { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` },
  });
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))!;
  const userDir = join(folder, 'installed');
  mkdirSync(userDir);
  await installTarball(userDir, join(folder, tarball));
  return join(userDir, 'node_modules');
}
