/**
 * Uploads in parts to the local disk: big downloads that another process can take up. The parts are written where they
 * belong in a temporary file beside the target; a second file records what has arrived, one line a part, written when
 * the part is whole: number, size, CRC-32. A part counts as arrived only while its bytes have that CRC, so that neither a
 * kill in the middle nor a power cut leaves a wrong part. The hash of the whole is taken as far as parts have arrived
 * without a gap, while the others are on their way: they are read back for it, in a thread where it knows the algorithms.
 */

import fs from 'node:fs';
import { crc32 } from 'node:zlib';
import { CloudSyncError, throwIfAborted } from '../../errors.js';
import { algorithmsOf, requireHashes } from '../hashing.js';
import { unlessAborted } from '../http/retry.js';
import type {
  ArrivedPart,
  Content,
  CreateUploadOptions,
  Hashes,
  ObjectAttributes,
  StoredObject,
  StoreFeatures,
  Upload,
  UploadState,
  WriteOptions,
} from '../store.js';
import type { AttributeCopier } from './attribute-copier.js';
import { type FileHash, newFileHash, OwnHash, readRange } from './file-hash.js';
import type { Folder, Root } from './folders.js';
import { fromSystemError } from './system-errors.js';
import { isUploadName, newUploadName, recordNameOf } from './temporary-names.js';
import { closeDraft, commit, type Draft, NEW_FILE, removeIfThere, writeContent } from './write.js';

export const UPLOAD_LIMITS: StoreFeatures['upload'] = {
  threshold: 64 * 1024 * 1024,
  minPartSize: 64 * 1024,
  maxPartSize: 1024 * 1024 * 1024,
  maxParts: 100_000,
  sequential: false,
  maxParallelParts: 8,
};
/** A part that wasn't there whole is fetched again: several under way, even of a file of 1 GiB, must not be much of it. */
const DEFAULT_PART_SIZE = 8 * 1024 * 1024;
/** Parts. */
const FAR_BEHIND = 8;

export function createUpload(
  root: Root,
  key: string,
  size: number,
  options: CreateUploadOptions,
  copier: AttributeCopier,
): LocalUpload {
  throwIfAborted(options.signal);
  const state: UploadState = {
    key,
    size,
    partSize: partSizeFor(size, options.partSize ?? DEFAULT_PART_SIZE),
    startedAt: Date.now(),
    details: { temporaryName: newUploadName(), ...detailsOf(options) },
  };
  const temporaryName = String(state.details.temporaryName);
  const { folder } = root.openParent(key, true);
  try {
    const record = fs.openSync(folder.at(recordNameOf(temporaryName)), NEW_FILE, 0o600);
    fs.writeSync(record, `${JSON.stringify({ key, size, startedAt: state.startedAt })}\n`);
    fs.closeSync(record);
    const fd = fs.openSync(folder.at(temporaryName), NEW_FILE, 0o600);
    try {
      fs.ftruncateSync(fd, size);
    } finally {
      fs.closeSync(fd);
    }
    return new LocalUpload(root, state, attributesOf(state, options), options.hashes, copier);
  } catch (error) {
    removeIfThere(folder.at(temporaryName));
    removeIfThere(folder.at(recordNameOf(temporaryName)));
    throw fromSystemError(error, key, 'begin');
  } finally {
    folder.close();
  }
}

/** NOT_FOUND where the temporary file is gone or isn't that upload's. */
export function resumeUpload(
  root: Root,
  state: UploadState,
  options: WriteOptions,
  copier: AttributeCopier,
): LocalUpload {
  throwIfAborted(options.signal);
  const upload = new LocalUpload(root, state, attributesOf(state, options), options.hashes, copier);
  upload.requirePresent();
  return upload;
}

export class LocalUpload implements Upload {
  readonly state: UploadState;
  readonly partCount: number;
  readonly #root: Root;
  readonly #attributes: ObjectAttributes;
  readonly #hashes: Hashes | undefined;
  readonly #copier: AttributeCopier;
  readonly #temporaryName: string;
  readonly #present = new Set<number>();
  /** Of the parts before {@link #nextToHash}; undefined where none is wanted or it came to nothing. */
  #whole: FileHash | undefined;
  #nextToHash = 1;
  #hashing: Promise<void> = Promise.resolve();
  /** Those who wait for the hash to come nearer, or to be given up. */
  readonly #onHashed: (() => void)[] = [];

