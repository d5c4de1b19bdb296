/** The two sides of a soak, seen and changed without the engine. */

import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { pathOfKey } from '../../src/engine/location.js';
import { contentOfBytes, readAll } from '../../src/stores/content.js';
import type { NameMapping } from '../../src/stores/names.js';
import type { Store } from '../../src/stores/store.js';
import { readContent } from '../servers/s3/blobs.js';
import type { S3Server } from '../servers/s3/server.js';
import { decrypt, nonceOf } from './plain-bytes.js';

export interface FileState {
  /** Of the plain content. */
  hash: string;
  size: number;
  /** Modification time, ns since the epoch. */
  time: bigint | undefined;
  /** Changes whenever the file or object is written anew. */
  tag: string;
}

/** By path; folders are not in it. */
export type Snapshot = Map<string, FileState>;

/** A place that holds files, for edits and for the oracle. */
export interface Side {
  snapshot(): Promise<Snapshot>;
  /** Writes a file; into the same inode where there is one. */
  put(path: string, bytes: Buffer, time: bigint): Promise<void>;
  read(path: string): Promise<Buffer>;
  touch(path: string, time: bigint): Promise<void>;
  remove(path: string): Promise<void>;
  /** A file or everything below a folder. */
  rename(from: string, to: string): Promise<void>;
}

export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}

/** A folder on the disk. */
export class LocalSide implements Side {
  constructor(readonly root: string) {
    mkdirSync(root, { recursive: true });
  }

  async snapshot(): Promise<Snapshot> {
    const files: Snapshot = new Map();
    for (const path of this.paths()) {
      const file = join(this.root, path);
      const { size, mtimeNs, ctimeNs, ino } = lstatSync(file, { bigint: true });
      const tag = `${ino} ${ctimeNs}`;
      files.set(path, { hash: hashOf(readFileSync(file)), size: Number(size), time: mtimeNs, tag });
    }
    return files;
  }

  /** A folder stands there, if only an empty one. */
  hasFolder(path: string): boolean {
    const place = join(this.root, path);
    return existsSync(place) && statSync(place).isDirectory();
  }

  /** Every file, temporary ones too. */
  paths(): string[] {
    const found: string[] = [];
    const walk = (folder: string) => {
      for (const entry of readdirSync(join(this.root, folder), { withFileTypes: true })) {
        const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
        if (entry.isDirectory()) walk(path);
        else found.push(path);
      }
    };
    walk('');
    return found;
  }

  async put(path: string, bytes: Buffer, time: bigint): Promise<void> {
    const file = this.placeFor(path);
    const descriptor = openSync(file, existsSync(file) ? 'r+' : 'w');
    ftruncateSync(descriptor, 0);
    writeSync(descriptor, bytes);
    closeSync(descriptor);
    await this.touch(path, time);
  }

  /** Other bytes of the same size in the same file, its time put back. */
  rewriteQuietly(path: string, bytes: Buffer): void {
    const file = join(this.root, path);
    const { mtimeNs } = lstatSync(file, { bigint: true });
    const descriptor = openSync(file, 'r+');
    writeSync(descriptor, bytes);
    closeSync(descriptor);
    setTime(file, mtimeNs);
  }

  async read(path: string): Promise<Buffer> {
    return readFileSync(join(this.root, path));
  }

  async touch(path: string, time: bigint): Promise<void> {
    setTime(join(this.root, path), time);
  }

  async remove(path: string): Promise<void> {
    rmSync(join(this.root, path));
    this.removeEmpty(dirname(path));
  }

  async rename(from: string, to: string): Promise<void> {
    renameSync(join(this.root, from), this.placeFor(to));
    this.removeEmpty(dirname(from));
  }

  /** Empty folders stand in nobody's way. */
  private placeFor(path: string): string {
    const file = join(this.root, path);
    if (lstatSync(file, { throwIfNoEntry: false })?.isDirectory()) rmSync(file, { recursive: true });
    mkdirSync(dirname(file), { recursive: true });
    return file;
  }

  private removeEmpty(folder: string): void {
    for (let path = folder; path !== '.' && path !== ''; path = dirname(path)) {
      if (readdirSync(join(this.root, path)).length > 0) return;
      rmdirSync(join(this.root, path));
    }
  }
}

function setTime(file: string, time: bigint): void {
  const seconds = Number(time / 1_000_000_000n) + (Number((time % 1_000_000_000n) / 1000n) + 0.4) / 1e6;
  utimesSync(file, seconds, seconds);
}

export interface RemotePlace {
  /** Keys of the side start with this. */
  prefix: string;
  names: NameMapping;
  /** Undefined: stored plain. */
  key: Buffer | undefined;
}

/** One object as it lies in the store. */
export interface RawObject {
  bytes: Buffer;
  time: bigint | undefined;
  tag: string;
}

/** What lies in a store, past or with it. */
export interface RawStore {
  all(): Promise<Map<string, RawObject>>;
  /** Every content that is stored, old versions and the first parts of uploads too. */
  everStored(): Iterable<Buffer>;
}

/** A prefix in a store. */
export class RemoteSide implements Side {
  constructor(
    private readonly raw: RawStore,
    /** For edits: faults have to be off. Plain paths, decrypted content. */
    private readonly store: Store,
    private readonly place: RemotePlace,
  ) {}

  async snapshot(): Promise<Snapshot> {
    return this.snapshotOf(await this.raw.all());
  }

