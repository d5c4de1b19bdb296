/** RFC 4648 base32hex in lower case without padding: how rclone writes encrypted names. */

const ALPHABET = '0123456789abcdefghijklmnopqrstuv';
const DIGITS = Buffer.from(ALPHABET, 'latin1');
const NO_DIGIT = 255;

const VALUES = new Uint8Array(128).fill(NO_DIGIT);
for (let value = 0; value < ALPHABET.length; value++) {
  VALUES[ALPHABET.charCodeAt(value)] = value;
  VALUES[ALPHABET.toUpperCase().charCodeAt(value)] = value;
}

export function encodeBase32(bytes: Uint8Array): string {
  const text = Buffer.allocUnsafe(Math.ceil((bytes.length * 8) / 5));
  let position = 0;
  let bits = 0;
  let pending = 0;
  for (let index = 0; index < bytes.length; index++) {
    pending = ((pending << 8) | bytes[index]!) & 0xfff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text[position++] = DIGITS[(pending >>> bits) & 31]!;
    }
  }
  if (bits > 0) text[position++] = DIGITS[(pending << (5 - bits)) & 31]!;
  return text.toString('latin1', 0, position);
}

/** Undefined where `text` is no base32hex. Upper case is read too, as rclone does. */
export function decodeBase32(text: string): Buffer | undefined {
  // 1, 3 or 6 digits behind the last whole group can't be the end of whole bytes.
  const rest = text.length % 8;
  if (rest === 1 || rest === 3 || rest === 6) return undefined;
  const bytes = Buffer.allocUnsafe(Math.floor((text.length * 5) / 8));
  let position = 0;
  let bits = 0;
  let pending = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    const value = code < VALUES.length ? VALUES[code]! : NO_DIGIT;
    if (value === NO_DIGIT) return undefined;
    pending = ((pending << 5) | value) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[position++] = (pending >>> bits) & 255;
    }
  }
  return bytes;
}
