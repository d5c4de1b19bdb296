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

  /** The listing goes on at `sortKey`: folders that it has left were empty. '' leaves all. */
  async passTo(sortKey: string): Promise<void> {
    for (;;) {
      const last = this.entered.at(-1);
      if (last === undefined || (sortKey !== '' && sortKey.startsWith(last.sortKey))) return;
      this.entered.pop();
      await this.onEmpty(last.path);
    }
  }
}
