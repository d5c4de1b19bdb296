/**
 * What must hold after a run, told from both sides before and after it and from the report: nothing of the engine is
 * asked. Each rule that is broken is one sentence.
 */

import type { FileState, Snapshot } from './sides.js';

/** Both sides at one moment. */
export interface Moment {
  source: Snapshot;
  destination: Snapshot;
  /** Under the backup folder, the run's dated folder left out of the path. */
  backup: { path: string; hash: string }[];
  /** Everything in the store that is no part of the task: key and tag. */
  others: Map<string, string>;
}

export interface Ran {
  transferMode: 'sync' | 'copy' | 'move';
  dryRun: boolean;
  checksum: boolean;
  maxDelete: number | string | null;
  hasBackup: boolean;
  wants: (path: string) => boolean;
  /** Versions that the source had while the run went on; undefined: it was gone for a while. */
  during: Map<string, (string | undefined)[]>;
  /** Listings hid something. */
  hidesKeys: boolean;
  /** Nothing went wrong at either side. */
  wasCalm: boolean;
  wasAborted: boolean;
  /** The smallest step in which the store keeps times, ns. */
  timeStep: bigint;
  /** The times of objects are left alone where changing one would make a version. */
  keepsTimes: boolean;
  /** The store tells a hash of everything it holds: what can't be proven equal is sent again, the same bytes or not. */
  hasHashes: boolean;
  status: 'success' | 'failed' | 'aborted';
  errors: { code: string; path: string; message: string }[];
  warnings: { code: string; path: string }[];
  transferred: number;
  deleted: number;
  /** Names from the log. */
  events: { event: string; path: string }[];
}

/** The rules that were broken. */
export function judge(before: Moment, after: Moment, ran: Ran): string[] {
  const broken: string[] = [];
  const check = (holds: boolean, sentence: () => string) => {
    if (!holds) broken.push(sentence());
  };
  checkOthers(before, after, check);
  if (ran.dryRun) {
    check(ran.during.size > 0 || isSame(before.source, after.source), () => 'a dry run changed the source');
    check(isSame(before.destination, after.destination), () => 'a dry run changed the destination');
    check(before.backup.length === after.backup.length, () => 'a dry run wrote to the backup folder');
  }
  checkSource(before, after, ran, check);
  checkArrived(before, after, ran, check);
  checkDeleted(before, after, ran, check);
  checkBackup(before, after, ran, check);
  checkReport(before, after, ran, check);
  if (ran.status === 'success' && !ran.dryRun) checkSuccess(before, after, ran, check);
  return broken;
}

type Check = (holds: boolean, sentence: () => string) => void;

function checkOthers(before: Moment, after: Moment, check: Check): void {
  for (const [key, tag] of before.others) {
    check(after.others.get(key) === tag, () => `"${key}", no part of the task, was changed or removed`);
  }
  for (const key of after.others.keys()) {
    check(before.others.has(key), () => `"${key}", no part of the task, appeared`);
  }
}

function checkSource(before: Moment, after: Moment, ran: Ran, check: Check): void {
  for (const [path, { hash, time }] of before.source) {
    const now = after.source.get(path);
    const versions = ran.during.get(path);
    if (now === undefined) {
      if (versions?.includes(undefined)) continue;
      const last = versions?.at(-1) ?? hash;
      const copy = after.destination.get(path)?.hash;
      check(ran.transferMode === 'move' && ran.wants(path), () => `"${path}" was deleted at the source`);
      check(copy === last, () => `LOST: "${path}" is neither at the source nor whole at the destination`);
    } else if (versions === undefined) {
      check(now.hash === hash && now.time === time, () => `"${path}" was changed at the source`);
    }
  }
  for (const path of after.source.keys()) {
    check(before.source.has(path) || ran.during.has(path), () => `"${path}" appeared at the source`);
  }
}

/** Every content that `path` had at the source around this run. */
function versionsOf(path: string, before: Moment, after: Moment, ran: Ran): (string | undefined)[] {
  return [
    before.source.get(path)?.hash,
    after.source.get(path)?.hash,
    ...(ran.during.get(path) ?? []),
  ].filter((hash) => hash !== undefined);
}

