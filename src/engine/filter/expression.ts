/**
 * Reads regular expressions in the syntax of RE2 as Go understands it (https://github.com/google/re2/wiki/Syntax, Go's
 * `regexp/syntax` with Perl flags): no look-around, no back-references, nothing that needs backtracking.
 */

import {
  type CharacterSet,
  DIGIT,
  EVERYTHING,
  foldCase,
  NEWLINE,
  negate,
  normalise,
  POSIX_CLASSES,
  SPACE,
  unicodeClass,
  WORD,
} from './character-set.js';
import { PatternError } from './pattern-error.js';

export type Assertion = 'text-start' | 'text-end' | 'line-start' | 'line-end' | 'word-edge' | 'no-word-edge';

export type Expression = { height: number } & (
  | { kind: 'set'; set: CharacterSet }
  | { kind: 'assertion'; assertion: Assertion }
  | { kind: 'sequence'; items: readonly Expression[] }
  | { kind: 'choice'; items: readonly Expression[] }
  /** `most` undefined: any number. */
  | { kind: 'repeat'; item: Expression; least: number; most: number | undefined }
);

/** Go's limits: how often something may be repeated, nested repeats multiplied, and how deep an expression nests. */
const MAX_REPEAT = 1000;
const MAX_HEIGHT = 1000;

interface Flags {
  ignoreCase: boolean;
  multiLine: boolean;
  dotMatchesNewline: boolean;
}

/** An open parenthesis: what is read inside it, and what has to be restored behind it. */
interface Level {
  choices: Expression[];
  items: Expression[];
  flags: Flags;
}

function higher(items: readonly Expression[]): number {
  let height = 0;
  for (const item of items) height = Math.max(height, item.height);
  if (height >= MAX_HEIGHT) throw new PatternError('the regular expression is nested too deeply');
  return height + 1;
}

function sequence(items: readonly Expression[]): Expression {
  return items.length === 1 ? items[0]! : { kind: 'sequence', items, height: higher(items) };
}

/** Whether repeats inside repeats of `expression` stay below `limit` together. */
function repeatsAtMost(expression: Expression, limit: number): boolean {
  if (expression.kind === 'repeat') {
    // `*`, `+` and `?` aren't counted.
    const times = expression.most ?? expression.least;
    if (expression.most === 0) return true;
    const counted = expression.most !== undefined ? expression.most > 1 : expression.least > 1;
    if (counted && times > limit) return false;
    return repeatsAtMost(expression.item, counted ? Math.floor(limit / times) : limit);
  }
  if (expression.kind === 'sequence' || expression.kind === 'choice') {
    return expression.items.every((item) => repeatsAtMost(item, limit));
  }
  return true;
}

class ExpressionParser {
  private position = 0;
  private readonly levels: Level[] = [];
  private level: Level = { choices: [], items: [], flags: this.noFlags() };
  private flags: Flags = this.noFlags();

  constructor(private readonly source: string) {}

  parse(): Expression {
    // What the last round read, if it was a repeat: one may not follow another directly.
    let afterRepeat = false;
    while (this.position < this.source.length) {
      afterRepeat = this.parseOne(afterRepeat);
    }
    if (this.levels.length > 0) throw new PatternError('"(" is never closed by ")"');
    return this.closeLevel();
  }

  private noFlags(): Flags {
    return { ignoreCase: false, multiLine: false, dotMatchesNewline: false };
  }

  private add(expression: Expression): void {
    this.level.items.push(expression);
  }

  private addSet(set: CharacterSet): void {
    this.add({ kind: 'set', set, height: 1 });
  }

  private addAssertion(assertion: Assertion): void {
    this.add({ kind: 'assertion', assertion, height: 1 });
  }

  private addLiteral(codePoint: number): void {
    const set: CharacterSet = [codePoint, codePoint];
    this.addSet(this.flags.ignoreCase ? foldCase(set) : set);
  }

