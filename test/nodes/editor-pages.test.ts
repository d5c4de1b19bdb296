import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import { RESTORE_PROPERTIES, TASK_PROPERTIES, VERIFY_PROPERTIES } from '../../nodes/properties.js';
import { TYPED_RESTORE_PROPERTIES, TYPED_TASK_PROPERTIES, typePropertyOf } from '../../nodes/typed-inputs.js';
import { PROVIDERS } from '../../src/stores/registry.js';

interface Definition {
  defaults: Record<string, { value: unknown }>;
  credentials?: Record<string, { type: string }>;
}

/** What a page registers. */
function definitionOf(type: string): Definition {
  const page = readFileSync(`nodes/${type}/${type}.html`, 'utf8');
  const [, script] = /<script type="text\/javascript">([\s\S]*?)<\/script>/.exec(page)!;
  let found: Definition | undefined;
  const registerType = (_type: string, definition: Definition) => {
    found = definition;
  };
  runInNewContext(script!, { RED: { nodes: { registerType } } });
  return found!;
}

describe('editor pages', () => {
  it('save every property the runtime reads, with its default', () => {
    const pages = [
      ['cloud-sync', TASK_PROPERTIES, ['credential'], TYPED_TASK_PROPERTIES],
      ['cloud-restore', RESTORE_PROPERTIES, ['task'], TYPED_RESTORE_PROPERTIES],
      ['cloud-verify', VERIFY_PROPERTIES, ['task'], []],
    ] as const;
    for (const [type, properties, references, typed] of pages) {
      const { defaults } = definitionOf(type);
      assert.deepEqual(
        Object.keys(defaults).sort(),
        [...Object.keys(properties), ...references, ...typed.map(typePropertyOf)].sort(),
        type,
      );
      for (const name of typed) assert.equal(defaults[typePropertyOf(name)]!.value, 'str', name);
      for (const [name, { default: value }] of Object.entries(properties)) {
        // A number that isn't set is an empty field.
        const saved = JSON.parse(JSON.stringify(defaults[name]!.value)) as unknown;
        assert.deepEqual(saved, value ?? '', `${type} ${name}`);
      }
    }
  });

  it('keep every field of every provider, secrets as Node-RED credentials', () => {
    const { defaults, credentials } = definitionOf('cloud-credential');
    for (const { id, fields } of PROVIDERS) {
      for (const { name, secret, type } of fields) {
        assert.equal(name in credentials!, secret, `${id} ${name}`);
        assert.equal(name in defaults, !secret, `${id} ${name}`);
        if (secret)
          assert.equal(credentials![name]!.type, type === 'text' ? 'text' : 'password', `${id} ${name}`);
      }
    }
  });

  it('have a label for every field of every provider', () => {
    const catalog = JSON.parse(readFileSync('nodes/sidebar/locales/en-US/sidebar.json', 'utf8')) as {
      field: Record<string, { label?: string }>;
    };
    for (const { id, fields } of PROVIDERS) {
      for (const { name } of fields) assert.ok(catalog.field[name]?.label, `${id} ${name}`);
    }
  });

  it('have every text that the editor asks for by name', () => {
    const catalog = JSON.parse(readFileSync('nodes/sidebar/locales/en-US/sidebar.json', 'utf8')) as object;
    const files = readdirSync('nodes/editor').filter((name) => /^[\w-]+\.ts$/.test(name));
    assert.ok(files.length > 10);
    for (const file of files) {
      const source = readFileSync(`nodes/editor/${file}`, 'utf8');
      for (const [, key] of source.matchAll(/\bt\('([\w.-]+)'/g)) {
        const text = key!
          .split('.')
          .reduce<unknown>((part, name) => (part as Record<string, unknown>)?.[name], catalog);
        assert.equal(typeof text, 'string', `${file} ${key}`);
      }
    }
  });
});
