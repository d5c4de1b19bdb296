/** Whether a file on one side is the file on the other: at a glance where the listings and the index tell, else by a look. */

import { compareByHashes, hashContent } from '../stores/compare.js';
import { contentOfOpened } from '../stores/content.js';
import type { Content, StoredObject } from '../stores/store.js';
import type { Meeting } from './march.js';
import type { RunContext } from './run-context.js';
import { isSameLocalFile, isSameRemoteObject } from './state-index.js';

/** Both sides of one file. */
export interface Pair extends Meeting {
  local: StoredObject;
  remote: StoredObject;
}

export type Verdict =
  /** `md5` of the plain content where it is known. */
  | { kind: 'equal'; local: StoredObject; remote: StoredObject; md5: string }
  /** The content is equal, the time isn't. */
  | { kind: 'time-differs'; local: StoredObject; remote: StoredObject; md5: string }
  | { kind: 'different' };

/** The smallest difference of times that counts, ns: what Node can set on a local file. */
const MICROSECOND = 1_000n;

/** What can be told without any question or read. */
export function glance(run: RunContext, pair: Pair): 'equal' | 'different' | 'look' {
  const { local, remote, known } = pair;
  if (local.size !== remote.size) return 'different';
  // A move deletes its source next: the index alone is not enough for that.
  if (run.settings.transferMode === 'move') return 'look';
  if (known?.settled === true && isSameLocalFile(known, local) && isSameRemoteObject(known, remote)) {
    return 'equal';
  }
  return 'look';
}

/** Whether two times are the same as far as both sides can keep them. */
export function isSameTime(run: RunContext, a: bigint, b: bigint): boolean {
  const window = [run.local, run.remote].reduce((largest, { store }) => {
    const { precision } = store.features.modificationTime;
    return precision > largest ? precision : largest;
  }, MICROSECOND);
  const difference = a > b ? a - b : b - a;
  return difference < window || difference === 0n;
}

/** Finds out whether the pair is equal; may ask the remote side and read the local file. */
export async function look(run: RunContext, pair: Pair): Promise<Verdict> {
  const { local, known } = pair;
  if (local.size !== pair.remote.size) return { kind: 'different' };
  const isMove = run.settings.transferMode === 'move';
  const isKnownRemote = known !== undefined && isSameRemoteObject(known, pair.remote);
  if (isKnownRemote && known.md5 !== '' && !isMove) {
    // The object is the one of the last run, so its hash is known: the local content decides.
    const md5 = await localMd5(run, local);
    if (md5 !== known.md5) return { kind: 'different' };
    const isSame = isSameTime(run, local.modificationTime!, known.modificationTime);
    return {
      kind: isSame || run.settings.checksum ? 'equal' : 'time-differs',
      local,
      remote: pair.remote,
      md5,
    };
  }
  const remote = await wholeRemote(run, pair.remote, isMove);
  if (remote === undefined || remote.size !== local.size) return { kind: 'different' };
  const isSame =
    remote.modificationTime !== undefined &&
    isSameTime(run, local.modificationTime!, remote.modificationTime);
  // An object that was replaced since the last run, with size and time kept, is not believed on its time alone.
  const isReplaced = known !== undefined && known.remoteTag !== '' && !isKnownRemote;
  const md5OfRemote = remote.hashes?.md5 ?? remote.claimedHashes?.md5 ?? '';
  // A file that was touched since both were equal may have had its time put back; one that had just been changed when it
  // was looked at may have been changed once more.
  const isTouched = known !== undefined && !isSameLocalFile(known, local);
  const isDoubtful =
    isReplaced || isTouched || known?.settled === false || run.settings.provesContent === true;
  // Before a source is deleted its copy has to be proven by more than size and time, where the provider can prove it.
  const isEnough = isSame && !run.settings.checksum && !isDoubtful && !isMove;
  if (isEnough) return { kind: 'equal', local, remote, md5: md5OfRemote };
  const comparison = await compareContents(run, local, remote);
  if (comparison === 'equal') {
    const kind = isSame || run.settings.checksum ? 'equal' : 'time-differs';
    return { kind, local, remote, md5: md5OfRemote };
  }
  const isFrozen = remote.archive === 'frozen' || remote.archive === 'thawing';
  // Whoever doubts a content has it sent again where nothing proves it; but an archived one costs hours and money.
  const isDoubted = run.settings.provesContent === true && !isFrozen;
  const isUnproven = isReplaced || isTouched || isDoubted || isYoungerThanWanted(run, local);
  if (comparison === 'unknown' && isSame && !isUnproven) return { kind: 'equal', local, remote, md5: '' };
  return { kind: 'different' };
}

/** Written after the moment that is asked for: where no hash tells, its size and time prove nothing. */
function isYoungerThanWanted({ settings: { asOf } }: RunContext, { identity }: StoredObject): boolean {
  return asOf !== undefined && identity !== undefined && identity.changeTime > BigInt(asOf) * 1_000_000n;
}

/** The remote object with the time and hashes that a listing may lack. */
async function wholeRemote(
  run: RunContext,
  remote: StoredObject,
  wantsAnswer: boolean,
): Promise<StoredObject | undefined> {
  const isEnough = remote.modificationTime !== undefined && !run.settings.checksum;
  if (isEnough && !wantsAnswer) return remote;
  const { versionId } = run.settings.asOf === undefined ? {} : remote;
  return run.remote.store.head(remote.key, { versionId, signal: run.signal });
}

async function compareContents(run: RunContext, local: StoredObject, remote: StoredObject) {
  return withLocalContent(run, local, (content) => {
    const { store } = run.remote;
    const compare = store.compareContent?.bind(store) ?? compareByHashes;
    return compare(remote, content, { claims: true }, run.signal);
  });
}

/** MD5 of a local file that stays the same while it is read; throws CHANGED otherwise. */
export async function localMd5(run: RunContext, local: StoredObject): Promise<string> {
  return withLocalContent(run, local, async (content) => {
    const { md5 } = await hashContent(content, ['md5'], run.signal);
    return md5!;
  });
}

/** Hands over the content of a local file and makes sure that it was the same all the while. */
export async function withLocalContent<T>(
  run: RunContext,
  local: StoredObject,
  use: (content: Content) => Promise<T>,
): Promise<T> {
  const opened = await run.local.store.open(local.key, { signal: run.signal });
  try {
    const result = await use(contentOfOpened(opened));
    await opened.confirmUnchanged();
    return result;
  } finally {
    await opened.close();
  }
}