  private nextCodePoint(): number {
    const codePoint = this.source.codePointAt(this.position);
    if (codePoint === undefined) throw new PatternError('the regular expression ends too early');
    this.position += codePoint > 0xffff ? 2 : 1;
    return codePoint;
  }

  /** Returns whether it was a repeat. */
  private parseOne(afterRepeat: boolean): boolean {
    const character = this.source[this.position]!;
    switch (character) {
      case '(':
        if (this.source[this.position + 1] === '?') this.parseGroupOptions();
        else this.openLevel(1);
        return false;
      case '|':
        this.position++;
        this.level.choices.push(sequence(this.level.items));
        this.level.items = [];
        return false;
      case ')':
        this.parseClosing();
        return false;
      case '^':
        this.position++;
        this.addAssertion(this.flags.multiLine ? 'line-start' : 'text-start');
        return false;
      case '$':
        this.position++;
        this.addAssertion(this.flags.multiLine ? 'line-end' : 'text-end');
        return false;
      case '.':
        this.position++;
        this.addSet(this.flags.dotMatchesNewline ? EVERYTHING : negate(NEWLINE));
        return false;
      case '[':
        this.parseBrackets();
        return false;
      case '*':
      case '+':
      case '?':
        this.position++;
        this.repeat(character === '+' ? 1 : 0, character === '?' ? 1 : undefined, character, afterRepeat);
        return true;
      case '{':
        return this.parseCount(afterRepeat);
      case '\\':
        this.parseEscape();
        return false;
      default:
        this.addLiteral(this.nextCodePoint());
        return false;
    }
  }

  private openLevel(length: number): void {
    this.position += length;
    this.levels.push(this.level);
    if (this.levels.length > MAX_HEIGHT) {
      throw new PatternError('the regular expression is nested too deeply');
    }
    this.level = { choices: [], items: [], flags: { ...this.flags } };
  }

  private closeLevel(): Expression {
    const last = sequence(this.level.items);
    if (this.level.choices.length === 0) return last;
    const items = [...this.level.choices, last];
    return { kind: 'choice', items, height: higher(items) };
  }

  private parseClosing(): void {
    this.position++;
    const outer = this.levels.pop();
    if (outer === undefined) throw new PatternError('")" has no "(" before it');
    const inner = this.closeLevel();
    this.flags = this.level.flags;
    this.level = outer;
    // A group of its own, so that a repeat behind it takes all of it.
    this.add(inner);
  }

