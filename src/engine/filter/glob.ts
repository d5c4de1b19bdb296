/**
 * rclone's glob patterns turned into regular expressions in RE2 syntax, as rclone 1.60 does it (`fs/filter/glob.go`;
 * documented at https://rclone.org/filtering/). Both steps are needed as they are: what stands between `{{` and `}}`,
 * between `[` and `]` and behind a backslash reaches the regular expression untouched, so `\d` is a digit and `[!a]`
 * is an exclamation mark or an a.
 */

import { PatternError } from './pattern-error.js';

/** Characters that mean themselves in a glob and something else in a regular expression. */
const META = new Set(['.', '+', '(', ')', '|', '^', '$']);

/** Where in a pattern the translation is. */
type Place = 'plain' | 'escaped' | 'brackets' | 'regexp' | 'regexp-end';

class GlobTranslator {
  private output = '';
  private place: Place = 'plain';
  private stars = 0;
  private bracketDepth = 0;
  private inBraces = false;

  translate(glob: string): string {
    let rest = glob;
    if (rest.startsWith('/')) {
      rest = rest.slice(1);
      this.output = '^';
    } else {
      this.output = '(^|/)';
    }
    let last = '';
    for (const character of rest) {
      this.take(character, last);
      last = character;
    }
    this.flushStars();
    if (this.place === 'brackets') throw new PatternError('"[" is never closed by "]"');
    if (this.inBraces) throw new PatternError('"{" is never closed by "}"');
    if (this.place === 'regexp') throw new PatternError('"{{" is never closed by "}}"');
    return `${this.output}$`;
  }

  private take(character: string, last: string): void {
    if (this.place === 'escaped') {
      this.output += character;
      this.place = 'plain';
    } else if (this.place === 'regexp') {
      this.takeRegexp(character, last);
    } else if (this.place === 'regexp-end' && character === '}') {
      // The regular expression itself ended with a brace: the longest one counts.
      this.output = `${this.output.slice(0, -1)}})`;
    } else {
      if (this.place === 'regexp-end') this.place = 'plain';
      if (character !== '*') this.flushStars();
      if (this.place === 'brackets') this.takeInBrackets(character);
      else this.takePlain(character, last);
    }
  }

  private takeRegexp(character: string, last: string): void {
    if (character === '}' && last === '}') {
      this.output = `${this.output.slice(0, -1)})`;
      this.place = 'regexp-end';
    } else {
      this.output += character;
    }
  }

  private takeInBrackets(character: string): void {
    this.output += character;
    if (character === '[') this.bracketDepth++;
    if (character === ']') this.bracketDepth--;
    if (this.bracketDepth === 0) this.place = 'plain';
  }

  private takePlain(character: string, last: string): void {
    switch (character) {
      case '\\':
        this.output += character;
        this.place = 'escaped';
        break;
      case '*':
        this.stars++;
        break;
      case '?':
        this.output += '[^/]';
        break;
      case '[':
        this.output += character;
        this.bracketDepth = 1;
        this.place = 'brackets';
        break;
      case ']':
        throw new PatternError('"]" has no "[" before it');
      case '{':
        this.openBrace(last);
        break;
      case '}':
        if (!this.inBraces) throw new PatternError('"}" has no "{" before it');
        this.output += ')';
        this.inBraces = false;
        break;
      case ',':
        this.output += this.inBraces ? '|' : ',';
        break;
      default:
        this.output += META.has(character) ? `\\${character}` : character;
    }
  }

  private openBrace(last: string): void {
    if (!this.inBraces) {
      this.output += '(';
      this.inBraces = true;
    } else if (last === '{') {
      this.inBraces = false;
      this.place = 'regexp';
    } else {
      throw new PatternError('"{" can\'t stand inside "{" and "}"');
    }
  }

  private flushStars(): void {
    if (this.stars > 2) throw new PatternError('more than two "*" in a row');
    if (this.stars === 1) this.output += '[^/]*';
    if (this.stars === 2) this.output += '.*';
    this.stars = 0;
  }
}

/** The RE2 expression that finds `glob` in a path relative to the root; throws PatternError. */
export function globToExpression(glob: string): string {
  return new GlobTranslator().translate(glob);
}

/** Braces around a slash or `**`, and regular expressions: nobody can tell which folders they need. */
const UNPREDICTABLE = /\{[^{}]*(?:\*\*|\/)[^{}]*\}|\{\{|\}\}/;

/**
 * The globs, each ending in a slash, of the folders in which a file that matches `glob` can be: for `a/b/*.jpg` these
 * are `a/b/` and `a/`. Every folder where that can't be known.
 */
export function folderGlobs(glob: string): string[] {
  if (UNPREDICTABLE.test(glob)) return ['/**'];
  const result: string[] = [];
  let rest = glob.replace(/\/{2,}/g, '/');
  for (;;) {
    const slash = rest.lastIndexOf('/');
    const stars = rest.lastIndexOf('**');
    const end = Math.max(slash, stars);
    if (end < 0) break;
    rest = rest.slice(0, end);
    const folder = `${rest}${stars > slash ? '**' : ''}/`;
    if (result.at(-1) !== folder) result.push(folder);
  }
  return result.length === 0 ? ['/**'] : result;
}
