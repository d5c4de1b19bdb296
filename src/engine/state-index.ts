/**
 * The state index of a task: how each file looked on both sides when they were last known to be equal. One text file
 * in the order of the merge, and a journal of the run in progress that is merged into it.
 *
 * An entry justifies leaving a file alone only if everything it recorded still holds; it never justifies a delete.
 * Lost, stale or corrupt, the index is ignored and built anew.
 */

import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { throwIfAborted } from '../errors.js';
import type { StoredObject } from '../stores/store.js';
import { compareUtf8 } from '../stores/utf8-order.js';
import { ExternalSort, readLines, type SortedLines } from './external-sort.js';
import { remoteTag } from './location.js';

export interface IndexEntry {
  sortKey: string;
  /** Bytes of the plain content. */
  size: bigint | number;
  /** ns since the epoch, local. */
  modificationTime: bigint;
  changeTime: bigint;
  inode: bigint;
  /** ETag, generation or revision of the remote object. */
  remoteTag: string;
  /** MD5 of the plain content, hexadecimal; '' where it was never computed. */
  md5: string;
  /**
   * False where the file had been changed so shortly before it was read that a later change could carry the same times:
   * its content has to be compared once more.
   */
  settled: boolean;
}

const FORMAT = 'cloud-sync-index 1';
/** Lines between two check sums. */
const BLOCK = 1_000;
/** A change within this time of the read may leave no trace in the times: ns. */
const UNSETTLED_TIME = 2_000_000_000n;

/** What was recorded is handed on after so many lines or so much time (ms), whichever comes first. */
const FLUSH_LINES = 200;
const FLUSH_INTERVAL = 500;

/** So long may merging hold the event loop, ms. */
const BREATH_MS = 50;

const FIELDS = 8;

/** Tabs and line ends would end a field; `#` begins the line of a check sum. */
function encodeKey(key: string): string {
  const text = /[\\\t\n]/.test(key)
    ? key.replace(/[\\\t\n]/g, (found) => (found === '\\' ? '\\\\' : found === '\t' ? '\\t' : '\\n'))
    : key;
  return text.startsWith('#') ? `\\${text}` : text;
}

function decodeKey(text: string): string {
  return text.includes('\\')
    ? text.replace(/\\(.)/g, (_, letter: string) => (letter === 't' ? '\t' : letter === 'n' ? '\n' : letter))
    : text;
}

function encodeEntry(entry: IndexEntry): string {
  return `${encodeKey(entry.sortKey)}\t${entry.size}\t${entry.modificationTime}\t${entry.changeTime}\t${entry.inode}\t${encodeKey(entry.remoteTag)}\t${entry.md5}\t${entry.settled ? 1 : 0}`;
}

function decodeEntry(line: string): IndexEntry {
  const fields = line.split('\t');
  if (fields.length !== FIELDS) throw new Error('a line of the index has the wrong number of fields');
  return {
    sortKey: decodeKey(fields[0]!),
    size: Number(fields[1]),
    modificationTime: BigInt(fields[2]!),
    changeTime: BigInt(fields[3]!),
    inode: BigInt(fields[4]!),
    remoteTag: decodeKey(fields[5]!),
    md5: fields[6]!,
    settled: fields[7] === '1',
  };
}

/** {@link encodeEntry}'s lines; anything else is half a line. */
const WHOLE_ENTRY = /^[^\t]+\t\d+\t-?\d+\t-?\d+\t\d+\t[^\t]*\t[0-9a-f]*\t[01]$/;

/** Only the key of a line, which is all that merging needs. */
function keyOfEntry(line: string): string {
  return decodeKey(line.slice(0, line.indexOf('\t')));
}

/** In the journal: an entry as it stands in the index, or a key that is gone. */
interface JournalRecord {
  sortKey: string;
  entry?: string;
}

const JOURNAL_LINES: SortedLines<JournalRecord> = {
  compare: (a, b) => compareUtf8(a.sortKey, b.sortKey),
  encode: ({ sortKey, entry }) => (entry === undefined ? `-${encodeKey(sortKey)}` : `+${entry}`),
  decode: (line) => {
    const text = line.slice(1);
    return line.startsWith('-') ? { sortKey: decodeKey(text) } : { sortKey: keyOfEntry(text), entry: text };
  },
};

