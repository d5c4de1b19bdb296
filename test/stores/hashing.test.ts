import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { hasCode } from '../../src/errors.js';
import { Hasher, requireHashes } from '../../src/stores/hashing.js';
import type { HashAlgorithm } from '../../src/stores/store.js';

function hash(algorithm: HashAlgorithm, bytes: Uint8Array, chunk = bytes.length || 1): string | undefined {
  const hasher = new Hasher([algorithm]);
  for (let at = 0; at < bytes.length; at += chunk) hasher.update(bytes.subarray(at, at + chunk));
  return hasher.finish()[algorithm];
}

describe('hashes', () => {
  const check = Buffer.from('123456789');

  it('are those of the specifications', () => {
    // RFC 3720 B.4 and the CRC catalogue (reveng.sourceforge.io/crc-catalogue): check values and more.
    assert.equal(hash('crc32c', check), 'e3069283');
    assert.equal(hash('crc32c', Buffer.alloc(32)), '8a9136aa');
    assert.equal(hash('crc32c', Buffer.alloc(32, 0xff)), '62a8ab43');
    assert.equal(hash('crc32c', Buffer.from(Array.from({ length: 32 }, (_, at) => at))), '46dd794e');
    assert.equal(hash('crc64nvme', check), 'ae8b14860a799888');
    assert.equal(hash('md5', check), '25f9e794323b453885f5181f1b624d0b');
    for (const [algorithm, nothing] of [
      ['crc32c', '00000000'],
      ['crc64nvme', '0000000000000000'],
      ['dropbox', createHash('sha256').digest('hex')],
    ] as const) {
      assert.equal(hash(algorithm, Buffer.alloc(0)), nothing);
    }
  });

  it('are those of Dropbox: of blocks of 4 MiB', () => {
    const block = 4 * 1024 * 1024;
    const bytes = Buffer.alloc(2 * block + 7, 'photo');
    const sha256 = (part: Uint8Array) => createHash('sha256').update(part).digest();
    const blocks = [0, 1, 2].map((at) => sha256(bytes.subarray(at * block, (at + 1) * block)));
    assert.equal(hash('dropbox', bytes), sha256(Buffer.concat(blocks)).toString('hex'));
    assert.equal(hash('dropbox', bytes, 999_983), hash('dropbox', bytes));
    const whole = bytes.subarray(0, block);
    assert.equal(hash('dropbox', whole), sha256(sha256(whole)).toString('hex'));
  });

  it('do not depend on how the bytes are cut', () => {
    const bytes = Buffer.from(Array.from({ length: 1000 }, (_, at) => (at * 7919) >> 3));
    for (const algorithm of ['crc32c', 'crc64nvme', 'sha1', 'sha256'] as const) {
      for (const chunk of [1, 3, 5, 8, 13, 999]) {
        assert.equal(hash(algorithm, bytes, chunk), hash(algorithm, bytes), `${algorithm} by ${chunk}`);
      }
    }
  });

  it('that differ are refused, capitals allowed', () => {
    requireHashes({ md5: 'ABCD' }, { md5: 'abcd' }, 'file');
    requireHashes({}, { md5: 'abcd' }, 'file');
    const isMismatch = (error: unknown) => hasCode(error, 'CHECKSUM_MISMATCH');
    assert.throws(() => requireHashes({ md5: 'abce' }, { md5: 'abcd' }, 'file'), isMismatch);
    assert.throws(() => requireHashes({ md5: 'abcd' }, {}, 'file'), isMismatch);
  });
});
