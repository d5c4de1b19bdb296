import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { type ErrorCode, hasCode } from '../../src/errors.js';
import { contentOfBytes } from '../../src/stores/content.js';
import { newFileHash } from '../../src/stores/local/file-hash.js';
import { endHashThread, ThreadHash } from '../../src/stores/local/hash-thread.js';
import { partContent } from '../../src/stores/parts.js';
import type { Content, Hashes, Store, Upload } from '../../src/stores/store.js';
import { Place } from './local-support.js';

const MIB = 1024 * 1024;
/** Large enough for the thread. */
const SIZE = 17 * MIB + 11;

function digest(algorithm: string, bytes: Uint8Array): string {
  return createHash(algorithm).update(bytes).digest('hex');
}

/** `bytes` in chunks of `length`, all from the same piece of memory. */
function reusing(bytes: Uint8Array, length: number): Content {
  return {
    size: bytes.length,
    async *read(offset = 0, count = bytes.length - offset) {
      const memory = Buffer.alloc(length);
      for (let from = offset; from < offset + count; from += length) {
        const chunk = memory.subarray(0, Math.min(length, offset + count - from));
        chunk.set(bytes.subarray(from, from + chunk.length));
        yield chunk;
        memory.fill(0xee);
      }
    },
  };
}

async function rejects(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(promise, (error) => hasCode(error, code));
}

describe('A large upload to the local disk', () => {
  const bytes = randomBytes(SIZE);
  let place: Place;
  let store: Store;

  beforeEach(() => {
    place = new Place();
    store = place.store();
  });

  afterEach(async () => {
    await place.remove();
  });

  async function begin(hashes: Hashes): Promise<Upload> {
    return await store.createUpload('big', SIZE, { hashes, partSize: MIB });
  }

  const send = (upload: Upload, number: number, whole: Content) =>
    upload.sendPart(number, partContent(upload, whole, number));

  const numbersOf = (upload: Upload) => Array.from({ length: upload.partCount }, (_, index) => index + 1);

  for (const algorithm of ['md5', 'sha1', 'sha256', 'crc32c'] as const) {
    it(`is checked by its ${algorithm}, in whatever order its parts come`, async () => {
      const hash = newFileHash([algorithm], 0);
      fs.writeFileSync(place.path('same'), bytes);
      const fd = fs.openSync(place.path('same'), 'r');
      await hash.update(fd, 0, SIZE);
      fs.closeSync(fd);
      const found = (await hash.finish())[algorithm]!;
      if (algorithm !== 'crc32c') assert.equal(found, digest(algorithm, bytes));
      const upload = await begin({ [algorithm]: found });
      const numbers = numbersOf(upload);
      await Promise.all(numbers.slice(0, 6).map((number) => send(upload, number, reusing(bytes, 70_001))));
      for (const number of numbers.slice(6).reverse()) await send(upload, number, contentOfBytes(bytes));
      await upload.complete();
      assert.ok(bytes.equals(fs.readFileSync(place.path('big'))));
      place.assertNoTemporaryFiles();
    });
  }

  it('of other bytes than its hash says is not put in its place', async () => {
    const other = Buffer.from(bytes);
    other[SIZE - 1]! ^= 1;
    const upload = await begin({ md5: digest('md5', bytes) });
    for (const number of numbersOf(upload)) await send(upload, number, contentOfBytes(other));
    await rejects(upload.complete(), 'CHECKSUM_MISMATCH');
    assert.ok(!fs.existsSync(place.path('big')));
    await upload.abort();
    place.assertNoTemporaryFiles();
  });

  it('is checked all the same where the thread ends in the middle', async () => {
    for (const isRight of [true, false]) {
      const upload = await begin({ md5: isRight ? digest('md5', bytes) : '0'.repeat(32) });
      for (const number of numbersOf(upload)) {
        await send(upload, number, contentOfBytes(bytes));
        if (number === 9) await endHashThread();
      }
      if (isRight) await upload.complete();
      else await rejects(upload.complete(), 'CHECKSUM_MISMATCH');
      if (!isRight) await upload.abort();
    }
    assert.ok(bytes.equals(fs.readFileSync(place.path('big'))));
  });

  it('with a part that came twice is checked as it is in the end', async () => {
    const other = Buffer.alloc(SIZE);
    const upload = await begin({ md5: digest('md5', bytes) });
    await send(upload, 1, contentOfBytes(other));
    await send(upload, 2, contentOfBytes(bytes));
    for (const number of numbersOf(upload)) {
      if (number !== 2) await send(upload, number, contentOfBytes(bytes));
    }
    await upload.complete();
    assert.ok(bytes.equals(fs.readFileSync(place.path('big'))));
  });

  it('misses a part whose second coming failed', async () => {
    const upload = await begin({});
    for (const number of numbersOf(upload)) await send(upload, number, contentOfBytes(bytes));
    const failing: Content = {
      size: MIB,
      async *read() {
        yield Buffer.alloc(600_000);
        throw new Error('cut off');
      },
    };
    await assert.rejects(upload.sendPart(3, failing));
    await rejects(upload.complete(), 'INTERNAL');
    await send(upload, 3, contentOfBytes(bytes));
    await upload.complete();
    assert.ok(bytes.equals(fs.readFileSync(place.path('big'))));
  });

  it('stops while parts are waiting to be hashed', async () => {
    const stop = new AbortController();
    const upload = await begin({ md5: digest('md5', bytes) });
    for (const number of numbersOf(upload)) {
      await upload.sendPart(number, partContent(upload, contentOfBytes(bytes), number), stop.signal);
    }
    const completing = upload.complete({ signal: stop.signal });
    stop.abort();
    await rejects(completing, 'ABORTED');
    await upload.abort();
    place.assertNoTemporaryFiles();
  });

  it('says that a part has more or fewer bytes than it should', async () => {
    const upload = await begin({});
    for (const length of [MIB - 1, MIB + 1]) {
      const wrong = { ...contentOfBytes(Buffer.alloc(length)), bytes: undefined, size: MIB };
      await rejects(upload.sendPart(1, wrong), 'CHANGED');
    }
    await upload.abort();
  });
});