/** An entry for two sides just found or made equal; `readAt` is when the local file was looked at, ms since the epoch. */
export function indexEntry(
  sortKey: string,
  local: StoredObject,
  remote: StoredObject,
  md5: string,
  readAt: number,
): IndexEntry {
  const identity = local.identity!;
  const modificationTime = local.modificationTime!;
  const settledBefore = BigInt(Math.floor(readAt)) * 1_000_000n - UNSETTLED_TIME;
  return {
    sortKey,
    size: local.size,
    modificationTime,
    changeTime: identity.changeTime,
    inode: identity.inode,
    remoteTag: remoteTag(remote),
    md5,
    settled: modificationTime < settledBefore && identity.changeTime < settledBefore,
  };
}

/** Whether the local file is in every recorded respect the one of the entry. */
export function isSameLocalFile(entry: IndexEntry, local: StoredObject): boolean {
  return (
    entry.size === local.size &&
    entry.modificationTime === local.modificationTime &&
    entry.changeTime === local.identity?.changeTime &&
    entry.inode === local.identity?.inode
  );
}

/** Whether the remote object is the one of the entry. */
export function isSameRemoteObject(entry: IndexEntry, remote: StoredObject): boolean {
  const tag = remoteTag(remote);
  return tag !== '' && entry.remoteTag === tag && entry.size === remote.size;
}

export class StateIndex {
  private readonly file: string;
  private readonly journalFile: string;
  private readonly header: string;
  private journal: number | undefined;
  private pending: string[] = [];
  private flushedAt = 0;
  private hasChanges = false;

  /**
   * @param folder this task's folder of state
   * @param binding everything the entries depend on (provider, endpoint, bucket, folder, local path and device,
   *   encryption, filter); with another binding the index is another one
   * @param readOnly leaves everything as it is: another run may be writing it
   */
  constructor(
    private readonly folder: string,
    binding: readonly string[],
    private readonly readOnly = false,
  ) {
    this.file = join(folder, 'index');
    this.journalFile = join(folder, 'index.journal');
    this.header = `${FORMAT} ${createHash('sha256').update(JSON.stringify(binding)).digest('hex')}`;
  }

  /**
   * Takes up what an interrupted run left in its journal. Call it before {@link pages}. Throws ABORTED where `signal` fires
   * meanwhile; the journal stays.
   */
  async recover(signal?: AbortSignal): Promise<void> {
    if (this.readOnly || !existsSync(this.journalFile)) return;
    if (headerOf(this.journalFile) === this.header) await this.mergeJournal(signal);
    rmSync(this.journalFile, { force: true });
  }

  /** Whether an earlier run left anything. */
  get hasEntries(): boolean {
    return existsSync(this.file);
  }

  /** All entries in order; ends early where the file is damaged. */
  async *pages(): AsyncGenerator<IndexEntry[]> {
    for (const block of this.blocks()) {
      try {
        yield block.map(decodeEntry);
      } catch {
        return;
      }
    }
  }

  /** The lines of all entries, as far as their check sums are right. */
  private *blocks(): Generator<string[]> {
    if (!existsSync(this.file)) return;
    let isFirst = true;
    let block: string[] = [];
    for (const lines of readLines(this.file)) {
      for (const line of lines) {
        if (isFirst) {
          if (line !== this.header) return;
          isFirst = false;
        } else if (line.startsWith('#')) {
          if (line !== `#${crc32(textOf(block))}`) return;
          yield block;
          block = [];
        } else block.push(line);
      }
    }
  }

  /** Both sides are equal now. */
  record(entry: IndexEntry): void {
    this.append(`+${encodeEntry(entry)}`);
  }

  /** Nothing is known of this key any more. */
  forget(sortKey: string): void {
    this.append(`-${encodeKey(sortKey)}`);
  }

  private append(line: string): void {
    this.hasChanges = true;
    this.pending.push(line);
    const isDue = performance.now() - this.flushedAt > FLUSH_INTERVAL;
    if (this.pending.length >= FLUSH_LINES || isDue) this.flush();
  }

