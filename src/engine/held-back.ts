/**
 * Files that wait until no key can come any more that collides with theirs. A key with an empty name in it (`a//-x`) is
 * listed behind the key that it collides with (`a/-x`) where a name begins with a character that sorts before the slash:
 * without waiting, the first of them would have been transferred before anybody knows.
 */

import { compareUtf8 } from '../stores/utf8-order.js';

/** A name in the key sorts before the slash. */
const HAS_EARLY_NAME = /(?:^|\/)[^/-\uffff]/;
/** More of them at once don't wait: memory is bounded, and a folder of so many dot files is no place for empty names. */
const MOST_HELD = 1_000;

type Work = () => Promise<void> | undefined;

export class HeldBack {
  private held: Work[] = [];
  /** All that is held waits for the listing to come this far; '' where nothing has to wait. */
  private until = '';
  private isFull = false;

  /**
   * Does `work` on the key at once, or when the listing has passed all that could collide with it. Undefined: nothing has
   * to be waited for before the next key.
   */
  add(sortKey: string, work: Work): Promise<void> | undefined {
    const passing = this.passTo(sortKey);
    return passing === undefined
      ? this.addNext(sortKey, work)
      : passing.then(() => this.addNext(sortKey, work));
  }

  /** The listing has come to `sortKey`. Undefined: nothing had waited for that. */
  passTo(sortKey: string): Promise<void> | undefined {
    if (this.until === '' || compareUtf8(sortKey, this.until) < 0) return undefined;
    return this.finish();
  }

  /** No more keys will come. */
  async finish(): Promise<void> {
    this.until = '';
    this.isFull = false;
    await this.release();
  }

  private addNext(sortKey: string, work: Work): Promise<void> | undefined {
    if (this.until === '') this.until = endOfTwins(sortKey);
    if (this.until === '' || this.isFull) return work();
    this.held.push(work);
    if (this.held.length < MOST_HELD) return undefined;
    this.isFull = true;
    return this.release();
  }

  private async release(): Promise<void> {
    const { held } = this;
    this.held = [];
    for (const work of held) await work();
  }
}

/** The first key behind all that collide with `sortKey` and come after it; '' where there can be none. */
function endOfTwins(sortKey: string): string {
  if (!HAS_EARLY_NAME.test(sortKey)) return '';
  let start = 0;
  // All twins of a name further in lie before those of one further out.
  for (const name of sortKey.split('/')) {
    if (name !== '' && name < '/') return `${sortKey.slice(0, start)}0`;
    start += name.length + 1;
  }
  return '';
}
