/** Leases as objects in the bucket: where they lie, and how they are written, read and removed. See lease.ts. */

import { asCloudSyncError, hasCode } from '../errors.js';
import { contentOfBytes, readAll } from '../stores/content.js';
import type { DeleteRequest, Store, StoredObject } from '../stores/store.js';
import { RESERVED_PREFIX } from './location.js';

/** What stands in a lease. */
export interface LeaseText {
  /** For people, as is `task`. */
  host: string;
  taskId: string;
  task: string;
  /** What its holder writes to. */
  prefixes: readonly string[];
  /** ms it holds, counted from when it was stored. */
  durationMs: number;
  /** Given back by a key that may not delete. */
  released?: boolean;
}

const FOLDER = `${RESERVED_PREFIX}leases/`;
/** Anything larger is no lease. Bytes. */
const LARGEST = 64 * 1024;

export class LeaseFolders {
  private folder = FOLDER;
  /** False: the key is confined to its prefix, and nobody with that key has a lease elsewhere. */
  private mayListAll = true;
  /** The bucket keeps versions; those of a lease are removed, where that is allowed. */
  private isVersioned = false;
  private lastVersion: string | undefined;
  private mayRemoveVersions = true;

  /** @param prefix where a key that is confined to its prefix keeps its leases: '' or ends in `/` */
  constructor(
    private readonly store: Store,
    private readonly prefix: string,
  ) {}

  keyOf(name: string): string {
    return this.folder + name;
  }

  /** Writes one of our own, and removes the version before. */
  async write(name: string, text: LeaseText, signal?: AbortSignal): Promise<StoredObject> {
    const content = contentOfBytes(Buffer.from(JSON.stringify(text)));
    const write = () =>
      this.store.write(this.keyOf(name), content, { contentType: 'application/json', signal });
    let written: StoredObject;
    try {
      written = await write();
    } catch (error) {
      if (!hasCode(error, 'NO_PERMISSION') || !this.moveIntoPrefix()) throw error;
      written = await write();
    }
    await this.noteVersion(written);
    return written;
  }

  /** All leases, by their names. Throws NO_PERMISSION where others' can't be seen. */
  async list(signal: AbortSignal): Promise<Map<string, StoredObject>> {
    const found = new Map<string, StoredObject>();
    try {
      await this.collect(this.folder, found, signal);
    } catch (error) {
      if (!hasCode(error, 'NO_PERMISSION') || !this.moveIntoPrefix()) throw error;
      await this.collect(this.folder, found, signal);
      this.mayListAll = false;
    }
    if (this.folder !== FOLDER && this.mayListAll) await this.collect(FOLDER, found, signal);
    return found;
  }

  private async collect(
    folder: string,
    found: Map<string, StoredObject>,
    signal: AbortSignal,
  ): Promise<void> {
    for await (const page of this.store.list({ prefix: folder, signal })) {
      for (const object of page) {
        if (object.kind === 'file') found.set(object.key.slice(folder.length), object);
      }
    }
  }

  /** Undefined where it is gone, or no lease. */
  async read({ key, size }: StoredObject, signal: AbortSignal): Promise<LeaseText | undefined> {
    if (size > LARGEST) return undefined;
    try {
      const opened = await this.store.open(key, { signal });
      try {
        return parse((await readAll(opened.read())).toString('utf8'));
      } finally {
        await opened.close();
      }
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND', 'CHANGED')) return undefined;
      throw asCloudSyncError(error);
    }
  }

  /** Removes a lease: in a bucket that keeps versions all of it, its delete markers too, where that is allowed. */
  async remove(key: string): Promise<void> {
    if (this.isVersioned && this.mayRemoveVersions && (await this.removeVersions(key))) return;
    await this.store.delete({ key });
  }

  private moveIntoPrefix(): boolean {
    if (this.prefix === '' || this.folder !== FOLDER) return false;
    this.folder = `${this.prefix}${FOLDER}`;
    return true;
  }

  private async noteVersion({ key, versionId }: StoredObject): Promise<void> {
    if (versionId === undefined || versionId === 'null') return;
    const before = this.lastVersion;
    this.isVersioned = true;
    this.lastVersion = versionId;
    if (before === undefined || before === versionId || !this.mayRemoveVersions) return;
    try {
      await this.store.delete({ key, versionId: before });
    } catch {
      // Locked, or not allowed: not tried at each renewal.
      this.mayRemoveVersions = false;
    }
  }

  private async removeVersions(key: string): Promise<boolean> {
    try {
      const versions: DeleteRequest[] = [];
      for await (const page of this.store.list({ prefix: key, versions: true })) {
        for (const object of page) {
          if (object.key === key) versions.push({ key, versionId: object.versionId });
        }
      }
      const outcomes = await this.store.deleteMany(versions);
      return outcomes.every(({ error }) => error === undefined);
    } catch {
      return false;
    }
  }
}

function parse(text: string): LeaseText | undefined {
  let value: Partial<LeaseText> | null;
  try {
    value = JSON.parse(text) as Partial<LeaseText> | null;
  } catch {
    return undefined;
  }
  const { prefixes, durationMs, host = '', task = '', taskId = '', released } = value ?? {};
  const isLease = Array.isArray(prefixes) && prefixes.every((prefix) => typeof prefix === 'string');
  if (!isLease || typeof durationMs !== 'number') return undefined;
  const own = { host: String(host), taskId: String(taskId), task: String(task) };
  return { ...own, prefixes, durationMs, released: released === true };
}