function checkArrived(before: Moment, after: Moment, ran: Ran, check: Check): void {
  for (const [path, { hash }] of after.destination) {
    if (before.destination.get(path)?.hash === hash) continue;
    // What was set aside and could not be removed: the next sync removes it like everything the source doesn't have.
    const standing = path.replace(/\.[0-9a-f]{8}\.aside(?=\/|$)/, '');
    if (ran.status !== 'success' && before.destination.get(standing)?.hash === hash) continue;
    check(ran.wants(path), () => `"${path}" was written, though the filters leave it out`);
    const isVersion = versionsOf(path, before, after, ran).includes(hash);
    check(isVersion, () => `WRONG CONTENT: "${path}" at the destination is no version the source ever had`);
  }
}

function checkDeleted(before: Moment, after: Moment, ran: Ran, check: Check): void {
  const aside = new Set<string>();
  for (const [path, { hash }] of after.destination) {
    const standing = path.replace(/\.[0-9a-f]{8}\.aside(?=\/|$)/, '');
    if (standing !== path && before.destination.get(standing)?.hash === hash) aside.add(standing);
  }
  // What a killed run had set aside is whole under another name.
  const deleted = goneAtDestination(before, after).filter((path) => !aside.has(path));
  for (const path of deleted) {
    check(ran.transferMode === 'sync', () => `a ${ran.transferMode} deleted "${path}" at the destination`);
    check(ran.wants(path), () => `"${path}" was deleted, though the filters leave it out`);
    const isAtSource = before.source.has(path) && !ran.during.get(path)?.includes(undefined);
    check(!isAtSource, () => `"${path}" was deleted at the destination, though the source has it`);
  }
  if (deleted.length === 0) return;
  check(withinLimit(deleted.length, before, ran), () => `${deleted.length} deletes passed ${ran.maxDelete}`);
  if (ran.hidesKeys) return;
  for (const [path, { hash }] of before.source) {
    if (!ran.wants(path) || ran.during.has(path)) continue;
    const isThere = after.destination.get(path)?.hash === hash;
    check(isThere, () => `DELETED TOO EARLY: ${deleted.length} files went, but "${path}" has not arrived`);
  }
}

/** Share of the files at the destination from 20 up, a number always; of hidden files no share can be known. */
function withinLimit(count: number, before: Moment, { maxDelete, wants, events, hidesKeys }: Ran): boolean {
  if (maxDelete === null || (hidesKeys && typeof maxDelete === 'string')) return true;
  const renamed = events.filter(({ event }) => event === 'rename').length;
  const due = count - renamed;
  if (typeof maxDelete === 'number') return due <= maxDelete;
  const files = [...before.destination.keys()].filter(wants).length;
  return files < 20 || due <= (Number.parseFloat(maxDelete) / 100) * files;
}

function checkBackup(before: Moment, after: Moment, ran: Ran, check: Check): void {
  const has = (moment: Moment, path: string, hash: string) =>
    moment.backup.some((kept) => kept.path === path && kept.hash === hash);
  for (const { path, hash } of before.backup) {
    check(has(after, path, hash), () => `"${path}" is gone from the backup folder`);
  }
  if (ran.transferMode === 'move' || !ran.hasBackup) {
    check(
      after.backup.length <= before.backup.length || ran.hasBackup,
      () => 'the backup folder was written to',
    );
    return;
  }
  for (const [path, { hash }] of before.destination) {
    if (after.destination.get(path)?.hash === hash) continue;
    check(has(after, path, hash), () => `"${path}" was replaced or deleted and isn't in the backup folder`);
  }
}

