/**
 * Finds the first of many rules that matches a path, in one pass over the path and in time that grows with its length
 * alone: a deterministic automaton whose states are made when they are first needed (as in RE2,
 * https://swtch.com/~rsc/regexp/regexp3.html). So no pattern, however hostile, can hold a run up: those of a size to
 * take a second for one path are refused there (INVALID_INPUT), which ends the run.
 */

import { CloudSyncError } from '../../errors.js';
import { LAST_CODE_POINT, NEWLINE, WORD } from './character-set.js';
import { ASSERT, ASSERTIONS, MATCH, type Program, READ, SPLIT } from './program.js';

/** The rule number that says: none. Larger than every rule, so that the smallest wins. */
export const NO_RULE = 0x7fffffff;

/** What stands before or behind a place in the path. */
const EDGE = 0;
const SLASH = 1;
const LINE_BREAK = 2;
const WORD_CHARACTER = 3;
const OTHER = 4;

const SLASH_CODE = 0x2f;
const UNKNOWN = -1;
const START_STATE = 0;
/** Cells of the transition table and members of all states; past these the states are forgotten and made anew. */
const MAX_CELLS = 4_000_000;
const MAX_MEMBERS = 4_000_000;
/**
 * Instructions looked at for one path at most, some tenths of a second's work: what takes longer for one name would take days for
 * a disk.
 */
const MAX_STEPS = 10_000_000;

interface State {
  /** Instructions to go on from, assertions not yet looked at. */
  threads: Int32Array;
  /** What was read last. */
  before: number;
  /** The smallest rule that has matched already. */
  matched: number;
}

function hashOf(state: State): number {
  let hash = state.matched * 5 + state.before;
  for (const thread of state.threads) hash = (Math.imul(hash, 31) + thread) | 0;
  return hash;
}

function isSame(first: State, second: State): boolean {
  if (first.matched !== second.matched || first.before !== second.before) return false;
  if (first.threads.length !== second.threads.length) return false;
  return first.threads.every((thread, index) => thread === second.threads[index]);
}

/** Characters that no rule tells apart are one class. */
class CharacterClasses {
  readonly count: number;
  /** Class of each code unit that is no surrogate. */
  private readonly direct = new Uint16Array(0x10000);
  private readonly astralStarts: number[] = [];
  private readonly astralClasses: number[] = [];
  /** Kind of the characters of each class, and whether they are in each of the program's sets. */
  readonly kinds: number[] = [];
  readonly members: Uint8Array[];

  constructor(program: Program, tellsWords: boolean, tellsLines: boolean) {
    const special = [[SLASH_CODE, SLASH_CODE], tellsLines ? NEWLINE : [], tellsWords ? WORD : []];
    const sets = [...special, ...program.sets];
    const boundaries = new Set([0]);
    // For each boundary, the sets that begin or end there.
    const changes = new Map<number, number[]>();
    for (const [number, set] of sets.entries()) {
      for (let index = 0; index < set.length; index++) {
        const boundary = set[index]! + (index % 2);
        if (boundary > LAST_CODE_POINT) continue;
        boundaries.add(boundary);
        const list = changes.get(boundary);
        if (list === undefined) changes.set(boundary, [number]);
        else list.push(number);
      }
    }
    const sorted = [...boundaries].sort((first, second) => first - second);
    const current = new Set<number>();
    const numbers = new Map<string, number>();
    const classSets: number[][] = [];
    for (const [index, start] of sorted.entries()) {
      for (const set of changes.get(start) ?? []) if (!current.delete(set)) current.add(set);
      const inside = [...current].sort((first, second) => first - second);
      const key = inside.join();
      let number = numbers.get(key);
      if (number === undefined) {
        number = classSets.push(inside) - 1;
        numbers.set(key, number);
      }
      this.assign(start, sorted[index + 1] ?? LAST_CODE_POINT + 1, number);
    }
    this.count = classSets.length;
    this.members = program.sets.map(() => new Uint8Array(this.count));
    for (const [number, inside] of classSets.entries()) {
      const kind = [SLASH, LINE_BREAK, WORD_CHARACTER][inside[0] ?? 3] ?? OTHER;
      this.kinds.push(kind);
      for (const set of inside) {
        if (set >= special.length) this.members[set - special.length]![number] = 1;
      }
    }
  }

