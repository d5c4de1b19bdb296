/** The keys of an encrypted remote and what is done with them: rclone's crypt format. */

import { createHmac } from 'node:crypto';
import { EmeCipher } from './eme.js';
import { deriveKeys, type EncryptionKeys } from './key-derivation.js';
import { encryptedNameCipher, type NameCipher, plainNames } from './names.js';
import { secretbox } from './secretbox.js';

export interface CipherOptions {
  /** As the user typed it. */
  password: string;
  /** As the user typed it; empty: rclone's own. */
  salt?: string;
  /** rclone's filename_encryption: true `standard` (folder names too), false `off`. */
  filenameEncryption: boolean;
}

export class Cipher {
  readonly filenameEncryption: boolean;
  readonly names: NameCipher;
  /**
   * Tells remotes apart without telling the key: 32 hex digits, the same for the same password, salt and mode.
   */
  readonly fingerprint: string;
  /** Whether something has been decrypted with this key: from then on a box that doesn't open is a damaged one. */
  isConfirmed = false;
  // Private to the language, so that no log or inspection shows it.
  readonly #dataKey: Uint8Array;
  readonly #box = secretbox();

  constructor(keys: EncryptionKeys, filenameEncryption: boolean) {
    this.#dataKey = Buffer.from(keys.dataKey);
    this.filenameEncryption = filenameEncryption;
    this.names = filenameEncryption
      ? encryptedNameCipher(new EmeCipher(keys.nameKey, keys.nameTweak))
      : plainNames;
    this.fingerprint = createHmac('sha256', Buffer.concat([keys.dataKey, keys.nameKey, keys.nameTweak]))
      .update(`fingerprint of an encrypted remote, names ${filenameEncryption ? 'standard' : 'off'}`)
      .digest('hex')
      .slice(0, 32);
  }

  /** Writes the box of `message` into `box`, 16 bytes longer; in place where it is `box.subarray(16)`. */
  seal(box: Uint8Array, message: Uint8Array, nonce: Uint8Array): void {
    this.#box.seal(box, message, nonce, this.#dataKey);
  }

  /** False where `box` wasn't sealed with this key and nonce. */
  open(message: Uint8Array, box: Uint8Array, nonce: Uint8Array): boolean {
    const opened = this.#box.open(message, box, nonce, this.#dataKey);
    if (opened) this.isConfirmed = true;
    return opened;
  }
}

/** The cipher for a password. Throws INVALID_INPUT (`encryptionPassword`) where it is empty. */
export async function createCipher(options: CipherOptions): Promise<Cipher> {
  return new Cipher(await deriveKeys(options.password, options.salt), options.filenameEncryption);
}