  /** The same files of objects seen before, also under another prefix. */
  snapshotOf(objects: Map<string, RawObject>, prefix = this.place.prefix): Snapshot {
    const files: Snapshot = new Map();
    const { names, key: contentKey } = this.place;
    for (const [key, object] of objects) {
      if (!key.startsWith(prefix) || key.endsWith('/')) continue;
      const path = pathOfKey({ store: this.store, prefix, names }, key.slice(prefix.length), 'file');
      const { time, tag } = object;
      try {
        const bytes = contentKey === undefined ? object.bytes : decrypt(object.bytes, contentKey);
        files.set(path, { hash: hashOf(bytes), size: bytes.length, time, tag });
      } catch {
        files.set(path, { hash: 'damaged', size: -1, time, tag });
      }
    }
    return files;
  }

  async put(path: string, bytes: Buffer, time: bigint): Promise<void> {
    await this.removeEmptyFolders(this.keyOf(path));
    await this.store.write(this.keyOf(path), contentOfBytes(bytes), { modificationTime: time });
  }

  async read(path: string): Promise<Buffer> {
    const opened = await this.store.open(this.keyOf(path));
    try {
      return await readAll(opened.read());
    } finally {
      await opened.close();
    }
  }

  async touch(path: string, time: bigint): Promise<void> {
    await this.put(path, await this.read(path), time);
  }

  async remove(path: string): Promise<void> {
    await this.store.delete({ key: this.keyOf(path) });
  }

  async rename(from: string, to: string): Promise<void> {
    for (const [path, { time }] of await this.snapshot()) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      await this.put(to + path.slice(from.length), await this.read(path), time ?? 0n);
      await this.remove(path);
    }
  }

  /** Where folders are real: one stands there, if only an empty one. */
  async hasFolder(path: string): Promise<boolean> {
    if (this.store.features.folders !== 'real') return false;
    return (await this.store.head(this.keyOf(path, 'folder')))?.kind === 'folder';
  }

  /** Where folders are real, empty ones stand in nobody's way. */
  private async removeEmptyFolders(key: string): Promise<void> {
    if (this.store.features.folders !== 'real') return;
    const folders = [key];
    for await (const page of this.store.list({ prefix: `${key}/`, folders: true })) {
      for (const object of page) if (object.kind === 'folder') folders.push(object.key);
    }
    folders.sort((one, other) => other.length - one.length);
    for (const folder of folders) await this.store.deleteFolder(folder);
  }

  private keyOf(path: string, kind: 'file' | 'folder' = 'file'): string {
    const { prefix, names } = this.place;
    const segments = path.split('/');
    const last = segments.length - 1;
    return prefix + segments.map((one, at) => names.toStored(one, at === last ? kind : 'folder')).join('/');
  }
}

/** A bucket of the tests' server, seen from inside. */
export function insideOfServer(server: S3Server, bucket: string): RawStore {
  const { objects } = server;
  return {
    async all() {
      const found = new Map<string, RawObject>();
      for (const key of objects.keys(bucket)) {
        const version = objects.find(bucket, key)!;
        const { etag, versionId, lastModified, metadata } = version;
        const tag = `${etag} ${versionId} ${lastModified} ${metadata.mtime ?? ''}`;
        found.set(key, { bytes: objects.bytes(bucket, key, version), time: timeOf(metadata.mtime), tag });
      }
      return found;
    },
    *everStored() {
      for (const { key, versions } of objects.bucket(bucket).keys.values()) {
        for (const version of versions) {
          if (!version.isDeleteMarker) yield objects.bytes(bucket, key, version);
        }
      }
      for (const { parts } of objects.bucket(bucket).uploads.values()) {
        const first = parts.get(1);
        if (first !== undefined) yield Buffer.concat([...readContent(first.content, 0, first.size)]);
      }
    },
  };
}

/** `1700000000.123456789`, as rclone writes it. */
function timeOf(text: string | undefined): bigint | undefined {
  const found = /^(\d+)(?:\.(\d{1,9}))?$/.exec(text ?? '');
  if (found === null) return undefined;
  return BigInt(found[1]!) * 1_000_000_000n + BigInt((found[2] ?? '').padEnd(9, '0') || '0');
}

/** A store seen through its own interface, while nothing fails. */
export function throughItsInterface(store: Store): RawStore {
  const all = async () => {
    const found = new Map<string, RawObject>();
    for await (const page of store.list({})) {
      for (const listed of page) {
        if (listed.kind !== 'file') continue;
        const opened = await store.open(listed.key);
        const bytes = await readAll(opened.read());
        await opened.close();
        const { modificationTime, etag, storedTime } = opened.object;
        found.set(listed.key, { bytes, time: modificationTime, tag: `${etag} ${storedTime}` });
      }
    }
    return found;
  };
  return { all, everStored: () => [] };
}

/** Takes note of the nonces of encrypted objects; names one that was used for two contents. */
export class NonceWatch {
  private readonly seen = new Map<string, Buffer>();

  look(objects: Iterable<Buffer>): string | undefined {
    for (const stored of objects) {
      const nonce = nonceOf(stored);
      const before = this.seen.get(nonce);
      // A first part is the beginning of its object.
      const length = Math.min(stored.length, before?.length ?? 0);
      if (before !== undefined && !before.subarray(0, length).equals(stored.subarray(0, length)))
        return nonce;
      if (before === undefined || before.length < stored.length) this.seen.set(nonce, Buffer.from(stored));
    }
    return undefined;
  }
}
