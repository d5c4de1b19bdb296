// Builds the package into dist/ and resources/, laid out where Node-RED looks for things: every node's html, locales and
// icons stand beside its runtime file, and what the editor pages share is served from resources/.
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { build } from 'tsup';
import { collectPackages, describePackages, noticeOf } from './third-party.mjs';

const nodeFolders = readdirSync('nodes', { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(join('nodes', entry.name, `${entry.name}.html`)))
  .map((entry) => entry.name);

/** The nodes share one copy of their runtime (run table, locks): it is a file of its own, not part of each bundle. */
const sharedRuntime = {
  name: 'shared-runtime',
  setup(builder) {
    builder.onResolve({ filter: /^\.\.\/runtime\.js$/ }, (args) => ({ path: args.path, external: true }));
  },
};

/** The editor takes the providers' fields from their table, as data: no provider and nothing of Node.js comes along. */
const providerTable = {
  name: 'provider-table',
  setup(builder) {
    const namespace = 'provider-table';
    builder.onResolve({ filter: /\/stores\/registry\.js$/ }, () => ({ path: 'providers', namespace }));
    builder.onLoad({ filter: /.*/, namespace }, async () => {
      const { outputFiles } = await builder.esbuild.build({
        entryPoints: ['src/stores/registry.ts'],
        bundle: true,
        write: false,
        platform: 'node',
        format: 'cjs',
        packages: 'external',
        plugins: [leaveDynamicImports],
      });
      const table = { exports: {} };
      const require = createRequire(import.meta.url);
      new Function('module', 'exports', 'require', outputFiles[0].text)(table, table.exports, require);
      return {
        contents: `export const PROVIDERS = ${JSON.stringify(table.exports.PROVIDERS)};`,
        loader: 'js',
      };
    });
  },
};

const leaveDynamicImports = {
  name: 'leave-dynamic-imports',
  setup(builder) {
    builder.onResolve({ filter: /^\.\// }, (args) =>
      args.kind === 'dynamic-import' ? { path: args.path, external: true } : undefined,
    );
  },
};

const entries = { 'nodes/runtime': 'nodes/runtime.ts' };
for (const name of nodeFolders) entries[`nodes/${name}/${name}`] = `nodes/${name}/${name}.ts`;

/** Folders of the packages whose code is bundled. */
const bundled = new Set();
const collector = collectPackages(bundled);

const common = { config: false, splitting: false, sourcemap: true, silent: true, dts: false, clean: false };

/** Built beside and put in place at the end: a build that fails leaves what was there. */
const next = (folder) => `${folder}-next`;
const FOLDERS = ['dist', 'resources'];

const onServer = {
  ...common,
  outDir: next('dist'),
  format: ['cjs'],
  platform: 'node',
  target: 'node22',
  external: ['sodium-native'],
};

for (const folder of FOLDERS) rmSync(next(folder), { recursive: true, force: true });
await Promise.all([
  build({
    ...onServer,
    entry: entries,
    // Stores are opened in the child process only: Node-RED's own process doesn't carry them.
    esbuildPlugins: [sharedRuntime, leaveDynamicImports, collector],
  }),
  build({ ...onServer, entry: { 'runner/child': 'src/runner/child.ts' }, esbuildPlugins: [collector] }),
  build({ ...onServer, entry: { 'runner/launcher-thread': 'src/runner/launcher-thread.ts' } }),
  build({
    ...common,
    entry: { editor: 'nodes/editor/editor.ts' },
    outDir: next('resources'),
    format: ['iife'],
    platform: 'browser',
    target: 'es2022',
    tsconfig: 'nodes/editor/tsconfig.json',
    noExternal: [/.*/],
    minify: true,
    outExtension: () => ({ js: '.js' }),
    esbuildPlugins: [providerTable, collector],
  }),
]);
const packages = describePackages(bundled);
writeFileSync(join(next('dist'), 'THIRD-PARTY.txt'), noticeOf(packages));
const inShort = packages.map(({ name, version, license }) => ({ name, version, license }));
writeFileSync(join(next('dist'), 'third-party.json'), `${JSON.stringify(inShort, undefined, 2)}\n`);
cpSync('nodes/editor/editor.css', join(next('resources'), 'editor.css'));

for (const name of nodeFolders) {
  const from = join('nodes', name);
  const to = join(next('dist'), 'nodes', name);
  mkdirSync(to, { recursive: true });
  cpSync(join(from, `${name}.html`), join(to, `${name}.html`));
  if (existsSync(join(from, 'locales')))
    cpSync(join(from, 'locales'), join(to, 'locales'), { recursive: true });
  cpSync('icons', join(to, 'icons'), { recursive: true });
}
for (const folder of FOLDERS) {
  rmSync(folder, { recursive: true, force: true });
  renameSync(next(folder), folder);
}
