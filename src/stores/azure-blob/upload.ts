/**
 * Uploads in blocks. A block is visible to nobody until the list of blocks is committed; then all of them become the blob
 * at once. Each block is checked by the service against its MD5 as it arrives. The MD5 of the whole blob is kept as the
 * client says it. Blocks that are never committed are removed by Azure after a week.
 * https://learn.microsoft.com/rest/api/storageservices/put-block and put-block-list
 */

import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import type {
  ArrivedPart,
  Content,
  CreateUploadOptions,
  StoredObject,
  Upload,
  UploadState,
  WriteOptions,
} from '../store.js';
import { blockId, ID_BYTES, MIN_ID_BYTES, newUploadId, parseBlockId } from './block-ids.js';
import { type BlobPlace, type Block, getBlockList, putBlockList } from './block-list.js';
import { mayDelete } from './credential.js';
import { deleteBlob } from './deleting.js';
import { azureCodeOf } from './errors.js';
import { blobPath, hexToBase64, metadataHeaders, objectOfHeaders, tierName } from './objects.js';
import type { AzureAnswer, AzureRequest } from './transport.js';
import { HashedSource, md5Of, readChecked } from './writing.js';

const MIB = 1024 * 1024;
/** https://learn.microsoft.com/rest/api/storageservices/understanding-block-blobs--append-blobs--and-page-blobs */
export const MAX_BLOCKS = 50_000;
export const MAX_BLOCK_SIZE = 4000 * MIB;
/** Azure has no least size; smaller parts would only be more requests. */
export const MIN_PART_SIZE = MIB;
/** What a part is where the user chose nothing: small, because a part is held in memory while it is sent. */
const DEFAULT_PART_SIZE = 8 * MIB;
/** Parts up to this size are read once and held; larger ones are read twice, to be hashed and to be sent. */
const MAX_HELD_PART = 16 * MIB;

type CompleteOptions = NonNullable<Parameters<Upload['complete']>[0]>;

/** Bytes of each part: what the caller or the user wants, grown until all of `size` fits into 50,000 blocks. */
export function choosePartSize(size: number, wanted: number | undefined): number {
  const needed = Math.ceil(size / MAX_BLOCKS / MIB) * MIB;
  const chosen = Math.max(wanted ?? DEFAULT_PART_SIZE, needed, MIN_PART_SIZE);
  if (chosen > MAX_BLOCK_SIZE && needed > MAX_BLOCK_SIZE) {
    throw new CloudSyncError('INVALID_INPUT', `Azure can't hold a file of ${size} bytes`);
  }
  return Math.min(chosen, MAX_BLOCK_SIZE);
}

/** Begins an upload; sends nothing yet. */
export function beginUpload(
  place: BlobPlace,
  key: string,
  size: number,
  options: CreateUploadOptions,
): BlockUpload {
  blobPath(place.bucket, key);
  metadataHeaders(options);
  const state: UploadState = {
    key,
    size,
    partSize: choosePartSize(size, options.partSize),
    startedAt: place.transport.now(),
    details: { uploadId: newUploadId(), attributes: serializeAttributes(options) },
  };
  return new BlockUpload(place, state, options);
}

/** Takes up an upload that has blocks at Azure. Throws NOT_FOUND where there are none (any more). */
export async function resumeUpload(
  place: BlobPlace,
  state: UploadState,
  options: WriteOptions,
): Promise<BlockUpload> {
  const stored = parseAttributes(String(state.details.attributes ?? '{}'));
  const upload = new BlockUpload(place, state, { ...stored, ...options });
  await upload.findBlocks(options.signal);
  return upload;
}

export class BlockUpload implements Upload {
  readonly state: UploadState;
  readonly partCount: number;
  readonly #place: BlobPlace;
  readonly #options: WriteOptions;
  readonly #uploadId: string;
  /** Ids of the parts that are there, by number. */
  readonly #ids = new Map<number, string>();
  #idBytes = ID_BYTES;
  #found: ArrivedPart[] | undefined;

  constructor(place: BlobPlace, state: UploadState, options: WriteOptions) {
    this.#place = place;
    this.state = state;
    this.#options = options;
    this.#uploadId = String(state.details.uploadId);
    this.partCount = Math.max(1, Math.ceil(state.size / state.partSize));
  }

  async *arrived(signal?: AbortSignal): AsyncGenerator<ArrivedPart> {
    throwIfAborted(signal);
    if (this.#found === undefined) {
      const blocks = await this.#uncommitted(signal);
      this.#found = this.#usable(blocks ?? []);
    }
    yield* this.#found;
  }

