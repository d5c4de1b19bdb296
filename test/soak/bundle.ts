/** Programs of the soak as one file each, which start in a tenth of the time. */

import { resolve } from 'node:path';
import { build, type Plugin } from 'esbuild';

/** @param outfile within the package, where its dependencies are found */
export async function bundle(entry: string, outfile: string, plugins: Plugin[] = []): Promise<void> {
  await build({
    entryPoints: [resolve('test/soak', entry)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node22',
    packages: 'external',
    // The emulator's path is asked of the module system.
    define: { 'import.meta.url': JSON.stringify(`file://${resolve('test/servers/azurite.ts')}`) },
    logLevel: 'error',
    plugins,
  });
}
