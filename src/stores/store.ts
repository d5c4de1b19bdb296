/**
 * A store: a place that holds files, behind one small interface. This is the one file to read before writing a
 * provider. A provider is one file beside this one that exports a function making an {@link Account}, and one entry
 * in `registry.ts`; the engine asks what a store can do (`features`) and never which provider it is.
 *
 * Rules for every store:
 * - Keys are the raw stored keys, `/` between segments, well-formed Unicode, never starting with `/`. What a provider
 *   can't hold is encoded by `names.ts` before it comes here. (Local names that are no valid UTF-8 are the exception:
 *   the local store itself turns them into Unicode the way rclone does, and back into the same bytes.)
 * - Every method throws {@link CloudSyncError} only. It translates the provider's words and keeps the original error
 *   as `cause`. Retries are made by the store where it sends its own requests; a call that throws a `retryable` error
 *   has already tried as often as is sensible for one request.
 * - Every call takes an AbortSignal and ends with ABORTED soon after it fires.
 * - Nothing half-done stays behind a call that threw: no temporary file, no orphan multipart upload, no open handle.
 * - Memory does not grow with the number or the size of files.
 */

import type { CloudSyncError } from '../errors.js';

/** Hash algorithms a provider may know. `dropbox` is Dropbox's content_hash, `quickxor` and the like may follow. */
export type HashAlgorithm = 'md5' | 'sha1' | 'sha256' | 'crc32c' | 'crc64nvme' | 'dropbox';

/** Lower-case hexadecimal, over the bytes as stored. */
export type Hashes = Partial<Record<HashAlgorithm, string>>;

/**
 * `file`: an object with content. `folder`: a folder of a file system, or a folder marker (zero-byte key ending in `/`,
 * Azure's `hdi_isfolder`) whose key is given without the slash. `link` and `special` come only from file systems
 * (symbolic links that aren't followed; sockets, devices, FIFOs; dangling or circular links, see `problem`).
 */
export type ObjectKind = 'file' | 'folder' | 'link' | 'special';

/** What tells one local file, in one state, from another. All but `size` and times of {@link StoredObject}. */
export interface FileIdentity {
  device: bigint;
  inode: bigint;
  /** ns since the epoch. */
  changeTime: bigint;
  /** Permission bits and type, as in `stat`. */
  mode: number;
  uid: number;
  gid: number;
}

/** One object or local file as a listing or an answer shows it. */
export interface StoredObject {
  /** Raw stored key, from the bucket's (or the local root's) top. */
  key: string;
  /**
   * Where this entry stands in the order of the listing, if that is not its key: see {@link ListOptions.orderKey}.
   */
  orderKey?: string;
  kind: ObjectKind;
  /** Bytes as stored; 0 for folders. */
  size: number;
  /**
   * The time the uploader gave the file, ns since the epoch, UTC; for local files the mtime. Undefined where this answer
   * doesn't carry it (an S3 listing): `head` tells.
   */
  modificationTime?: bigint;
  /** When the provider stored it, ms since the epoch. */
  storedTime?: number;
  /** Opaque, exactly as the provider gives it, without quotes. Equal ETags of one key: equal content. */
  etag?: string;
  /** S3 and Azure version id, GCS generation, Dropbox revision: names exactly this content for ever. */
  versionId?: string;
  /** Hashes the provider computed over the bytes it stores. An S3 ETag that is an MD5 for certain stands here too. */
  hashes?: Hashes;
  /** Hashes the uploader claimed (rclone's `md5chksum` metadata): good to find changes, no proof. */
  claimedHashes?: Hashes;
  /** The provider's own name of the class or tier. */
  storageClass?: string;
  /** Undefined: readable now. `thawed`: readable for a while. */
  archive?: 'frozen' | 'thawing' | 'thawed';
  /** User metadata, names in lower case without the provider's prefix; undefined where this answer has none. */
  metadata?: Record<string, string>;
  /** With `versions: true`: this entry says the key was deleted at `storedTime`. */
  isDeleteMarker?: boolean;
  /** With `versions: true`: the current version of its key. */
  isLatest?: boolean;
  /** Local files only. */
  identity?: FileIdentity;
  /** Why a `special` entry or an unreadable folder (`kind: 'folder'`, its content unknown) can't be used. */
  problem?: CloudSyncError;
  /** Content that can be listed but not read (a Dropbox Paper document): named in reports, never deleted or missing. */
  unreadable?: boolean;
}

