/**
 * Archived objects of a restore: asked back from the provider, waited for (hours, sometimes days), then transferred. What
 * was asked for stays asked for: a run that is begun again after a restart finds its objects thawing or thawed.
 */

import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { abortedError, CloudSyncError, throwIfAborted } from '../errors.js';
import type { StoredObject } from '../stores/store.js';
import type { RunContext, ThawSettings } from './run-context.js';
import { SpooledList } from './spooled-list.js';
import { decodeStoredObject, encodeStoredObject } from './stored-object-text.js';
import { WorkLane } from './work-lane.js';

/** A file that can't be read yet. */
export interface FrozenFile {
  path: string;
  sortKey: string;
  source: StoredObject;
  destination?: StoredObject;
}

const FIRST_POLL_MS = 60_000;
const LAST_POLL_MS = 15 * 60_000;
const ASKED_AT_ONCE = 16;
const PAGE = 200;
/** So many still frozen in a row, and the others will be too: they thaw about in the order they were asked for. */
const ENOUGH_FROZEN = 20;

export class Thawing {
  private asked: SpooledList<unknown>;
  private generation = 0;

  constructor(
    private readonly run: RunContext,
    private readonly settings: ThawSettings,
  ) {
    this.asked = this.newList();
  }

  /** Files that are still frozen. */
  get length(): number {
    return this.asked.length;
  }

  private newList(): SpooledList<unknown> {
    return new SpooledList(join(this.run.settings.workFolder, `frozen-${process.pid}-${this.generation++}`));
  }

  /** Takes a file whose object is archived. */
  add(file: FrozenFile): void {
    this.asked.push(encode(file));
    this.run.frozen = this.asked.length;
  }

  /**
   * Asks for all that was added and hands each file on when it can be read. Rejects only when the run is aborted.
   *
   * @param ready transfers one file, with the object as it is now
   */
  async transferAll(ready: (file: FrozenFile) => Promise<void>): Promise<void> {
    if (this.asked.length === 0) return;
    const { run } = this;
    run.beginTransferring();
    await this.ask();
    run.log('thaw', undefined, { message: `${this.asked.length} archived objects were asked back` });
    let pause = this.settings.pollMs ?? FIRST_POLL_MS;
    while (this.asked.length > 0) {
      const before = this.asked.length;
      await this.lookAtAll(ready);
      run.frozen = this.asked.length;
      if (this.asked.length === 0) return;
      if (this.asked.length === before) pause = this.settings.pollMs ?? Math.min(pause * 2, LAST_POLL_MS);
      await wait(pause, undefined, { signal: run.signal }).catch(() => {
        throw abortedError();
      });
    }
  }

  /** Objects that are frozen are asked for; those thawing or thawed were asked for before. */
  private async ask(): Promise<void> {
    const { run, settings } = this;
    const granted = this.newList();
    const lane = new WorkLane(ASKED_AT_ONCE, ASKED_AT_ONCE);
    for (const page of this.asked.pages(PAGE)) {
      for (const plain of page) {
        throwIfAborted(run.signal);
        const file = decode(plain);
        await lane.add(async () => {
          try {
            if (file.source.archive === 'frozen') await this.askFor(file.source, settings);
            granted.push(plain);
          } catch (error) {
            run.fail(error, file.path);
          }
        });
      }
    }
    await lane.drain();
    this.asked.dispose();
    this.asked = granted;
  }

  private async askFor(object: StoredObject, settings: ThawSettings): Promise<void> {
    const { run } = this;
    await run.remote.store.thaw(object.key, {
      tier: settings.tier === '' ? undefined : settings.tier,
      days: settings.days ?? undefined,
      versionId: run.settings.asOf === undefined ? undefined : object.versionId,
      signal: run.signal,
    });
  }

  private async lookAtAll(ready: (file: FrozenFile) => Promise<void>): Promise<void> {
    const { run } = this;
    const frozen = this.newList();
    let frozenInARow = 0;
    for (const page of this.asked.pages(PAGE)) {
      for (const plain of page) {
        throwIfAborted(run.signal);
        const file = decode(plain);
        const object = frozenInARow >= ENOUGH_FROZEN ? undefined : await this.lookAt(file);
        if (object === 'gone') continue;
        if (object === undefined) {
          frozenInARow++;
          frozen.push(plain);
          continue;
        }
        frozenInARow = 0;
        await ready({ ...file, source: { ...object, orderKey: file.source.orderKey } });
      }
    }
    this.asked.dispose();
    this.asked = frozen;
  }

  /** The object where it can be read now, undefined where it can't. */
  private async lookAt(file: FrozenFile): Promise<StoredObject | 'gone' | undefined> {
    const { run } = this;
    const versionId = run.settings.asOf === undefined ? undefined : file.source.versionId;
    try {
      const object = await run.remote.store.head(file.source.key, { versionId, signal: run.signal });
      if (object === undefined) {
        run.fail(new CloudSyncError('NOT_FOUND', 'Was removed while it was waited for'), file.path);
        return 'gone';
      }
      return object.archive === undefined || object.archive === 'thawed' ? object : undefined;
    } catch (error) {
      run.fail(error, file.path);
      return 'gone';
    }
  }
}

function encode(file: FrozenFile): unknown {
  const { source, destination } = file;
  return {
    ...file,
    source: encodeStoredObject(source),
    destination: destination === undefined ? undefined : encodeStoredObject(destination),
  };
}

function decode(plain: unknown): FrozenFile {
  const file = plain as FrozenFile;
  const destination = file.destination === undefined ? undefined : decodeStoredObject(file.destination);
  return { ...file, source: decodeStoredObject(file.source), destination };
}
