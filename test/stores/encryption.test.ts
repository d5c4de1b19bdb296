import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { hasCode } from '../../src/errors.js';
import { contentOfBytes, readAll } from '../../src/stores/content.js';
import { type Cipher, createCipher } from '../../src/stores/encryption/cipher.js';
import { decryptedContent } from '../../src/stores/encryption/decrypt.js';
import { encryptedContent } from '../../src/stores/encryption/encrypt.js';
import {
  BLOCK_DATA_SIZE,
  blockNonce,
  decryptedSize,
  encryptedSize,
  incrementNonce,
  largestContent,
  newNonce,
  possibleDecryptedSize,
} from '../../src/stores/encryption/format.js';
import { deriveKeys, obscure, reveal } from '../../src/stores/encryption/key-derivation.js';
import { chooseSecretbox, portableSecretbox, secretbox } from '../../src/stores/encryption/secretbox.js';
import type { Content } from '../../src/stores/store.js';
import type { Vectors } from '../rclone/encryption/generate.js';
import { patternBytes, patternContent } from '../rclone/encryption/pattern.js';

const vectors = JSON.parse(
  readFileSync(join(__dirname, '../rclone/encryption/vectors.json'), 'utf8'),
) as Vectors;

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  // One buffer for all pieces: whoever keeps a piece for later sees it change.
  const piece = Buffer.alloc(size);
  for (let offset = 0; offset < bytes.length; offset += size) {
    const length = bytes.copy(piece, 0, offset, offset + size);
    yield piece.subarray(0, length);
  }
}

function contentInPieces(bytes: Buffer, size: number): Content {
  return {
    size: bytes.length,
    read: (offset = 0, length = bytes.length - offset) =>
      inPieces(bytes.subarray(offset, offset + length), size),
  };
}

const isCode =
  (code: Parameters<typeof hasCode>[1]) =>
  (error: unknown): boolean =>
    hasCode(error, code);

describe('Key derivation', () => {
  it('refuses an empty password and names the field', async () => {
    for (const password of ['', undefined as unknown as string]) {
      await assert.rejects(createCipher({ password, filenameEncryption: true }), (error) => {
        assert.ok(hasCode(error, 'INVALID_INPUT'));
        assert.equal(error.field, 'encryptionPassword');
        return true;
      });
    }
  });

  it('takes an empty salt for rclone’s own', async () => {
    const given = await deriveKeys('password', '');
    assert.deepEqual(given, await deriveKeys('password'));
    assert.notDeepEqual(given, await deriveKeys('password', 'salt'));
    assert.deepEqual([given.dataKey.length, given.nameKey.length, given.nameTweak.length], [32, 32, 16]);
  });

  it('gives a fingerprint that tells password, salt and mode apart, and shows no key', async () => {
    const fingerprints = new Set<string>();
    for (const [password, salt, filenameEncryption] of [
      ['a', '', true],
      ['a', '', false],
      ['a', 'b', true],
      ['b', '', true],
    ] as const) {
      fingerprints.add((await createCipher({ password, salt, filenameEncryption })).fingerprint);
    }
    assert.equal(fingerprints.size, 4);
    const options = { password: 'a', salt: '', filenameEncryption: true };
    const cipher = await createCipher(options);
    assert.equal(cipher.fingerprint, (await createCipher(options)).fingerprint);
    const keys = await deriveKeys('a');
    const shown = inspect(cipher, { depth: 9, showHidden: true }) + JSON.stringify(cipher);
    assert.ok(!shown.includes(keys.dataKey.toString('hex')) && !shown.includes(inspect(keys.dataKey)));
  });

  it('obscures passwords as rclone does', () => {
    for (const password of ['', 'x', 'Grüße, 世界 🔐', 'y'.repeat(500)]) {
      assert.equal(reveal(obscure(password)), password);
    }
    assert.notEqual(obscure('same'), obscure('same'));
    // From rclone's documentation of `rclone reveal`/its own tests (fs/config/obscure).
    assert.equal(reveal('YWFhYWFhYWFhYWFhYWFhYXMaGgIlEQ'), 'potato');
    assert.throws(() => reveal('not base64!'), isCode('INVALID_INPUT'));
    assert.throws(() => reveal('aGVs'), isCode('INVALID_INPUT'));
  });
});

