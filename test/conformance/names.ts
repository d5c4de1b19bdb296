/** Keys: every odd name comes back as it was given, and so does what lies under it. */

import assert from 'node:assert/strict';
import {
  assertListed,
  contentOf,
  forEachParallel,
  hasRealFolders,
  holdsAsIs,
  inUtf8Order,
  listKeys,
  readAll,
  rejectsWith,
  type Subject,
} from './support.js';

const ODD_SEGMENTS = [
  'with space',
  ' leading space',
  'trailing space ',
  '  two  spaces  ',
  '.leading dot',
  'trailing dot.',
  '..leading dots',
  '...',
  'plus+plus',
  '100 %',
  '%41%2F%zz',
  '#hash',
  '&and',
  '?question=1&b=2',
  'equals=',
  'semicolon;',
  'colon:',
  'comma,',
  "apostrophe's",
  '"quoted"',
  'back\\slash',
  '<angle>&amp;&#10;]]>',
  'pipe|',
  'star*',
  '~tilde',
  'caret^',
  'tick`',
  '$dollar',
  '!bang',
  '(round)[square]{curly}',
  '@at',
  'umlaut \u00fc composed',
  'umlaut u\u0308 decomposed',
  '\u65e5\u672c\u8a9e',
  '\u{1f600}',
  '\uff0e\uff0f full width',
  'new\nline',
  'carriage\rreturn',
  'tab\t',
  'bell\u0007',
  'delete\u007f',
  'next line\u0085',
  'line separator\u2028',
  '\ufeffbyte order mark',
  'noncharacter\ufffe',
  'con',
  'x'.repeat(200),
];

export function namesTests(subject: Subject): void {
  describe('names', () => {
    it('come back as given, with their content, as files and as folders', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const { emulatorRefuses } = subject.target;
      const segments = ODD_SEGMENTS.filter(
        (segment) =>
          holdsAsIs(store, segment) &&
          emulatorRefuses?.test(segment) !== true &&
          (store.features.normalizationSensitive || segment === segment.normalize('NFC')),
      );
      assert.ok(segments.length > 20, `only ${segments.length} names can be tested`);
      const keys = segments.flatMap((segment) => [`${prefix}files/${segment}`, `${prefix}${segment}/f`]);
      await forEachParallel(keys, async (key) => {
        const written = await store.write(key, contentOf(`content of ${key}`));
        assert.equal(written.key, key);
      });
      assertListed(store, await listKeys(store, { prefix }), keys);
      await forEachParallel(keys, async (key) => {
        assert.equal((await readAll(store, key)).toString(), `content of ${key}`);
        assert.equal((await store.head(key))?.key, key);
      });
      for (const segment of segments) {
        assert.deepEqual(await listKeys(store, { prefix: `${prefix}${segment}/` }), [
          `${prefix}${segment}/f`,
        ]);
      }
      const outcomes = await store.deleteMany(keys.map((key) => ({ key })));
      assert.deepEqual(
        outcomes,
        keys.map((key) => ({ key })),
      );
      assert.deepEqual(await listKeys(store, { prefix }), []);
    });

    it('of both normal forms are two objects where the store says so', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const composed = `${prefix}caf\u00e9`;
      const decomposed = `${prefix}cafe\u0301`;
      await store.write(composed, contentOf('composed'));
      await store.write(decomposed, contentOf('decomposed'));
      const keys = await listKeys(store, { prefix });
      if (store.features.normalizationSensitive) {
        assertListed(store, keys, [composed, decomposed]);
        assert.equal((await readAll(store, composed)).toString(), 'composed');
      } else {
        assert.equal(keys.length, 1);
      }
      assert.equal((await readAll(store, decomposed)).toString(), 'decomposed');
    });

    it('that differ in case are two objects where the store says so', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      await store.write(`${prefix}Photo`, contentOf('upper'));
      await store.write(`${prefix}photo`, contentOf('lower'));
      assert.equal((await listKeys(store, { prefix })).length, store.features.caseSensitive ? 2 : 1);
      const upper = (await readAll(store, `${prefix}Photo`)).toString();
      assert.equal(upper, store.features.caseSensitive ? 'upper' : 'lower');
    });

    it('may be a file and a folder at once, except where folders are real', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      await store.write(`${prefix}a`, contentOf('file'));
      if (hasRealFolders(store)) {
        await rejectsWith(() => store.write(`${prefix}a/x`, contentOf('below')), 'OBSTRUCTED');
        assert.deepEqual(await listKeys(store, { prefix }), [`${prefix}a`]);
        return;
      }
      await store.write(`${prefix}a/x`, contentOf('below'));
      assertListed(store, await listKeys(store, { prefix }), [`${prefix}a`, `${prefix}a/x`]);
      await store.delete({ key: `${prefix}a` });
      assert.deepEqual(await listKeys(store, { prefix }), [`${prefix}a/x`]);
    });

    it('reach the longest key the store allows, and not a byte further', async () => {
      const { store } = subject;
      const { maxKeyBytes, maxSegmentBytes } = store.features.names;
      const prefix = subject.prefix();
      const wanted = maxKeyBytes ?? 800;
      const key = longKey(prefix, wanted, Math.min(maxSegmentBytes ?? 200, 200));
      assert.equal(Buffer.byteLength(key), wanted);
      await store.write(key, contentOf('long'));
      assert.equal((await readAll(store, key)).toString(), 'long');
      assert.deepEqual(await listKeys(store, { prefix }), [key]);
      if (maxKeyBytes !== undefined) {
        const error = await rejectsWith(() => store.write(`${key}x`, contentOf('x')), 'NAME_TOO_LONG');
        assert.equal(error.retryable, false);
      }
      if (maxSegmentBytes !== undefined) {
        const segment = 'y'.repeat(maxSegmentBytes + 1);
        await rejectsWith(() => store.write(`${prefix}${segment}`, contentOf('x')), 'NAME_TOO_LONG');
      }
      await store.delete({ key });
    });

    it('are listed in UTF-8 byte order where the store says so', async () => {
      const { store } = subject;
      const prefix = subject.prefix();
      const names = [
        'a-b',
        'a.txt',
        'a/x',
        'a/x y',
        'a0',
        'A',
        '\uff0e',
        '\u{1f600}',
        'a\u0300',
        '\u00e0',
        '~',
        'a-/b',
      ];
      if (!hasRealFolders(store)) names.push('a');
      const usable = names.filter((name) => name.split('/').every((segment) => holdsAsIs(store, segment)));
      const distinct = usable.filter(
        (name) =>
          (store.features.caseSensitive || name !== 'A') &&
          (store.features.normalizationSensitive || name !== 'a\u0300'),
      );
      for (const name of distinct) await store.write(prefix + name, contentOf(name));
      const listed = await listKeys(store, { prefix });
      const expected = inUtf8Order(distinct.map((name) => prefix + name));
      if (store.features.order === 'utf8') assert.deepEqual(listed, expected);
      else assert.deepEqual(inUtf8Order(listed), expected);
    });
  });
}

/** A key of exactly `bytes` bytes of UTF-8, its segments at most `segmentBytes` long. */
function longKey(prefix: string, bytes: number, segmentBytes: number): string {
  let key = prefix;
  while (bytes - Buffer.byteLength(key) > segmentBytes) {
    key += `${'\u00e9'.repeat(Math.floor((segmentBytes - 1) / 2))}/`;
  }
  return key + 'z'.repeat(bytes - Buffer.byteLength(key));
}
