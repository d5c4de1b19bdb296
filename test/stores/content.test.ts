import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { type ErrorCode, hasCode } from '../../src/errors.js';
import { hashContent } from '../../src/stores/compare.js';
import { contentOfBytes, contentOfOpened, fill, forEachChunk } from '../../src/stores/content.js';
import { sliceContent } from '../../src/stores/parts.js';
import type { Content, OpenedObject } from '../../src/stores/store.js';
import { throttledStore } from '../../src/stores/wrap/throttled.js';
import { Place } from './local-support.js';

const MIB = 1024 * 1024;

/** All of it by {@link forEachChunk}. */
async function collect(content: Content, signal?: AbortSignal): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await forEachChunk(content, (chunk) => chunks.push(Buffer.from(chunk)), signal);
  return Buffer.concat(chunks);
}

async function filled(content: Content, signal?: AbortSignal): Promise<Buffer> {
  const target = Buffer.alloc(content.size);
  await fill(target, content, signal);
  return target;
}

/** Both ways of reading a content whole. */
const WAYS = { fill: filled, forEachChunk: collect };

async function rejects(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(promise, (error) => hasCode(error, code));
}

describe('Reading a content whole', () => {
  let place: Place;
  let opened: OpenedObject | undefined;

  beforeEach(() => {
    place = new Place();
    opened = undefined;
  });

  afterEach(async () => {
    await opened?.close();
    await place.remove();
  });

  async function open(size: number, bytes = randomBytes(size)): Promise<Buffer> {
    fs.writeFileSync(place.path('file'), bytes);
    opened = await place.store().open('file');
    return bytes;
  }

  for (const [name, read] of Object.entries(WAYS)) {
    describe(name, () => {
      for (const size of [0, 1, 64 * 1024, 64 * 1024 + 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 3 * MIB + 5]) {
        it(`gives ${size} bytes of a file`, async () => {
          const bytes = await open(size);
          const content = contentOfOpened(opened!);
          assert.ok(content.readInto !== undefined);
          assert.ok(bytes.equals(await read(content)));
          const { readInto: _, ...streamed } = content;
          assert.ok(bytes.equals(await read(streamed)));
        });
      }

      it('gives a stretch of a stretch of a file', async () => {
        const bytes = await open(3 * MIB);
        const stretch = sliceContent(contentOfOpened(opened!, 100, 2 * MIB), 11, MIB + 7);
        assert.ok(bytes.subarray(111, 111 + MIB + 7).equals(await read(stretch)));
      });

      it('gives what is in memory', async () => {
        const bytes = randomBytes(3 * MIB);
        assert.ok(bytes.equals(await read(contentOfBytes(bytes))));
      });

      for (const size of [1000, 3 * MIB]) {
        it(`says that a file of ${size} bytes became shorter`, async () => {
          await open(size);
          fs.truncateSync(place.path('file'), size - 1);
          await rejects(read(contentOfOpened(opened!)), 'CHANGED');
        });
      }

      it('leaves it to the opened file to say that it became longer', async () => {
        const bytes = await open(3 * MIB);
        fs.appendFileSync(place.path('file'), 'more');
        assert.ok(bytes.equals(await read(contentOfOpened(opened!))));
        await assert.rejects(
          async () => opened!.confirmUnchanged(),
          (error) => hasCode(error, 'CHANGED'),
        );
      });

      it('says that a source gives more or less than it should', async () => {
        const content = contentOfBytes(Buffer.from('more'));
        for (const size of [3, 5]) {
          await rejects(read({ size, read: () => content.read() }), 'CHANGED');
        }
      });

      it('ends when it is stopped while the disk gives nothing', async () => {
        for (const hanging of [
          { size: 5, read: () => neverGives(), readInto: () => new Promise<void>(() => {}) },
          { size: 5, read: () => neverGives() },
        ]) {
          const stop = new AbortController();
          const reading = read(hanging, stop.signal);
          stop.abort();
          await rejects(reading, 'ABORTED');
        }
      });

      it('reads nothing where it is stopped already', async () => {
        await open(MIB);
        await rejects(read(contentOfOpened(opened!), AbortSignal.abort()), 'ABORTED');
      });

      it('stays within the object', async () => {
        await open(MIB);
        const content = contentOfOpened(opened!);
        await rejects(read({ ...content, size: MIB + 1 }), 'INTERNAL');
      });

      it('keeps to a bandwidth limit', async () => {
        const bytes = await open(MIB);
        let taken = 0;
        const limiter = {
          limitNow: () => 1e9,
          take: async (count: number) => {
            taken += count;
          },
        };
        const limited = await throttledStore(place.store(), limiter).open('file');
        try {
          assert.ok(bytes.equals(await read(contentOfOpened(limited))));
          assert.equal(taken, MIB);
        } finally {
          await limited.close();
        }
      });
    });
  }

  it('asks for what follows while it uses what it has, in two pieces of memory by turns', async () => {
    const memories = new Set<ArrayBufferLike>();
    const asked: number[] = [];
    const seen: number[][] = [];
    const content: Content = {
      size: 5 * MIB,
      read: () => neverGives(),
      readInto: async (target, offset) => {
        asked.push(offset / MIB);
        target.fill(offset / MIB);
        memories.add(target.buffer);
      },
    };
    await forEachChunk(content, (chunk) => seen.push([chunk[0]!, chunk.at(-1)!, asked.length]));
    const expected = [0, 1, 2, 3, 4].map((number) => [number, number, Math.min(number + 2, 5)]);
    assert.deepEqual(seen, expected);
    assert.equal(memories.size, 2);
  });

  it('leaves no error unseen where another came first', async () => {
    const unseen: unknown[] = [];
    const note = (error: unknown) => unseen.push(error);
    process.on('unhandledRejection', note);
    try {
      const failing: Content = {
        size: 3 * MIB,
        read: () => neverGives(),
        readInto: async (_, offset) => {
          if (offset > 0) throw new Error('the disk failed');
        },
      };
      const boom = new Error('the hash failed');
      const use = () => {
        throw boom;
      };
      await assert.rejects(forEachChunk(failing, use), boom);
      await assert.rejects(hashContent(failing, ['md5']), /the disk failed/);
      await new Promise(setImmediate);
      assert.deepEqual(unseen, []);
    } finally {
      process.off('unhandledRejection', note);
    }
  });
});

async function* neverGives(): AsyncGenerator<Uint8Array> {
  await new Promise(() => {});
}
