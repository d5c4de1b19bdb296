/**
 * One file from the source to the destination: whole or not at all, checked, with its time. A file that changes while it
 * is read is tried again, then reported; it is never stored half old, half new.
 */

import { hash } from 'node:crypto';
import { CloudSyncError, hasCode } from '../errors.js';
import { contentOfBytes, contentOfOpened, fill } from '../stores/content.js';
import type { ObjectAttributes, OpenedObject, StoredObject, WriteOptions } from '../stores/store.js';
import { hashingContent, meteredContent } from './metered-content.js';
import { sendInParts } from './part-transfer.js';
import type { RunContext } from './run-context.js';
import type { CountBytes, Sending, Sent, TransferJob } from './sending.js';

export type { TransferJob } from './sending.js';

export interface Transferred {
  /** The source as it was read, with identity or ETag. */
  source: StoredObject;
  destination: StoredObject;
  /** Of the plain content; '' where nothing computed it. */
  md5: string;
  /** When the source was opened, ms since the epoch. */
  readAt: number;
}

const ATTEMPTS = 3;
/** Contents up to this size are held in memory; larger ones are streamed. Bytes. */
const HELD_SIZE = 16 * 1024 * 1024;
/** The same for downloads, which can be written as they come. */
const HELD_DOWNLOAD = 256 * 1024;

/**
 * Transfers one file. Throws CHANGING where it changed each time it was read, NOT_FOUND where the source is gone, and
 * whatever the stores throw.
 */
export async function transferFile(run: RunContext, job: TransferJob): Promise<Transferred> {
  const progress = fileProgress(run);
  for (let attempt = 1; ; attempt++) {
    try {
      const result = await transferOnce(run, job, progress.add);
      progress.complete(result.source.size);
      return result;
    } catch (error) {
      if (attempt < ATTEMPTS && hasCode(error, 'CHANGED', 'CHECKSUM_MISMATCH')) {
        run.log('retry', job.path, { level: 'warning', message: error.message });
        continue;
      }
      if (hasCode(error, 'CHANGED')) {
        throw new CloudSyncError('CHANGING', 'The file changed each time it was read', {
          path: job.path,
          advice: 'Close the program that writes it, or read from a snapshot.',
          cause: error,
        });
      }
      throw error;
    }
  }
}

/** Bytes of one file towards the run's progress: attempts that began anew count once. */
function fileProgress(run: RunContext) {
  let counted = 0;
  let attempt = 0;
  return {
    add: (bytes: number, startsAnew = false) => {
      if (startsAnew) attempt = 0;
      attempt += bytes;
      if (attempt > counted) {
        run.bytes.done += attempt - counted;
        counted = attempt;
      }
    },
    complete: (size: number) => {
      run.bytes.done += size - counted;
      counted = size;
    },
  };
}

async function transferOnce(run: RunContext, job: TransferJob, count: CountBytes): Promise<Transferred> {
  count(0, true);
  const { upload } = run.destination.store.features;
  const readAt = Date.now();
  const firstLength = Math.min(job.source.size, upload.threshold, HELD_SIZE);
  const opened = await run.source.store.open(job.source.key, {
    versionId: run.settings.asOf === undefined ? undefined : job.source.versionId,
    firstRead: job.source.size > upload.threshold ? { offset: 0, length: firstLength } : undefined,
    listed: job.source,
    signal: run.signal,
  });
  try {
    const { size } = opened.object;
    const sending: Sending = { run, job, opened, count, options: writeOptions(run, job, opened) };
    const inParts = size > 0 && (size >= upload.threshold || run.uplink.isTooLarge(size, upload.minPartSize));
    const whole = inParts ? undefined : await sendWholeOrNot(sending);
    const { destination, md5 } = whole ?? (await sendInParts(sending));
    return { source: opened.object, destination, md5, readAt };
  } finally {
    await opened.close();
  }
}

/** Undefined where it is too large for one request on this line. */
function sendWholeOrNot(sending: Sending): Promise<Sent | undefined> {
  const { minPartSize } = sending.run.destination.store.features.upload;
  return sending.opened.object.size <= minPartSize ? sendWhole(sending) : sendWholeIfItGoes(sending);
}

