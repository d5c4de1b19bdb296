/**
 * Who watches the watchman: faults planted into the package, one at a time, each of which the soak has to find. The
 * program is bundled with the changed file, nothing of it is in the package.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { bundle } from './bundle.js';

interface Planted {
  name: string;
  /** Below `src`. */
  file: string;
  find: RegExp;
  replace: string;
  /** What the soak says. */
  found: RegExp;
}

const FAULTS: Planted[] = [
  {
    name: 'deleting before the error check',
    file: 'engine/deletions.ts',
    find: /if \(run\.problems\.any\)(?= \{\s+run\.log\('delete')/,
    replace: 'if (run.problems.any && run.settings.dryRun)',
    found: /DELETED TOO EARLY/,
  },
  {
    name: "JavaScript's order in the merge",
    file: 'engine/march.ts',
    find: /import \{ compareUtf8 \} from '[^']+';/,
    replace: 'const compareUtf8 = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);',
    found: /a second run: |transfers and renames reported|UNTRUE SUCCESS/,
  },
  {
    name: 'skipping on size alone',
    file: 'engine/comparison.ts',
    find: /if \(local\.size !== pair\.remote\.size\) return \{ kind: 'different' \};/,
    replace:
      "return { kind: local.size === pair.remote.size ? 'equal' : 'different', local, remote: pair.remote, md5: '' };",
    found: /UNTRUE SUCCESS: .* differs/,
  },
  {
    name: 'a nonce used twice',
    file: 'stores/encryption/format.ts',
    find: /return randomBytes\(NONCE_SIZE\)/,
    replace: 'return Buffer.alloc(NONCE_SIZE, randomBytes(1)[0]! & 7)',
    found: /NONCE USED TWICE/,
  },
  {
    name: 'renaming a download before its check',
    file: 'stores/local/write.ts',
    find: /const writing =[^;]+;\s+if \(writing !== undefined\) await writing;\s+return (await commit\([^;]+\));/,
    replace: `
      const unchecked = { ...options, hashes: undefined };
      if (content.bytes === undefined) await writeStream(draft.fd, content, unchecked, key);
      else await writeBytes(draft.fd, content, content.bytes, unchecked, key);
      const early = $1;
      const written = fs.readFileSync(folder.at(name));
      const wanted = options.hashes ?? {};
      requireHashes(wanted, hashesOf({ size: written.length } as Content, written, algorithmsOf(wanted)), key);
      return early;`,
    found: /WRONG CONTENT/,
  },
];

const SEED = 7;
const STEPS = 400;

describe('a fault planted into the package is found by the soak', function () {
  this.timeout(180_000);
  let folder: string;

  before(() => {
    // Within the package, where its dependencies are found.
    folder = mkdtempSync(resolve('node_modules', '.soak-test-'));
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const fault of FAULTS) {
    it(fault.name, async () => {
      const { code, output } = await runSoak(await bundleWith(fault, folder));
      assert.equal(code, 1, `not found in ${STEPS} steps`);
      assert.match(output, fault.found);
      console.log(`      ${/^seed \d+, world \d+, step \d+/m.exec(output)?.[0]}`);
    });
  }
});

async function bundleWith(fault: Planted, folder: string): Promise<string> {
  const changed = resolve('src', fault.file);
  const outfile = join(folder, `${FAULTS.indexOf(fault)}.cjs`);
  let isPlanted = false;
  await bundle('main.ts', outfile, [
    {
      name: 'plant',
      setup: ({ onLoad }) => {
        onLoad({ filter: /\.ts$/ }, ({ path }) => {
          if (path !== changed) return undefined;
          const source = readFileSync(path, 'utf8');
          isPlanted = fault.find.test(source);
          return { contents: source.replace(fault.find, fault.replace), loader: 'ts' };
        });
      },
    },
  ]);
  assert.ok(isPlanted, `${fault.file} has changed: the fault has to be planted in another way`);
  return outfile;
}

function runSoak(file: string): Promise<{ code: number; output: string }> {
  const options = { maxBuffer: 64 * 1024 * 1024 };
  return new Promise((settle) => {
    execFile(
      process.execPath,
      [file, '--seed', String(SEED), '--steps', String(STEPS)],
      options,
      (error, out) => {
        settle({ code: error === null ? 0 : Number(error.code), output: out });
      },
    );
  });
}
