/** Saying at once, before anything is written, that a password is the wrong one. */

import { CloudSyncError, hasCode, throwIfAborted } from '../../errors.js';
import { mapPath, providerNames } from '../names.js';
import type { OpenedObject, Store, StoredObject } from '../store.js';
import type { Cipher } from './cipher.js';
import { DecryptedReader } from './decrypt.js';
import { BLOCK_DATA_SIZE, BOX_SIZE, HEADER_SIZE, possibleDecryptedSize } from './format.js';
import { encryptedNames } from './names.js';

/** Objects read before a password is called wrong: one or two of them may be damaged or another program's. */
const READ_AT_MOST = 3;
/** Objects opened, other programs' included. */
const OPENED_AT_MOST = 20;
/** Reads of one object until two of them are the same. */
const READS_TO_AGREE = 3;
/** Entries looked at before it is said that nothing here can tell. */
const LIST_AT_MOST = 3000;

/** `confirmed`: something there was opened. `nothing encrypted`: nothing there could tell. */
export type PasswordCheck = 'confirmed' | 'nothing encrypted';

/**
 * Opens the first block of one of the objects below `prefix` in the store that holds them encrypted, or, where none can
 * be read (all empty or archived), a name.
 * Throws WRONG_PASSWORD (`encryptionPassword`) where there are encrypted objects and none of those tried opens;
 * INVALID_INPUT (`filenameEncryption`) where they open, but their names were stored the other way.
 *
 * @param asOf the store as it was then (ms since the epoch): what has become of it since tells nothing
 */
export async function checkPassword(
  store: Store,
  prefix: string,
  cipher: Cipher,
  signal?: AbortSignal,
  asOf?: number,
): Promise<PasswordCheck> {
  const seen = new NamesSeen(store, prefix, cipher);
  let read = 0;
  let opened = 0;
  let listed = 0;
  for await (const page of store.list({ prefix, asOf, signal })) {
    for (const entry of page) {
      throwIfAborted(signal);
      if (entry.kind !== 'file' || possibleDecryptedSize(entry.size) === undefined) continue;
      seen.add(entry);
      const isReadable =
        entry.size > HEADER_SIZE && entry.archive !== 'frozen' && entry.archive !== 'thawing';
      if (!isReadable || cipher.isConfirmed || read >= READ_AT_MOST || opened >= OPENED_AT_MOST) continue;
      opened++;
      const versionId = asOf === undefined ? undefined : entry.versionId;
      if (await couldHaveOpened(store, { ...entry, versionId }, cipher, signal)) read++;
    }
    listed += page.length;
    const isDecided = cipher.isConfirmed || read >= READ_AT_MOST || opened >= OPENED_AT_MOST;
    if ((isDecided && seen.count > 0) || listed >= LIST_AT_MOST) break;
  }
  if (cipher.isConfirmed) {
    if (seen.count > 0 && seen.decrypted === 0) throw wrongNames(cipher);
    return 'confirmed';
  }
  if (read > 0 || (cipher.filenameEncryption && seen.looksEncrypted && seen.decrypted === 0)) {
    throw new CloudSyncError(
      'WRONG_PASSWORD',
      'The files there were encrypted with another password or salt',
      {
        field: 'encryptionPassword',
        advice: 'Enter the password and salt they were encrypted with, or choose another folder.',
      },
    );
  }
  return cipher.filenameEncryption && seen.decrypted > 0 ? 'confirmed' : 'nothing encrypted';
}

/**
 * Tries to open the first block of `entry`, of its version where it names one; the cipher remembers success. Whether the
 * right password would have opened it: false for what is damaged, archived, gone or in another format.
 * Throws CHECKSUM_MISMATCH where what comes is never twice the same.
 */
async function couldHaveOpened(
  store: Store,
  entry: StoredObject,
  cipher: Cipher,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  // Garbled on its way, an answer looks as if the password were wrong: only what comes twice is what is stored.
  let before: Buffer | undefined;
  for (let attempt = 1; attempt <= READS_TO_AGREE; attempt++) {
    const { outcome, bytes } = await openFirstBlock(store, entry, cipher, signal);
    if (outcome === 'opened') return true;
    if (outcome === 'unreadable') return false;
    if (before?.equals(bytes)) return outcome === 'wrong password';
    before = bytes;
  }
  throw new CloudSyncError('CHECKSUM_MISMATCH', 'The file comes with other bytes each time it is read', {
    path: entry.key,
    advice: 'Something on the way to the storage garbles what is sent: check network, proxy and endpoint.',
  });
}

async function openFirstBlock(
  store: Store,
  entry: StoredObject,
  cipher: Cipher,
  signal: AbortSignal | undefined,
): Promise<{ outcome: 'opened' | 'wrong password' | 'damaged' | 'unreadable'; bytes: Buffer }> {
  const seen: Buffer[] = [];
  try {
    const firstRead = { offset: 0, length: Math.min(entry.size, HEADER_SIZE + BOX_SIZE) };
    const opened = await store.open(entry.key, { firstRead, versionId: entry.versionId, signal });
    try {
      const reader = new DecryptedReader(cipher, noting(opened, seen));
      for await (const _chunk of reader.read(0, Math.min(reader.size, BLOCK_DATA_SIZE), signal));
      return { outcome: 'opened', bytes: Buffer.concat(seen) };
    } finally {
      await opened.close();
    }
  } catch (error) {
    const bytes = Buffer.concat(seen);
    if (hasCode(error, 'WRONG_PASSWORD')) return { outcome: 'wrong password', bytes };
    if (hasCode(error, 'CHECKSUM_MISMATCH')) return { outcome: 'damaged', bytes };
    if (hasCode(error, 'ARCHIVED', 'NOT_FOUND', 'CHANGED', 'RESTRICTED_CONTENT')) {
      return { outcome: 'unreadable', bytes };
    }
    throw error;
  }
}

/** `opened`, the bytes that are read from it kept in `seen`. */
function noting(opened: OpenedObject, seen: Buffer[]): OpenedObject {
  return {
    object: opened.object,
    async *read(offset, length, signal) {
      for await (const chunk of opened.read(offset, length, signal)) {
        seen.push(Buffer.from(chunk));
        yield chunk;
      }
    },
    confirmUnchanged: () => opened.confirmUnchanged(),
    close: () => opened.close(),
  };
}

/** What the names below a prefix tell. */
class NamesSeen {
  count = 0;
  decrypted = 0;
  /** Some name has the form of an encrypted one. */
  looksEncrypted = false;
  private readonly names;

  constructor(
    store: Store,
    private readonly prefix: string,
    cipher: Cipher,
  ) {
    // Reading needs no limits.
    this.names = encryptedNames(cipher, providerNames({ encoding: store.features.names.encoding }));
  }

  add({ key }: StoredObject): void {
    const relative = key.slice(this.prefix.length);
    this.count++;
    // 26 digits of base32hex are the shortest encrypted name, one block.
    this.looksEncrypted ||= /(^|\/)[0-9a-v]{26,}$/.test(relative);
    try {
      mapPath(relative, 'file', (name, kind) => this.names.fromStored(name, kind));
      this.decrypted++;
    } catch (error) {
      if (!hasCode(error, 'INVALID_NAME')) throw error;
    }
  }
}

function wrongNames(cipher: Cipher): CloudSyncError {
  const found = cipher.filenameEncryption ? 'without' : 'with';
  return new CloudSyncError('INVALID_INPUT', `The files there were stored ${found} encrypted names`, {
    field: 'filenameEncryption',
    advice: `Turn the encryption of names ${cipher.filenameEncryption ? 'off' : 'on'}, or choose another folder.`,
  });
}
