/** What the pages of the documentation point to is there, and is called what they call it. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ERROR_CODES } from '../../src/errors.js';

const PAGES = [
  'README.md',
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' }).map((name) => join('docs', name)),
].filter((name) => name.endsWith('.md'));

function textsOf(catalog: unknown): string[] {
  return typeof catalog === 'string' ? [catalog] : Object.values(catalog as object).flatMap(textsOf);
}

/** Every text of the editor in English. */
function editorTexts(): string {
  return ['sidebar', 'cloud-sync', 'cloud-restore', 'cloud-verify', 'cloud-credential']
    .flatMap((name) => textsOf(JSON.parse(readFileSync(`nodes/${name}/locales/en-US/${name}.json`, 'utf8'))))
    .join('\n')
    .toLowerCase();
}

describe('The documentation', () => {
  it('links to pages, files and pictures that are there', () => {
    assert.ok(PAGES.length > 8);
    for (const page of PAGES) {
      for (const [, target] of readFileSync(page, 'utf8').matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
        if (!/^[a-z]+:/.test(target!))
          assert.ok(existsSync(join(dirname(page), target!)), `${page}: ${target}`);
      }
    }
  });

  it('shows every picture that is packed with it', () => {
    const text = PAGES.map((page) => readFileSync(page, 'utf8')).join('\n');
    for (const picture of readdirSync('docs/images')) assert.ok(text.includes(`images/${picture}`), picture);
  });

  it('names only commands that package.json has', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      scripts: Record<string, string>;
    };
    for (const page of PAGES) {
      for (const [, name] of readFileSync(page, 'utf8').matchAll(/npm run ([\w:]+)/g)) {
        assert.ok(name! in scripts, `${page}: npm run ${name}`);
      }
    }
  });

  it('explains every error that a user can mend, and no other', () => {
    const page = readFileSync('docs/troubleshooting.md', 'utf8');
    const explained = new Set([...page.matchAll(/`([A-Z]+(?:_[A-Z]+)*)`/g)].map(([, code]) => code!));
    // These say in their own words what is wrong with what was typed, or stand beside one that is explained.
    const selfExplaining = [
      'INVALID_INPUT',
      'NOT_FOUND',
      'ALREADY_EXISTS',
      'PRECONDITION_FAILED',
      'ABORTED',
      'INTERNAL',
    ];
    assert.deepEqual(
      Object.keys(ERROR_CODES).filter((code) => !explained.has(code) && !selfExplaining.includes(code)),
      [],
    );
    const environment = ['HTTPS_PROXY', 'NO_PROXY'];
    assert.deepEqual(
      [...explained].filter((code) => !(code in ERROR_CODES) && !environment.includes(code)),
      [],
    );
  });

  it('calls fields and buttons what the editor calls them', () => {
    const texts = editorTexts();
    for (const page of ['docs/migration.md', 'docs/first-backup.md']) {
      const names = [...readFileSync(page, 'utf8').matchAll(/(?<![*\w])\*([^*\n]+)\*(?!\*)/g)].map(
        ([, name]) => name!,
      );
      assert.ok(names.length > 5, page);
      // Words of the flow, of Node-RED's menu, and an emphasis.
      const others = [
        'My storage',
        'Verify',
        'Restore',
        'Import',
        'Examples',
        '3 - Restore drill',
        'What a sync deletes',
        'Here',
      ];
      assert.deepEqual(
        names.filter((name) => !others.includes(name) && !texts.includes(name.toLowerCase())),
        [],
        page,
      );
    }
  });
});
