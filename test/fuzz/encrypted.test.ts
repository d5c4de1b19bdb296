import assert from 'node:assert/strict';
import fc from 'fast-check';
import { hasCode } from '../../src/errors.js';
import { contentOfBytes, readAll } from '../../src/stores/content.js';
import { type Cipher, createCipher } from '../../src/stores/encryption/cipher.js';
import { decryptedContent, readHeader } from '../../src/stores/encryption/decrypt.js';
import { encryptedContent } from '../../src/stores/encryption/encrypt.js';
import { newNonce, possibleDecryptedSize } from '../../src/stores/encryption/format.js';
import { encryptedNames } from '../../src/stores/encryption/names.js';
import { mapPath, providerNames } from '../../src/stores/names.js';
import { mutatedBytes } from './mutations.js';
import { anyText, fuzz, fuzzLater, runs, SEED, takenOrRefused, takenOrRefusedLater } from './support.js';

const FEW = 800;
/** Two blocks and a bit. */
const CONTENT = Buffer.alloc(150_000, 'content ');

describe('Fuzzed encryption', function () {
  this.timeout(600_000);
  let cipher: Cipher;
  let small: Buffer;
  let large: Buffer;

  before(async () => {
    cipher = await createCipher({ password: 'secret', salt: 'salt', filenameEncryption: true });
    const encrypt = (bytes: Buffer) => readAll(encryptedContent(cipher, contentOfBytes(bytes), newNonce()));
    small = await encrypt(CONTENT.subarray(0, 100));
    large = await encrypt(CONTENT);
  });

  async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
    for (let offset = 0; offset < bytes.length; offset += size) yield bytes.subarray(offset, offset + size);
  }

  it(`headers (${runs(FEW)}, seed ${SEED})`, async () => {
    const input = fc.tuple(
      mutatedBytes(() => small.subarray(0, 40)),
      fc.integer({ min: 1, max: 50 }),
    );
    await fuzzLater(FEW, input, async ([bytes, size]) => {
      const nonce = await takenOrRefusedLater(() => readHeader(inPieces(bytes, size)));
      assert.ok(nonce === undefined || nonce.length === 24);
    });
  });

  it(`contents never come out other than they went in (${runs(FEW)}, seed ${SEED})`, async () => {
    const input = fc.tuple(
      mutatedBytes(() => small),
      fc.integer({ min: 1, max: 200 }),
    );
    await fuzzLater(FEW, input, async ([bytes, size]) => {
      const plain = await takenOrRefusedLater(() => readAll(decryptedContent(cipher, inPieces(bytes, size))));
      // Cut off behind the header it is the encrypted form of nothing.
      if (plain !== undefined && plain.length > 0) assert.deepEqual(plain, CONTENT.subarray(0, 100));
    });
  });

  it(`contents of several blocks come out only as far as they are right (${runs(100)}, seed ${SEED})`, async () => {
    await fuzzLater(
      100,
      mutatedBytes(() => large),
      async (bytes) => {
        const read: Uint8Array[] = [];
        await takenOrRefusedLater(async () => {
          for await (const chunk of decryptedContent(cipher, inPieces(bytes, 70_000)))
            read.push(Buffer.from(chunk));
        });
        const plain = Buffer.concat(read);
        assert.ok(plain.equals(CONTENT.subarray(0, plain.length)));
      },
    );
  });

  it(`sizes (${runs(FEW)}, seed ${SEED})`, () => {
    fuzz(FEW, fc.oneof(fc.integer(), fc.maxSafeInteger()), (size) => {
      const plain = takenOrRefused(() => possibleDecryptedSize(size));
      assert.ok(plain === undefined || (Number.isSafeInteger(plain) && plain >= 0 && plain <= size));
    });
  });

  it(`names (${runs(FEW)}, seed ${SEED})`, () => {
    const names = encryptedNames(cipher, providerNames({ encoding: ['Slash'] }));
    const stored = names.toStored('holiday.jpg', 'file');
    const letters = fc.string({
      unit: fc.constantFrom(...'0123456789abcdefghijklmnopqrstuv'),
      maxLength: 64,
    });
    const input = fc.oneof(
      mutatedBytes(() => Buffer.from(stored)).map(String),
      letters,
      letters.map((text) => `${text}-v2024-01-02-030405-006`),
      fc.tuple(letters, letters).map((both) => both.join('/')),
      // Longer ones than any provider has would only make long messages.
      anyText.filter((text) => text.length < 9000),
      fc.constantFrom('v'.repeat(5000), '0'.repeat(32)),
    );
    fuzz(FEW, input, (name) => {
      for (const kind of ['file', 'folder'] as const) {
        const plain = takenOrRefused(() =>
          mapPath(name, kind, (segment, its) => names.fromStored(segment, its)),
        );
        if (plain === undefined) continue;
        for (const segment of plain.split('/')) {
          assert.ok(segment !== '.' && segment !== '..' && !segment.includes('\0'), JSON.stringify(segment));
        }
      }
    });
  });

  it(`passwords and salts (${runs(6)}, seed ${SEED})`, async () => {
    // Each takes scrypt some ten milliseconds.
    const few = Math.min(runs(6), 100);
    const secrets = fc.sample(fc.tuple(anyText, anyText), { numRuns: few, seed: SEED });
    for (const [password, salt] of secrets) {
      const made = await takenOrRefusedLater(() =>
        createCipher({ password, salt, filenameEncryption: true }),
      );
      if (made === undefined) continue;
      const other = await createCipher({ password: `${password}!`, salt, filenameEncryption: true });
      await assert.rejects(
        async () =>
          readAll(
            decryptedContent(
              other,
              inPieces(await readAll(encryptedContent(made, contentOfBytes(CONTENT), newNonce())), 70_000),
            ),
          ),
        (error) => hasCode(error, 'WRONG_PASSWORD'),
      );
    }
  });
});
