/**
 * Which files and folders a task takes: rclone's pattern language (https://rclone.org/filtering/, behaviour of rclone
 * 1.60) with the lists in the order in which TrueNAS hands them to rclone.
 */

import { CloudSyncError, shortened, shown } from '../errors.js';
import { parseExpression } from './filter/expression.js';
import { folderGlobs, globToExpression } from './filter/glob.js';
import { Matcher, NO_RULE } from './filter/matcher.js';
import { PatternError } from './filter/pattern-error.js';
import { Program } from './filter/program.js';

/** The lists of a task, patterns as rclone's `--include` and `--exclude` take them. */
export interface FilterRules {
  include: readonly string[];
  exclude: readonly string[];
}

/** What became of a file, and why. */
export interface FilterDecision {
  included: boolean;
  /** The rule that decided, as rclone writes it (`- *.tmp`, `+ /photos/**`); undefined where none applied. */
  rule: string | undefined;
}

/**
 * Paths are relative to the folder of the task, `/` between segments, none at either end.
 */
export interface Filter {
  /** Whether the file is taken: it passes the rules and every folder above it is entered. */
  includesFile(path: string): boolean;
  /** Whether the folder and all above it are walked; '' is the root and always is. */
  entersFolder(folder: string): boolean;
  /** As `includesFile`, with the rule that decided. */
  decideFile(path: string): FilterDecision;
}

/** ZFS shows its snapshots under this name; TrueNAS leaves it out before all else, and so do we. */
const ALWAYS_EXCLUDED = ['.zfs', '.zfs/**'];
/** Behind a list of includes. */
const EXCLUDE_THE_REST = '*';
/** Reasons repeat pieces of the pattern, which may be long. */
const LONGEST_REASON = 200;
/** Characters of a pattern at most: what is larger would only be read to be refused. */
const LONGEST_PATTERN = 65_536;

/** Rules of one kind (for files or for folders): the first that matches decides. */
class RuleList {
  readonly includes: boolean[] = [];
  readonly excludes: boolean[] = [];
  readonly written: string[] = [];
  private readonly program = new Program();
  private readonly known = new Set<string>();
  private matcher: Matcher | undefined;

  add(include: boolean, glob: string, written: string): void {
    const source = globToExpression(glob);
    const key = `${include} ${source}`;
    if (this.known.has(key)) return;
    this.known.add(key);
    this.program.addRule(parseExpression(source));
    this.includes.push(include);
    this.excludes.push(!include);
    this.written.push(written);
  }

  /** Number of the rule that decides about `path`, or NO_RULE. */
  decide(path: string): number {
    return this.compiled().firstMatch(path);
  }

  /** Number of the rule that keeps the walk from coming to `path`, or NO_RULE. */
  decideFolders(path: string): number {
    return this.compiled().firstStop(path, this.excludes);
  }

  private compiled(): Matcher {
    this.matcher ??= new Matcher(this.program);
    return this.matcher;
  }
}

class CompiledFilter implements Filter {
  private readonly files = new RuleList();
  private readonly folders = new RuleList();

  /** As rclone's `Filter.Add`: what a pattern says about files, and what follows from it for folders. */
  add(include: boolean, pattern: string): void {
    const written = `${include ? '+' : '-'} ${pattern}`;
    const endsInSlash = pattern.endsWith('/');
    // To leave a folder out is to leave out what is in it.
    const glob = endsInSlash && !include ? `${pattern}**` : pattern;
    const spansFolders = glob.includes('**');
    if (!endsInSlash || spansFolders) {
      this.files.add(include, glob, written);
      // An exclude says nothing about folders, unless it leaves everything out.
      if (include || glob === '*') this.addFoldersOf(include, glob, written);
    }
    if (endsInSlash || spansFolders) this.folders.add(include, glob, written);
  }

  private addFoldersOf(include: boolean, glob: string, written: string): void {
    for (const folder of folderGlobs(glob)) {
      if (folder !== '/') this.folders.add(include, folder, written);
    }
  }

  includesFile(path: string): boolean {
    if (this.folders.decideFolders(path) !== NO_RULE) return false;
    const rule = this.files.decide(path);
    return rule === NO_RULE || this.files.includes[rule]!;
  }

  entersFolder(folder: string): boolean {
    return folder === '' || this.folders.decideFolders(`${folder}/`) === NO_RULE;
  }

  decideFile(path: string): FilterDecision {
    const stop = this.folders.decideFolders(path);
    if (stop !== NO_RULE) return { included: false, rule: this.folders.written[stop] };
    const rule = this.files.decide(path);
    if (rule === NO_RULE) return { included: true, rule: undefined };
    return { included: this.files.includes[rule]!, rule: this.files.written[rule] };
  }
}

function addPattern(filter: CompiledFilter, field: 'include' | 'exclude', pattern: unknown): void {
  try {
    if (typeof pattern !== 'string') throw new PatternError('it is no text');
    if (pattern === '') throw new PatternError('it is empty');
    if (pattern.length > LONGEST_PATTERN) {
      throw new PatternError(`it has more than ${LONGEST_PATTERN} characters`);
    }
    filter.add(field === 'include', pattern.toWellFormed());
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw new CloudSyncError(
      'INVALID_INPUT',
      `The ${field} pattern ${shown(pattern)} can't be used: ${shortened(error.message, LONGEST_REASON)}`,
      {
        field,
        advice: 'See https://rclone.org/filtering/ for what a pattern may hold.',
        cause: error,
      },
    );
  }
}

/**
 * Reads the patterns: `.zfs` is left out before all else, then come the excludes, then the includes, then, if there is
 * an include, everything else is left out. The first rule that matches decides.
 *
 * Throws INVALID_INPUT with the field (`include` or `exclude`) for a pattern that rclone 1.60 would refuse.
 */
export function compileFilter(rules: FilterRules): Filter {
  const filter = new CompiledFilter();
  for (const pattern of ALWAYS_EXCLUDED) filter.add(false, pattern);
  for (const pattern of rules.exclude) addPattern(filter, 'exclude', pattern);
  for (const pattern of rules.include) addPattern(filter, 'include', pattern);
  if (rules.include.length > 0) filter.add(false, EXCLUDE_THE_REST);
  return filter;
}
