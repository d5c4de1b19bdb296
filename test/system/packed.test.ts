import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FlowNode, installTarball, type NodeRed, startNodeRed } from '../../scripts/demo/node-red.js';
import { differences, makeSample, summarise } from '../../scripts/demo/sample.js';
import type { RunReport } from '../../src/engine/report.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { until } from '../until.js';
import { packedPackage } from './package.js';

const PACKAGE = '@cloud-sync/node-red-cloud-sync';

/** What Node-RED itself warns of in every new userDir. */
const OWN_WARNINGS = /Projects disabled|Using unencrypted credentials/;

interface Manifest {
  'node-red': { nodes: Record<string, string>; plugins: Record<string, string> };
  dependencies: Record<string, string>;
}

const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest;

/** Every file below `folder`, relative. */
function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

describe('The packed package', function () {
  this.timeout(120_000);
  let files: string[];
  let tarball: string;
  let folder: string;
  let userDir: string;
  let server: S3Server;
  let nodeRed: NodeRed;
  const lines: string[] = [];

  before(async () => {
    ({ files, tarball } = await packedPackage());
    folder = mkdtempSync(join(tmpdir(), 'cloud-sync-packed-'));
    userDir = join(folder, 'node-red');
    mkdirSync(userDir);
    // An empty userDir; Node-RED then finds what npm has put there.
    await installTarball(userDir, tarball);
    server = await startS3Server({ buckets: ['backups'] });
    nodeRed = await startNodeRed({
      userDir,
      packages: join(userDir, 'node_modules'),
      onLine: (line) => lines.push(line),
    });
  });

  after(async () => {
    await nodeRed?.stop();
    await server?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  it('holds all that Node-RED and its users look for', () => {
    const runtimes = Object.values({ ...manifest['node-red'].nodes, ...manifest['node-red'].plugins });
    const expected = [
      'package.json',
      'README.md',
      'LICENSE',
      'resources/editor.js',
      'resources/editor.css',
      'dist/runner/child.js',
      'dist/runner/launcher-thread.js',
      'dist/nodes/runtime.js',
      ...runtimes,
      ...runtimes.map((file) => file.replace(/\.js$/, '.html')),
      ...filesBelow('examples').map((name) => `examples/${name}`),
    ];
    for (const runtime of runtimes) {
      const name = runtime.split('/').at(-2)!;
      for (const icon of filesBelow('icons')) expected.push(`dist/nodes/${name}/icons/${icon}`);
      for (const text of filesBelow(`nodes/${name}/locales`)) {
        expected.push(`dist/nodes/${name}/locales/${text}`);
      }
      assert.ok(
        files.some((file) => file.startsWith(`dist/nodes/${name}/locales/en-US/`)),
        `${name} has words of its own`,
      );
    }
    assert.ok(filesBelow('examples').length > 0);
    assert.deepEqual(
      expected.filter((file) => !files.includes(file)),
      [],
    );
  });

  it('holds nothing that only its developers need', () => {
    const foreign = /^(src|nodes|test|scripts|node_modules|\.)|\.test\.|\.tsx?$|tsconfig|biome/;
    assert.deepEqual(
      files.filter((file) => foreign.test(file)),
      [],
    );
    // Whatever was installed came by its dependencies: none of ours for development.
    const { devDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      devDependencies: Record<string, string>;
    };
    const lock = JSON.parse(readFileSync(join(userDir, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { dev?: boolean }>;
    };
    assert.ok(Object.keys(lock.packages).includes(`node_modules/${PACKAGE}`));
    for (const tool of ['typescript', 'tsup', 'mocha', 'node-red', '@biomejs/biome']) {
      assert.ok(tool in devDependencies);
      assert.ok(!(`node_modules/${tool}` in lock.packages), `${tool} was installed`);
    }
  });

  it('loads without a warning, its types, plugin, words, icons and editor files', async () => {
    const warnings = lines.filter(
      (line) => / - \[(warn|error|fatal)\]|Warning/i.test(line) && !OWN_WARNINGS.test(line),
    );
    assert.deepEqual(warnings, []);

    const answer = await fetch(`${nodeRed.url}/nodes`, { headers: { accept: 'application/json' } });
    type NodeSet = { module: string; types: string[]; enabled: boolean; err?: unknown };
    const sets = ((await answer.json()) as NodeSet[]).filter(({ module }) => module === PACKAGE);
    assert.deepEqual(
      sets.flatMap(({ types }) => types).sort(),
      Object.keys(manifest['node-red'].nodes).sort(),
    );
    for (const set of sets) assert.ok(set.enabled && set.err === undefined, JSON.stringify(set));

    const plugins = await (
      await fetch(`${nodeRed.url}/plugins`, { headers: { accept: 'text/html' } })
    ).text();
    assert.match(plugins, /cloud-sync-sidebar/);
    const pages = await (await fetch(`${nodeRed.url}/nodes`, { headers: { accept: 'text/html' } })).text();
    for (const type of Object.keys(manifest['node-red'].nodes)) {
      assert.match(pages, new RegExp(`registerType\\(\\s*['"]${type}['"]`));
    }
    const paths = [
      `resources/${PACKAGE}/editor.js`,
      `resources/${PACKAGE}/editor.css`,
      ...filesBelow('icons').map((icon) => `icons/${PACKAGE}/${icon}`),
      ...Object.keys(manifest['node-red'].nodes).map((type) => `locales/${PACKAGE}/${type}?lng=en-US`),
      ...filesBelow('examples').map(
        (name) => `library/examples/flows/${PACKAGE}/${encodeURIComponent(name.replace(/\.json$/, ''))}`,
      ),
    ];
    for (const path of paths) {
      const found = await fetch(`${nodeRed.url}/${path}`);
      assert.equal(found.status, 200, path);
      assert.ok((await found.arrayBuffer()).byteLength > 50, `${path} is empty`);
    }
  });

  it('has examples that Node-RED starts without a word', async () => {
    for (const name of filesBelow('examples')) {
      const from = lines.length;
      await nodeRed.deploy(
        (JSON.parse(readFileSync(join('examples', name), 'utf8')) as FlowNode[]).filter(
          // No broker is at hand here.
          ({ type }) => !type.startsWith('mqtt'),
        ),
      );
      await until(() => lines.slice(from).some((line) => line.includes('Started flows')), 'the flows start');
      const complaints = lines
        .slice(from)
        .filter((line) => / - \[(warn|error|fatal)\]|missing types/i.test(line));
      assert.deepEqual(complaints, [], name);
    }
  });

  it('runs the example: one press backs up, verifies and restores', async () => {
    const source = join(folder, 'photos');
    const target = join(folder, 'restored');
    makeSample(source, 20);
    const name = filesBelow('examples').find((file) => file.startsWith('1 - '))!;
    const example = JSON.parse(readFileSync(join('examples', name), 'utf8')) as FlowNode[];
    const { accessKeyId, secretAccessKey } = server;
    await nodeRed.deploy(
      example.map((node) => {
        switch (node.type) {
          case 'cloud-credential':
            return { ...node, endpoint: server.url, credentials: { accessKeyId, secretAccessKey } };
          case 'cloud-sync':
            return { ...node, path: source, bucket: 'backups' };
          case 'cloud-restore':
            return { ...node, path: target };
          default:
            return node;
        }
      }),
    );
    const inject = example.find(({ type }) => type === 'inject')!;
    const restore = example.find(({ type }) => type === 'cloud-restore')!;
    const pressed = await fetch(`${nodeRed.url}/inject/${inject.id}`, { method: 'POST' });
    assert.equal(pressed.status, 200);
    const lastOf = async (id: string) => {
      const answer = await fetch(`${nodeRed.url}/cloud-sync/tasks/${id}/runs`);
      return ((await answer.json()) as { runs: RunReport[] }).runs[0];
    };
    const restored = await until(() => lastOf(restore.id), 'the restore ends', 60_000);
    assert.equal(restored.status, 'success', JSON.stringify(restored.errors));
    for (const { type, id } of example) {
      if (!['cloud-sync', 'cloud-verify'].includes(type)) continue;
      const report = await lastOf(id);
      assert.equal(report?.status, 'success', type);
      if (type === 'cloud-verify') assert.equal(report.matched, (await summarise(source)).size);
    }
    assert.deepEqual(differences(await summarise(source), await summarise(target)), []);
  });
});
