/** rclone's name encoder for one mask, over raw names (see `bytes.ts`). */

import { CloudSyncError } from '../../errors.js';
import { byteAt, bytesToRaw } from './bytes.js';

export interface NameEncoder {
  /** Whether neither encoding nor decoding would change `name`; false is no promise that one would. */
  isPlain(name: string): boolean;
  encode(raw: string): string;
  decode(stored: string): string;
}

const QUOTE = '‛';
/** Added to a printable ASCII character this makes its full-width look-alike. */
const FULL_WIDTH = 0xfee0;
/** Added to a control character or the space this makes its picture. */
const PICTURE = 0x2400;

const fullWidth = (characters: string) =>
  [...characters].map((character) => pair(character, character.charCodeAt(0) + FULL_WIDTH));
const picture = (characters: string) =>
  [...characters].map((character) => pair(character, character.charCodeAt(0) + PICTURE));
const pair = (character: string, replacement: number): [string, string] => [
  character,
  String.fromCharCode(replacement),
];

const WHITE_CONTROLS = picture('\t\n\v\r');
const CONTROLS = picture(String.fromCharCode(...Array.from({ length: 0x1f }, (_, index) => index + 1)));

/** Characters replaced wherever they stand. */
const ANYWHERE: Record<string, readonly [string, string][]> = {
  Slash: fullWidth('/'),
  LtGt: fullWidth('<>'),
  DoubleQuote: fullWidth('"'),
  SingleQuote: fullWidth("'"),
  BackQuote: fullWidth('`'),
  Dollar: fullWidth('$'),
  Colon: fullWidth(':'),
  Question: fullWidth('?'),
  Asterisk: fullWidth('*'),
  Pipe: fullWidth('|'),
  Hash: fullWidth('#'),
  Percent: fullWidth('%'),
  BackSlash: fullWidth('\\'),
  SquareBracket: fullWidth('[]'),
  Semicolon: fullWidth(';'),
  Exclamation: fullWidth('!'),
  CrLf: picture('\r\n'),
  Ctl: CONTROLS,
  Del: [['\x7f', '␡']],
};

/** Characters replaced only as the first of a name; the order decides, as in rclone. */
const LEADING: Record<string, readonly [string, string][]> = {
  LeftSpace: picture(' '),
  LeftPeriod: fullWidth('.'),
  LeftTilde: fullWidth('~'),
  LeftCrLfHtVt: WHITE_CONTROLS,
};

/** Characters replaced only as the last of a name. */
const TRAILING: Record<string, readonly [string, string][]> = {
  RightSpace: picture(' '),
  RightPeriod: fullWidth('.'),
  RightCrLfHtVt: WHITE_CONTROLS,
};

const GROUPS: Record<string, readonly string[]> = {
  None: [],
  Zero: [],
  Win: ['Colon', 'Question', 'DoubleQuote', 'Asterisk', 'LtGt', 'Pipe'],
  HashPercent: ['Hash', 'Percent'],
};

const DOT_NAMES = new Map([
  ['.', '．'],
  ['..', '．．'],
  ['．', '‛．'],
  ['．．', '‛．‛．'],
]);
const DOT_NAMES_REVERSED = new Map([...DOT_NAMES].map(([name, encoded]) => [encoded, name]));

/**
 * The encoder of a mask given by rclone's names (`Slash`, `InvalidUtf8` ...; NUL is always encoded, `Raw` alone means not
 * at all). Throws INTERNAL for a name rclone doesn't know.
 */
export function nameEncoder(mask: readonly string[]): NameEncoder {
  if (mask.length === 1 && mask[0] === 'Raw') return RAW;
  return new MaskEncoder(new Set(mask.flatMap((flag) => GROUPS[flag] ?? [flag])));
}

const RAW: NameEncoder = { isPlain: () => true, encode: (raw) => raw, decode: (stored) => stored };

class MaskEncoder implements NameEncoder {
  readonly #replacements = new Map<string, string>([['\0', '␀']]);
  readonly #originals = new Map<string, string>();
  readonly #leading = new Map<string, string>();
  readonly #trailing = new Map<string, string>();
  readonly #dot: boolean;
  readonly #invalidUtf8: boolean;
  readonly #special: RegExp;