describe('secretbox', () => {
  const key = randomBytes(32);
  const nonce = randomBytes(24);

  it('is sodium-native here, and the portable one gives the same', () => {
    assert.equal(secretbox().implementation, 'sodium-native');
    for (const size of [0, 1, 15, 63, 64, 65, 1000, BLOCK_DATA_SIZE]) {
      const message = randomBytes(size);
      const boxes = [secretbox(), portableSecretbox].map((box) => {
        const result = Buffer.alloc(size + 16);
        box.seal(result, message, nonce, key);
        return result;
      });
      assert.deepEqual(boxes[0], boxes[1]);
      for (const box of [secretbox(), portableSecretbox]) {
        const opened = Buffer.alloc(size);
        assert.ok(box.open(opened, boxes[0]!, nonce, key));
        assert.deepEqual(opened, message);
        const damaged = Buffer.from(boxes[0]!);
        damaged[damaged.length - 1]! ^= 1;
        assert.equal(box.open(opened, damaged, nonce, key), false);
      }
    }
  });

  it('works in place', () => {
    const message = randomBytes(5000);
    for (const box of [secretbox(), portableSecretbox]) {
      const separate = Buffer.alloc(5016);
      box.seal(separate, message, nonce, key);
      const place = Buffer.concat([Buffer.alloc(16), message]);
      box.seal(place, place.subarray(16), nonce, key);
      assert.deepEqual(place, separate);
      assert.ok(box.open(place.subarray(16), place, nonce, key));
      assert.deepEqual(place.subarray(16), message);
    }
  });

  it('falls back where sodium-native is absent or wrong', () => {
    const absent = chooseSecretbox(() => {
      throw new Error("Cannot find module 'sodium-native'");
    });
    assert.equal(absent.implementation, 'portable');
    const wrong = chooseSecretbox(() => ({
      crypto_secretbox_easy: (): void => undefined,
      crypto_secretbox_open_easy: (): boolean => true,
    }));
    assert.equal(wrong.implementation, 'portable');
  });
});

describe('Sizes of encrypted files', () => {
  it('follow from each other', () => {
    fc.assert(
      fc.property(fc.nat({ max: 5 * 2 ** 40 }), (size) => {
        assert.equal(decryptedSize(encryptedSize(size)), size);
        const largest = largestContent(size);
        assert.ok(size < 32 || encryptedSize(largest) <= size);
        assert.ok(encryptedSize(largest + 1) > size);
      }),
    );
    assert.equal(encryptedSize(0), 32);
    assert.equal(encryptedSize(1), 49);
    assert.equal(encryptedSize(65536), 32 + 65552);
    assert.equal(encryptedSize(65537), 32 + 65552 + 17);
  });

  it('that no file can have are refused', () => {
    const possible = new Set<number>();
    for (let size = 0; size < 70_000; size++) possible.add(encryptedSize(size));
    for (let size = 0; size < 70_000; size++) {
      assert.equal(possibleDecryptedSize(size) !== undefined, possible.has(size), `${size}`);
    }
    assert.throws(() => decryptedSize(31), isCode('CHECKSUM_MISMATCH'));
    assert.throws(() => decryptedSize(48), isCode('CHECKSUM_MISMATCH'));
  });
});

