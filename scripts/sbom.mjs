// Writes what a release is made of as a CycloneDX document, sbom.cdx.json: what npm installs with it, and the libraries in
// its bundles. Needs a build.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const FILE = 'sbom.cdx.json';

const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));
const { packages: locked } = readJson('package-lock.json');

/** A library in the bundles, as npm describes those it installs. */
function bundledComponent({ name, version, license }) {
  const { integrity } = locked[`node_modules/${name}`];
  const content = Buffer.from(integrity.replace('sha512-', ''), 'base64').toString('hex');
  return {
    'bom-ref': `${name}@${version}`,
    type: 'library',
    name,
    version,
    scope: 'required',
    purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
    properties: [{ name: 'bundled', value: 'true' }],
    hashes: [{ alg: 'SHA-512', content }],
    licenses: [{ license: { id: license } }],
  };
}

const flags = [
  '--sbom-format',
  'cyclonedx',
  '--sbom-type',
  'library',
  '--package-lock-only',
  '--omit',
  'dev',
];
const sbom = JSON.parse(execFileSync('npm', ['sbom', ...flags], { encoding: 'utf8' }));
const bundled = readJson('dist/third-party.json').map(bundledComponent);
const refs = bundled.map((component) => component['bom-ref']);
sbom.components.push(...bundled);
sbom.dependencies.push(...refs.map((ref) => ({ ref, dependsOn: [] })));
const own = sbom.dependencies.find(({ ref }) => ref === sbom.metadata.component['bom-ref']);
own.dependsOn.push(...refs);
writeFileSync(FILE, `${JSON.stringify(sbom, undefined, 2)}\n`);
console.log(`${FILE}: ${sbom.components.length} components, ${bundled.length} of them in the bundles`);