  private assign(start: number, end: number, number: number): void {
    if (start < 0x10000) this.direct.fill(number, start, Math.min(end, 0x10000));
    if (end > 0x10000) {
      this.astralStarts.push(Math.max(start, 0x10000));
      this.astralClasses.push(number);
    }
  }

  /** The class of a code unit, or of the code point that begins with a surrogate. */
  of(codePoint: number): number {
    if (codePoint < 0x10000) return this.direct[codePoint]!;
    let low = 0;
    let high = this.astralStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.astralStarts[middle]! <= codePoint) low = middle;
      else high = middle - 1;
    }
    return this.astralClasses[low]!;
  }
}

export class Matcher {
  private readonly classes: CharacterClasses;
  private readonly seen: Uint32Array;
  private readonly queued: Uint32Array;
  private round = 0;
  private readonly stack: number[] = [];
  private readonly firstFollowingStart: number;

  private states: State[] = [];
  private byHash = new Map<number, number[]>();
  private transitions = new Int32Array(0);
  private verdicts: number[] = [];
  private isFinal: boolean[] = [];
  private memberCount = 0;
  private steps = 0;

  constructor(private readonly program: Program) {
    const tellsWords = program.usesAssertion('word-edge', 'no-word-edge');
    const tellsLines = program.usesAssertion('line-start', 'line-end');
    this.classes = new CharacterClasses(program, tellsWords, tellsLines);
    this.seen = new Uint32Array(program.operation.length);
    this.queued = new Uint32Array(program.operation.length);
    this.firstFollowingStart = Math.min(
      program.starts['segment-start'][0]?.rule ?? NO_RULE,
      program.starts.anywhere[0]?.rule ?? NO_RULE,
    );
    this.forgetStates();
  }

  /** The first rule that matches `path`, or NO_RULE. */
  firstMatch(path: string): number {
    const { classes } = this;
    this.steps = 0;
    let state = START_STATE;
    for (let index = 0; index < path.length && !this.isFinal[state]; index++) {
      let code = path.charCodeAt(index);
      if (code >= 0xd800 && code <= 0xdfff) {
        code = codePointAt(path, index);
        if (code > 0xffff) index++;
      }
      const character = classes.of(code);
      const next = this.transitions[state * classes.count + character]!;
      state = next === UNKNOWN ? this.step(state, character) : next;
    }
    return this.verdict(state);
  }

  /**
   * Asks about every folder of `path`, that is about everything up to and with a slash: the first rule that matches it
   * and for which `stops` is set ends the search and is returned, else NO_RULE.
   */
  firstStop(path: string, stops: readonly boolean[]): number {
    const { classes } = this;
    this.steps = 0;
    let state = START_STATE;
    for (let index = 0; index < path.length; index++) {
      let code = path.charCodeAt(index);
      if (code >= 0xd800 && code <= 0xdfff) {
        code = codePointAt(path, index);
        if (code > 0xffff) index++;
      }
      const character = classes.of(code);
      const next = this.transitions[state * classes.count + character]!;
      state = next === UNKNOWN ? this.step(state, character) : next;
      if (code === SLASH_CODE) {
        const rule = this.verdict(state);
        if (rule !== NO_RULE && stops[rule]) return rule;
        if (this.isFinal[state]) return NO_RULE;
      }
    }
    return NO_RULE;
  }

  private forgetStates(): void {
    this.states = [];
    this.byHash = new Map();
    this.verdicts = [];
    this.isFinal = [];
    this.memberCount = 0;
    this.addState({ threads: new Int32Array(0), before: EDGE, matched: NO_RULE });
  }

  private addState(state: State): number {
    const hash = hashOf(state);
    let candidates = this.byHash.get(hash);
    const known = candidates?.find((candidate) => isSame(this.states[candidate]!, state));
    if (known !== undefined) return known;
    if (candidates === undefined) {
      candidates = [];
      this.byHash.set(hash, candidates);
    }
    const number = this.states.push(state) - 1;
    candidates.push(number);
    this.memberCount += state.threads.length;
    this.verdicts.push(UNKNOWN);
    this.isFinal.push(
      state.before !== EDGE && state.threads.length === 0 && state.matched <= this.firstFollowingStart,
    );
    const cells = this.states.length * this.classes.count;
    if (cells > this.transitions.length) {
      const larger = new Int32Array(cells * 2).fill(UNKNOWN);
      larger.set(this.transitions.subarray(0, number * this.classes.count));
      this.transitions = larger;
    }
    this.transitions.fill(UNKNOWN, number * this.classes.count, cells);
    return number;
  }