  constructor(flags: ReadonlySet<string>) {
    this.#dot = flags.has('Dot');
    this.#invalidUtf8 = flags.has('InvalidUtf8');
    for (const flag of flags) {
      const known = addPairs(this.#replacements, ANYWHERE[flag]);
      const leading = addPairs(this.#leading, LEADING[flag]);
      const trailing = addPairs(this.#trailing, TRAILING[flag]);
      if (!known && !leading && !trailing && flag !== 'Dot' && flag !== 'InvalidUtf8') {
        throw new CloudSyncError('INTERNAL', `Unknown name encoding "${flag}"`);
      }
    }
    for (const [original, replacement] of this.#replacements) this.#originals.set(replacement, original);
    this.#special = this.#specialCharacters();
  }

  isPlain(name: string): boolean {
    return !this.#special.test(name);
  }

  encode(raw: string): string {
    if (this.#dot) {
      const dots = DOT_NAMES.get(raw);
      if (dots !== undefined) return dots;
    }
    let prefix = '';
    let suffix = '';
    let from = 0;
    let to = raw.length;
    if (from < to) {
      prefix = quotedOrReplaced(this.#leading, raw[from]!);
      if (prefix !== '') from++;
    }
    if (from < to) {
      suffix = quotedOrReplaced(this.#trailing, raw[to - 1]!);
      if (suffix !== '') to--;
    }
    let stored = prefix;
    for (let index = from; index < to; index++) {
      const character = raw[index]!;
      const byte = this.#invalidUtf8 ? byteAt(raw, index) : -1;
      if (byte !== -1) stored += QUOTE + byte.toString(16).toUpperCase().padStart(2, '0');
      else if (character === QUOTE || this.#originals.has(character)) stored += QUOTE + character;
      else stored += this.#replacements.get(character) ?? character;
    }
    return stored + suffix;
  }

  decode(stored: string): string {
    if (this.#dot) {
      const dots = DOT_NAMES_REVERSED.get(stored);
      if (dots !== undefined) return dots;
    }
    let from = 0;
    let to = stored.length;
    let prefix = originalOf(this.#leading, stored[0]);
    if (prefix !== '') {
      from = 1;
    } else if (stored[0] === QUOTE && originalOf(this.#leading, stored[1]) !== '') {
      prefix = stored[1]!;
      from = 2;
    }
    let suffix = to > from ? originalOf(this.#trailing, stored[to - 1]) : '';
    if (suffix !== '') {
      to--;
      // An even number of quotes before it are quotes themselves. rclone 1.60 doesn't count and loses one here.
      if (quotesBefore(stored, from, to) % 2 === 1) suffix = stored[to--]!;
    }
    return prefix + this.#decodeBody(stored, from, to) + suffix;
  }

  #decodeBody(stored: string, from: number, to: number): string {
    let raw = '';
    let bytes: number[] = [];
    for (let index = from; index < to; index++) {
      const character = stored[index]!;
      let piece = character;
      if (character === QUOTE && index + 1 < to) {
        const next = stored[index + 1]!;
        const byte = this.#invalidUtf8 ? hexByte(stored, index + 1, to) : -1;
        if (next === QUOTE || this.#originals.has(next)) {
          piece = next;
          index++;
        } else if (byte !== -1) {
          bytes.push(byte);
          index += 2;
          continue;
        }
      } else {
        piece = this.#originals.get(character) ?? character;
      }
      if (bytes.length > 0) {
        raw += bytesToRaw(Uint8Array.from(bytes));
        bytes = [];
      }
      raw += piece;
    }
    return bytes.length > 0 ? raw + bytesToRaw(Uint8Array.from(bytes)) : raw;
  }

  /** Matches a name in which any character stands that might have to be changed in either direction. */
  #specialCharacters(): RegExp {
    const anywhere = [QUOTE, ...this.#replacements.keys(), ...this.#originals.keys()];
    const alternatives = [`[${anywhere.map(escaped).join('')}]`];
    // Without the flag u, half of an emoji would match here too: it is only ever a lone one.
    if (this.#invalidUtf8) alternatives.push('[\\uD800-\\uDFFF]');
    const leading = [...this.#leading].flat();
    const trailing = [...this.#trailing].flat();
    if (leading.length > 0) alternatives.push(`^[${leading.map(escaped).join('')}]`);
    if (trailing.length > 0) alternatives.push(`[${trailing.map(escaped).join('')}]$`);
    if (this.#dot) alternatives.push('^[.．]{1,2}$');
    return new RegExp(alternatives.join('|'), 'u');
  }
}

function addPairs(map: Map<string, string>, pairs: readonly [string, string][] | undefined): boolean {
  for (const [character, replacement] of pairs ?? []) map.set(character, replacement);
  return pairs !== undefined;
}

function quotedOrReplaced(pairs: Map<string, string>, character: string): string {
  const replacement = pairs.get(character);
  if (replacement !== undefined) return replacement;
  return originalOf(pairs, character) === '' ? '' : QUOTE + character;
}

/** The character that `replacement` stands for, '' where it stands for none. */
function originalOf(pairs: Map<string, string>, replacement: string | undefined): string {
  for (const [character, candidate] of pairs) if (candidate === replacement) return character;
  return '';
}

function quotesBefore(text: string, from: number, to: number): number {
  let count = 0;
  while (to - count > from && text[to - count - 1] === QUOTE) count++;
  return count;
}

function hexByte(text: string, from: number, to: number): number {
  const digits = text.slice(from, Math.min(from + 2, to));
  return /^[0-9a-fA-F]{2}$/.test(digits) ? Number.parseInt(digits, 16) : -1;
}

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}
