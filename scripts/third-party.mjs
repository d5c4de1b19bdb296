// Which libraries are part of the bundles: their licences want to be handed on, and whoever asks what is inside (SBOM) has
// to find them. They are development dependencies, so nothing else names them.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Licences that ask for no more than to be named. */
const PERMISSIVE =
  /^\(?(?:MIT|ISC|Apache-2\.0|0BSD|BSD-2-Clause|BSD-3-Clause|BlueOak-1\.0\.0)(?: OR .*)?\)?$/;

/** Code of others within these packages, beside their own. */
const WITHIN = {
  undici: 'undici holds llhttp (https://github.com/nodejs/llhttp), MIT, Copyright Fedor Indutny, 2018.',
};

/** An esbuild plugin that adds the folder of each package of which code is bundled to `folders`. */
export function collectPackages(folders) {
  return {
    name: 'collect-packages',
    setup(builder) {
      builder.initialOptions.metafile = true;
      builder.onEnd(({ metafile }) => {
        for (const { inputs } of Object.values(metafile?.outputs ?? {})) {
          for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
            const folder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];
            if (folder !== undefined && bytesInOutput > 0) folders.add(folder);
          }
        }
      });
    },
  };
}

/** The packages in `folders`, by name. Throws where one has a licence that might not be enough to name. */
export function describePackages(folders) {
  const packages = [...folders].map((folder) => {
    const { name, version, license, homepage, repository } = JSON.parse(
      readFileSync(join(folder, 'package.json'), 'utf8'),
    );
    if (!PERMISSIVE.test(String(license))) {
      throw new Error(`${name} is bundled under ${license}: read what that asks for`);
    }
    const place = homepage ?? repository?.url ?? repository;
    return { name, version, license, homepage: place, text: licenceText(folder) };
  });
  return packages.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function licenceText(folder) {
  const files = readdirSync(folder).filter((name) => /^(?:licen[cs]e|copying|notice)/i.test(name));
  return files.map((name) => readFileSync(join(folder, name), 'utf8').trim()).join('\n\n');
}

/** What has to be handed on with the bundles. */
export function noticeOf(packages) {
  const parts = packages.map(({ name, version, license, homepage, text }) =>
    [`${name} ${version} (${license})`, homepage, WITHIN[name], text].filter(Boolean).join('\n\n'),
  );
  return `This package contains code of the following libraries.\n\n${[...parts, ''].join(`\n\n${'-'.repeat(80)}\n\n`)}`;
}