describe('The thread that hashes', () => {
  it('never goes on with what another thread had begun', async () => {
    const place = new Place();
    const fd = fs.openSync(place.file('file', 'x'.repeat(100)), 'r');
    try {
      const hash = new ThreadHash(['md5']);
      await hash.update(fd, 0, 50);
      await endHashThread();
      await assert.rejects(hash.update(fd, 50, 50), /has ended/);
      await assert.rejects(hash.finish(), /has ended/);
      hash.drop();
    } finally {
      fs.closeSync(fd);
      await place.remove();
    }
  });

  it('hashes several files by turns, and says what it can not read', async () => {
    const place = new Place();
    const fd = fs.openSync(place.file('file', 'x'.repeat(100)), 'r');
    try {
      const [one, two, bad] = [
        new ThreadHash(['md5', 'sha256']),
        new ThreadHash(['sha1']),
        new ThreadHash(['md5']),
      ];
      const failing = assert.rejects(bad.update(fd, 50, 51), /too early/);
      await Promise.all([one.update(fd, 0, 50), two.update(fd, 0, 10), one.update(fd, 50, 50), failing]);
      const expected = Buffer.from('x'.repeat(100));
      assert.deepEqual(await one.finish(), {
        md5: digest('md5', expected),
        sha256: digest('sha256', expected),
      });
      assert.deepEqual(await two.finish(), { sha1: digest('sha1', expected.subarray(0, 10)) });
      const nothing = Buffer.alloc(0);
      assert.deepEqual(await new ThreadHash(['md5']).finish(), { md5: digest('md5', nothing) });
    } finally {
      fs.closeSync(fd);
      await place.remove();
    }
  });
});