  constructor(
    root: Root,
    state: UploadState,
    attributes: ObjectAttributes,
    hashes: Hashes | undefined,
    copier: AttributeCopier,
  ) {
    this.#root = root;
    this.state = state;
    this.#attributes = attributes;
    this.#hashes = hashes;
    this.#copier = copier;
    this.#temporaryName = String(state.details.temporaryName);
    this.partCount = Math.max(1, Math.ceil(state.size / state.partSize));
    if (!isUploadName(this.#temporaryName)) throw this.#notFound();
    const algorithms = algorithmsOf(hashes);
    if (algorithms.length > 0) this.#whole = newFileHash(algorithms, state.size);
  }

  /** Throws NOT_FOUND where there is nothing to go on with. */
  requirePresent(): void {
    this.#inFolder('find', (folder) => {
      const stats = fs.lstatSync(folder.at(this.#temporaryName), { throwIfNoEntry: false });
      const header = readRecord(folder, this.#temporaryName).header;
      const isOurs = header?.key === this.state.key && header.size === this.state.size;
      if (!stats?.isFile() || stats.size !== this.state.size || !isOurs) throw this.#notFound();
    });
  }

  async *arrived(signal?: AbortSignal): AsyncGenerator<ArrivedPart> {
    this.requirePresent();
    const recorded = this.#inFolder('read', (folder) => readRecord(folder, this.#temporaryName).parts);
    for (const part of [...recorded.values()].sort((a, b) => a.number - b.number)) {
      throwIfAborted(signal);
      if (part.number > this.partCount || part.size !== this.#sizeOf(part.number)) continue;
      const check = new Crc32();
      const offset = (part.number - 1) * this.state.partSize;
      const fd = this.#openForReading();
      try {
        readRange(fd, offset, part.size, check, signal);
      } finally {
        fs.closeSync(fd);
      }
      if (check.value === part.crc) yield { number: part.number, size: part.size };
    }
  }

  async sendPart(number: number, content: Content, signal?: AbortSignal): Promise<ArrivedPart> {
    throwIfAborted(signal);
    if (!(number >= 1 && number <= this.partCount) || content.size !== this.#sizeOf(number)) {
      throw new CloudSyncError('INTERNAL', `Part ${number} cannot be ${content.size} bytes long`, {
        path: this.state.key,
      });
    }
    const { folder } = this.#root.openParent(this.state.key);
    this.#forget(number);
    try {
      const check = new Crc32();
      const fd = fs.openSync(folder.at(this.#temporaryName), WRITE_EXISTING);
      try {
        const position = (number - 1) * this.state.partSize;
        await writeContent(fd, content, position, { key: this.state.key, hasher: check, signal });
        recordPart(folder, this.#temporaryName, { number, size: content.size, crc: check.value });
      } finally {
        fs.closeSync(fd);
      }
      this.#forget(number);
      this.#present.add(number);
      void this.#hashArrived(signal);
      while (this.#isHashFarBehind()) {
        await unlessAborted(new Promise<void>((resolve) => this.#onHashed.push(resolve)), signal);
      }
      return { number, size: content.size };
    } catch (error) {
      // It ends here, and nobody says so.
      this.#dropHash();
      throw fromSystemError(error, this.state.key, 'write');
    } finally {
      folder.close();
    }
  }

  /** A part that is sent a second time: what was hashed of it doesn't hold any more. */
  #forget(number: number): void {
    if (this.#present.delete(number)) this.#dropHash();
  }

  /** Takes the hash of the whole on to the first part that is missing; one call at a time works on it. Never throws. */
  #hashArrived(signal: AbortSignal | undefined): Promise<void> {
    this.#hashing = this.#hashing.then(async () => {
      if (this.#whole === undefined || !this.#present.has(this.#nextToHash)) return;
      try {
        const fd = this.#openForReading();
        try {
          await this.#hashPresent(fd, signal);
        } finally {
          fs.closeSync(fd);
        }
      } catch {
        // The reading back at the end says what is wrong.
        this.#dropHash();
      }
    });
    return this.#hashing;
  }

  async #hashPresent(fd: number, signal: AbortSignal | undefined): Promise<void> {
    while (this.#whole !== undefined && this.#present.has(this.#nextToHash)) {
      const offset = (this.#nextToHash - 1) * this.state.partSize;
      await this.#whole.update(fd, offset, this.#sizeOf(this.#nextToHash), signal);
      this.#nextToHash++;
      this.#wakeWaiting();
    }
  }

  /** What waits to be hashed should still be in the system's memory when it is read back. */
  #isHashFarBehind(): boolean {
    const isUnderWay = this.#whole !== undefined && this.#present.has(this.#nextToHash);
    return isUnderWay && this.#present.has(this.#nextToHash + FAR_BEHIND);
  }

  #dropHash(): void {
    this.#whole?.drop();
    this.#whole = undefined;
    this.#wakeWaiting();
  }

  #wakeWaiting(): void {
    for (const wake of this.#onHashed.splice(0)) wake();
  }

  keepPart(part: ArrivedPart): void {
    this.#present.add(part.number);
  }

  async complete(
    options: Pick<
      WriteOptions,
      'ifMatch' | 'ifNoneMatch' | 'hashes' | 'beforeCommit' | 'durable' | 'signal'
    > = {},
  ): Promise<StoredObject> {
    const { key } = this.state;
    throwIfAborted(options.signal);
    if (this.#present.size !== this.partCount) {
      throw new CloudSyncError(
        'INTERNAL',
        `Only ${this.#present.size} of ${this.partCount} parts were sent`,
        {
          path: key,
        },
      );
    }
    const { folder, name } = this.#root.openParent(key);
    try {
      const hashes = await this.#finishHash(options.signal);
      const fd = fs.openSync(folder.at(this.#temporaryName), WRITE_EXISTING);
      const draft: Draft = { folder, fd, temporaryName: this.#temporaryName, name, key };
      try {
        await this.#verify(fd, { ...this.#hashes, ...options.hashes }, hashes, options.signal);
        const object = await commit(draft, this.#attributes, options, this.#copier);
        removeIfThere(folder.at(recordNameOf(this.#temporaryName)));
        return object;
      } finally {
        closeDraft(draft);
      }
    } catch (error) {
      this.#dropHash();
      throw fromSystemError(error, key, 'finish');
    } finally {
      folder.close();
    }
  }

  async abort(): Promise<void> {
    this.#dropHash();
    try {
      this.#inFolder('remove', (folder) => {
        removeIfThere(folder.at(this.#temporaryName));
        removeIfThere(folder.at(recordNameOf(this.#temporaryName)));
      });
    } catch (error) {
      if (!(error instanceof CloudSyncError && error.code === 'NOT_FOUND')) throw error;
    }
  }

  /** The hashes of the whole, where they could be taken on the way. */
  async #finishHash(signal: AbortSignal | undefined): Promise<Hashes | undefined> {
    await unlessAborted(this.#hashArrived(signal), signal);
    const whole = this.#whole;
    this.#whole = undefined;
    return await unlessAborted(whole?.finish().catch(() => undefined) ?? Promise.resolve(undefined), signal);
  }

  /** The file has its full length and is what it should be; `onTheWay`: what was found while the parts came. */
  async #verify(
    fd: number,
    expected: Hashes,
    onTheWay: Hashes | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { key, size } = this.state;
    const found = fs.fstatSync(fd).size;
    if (found !== size) {
      throw new CloudSyncError('CHANGED', `The file for ${JSON.stringify(key)} is ${found} bytes long`, {
        path: key,
      });
    }
    const algorithms = algorithmsOf(expected);
    if (algorithms.length === 0) return;
    throwIfAborted(signal);
    if (onTheWay !== undefined && algorithms.every((algorithm) => onTheWay[algorithm] !== undefined)) {
      requireHashes(expected, onTheWay, key);
      return;
    }
    const hash = new OwnHash(algorithms);
    await hash.update(fd, 0, size, signal);
    requireHashes(expected, await hash.finish(), key);
  }

  #sizeOf(number: number): number {
    const { size, partSize } = this.state;
    return Math.min(partSize, size - (number - 1) * partSize);
  }

  /** A descriptor of its own for reading what has arrived. */
  #openForReading(): number {
    return this.#inFolder('read', (folder) => fs.openSync(folder.at(this.#temporaryName), READ_EXISTING));
  }

  #inFolder<T>(intention: string, use: (folder: Folder) => T): T {
    const { folder } = this.#root.openParent(this.state.key);
    try {
      return use(folder);
    } catch (error) {
      throw fromSystemError(error, this.state.key, intention);
    } finally {
      folder.close();
    }
  }

  #notFound(): CloudSyncError {
    return new CloudSyncError('NOT_FOUND', `The upload of ${JSON.stringify(this.state.key)} is gone`, {
      path: this.state.key,
    });
  }
}

const WRITE_EXISTING = fs.constants.O_RDWR | fs.constants.O_NOFOLLOW;
const READ_EXISTING = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW;
const APPEND_EXISTING = fs.constants.O_WRONLY | fs.constants.O_APPEND | fs.constants.O_NOFOLLOW;

interface RecordedPart {
  number: number;
  size: number;
  crc: number;
}

interface UploadRecord {
  header?: { key: string; size: number; startedAt: number };
  parts: Map<number, RecordedPart>;
}

class Crc32 {
  value = 0;

  update(bytes: Uint8Array): void {
    this.value = crc32(bytes, this.value);
  }
}

/** Reads the file that says what has arrived; a line that was cut off by a kill doesn't count. */
export function readRecord(folder: Pick<Folder, 'at'>, temporaryName: string): UploadRecord {
  const parts = new Map<number, RecordedPart>();
  const text = fs.readFileSync(folder.at(recordNameOf(temporaryName)), 'utf8');
  const [first = '', ...lines] = text.split('\n').slice(0, -1);
  for (const line of lines) {
    const found = /^([0-9]+) ([0-9]+) crc32:([0-9a-f]+)$/.exec(line);
    if (found === null) continue;
    const number = Number(found[1]);
    parts.set(number, { number, size: Number(found[2]), crc: Number.parseInt(found[3]!, 16) });
  }
  try {
    return { header: JSON.parse(first) as UploadRecord['header'], parts };
  } catch {
    return { parts };
  }
}

function recordPart(folder: Folder, temporaryName: string, part: RecordedPart): void {
  const fd = fs.openSync(folder.at(recordNameOf(temporaryName)), APPEND_EXISTING);
  try {
    fs.writeSync(fd, `${part.number} ${part.size} crc32:${part.crc.toString(16)}\n`);
  } finally {
    fs.closeSync(fd);
  }
}

function partSizeFor(size: number, wanted: number): number {
  const { minPartSize, maxPartSize, maxParts } = UPLOAD_LIMITS;
  return Math.max(minPartSize, Math.min(maxPartSize, wanted), Math.ceil(size / maxParts));
}

/** The attributes as plain JSON, so that the state alone is enough to go on. */
function detailsOf(options: ObjectAttributes): Record<string, string> {
  const details: Record<string, string> = {};
  if (options.modificationTime !== undefined) details.modificationTime = String(options.modificationTime);
  if (options.metadata !== undefined) details.metadata = JSON.stringify(options.metadata);
  return details;
}

function attributesOf(state: UploadState, options: ObjectAttributes): ObjectAttributes {
  const { modificationTime, metadata } = state.details;
  const attributes: ObjectAttributes = {};
  if (modificationTime !== undefined) attributes.modificationTime = BigInt(modificationTime);
  if (metadata !== undefined) attributes.metadata = JSON.parse(String(metadata));
  if (options.modificationTime !== undefined) attributes.modificationTime = options.modificationTime;
  if (options.metadata !== undefined) attributes.metadata = options.metadata;
  return attributes;
}
