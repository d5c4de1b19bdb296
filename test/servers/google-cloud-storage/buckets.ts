/** What is stored: buckets with the generations of their objects. */

import { ApiError, conditionNotMet, invalid, noObject } from './api-error.js';
import { crc32cBase64, md5Base64 } from './hashes.js';

/** https://cloud.google.com/storage/docs/storage-classes; the others are legacy. */
const STORAGE_CLASSES = ['STANDARD', 'NEARLINE', 'COLDLINE', 'ARCHIVE'];

/** Fields of an object that a client may set: "writable" in https://cloud.google.com/storage/docs/json_api/v1/objects#resource */
export interface ObjectMetadata {
  contentType?: string;
  contentEncoding?: string;
  contentDisposition?: string;
  contentLanguage?: string;
  cacheControl?: string;
  storageClass?: string;
  metadata?: Record<string, string>;
  temporaryHold?: boolean;
  eventBasedHold?: boolean;
}

/** One generation of one object. */
export interface Generation extends ObjectMetadata {
  name: string;
  generation: bigint;
  metageneration: number;
  bytes: Buffer;
  md5Hash: string | undefined;
  crc32c: string;
  componentCount?: number;
  timeCreated: number;
  updated: number;
  /** When it stopped being the live one. */
  timeDeleted?: number;
}

export interface Conditions {
  ifGenerationMatch?: bigint;
  ifGenerationNotMatch?: bigint;
  ifMetagenerationMatch?: bigint;
  ifMetagenerationNotMatch?: bigint;
}

export class Bucket {
  storageClass = 'STANDARD';
  versioning = false;
  uniformAccess = true;
  /** s; objects younger than this can't be replaced or deleted. */
  retentionSeconds = 0;
  requesterPays = false;
  /** All generations by name, the oldest first. */
  readonly objects = new Map<string, Generation[]>();
  #sorted: string[] | undefined;

  constructor(
    readonly name: string,
    readonly project: string,
    readonly location: string,
    readonly timeCreated: number,
  ) {}

  /** Names in the order of their UTF-8 bytes. */
  names(): string[] {
    this.#sorted ??= [...this.objects.keys()]
      .map((name) => Buffer.from(name))
      .sort(Buffer.compare)
      .map((name) => name.toString());
    return this.#sorted;
  }

  live(name: string): Generation | undefined {
    const last = this.objects.get(name)?.at(-1);
    return last?.timeDeleted === undefined ? last : undefined;
  }

  find(name: string, generation: bigint | undefined): Generation {
    const found =
      generation === undefined
        ? this.live(name)
        : this.objects.get(name)?.find((candidate) => candidate.generation === generation);
    if (found === undefined) throw noObject(this.name, name);
    return found;
  }

  /** "The operation succeeds only if ...": https://cloud.google.com/storage/docs/request-preconditions */
  confirm(conditions: Conditions, present: Generation | undefined): void {
    const generation = present?.generation ?? 0n;
    const metageneration = BigInt(present?.metageneration ?? 0);
    const { ifGenerationMatch, ifGenerationNotMatch, ifMetagenerationMatch, ifMetagenerationNotMatch } =
      conditions;
    if (
      (ifGenerationMatch !== undefined && ifGenerationMatch !== generation) ||
      (ifGenerationNotMatch !== undefined && ifGenerationNotMatch === generation) ||
      (ifMetagenerationMatch !== undefined && ifMetagenerationMatch !== metageneration) ||
      (ifMetagenerationNotMatch !== undefined && ifMetagenerationNotMatch === metageneration)
    ) {
      throw conditionNotMet();
    }
  }

  /** Adds a generation; the one before it becomes noncurrent, or goes where versions aren't kept. */
  put(
    name: string,
    metadata: ObjectMetadata,
    bytes: Buffer,
    now: number,
    componentCount?: number,
  ): Generation {
    confirmName(name);
    const history = this.objects.get(name) ?? [];
    const present = this.live(name);
    if (present !== undefined) this.confirmUnprotected(present, now);
    const { storageClass, ...rest } = metadata;
    const added: Generation = {
      ...rest,
      name,
      storageClass: confirmStorageClass(storageClass ?? this.storageClass),
      generation: nextGeneration(now),
      metageneration: 1,
      bytes,
      md5Hash: componentCount === undefined ? md5Base64(bytes) : undefined,
      crc32c: crc32cBase64(bytes),
      timeCreated: now,
      updated: now,
      ...(componentCount === undefined ? {} : { componentCount }),
    };
    if (present !== undefined) {
      present.timeDeleted = now;
      if (!this.versioning) history.pop();
    }
    history.push(added);
    if (!this.objects.has(name)) this.#sorted = undefined;
    this.objects.set(name, history);
    return added;
  }

