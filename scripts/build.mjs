// Builds the package into dist/, laid out where Node-RED looks for things: every node's html, locales and icons
// stand beside its runtime file.
import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'tsup';

const nodeFolders = readdirSync('nodes', { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);

/** The nodes share one copy of their runtime (run table, locks): it is a file of its own, not part of each bundle. */
const sharedRuntime = {
  name: 'shared-runtime',
  setup(builder) {
    builder.onResolve({ filter: /^\.\.\/runtime\.js$/ }, (args) => ({ path: args.path, external: true }));
  },
};

const entries = { 'runner/child': 'src/runner/child.ts', 'nodes/runtime': 'nodes/runtime.ts' };
for (const name of nodeFolders) {
  const file = `nodes/${name}/${name}.ts`;
  if (existsSync(file)) entries[`nodes/${name}/${name}`] = file;
}
for (const [name, file] of Object.entries(entries)) if (!existsSync(file)) delete entries[name];

rmSync('dist', { recursive: true, force: true });
await build({
  config: false,
  entry: entries,
  outDir: 'dist',
  format: ['cjs'],
  platform: 'node',
  target: 'node22',
  splitting: false,
  sourcemap: true,
  silent: true,
  external: ['sodium-native'],
  esbuildPlugins: [sharedRuntime],
});

for (const name of nodeFolders) {
  const from = join('nodes', name);
  const to = join('dist', 'nodes', name);
  if (existsSync(join(from, `${name}.html`))) cpSync(join(from, `${name}.html`), join(to, `${name}.html`));
  if (existsSync(join(from, 'locales')))
    cpSync(join(from, 'locales'), join(to, 'locales'), { recursive: true });
  if (existsSync('icons')) cpSync('icons', join(to, 'icons'), { recursive: true });
}
