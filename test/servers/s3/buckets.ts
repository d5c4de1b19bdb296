import { randomBytes } from 'node:crypto';
import { type Content, releaseContent, type Slice } from './blobs.js';
import type { ChecksumAlgorithm } from './checksums.js';
import type { Clock } from './clock.js';
import { s3Error } from './s3-error.js';
import { SortedMap } from './sorted-map.js';

/** A checksum as it is stored with an object ("Checking object integrity": full object or composite). */
export interface StoredChecksum {
  algorithm: ChecksumAlgorithm;
  value: string;
  type: 'FULL_OBJECT' | 'COMPOSITE';
}

/** A thaw that was asked for. */
export interface Restore {
  /** ms since the epoch: readable from then on ... */
  readyAt: number;
  /** ... until then. */
  expiresAt: number;
}

/** What is stored beside the bytes. */
export interface StoredAttributes {
  /** Names in lower case, without `x-amz-meta-`. */
  metadata: Record<string, string>;
  /** `content-type`, `cache-control` ... as headers. */
  system: Record<string, string>;
  storageClass: string;
  /** Answer headers about encryption. */
  encryption: Record<string, string>;
}

export interface ObjectVersion extends StoredAttributes {
  readonly key: string;
  /** `null` for what was written while the bucket kept no versions. */
  readonly versionId: string;
  /** ms since the epoch. */
  readonly lastModified: number;
  readonly isDeleteMarker: boolean;
  readonly size: number;
  /** Without quotes. */
  readonly etag: string;
  readonly content: Content;
  /** Made from parts: their sizes. */
  readonly parts?: readonly { number: number; size: number; checksum?: string }[];
  checksum: StoredChecksum | undefined;
  restore: Restore | undefined;
}

export interface KeyEntry {
  readonly key: string;
  /** Newest first, never empty. */
  versions: ObjectVersion[];
}

export interface UploadPart {
  readonly number: number;
  readonly etag: string;
  readonly md5: Buffer;
  readonly size: number;
  readonly lastModified: number;
  readonly content: readonly Slice[];
  readonly checksum: { algorithm: ChecksumAlgorithm; value: string } | undefined;
}

export interface MultipartUpload extends StoredAttributes {
  readonly id: string;
  readonly key: string;
  readonly initiated: number;
  readonly checksumAlgorithm: ChecksumAlgorithm | undefined;
  readonly checksumType: 'FULL_OBJECT' | 'COMPOSITE' | undefined;
  readonly parts: Map<number, UploadPart>;
}

export type Versioning = 'Enabled' | 'Suspended' | undefined;

export class Bucket {
  readonly keys = new SortedMap<KeyEntry>();
  readonly uploads = new Map<string, MultipartUpload>();
  versioning: Versioning;
  /** Bytes that all versions together may have. */
  quotaBytes = Number.POSITIVE_INFINITY;
  usedBytes = 0;

  constructor(
    readonly name: string,
    readonly region: string,
    readonly createdAt: number,
  ) {}

  /** The newest version, which may be a delete marker. */
  latest(key: string): ObjectVersion | undefined {
    return this.keys.get(key)?.versions[0];
  }

  version(key: string, versionId: string): ObjectVersion | undefined {
    return this.keys.get(key)?.versions.find((version) => version.versionId === versionId);
  }

  /** The id a version written now gets. */
  nextVersionId(): string {
    return this.versioning === 'Enabled' ? randomBytes(24).toString('base64url') : 'null';
  }

  /** Refuses `bytes` more than the quota. */
  reserve(bytes: number): void {
    if (this.usedBytes + bytes > this.quotaBytes) throw s3Error('QuotaExceeded');
  }

  /**
   * Adds a version as the newest; a `null` version takes the place of the one there was ("Working with objects in a
   * versioning-suspended bucket").
   */
  add(version: ObjectVersion): void {
    const entry = this.keys.get(version.key);
    if (entry === undefined) this.keys.add({ key: version.key, versions: [version] });
    else {
      const replaced = entry.versions.findIndex(({ versionId }) => versionId === version.versionId);
      if (replaced >= 0) this.forget(entry.versions.splice(replaced, 1)[0] as ObjectVersion);
      entry.versions.unshift(version);
    }
    this.usedBytes += version.size;
  }

  /** Removes one version for ever. */
  remove(key: string, versionId: string): void {
    const entry = this.keys.get(key);
    const index = entry?.versions.findIndex((version) => version.versionId === versionId) ?? -1;
    if (entry === undefined || index < 0) return;
    this.forget(entry.versions.splice(index, 1)[0] as ObjectVersion);
    if (entry.versions.length === 0) this.keys.delete(key);
  }

  private forget(version: ObjectVersion): void {
    this.usedBytes -= version.size;
    releaseContent(version.content);
  }

  setVersioning(status: Exclude<Versioning, undefined>): void {
    this.versioning = status;
  }

  /** Removes an upload with its parts. */
  dropUpload(upload: MultipartUpload, keepContent = false): void {
    this.uploads.delete(upload.id);
    if (!keepContent) for (const part of upload.parts.values()) releaseContent(part.content);
  }

  /** Closes all blobs without removing what lies in files. */
  close(): void {
    for (const entry of this.keys.values()) {
      for (const version of entry.versions) for (const slice of version.content) slice.blob.close();
    }
    for (const upload of this.uploads.values()) {
      for (const part of upload.parts.values()) for (const slice of part.content) slice.blob.close();
    }
  }
}

/** A delete marker for `key`. */
export function deleteMarker(bucket: Bucket, key: string, clock: Clock): ObjectVersion {
  return {
    key,
    versionId: bucket.nextVersionId(),
    lastModified: clock.now(),
    isDeleteMarker: true,
    size: 0,
    etag: '',
    content: [],
    metadata: {},
    system: {},
    storageClass: 'STANDARD',
    encryption: {},
    checksum: undefined,
    restore: undefined,
  };
}

const NAME = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])$/;

/** "General purpose bucket naming rules". */
export function isBucketName(name: string): boolean {
  return (
    name.length >= 3 &&
    name.length <= 63 &&
    NAME.test(name) &&
    !name.includes('..') &&
    !/^\d+\.\d+\.\d+\.\d+$/.test(name) &&
    !name.startsWith('xn--') &&
    !name.endsWith('-s3alias')
  );
}
