import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import { typePropertyOf } from '../../nodes/typed-inputs.js';

const TYPES = ['cloud-sync', 'cloud-restore', 'cloud-verify', 'cloud-credential'];
const LANGUAGES = ['de', 'fr', 'ja', 'zh-CN'];

/** A line of a description list as Node-RED reads it: term, type, description; no colon in any of them. */
const DESCRIPTION = /^:([^:]+)\(([^:]+)\).*?:([^:]*)$/;

function helpOf(type: string, language: string): string {
  const text = readFileSync(`nodes/${type}/locales/${language}/${type}.html`, 'utf8');
  const start = `<script type="text/markdown" data-help-name="${type}">\n`;
  assert.ok(text.startsWith(start) && text.endsWith('\n</script>\n'), `${type} ${language}`);
  return text.slice(start.length, -'</script>\n'.length);
}

function descriptions(help: string): string[] {
  return help.split('\n').filter((line) => line.startsWith(':'));
}

/** What stays the same in every language: the levels of headings, types of values, names and values in code. */
function skeleton(help: string): { headings: string[]; types: string[]; code: string[]; paragraphs: number } {
  return {
    headings: [...help.matchAll(/^#+/gm)].map(([level]) => level),
    types: descriptions(help).map((line) => DESCRIPTION.exec(line)?.[2] ?? line),
    code: [...help.matchAll(/`[^`]+`/g)].map(([name]) => name).sort(),
    paragraphs: help.split(/\n\n+/).length,
  };
}

/** Properties and secrets that a node's page saves. */
function savedBy(type: string): string[] {
  const page = readFileSync(`nodes/${type}/${type}.html`, 'utf8');
  const [, script] = /<script type="text\/javascript">([\s\S]*?)<\/script>/.exec(page)!;
  const saved: string[] = [];
  const registerType = (_type: string, definition: { defaults: object; credentials?: object }) => {
    saved.push(...Object.keys(definition.defaults), ...Object.keys(definition.credentials ?? {}));
  };
  runInNewContext(script!, { RED: { nodes: { registerType } } });
  return saved;
}

describe('the help', () => {
  for (const type of TYPES) {
    it(`of ${type} names every property`, () => {
      const help = helpOf(type, 'en-US');
      const named = new Set(
        descriptions(help).flatMap((line) => (DESCRIPTION.exec(line)?.[2] ?? '').split(', ')),
      );
      const saved = savedBy(type);
      // Where a typed input says what its text is, the input itself is what the help is about.
      const ownTypes = new Set(saved.map(typePropertyOf));
      assert.deepEqual(
        saved.filter((name) => !ownTypes.has(name) && !named.has(name)),
        [],
      );
    });

    it(`of ${type} is in every language what it is in English`, () => {
      const english = skeleton(helpOf(type, 'en-US'));
      for (const language of LANGUAGES) {
        assert.deepEqual(skeleton(helpOf(type, language)), english, language);
      }
    });

    it(`of ${type} is written so that Node-RED shows it`, () => {
      for (const language of ['en-US', ...LANGUAGES]) {
        const broken = descriptions(helpOf(type, language)).filter((line) => !DESCRIPTION.test(line));
        assert.deepEqual(broken, [], language);
      }
    });
  }

  it('of every node tells what its messages and outputs are', () => {
    for (const type of TYPES.slice(0, 3)) {
      const help = helpOf(type, 'en-US');
      assert.match(help, /^### Inputs\n: action /m, type);
      assert.match(
        help,
        /^### Outputs\n1\. .+\n: payload .+\n\n2\. .+\n: payload .+\n\n3\. .+\n: payload /m,
        type,
      );
    }
  });

  it('of cloud-sync tells every part of a report', () => {
    const report = readFileSync('src/engine/report.ts', 'utf8');
    const partsOf = (name: string) => {
      const [, body] = new RegExp(`export interface ${name}[^{]*\\{\\n([\\s\\S]*?)\\n\\}`).exec(report)!;
      return [...body!.matchAll(/^ {2}(\w+)\??:/gm)].map(([, part]) => part!);
    };
    const sync = helpOf('cloud-sync', 'en-US');
    const verify = helpOf('cloud-verify', 'en-US');
    const restore = helpOf('cloud-restore', 'en-US');
    for (const [name, text] of [
      ['EngineCounts', sync],
      ['RunReport', sync + restore],
      ['VerifyFindings', verify],
      ['Progress', sync + restore],
    ] as const) {
      const parts = partsOf(name);
      assert.ok(parts.length > 3, name);
      for (const part of parts) assert.match(text, new RegExp(`\\b${part}\\b`), `${name}.${part}`);
    }
  });
});
