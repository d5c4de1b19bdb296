/** What a memory store holds: versions of objects and uploads on their way. Several stores may share one. */

import type { ArrivedPart, Hashes, ObjectAttributes, StoredObject } from '../store.js';
import { compareUtf8 } from '../utf8-order.js';

export interface Version {
  key: string;
  id: string;
  bytes: Buffer;
  storedTime: number;
  isDeleteMarker: boolean;
  etag: string;
  md5: string;
  attributes: ObjectAttributes;
  archive?: StoredObject['archive'];
}

export interface PartsOnTheirWay {
  key: string;
  startedAt: number;
  attributes: ObjectAttributes;
  hashes?: Hashes;
  parts: Map<number, { bytes: Buffer; part: ArrivedPart }>;
}

export class Contents {
  readonly uploads = new Map<string, PartsOnTheirWay>();
  readonly #objects = new Map<string, Version[]>();
  #sorted: string[] | undefined;
  #count = 0;

  /** @param fold What all keys that mean the same object have in common. */
  constructor(readonly fold: (key: string) => string) {}

  newId(): string {
    this.#count += 1;
    return String(this.#count).padStart(8, '0');
  }

  /** Newest first. */
  versionsOf(key: string): readonly Version[] {
    return this.#objects.get(this.fold(key)) ?? [];
  }

  /** Undefined where there is none or it was deleted. */
  current(key: string): Version | undefined {
    const newest = this.versionsOf(key)[0];
    return newest?.isDeleteMarker === true ? undefined : newest;
  }

  version(key: string, id: string): Version | undefined {
    return this.versionsOf(key).find((version) => version.id === id);
  }

  put(version: Version, keepsOlder: boolean): void {
    const older = this.versionsOf(version.key);
    if (older.length === 0) this.#sorted = undefined;
    this.#objects.set(this.fold(version.key), keepsOlder ? [version, ...older] : [version]);
  }

  /** Removes one version, or all of them. */
  remove(key: string, id?: string): void {
    const rest = id === undefined ? [] : this.versionsOf(key).filter((version) => version.id !== id);
    if (rest.length > 0) {
      this.#objects.set(this.fold(key), rest);
    } else if (this.#objects.delete(this.fold(key))) {
      this.#sorted = undefined;
    }
  }

  /** All keys in UTF-8 byte order, in their folded form. */
  keys(): readonly string[] {
    this.#sorted ??= [...this.#objects.keys()].sort(compareUtf8);
    return this.#sorted;
  }
}