  /** Without a generation the live one goes (or becomes noncurrent), with one exactly that, for ever. */
  delete(name: string, generation: bigint | undefined, now: number): void {
    const found = this.find(name, generation);
    this.confirmUnprotected(found, now);
    if (generation === undefined && this.versioning) {
      found.timeDeleted = now;
      return;
    }
    const rest = this.objects.get(name)!.filter((other) => other !== found);
    if (rest.length > 0) this.objects.set(name, rest);
    else {
      this.objects.delete(name);
      this.#sorted = undefined;
    }
  }

  /** https://cloud.google.com/storage/docs/bucket-lock and https://cloud.google.com/storage/docs/object-holds */
  confirmUnprotected(object: Generation, now: number): void {
    if (object.temporaryHold === true || object.eventBasedHold === true) {
      throw new ApiError(
        403,
        'objectUnderActiveHold',
        `Object '${this.name}/${object.name}' is under active Event-Based or Temporary hold and cannot be deleted, overwritten or archived until hold is removed.`,
      );
    }
    if (now - object.timeCreated < this.retentionSeconds * 1000) {
      throw new ApiError(
        403,
        'retentionPolicyNotMet',
        `Object '${this.name}/${object.name}' is subject to bucket's retention policy or object retention and cannot be deleted or overwritten until ${new Date(object.timeCreated + this.retentionSeconds * 1000).toISOString()}`,
      );
    }
  }
}

let lastGeneration = 0n;

/** Microseconds since the epoch, never the same twice. */
function nextGeneration(now: number): bigint {
  const wanted = BigInt(Math.floor(now)) * 1000n;
  lastGeneration = wanted > lastGeneration ? wanted : lastGeneration + 1n;
  return lastGeneration;
}

/** https://cloud.google.com/storage/docs/objects#naming */
export function confirmName(name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes === 0) throw new ApiError(400, 'required', 'Required', { location: 'name' });
  if (bytes > 1024) {
    throw invalid(`The specified object name is too long: ${bytes} bytes. The maximum is 1024 bytes.`);
  }
  if (
    !name.isWellFormed() ||
    /[\r\n]/.test(name) ||
    name === '.' ||
    name === '..' ||
    name.startsWith('.well-known/acme-challenge/')
  ) {
    throw invalid('Disallowed unicode characters or reserved name present in object name.');
  }
}

export function confirmStorageClass(storageClass: string): string {
  if (!STORAGE_CLASSES.includes(storageClass)) {
    throw invalid(`The specified storage class is not valid: ${storageClass}`);
  }
  return storageClass;
}

/** The object as answers hold it. */
export function objectResource(bucket: Bucket, object: Generation, origin: string): Record<string, unknown> {
  const place = `b/${bucket.name}/o/${encodeURIComponent(object.name)}`;
  const iso = (time: number) => new Date(time).toISOString();
  return {
    kind: 'storage#object',
    id: `${bucket.name}/${object.name}/${object.generation}`,
    selfLink: `${origin}/storage/v1/${place}`,
    mediaLink: `${origin}/download/storage/v1/${place}?generation=${object.generation}&alt=media`,
    name: object.name,
    bucket: bucket.name,
    generation: String(object.generation),
    metageneration: String(object.metageneration),
    contentType: object.contentType,
    contentEncoding: object.contentEncoding,
    contentDisposition: object.contentDisposition,
    contentLanguage: object.contentLanguage,
    cacheControl: object.cacheControl,
    storageClass: object.storageClass,
    size: String(object.bytes.length),
    md5Hash: object.md5Hash,
    crc32c: object.crc32c,
    etag: etagOf(object),
    timeCreated: iso(object.timeCreated),
    updated: iso(object.updated),
    timeFinalized: iso(object.timeCreated),
    timeStorageClassUpdated: iso(object.timeCreated),
    timeDeleted: object.timeDeleted === undefined ? undefined : iso(object.timeDeleted),
    metadata: object.metadata,
    componentCount: object.componentCount,
    temporaryHold: object.temporaryHold,
    eventBasedHold: object.eventBasedHold,
  };
}

/** Of generation and metageneration, as Google's is. */
export function etagOf(object: Generation): string {
  return Buffer.from(`${object.generation}/${object.metageneration}`).toString('base64');
}
