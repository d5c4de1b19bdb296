import * as fs from 'node:fs';
import * as path from 'node:path';

/**
 * Bytes that never change. Small ones lie in memory, others in files of a folder that belongs to the server; counted
 * references, because copies share them and a download in progress needs them after they were replaced.
 */
export class Blob {
  private references = 1;
  private closed = false;

  constructor(
    readonly size: number,
    private memory: Buffer | undefined,
    readonly file: { path: string; fd: number } | undefined,
  ) {}

  retain(): this {
    this.references++;
    return this;
  }

  release(): void {
    this.references--;
    if (this.references > 0 || this.closed) return;
    this.closed = true;
    this.memory = undefined;
    if (this.file !== undefined) {
      fs.closeSync(this.file.fd);
      fs.rmSync(this.file.path, { force: true });
    }
  }

  /** Closes without removing the file: the server stops, its folder may stay. */
  close(): void {
    // Once only, also where answers still hold it: the number of a closed descriptor may be another file's by then.
    if (this.file !== undefined && !this.closed) fs.closeSync(this.file.fd);
    this.closed = true;
  }

  read(offset: number, length: number): Buffer {
    if (this.closed) throw new ConnectionGone();
    if (this.file === undefined) return (this.memory as Buffer).subarray(offset, offset + length);
    const buffer = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const got = fs.readSync(this.file.fd, buffer, done, length - done, offset + done);
      if (got === 0) throw new Error('A blob is shorter than it was');
      done += got;
    }
    return buffer;
  }
}

/** Nobody is left to answer: the client hung up, or the server stops. */
export class ConnectionGone extends Error {}

/** A stretch of a blob. */
export interface Slice {
  blob: Blob;
  offset: number;
  size: number;
}

/** The bytes of an object: one stretch, or one for each part of a multipart upload. */
export type Content = readonly Slice[];

const READ_SIZE = 256 * 1024;

/** The bytes from `offset`, `length` of them, in pieces. */
export function* readContent(content: Content, offset: number, length: number): Generator<Buffer> {
  let skip = offset;
  let left = length;
  for (const slice of content) {
    if (skip >= slice.size) {
      skip -= slice.size;
      continue;
    }
    while (left > 0 && skip < slice.size) {
      const size = Math.min(left, slice.size - skip, READ_SIZE);
      yield slice.blob.read(slice.offset + skip, size);
      skip += size;
      left -= size;
    }
    skip = 0;
    if (left === 0) return;
  }
}

/** The stretches that make up `length` bytes from `offset`, each retained. */
export function sliceContent(content: Content, offset: number, length: number): Content {
  const slices: Slice[] = [];
  let skip = offset;
  let left = length;
  for (const slice of content) {
    if (skip >= slice.size) {
      skip -= slice.size;
      continue;
    }
    const size = Math.min(left, slice.size - skip);
    if (size > 0) slices.push({ blob: slice.blob.retain(), offset: slice.offset + skip, size });
    left -= size;
    skip = 0;
    if (left === 0) break;
  }
  return slices;
}

export function releaseContent(content: Content | undefined): void {
  for (const slice of content ?? []) slice.blob.release();
}

/** Takes bytes in, in order. */
export interface BlobWriter {
  write(bytes: Buffer): void;
  finish(): Blob;
  discard(): void;
}

/** Where blobs are made. */
export class BlobFolder {
  private next = 1;
  private made = false;

  constructor(
    readonly path: string,
    /** Bytes up to which a blob stays in memory. */
    private readonly inMemory: number,
  ) {}

  /** A writer for `size` bytes. */
  writer(size: number): BlobWriter {
    return size <= this.inMemory ? new MemoryWriter(size) : this.fileWriter();
  }

  /** A blob of bytes there are. */
  store(bytes: Buffer): Blob {
    const writer = this.writer(bytes.length);
    writer.write(bytes);
    return writer.finish();
  }

  private fileWriter(): BlobWriter {
    if (!this.made) fs.mkdirSync(this.path, { recursive: true });
    this.made = true;
    let file = path.join(this.path, String(this.next++));
    while (fs.existsSync(file)) file = path.join(this.path, String(this.next++));
    return new FileWriter(file);
  }

  remove(): void {
    if (this.made) fs.rmSync(this.path, { recursive: true, force: true });
  }
}

class MemoryWriter implements BlobWriter {
  // Copied: chunks of a socket are views into slabs of 64 KiB that would all be kept.
  private readonly buffer: Buffer;
  private length = 0;

  constructor(size: number) {
    this.buffer = size < 1024 ? Buffer.allocUnsafe(size) : Buffer.allocUnsafeSlow(size);
  }

  write(bytes: Buffer): void {
    bytes.copy(this.buffer, this.length);
    this.length += bytes.length;
  }

  finish(): Blob {
    return new Blob(this.length, this.buffer.subarray(0, this.length), undefined);
  }

  discard(): void {}
}

class FileWriter implements BlobWriter {
  private readonly fd: number;
  private length = 0;

  constructor(private readonly file: string) {
    this.fd = fs.openSync(file, 'wx+', 0o600);
  }

  write(bytes: Buffer): void {
    let done = 0;
    while (done < bytes.length)
      done += fs.writeSync(this.fd, bytes, done, bytes.length - done, this.length + done);
    this.length += bytes.length;
  }

  finish(): Blob {
    return new Blob(this.length, undefined, { path: this.file, fd: this.fd });
  }

  discard(): void {
    fs.closeSync(this.fd);
    fs.rmSync(this.file, { force: true });
  }
}