  /** Throws NOT_FOUND where Azure has no block of this upload. */
  async findBlocks(signal: AbortSignal | undefined): Promise<void> {
    const blocks = (await this.#uncommitted(signal)) ?? [];
    const ours = blocks.filter((block) => parseBlockId(block.name, this.#uploadId) !== undefined);
    if (ours.length === 0) {
      throw new CloudSyncError('NOT_FOUND', 'Azure has no block of this upload any more', {
        path: this.state.key,
      });
    }
    this.#idBytes = Buffer.from(ours[0]!.name, 'base64').length;
    this.#found = this.#usable(blocks);
  }

  async sendPart(number: number, content: Content, signal?: AbortSignal): Promise<ArrivedPart> {
    this.#checkPart(number, content.size);
    throwIfAborted(signal);
    const { md5, body } = await preparePart(content, signal);
    let id = blockId(this.#uploadId, number, md5, this.#idBytes);
    try {
      await this.#sendBlock(id, md5, body, signal);
    } catch (error) {
      // "All blocks of a blob must have ids of one length", those of other programs too.
      if (!/^InvalidBlobOrBlock|^InvalidBlockId/.test(azureCodeOf(error))) throw error;
      await this.#adoptIdLength(error, signal);
      id = blockId(this.#uploadId, number, md5, this.#idBytes);
      await this.#sendBlock(id, md5, body, signal);
    }
    this.#ids.set(number, id);
    return { number, size: content.size, hashes: { md5: md5.toString('hex') } };
  }

  keepPart(part: ArrivedPart): void {
    this.#checkPart(part.number, part.size);
    const md5 = Buffer.from(part.hashes?.md5 ?? '', 'hex');
    this.#ids.set(part.number, blockId(this.#uploadId, part.number, md5, this.#idBytes));
  }

  async complete(options: CompleteOptions = {}): Promise<StoredObject> {
    const ids: string[] = [];
    for (let number = 1; number <= this.partCount; number++) {
      const id = this.#ids.get(number);
      if (id === undefined) {
        throw new CloudSyncError('INTERNAL', `Part ${number} of ${this.partCount} was not sent`, {
          path: this.state.key,
        });
      }
      ids.push(id);
    }
    const merged: WriteOptions = { ...this.#options, ...withoutUndefined(options) };
    await merged.beforeCommit?.();
    throwIfAborted(merged.signal);
    const { headers } = await this.#commit(ids, merged);
    return objectOfHeaders(this.state.key, this.state.size, {
      ...metadataHeaders(merged),
      ...headers,
      // The answer's own is that of the list.
      'content-md5': merged.hashes?.md5 === undefined ? undefined : hexToBase64(merged.hashes.md5),
      'x-ms-access-tier': tierName(merged.storageClass),
    });
  }

  /**
   * Azure can't remove single blocks. Where there is no blob yet, an empty one is committed, which takes the blocks with
   * it, and deleted at once (marked as a folder, so that nobody ever takes it for a file). Where there is one, it is left
   * alone: it would become another version, and Azure removes the blocks itself after a week.
   */
  async abort(): Promise<void> {
    const { transport, bucket } = this.#place;
    const { key } = this.state;
    const blocks = await this.#uncommitted(undefined);
    this.#ids.clear();
    this.#found = [];
    if (blocks === undefined || blocks.length === 0 || !mayDelete(transport.credential)) return;
    if (blocks.some((block) => parseBlockId(block.name, this.#uploadId) === undefined)) return;
    try {
      const marker = await putBlockList(this.#place, key, [], { ifNoneMatch: '*', folder: true });
      const { etag } = marker.headers;
      await deleteBlob(
        transport,
        bucket,
        { key, ...(etag === undefined ? {} : { ifMatch: etag }) },
        undefined,
      );
    } catch (error) {
      if (!hasCode(error, 'PRECONDITION_FAILED', 'NO_PERMISSION')) throw error;
    }
  }

  #uncommitted(signal: AbortSignal | undefined): Promise<Block[] | undefined> {
    return getBlockList(this.#place, this.state.key, 'uncommitted', signal === undefined ? {} : { signal });
  }

  #checkPart(number: number, size: number): void {
    const { partSize } = this.state;
    const expected = number === this.partCount ? this.state.size - partSize * (number - 1) : partSize;
    if (!(number >= 1 && number <= this.partCount) || size !== expected) {
      throw new CloudSyncError('INTERNAL', `Part ${number} has ${size} bytes instead of ${expected}`, {
        path: this.state.key,
      });
    }
  }

  /** Parts whose blocks fit; one that is there twice with different content is none: nothing tells which came last. */
  #usable(blocks: readonly Block[]): ArrivedPart[] {
    const parts = new Map<number, ArrivedPart | undefined>();
    for (const block of blocks) {
      const id = parseBlockId(block.name, this.#uploadId);
      if (id === undefined || id.number < 1 || id.number > this.partCount) continue;
      const expected =
        id.number === this.partCount
          ? this.state.size - this.state.partSize * (id.number - 1)
          : this.state.partSize;
      const part: ArrivedPart = { number: id.number, size: block.size };
      if (id.md5 !== undefined) part.hashes = { md5: id.md5 };
      const usable = block.size === expected && !parts.has(id.number);
      parts.set(id.number, usable ? part : undefined);
    }
    return [...parts.values()].filter((part) => part !== undefined).sort((a, b) => a.number - b.number);
  }

  async #sendBlock(
    id: string,
    md5: Buffer,
    body: AzureRequest['body'],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { transport, bucket } = this.#place;
    await transport.send({
      kind: 'PUT',
      method: 'PUT',
      path: blobPath(bucket, this.state.key),
      query: { comp: 'block', blockid: id },
      headers: { 'content-md5': md5.toString('base64') },
      bucket,
      key: this.state.key,
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** Another program has begun with this blob too and names its blocks otherwise: ours take the same length. */
  async #adoptIdLength(cause: unknown, signal: AbortSignal | undefined): Promise<void> {
    const blocks = (await this.#uncommitted(signal)) ?? [];
    const foreign = blocks.find((block) => parseBlockId(block.name, this.#uploadId) === undefined);
    const length = foreign === undefined ? 0 : Buffer.from(foreign.name, 'base64').length;
    if (length < MIN_ID_BYTES || length === this.#idBytes) {
      throw new CloudSyncError(
        'ALREADY_EXISTS',
        'Another program has begun to upload this file and left blocks that keep ours out',
        {
          path: this.state.key,
          cause,
          advice: 'Finish that upload or delete the blob; else Azure removes the blocks after a week.',
        },
      );
    }
    this.#idBytes = length;
  }

  async #commit(ids: string[], options: WriteOptions): Promise<AzureAnswer> {
    const { key } = this.state;
    try {
      return await putBlockList(this.#place, key, ids, options);
    } catch (error) {
      // The commit may have been made by a request whose answer was lost: then the blob consists of our blocks.
      const mayBeDone = hasCode(error, 'PRECONDITION_FAILED') || azureCodeOf(error) === 'InvalidBlockList';
      if (!mayBeDone) throw error;
      const committed = await getBlockList(this.#place, key, 'committed').catch(() => undefined);
      if (committed?.map((block) => block.name).join() !== ids.join()) throw error;
      const { transport, bucket } = this.#place;
      const path = blobPath(bucket, key);
      return await transport.send({ kind: 'HEAD', method: 'HEAD', path, bucket, key });
    }
  }
}

async function preparePart(
  content: Content,
  signal: AbortSignal | undefined,
): Promise<{ md5: Buffer; body: AzureRequest['body'] }> {
  if (content.bytes !== undefined || content.size <= MAX_HELD_PART) {
    const { bytes, md5 } = await readChecked(content, undefined, signal);
    return { md5, body: bytes };
  }
  const md5 = await md5Of(content, signal);
  const source = new HashedSource(content, md5);
  return { md5, body: { size: content.size, read: () => source.read() } };
}

/** What has to be known to complete an upload in another process. */
function serializeAttributes(options: WriteOptions): string {
  const { modificationTime, metadata, storageClass, contentType, ifMatch, ifNoneMatch, hashes } = options;
  return JSON.stringify({
    modificationTime: modificationTime?.toString(),
    metadata,
    storageClass,
    contentType,
    ifMatch,
    ifNoneMatch,
    hashes,
  });
}

function parseAttributes(text: string): WriteOptions {
  const { modificationTime, ...rest } = JSON.parse(text) as Omit<WriteOptions, 'modificationTime'> & {
    modificationTime?: string;
  };
  return modificationTime === undefined ? rest : { ...rest, modificationTime: BigInt(modificationTime) };
}

function withoutUndefined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}
