/** Uploads in parts into a memory store. */

import { createHash } from 'node:crypto';
import { CloudSyncError, throwIfAborted } from '../../errors.js';
import { readAll } from '../content.js';
import type { ArrivedPart, Content, StoredObject, Upload, UploadState, WriteOptions } from '../store.js';
import type { Contents, PartsOnTheirWay } from './contents.js';

export type CompleteOptions = Parameters<Upload['complete']>[0];

export class MemoryUpload implements Upload {
  readonly state: UploadState;
  readonly partCount: number;
  readonly #contents: Contents;
  readonly #sequential: boolean;
  readonly #finish: (key: string, bytes: Buffer, options: WriteOptions) => Promise<StoredObject>;
  readonly #known = new Set<number>();

  constructor(
    contents: Contents,
    state: UploadState,
    sequential: boolean,
    finish: (key: string, bytes: Buffer, options: WriteOptions) => Promise<StoredObject>,
  ) {
    this.#contents = contents;
    this.state = state;
    this.#sequential = sequential;
    this.#finish = finish;
    this.partCount = Math.max(1, Math.ceil(state.size / state.partSize));
  }

  async *arrived(signal?: AbortSignal): AsyncGenerator<ArrivedPart> {
    const parts = [...this.#onTheirWay().parts.values()].map(({ part }) => part);
    for (const part of parts.sort((a, b) => a.number - b.number)) {
      throwIfAborted(signal);
      yield part;
    }
  }

  async sendPart(number: number, content: Content, signal?: AbortSignal): Promise<ArrivedPart> {
    throwIfAborted(signal);
    const { size, partSize } = this.state;
    const expected = Math.min(partSize, size - (number - 1) * partSize);
    if (!(number >= 1 && number <= this.partCount) || content.size !== expected) {
      throw this.#error('INTERNAL', `Part ${number} cannot be ${content.size} bytes long`);
    }
    const { parts } = this.#onTheirWay();
    if (this.#sequential && number !== parts.size + 1) {
      throw this.#error('INTERNAL', `Part ${number} comes out of turn`);
    }
    const bytes = await readAll(content);
    throwIfAborted(signal);
    if (bytes.length !== content.size) throw this.#error('CHANGED', 'The content has another length');
    const md5 = createHash('md5').update(bytes).digest('hex');
    const part: ArrivedPart = { number, size: bytes.length, hashes: { md5 } };
    parts.set(number, { bytes, part });
    this.#known.add(number);
    return part;
  }

  keepPart(part: ArrivedPart): void {
    this.#known.add(part.number);
  }

  async complete(options: CompleteOptions = {}): Promise<StoredObject> {
    throwIfAborted(options.signal);
    const upload = this.#onTheirWay();
    const pieces: Buffer[] = [];
    for (let number = 1; number <= this.partCount; number++) {
      const found = this.#known.has(number) ? upload.parts.get(number) : undefined;
      if (found === undefined) throw this.#error('INTERNAL', `Part ${number} was not sent`);
      pieces.push(found.bytes);
    }
    const hashes = { ...upload.hashes, ...options.hashes };
    const object = await this.#finish(this.state.key, Buffer.concat(pieces), {
      ...upload.attributes,
      ...options,
      hashes,
    });
    this.#contents.uploads.delete(this.#id());
    return object;
  }

  async abort(): Promise<void> {
    this.#contents.uploads.delete(this.#id());
  }

  #id(): string {
    return String(this.state.details.uploadId);
  }

  #onTheirWay(): PartsOnTheirWay {
    const found = this.#contents.uploads.get(this.#id());
    if (found?.key !== this.state.key) throw this.#error('NOT_FOUND', 'The upload is gone');
    return found;
  }

  #error(code: 'INTERNAL' | 'CHANGED' | 'NOT_FOUND', message: string): CloudSyncError {
    return new CloudSyncError(code, message, { path: this.state.key });
  }
}
