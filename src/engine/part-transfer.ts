/** Large files: sent in parts, several at once, resumable by another process. */

import { createHash, type Hash } from 'node:crypto';
import { CloudSyncError, hasCode, throwIfAborted } from '../errors.js';
import { hashContent } from '../stores/compare.js';
import { contentOfBytes, contentOfOpened, fill } from '../stores/content.js';
import { partContent, partRange, storedPartContent } from '../stores/parts.js';
import type { ArrivedPart, Content, StoredObject, Upload } from '../stores/store.js';
import { meteredContent } from './metered-content.js';
import type { Sending, Sent } from './sending.js';

/** Parts of one file in flight. */
const PARALLEL_PARTS = 4;
/** Larger parts are streamed from the open file instead of being held in memory. Bytes. */
const HELD_PART = 16 * 1024 * 1024;

export async function sendInParts(sending: Sending): Promise<Sent> {
  const { run, job, opened, options } = sending;
  const content = contentOfOpened(opened);
  const hashes = run.isPush ? await hashesBefore(sending, content) : options.hashes;
  for (;;) {
    const sent = await tryInParts(sending, content, hashes);
    if (sent !== undefined) return sent;
    sending.count(0, true);
    run.log('retry', job.path, {
      level: 'warning',
      message: 'No part gets through: begins anew with smaller ones',
    });
  }
}

/** Undefined where the parts are too large for the line and none has arrived. */
async function tryInParts(
  sending: Sending,
  content: Content,
  hashes: Sending['options']['hashes'],
): Promise<Sent | undefined> {
  const { run, job, opened, options } = sending;
  const fingerprint = fingerprintOf(opened.object);
  const { upload, arrived } = await openUpload(sending, content, fingerprint, hashes);
  const { partSize } = upload.state;
  const { minPartSize } = run.destination.store.features.upload;
  let isGettingThrough = false;
  const onArrived = (number: number) => {
    // The last one may be much smaller than the others.
    if (number === upload.partCount) return;
    isGettingThrough = true;
    run.uplink.arrived(partSize);
  };
  try {
    const md5 = await run.uplink.unlessTooLarge(
      partSize,
      (signal) =>
        sendParts({
          sending,
          upload,
          content,
          arrived,
          wantsMd5: hashes?.md5 === undefined,
          onArrived,
          signal,
        }),
      run.signal,
      () => !isGettingThrough && partSize > minPartSize,
    );
    if (md5 === undefined) {
      await upload.abort();
      run.journal?.finished(job.destinationKey);
      return undefined;
    }
    const known = hashes?.md5 ?? md5;
    const destination = await upload.complete({
      ...options,
      hashes: known === '' ? hashes : { ...hashes, md5: known },
    });
    run.journal?.finished(job.destinationKey);
    return { destination, md5: known };
  } catch (error) {
    // Stopped or cut off: the next run goes on from here. Anything else would fail again.
    const isResumable = hasCode(error, 'ABORTED') || (error instanceof CloudSyncError && error.retryable);
    if (run.journal === undefined || !isResumable || hasCode(error, 'CHECKSUM_MISMATCH')) {
      await upload.abort();
      run.journal?.finished(job.destinationKey);
    }
    throw error;
  }
}

/** The hash of the whole content that has to be known before the first part is sent, and its MD5, in one pass. */
async function hashesBefore({ run, opened }: Sending, content: Content) {
  const wanted = run.destination.store.features.upload.wantsHashFirst;
  if (wanted !== 'md5' && wanted !== 'sha1') return undefined;
  const hashes = await hashContent(content, wanted === 'md5' ? ['md5'] : ['md5', wanted], run.signal);
  await opened.confirmUnchanged();
  return hashes;
}

/** By what a source is recognised as exactly the one an interrupted upload was made from. */
function fingerprintOf(object: StoredObject): string {
  const { identity } = object;
  return JSON.stringify(
    identity === undefined
      ? [object.key, object.size, object.etag ?? '', object.versionId ?? '']
      : [
          object.key,
          object.size,
          String(object.modificationTime),
          String(identity.changeTime),
          String(identity.inode),
        ],
  );
}

interface OpenUpload {
  upload: Upload;
  /** Parts that needn't be sent again, by number. */
  arrived: Map<number, ArrivedPart>;
}

async function openUpload(
  sending: Sending,
  content: Content,
  fingerprint: string,
  hashes: Sending['options']['hashes'],
): Promise<OpenUpload> {
  const { run, job, options } = sending;
  const { store } = run.destination;
  const left = run.journal?.find(job.destinationKey);
  if (left !== undefined) {
    const resumed = await resume(sending, content, left.fingerprint === fingerprint ? left.state : undefined);
    if (resumed !== undefined) return resumed;
    await removeUpload(run.destination.store, left.state);
    run.journal?.finished(job.destinationKey);
  }
  const isOnlyOne = !run.journal?.unanswered.some(({ key }) => key === job.destinationKey);
  // Until its answer is there, an upload has no name by which it could be removed.
  if (store.abortUpload !== undefined) {
    run.journal?.beginning(job.destinationKey, job.path, store.serverTime?.() ?? Date.now());
  }
  const partSize = run.uplink.partSize(store.features.upload.minPartSize);
  const upload = await store.createUpload(job.destinationKey, content.size, {
    ...options,
    hashes,
    ...(partSize === undefined ? {} : { partSize }),
  });
  run.journal?.started({ path: job.path, fingerprint, state: upload.state }, isOnlyOne);
  return { upload, arrived: new Map() };
}