  /** `(?:`, `(?i)`, `(?i-s:`, `(?P<name>`. */
  private parseGroupOptions(): void {
    const named = /^\(\?P<([^>]*)>/.exec(this.source.slice(this.position));
    if (named !== null && this.source.length - this.position > 4) {
      if (!/^\w+$/.test(named[1]!)) throw new PatternError(`"${named[1]}" can't be the name of a group`);
      this.openLevel(named[0].length);
      return;
    }
    const options = /^\(\?([imsU]*)(?:-([imsU]+))?([:)])/.exec(this.source.slice(this.position));
    if (options === null) this.refuseGroup();
    const flags = { ...this.flags };
    for (const [letters, value] of [
      [options[1]!, true],
      [options[2] ?? '', false],
    ] as const) {
      if (letters.includes('i')) flags.ignoreCase = value;
      if (letters.includes('m')) flags.multiLine = value;
      if (letters.includes('s')) flags.dotMatchesNewline = value;
    }
    if (options[3] === ':') this.openLevel(options[0].length);
    else this.position += options[0].length;
    this.flags = flags;
  }

  private refuseGroup(): never {
    const start = this.source.slice(this.position, this.position + 4);
    if (/^\(\?<?[=!]/.test(start)) {
      throw new PatternError(`look-around ("${start.replace(/(?<=[=!]).*/, '')}") can't be used`);
    }
    throw new PatternError(`"${start}" is no group that can be used; a named one is written "(?P<name>"`);
  }

  private repeat(least: number, most: number | undefined, written: string, afterRepeat: boolean): void {
    // How greedy it is makes no difference to whether it matches.
    if (this.source[this.position] === '?') this.position++;
    if (afterRepeat) throw new PatternError(`"${written}" follows another repeat`);
    const item = this.level.items.pop();
    if (item === undefined) throw new PatternError(`there is nothing "${written}" could repeat`);
    const repeated: Expression = { kind: 'repeat', item, least, most, height: higher([item]) };
    if ((least >= 2 || (most ?? 0) >= 2) && !repeatsAtMost(repeated, MAX_REPEAT)) {
      throw new PatternError(`repeats inside repeats come to more than ${MAX_REPEAT}`);
    }
    this.add(repeated);
  }

  /** `{2}`, `{2,}`, `{2,5}`; anything else is an ordinary brace. */
  private parseCount(afterRepeat: boolean): boolean {
    const count = /^\{(0|[1-9]\d*)(?:(,)(0|[1-9]\d*)?)?\}/.exec(this.source.slice(this.position));
    if (count === null) {
      this.position++;
      this.addLiteral(0x7b);
      return false;
    }
    const least = Number(count[1]);
    const most = count[2] === undefined ? least : count[3] === undefined ? undefined : Number(count[3]);
    if (least > MAX_REPEAT || (most ?? 0) > MAX_REPEAT || (most !== undefined && least > most)) {
      throw new PatternError(`"${count[0]}" is no count from 0 to ${MAX_REPEAT}`);
    }
    this.position += count[0].length;
    this.repeat(least, most, count[0], afterRepeat);
    return true;
  }

  private parseEscape(): void {
    switch (this.source[this.position + 1]) {
      case 'A':
        this.position += 2;
        this.addAssertion('text-start');
        return;
      case 'z':
        this.position += 2;
        this.addAssertion('text-end');
        return;
      case 'b':
        this.position += 2;
        this.addAssertion('word-edge');
        return;
      case 'B':
        this.position += 2;
        this.addAssertion('no-word-edge');
        return;
      case 'Q':
        this.parseQuoted();
        return;
    }
    const set = this.parseClassEscape();
    if (set !== undefined) this.addSet(set);
    else this.addLiteral(this.parseCharacterEscape());
  }

  /** `\Q...\E`: all of it means itself. */
  private parseQuoted(): void {
    const start = this.position + 2;
    const end = this.source.indexOf('\\E', start);
    const text = end < 0 ? this.source.slice(start) : this.source.slice(start, end);
    this.position = end < 0 ? this.source.length : end + 2;
    for (const character of text) this.addLiteral(character.codePointAt(0)!);
  }

  private folded(set: CharacterSet): CharacterSet {
    return this.flags.ignoreCase ? foldCase(set) : set;
  }

  /** `\d`, `\W`, `\pL`, `\P{Greek}` ...; undefined where none of them stands here. */
  private parseClassEscape(): CharacterSet | undefined {
    const letter = this.source[this.position + 1] ?? '';
    const ascii = { d: DIGIT, s: SPACE, w: WORD }[letter.toLowerCase()];
    if (ascii !== undefined) {
      this.position += 2;
      const set = this.folded(ascii);
      return letter === letter.toLowerCase() ? set : negate(set);
    }
    if (letter !== 'p' && letter !== 'P') return undefined;
    const written = /^\\[pP](?:\{(\^?)([^}]*)\}|(\^?)([^{]?))/u.exec(this.source.slice(this.position));
    const name = written?.[2] ?? written?.[4] ?? '';
    const set = unicodeClass(name);
    if (written === null || set === undefined)
      throw new PatternError(`unknown character class "\\${letter}{${name}}"`);
    this.position += written[0].length;
    const inverted = (letter === 'P') !== ((written[1] ?? written[3]) === '^');
    return inverted ? negate(this.folded(set)) : this.folded(set);
  }

  /** The one character that an escape stands for. */
  private parseCharacterEscape(): number {
    const rest = this.source.slice(this.position + 1);
    if (rest === '') throw new PatternError('nothing follows the last "\\"');
    const isPunctuation = rest.charCodeAt(0) < 0x80 && !/^[0-9A-Za-z]/.test(rest);
    if (isPunctuation) return this.escaped(1, rest.charCodeAt(0));
    const octal = /^(?:0[0-7]{0,2}|[1-7][0-7]{1,2})/.exec(rest);
    if (octal !== null) return this.escaped(octal[0].length, Number.parseInt(octal[0], 8));
    const hexadecimal = /^x(?:([0-9A-Fa-f]{2})|\{0*([0-9A-Fa-f]{1,6})\})/.exec(rest);
    if (hexadecimal !== null) {
      const codePoint = Number.parseInt(hexadecimal[1] ?? hexadecimal[2]!, 16);
      if (codePoint <= 0x10ffff) return this.escaped(hexadecimal[0].length, codePoint);
    }
    const control = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 }[rest[0]!];
    if (control !== undefined) return this.escaped(1, control);
    const shown = String.fromCodePoint(rest.codePointAt(0)!);
    if (/\d/.test(shown)) throw new PatternError(`back-references ("\\${shown}") can't be used`);
    throw new PatternError(`"\\${shown}" means nothing`);
  }

  private escaped(length: number, codePoint: number): number {
    this.position += 1 + length;
    return codePoint;
  }

  /** `[...]`. */
  private parseBrackets(): void {
    this.position++;
    const inverted = this.source[this.position] === '^';
    if (inverted) this.position++;
    const ranges: number[] = [];
    // A class that comes again adds nothing; a long list of them would cost seconds.
    const classes = new Set<CharacterSet>();
    let first = true;
    while (first || this.source[this.position] !== ']') {
      if (this.position >= this.source.length) throw new PatternError('"[" is never closed by "]"');
      first = false;
      const set = this.parseNamedClass() ?? this.parseClassInBrackets();
      if (set !== undefined) {
        if (!classes.has(set)) ranges.push(...set);
        classes.add(set);
      } else ranges.push(...this.folded(this.parseRange()));
    }
    this.position++;
    const set = normalise(ranges);
    this.addSet(inverted ? negate(set) : set);
  }

  private parseClassInBrackets(): CharacterSet | undefined {
    return this.source[this.position] === '\\' ? this.parseClassEscape() : undefined;
  }

  /** `[:alpha:]`, `[:^alpha:]`. */
  private parseNamedClass(): CharacterSet | undefined {
    if (!this.source.startsWith('[:', this.position)) return undefined;
    const end = this.source.indexOf(':]', this.position + 2);
    if (end < 0) return undefined;
    const written = this.source.slice(this.position + 2, end);
    const inverted = written.startsWith('^');
    const name = inverted ? written.slice(1) : written;
    if (!Object.hasOwn(POSIX_CLASSES, name))
      throw new PatternError(`unknown character class "[:${written}:]"`);
    this.position = end + 2;
    const set = this.folded(POSIX_CLASSES[name]!);
    return inverted ? negate(set) : set;
  }

  private parseRange(): CharacterSet {
    const low = this.parseBracketCharacter();
    const isRange = this.source[this.position] === '-' && this.position + 1 < this.source.length;
    if (!isRange || this.source[this.position + 1] === ']') return [low, low];
    this.position++;
    const high = this.parseBracketCharacter();
    if (high < low) {
      const written = `${String.fromCodePoint(low)}-${String.fromCodePoint(high)}`;
      throw new PatternError(`the range "${written}" runs backwards`);
    }
    return [low, high];
  }

  private parseBracketCharacter(): number {
    if (this.position >= this.source.length) throw new PatternError('"[" is never closed by "]"');
    return this.source[this.position] === '\\' ? this.parseCharacterEscape() : this.nextCodePoint();
  }
}

/** The expression in `source`; throws PatternError. */
export function parseExpression(source: string): Expression {
  return new ExpressionParser(source).parse();
}