/** What a listing is asked for. */
export interface ListOptions {
  /** Only keys that start with this; '' for all. The caller ends it with `/` where a folder is meant. */
  prefix?: string;
  /** Only keys after this one, in the store's order. */
  startAfter?: string;
  /**
   * The store as it was then, ms since the epoch by the server's clock: from versions and delete markers.
   * NOT_SUPPORTED where `features.versions` is false.
   */
  asOf?: number;
  /** Every version and delete marker, newest first within a key. */
  versions?: boolean;
  /** Only one level: keys up to the next `/` come once, as `folder`. For browsing. */
  shallow?: boolean;
  /**
   * File systems only (`features.walks`): not walked where it returns false. `folder` is the key with a slash behind it.
   */
  entersFolder?: (folder: string) => boolean;
  /**
   * File systems only (`features.walks`): the name under which a segment is stored at the other side. The listing is
   * then ordered by these names instead of its own, and each entry carries the whole mapped key as `orderKey`.
   * So a local folder comes in the order of the bucket it is compared with, encoded or encrypted names included.
   */
  orderName?: (name: string, kind: ObjectKind) => string;
  /** File systems only: go through symbolic links. Circles are reported as `special`, each file once per path. */
  followSymlinks?: boolean;
  /** File systems and stores with folder markers: give `folder` entries too. Default false. */
  folders?: boolean;
  signal?: AbortSignal;
}

/**
 * Bytes to send: may be read again from any offset for a retry, each time the same bytes.
 */
export interface Content {
  /** Bytes. */
  readonly size: number;
  /** Where all of it is in memory already. */
  readonly bytes?: Uint8Array;
  /** Of `bytes`, hexadecimal, where it was computed over this very memory already. */
  readonly md5?: string;
  /** The same bytes past a bandwidth limit: for hashing them before they are sent. Use `forHashing` of content.ts. */
  readonly unlimited?: Content;
  /** The bytes from `offset` (default 0), `length` of them (default all that follow). */
  read(offset?: number, length?: number): AsyncIterable<Uint8Array>;
  /** As {@link OpenedObject.readInto}. Use `fill` and `forEachChunk` of content.ts, which do without it where it lacks. */
  readInto?(target: Uint8Array, offset: number): Promise<void> | undefined;
}

/** What is stored beside the bytes. */
export interface ObjectAttributes {
  /** ns since the epoch; kept as rclone keeps it (S3: `x-amz-meta-mtime`, seconds with nanoseconds as decimals). */
  modificationTime?: bigint;
  /** User metadata, names in lower case; on a local store rclone's system names (`mode`, `uid`, `gid`, ...). */
  metadata?: Record<string, string>;
  storageClass?: string;
  serverSideEncryption?: string;
  contentType?: string;
}

/** Conditions and checks of a write. */
export interface WriteOptions extends ObjectAttributes {
  /** Only where the present object has this ETag (PRECONDITION_FAILED). */
  ifMatch?: string;
  /** Only where there is no object (PRECONDITION_FAILED). */
  ifNoneMatch?: '*';
  /** Known hashes of the content: the store has to make sure that the bytes it stored match (CHECKSUM_MISMATCH). */
  hashes?: Hashes;
  /**
   * Called after the last byte was read and before the object becomes visible; a throw stops the write and leaves the
   * old object as it was. Undefined: it may become visible, and nothing has to be waited for.
   */
  beforeCommit?: () => Promise<void> | undefined;
  /** Local store: fsync file and folder before the call returns (a move deletes its source next). */
  durable?: boolean;
  signal?: AbortSignal;
}

export interface CreateUploadOptions extends WriteOptions {
  /** Wanted bytes per part; the store rounds it into its limits. */
  partSize?: number;
}

