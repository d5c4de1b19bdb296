/** Names of an encrypted remote, as rclone's crypt writes them: `standard` and `off` of its filename_encryption. */

import { CloudSyncError, hasCode } from '../../errors.js';
import { type NameKind, type NameMapping, standardFromBytes, standardToBytes } from '../names.js';
import { decodeBase32, encodeBase32 } from './base32.js';
import { BLOCK_SIZE, type EmeCipher } from './eme.js';
import { addVersionSuffix, removeVersionSuffix } from './version-suffix.js';

/** What content with a plain name gets, so that no provider takes it for what its name says. */
const PLAIN_NAME_SUFFIX = '.bin';
/** EME's limit, less the padding of at least one byte. */
const MAX_NAME_BYTES = 2047;

/** Encrypts single segments under one key. Names here are standard names (see `../names.ts`). */
export interface NameCipher {
  /** Throws NAME_TOO_LONG. */
  encrypt(name: string, kind: NameKind): string;
  /** Throws INVALID_NAME where it wasn't encrypted under this key. */
  decrypt(name: string, kind: NameKind): string;
}

/** Content encrypted, names plain: files get `.bin`. */
export const plainNames: NameCipher = {
  encrypt: (name, kind) => (kind === 'file' ? name + PLAIN_NAME_SUFFIX : name),
  decrypt(name, kind) {
    if (kind !== 'file') return name;
    const plain = name.endsWith(PLAIN_NAME_SUFFIX) ? name.slice(0, -PLAIN_NAME_SUFFIX.length) : '';
    if (plain === '') throw undecryptable(name, `"${name}" is no encrypted file: it doesn't end in .bin`);
    return checkedName(name, plain);
  },
};

/** Names encrypted too: PKCS#7 to 16 bytes, EME, base32hex. */
export function encryptedNameCipher(eme: EmeCipher): NameCipher {
  const encryptWhole = (name: string): string => (name === '' ? '' : encodeBase32(eme.encrypt(padded(name))));
  const decryptWhole = (stored: string, name: string): string => {
    if (stored === '') return '';
    const box = decodeBase32(stored);
    if (box === undefined || box.length % BLOCK_SIZE !== 0 || box.length > MAX_NAME_BYTES + 1) {
      throw undecryptable(name, `"${name}" is no encrypted name`);
    }
    const bytes = unpadded(eme.decrypt(box));
    if (bytes === undefined) throw undecryptable(name, `"${name}" was encrypted with another password`);
    return standardFromBytes(bytes);
  };
  return {
    encrypt(name, kind) {
      const version = kind === 'file' ? removeVersionSuffix(name) : undefined;
      // `-v2024-…-000.jpg` would come back as `.jpg-v2024-…-000`: such a name is encrypted whole, which rclone reads too.
      if (version === undefined || addVersionSuffix(version.name, version.suffix) !== name) {
        return encryptWhole(name);
      }
      return addVersionSuffix(encryptWhole(version.name), version.suffix);
    },
    decrypt(stored) {
      const version = removeVersionSuffix(stored);
      if (version === undefined) return checkedName(stored, decryptWhole(stored, stored));
      return checkedName(stored, addVersionSuffix(decryptWhole(version.name, stored), version.suffix));
    },
  };
}

function padded(name: string): Buffer {
  const bytes = standardToBytes(name);
  if (bytes.length > MAX_NAME_BYTES) {
    throw new CloudSyncError('NAME_TOO_LONG', `The name is ${bytes.length} bytes long`, { path: name });
  }
  const padding = BLOCK_SIZE - (bytes.length % BLOCK_SIZE);
  return Buffer.concat([bytes, Buffer.alloc(padding, padding)]);
}

function unpadded(bytes: Buffer): Buffer | undefined {
  const padding = bytes[bytes.length - 1]!;
  if (padding === 0 || padding > BLOCK_SIZE) return undefined;
  for (let index = bytes.length - padding; index < bytes.length; index++) {
    if (bytes[index] !== padding) return undefined;
  }
  return bytes.subarray(0, bytes.length - padding);
}

/** No encrypted name of ours or rclone's stands for one of these; they come of garbage or of an attacker. */
function checkedName(stored: string, name: string): string {
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) {
    throw undecryptable(stored, `"${stored}" stands for a name that no file can have`);
  }
  return name;
}

function undecryptable(path: string, message: string): CloudSyncError {
  return new CloudSyncError('INVALID_NAME', message, {
    path,
    advice: 'It was put there without encryption or with another password, and is left alone.',
  });
}

/**
 * Names encrypted by the names of `cipher`, then written as `inner` writes them (the provider's own encoding).
 * `toStored` throws NAME_TOO_LONG where the encrypted name passes the provider's limit: with 255 bytes per name, plain
 * names may have 143.
 */
export function encryptedNames(cipher: { names: NameCipher }, inner: NameMapping): NameMapping {
  return {
    toStored(name, kind) {
      try {
        return inner.toStored(cipher.names.encrypt(name, kind), kind);
      } catch (error) {
        if (!hasCode(error, 'NAME_TOO_LONG')) throw error;
        const message = `The name is too long to be stored encrypted (${standardToBytes(name).length} bytes)`;
        throw new CloudSyncError('NAME_TOO_LONG', message, {
          path: name,
          advice: 'Give it a shorter name; up to 143 bytes fit everywhere.',
          cause: error,
        });
      }
    },
    fromStored: (name, kind) => cipher.names.decrypt(inner.fromStored(name, kind), kind),
  };
}
