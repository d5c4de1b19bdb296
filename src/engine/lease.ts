/**
 * No two hosts write to overlapping prefixes: a lease is a small object under the reserved prefix that names its holder and
 * the prefix it holds.
 *
 * A lease is taken by writing it and then looking whether another one is there: of two that begin together at least one
 * sees the other, and whoever sees another one withdraws. That needs a listing that shows what was written before it
 * (Amazon S3, Azure, Google and Ceph promise that), and no conditional writes, which B2 doesn't have and some servers
 * accept without heeding them. Each lease has a name of its own, so that nobody overwrites another's.
 *
 * It ends by the server's clock, so that a holder that died blocks nobody for longer than {@link LeaseOptions.durationMs};
 * and before each write or delete the holder makes sure that its own time isn't up.
 */

import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { abortedError, asCloudSyncError, CloudSyncError, hasCode } from '../errors.js';
import { contentOfBytes, readAll } from '../stores/content.js';
import type { Store, StoredObject } from '../stores/store.js';
import { RESERVED_PREFIX } from './location.js';

export interface LeaseHolder {
  /** Tells installations apart; one installation locks its own runs by other means. */
  installation: string;
  /** For people. */
  host: string;
  taskId: string;
  task: string;
}

export interface LeaseOptions {
  /** The provider's own store: leases are neither encrypted nor throttled. */
  store: Store;
  /** What the run writes to: '' or a text that ends in `/`. */
  prefixes: readonly string[];
  holder: LeaseHolder;
  /** ms a lease holds without being renewed. */
  durationMs?: number;
  signal: AbortSignal;
}

/** What stands in a lease. */
interface LeaseText extends LeaseHolder {
  prefixes: readonly string[];
  durationMs: number;
  released?: boolean;
}

/** Another host's lease. */
export interface ForeignLease {
  host: string;
  task: string;
  prefix: string;
}

const DURATION_MS = 15 * 60_000;
/** Part of the duration after which it is renewed; and part that is kept as a margin. */
const RENEW_AFTER = 1 / 3;
const MARGIN = 1 / 5;
const LARGEST_LEASE = 64 * 1024;

export class Lease {
  private readonly durationMs: number;
  private readonly name = `${randomBytes(12).toString('hex')}.json`;
  private folder = `${RESERVED_PREFIX}leases/`;
  private readonly versions: string[] = [];
  /** Until when nobody else may take it, by `performance.now()`. */
  private validUntil = 0;
  /** Add to `performance.now()`: the server's clock, ms since the epoch. */
  private clockOffset: number | undefined;
  /** When it was last written, by `performance.now()`. */
  private writtenAt = 0;
  private timer: NodeJS.Timeout | undefined;
  private renewing: Promise<void> | undefined;

  private constructor(private readonly options: LeaseOptions) {
    this.durationMs = options.durationMs ?? DURATION_MS;
  }

  /** Takes the lease, or tells who holds one that overlaps. Throws where leases can't be written at all. */
  static async take(options: LeaseOptions): Promise<Lease | ForeignLease> {
    const lease = new Lease(options);
    const before = await lease.findOther();
    if (before !== undefined) return before;
    try {
      await lease.write();
      const other = await lease.findOther();
      if (other === undefined) {
        lease.scheduleRenewal();
        return lease;
      }
      await lease.release();
      return other;
    } catch (error) {
      await lease.release();
      throw error;
    }
  }

  /**
   * Takes the lease as soon as it is free; `onWait` is told who holds it. Both sides of a tie withdraw, so the next try
   * comes after a random time.
   */
  static async wait(options: LeaseOptions, onWait: (held: ForeignLease) => void): Promise<Lease> {
    for (;;) {
      const taken = await Lease.take(options);
      if (taken instanceof Lease) return taken;
      onWait(taken);
      const pause = ((options.durationMs ?? DURATION_MS) / 30) * (0.5 + Math.random());
      await wait(pause, undefined, { signal: options.signal }).catch(() => {
        throw abortedError();
      });
    }
  }

  /** Call it before each write and delete: throws BUSY where the lease was lost (this process was stopped for too long). */
  async confirm(): Promise<void> {
    if (performance.now() < this.validUntil) return;
    await this.renew();
    if (performance.now() >= this.validUntil) throw lost();
  }

  /** Gives it back; what can't be removed ends by itself. */
  async release(): Promise<void> {
    clearTimeout(this.timer);
    this.validUntil = 0;
    await this.renewing?.catch(() => {});
    const { store } = this.options;
    try {
      await store.delete({ key: this.key });
      // In a bucket that keeps versions nothing of it stays, where that is allowed.
      for (const versionId of this.versions) await store.delete({ key: this.key, versionId });
    } catch {
      // A key that may not delete says instead that it is over.
      await this.writeText({ released: true }).catch(() => {});
    }
  }

  private get key(): string {
    return this.folder + this.name;
  }

  private scheduleRenewal(): void {
    this.timer = setTimeout(() => {
      this.renewing = this.renew().catch(() => {
        // The next write finds out whether it still holds.
      });
      void this.renewing.then(() => this.scheduleRenewal());
    }, this.durationMs * RENEW_AFTER);
    this.timer.unref();
  }