/** What reading is pinned to. */
export interface OpenOptions {
  versionId?: string;
  /** CHANGED where the object's ETag is another. */
  ifMatch?: string;
  /**
   * Bytes that will be read first. A store that needs a request to open uses one that brings them already, so that
   * a small object costs one request. Default: the whole object.
   */
  firstRead?: { offset: number; length: number };
  /**
   * What a listing of this store says about the object, where the caller has it: a store whose downloads come without
   * time and metadata (Google Cloud Storage) need not ask for them, the local disk need not look what it is before it is
   * opened. An object replaced since is opened as it is now.
   */
  listed?: Pick<StoredObject, 'versionId' | 'modificationTime' | 'metadata'> & { kind?: ObjectKind };
  signal?: AbortSignal;
}

/** An object pinned to one version: all that is read from it belongs together. */
export interface OpenedObject {
  /** As it was on opening, with `modificationTime` and metadata. */
  readonly object: StoredObject;
  /** All of it, where it came with the opening. */
  readonly bytes?: Uint8Array | undefined;
  /**
   * The stored bytes from `offset` (default 0), `length` of them (default all that follow); never unpacked, never
   * shorter: an early end is CONNECTION_LOST, other content than at the opening is CHANGED. A retryable failure in the
   * middle is taken up where it was, by the store itself.
   */
  read(offset?: number, length?: number, signal?: AbortSignal): AsyncIterable<Uint8Array>;
  /**
   * Optional, for stores that can read into memory there is already: fills `target` with the bytes from `offset`; errors
   * as for `read`. Nothing stops it: `target` is in use until it settles, also where nobody waits for it any more.
   * Undefined where it is done at once.
   */
  readInto?(target: Uint8Array, offset: number): Promise<void> | undefined;
  /**
   * Throws CHANGED, at once or by its promise, where it is another now than on opening (local files: size, times, inode).
   * Undefined: there is nothing to wait for (local files; remote objects, pinned by the request itself).
   */
  confirmUnchanged(): Promise<void> | undefined;
  close(): Promise<void>;
}

/**
 * An upload in parts, so far invisible, as plain JSON: another process can take it up. It may hold resumable URIs, so it
 * is a secret.
 */
export interface UploadState {
  key: string;
  /** Bytes of the finished object. */
  size: number;
  /** Bytes of each part but the last. */
  partSize: number;
  /** ms since the epoch, by the server's clock where known. */
  startedAt: number;
  /** The store's own words: upload id, session id, temporary name ... */
  details: Record<string, string | number | boolean>;
}

/** A part the provider holds already. */
export interface ArrivedPart {
  /** From 1. */
  number: number;
  size: number;
  hashes?: Hashes;
}

export interface Upload {
  readonly state: UploadState;
  readonly partCount: number;
  /** What has arrived and is usable, in order. */
  arrived(signal?: AbortSignal): AsyncIterable<ArrivedPart>;
  /**
   * Sends one part, checked by the provider against its hash. Parts may be sent in any order and several at once unless
   * `features.upload.sequential`. `alreadyThere` hands over a part found by {@link arrived} instead of sending it.
   */
  sendPart(number: number, content: Content, signal?: AbortSignal): Promise<ArrivedPart>;
  /**
   * Which bytes of the content `sendPart` wants for this part, where that isn't simply part `number` of `partSize` bytes
   * (encrypted parts begin and end within blocks). Use `partContent` of parts.ts and never count yourself.
   */
  partRange?(number: number): { offset: number; length: number };
  /**
   * The bytes as they are sent and stored, for the same arguments as `sendPart`, where they aren't the content itself
   * (encrypted): what the hashes of an {@link ArrivedPart} are of. Use `storedPartContent` of parts.ts.
   */
  storedPart?(number: number, content: Content): Content;
  /** Tells the upload of a part found by {@link arrived} and proven equal by the caller. */
  keepPart(part: ArrivedPart): void;
  /** Makes the object visible, whole or not at all; `hashes` are of the whole content. */
  complete(
    options?: Pick<
      WriteOptions,
      'ifMatch' | 'ifNoneMatch' | 'hashes' | 'beforeCommit' | 'durable' | 'signal'
    >,
  ): Promise<StoredObject>;
  /** Removes every trace; no error if there is none. */
  abort(): Promise<void>;
}

/** An upload somebody began in this store and hasn't finished. */
export interface PendingUpload {
  key: string;
  startedAt: number;
  details: UploadState['details'];
}

/** `unknown`: the provider offers no hash that can tell. */
export type ContentComparison = 'equal' | 'different' | 'unknown';

