import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { type CloudSyncError, hasCode } from '../../src/errors.js';
import { decodeBase32, encodeBase32 } from '../../src/stores/encryption/base32.js';
import { type Cipher, createCipher } from '../../src/stores/encryption/cipher.js';
import { EmeCipher } from '../../src/stores/encryption/eme.js';
import { encryptedNames } from '../../src/stores/encryption/names.js';
import { mapPath, providerNames, standardFromBytes } from '../../src/stores/names.js';
import type { Secrets } from '../rclone/encryption/crypt-remote.js';
import type { Vectors } from '../rclone/encryption/generate.js';

const vectors = JSON.parse(
  readFileSync(join(__dirname, '../rclone/encryption/vectors.json'), 'utf8'),
) as Vectors;

const ciphers = new Map<string, Promise<Cipher>>();
function cipherFor({
  password,
  salt,
  filenameEncryption,
}: Secrets & { filenameEncryption: boolean }): Promise<Cipher> {
  const id = JSON.stringify([password, salt, filenameEncryption]);
  let cipher = ciphers.get(id);
  if (cipher === undefined) {
    cipher = createCipher({ password, salt, filenameEncryption });
    ciphers.set(id, cipher);
  }
  return cipher;
}

const WITHOUT_LIMIT = providerNames({ encoding: ['Slash'] });

describe('Encrypted names', () => {
  let encrypting: Cipher;
  let plain: Cipher;
  before(async () => {
    encrypting = await createCipher({ password: 'secret', filenameEncryption: true });
    plain = await createCipher({ password: 'secret', filenameEncryption: false });
  });

  it(`are those of ${vectors.rclone}`, async () => {
    assert.ok(vectors.names.length >= 100);
    for (const vector of vectors.names) {
      const { names } = await cipherFor(vector);
      const stored = mapPath(vector.plain, vector.kind, (name, kind) => names.encrypt(name, kind));
      assert.equal(stored, vector.stored, `${vector.plain} under ${vector.password}`);
      const plain = mapPath(vector.stored, vector.kind, (name, kind) => names.decrypt(name, kind));
      assert.equal(plain, vector.plain);
    }
  });

  it('that are none are refused exactly where rclone refuses them', async () => {
    for (const vector of vectors.storedNames) {
      const { names } = await cipherFor(vector);
      const decrypt = (): string => mapPath(vector.stored, 'file', (name, kind) => names.decrypt(name, kind));
      if (vector.plain === null) {
        assert.throws(decrypt, (error) => hasCode(error, 'INVALID_NAME'), vector.stored);
      } else {
        assert.equal(decrypt(), vector.plain);
      }
    }
  });

  it('come back, whatever they are', () => {
    const mapping = encryptedNames(encrypting, WITHOUT_LIMIT);
    const other = encryptedNames(plain, WITHOUT_LIMIT);
    const name = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 60 })
      .filter((text) => !text.includes('/'))
      .map((text) => standardFromBytes(Buffer.from(text, 'utf8')));
    fc.assert(
      fc.property(name, fc.constantFrom('file' as const, 'folder' as const), (text, kind) => {
        for (const names of [mapping, other]) {
          assert.equal(names.fromStored(names.toStored(text, kind), kind), text);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('with a version suffix in front come back too', () => {
    // rclone itself gives back ".jpg-v2024-..." for this one.
    const name = '-v2024-01-01-000000-000.jpg';
    assert.equal(encrypting.names.decrypt(encrypting.names.encrypt(name, 'file'), 'file'), name);
  });

  it('fit 255 bytes up to 143 bytes, and say so beyond', () => {
    const limited = encryptedNames(
      encrypting,
      providerNames({ encoding: ['Slash', 'Dot'], maxSegmentBytes: 255 }),
    );
    assert.equal(limited.toStored('n'.repeat(143), 'file').length, 231);
    assert.throws(
      () => limited.toStored('n'.repeat(144), 'file'),
      (error: CloudSyncError) => {
        assert.equal(error.code, 'NAME_TOO_LONG');
        assert.equal(error.path, 'n'.repeat(144));
        assert.match(error.message, /144 bytes/);
        assert.match(error.advice ?? '', /143 bytes/);
        return true;
      },
    );
    assert.throws(
      () => encrypting.names.encrypt('n'.repeat(3000), 'file'),
      (error) => hasCode(error, 'NAME_TOO_LONG'),
    );
  });

  it('of another password are refused, not turned into garbage', async () => {
    const other = await createCipher({ password: 'other', filenameEncryption: true });
    let accepted = 0;
    for (let index = 0; index < 1000; index++) {
      const stored = other.names.encrypt(`photo-${index}.jpg`, 'file');
      try {
        encrypting.names.decrypt(stored, 'file');
        accepted++;
      } catch (error) {
        assert.ok(hasCode(error, 'INVALID_NAME'));
        assert.equal(error.path, stored);
      }
    }
    // One in 255 ends by chance like padding: all of a listing is never accepted.
    assert.ok(accepted < 50, `${accepted} of 1000 accepted`);
  });

  it('never leave the folder', async () => {
    const { names } = encrypting;
    const key = Buffer.alloc(32, 1);
    assert.throws(
      () => names.decrypt('', 'file'),
      (error) => hasCode(error, 'INVALID_NAME'),
    );
    for (const stored of ['..bin', '...bin']) {
      assert.throws(
        () => plain.names.decrypt(stored, 'file'),
        (error) => hasCode(error, 'INVALID_NAME'),
        stored,
      );
    }
    assert.throws(() => new EmeCipher(key, Buffer.alloc(16)).encrypt(Buffer.alloc(17)), RangeError);
  });
});

describe('base32hex', () => {
  it('gives every byte back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        assert.deepEqual(decodeBase32(encodeBase32(bytes)), Buffer.from(bytes));
      }),
    );
  });

  it('has the test vectors of RFC 4648', () => {
    const expected = ['', 'co', 'cpng', 'cpnmu', 'cpnmuog', 'cpnmuoj1', 'cpnmuoj1e8'];
    for (const [length, text] of expected.entries()) {
      assert.equal(encodeBase32(Buffer.from('foobar'.slice(0, length))), text);
    }
  });

  it('refuses what it never writes', () => {
    for (const text of ['c', 'cpn', 'cpnmuo', 'cw', 'c=', 'çç', 'c o0']) {
      assert.equal(decodeBase32(text), undefined, text);
    }
  });
});
