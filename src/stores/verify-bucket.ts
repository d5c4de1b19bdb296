/**
 * Whether a bucket can be used with a key, found out by doing: what the conformance suite asks of a store, in its essence,
 * with one small object of our own that is removed again. Nothing else in the bucket is changed or read.
 */

import { randomBytes } from 'node:crypto';
import { asCloudSyncError, CloudSyncError, hasCode } from '../errors.js';
import { contentOfBytes, readAll } from './content.js';
import type { Store, StoredObject } from './store.js';

export type BucketAbility =
  /** Listings show what was written. */
  | 'list'
  | 'read'
  /** Parts of an object, as large and interrupted downloads need them. */
  | 'readRange'
  /** Reads held to one content: a download never mixes two. */
  | 'readCondition'
  | 'write'
  /** Writes only where nothing is in the way; asked only where the store says it can. */
  | 'writeCondition'
  /** Modification times come back as they were given. */
  | 'times'
  | 'delete'
  /** Old versions are kept and may be listed. */
  | 'versions'
  | 'deleteVersions';

/** `unknown`: it could not be tried. */
export type Finding = 'yes' | 'no' | 'unknown';

export interface BucketReport {
  abilities: Record<BucketAbility, Finding>;
  /** Kinds of task that work with this key. */
  uses: { pushCopy: boolean; pushSync: boolean; restore: boolean; verify: boolean };
  /** For people, one sentence each; the first one sums up. */
  notes: string[];
  /** What could not be removed again. */
  leftovers: string[];
}

export interface VerifyBucketOptions {
  /** Where this package keeps what is its own, with a slash at its end. */
  reservedPrefix: string;
  /** Folder of the task: the probe goes into it where the key may not write above it. No slash at its end. */
  folder?: string;
  signal?: AbortSignal;
}

const TIME = 1_500_000_000_000_000_000n;

/**
 * Tries everything a task needs. Throws what makes the bucket unusable whatever the key may do: BUCKET_NOT_FOUND,
 * WRONG_KEY, WRONG_REGION, QUOTA_EXCEEDED, ENDPOINT_UNREACHABLE ...; missing permissions are findings.
 */
export async function verifyBucket(store: Store, options: VerifyBucketOptions): Promise<BucketReport> {
  return await new Verification(store, options).run();
}