/** What a comparison may rely on. */
export interface ComparisonTrust {
  /**
   * Also believe what the uploader claimed (`claimedHashes`): right when looking for changes, no proof of what is stored.
   */
  claims: boolean;
}

export interface CopyOptions extends Pick<WriteOptions, 'ifMatch' | 'ifNoneMatch' | 'signal'> {
  sourceVersionId?: string;
  sourceIfMatch?: string;
  /** Size of the source where known: large objects are copied in parts. */
  size?: number;
  /** Replace the attributes; default: keep all of the source's. */
  attributes?: ObjectAttributes;
  /**
   * Called before an upload to `key` is begun to copy in parts: what is left of it where this process dies now,
   * `pendingUploads` gives and `abortUpload` removes.
   */
  onUploadBegins?: () => void;
}

export interface DeleteRequest {
  key: string;
  /** Exactly this version, for ever. */
  versionId?: string;
  /** Only while the object is still this one (PRECONDITION_FAILED), where `features.conditionalDelete`. */
  ifMatch?: string;
}

/** What happened to one key of a batch: `error` undefined means it is gone (also if it wasn't there). */
export interface DeleteOutcome {
  key: string;
  error?: CloudSyncError;
}

/** Limits of names at the provider. */
export interface NameLimits {
  /** UTF-8 bytes of a whole key. */
  maxKeyBytes?: number;
  /** Bytes (UTF-8) of one segment. */
  maxSegmentBytes?: number;
  /** Bytes that a stored segment takes at the provider, where that isn't its length in UTF-8 (names on a local disk). */
  segmentBytes?: (segment: string) => number;
  /** rclone's encoding mask of this backend, by its names: see `names.ts`. */
  encoding: readonly string[];
}

/**
 * What a store can do; the engine decides by these alone. What depends on the account (order, versions, how times are
 * changed) is certain only after `check`: read it then, and from the store itself.
 */
export interface StoreFeatures {
  /** `utf8`: listings come in UTF-8 byte order of their keys. `none`: no promise, the engine sorts. */
  order: 'utf8' | 'none';
  /** A file system: real folders, `orderName`, `entersFolder`, identity, file modes. */
  walks: boolean;
  /** Hashes that `head` or `list` may carry, best proof first. */
  hashes: readonly HashAlgorithm[];
  modificationTime: {
    /** Smallest step that is kept, ns. */
    precision: bigint;
    /** Where a listing carries it, so that no `head` is needed. */
    inListing: boolean;
    /** `setModificationTime`: without new content or version (`in-place`), by a copy onto itself, or not at all. */
    change: 'in-place' | 'copy' | 'none';
  };
  /** Whether `a` and `A` are two objects. */
  caseSensitive: boolean;
  /** Whether both normal forms of a name are two objects. */
  normalizationSensitive: boolean;
  /** False: there is no place for `metadata`, which is left out then. Default true. */
  metadata?: boolean;
  names: NameLimits;
  versions: boolean;
  /** Days that old versions are sure to be kept, where the provider removes them by itself. */
  versionDays?: number;
  conditionalWrite: boolean;
  conditionalDelete: boolean;
  serverSideCopy: boolean;
  /**
   * Days that are charged at least, by storage class as listings name it: who deletes or replaces an object sooner pays for
   * the rest. Classes without such a time are left out.
   */
  minimumStorageDays?: Readonly<Record<string, number>>;
  /** Keys per `deleteMany` request. */
  deleteBatch: number;
  upload: {
    /** From this size on uploads are made in parts; a smaller one is a single `write`. Bytes. */
    threshold: number;
    minPartSize: number;
    maxPartSize: number;
    maxParts: number;
    /** Parts have to be sent in order, one at a time. */
    sequential: boolean;
    /** `sendPart` may be called for several parts at once. */
    maxParallelParts: number;
    /** The hash of the whole content is wanted before the upload starts (`createUpload`'s `hashes`). */
    wantsHashFirst?: HashAlgorithm;
    /** False: the provider tells nobody which uploads are unfinished, so `pendingUploads` gives none. Default true. */
    listsPending?: boolean;
  };
  /** Empty folders can be kept: as they are, as markers, or not. */
  folders: 'real' | 'markers' | 'none';
}

