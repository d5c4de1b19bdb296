/**
 * NaCl's secretbox (XSalsa20-Poly1305): by libsodium where its binding can be loaded, else in JavaScript, about ten
 * times slower. Both give the same bytes.
 */

import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js';

/** Bytes a box is longer than its message: the Poly1305 tag, which stands in front. */
export const TAG_SIZE = 16;
export const NONCE_SIZE = 24;
export const KEY_SIZE = 32;

export interface Secretbox {
  readonly implementation: 'sodium-native' | 'portable';
  /**
   * Writes the box of `message` into `box` (`message.length + TAG_SIZE` bytes). In place where `message` is
   * `box.subarray(TAG_SIZE)`.
   */
  seal(box: Uint8Array, message: Uint8Array, nonce: Uint8Array, key: Uint8Array): void;
  /**
   * Writes what is in `box` into `message` (`box.length - TAG_SIZE` bytes). False, and nothing usable in `message`, where
   * the tag doesn't fit. In place where `message` is `box.subarray(TAG_SIZE)`.
   */
  open(message: Uint8Array, box: Uint8Array, nonce: Uint8Array, key: Uint8Array): boolean;
}

/** What is used of sodium-native. */
interface SodiumBinding {
  crypto_secretbox_easy(box: Uint8Array, message: Uint8Array, nonce: Uint8Array, key: Uint8Array): void;
  crypto_secretbox_open_easy(
    message: Uint8Array,
    box: Uint8Array,
    nonce: Uint8Array,
    key: Uint8Array,
  ): boolean;
}

/** secretbox in JavaScript (@noble/ciphers). */
export const portableSecretbox: Secretbox = {
  implementation: 'portable',
  seal(box, message, nonce, key) {
    box.set(xsalsa20poly1305(key, nonce).encrypt(message));
  },
  open(message, box, nonce, key) {
    try {
      message.set(xsalsa20poly1305(key, nonce).decrypt(box));
      return true;
    } catch {
      return false;
    }
  },
};

function sodiumSecretbox(sodium: SodiumBinding): Secretbox {
  return {
    implementation: 'sodium-native',
    seal: (box, message, nonce, key) => sodium.crypto_secretbox_easy(box, message, nonce, key),
    open: (message, box, nonce, key) => sodium.crypto_secretbox_open_easy(message, box, nonce, key),
  };
}

/** Whether the binding computes what it should: a binary for another platform may load and be wrong. */
function agrees(candidate: Secretbox): boolean {
  const key = new Uint8Array(KEY_SIZE).fill(1);
  const nonce = new Uint8Array(NONCE_SIZE).fill(2);
  const message = new Uint8Array(100).fill(3);
  const expected = new Uint8Array(message.length + TAG_SIZE);
  const box = new Uint8Array(message.length + TAG_SIZE);
  portableSecretbox.seal(expected, message, nonce, key);
  candidate.seal(box, message, nonce, key);
  return Buffer.from(box).equals(expected) && candidate.open(box.subarray(TAG_SIZE), box, nonce, key);
}

/** The fastest implementation there is; `load` gives the sodium-native module or throws. */
export function chooseSecretbox(load: () => unknown): Secretbox {
  try {
    const native = sodiumSecretbox(load() as SodiumBinding);
    if (agrees(native)) return native;
  } catch {
    // An optional dependency: no binary for this platform, or not installed.
  }
  return portableSecretbox;
}

let chosen: Secretbox | undefined;

/** The implementation in use, loaded at the first call. */
export function secretbox(): Secretbox {
  chosen ??= chooseSecretbox(() => require('sodium-native'));
  return chosen;
}