describe('Nonces of blocks', () => {
  it('count up little-endian and wrap', () => {
    const last = Buffer.alloc(24, 0xff);
    assert.deepEqual(blockNonce(last, 1), Buffer.alloc(24));
    assert.equal(
      blockNonce(Buffer.from(`ff${'00'.repeat(23)}`, 'hex'), 0x0201).toString('hex'),
      `0003${'00'.repeat(22)}`,
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 24, maxLength: 24 }), fc.nat({ max: 2000 }), (start, steps) => {
        const counted = Buffer.from(start);
        for (let step = 0; step < steps; step++) incrementNonce(counted);
        assert.deepEqual(blockNonce(start, steps), counted);
      }),
    );
    // 2^53 - 1 blocks carry through seven bytes.
    const far = blockNonce(Buffer.alloc(24, 0), Number.MAX_SAFE_INTEGER);
    assert.equal(far.readBigUInt64LE(0), BigInt(Number.MAX_SAFE_INTEGER));
  });
});

describe('Encrypted content', () => {
  let cipher: Cipher;
  before(async () => {
    cipher = await createCipher({ password: 'secret', filenameEncryption: true });
  });

  it(`is that of ${vectors.rclone}, both ways`, async () => {
    assert.ok(vectors.contents.length >= 50);
    for (const vector of vectors.contents) {
      const of = await createCipher({ ...vector, filenameEncryption: false });
      const content = patternContent(vector.seed, vector.size);
      const encrypted = await readAll(encryptedContent(of, content, Buffer.from(vector.nonce, 'hex')));
      assert.equal(encrypted.length, vector.encryptedSize);
      assert.equal(encryptedSize(vector.size), vector.encryptedSize);
      assert.equal(createHash('sha256').update(encrypted).digest('hex'), vector.sha256);
      const stored = vector.encrypted === undefined ? encrypted : Buffer.from(vector.encrypted, 'base64');
      const plain = await readAll(decryptedContent(of, inPieces(stored, 10_007)));
      assert.ok(plain.equals(patternBytes(vector.seed, vector.size)), `${vector.size} bytes`);
    }
  });

  it('is the same from whatever offset and in whatever pieces it is read, in memory or not', async () => {
    const size = 3 * BLOCK_DATA_SIZE + 1234;
    const plain = patternBytes('ranges', size);
    const nonce = newNonce();
    const whole = await readAll(encryptedContent(cipher, contentOfBytes(plain), nonce));
    assert.equal(whole.length, encryptedSize(size));
    const contents = [
      encryptedContent(cipher, contentOfBytes(plain), nonce),
      encryptedContent(cipher, contentInPieces(plain, 1000), nonce),
      encryptedContent(cipher, contentInPieces(plain, 70_000), nonce),
      encryptedContent(cipher, contentInPieces(plain, 1 << 20), nonce),
    ];
    assert.ok(Buffer.from(contents[0]!.bytes!).equals(whole));
    assert.equal(contents[1]!.bytes, undefined);
    const range = fc
      .tuple(fc.nat({ max: whole.length }), fc.nat({ max: whole.length }))
      .map(([a, b]): [number, number] => [Math.min(a, b), Math.abs(a - b)]);
    const border = fc.constantFrom(0, 1, 31, 32, 33, 47, 48, 49, 65583, 65584, 65585, whole.length);
    const atBorder = fc
      .tuple(border, border)
      .map(([a, b]): [number, number] => [Math.min(a, b), Math.abs(a - b)]);
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(range, atBorder),
        fc.constantFrom(...contents),
        async ([offset, length], content) => {
          const read = await readAll(content.read(offset, length));
          assert.ok(read.equals(whole.subarray(offset, offset + length)));
        },
      ),
      { numRuns: 150 },
    );
  });

  it('keeps its memory flat', async () => {
    const size = 256 << 20;
    const piece = Buffer.alloc(1 << 18, 1);
    const content: Content = {
      size,
      async *read(_offset = 0, length = size) {
        for (let left = length; left > 0; left -= piece.length) yield piece.subarray(0, left);
      },
    };
    let most = 0;
    let count = 0;
    const encrypted = encryptedContent(cipher, content, newNonce()).read();
    const start = process.memoryUsage.rss();
    for await (const chunk of decryptedContent(cipher, encrypted)) {
      count += chunk.length;
      most = Math.max(most, process.memoryUsage.rss() - start);
    }
    assert.equal(count, size);
    assert.ok(most < 128 << 20, `${most >> 20} MiB more`);
  });

  it('refuses to seal two contents under one nonce', async () => {
    let version = 1;
    const changing: Content = {
      size: 200_000,
      async *read(offset = 0, length = 200_000 - offset) {
        yield patternBytes(offset + length > 150_000 ? `v${version}` : 'v', length, offset);
      },
    };
    const encrypted = encryptedContent(cipher, changing, newNonce(), new Map());
    await readAll(encrypted.read());
    await readAll(encrypted.read(10));
    version = 2;
    await assert.rejects(readAll(encrypted.read()), isCode('CHANGED'));
  });

  it('ends with CHANGED where the content is shorter or longer than it said', async () => {
    for (const actual of [9, 11, 0]) {
      const lying: Content = { size: 10, read: () => inPieces(Buffer.alloc(actual), 5) };
      await assert.rejects(readAll(encryptedContent(cipher, lying, newNonce()).read()), isCode('CHANGED'));
    }
  });

  it('tells a wrong password from damage', async () => {
    const size = 200_000;
    const stored = await readAll(encryptedContent(cipher, patternContent('x', size), newNonce()));
    const fresh = (password: string): Promise<Cipher> => createCipher({ password, filenameEncryption: true });
    const decrypt = async (with_: Cipher, bytes: Buffer): Promise<Buffer> =>
      readAll(decryptedContent(with_, inPieces(bytes, 65_536), 'the/key'));
    await assert.rejects(decrypt(await fresh('other'), stored), (error) => {
      assert.ok(hasCode(error, 'WRONG_PASSWORD'));
      assert.equal(error.path, 'the/key');
      return true;
    });
    const damaged = Buffer.from(stored);
    damaged[100]! ^= 1;
    const right = await fresh('secret');
    assert.ok((await decrypt(right, stored)).equals(patternBytes('x', size)));
    await assert.rejects(decrypt(right, damaged), isCode('CHECKSUM_MISMATCH'));
    await assert.rejects(decrypt(right, patternBytes('plain', 1000)), isCode('CHECKSUM_MISMATCH'));
  });

  it('finds every flipped byte, every cut and every swap', async () => {
    const size = 2 * BLOCK_DATA_SIZE + 100;
    const stored = await readAll(encryptedContent(cipher, patternContent('y', size), newNonce()));
    const decrypt = (bytes: Buffer): Promise<Buffer> =>
      readAll(decryptedContent(cipher, inPieces(bytes, 1 << 16)));
    await decrypt(stored);
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: stored.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, bits) => {
          const damaged = Buffer.from(stored);
          damaged[at]! ^= bits;
          await assert.rejects(decrypt(damaged), isCode('CHECKSUM_MISMATCH'));
        },
      ),
      { numRuns: 60 },
    );
    for (const end of [0, 31, 33, 48, 1000, 65583, 65590, stored.length - 1]) {
      await assert.rejects(decrypt(stored.subarray(0, end)), isCode('CHECKSUM_MISMATCH'), `cut at ${end}`);
    }
    await assert.rejects(decrypt(Buffer.concat([stored, Buffer.of(0)])), isCode('CHECKSUM_MISMATCH'));
    const swapped = Buffer.concat([
      stored.subarray(0, 32),
      stored.subarray(32 + 65552, 32 + 2 * 65552),
      stored.subarray(32, 32 + 65552),
      stored.subarray(32 + 2 * 65552),
    ]);
    await assert.rejects(decrypt(swapped), isCode('CHECKSUM_MISMATCH'));
  });

  it('closes its source when the reader stops early', async () => {
    let closed = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        yield* encryptedContent(cipher, patternContent('z', 1 << 20), newNonce()).read();
      } finally {
        closed = true;
      }
    }
    for await (const _chunk of decryptedContent(cipher, source())) break;
    assert.ok(closed);
  });
});
