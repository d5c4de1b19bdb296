import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const LANGUAGES = ['de', 'fr', 'ja', 'zh-CN'];

type Catalog = { [key: string]: string | Catalog };

/** `key.of.text` to text. */
function textsOf(catalog: Catalog, prefix = ''): Array<[string, string]> {
  return Object.entries(catalog).flatMap(([key, value]) =>
    typeof value === 'string' ? [[prefix + key, value]] : textsOf(value, `${prefix}${key}.`),
  );
}

function readCatalog(folder: string, language: string): Map<string, string> {
  const text = readFileSync(join('nodes', folder, 'locales', language, `${folder}.json`), 'utf8');
  return new Map(textsOf(JSON.parse(text) as Catalog));
}

/** What is filled in: `__count__`. */
function placeholders(text: string): string[] {
  return (text.match(/__\w+?__/g) ?? []).sort();
}

describe('the texts in other languages', () => {
  const folders = readdirSync('nodes').filter((folder) => existsSync(join('nodes', folder, 'locales')));

  for (const language of LANGUAGES) {
    it(`are all there in ${language}, with what is filled in`, () => {
      assert.ok(folders.length >= 5);
      for (const folder of folders) {
        const english = readCatalog(folder, 'en-US');
        const other = readCatalog(folder, language);
        assert.deepEqual([...other.keys()].sort(), [...english.keys()].sort(), folder);
        for (const [key, text] of english) {
          const translated = other.get(key)!;
          assert.equal(translated === '', text === '', `${folder} ${key}`);
          assert.deepEqual(placeholders(translated), placeholders(text), `${folder} ${key}`);
        }
      }
    });
  }
});