/** One bucket, container, file system folder or account root. */
export interface Store {
  readonly features: StoreFeatures;
  /**
   * What this store is, whichever credential reaches it: two stores with the same identity hold the same keys.
   * Example: `s3://s3.eu-central-1.amazonaws.com/photos`, `file:///srv/photos`. No secret in it.
   */
  readonly identity: string;
  /**
   * Only keys that begin with this can be reached, where the credential is confined that far; known after `check`. What
   * this package keeps in the bucket goes under it.
   */
  readonly confinedTo?: string | undefined;
  /** Throws BUCKET_NOT_FOUND, NO_PERMISSION ... where it can't be used. */
  check(signal?: AbortSignal): Promise<void>;
  /** The first page of any listing tells all that `check` would: who lists next needs no check. Default: false. */
  readonly listingChecks?: boolean;
  /** ms since the epoch by the server's clock, as far as it is known; default: this machine's. */
  serverTime?(): number;
  /**
   * All objects, a page (an array of up to some thousands) at a time; entries of one key with `versions` stay together.
   * A store whose folder can't be read gives an entry with `problem` for it and goes on.
   */
  list(options?: ListOptions): AsyncIterable<readonly StoredObject[]>;
  /** Undefined where there is none. */
  head(
    key: string,
    options?: { versionId?: string; signal?: AbortSignal },
  ): Promise<StoredObject | undefined>;
  open(key: string, options?: OpenOptions): Promise<OpenedObject>;
  /** Writes a whole object with one request (files below `features.upload.threshold`). */
  write(key: string, content: Content, options?: WriteOptions): Promise<StoredObject>;
  createUpload(key: string, size: number, options?: CreateUploadOptions): Promise<Upload>;
  /** NOT_FOUND where the provider no longer knows it. */
  resumeUpload(state: UploadState, options?: WriteOptions): Promise<Upload>;
  pendingUploads(prefix: string, signal?: AbortSignal): AsyncIterable<PendingUpload>;
  /**
   * Removes one that `pendingUploads` gave; no error if it is gone. Only where an upload that was begun and never named
   * (the answer was lost) stays and costs until somebody removes it.
   */
  abortUpload?(upload: PendingUpload, signal?: AbortSignal): Promise<void>;
  /** Within this store. NOT_SUPPORTED where `features.serverSideCopy` is false. */
  copy(sourceKey: string, key: string, options?: CopyOptions): Promise<StoredObject>;
  /** No error where the key isn't there. */
  delete(request: DeleteRequest, signal?: AbortSignal): Promise<void>;
  /** Any number; the store cuts it into batches. One outcome per request, in their order. */
  deleteMany(requests: readonly DeleteRequest[], signal?: AbortSignal): Promise<DeleteOutcome[]>;
  /**
   * Whether `object` (from a listing or a head of this store) holds exactly these bytes, found out without reading it;
   * may send a request where the listing's hashes aren't enough. Default: `compareByHashes` of compare.ts. Reads the
   * content at most once.
   */
  compareContent?(
    object: StoredObject,
    content: Content,
    trust: ComparisonTrust,
    signal?: AbortSignal,
  ): Promise<ContentComparison>;
  /**
   * Without changing the content; NOT_SUPPORTED where `features.modificationTime.change` is `none`. `onUploadBegins` as in
   * {@link CopyOptions}.
   */
  setModificationTime(
    object: StoredObject,
    time: bigint,
    signal?: AbortSignal,
    onUploadBegins?: CopyOptions['onUploadBegins'],
  ): Promise<StoredObject>;
  /** Makes a folder (and its parents) or a folder marker; nothing where `features.folders` is `none`. */
  createFolder(key: string, attributes?: ObjectAttributes, signal?: AbortSignal): Promise<void>;
  /** Removes it if it is empty; no error if it isn't there or isn't empty. */
  deleteFolder(key: string, signal?: AbortSignal): Promise<void>;
  /**
   * What stands where `key` would have to be written, with the key that it is listed by, where that is another one: in a
   * store in which two keys share a place (a link `a.rclonelink` and a file or folder `a`). Undefined where nothing does.
   */
  occupant?(key: string): Promise<StoredObject | undefined>;
  /**
   * Whether old versions are kept here, where that depends on the bucket and `features.versions` can't tell; undefined
   * where the provider doesn't say it to this credential. Asked only by who needs them: it may take a request.
   */
  keepsVersions?(signal?: AbortSignal): Promise<boolean | undefined>;
  /** Moves a file or folder within a file system (obstacles set aside); NOT_SUPPORTED elsewhere. */
  rename(key: string, newKey: string, signal?: AbortSignal): Promise<void>;
  /** Asks an archived object back for `days`; NOT_SUPPORTED where there is no archive. */
  thaw(
    key: string,
    options: { tier?: string; days?: number; versionId?: string; signal?: AbortSignal },
  ): Promise<void>;
  close(): Promise<void>;
}