class Verification {
  readonly #abilities: Record<BucketAbility, Finding> = {
    list: 'unknown',
    read: 'unknown',
    readRange: 'unknown',
    readCondition: 'unknown',
    write: 'unknown',
    writeCondition: 'unknown',
    times: 'unknown',
    delete: 'unknown',
    versions: 'unknown',
    deleteVersions: 'unknown',
  };
  readonly #bytes = Buffer.from(
    `Written to find out whether this bucket can be used. Safe to delete. ${randomBytes(16).toString('hex')}`,
  );
  readonly #problems: string[] = [];
  readonly #leftovers: string[] = [];
  readonly #signal: { signal?: AbortSignal };
  /** Keys the probe was tried at, and may be at. */
  readonly #keys: string[] = [];
  /** The version that was written, where the answer named it. */
  #version: string | undefined;

  constructor(
    private readonly store: Store,
    private readonly options: VerifyBucketOptions,
  ) {
    this.#signal = options.signal === undefined ? {} : { signal: options.signal };
  }

  async run(): Promise<BucketReport> {
    await this.#try('list', () => this.store.check(this.options.signal));
    try {
      const written = await this.#write();
      if (written === undefined) await this.#lookWithoutProbe();
      else await this.#look(written);
    } finally {
      await this.#cleanUp();
    }
    return this.#report();
  }

  /** `no` where it isn't allowed or can't be done; what `action` gives. */
  async #try<T>(ability: BucketAbility, action: () => Promise<T>): Promise<T | undefined> {
    try {
      const result = await action();
      this.#abilities[ability] = 'yes';
      return result;
    } catch (error) {
      // A key for another bucket, say: not about this one ability.
      if (!hasCode(error, 'NO_PERMISSION', 'NOT_SUPPORTED') || error.field === 'bucket') throw error;
      this.#abilities[ability] = 'no';
      return undefined;
    }
  }

  /** The probe where it may be: at the top, within what the key is confined to, or in the task's folder. */
  async #write(): Promise<StoredObject | undefined> {
    const { reservedPrefix, folder = '' } = this.options;
    const name = `${reservedPrefix}probe-${randomBytes(6).toString('hex')}`;
    const places = [this.store.confinedTo ?? ''];
    if (folder !== '') places.push(`${folder}/`);
    for (const place of new Set(places)) {
      const key = place + name;
      this.#keys.push(key);
      const written = await this.#try('write', () =>
        this.store.write(key, contentOfBytes(this.#bytes), { modificationTime: TIME, ...this.#signal }),
      );
      if (written !== undefined) {
        this.#version = written.versionId;
        return written;
      }
      this.#keys.pop();
    }
    return undefined;
  }

  async #look(written: StoredObject): Promise<void> {
    await this.#lookByListing(written.key);
    await this.#read(written);
    await this.#writeUnderCondition(written.key);
    await this.#delete(written.key);
  }

  async #lookByListing(key: string): Promise<void> {
    const prefix = key.slice(0, key.lastIndexOf('/') + 1);
    const found = await this.#try('list', async () => {
      for await (const page of this.store.list({ prefix, ...this.#signal })) {
        if (page.some((entry) => entry.key === key)) return true;
      }
      return false;
    });
    if (found !== false) return;
    this.#abilities.list = 'no';
    this.#problems.push(
      'A listing does not show what was written just before: with this server nothing can be compared safely.',
    );
  }

  async #read({ key }: StoredObject): Promise<void> {
    const read = async (offset: number, length: number) => {
      const opened = await this.store.open(key, { firstRead: { offset, length }, ...this.#signal });
      try {
        return await readAll(opened.read(offset, length));
      } finally {
        await opened.close();
      }
    };
    const whole = await this.#try('read', () => read(0, this.#bytes.length));
    if (whole === undefined) return;
    if (!whole.equals(this.#bytes)) {
      this.#abilities.read = 'no';
      this.#problems.push('What is read back is not what was written: this server must not be used.');
      return;
    }
    const part = await read(7, 11).catch((error: unknown) => asCloudSyncError(error));
    const isPart = Buffer.isBuffer(part) && part.equals(this.#bytes.subarray(7, 18));
    this.#abilities.readRange = isPart ? 'yes' : 'no';
    if (!isPart) this.#problems.push('Parts of an object can not be read: large downloads will not work.');
    await this.#readUnderCondition(key);
    await this.#lookAtTime(key);
  }

  async #readUnderCondition(key: string): Promise<void> {
    try {
      const opened = await this.store.open(key, { ifMatch: '0'.repeat(32), ...this.#signal });
      await opened.close();
      this.#abilities.readCondition = 'no';
      this.#problems.push(
        'The server ignores the condition that a file is still the same (If-Match): do not change the bucket while it is read.',
      );
    } catch (error) {
      if (!hasCode(error, 'CHANGED', 'PRECONDITION_FAILED')) throw error;
      this.#abilities.readCondition = 'yes';
    }
  }

  async #lookAtTime(key: string): Promise<void> {
    const time = (await this.store.head(key, this.#signal))?.modificationTime;
    const { precision } = this.store.features.modificationTime;
    const difference = time === undefined ? precision : time > TIME ? time - TIME : TIME - time;
    this.#abilities.times = difference < precision || difference === 0n ? 'yes' : 'no';
    if (this.#abilities.times === 'no') {
      this.#problems.push(
        'The server does not keep modification times (metadata): files will be sent again.',
      );
    }
  }

  async #writeUnderCondition(key: string): Promise<void> {
    if (!this.store.features.conditionalWrite) return;
    try {
      await this.store.write(key, contentOfBytes(this.#bytes), { ifNoneMatch: '*', ...this.#signal });
      this.#abilities.writeCondition = 'no';
      this.#problems.push(
        'The server ignores the conditions of writes: let only one machine write to this folder, and choose the preset of the server in the credential if there is one.',
      );
    } catch (error) {
      if (hasCode(error, 'NOT_SUPPORTED')) this.#abilities.writeCondition = 'no';
      else if (!hasCode(error, 'PRECONDITION_FAILED', 'ALREADY_EXISTS', 'NO_PERMISSION')) throw error;
      else if (!hasCode(error, 'NO_PERMISSION')) this.#abilities.writeCondition = 'yes';
    }
  }

  async #delete(key: string): Promise<void> {
    await this.#try('delete', async () => {
      await this.store.delete({ key }, this.options.signal);
      if ((await this.store.head(key, this.#signal)) === undefined) return;
      throw new CloudSyncError('NOT_SUPPORTED', 'Deleted, and still there');
    });
  }

  /** Without a probe only what is there can tell: it is looked at and not read. */
  async #lookWithoutProbe(): Promise<void> {
    const prefix = this.store.confinedTo ?? (this.options.folder ? `${this.options.folder}/` : '');
    const first = await this.#try('list', async () => {
      for await (const page of this.store.list({ prefix, ...this.#signal })) {
        const file = page.find((entry) => entry.kind === 'file' && entry.archive === undefined);
        if (file !== undefined) return file;
      }
      return undefined;
    });
    if (first !== undefined) await this.#try('read', () => this.store.head(first.key, this.#signal));
  }

  /** Removes the probe in every version it has, also after an abort. */
  async #cleanUp(): Promise<void> {
    for (const key of this.#keys) {
      const areVersionsGone = await this.#removeVersions(key);
      const isCurrentGone = await this.#removeCurrent(key);
      if (!areVersionsGone || !isCurrentGone) this.#leftovers.push(key);
    }
    if (this.store.features.folders !== 'real') return;
    for (const key of this.#keys) {
      await this.store.deleteFolder(key.slice(0, key.lastIndexOf('/'))).catch(() => {});
    }
  }

  async #removeCurrent(key: string): Promise<boolean> {
    try {
      if ((await this.store.head(key)) === undefined) return true;
      await this.store.delete({ key });
      return (await this.store.head(key)) === undefined;
    } catch {
      return false;
    }
  }

  /** True where there are none left, as far as one may know. */
  async #removeVersions(key: string): Promise<boolean> {
    if (!this.store.features.versions) return true;
    const versions: string[] = [];
    let areAllKnown = true;
    try {
      for await (const page of this.store.list({ prefix: key, versions: true })) {
        for (const entry of page) {
          if (entry.key === key && entry.versionId !== undefined) versions.push(entry.versionId);
        }
      }
    } catch {
      areAllKnown = false;
      if (this.#version !== undefined) versions.push(this.#version);
    }
    // Where no versions are kept, the one there is has no name of its own.
    const kept = versions.filter((versionId) => versionId !== 'null');
    if (kept.length > 0) this.#abilities.versions = 'yes';
    for (const versionId of kept) {
      try {
        await this.store.delete({ key, versionId });
        if (this.#abilities.deleteVersions === 'unknown') this.#abilities.deleteVersions = 'yes';
      } catch {
        this.#abilities.deleteVersions = 'no';
        return false;
      }
    }
    // The marker that deleting left can't be seen then.
    return areAllKnown || kept.length === 0;
  }

  #report(): BucketReport {
    const is = (ability: BucketAbility) => this.#abilities[ability] === 'yes';
    const mayBe = (ability: BucketAbility) => this.#abilities[ability] !== 'no';
    const reads = is('list') && mayBe('read');
    const uses = {
      pushCopy: reads && is('write'),
      pushSync: reads && is('write') && is('delete'),
      restore: reads && mayBe('readRange'),
      verify: reads,
    };
    return {
      abilities: { ...this.#abilities },
      uses,
      notes: [summary(uses, is), ...this.#problems, ...this.#notesOnVersions(), ...this.#notesOnLeftovers()],
      leftovers: [...this.#leftovers],
    };
  }

  #notesOnVersions(): string[] {
    if (this.#abilities.versions !== 'yes') return [];
    return [
      this.#abilities.deleteVersions === 'no'
        ? 'The bucket keeps old versions, and this key may not remove them (or a lock forbids it): what is deleted or replaced can be brought back, and goes on costing until a lifecycle rule of the bucket removes it.'
        : 'The bucket keeps old versions: what is deleted or replaced can be brought back, and goes on costing until a lifecycle rule of the bucket or deleteVersions of the task removes it.',
    ];
  }

  #notesOnLeftovers(): string[] {
    if (this.#leftovers.length === 0) return [];
    return [`This was written for the test and could not be removed: ${this.#leftovers.join(', ')}.`];
  }
}

function summary(uses: BucketReport['uses'], is: (ability: BucketAbility) => boolean): string {
  if (uses.pushSync) return 'This key may list, read, write and delete here: every kind of task works.';
  if (!is('list')) return 'This key may not list the bucket: nothing can be compared, so no task works.';
  if (uses.pushCopy) {
    return 'This key may write but not delete: fine for push copy, restore and verify. What it has written, ransomware on this machine can not undo; a sync can not remove what is gone.';
  }
  if (is('write')) {
    return 'This key may write but not read: it can neither compare nor restore, so no task works.';
  }
  return uses.restore
    ? 'This key may list and read but not write: fine for restore and verify (switch lease off).'
    : 'This key may list, but neither read nor write: no task works.';
}
