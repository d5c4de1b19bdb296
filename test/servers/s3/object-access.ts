import { createHash } from 'node:crypto';
import { readContent, releaseContent } from './blobs.js';
import type { Bucket, ObjectVersion } from './buckets.js';
import type { ServerState } from './context.js';
import { compareUtf8 } from './utf8-order.js';

/** What is stored, seen and changed past the protocol: for oracles, and to do damage that no client could. */
export class ObjectAccess {
  constructor(private readonly state: ServerState) {}

  bucket(name: string): Bucket {
    const bucket = this.state.buckets.get(name);
    if (bucket === undefined) throw new Error(`No bucket ${name}`);
    return bucket;
  }

  /** Names of all buckets, sorted. */
  bucketNames(): string[] {
    return [...this.state.buckets.keys()].sort();
  }

  /** Keys of all current objects, in UTF-8 byte order. */
  keys(bucket: string): string[] {
    const keys: string[] = [];
    for (const { key, versions } of this.bucket(bucket).keys.values())
      if (!versions[0]?.isDeleteMarker) keys.push(key);
    return keys.sort(compareUtf8);
  }

  /** The current object; undefined where there is none. */
  find(bucket: string, key: string): ObjectVersion | undefined {
    const latest = this.bucket(bucket).latest(key);
    return latest?.isDeleteMarker ? undefined : latest;
  }

  /** Every version and delete marker of a key, newest first. */
  versions(bucket: string, key: string): readonly ObjectVersion[] {
    return this.bucket(bucket).keys.get(key)?.versions ?? [];
  }

  /** All bytes of the current object, or of `version`. */
  bytes(bucket: string, key: string, version = this.find(bucket, key)): Buffer {
    if (version === undefined) throw new Error(`No object ${key}`);
    return Buffer.concat([...readContent(version.content, 0, version.size)]);
  }

  /** Ids of the uploads that were begun and neither completed nor aborted. */
  pendingUploads(bucket: string): { key: string; uploadId: string }[] {
    return [...this.bucket(bucket).uploads.values()].map(({ key, id }) => ({ key, uploadId: id }));
  }

  /** Stores an object past the protocol, as the newest version of its key; default ETag: its MD5. Gives its version. */
  put(
    bucketName: string,
    key: string,
    content: Buffer,
    attributes: { metadata?: Record<string, string>; contentType?: string; etag?: string } = {},
  ): ObjectVersion {
    const bucket = this.bucket(bucketName);
    const version: ObjectVersion = {
      key,
      versionId: bucket.nextVersionId(),
      lastModified: this.state.clock.now(),
      isDeleteMarker: false,
      size: content.length,
      etag: attributes.etag ?? createHash('md5').update(content).digest('hex'),
      content:
        content.length === 0
          ? []
          : [{ blob: this.state.blobs.store(content), offset: 0, size: content.length }],
      metadata: attributes.metadata ?? {},
      system: { 'content-type': attributes.contentType ?? 'application/octet-stream' },
      storageClass: 'STANDARD',
      encryption: {},
      checksum: undefined,
      restore: undefined,
    };
    bucket.add(version);
    return version;
  }

  /**
   * Changes what is stored of the current object and nothing else: with `content`, ETag, checksum and times stay what
   * they were, as on a disk that rots.
   */
  change(
    bucket: string,
    key: string,
    changes: { content?: Buffer; storageClass?: string; lastModified?: number; etag?: string },
  ): void {
    const entry = this.bucket(bucket).keys.get(key);
    const old = entry?.versions[0];
    if (entry === undefined || old === undefined) throw new Error(`No object ${key}`);
    const { content, ...rest } = changes;
    const changed: ObjectVersion = { ...old, ...rest };
    if (content !== undefined) {
      const blob = this.state.blobs.store(content);
      Object.assign(changed, { content: [{ blob, offset: 0, size: content.length }], size: content.length });
      releaseContent(old.content);
      this.bucket(bucket).usedBytes += content.length - old.size;
    }
    entry.versions[0] = changed;
  }
}