/** Removes what an upload left; one the provider no longer knows is gone already. */
export async function removeUpload(
  store: Sending['run']['destination']['store'],
  state: Upload['state'],
): Promise<void> {
  try {
    await (await store.resumeUpload(state)).abort();
  } catch (error) {
    if (!hasCode(error, 'NOT_FOUND')) throw error;
  }
}

async function resume(
  { run, job, options }: Sending,
  content: Content,
  state: Upload['state'] | undefined,
): Promise<OpenUpload | undefined> {
  if (state === undefined) return undefined;
  try {
    const upload = await run.destination.store.resumeUpload(state, options);
    const arrived = new Map<number, ArrivedPart>();
    for await (const part of upload.arrived(run.signal)) {
      if (run.isPush && !(await isSamePart(upload, content, part, run.signal))) continue;
      arrived.set(part.number, part);
    }
    run.log('resume', job.path, {
      message: `${arrived.size} of ${upload.partCount} parts were there already`,
    });
    return { upload, arrived };
  } catch (error) {
    throwIfAborted(run.signal);
    run.log('resume', job.path, { level: 'warning', message: `Begins anew: ${(error as Error).message}` });
    return undefined;
  }
}

/** Whether the provider holds exactly the bytes that would be sent: proven by their hash, never assumed. */
async function isSamePart(
  upload: Upload,
  content: Content,
  part: ArrivedPart,
  signal: AbortSignal,
): Promise<boolean> {
  if (part.number > upload.partCount || part.hashes?.md5 === undefined) return false;
  const own = storedPartContent(upload, content, part.number);
  if (own.size !== part.size) return false;
  return (await hashContent(own, ['md5'], signal)).md5 === part.hashes.md5;
}

interface PartsToSend {
  sending: Sending;
  upload: Upload;
  content: Content;
  /** Parts that needn't be sent again, by number. */
  arrived: ReadonlyMap<number, ArrivedPart>;
  wantsMd5: boolean;
  /** Called with the number of each part that the provider has confirmed. */
  onArrived: (number: number) => void;
  signal: AbortSignal;
}

/** Sends all parts that haven't arrived. Gives the MD5 of the whole where `wantsMd5` and it could be had on the way. */
async function sendParts(parts: PartsToSend): Promise<string> {
  const { sending, upload, content, arrived, wantsMd5, onArrived, signal } = parts;
  const { run } = sending;
  const { sequential, maxParallelParts } = run.destination.store.features.upload;
  const parallel = sequential ? 1 : Math.min(PARALLEL_PARTS, maxParallelParts);
  // Parts of a local file are read one after the other anyway, so its hash can be had on the way.
  const hash = wantsMd5 && run.isPush && arrived.size === 0 ? createHash('md5') : undefined;
  const inFlight = new Set<Promise<void>>();
  const spareBuffers: Buffer[] = [];
  let failure: { error: unknown } | undefined;
  let hashedTo = 0;
  for (let number = 1; number <= upload.partCount && failure === undefined; number++) {
    const there = arrived.get(number);
    if (there !== undefined) {
      upload.keepPart(there);
      sending.count(partContent(upload, content, number).size);
      continue;
    }
    while (inFlight.size >= parallel) await Promise.race(inFlight);
    if (failure !== undefined) break;
    try {
      // Neighbouring parts may overlap; each byte is hashed once.
      const { offset, length } = partRange(upload, content.size, number);
      const hashed = Math.max(0, hashedTo - offset);
      const whole = partContent(upload, content, number);
      const part = await preparePart(sending, whole, hash, hashed, spareBuffers);
      hashedTo = offset + length;
      const sent: Promise<void> = upload
        .sendPart(number, part.content, signal)
        .then(() => {
          onArrived(number);
          part.arrived();
          // What is pulled counts as it comes. The last part counts with the completion: a store may keep its end back.
          if (run.isPush && number < upload.partCount) sending.count(whole.size);
        })
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => {
          part.release();
          inFlight.delete(sent);
        });
      inFlight.add(sent);
    } catch (error) {
      // The parts under way have to come to an end before the upload is given up.
      failure ??= { error };
    }
  }
  await Promise.all(inFlight);
  if (failure !== undefined) throw failure.error;
  return hash === undefined ? '' : hash.digest('hex');
}

interface PreparedPart {
  content: Content;
  /** Call it when the provider has it. */
  arrived(): void;
  release(): void;
}

/** A part of a local file is held in memory within the run's budget if it isn't too large; others are streamed. */
async function preparePart(
  { run, count }: Sending,
  part: Content,
  hash: Hash | undefined,
  hashed: number,
  spareBuffers: Buffer[],
): Promise<PreparedPart> {
  if (!run.isPush) return { content: meteredContent(part, count), arrived: () => {}, release: () => {} };
  if (part.size > HELD_PART) {
    if (hash !== undefined) for await (const chunk of part.read(hashed)) hash.update(chunk);
    return { content: part, arrived: () => {}, release: () => {} };
  }
  const release = await run.budget.take(part.size, run.signal);
  try {
    const spare = spareBuffers.pop();
    const buffer = spare !== undefined && spare.length >= part.size ? spare : Buffer.allocUnsafe(part.size);
    const bytes = buffer.subarray(0, part.size);
    await fill(bytes, part, run.signal);
    hash?.update(bytes.subarray(hashed));
    const arrived = () => {
      // Only now: an attempt that was given up may still hold it. New memory for each part costs more than reading it.
      spareBuffers.push(buffer);
    };
    return { content: contentOfBytes(bytes), arrived, release };
  } catch (error) {
    release();
    throw error;
  }
}
