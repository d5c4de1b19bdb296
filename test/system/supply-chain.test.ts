import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { installedPackages, packedPackage } from './package.js';

interface Locked {
  dev?: boolean;
  /** Comes within another one, whose hash covers it. */
  inBundle?: boolean;
  resolved?: string;
  integrity?: string;
  hasInstallScript?: boolean;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

const readJson = <T>(file: string) => JSON.parse(readFileSync(file, 'utf8')) as T;
const OWN = join('@cloud-sync', 'node-red-cloud-sync');

function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + lstatSync(join(parentPath, name)).size, 0);
}

/** Folders of all packages in a `node_modules` folder. */
function packagesIn(modules: string): string[] {
  return readdirSync(modules, { recursive: true })
    .map(String)
    .filter((path) => /(?:^|\/)(?:@[^/]+\/)?[^/@][^/]*\/package\.json$/.test(path))
    .map((path) => join(modules, path))
    .filter((file) => 'name' in readJson<object>(file) && 'version' in readJson<object>(file));
}

/** Where Node.js looks for `name` from a package in `place`, nearest first. */
function placesOf(name: string, place: string): string[] {
  const steps = place === '' ? [] : place.split('/node_modules/');
  return Array.from({ length: steps.length + 1 }, (_, index) => {
    const above = steps.slice(0, steps.length - index).join('/node_modules/');
    return above === '' ? `node_modules/${name}` : `${above}/node_modules/${name}`;
  });
}

const MB = 1_000_000;

describe('The supply chain', function () {
  this.timeout(120_000);

  it('is pinned by hashes, and by no address of a registry', () => {
    const { packages } = readJson<{ packages: Record<string, Locked> }>('package-lock.json');
    const names = Object.keys(packages).filter((name) => name !== '');
    assert.ok(names.length > 100);
    for (const name of names) {
      assert.equal(packages[name]!.resolved, undefined, name);
      if (packages[name]!.inBundle !== true) assert.match(packages[name]!.integrity ?? '', /^sha512-/, name);
      assert.ok(
        packages[name]!.dev === true || packages[name]!.hasInstallScript !== true,
        `${name} runs a script`,
      );
    }
  });

  it('is locked whole, so that `npm ci` takes it on every system', () => {
    const { packages } = readJson<{ packages: Record<string, Locked> }>('package-lock.json');
    for (const [place, { dependencies, optionalDependencies }] of Object.entries(packages)) {
      for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
        assert.ok(
          placesOf(name, place).some((candidate) => candidate in packages),
          `${place} needs ${name}`,
        );
      }
    }
  });

  it('brings few packages along, none of which runs anything when it is installed', async () => {
    const modules = await installedPackages();
    const manifests = packagesIn(modules);
    assert.ok(manifests.some((file) => file.includes(OWN)));
    for (const file of manifests) {
      const { name, scripts = {} } = readJson<{ name: string; scripts?: Record<string, string> }>(file);
      for (const script of ['preinstall', 'install', 'postinstall']) assert.ok(!(script in scripts), name);
      assert.ok(!existsSync(join(file, '..', 'binding.gyp')), `${name} would be compiled`);
    }
    assert.ok(manifests.length <= 20, `${manifests.length} packages: ${manifests.join('\n')}`);
  });

  it('is small', async () => {
    const { tarball, files } = await packedPackage();
    const size = statSync(tarball).size;
    const modules = await installedPackages();
    const own = sizeOf(join(modules, OWN));
    const all = sizeOf(modules);
    const shown = [size, own, all].map((bytes) => `${(bytes / MB).toFixed(1)} MB`);
    console.log(`      tarball ${shown[0]}, installed ${shown[1]}, with all it needs ${shown[2]}`);
    assert.ok(size < 1.6 * MB && own < 5 * MB, `${shown}`);
    // Most of it are the prebuilt binaries of sodium-native, for every system.
    assert.ok(all < 30 * MB, `${shown}`);
    assert.deepEqual(
      files.filter((file) => file.endsWith('.map')),
      [],
    );
  });

  it('names the libraries in the bundles, with their licences', async () => {
    const { files } = await packedPackage();
    for (const file of ['SECURITY.md', 'LICENSE', 'dist/THIRD-PARTY.txt', 'dist/third-party.json']) {
      assert.ok(files.includes(file), file);
    }
    const folder = join(await installedPackages(), OWN, 'dist');
    const bundled = readJson<{ name: string; version: string; license: string }[]>(
      join(folder, 'third-party.json'),
    );
    assert.ok(bundled.some(({ name }) => name === 'undici'));
    const notice = readFileSync(join(folder, 'THIRD-PARTY.txt'), 'utf8');
    for (const { name, version, license } of bundled) {
      assert.ok(notice.includes(`${name} ${version} (${license})`), name);
    }
    assert.ok((notice.match(/permission notice/gi) ?? []).length >= bundled.length, 'the texts are there');
  });

  it('is written down as a CycloneDX document', () => {
    execFileSync('node', ['scripts/sbom.mjs'], { stdio: 'pipe' });
    const text = readFileSync('sbom.cdx.json', 'utf8');
    const sbom = JSON.parse(text) as {
      bomFormat: string;
      metadata: { component: { name: string } };
      components: { name: string; purl: string; hashes?: object[] }[];
    };
    assert.equal(sbom.bomFormat, 'CycloneDX');
    const purls = sbom.components.map(({ purl }) => purl);
    for (const name of ['undici', 'croner', '%40noble/ciphers', 'sodium-native']) {
      assert.ok(
        purls.some((purl) => purl.startsWith(`pkg:npm/${name}@`)),
        name,
      );
    }
    assert.equal(new Set(purls).size, purls.length);
    for (const tool of ['typescript', 'mocha', 'node-red']) {
      assert.ok(!purls.some((purl) => purl.startsWith(`pkg:npm/${tool}@`)), tool);
    }
    // Nothing of the machine it was made on.
    assert.ok(!text.includes(process.cwd()));
  });
});