  private async renew(): Promise<void> {
    const isLate = performance.now() >= this.validUntil;
    await this.write();
    // Somebody may have taken it in the meantime.
    if (isLate && (await this.findOther()) !== undefined) {
      this.validUntil = 0;
      throw lost();
    }
  }

  /** Its time counts from before the request: the server can't have written it earlier. */
  private async write(): Promise<void> {
    const sentAt = performance.now();
    const written = await this.writeText({});
    if (written.versionId !== undefined && written.versionId !== 'null')
      this.versions.push(written.versionId);
    while (this.versions.length > 1) {
      const versionId = this.versions.shift()!;
      await this.options.store.delete({ key: this.key, versionId }).catch(() => {});
    }
    this.writtenAt = performance.now();
    this.readClock(written);
    this.validUntil = sentAt + this.durationMs * (1 - MARGIN);
  }

  /** From our own lease as the server shows it: in the answer to the write, or in the listing that follows. */
  private readClock({ storedTime }: StoredObject): void {
    if (storedTime !== undefined) this.clockOffset = storedTime - this.writtenAt;
  }

  private async writeText(more: Partial<LeaseText>): Promise<StoredObject> {
    const { store, holder, prefixes, signal } = this.options;
    const text: LeaseText = { ...holder, prefixes, durationMs: this.durationMs, ...more };
    const content = contentOfBytes(Buffer.from(JSON.stringify(text)));
    const write = () => store.write(this.key, content, { contentType: 'application/json', signal });
    try {
      return await write();
    } catch (error) {
      const [prefix = ''] = prefixes;
      if (!hasCode(error, 'NO_PERMISSION') || prefix === '' || this.folder.startsWith(prefix)) throw error;
      // A key that is confined to its prefix keeps its leases there.
      this.folder = `${prefix}${RESERVED_PREFIX}leases/`;
      return await write();
    }
  }

  /** Another installation's lease that overlaps and isn't over. */
  private async findOther(): Promise<ForeignLease | undefined> {
    const { store, prefixes, signal } = this.options;
    const folders = new Set([`${RESERVED_PREFIX}leases/`, this.folder]);
    for (const folder of folders) {
      try {
        for await (const page of store.list({ prefix: folder, signal })) {
          const own = page.find((object) => object.key === this.key);
          if (own !== undefined) this.readClock(own);
          for (const object of page) {
            const found = await this.foreign(object, prefixes);
            if (found !== undefined) return found;
          }
        }
      } catch (error) {
        // A key confined to its prefix may not list here; then nobody with that key has a lease here.
        if (!hasCode(error, 'NO_PERMISSION')) throw error;
      }
    }
    return undefined;
  }

  private async foreign(
    object: StoredObject,
    prefixes: readonly string[],
  ): Promise<ForeignLease | undefined> {
    if (object.key === this.key || object.size > LARGEST_LEASE) return undefined;
    const text = await this.read(object.key);
    if (text === undefined) return undefined;
    const prefix = text.prefixes.find((theirs) => prefixes.some((ours) => overlaps(ours, theirs)));
    if (this.isDead(object, text, prefix !== undefined)) await this.removeDead(object.key);
    if (text.released === true || text.installation === this.options.holder.installation) return undefined;
    if (prefix === undefined || this.isOver(object, text)) return undefined;
    return { host: text.host, task: text.task, prefix };
  }

  /** Whether nobody will ever need it: given back, its time up, or left by a run of ours that was killed. */
  private isDead(object: StoredObject, text: LeaseText, doesOverlap: boolean): boolean {
    if (text.released === true) return true;
    // Two living runs of one installation never overlap: its own locks see to that.
    if (text.installation === this.options.holder.installation) return doesOverlap;
    // This machine's clock may be wrong: only the server's is good enough to remove what is another's.
    return this.clockOffset !== undefined && this.isOver(object, text);
  }

  /** Best effort: what stays is looked at again by every run, and in nobody's way. */
  private async removeDead(key: string): Promise<void> {
    await this.options.store.delete({ key }).catch(() => {});
  }

  /** Until the server has said what time it is, this machine's clock decides whether it is worth asking. */
  private isOver(object: StoredObject, text: LeaseText): boolean {
    if (object.storedTime === undefined) return false;
    const now = this.clockOffset === undefined ? Date.now() : performance.now() + this.clockOffset;
    return now > object.storedTime + text.durationMs;
  }

  private async read(key: string): Promise<LeaseText | undefined> {
    const { store, signal } = this.options;
    try {
      const opened = await store.open(key, { signal });
      try {
        return JSON.parse((await readAll(opened.read())).toString('utf8')) as LeaseText;
      } finally {
        await opened.close();
      }
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND', 'CHANGED')) return undefined;
      if (error instanceof SyntaxError) return undefined;
      throw asCloudSyncError(error);
    }
  }
}

/** Whether one of two prefixes lies in the other. Both are '' or end in `/`, so that segments are compared whole. */
export function overlaps(first: string, second: string): boolean {
  return first.startsWith(second) || second.startsWith(first);
}

function lost(): CloudSyncError {
  return new CloudSyncError('BUSY', 'The lease on the prefix was lost while this run was held up', {
    advice: 'Another host may have taken over; the next run compares both sides anew.',
  });
}
