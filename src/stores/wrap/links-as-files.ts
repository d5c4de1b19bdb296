/**
 * A local folder whose symbolic links are shown as rclone's `--links` shows them: as a file `name.rclonelink` that holds
 * the target as it is written in the link (https://rclone.org/local/#symlinks-junction-points). Writing such a file makes
 * the link. All else passes through.
 *
 * No link is made that leads out of the folder: a target may climb (`../`) no further than to the folder itself and only
 * at its beginning, because after a name `..` is what the name turns out to be, which may be another link. An absolute
 * target is made only if it lies in this very folder.
 *
 * A link and a file or folder of the same name can't be in one place: neither replaces the other, see `occupant`.
 */

import { asCloudSyncError, CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import { compareByHashes } from '../compare.js';
import { contentOfBytes } from '../content.js';
import { algorithmsOf, Hasher, requireHashes } from '../hashing.js';
import type { StoreWithLinks } from '../local/links.js';
import type {
  ComparisonTrust,
  Content,
  ContentComparison,
  CopyOptions,
  CreateUploadOptions,
  DeleteOutcome,
  DeleteRequest,
  ListOptions,
  ObjectAttributes,
  OpenedObject,
  OpenOptions,
  PendingUpload,
  Store,
  StoredObject,
  StoreFeatures,
  Upload,
  UploadState,
  WriteOptions,
} from '../store.js';

/** What rclone adds to a link's name. */
export const LINK_SUFFIX = '.rclonelink';
/** PATH_MAX of Linux less the NUL at its end: no link leads further. */
const LONGEST_TARGET = 4095;

/**
 * `inner` with its links as files.
 *
 * @param folders The absolute paths of the folder, as entered and without links: absolute targets may lie in them.
 */
export function linksAsFiles(inner: StoreWithLinks, folders: readonly string[]): Store {
  return new LinksAsFiles(inner, folders);
}

class LinksAsFiles implements Store {
  readonly features: StoreFeatures;

  constructor(
    private readonly inner: StoreWithLinks,
    private readonly folders: readonly string[],
  ) {
    const { names } = inner.features;
    const { segmentBytes = (segment: string) => Buffer.byteLength(segment) } = names;
    this.features = {
      ...inner.features,
      names: { ...names, segmentBytes: (segment) => segmentBytes(linkNameOf(segment) ?? segment) },
    };
  }

  get identity(): string {
    return this.inner.identity;
  }

  check(signal?: AbortSignal): Promise<void> {
    return this.inner.check(signal);
  }

  async *list(options: ListOptions = {}): AsyncGenerator<readonly StoredObject[]> {
    const { prefix = '', orderName } = options;
    const listing = this.inner.list({
      ...options,
      // The beginning of a name may reach into the suffix.
      prefix: prefix.slice(0, prefix.lastIndexOf('/') + 1),
      followSymlinks: false,
      // The order is that of the names shown.
      orderName: (name, kind) => {
        const shown = kind === 'link' ? name + LINK_SUFFIX : name;
        return orderName === undefined ? shown : orderName(shown, kind === 'link' ? 'file' : kind);
      },
    });
    for await (const page of listing) {
      const shown: StoredObject[] = [];
      for (const object of page) {
        if (orderName === undefined) delete object.orderKey;
        const one = object.kind === 'link' ? await this.listedLink(object) : this.listedFile(object);
        if (one?.key.startsWith(prefix)) shown.push(one);
      }
      if (shown.length > 0) yield shown;
    }
  }

  private async listedLink(listed: StoredObject): Promise<StoredObject> {
    const link = shownLink(listed);
    if (link.size === 0) link.size = this.inner.readLink(listed.key)?.object.size ?? 0;
    if ((await this.inner.head(link.key))?.kind === 'file') {
      link.problem = new CloudSyncError('COLLISION', 'A link and a file would have the same name', {
        path: link.key,
        advice: 'Rename one of them.',
      });
    }
    return link;
  }

  /** Undefined where a link has the same name, whose entry says so. */
  private listedFile(object: StoredObject): StoredObject | undefined {
    const name = object.kind === 'file' ? linkNameOf(object.key) : undefined;
    if (name === undefined) return object;
    if (this.inner.readLink(name) !== undefined) return undefined;
    object.problem ??= new CloudSyncError(
      'INVALID_NAME',
      `A file that ends in ${LINK_SUFFIX} would come back as a link`,
      { path: object.key, advice: 'Rename it, or exclude it.' },
    );
    return object;
  }

  async head(
    key: string,
    options: { versionId?: string; signal?: AbortSignal } = {},
  ): Promise<StoredObject | undefined> {
    throwIfAborted(options.signal);
    const name = linkNameOf(key);
    const link = name === undefined ? undefined : this.inner.readLink(name);
    return link === undefined ? await this.inner.head(key, options) : shownLink(link.object);
  }

  async open(key: string, options: OpenOptions = {}): Promise<OpenedObject> {
    const name = linkNameOf(key);
    if (name === undefined) return await this.inner.open(key, options);
    throwIfAborted(options.signal);
    const link = this.inner.readLink(name);
    if (link === undefined) {
      throw new CloudSyncError('NOT_FOUND', `There is no link ${JSON.stringify(name)}`, { path: key });
    }
    const object = shownLink(link.object);
    if (options.ifMatch !== undefined && options.ifMatch !== object.etag) throw changed(key);
    const content = contentOfBytes(link.target);
    return {
      object,
      read: (offset, length) => content.read(offset, length),
      confirmUnchanged: async () => {
        if (this.inner.readLink(name)?.object.etag !== object.etag) throw changed(key);
      },
      close: async () => {},
    };
  }

  async write(key: string, content: Content, options: WriteOptions = {}): Promise<StoredObject> {
    const name = linkNameOf(key);
    if (name === undefined) {
      await this.requireNoLink(key);
      return await this.inner.write(key, content, options);
    }
    if (content.size > LONGEST_TARGET) throw noTarget(key);
    const hasher = new Hasher(algorithmsOf(options.hashes));
    const chunks: Uint8Array[] = [];
    for await (const chunk of content.read()) {
      throwIfAborted(options.signal);
      hasher.update(chunk);
      chunks.push(Uint8Array.from(chunk));
    }
    requireHashes(options.hashes ?? {}, hasher.finish(), key);
    const target = Buffer.concat(chunks);
    if (target.length !== content.size) throw changed(key);
    this.requireSafeTarget(key, name, target);
    return shownLink(await this.inner.writeLink(name, target, options));
  }

  /** A link that leads out of the folder is never made. */
  private requireSafeTarget(key: string, name: string, target: Buffer): void {
    if (target.length === 0 || target.includes(0)) throw noTarget(key);
    if (!leadsOut(name, target, this.folders)) return;
    throw new CloudSyncError(
      'INVALID_NAME',
      `The link leads out of the folder, to ${JSON.stringify(target.toString())}: it is not made`,
      { path: key, advice: `If you want it all the same, make it by hand, or exclude "${key}".` },
    );
  }

  async createUpload(key: string, size: number, options?: CreateUploadOptions): Promise<Upload> {
    if (linkNameOf(key) !== undefined) throw noTarget(key);
    await this.requireNoLink(key);
    return await this.inner.createUpload(key, size, options);
  }

  async resumeUpload(state: UploadState, options?: WriteOptions): Promise<Upload> {
    return await this.inner.resumeUpload(state, options);
  }

  pendingUploads(prefix: string, signal?: AbortSignal): AsyncIterable<PendingUpload> {
    return this.inner.pendingUploads(prefix, signal);
  }

  async copy(sourceKey: string, key: string, options: CopyOptions = {}): Promise<StoredObject> {
    const source = linkNameOf(sourceKey);
    const target = linkNameOf(key);
    const link = source === undefined ? undefined : this.inner.readLink(source);
    if (link === undefined) return await this.inner.copy(sourceKey, key, options);
    if (target === undefined) throw noTarget(key);
    const { sourceIfMatch, attributes, ifMatch, ifNoneMatch, signal } = options;
    if (sourceIfMatch !== undefined && sourceIfMatch !== link.object.etag) throw changed(sourceKey);
    const { modificationTime, metadata } = link.object;
    const kept = attributes ?? { modificationTime, metadata };
    const made = await this.inner.writeLink(target, link.target, { ...kept, ifMatch, ifNoneMatch, signal });
    return shownLink(made);
  }

  async delete(request: DeleteRequest, signal?: AbortSignal): Promise<void> {
    const name = linkNameOf(request.key);
    if (name === undefined) return await this.inner.delete(request, signal);
    if (this.inner.readLink(name) !== undefined) await this.inner.delete({ ...request, key: name }, signal);
  }

  async deleteMany(requests: readonly DeleteRequest[], signal?: AbortSignal): Promise<DeleteOutcome[]> {
    const outcomes: DeleteOutcome[] = [];
    for (const request of requests) {
      const { key } = request;
      try {
        await this.delete(request, signal);
        outcomes.push({ key });
      } catch (error) {
        if (hasCode(error, 'ABORTED')) throw error;
        outcomes.push({ key, error: asCloudSyncError(error) });
      }
    }
    return outcomes;
  }

  async compareContent(
    object: StoredObject,
    content: Content,
    trust: ComparisonTrust,
    signal?: AbortSignal,
  ): Promise<ContentComparison> {
    const name = linkNameOf(object.key);
    const link = name === undefined ? undefined : this.inner.readLink(name);
    if (link === undefined) {
      return this.inner.compareContent === undefined
        ? await compareByHashes(object, content, trust, signal)
        : await this.inner.compareContent(object, content, trust, signal);
    }
    const hasher = new Hasher(['sha256']);
    hasher.update(link.target);
    return await compareByHashes(
      { ...shownLink(link.object), hashes: hasher.finish() },
      content,
      trust,
      signal,
    );
  }

  async setModificationTime(object: StoredObject, time: bigint, signal?: AbortSignal): Promise<StoredObject> {
    const name = linkNameOf(object.key);
    if (name === undefined) return await this.inner.setModificationTime(object, time, signal);
    return shownLink(await this.inner.setModificationTime({ ...object, key: name }, time, signal));
  }

  createFolder(key: string, attributes?: ObjectAttributes, signal?: AbortSignal): Promise<void> {
    return this.inner.createFolder(key, attributes, signal);
  }

  deleteFolder(key: string, signal?: AbortSignal): Promise<void> {
    return this.inner.deleteFolder(key, signal);
  }

  async occupant(key: string): Promise<StoredObject | undefined> {
    const name = linkNameOf(key);
    const found = await this.inner.head(name ?? key);
    if (name === undefined) return found?.kind === 'link' ? shownLink(found) : undefined;
    return found === undefined || found.kind === 'link' ? undefined : found;
  }

  /** A link set aside under a name without the suffix is a link all the same. */
  async rename(key: string, newKey: string, signal?: AbortSignal): Promise<void> {
    const name = linkNameOf(key) ?? key;
    if (this.inner.readLink(name) === undefined) return await this.inner.rename(key, newKey, signal);
    await this.inner.rename(name, linkNameOf(newKey) ?? newKey, signal);
  }

  thaw(key: string, options: Parameters<Store['thaw']>[1]): Promise<void> {
    return this.inner.thaw(key, options);
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  private async requireNoLink(key: string): Promise<void> {
    if ((await this.inner.head(key))?.kind !== 'link') return;
    throw new CloudSyncError('OBSTRUCTED', `A link stands in the place of ${JSON.stringify(key)}`, {
      path: key,
      advice: 'Move or remove the link.',
    });
  }
}

/** The key of the link that a key with rclone's suffix stands for; undefined where it has none. */
function linkNameOf(key: string): string | undefined {
  if (!key.endsWith(LINK_SUFFIX)) return undefined;
  const name = key.slice(0, -LINK_SUFFIX.length);
  return name === '' || name.endsWith('/') ? undefined : name;
}

function shownLink(link: StoredObject): StoredObject {
  return { ...link, key: link.key + LINK_SUFFIX, kind: 'file' };
}

/**
 * Whether a link would lead out of the folder that its key is relative to.
 *
 * @param key Where the link is made, `/` between segments.
 * @param folders Absolute paths of that folder.
 */
export function leadsOut(key: string, target: Buffer, folders: readonly string[]): boolean {
  // One character a byte: what separates names is plain ASCII in every encoding of a disk.
  const text = target.toString('latin1');
  if (text.startsWith('/')) return !folders.some((folder) => liesIn(text, folder));
  let above = key.split('/').length - 1;
  let hasDescended = false;
  for (const segment of text.split('/')) {
    if (segment === '' || segment === '.') continue;
    if (segment !== '..') hasDescended = true;
    else if (hasDescended || above-- === 0) return true;
  }
  return false;
}

function liesIn(path: string, folder: string): boolean {
  const base = Buffer.from(folder.replace(/\/+$/, '')).toString('latin1');
  if (path !== base && !path.startsWith(`${base}/`)) return false;
  return !path.slice(base.length).split('/').includes('..');
}

function changed(key: string): CloudSyncError {
  return new CloudSyncError('CHANGED', `${JSON.stringify(key)} is another link than it was`, { path: key });
}

function noTarget(key: string): CloudSyncError {
  return new CloudSyncError('INVALID_NAME', `${JSON.stringify(key)} holds no target of a link`, {
    path: key,
    advice: 'Rename it, or exclude it.',
  });
}
