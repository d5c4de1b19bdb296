/** Folders of the source in which no file of the run lies: known only when the listing has gone past them. */

export class EmptyFolders {
  /** From the outermost to the innermost; each lies in the one before. */
  private readonly entered: { path: string; sortKey: string }[] = [];

  constructor(private readonly onEmpty: (path: string) => Promise<void>) {}

  /** The listing comes to a folder; `sortKey` ends in a slash. */
  enter(path: string, sortKey: string): void {
    this.entered.push({ path, sortKey });
  }

  /** A file of the run lies here: no folder above it is empty. */
  fill(): void {
    this.entered.length = 0;
  }

  /** The listing goes on at `sortKey`: folders that it has left were empty. '' leaves all. Undefined: it left none. */
  passTo(sortKey: string): Promise<void> | undefined {
    return this.hasLeft(sortKey) ? this.leave(sortKey) : undefined;
  }

  private async leave(sortKey: string): Promise<void> {
    while (this.hasLeft(sortKey)) await this.onEmpty(this.entered.pop()!.path);
  }

  private hasLeft(sortKey: string): boolean {
    const last = this.entered.at(-1);
    return last !== undefined && (sortKey === '' || !sortKey.startsWith(last.sortKey));
  }
}