async function sendWholeIfItGoes(sending: Sending): Promise<Sent | undefined> {
  const { run, opened, options } = sending;
  const { size } = opened.object;
  const send = (signal: AbortSignal) => sendWhole({ ...sending, options: { ...options, signal } });
  const sent = await run.uplink.unlessTooLarge(size, send, run.signal);
  if (sent !== undefined) run.uplink.arrived(size);
  return sent;
}

async function sendWhole(sending: Sending): Promise<Sent> {
  const { run, job, opened, count, options } = sending;
  const { store } = run.destination;
  const { size } = opened.object;
  if (size > (run.isPush ? HELD_SIZE : HELD_DOWNLOAD)) {
    const plain = contentOfOpened(opened);
    // What is read for an upload hasn't arrived yet.
    const content = hashingContent(run.isPush ? plain : meteredContent(plain, count));
    const destination = await store.write(job.destinationKey, content, options);
    if (run.isPush) count(size);
    return { destination, md5: content.wholeMd5() || (options.hashes?.md5 ?? '') };
  }
  const taking = run.budget.take(size, run.signal);
  const release = taking instanceof Promise ? await taking : taking;
  try {
    const reading = opened.bytes ?? readWhole(opened, run.signal);
    const bytes = reading instanceof Promise ? await reading : reading;
    // That it didn't change while it was read, and that the lease holds, is asked by `beforeCommit`.
    const md5 = hash('md5', bytes, 'hex');
    const hashes = { ...options.hashes, md5: options.hashes?.md5 ?? md5 };
    const destination = await store.write(job.destinationKey, contentOfBytes(bytes, md5), {
      ...options,
      hashes,
    });
    count(size);
    return { destination, md5 };
  } finally {
    release();
  }
}

/** Without a promise where it takes no waiting, as for a small local file. */
function readWhole(opened: OpenedObject, signal: AbortSignal): Buffer | Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(opened.object.size);
  const filling = fill(bytes, contentOfOpened(opened), signal);
  return filling === undefined ? bytes : filling.then(() => bytes);
}

function writeOptions(run: RunContext, job: TransferJob, opened: OpenedObject): WriteOptions {
  const { object } = opened;
  const options: WriteOptions = {
    ...attributesOf(run, object),
    durable: run.settings.transferMode === 'move',
    beforeCommit: () => {
      const confirming = opened.confirmUnchanged();
      return confirming === undefined ? run.lease?.confirm() : confirming.then(() => run.lease?.confirm());
    },
    ...whereNothingIs(run, job.present),
    signal: run.signal,
  };
  if (run.isPush) return options;
  const { hashes, claimedHashes } = object;
  options.hashes = { ...claimedHashes, ...hashes };
  // A local file that was changed after it was listed is not overwritten unseen.
  options.ifMatch = job.present?.etag;
  return options;
}

/**
 * The condition of a write to where the listing showed nothing: with a backup folder, a file that is there all the same
 * has to be kept before it is replaced.
 */
export function whereNothingIs(
  run: RunContext,
  present: StoredObject | undefined,
): Pick<WriteOptions, 'ifNoneMatch'> {
  const isAsked = run.backup !== undefined && run.destination.store.features.conditionalWrite;
  return isAsked && present === undefined ? { ifNoneMatch: '*' } : {};
}

function attributesOf(run: RunContext, object: StoredObject): ObjectAttributes {
  const { attributes, metadata } = run.settings;
  const own: ObjectAttributes = { ...attributes, modificationTime: object.modificationTime };
  if (!metadata) return own;
  return { ...own, metadata: { ...attributes.metadata, ...ownerMetadata(object) } };
}

/** Mode and owner by rclone's names and in its formats (https://rclone.org/local/#metadata). */
function ownerMetadata(object: StoredObject): Record<string, string> {
  if (object.identity !== undefined) {
    const { mode, uid, gid } = object.identity;
    return { mode: mode.toString(8), uid: String(uid), gid: String(gid) };
  }
  const kept: Record<string, string> = {};
  for (const name of ['mode', 'uid', 'gid']) {
    const value = object.metadata?.[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}
