/**
 * Azure lists by the UTF-16 units of names (found by writing a blob for every character,
 * https://github.com/blobfile/blobfile/pull/238; Azurite does the same), stores promise UTF-8 bytes. The two differ only
 * where one name has a character above U+FFFF (an emoji, written as two surrogates) and another one of U+E000 to U+FFFF
 * (full-width letters) in the same place: the emoji come first in Azure, last in UTF-8. So names with an emoji are held
 * back until everything that may have to stand before them has passed.
 */

import type { StoredObject } from '../store.js';
import { compareUtf8 } from '../utf8-order.js';

/** Names held back at most. Past that they go out as they are, and the engine's own guard sorts what follows. */
const MAX_HELD = 100_000;

interface HeldGroup {
  /** All names in the group begin with this and go on with a surrogate. */
  prefix: string;
  objects: StoredObject[];
}

export class Utf8Reorder {
  readonly #groups: HeldGroup[] = [];
  readonly #skip: number;
  #held = 0;

  /** @param skip Length of what all names have in common. */
  constructor(skip: number) {
    this.#skip = skip;
  }

  /** The next entries in Azure's order; gives those that can go out, in UTF-8 order. */
  push(page: readonly StoredObject[]): readonly StoredObject[] {
    if (this.#groups.length === 0 && !page.some((object) => SURROGATE.test(object.key))) return page;
    const ready: StoredObject[] = [];
    for (const object of page) this.#place(object, ready);
    return ready;
  }

  /** What is still held back, at the end of the listing. */
  finish(): readonly StoredObject[] {
    const ready: StoredObject[] = [];
    while (this.#groups.length > 0) this.#release(ready);
    return ready;
  }

  #place(object: StoredObject, ready: StoredObject[]): void {
    const name = object.orderKey ?? object.key;
    let searchFrom = this.#skip;
    for (let group = this.#groups.at(-1); group !== undefined; group = this.#groups.at(-1)) {
      const { prefix } = group;
      const unit = name.startsWith(prefix) ? name.charCodeAt(prefix.length) : Number.NaN;
      if (isSurrogate(unit)) {
        this.#hold(group, object, ready);
        return;
      }
      if (unit >= 0xe000) {
        searchFrom = prefix.length + 1;
        break;
      }
      this.#release(ready);
    }
    const position = firstSurrogate(name, searchFrom);
    if (position === -1) {
      ready.push(object);
      return;
    }
    const group = { prefix: name.slice(0, position), objects: [] };
    this.#groups.push(group);
    this.#hold(group, object, ready);
  }

  #hold(group: HeldGroup, object: StoredObject, ready: StoredObject[]): void {
    group.objects.push(object);
    this.#held += 1;
    if (this.#held > MAX_HELD) ready.push(...this.finish());
  }

  #release(ready: StoredObject[]): void {
    const { objects } = this.#groups.pop()!;
    this.#held -= objects.length;
    // Stable, so that the versions of one key keep their order.
    objects.sort((a, b) => compareUtf8(a.orderKey ?? a.key, b.orderKey ?? b.key));
    for (const object of objects) ready.push(object);
  }
}

const SURROGATE = /[\ud800-\udfff]/;

function isSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdfff;
}

function firstSurrogate(name: string, from: number): number {
  for (let index = from; index < name.length; index++) {
    if (isSurrogate(name.charCodeAt(index))) return index;
  }
  return -1;
}
