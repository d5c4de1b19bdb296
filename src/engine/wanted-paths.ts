/** Exactly the files and folders that a run is asked for, and which of them there were. */

export class WantedPaths {
  /** Whether the source has it, by path. */
  private readonly isFound: Map<string, boolean>;
  private readonly foldersAbove = new Set<string>();

  constructor(paths: readonly string[]) {
    this.isFound = new Map(paths.map((path) => [path, false]));
    for (const path of paths) for (const folder of foldersAbove(path)) this.foldersAbove.add(folder);
  }

  /** Whether `path` is wanted, or lies in a folder that is. */
  includes(path: string): boolean {
    if (this.isFound.has(path)) return true;
    for (const folder of foldersAbove(path)) if (this.isFound.has(folder)) return true;
    return false;
  }

  /** Whether something wanted is this folder, lies in it, or has it in itself. */
  entersFolder(path: string): boolean {
    return this.foldersAbove.has(path) || this.includes(path);
  }

  /** The source has `path`. */
  found(path: string): void {
    for (const one of [path, ...foldersAbove(path)]) if (this.isFound.has(one)) this.isFound.set(one, true);
  }

  /** What the source has nothing of. */
  missing(): string[] {
    return [...this.isFound].filter(([, isFound]) => !isFound).map(([path]) => path);
  }
}

function* foldersAbove(path: string): Generator<string> {
  for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1)) {
    yield path.slice(0, slash);
  }
}
