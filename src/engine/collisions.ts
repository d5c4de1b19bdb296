/**
 * Source names that are one name at the destination: nobody can tell which of them is meant by it, so none of them is
 * transferred, moved or deleted, and each is reported.
 */

import { CloudSyncError } from '../errors.js';
import type { StoredObject } from '../stores/store.js';
import { keyOfPath } from './location.js';
import type { Meeting } from './march.js';
import type { RunContext } from './run-context.js';
import { presentAtSource } from './source-presence.js';

export class Collisions {
  /** Keys that take part in one whose other key was met before. */
  private readonly collided = new Set<string>();

  constructor(private readonly run: RunContext) {}

  /** Refuses what folds to one key of the merge. */
  refuseFolded({ local, remote, collision = [] }: Meeting): void {
    const objects = [local, remote, ...collision].filter((object) => object !== undefined);
    const names = objects.map(({ key }) => key);
    const source = this.run.isPush ? local : remote;
    const refused = source === undefined ? collision : [source, ...collision];
    for (const { key } of refused) this.fail(key, names);
  }

  /** Another key that becomes the same name was met before; both are reported by now. */
  has(remote: StoredObject | undefined): boolean {
    return !this.run.isPush && remote !== undefined && this.collided.has(remote.key);
  }

  /**
   * A key with an empty name in it (`a//b`) is no path. Whether there is also the key that it would be without that name
   * (`a/b`); then both are reported.
   */
  async collapses(key: string): Promise<boolean> {
    const { run } = this;
    const relative = key.slice(run.remote.prefix.length);
    const usualKey = run.remote.prefix + relative.replace(/\/{2,}/g, '/').replace(/^\//, '');
    if (usualKey === key || usualKey === run.remote.prefix) return false;
    if (!this.collided.has(usualKey)) {
      const present = await presentAtSource(run, [usualKey]);
      if (!present.has(usualKey)) return false;
      this.collided.add(usualKey);
      this.fail(usualKey, [key, usualKey]);
    }
    this.fail(key, [key, usualKey]);
    return true;
  }

  /**
   * Whether a key is the one that its path leads to, or one that no name maps to (`../x`, which arrives as `．．/x`).
   * Undefined where such a one would meet the file of another key: both are reported then. A promise only where it has to be
   * asked.
   */
  confirmAlone(path: string, { key }: StoredObject): 'usual' | Promise<OddlyNamed | undefined> {
    const usualKey = keyOfPath(this.run.remote, path, 'file');
    return usualKey === key ? 'usual' : this.confirmOdd(path, key, usualKey);
  }

  private async confirmOdd(path: string, key: string, usualKey: string): Promise<OddlyNamed | undefined> {
    const { run } = this;
    const present = await presentAtSource(run, [usualKey, key]);
    if (!present.has(usualKey)) return { object: present.get(key) };
    this.collided.add(usualKey);
    for (const one of [key, usualKey]) {
      run.fail(
        new CloudSyncError('COLLISION', `"${key}" and "${usualKey}" would both become "${path}"`, {
          advice: 'Rename one of them in the bucket.',
        }),
        one,
      );
    }
    return undefined;
  }

  private fail(key: string, names: string[]): void {
    this.run.fail(
      new CloudSyncError('COLLISION', `Several names are one at the other side: ${names.join(', ')}`, {
        advice: 'Rename all but one of them.',
      }),
      key,
    );
  }
}

/** A source key that no name maps to, alone under its path. */
export interface OddlyNamed {
  /** What the source has under it, asked just now; undefined where it is gone. */
  object: StoredObject | undefined;
}