export interface Bucket {
  name: string;
  /** ms since the epoch. */
  createdAt?: number;
  region?: string;
}

/** What a credential turned out to be. */
export interface CredentialCheck {
  /** Who it is, as the provider names accounts. */
  account?: string;
  /** Undefined where the key may not list buckets, which is no fault. */
  bucketCount?: number;
  /** What there is to say beyond 'valid', one sentence each. */
  notes: string[];
  /** What the key may do, as far as the provider tells without a bucket. */
  abilities?: readonly KeyAbility[];
  /** The buckets and the prefix that the key is confined to, where the provider tells. */
  confinedTo?: { buckets?: readonly string[]; prefix?: string };
}

/** `versions`: list old versions, and remove them where `delete` is among them too. */
export type KeyAbility = 'list' | 'read' | 'write' | 'delete' | 'versions';

/** Saved properties of a `cloud-credential` node. */
export type CredentialConfig = Record<string, unknown>;
/** Its secrets: never in a message, log or error. */
export type CredentialSecrets = Record<string, string | undefined>;

/** A credential in use: leads to buckets. */
export interface Account {
  /** Endpoint and account, without bucket; no secret in it. */
  readonly identity: string;
  /** Throws WRONG_KEY, WRONG_SECRET, CLOCK_SKEW, ENDPOINT_UNREACHABLE ... */
  check(signal?: AbortSignal): Promise<CredentialCheck>;
  listBuckets(signal?: AbortSignal): AsyncIterable<Bucket>;
  createBucket(name: string, options?: { region?: string; signal?: AbortSignal }): Promise<void>;
  /** `bucket` is '' for providers without buckets. Sends no request yet. */
  openStore(bucket: string): Store;
  close(): Promise<void>;
}

/** What every account is given by its surroundings. */
export interface AccountContext {
  /** Called for each request sent, retries too: `LIST`, `HEAD`, `GET`, `PUT`, `POST`, `DELETE`, `COPY`. */
  onRequest?: (kind: string) => void;
  /** Called before a failed request is sent again. */
  onRetry?: (error: CloudSyncError, attempt: number) => void;
  /** Options of the task for this provider (`storageClass`, `serverSideEncryption`, `chunkSize` in MiB ...). */
  options?: ProviderOptions;
  /** Requests that run at the same time at most, over all calls. */
  maxConnections?: number;
  /** How long to insist on an answer; left out: as long as a run at night should. */
  patience?: Patience;
  /** Asked before each attempt of each request that changes what is stored. Default: all are allowed. */
  guard?: WriteGuard;
}

/**
 * Whether this process may change what is stored, as long as it holds a lease (engine/lease.ts). The HTTP client of all
 * providers asks it; they only say which requests change something.
 */
export interface WriteGuard {
  /** As it is now: looked at once more when the request has its connection. */
  readonly isValid: boolean;
  /** Undefined: it may. Else a promise for that, which throws where it may not any more. */
  confirm(): Promise<void> | undefined;
}

/** Less of it where a person waits for the answer. */
export interface Patience {
  /** How often a request is sent at most. */
  attempts: number;
  /** Limit for making a connection, ms. */
  connectTimeoutMs: number;
  /** So long may nothing move on a connection, ms. */
  silenceMs: number;
}

/** The task's provider options; a store takes what it knows. */
export interface ProviderOptions {
  storageClass?: string;
  serverSideEncryption?: string;
  /** MiB per part of an upload. */
  chunkSize?: number;
  deleteVersions?: boolean;
}
