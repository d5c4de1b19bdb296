/** From a password to keys, and rclone's way of writing passwords into its configuration. */

import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { CloudSyncError } from '../../errors.js';

/** What encrypts a remote: all of it from password and salt. */
export interface EncryptionKeys {
  /** 32 bytes: secretbox over the content. */
  dataKey: Buffer;
  /** 32 bytes: AES-256 in EME over the names. */
  nameKey: Buffer;
  /** 16 bytes: EME's tweak. */
  nameTweak: Buffer;
}

const DATA_KEY_SIZE = 32;
const NAME_KEY_SIZE = 32;
const NAME_TWEAK_SIZE = 16;

/** rclone's salt where the user gave none (backend/crypt/cipher.go, `defaultSalt`). */
const DEFAULT_SALT = Buffer.from('a80df43a8fbd0308a7cab83e581f86b1', 'hex');

/** scrypt with N = 16384, r = 8, p = 1, as in rclone's `Cipher.Key`. Takes 16 MiB and some 50 ms, off the event loop. */
const SCRYPT_COST = { N: 16384, r: 8, p: 1 };

/**
 * The keys of `password` and `salt`, both as the user typed them (UTF-8); an empty salt is rclone's own.
 * Throws INVALID_INPUT where the password is empty: an empty one must never mean keys of zeros.
 */
export async function deriveKeys(password: string, salt = ''): Promise<EncryptionKeys> {
  if (typeof password !== 'string' || password === '') {
    throw new CloudSyncError('INVALID_INPUT', 'Encryption is on but there is no encryption password', {
      field: 'encryptionPassword',
      advice: 'Enter the password again, or turn encryption off.',
    });
  }
  const size = DATA_KEY_SIZE + NAME_KEY_SIZE + NAME_TWEAK_SIZE;
  const saltBytes = salt === '' ? DEFAULT_SALT : Buffer.from(salt, 'utf8');
  const key = await new Promise<Buffer>((resolve, reject) => {
    scrypt(Buffer.from(password, 'utf8'), saltBytes, size, SCRYPT_COST, (error, derived) =>
      error === null ? resolve(derived) : reject(error),
    );
  });
  return {
    dataKey: key.subarray(0, DATA_KEY_SIZE),
    nameKey: key.subarray(DATA_KEY_SIZE, DATA_KEY_SIZE + NAME_KEY_SIZE),
    nameTweak: key.subarray(DATA_KEY_SIZE + NAME_KEY_SIZE),
  };
}

/** rclone's published key (fs/config/obscure/obscure.go): hides passwords from a glance, not from an attacker. */
const OBSCURE_KEY = Buffer.from('9c935b48730a554d6bfd7c63c886a92bd390198eb8128afbf4de162b8b95f638', 'hex');
const OBSCURE_IV_SIZE = 16;

/** `password` as rclone's configuration holds it: AES-256-CTR under a published key, base64url without padding. */
export function obscure(password: string): string {
  const iv = randomBytes(OBSCURE_IV_SIZE);
  const cipher = createCipheriv('aes-256-ctr', OBSCURE_KEY, iv);
  return Buffer.concat([iv, cipher.update(password, 'utf8'), cipher.final()]).toString('base64url');
}

/** The password that `obscured` stands for; INVALID_INPUT where it isn't one of rclone's. */
export function reveal(obscured: string): string {
  const bytes = Buffer.from(obscured, 'base64url');
  if (!/^[\w-]+$/.test(obscured) || bytes.length < OBSCURE_IV_SIZE) {
    throw new CloudSyncError('INVALID_INPUT', 'Not a password as rclone obscures it', {
      field: 'encryptionPassword',
    });
  }
  const decipher = createDecipheriv('aes-256-ctr', OBSCURE_KEY, bytes.subarray(0, OBSCURE_IV_SIZE));
  const plain = Buffer.concat([decipher.update(bytes.subarray(OBSCURE_IV_SIZE)), decipher.final()]);
  return plain.toString('utf8');
}