  /** The state after one more character of that class, remembered. */
  private step(from: number, character: number): number {
    const state = this.states[from]!;
    const next = this.advance(state, character);
    const isFull =
      this.memberCount > MAX_MEMBERS || (this.states.length + 1) * this.classes.count > MAX_CELLS;
    if (isFull) {
      this.forgetStates();
      return this.addState(next);
    }
    const number = this.addState(next);
    this.transitions[from * this.classes.count + character] = number;
    return number;
  }

  /** The first rule that matches if the path ends here. */
  private verdict(number: number): number {
    let verdict = this.verdicts[number]!;
    if (verdict === UNKNOWN) {
      verdict = this.advance(this.states[number]!, undefined).matched;
      this.verdicts[number] = verdict;
    }
    return verdict;
  }

  /** What `state` becomes by reading a character of a class, or by the end of the path. */
  private advance(state: State, character: number | undefined): State {
    const { program, stack, seen } = this;
    const { operation, argument, next, rule } = program;
    const behind = character === undefined ? EDGE : this.classes.kinds[character]!;
    const round = ++this.round;
    const threads: number[] = [];
    let matched = state.matched;
    this.pushStarts(state);
    while (stack.length > 0) {
      const thread = stack.pop()!;
      this.steps += 1;
      if (seen[thread] === round || rule[thread]! >= matched) continue;
      seen[thread] = round;
      switch (operation[thread]) {
        case MATCH:
          matched = argument[thread]!;
          break;
        case SPLIT:
          stack.push(next[thread]!, argument[thread]!);
          break;
        case ASSERT:
          if (holds(argument[thread]!, state.before, behind)) stack.push(next[thread]!);
          break;
        case READ: {
          const target = next[thread]!;
          if (character === undefined || this.queued[target] === round) break;
          if (this.classes.members[argument[thread]!]![character] === 1) {
            this.queued[target] = round;
            threads.push(target);
          }
        }
      }
    }
    if (this.steps > MAX_STEPS) {
      throw new CloudSyncError('INVALID_INPUT', 'The filter patterns take too long', {
        field: 'exclude',
        advice: 'Make the repeats in them smaller, or their number.',
      });
    }
    // Rules behind one that has matched make no difference any more.
    const useful = threads.filter((thread) => rule[thread]! < matched);
    return { threads: Int32Array.from(useful).sort(), before: behind, matched };
  }

  private pushStarts(state: State): void {
    const { starts } = this.program;
    for (const thread of state.threads) this.stack.push(thread);
    for (const { entry, rule } of starts.anywhere) if (rule < state.matched) this.stack.push(entry);
    if (state.before !== EDGE && state.before !== SLASH) return;
    for (const { entry, rule } of starts['segment-start']) if (rule < state.matched) this.stack.push(entry);
    if (state.before !== EDGE) return;
    for (const { entry, rule } of starts['text-start']) if (rule < state.matched) this.stack.push(entry);
  }
}

/** A surrogate without its partner is what Go makes of broken UTF-8. */
function codePointAt(path: string, index: number): number {
  const codePoint = path.codePointAt(index)!;
  return codePoint > 0xffff ? codePoint : 0xfffd;
}

/** Whether an assertion holds between two characters; EDGE stands for the path's start and end. */
function holds(assertion: number, before: number, behind: number): boolean {
  switch (ASSERTIONS[assertion]) {
    case 'text-start':
      return before === EDGE;
    case 'text-end':
      return behind === EDGE;
    case 'line-start':
      return before === EDGE || before === LINE_BREAK;
    case 'line-end':
      return behind === EDGE || behind === LINE_BREAK;
    case 'word-edge':
      return (before === WORD_CHARACTER) !== (behind === WORD_CHARACTER);
    default:
      return (before === WORD_CHARACTER) === (behind === WORD_CHARACTER);
  }
}
