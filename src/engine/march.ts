/**
 * The march: two ordered listings and the state index walked side by side, so that each file meets its counterpart
 * without either side being held in memory.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { StoredObject } from '../stores/store.js';
import { compareUtf8 } from '../stores/utf8-order.js';
import type { ListedObject } from './listing.js';
import type { IndexEntry } from './state-index.js';

/** What the two sides and the index have under one key. At least one of them is there. */
export interface Meeting {
  /** Relative stored key at the remote side, folders with a slash behind it. */
  sortKey: string;
  local?: StoredObject;
  remote?: StoredObject;
  known?: IndexEntry;
  /** More objects than one fold to this key on a side: all of them. */
  collision?: StoredObject[];
  /** For a folder: whether a side has anything under it. */
  localHasContent?: boolean;
  remoteHasContent?: boolean;
}

/** One source of the merge: pages of values in order, read without waiting while a page lasts. */
class Cursor<T extends { sortKey: string }> {
  private page: readonly T[] = [];
  private position = 0;
  private finished = false;

  constructor(private readonly pages: AsyncIterator<readonly T[]>) {}

  get head(): T | undefined {
    return this.page[this.position];
  }

  /** True when the next value has to be fetched. */
  get isDry(): boolean {
    return this.position >= this.page.length && !this.finished;
  }

  take(): T {
    return this.page[this.position++]!;
  }

  async fill(): Promise<void> {
    while (this.isDry) {
      const next = await this.pages.next();
      if (next.done) this.finished = true;
      else {
        this.page = next.value;
        this.position = 0;
      }
    }
  }

  async close(): Promise<void> {
    this.finished = true;
    await this.pages.return?.();
  }
}

/** Walks local and remote side and the index together; meetings come in order, some hundred at a time. */
export async function* march(
  localPages: AsyncIterable<readonly ListedObject[]>,
  remotePages: AsyncIterable<readonly ListedObject[]>,
  indexPages: AsyncIterable<readonly IndexEntry[]>,
): AsyncGenerator<Meeting[]> {
  const local = new Cursor(localPages[Symbol.asyncIterator]());
  const remote = new Cursor(remotePages[Symbol.asyncIterator]());
  const index = new Cursor(indexPages[Symbol.asyncIterator]());
  try {
    const asked = remote.fill();
    await untilUnderWay(asked);
    await Promise.all([local.fill(), asked, index.fill()]);
    for (;;) {
      await Promise.all([local.fill(), remote.fill(), index.fill()]);
      const meetings: Meeting[] = [];
      while (!local.isDry && !remote.isDry && !index.isDry) {
        const meeting = nextMeeting(local, remote, index);
        if (meeting === undefined) {
          if (meetings.length > 0) yield meetings;
          return;
        }
        meetings.push(meeting);
        // What follows on this key or under this folder may be on the next page: look before the meeting is used.
        if (meeting.collision !== undefined || meeting.sortKey.endsWith('/')) break;
      }
      await settleLast(meetings.at(-1), local, remote);
      if (meetings.length > 0) yield meetings;
    }
  } finally {
    await Promise.allSettled([local.close(), remote.close(), index.close()]);
  }
}

/** Lets a question to the far end go out before the local side, which is read synchronously, takes the thread. */
async function untilUnderWay(asked: Promise<void>): Promise<void> {
  // What goes wrong is heard by who waits for the answer.
  asked.catch(() => {});
  // One turn for the connection, one for the question.
  await nextTurn();
  await nextTurn();
}

function nextMeeting(
  local: Cursor<ListedObject>,
  remote: Cursor<ListedObject>,
  index: Cursor<IndexEntry>,
): Meeting | undefined {
  const localKey = local.head?.sortKey;
  const remoteKey = remote.head?.sortKey;
  let sortKey = localKey;
  if (remoteKey !== undefined && (sortKey === undefined || compareUtf8(remoteKey, sortKey) < 0)) {
    sortKey = remoteKey;
  }
  const indexKey = index.head?.sortKey;
  if (indexKey !== undefined && (sortKey === undefined || compareUtf8(indexKey, sortKey) < 0)) {
    sortKey = indexKey;
  }
  if (sortKey === undefined) return undefined;
  const meeting: Meeting = { sortKey };
  if (indexKey === sortKey) meeting.known = index.take();
  if (localKey === sortKey) meeting.local = local.take().object;
  if (remoteKey === sortKey) meeting.remote = remote.take().object;
  if (local.head?.sortKey === sortKey || remote.head?.sortKey === sortKey) {
    meeting.collision = [];
  }
  return meeting;
}

/** Completes a meeting that needs to see what comes next on a side: collisions, and content of a folder. */
async function settleLast(
  meeting: Meeting | undefined,
  local: Cursor<ListedObject>,
  remote: Cursor<ListedObject>,
): Promise<void> {
  if (meeting === undefined) return;
  await Promise.all([local.fill(), remote.fill()]);
  for (const cursor of [local, remote]) {
    while (cursor.head?.sortKey === meeting.sortKey) {
      meeting.collision ??= [];
      meeting.collision.push(cursor.take().object);
      await cursor.fill();
    }
  }
  if (meeting.sortKey.endsWith('/')) {
    meeting.localHasContent = local.head?.sortKey.startsWith(meeting.sortKey) ?? false;
    meeting.remoteHasContent = remote.head?.sortKey.startsWith(meeting.sortKey) ?? false;
  }
}
