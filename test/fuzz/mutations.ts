/** Valid texts and JSON with something wrong in them. */

import fc from 'fast-check';
import { anyJson } from './support.js';

/** What parsers stumble over. */
const JUNK = [
  ...[
    '<',
    '>',
    '/>',
    '</',
    '<!--',
    ']]>',
    '<![CDATA[',
    '<?xml',
    '&',
    ';',
    '"',
    "'",
    '=',
    ' ',
    '\n',
    '\0',
    '\u{feff}',
  ],
  ...[
    '&#x110000;',
    '&#99999999999999999999;',
    '&#0;',
    '&#xd800;',
    '&#xZZ;',
    '&lol9;',
    '&amp;amp;',
    '%',
    '%zz',
    '%E0%A4%A',
    '%00',
    '+',
  ],
  ...['<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;">]>', '&b;&b;&b;'],
  ...[
    '-1',
    '0',
    '1e999',
    '99999999999999999999999999',
    '0x10',
    'NaN',
    '-0',
    '1.5',
    'null',
    'true',
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
  ],
  ...[
    '9999-99-99T99:99:99.999Z',
    '2024-01-01T00:00:00Z',
    '../../',
    '/',
    '//',
    '..',
    '\u{1f600}',
    'x'.repeat(3000),
  ],
];
const BROKEN_UTF8 = [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82], [0xf8, 0x88, 0x80, 0x80, 0x80]];
const junk = fc.oneof(
  fc.constantFrom(...JUNK.map((text) => Buffer.from(text))),
  fc.constantFrom(...BROKEN_UTF8.map((bytes) => Buffer.from(bytes))),
  fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
);

type Edit = (bytes: Buffer) => Buffer;

/** A place in a buffer, as a share of its length. */
const place = fc.double({ min: 0, max: 1, noNaN: true });
const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.tuple(place, junk).map(
    ([at, piece]): Edit =>
      (bytes) =>
        spliced(bytes, at, 0, piece),
  ),
  fc.tuple(place, fc.nat(40), junk).map(
    ([at, length, piece]): Edit =>
      (bytes) =>
        spliced(bytes, at, length, piece),
  ),
  fc.tuple(place, fc.nat(200)).map(
    ([at, length]): Edit =>
      (bytes) =>
        spliced(bytes, at, length, Buffer.alloc(0)),
  ),
  place.map(
    (at): Edit =>
      (bytes) =>
        bytes.subarray(0, Math.floor(at * bytes.length)),
  ),
  fc.tuple(place, fc.nat(300), place).map(
    ([from, length, to]): Edit =>
      (bytes) => {
        const start = Math.floor(from * bytes.length);
        return spliced(bytes, to, 0, bytes.subarray(start, start + length));
      },
  ),
  fc.tuple(place, fc.nat(255)).map(
    ([at, value]): Edit =>
      (bytes) =>
        spliced(bytes, at, 1, Buffer.from([value])),
  ),
);

function spliced(bytes: Buffer, at: number, length: number, piece: Buffer): Buffer {
  const start = Math.floor(at * bytes.length);
  return Buffer.concat([bytes.subarray(0, start), piece, bytes.subarray(start + length)]);
}

/** The bytes that `original` gives with some edits; sometimes none, sometimes nothing of it. */
export function mutatedBytes(original: () => Buffer): fc.Arbitrary<Buffer> {
  return fc.oneof(
    {
      weight: 12,
      arbitrary: fc
        .array(edit, { maxLength: 3 })
        .map((edits) => edits.reduce((bytes, change) => change(bytes), original())),
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
  );
}

/** What stands in the text between two tags or as a value: a field's content, replaced whole. */
export function mutatedFields(original: string): fc.Arbitrary<Buffer> {
  const fields = [...original.matchAll(/>([^<>]+)</g)].map(
    ({ index, 1: text }) => [index + 1, text!.length] as const,
  );
  const text = fc.oneof(junk.map(String), fc.constantFrom(''));
  return fc
    .tuple(fc.constantFrom(...fields), text)
    .map(([[start, length], value]) =>
      Buffer.from(original.slice(0, start) + value + original.slice(start + length)),
    );
}

/** `original` with one or two of its values replaced by any others, or left out. */
export function mutatedJson(original: unknown): fc.Arbitrary<unknown> {
  const change = fc.tuple(fc.nat(), fc.oneof(anyJson, fc.constant(LEFT_OUT)));
  return fc.oneof(
    {
      weight: 12,
      arbitrary: fc
        .array(change, { maxLength: 2 })
        .map((changes) => changes.reduce(changed, structuredClone(original))),
    },
    { weight: 1, arbitrary: anyJson },
  );
}

const LEFT_OUT = Symbol('left out');

function changed(root: unknown, [number, value]: [number, unknown]): unknown {
  const places: { parent: Record<string, unknown>; name: string }[] = [];
  const walk = (parent: unknown): void => {
    if (typeof parent !== 'object' || parent === null) return;
    for (const [name, child] of Object.entries(parent)) {
      places.push({ parent: parent as Record<string, unknown>, name });
      walk(child);
    }
  };
  walk(root);
  if (places.length === 0) return value === LEFT_OUT ? undefined : value;
  const { parent, name } = places[number % places.length]!;
  if (value === LEFT_OUT) delete parent[name];
  else parent[name] = value;
  return root;
}
