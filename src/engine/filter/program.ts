/** Expressions as instructions of a non-deterministic automaton, all rules of a filter in one program. */

import type { CharacterSet } from './character-set.js';
import type { Assertion, Expression } from './expression.js';
import { PatternError } from './pattern-error.js';

/** `read`: one character of a set. `split`: go on at both. `assert`: an assertion holds here. `match`: done. */
export const READ = 0;
export const SPLIT = 1;
export const ASSERT = 2;
export const MATCH = 3;

export const ASSERTIONS: readonly Assertion[] = [
  'text-start',
  'text-end',
  'line-start',
  'line-end',
  'word-edge',
  'no-word-edge',
];

/** Where in a path a rule may begin to match. */
export type Start = 'text-start' | 'segment-start' | 'anywhere';

/** A pattern with thousands of repeats costs memory and time; no sensible one comes near. */
const MAX_INSTRUCTIONS_OF_RULE = 20_000;
const MAX_INSTRUCTIONS = 2_000_000;

export class Program {
  readonly operation: number[] = [];
  /** Of `read`: number of the set; of `split`: the other instruction; of `assert`: which; of `match`: the rule. */
  readonly argument: number[] = [];
  readonly next: number[] = [];
  /** The rule each instruction belongs to. */
  readonly rule: number[] = [];
  readonly sets: CharacterSet[] = [];
  /** First instruction and number of each rule, in order of rules. */
  readonly starts: Readonly<Record<Start, { entry: number; rule: number }[]>> = {
    'text-start': [],
    'segment-start': [],
    anywhere: [],
  };
  private readonly setNumbers = new Map<string, number>();
  private ruleCount = 0;
  private limit = 0;

  /** Adds the next rule, rules being numbered from 0; throws PatternError where it is too large. */
  addRule(expression: Expression): void {
    const rule = this.ruleCount++;
    this.limit = Math.min(this.operation.length + MAX_INSTRUCTIONS_OF_RULE, MAX_INSTRUCTIONS);
    const end = this.emit(MATCH, rule, -1);
    const { start, rest } = splitStart(expression);
    const entry = this.compile(rest, end);
    this.starts[start].push({ entry, rule });
  }

  usesAssertion(...assertions: Assertion[]): boolean {
    return this.operation.some(
      (operation, index) => operation === ASSERT && assertions.includes(ASSERTIONS[this.argument[index]!]!),
    );
  }

  private emit(operation: number, argument: number, next: number): number {
    if (this.operation.length >= this.limit) throw new PatternError('it is too large');
    this.operation.push(operation);
    this.argument.push(argument);
    this.next.push(next);
    this.rule.push(this.ruleCount - 1);
    return this.operation.length - 1;
  }

  /** Instructions for `expression` that go on at `next`; returns the first. */
  private compile(expression: Expression, next: number): number {
    switch (expression.kind) {
      case 'set':
        return this.emit(READ, this.setNumber(expression.set), next);
      case 'assertion':
        return this.emit(ASSERT, ASSERTIONS.indexOf(expression.assertion), next);
      case 'sequence': {
        let first = next;
        for (let index = expression.items.length - 1; index >= 0; index--) {
          first = this.compile(expression.items[index]!, first);
        }
        return first;
      }
      case 'choice': {
        let first = this.compile(expression.items.at(-1)!, next);
        for (let index = expression.items.length - 2; index >= 0; index--) {
          first = this.emit(SPLIT, this.compile(expression.items[index]!, next), first);
        }
        return first;
      }
      case 'repeat':
        return this.compileRepeat(expression.item, expression.least, expression.most, next);
    }
  }

  private compileRepeat(item: Expression, least: number, most: number | undefined, next: number): number {
    let first = next;
    if (most === undefined) {
      const loop = this.emit(SPLIT, -1, next);
      this.argument[loop] = this.compile(item, loop);
      first = loop;
    } else {
      for (let count = least; count < most; count++) {
        first = this.emit(SPLIT, this.compile(item, first), next);
      }
    }
    for (let count = 0; count < least; count++) first = this.compile(item, first);
    return first;
  }

  private setNumber(set: CharacterSet): number {
    const key = set.join();
    let number = this.setNumbers.get(key);
    if (number === undefined) {
      number = this.sets.push(set) - 1;
      this.setNumbers.set(key, number);
    }
    return number;
  }
}

function isTextStart(expression: Expression | undefined): boolean {
  return expression?.kind === 'assertion' && expression.assertion === 'text-start';
}

function isSlash(expression: Expression | undefined): boolean {
  return expression?.kind === 'set' && expression.set.join() === '47,47';
}

/**
 * Takes `^` or `(^|/)` off the front: a rule that begins there need not be tried at every character. The slash before
 * a segment has been read when the rule begins.
 */
function splitStart(expression: Expression): { start: Start; rest: Expression } {
  const items = expression.kind === 'sequence' ? expression.items : [expression];
  const [first] = items;
  const rest: Expression = { kind: 'sequence', items: items.slice(1), height: expression.height };
  if (isTextStart(first)) return { start: 'text-start', rest };
  const isSegmentStart =
    first?.kind === 'choice' &&
    first.items.length === 2 &&
    isTextStart(first.items[0]) &&
    isSlash(first.items[1]);
  if (isSegmentStart) return { start: 'segment-start', rest };
  return { start: 'anywhere', rest: expression };
}