function checkReport(before: Moment, after: Moment, ran: Ran, check: Check): void {
  const { status, errors } = ran;
  const fits = status === 'failed' ? errors.length > 0 : status === 'aborted' || errors.length === 0;
  check(fits, () => `${status} with ${errors.length} errors`);
  check(status !== 'aborted' || ran.wasAborted, () => 'aborted, though nobody did');
  for (const { code, message } of errors) {
    check(code !== 'INTERNAL', () => `an error of our own: ${message}`);
  }
  for (const { event, path } of ran.events) {
    if (event !== 'transfer') continue;
    const there = after.destination.get(path)?.hash;
    const isTrue = there !== undefined && versionsOf(path, before, after, ran).includes(there);
    check(isTrue, () => `the log says "${path}" was transferred, but it is not there`);
  }
  if (ran.dryRun) return;
  const gone = goneAtDestination(before, after);
  const removed = ran.transferMode === 'move' ? goneAtSource(before, after, ran) : gone.length;
  check(ran.deleted <= removed, () => `the report says ${ran.deleted} deleted, ${removed} went`);
  const told = ran.events.filter(({ event }) => event === 'transfer').length;
  check(told === ran.transferred, () => `the report says ${ran.transferred} transferred, the log ${told}`);
}

function goneAtDestination(before: Moment, after: Moment): string[] {
  return [...before.destination.keys()].filter((path) => !after.destination.has(path));
}

function goneAtSource(before: Moment, after: Moment, ran: Ran): number {
  return [...before.source.keys()].filter(
    (path) => !after.source.has(path) && !ran.during.get(path)?.includes(undefined),
  ).length;
}

function checkSuccess(before: Moment, after: Moment, ran: Ran, check: Check): void {
  const { transferMode, wants, during } = ran;
  // A warning that names a file is a true word about it.
  const named = new Set(ran.warnings.map(({ path }) => path));
  for (const [path, file] of before.source) {
    if (!wants(path) || during.has(path) || named.has(path)) continue;
    const there = after.destination.get(path);
    if (ran.hidesKeys && there?.hash !== file.hash) continue;
    check(there !== undefined, () => `UNTRUE SUCCESS: "${path}" is missing at the destination`);
    if (there === undefined) continue;
    check(there.hash === file.hash, () => `UNTRUE SUCCESS: "${path}" differs at the destination`);
    const keepsTime = ran.checksum || ran.keepsTimes || isSameTime(there, file, ran.timeStep);
    check(keepsTime, () => `UNTRUE SUCCESS: "${path}" has another time at the destination`);
    const isLeft = transferMode === 'move' && after.source.has(path) && !ran.hidesKeys;
    check(!isLeft, () => `UNTRUE SUCCESS: a move left "${path}" at the source`);
  }
  if (ran.hidesKeys) return;
  if (transferMode === 'sync') {
    for (const path of after.destination.keys()) {
      const isExtra = wants(path) && !before.source.has(path) && !during.has(path);
      check(!isExtra, () => `UNTRUE SUCCESS: "${path}" is at the destination and not at the source`);
    }
  }
  checkCounts(before, after, ran, check);
}

/** As far as the store keeps it, and the local disk through Node.js: microseconds. */
export function isSameTime(one: FileState, other: FileState, step: bigint): boolean {
  if (one.time === undefined || other.time === undefined) return false;
  const difference = one.time - other.time;
  const window = step > 1_000n ? step : 1_000n;
  return difference < window && difference > -window;
}

function checkCounts(before: Moment, after: Moment, ran: Ran, check: Check): void {
  const changed = [...after.destination].filter(
    ([path, { hash }]) => before.destination.get(path)?.hash !== hash,
  ).length;
  const renamed = ran.events.filter(({ event }) => event === 'rename').length;
  const told = ran.transferred + renamed;
  if (ran.wasCalm && ran.hasHashes)
    check(told === changed, () => `${told} transfers and renames reported, ${changed} happened`);
  else check(told >= changed, () => `${told} transfers and renames reported, ${changed} happened`);
  const removed =
    ran.transferMode === 'move' ? goneAtSource(before, after, ran) : goneAtDestination(before, after).length;
  if (ran.during.size === 0) {
    check(ran.deleted === removed, () => `${ran.deleted} deletes reported, ${removed} happened`);
  }
}

function isSame(one: Snapshot, other: Snapshot): boolean {
  return one.size === other.size && [...one].every(([path, { tag }]) => other.get(path)?.tag === tag);
}