  /** Hands what was recorded to the operating system, so that it outlives this process. */
  flush(): void {
    this.flushedAt = performance.now();
    if (this.pending.length === 0) return;
    if (this.journal === undefined) {
      mkdirSync(this.folder, { recursive: true, mode: 0o700 });
      this.journal = openSync(this.journalFile, 'a', 0o600);
      writeSync(this.journal, `${this.header}\n`);
    }
    writeSync(this.journal, `${this.pending.join('\n')}\n`);
    this.pending = [];
  }

  /**
   * Merges the journal into the index. The index on disk is the old or the new one, never a part. A run that is stopped
   * leaves that to the next one's {@link recover}: with a million files it takes longer than who stops it should wait.
   */
  async finish(signal?: AbortSignal): Promise<void> {
    this.flush();
    if (this.journal !== undefined) closeSync(this.journal);
    this.journal = undefined;
    if (!this.hasChanges) return;
    try {
      await this.mergeJournal(signal);
    } catch (error) {
      if (signal?.aborted) return;
      throw error;
    }
    rmSync(this.journalFile, { force: true });
  }

  private async mergeJournal(signal: AbortSignal | undefined): Promise<void> {
    const breath = new Breath(signal);
    const sort = new ExternalSort<JournalRecord>(join(this.folder, 'index-sort'), JOURNAL_LINES);
    try {
      for (const lines of readLines(this.journalFile)) {
        for (const line of lines) if (isWholeRecord(line)) sort.add(JOURNAL_LINES.decode(line));
        await breath.take();
      }
      await this.write(mergeRecords(this.blocks(), lastOfEach(sort.sorted())), breath);
    } finally {
      sort.dispose();
    }
  }

  private async write(entries: Iterable<string>, breath: Breath): Promise<void> {
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    const temporary = `${this.file}.new`;
    const file = await open(temporary, 'w', 0o600);
    try {
      writeSync(file.fd, `${this.header}\n`);
      let block: string[] = [];
      for (const entry of entries) {
        if (block.length === BLOCK) {
          writeBlock(file.fd, block);
          block = [];
          await breath.take();
        }
        block.push(entry);
      }
      if (block.length > 0) writeBlock(file.fd, block);
      await file.sync();
    } finally {
      await file.close();
    }
    renameSync(temporary, this.file);
  }
}

/** Lets the event loop turn now and then in a long piece of work, so that who stops it is heard. */
class Breath {
  private lastAt = performance.now();

  constructor(private readonly signal: AbortSignal | undefined) {}

  /** Throws ABORTED. */
  async take(): Promise<void> {
    throwIfAborted(this.signal);
    if (performance.now() - this.lastAt < BREATH_MS) return;
    await setImmediate();
    this.lastAt = performance.now();
    throwIfAborted(this.signal);
  }
}

function writeBlock(descriptor: number, block: readonly string[]): void {
  const text = textOf(block);
  writeSync(descriptor, `${text}#${crc32(text)}\n`);
}

/** False for half a line after a power cut, and for the header: that file will be looked at again, nothing worse. */
function isWholeRecord(line: string): boolean {
  return line.startsWith('+') ? WHOLE_ENTRY.test(line.slice(1)) : line.startsWith('-');
}

function textOf(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`;
}

function headerOf(file: string): string {
  for (const lines of readLines(file)) return lines[0]!;
  return '';
}

function* lastOfEach(pages: Iterable<JournalRecord[]>): Generator<JournalRecord> {
  let last: JournalRecord | undefined;
  for (const page of pages) {
    for (const record of page) {
      if (last !== undefined && last.sortKey !== record.sortKey) yield last;
      last = record;
    }
  }
  if (last !== undefined) yield last;
}

/** The old entries with the records applied, in order. */
function* mergeRecords(blocks: Iterable<string[]>, records: Iterator<JournalRecord>): Generator<string> {
  let record = records.next();
  for (const block of blocks) {
    for (const entry of block) {
      const sortKey = keyOfEntry(entry);
      while (!record.done && compareUtf8(record.value.sortKey, sortKey) < 0) {
        if (record.value.entry !== undefined) yield record.value.entry;
        record = records.next();
      }
      if (!record.done && record.value.sortKey === sortKey) continue;
      yield entry;
    }
  }
  while (!record.done) {
    if (record.value.entry !== undefined) yield record.value.entry;
    record = records.next();
  }
}
