import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import {
  BandwidthLimiter,
  type BandwidthRow,
  formatBandwidthTimetable,
  parseBandwidthTimetable,
  validateBandwidthTimetable,
} from '../../src/engine/bandwidth.js';
import { CloudSyncError } from '../../src/errors.js';
import { contentOfBytes, readAll } from '../../src/stores/content.js';
import type { Content, OpenedObject, Store, StoredObject } from '../../src/stores/store.js';
import { throttledStore } from '../../src/stores/wrap/throttled.js';
import { REFERENCE_VERSION, rcloneVersion, runRclone } from '../rclone/rclone.js';

const KIB = 1024;
const MB = 1_000_000;

/** A clock that stands still until it is told to go, with the timers that hang on it. */
class SteppedClock {
  private readonly timers = new Set<{ at: number; callback: () => void }>();

  constructor(public time: number) {}

  readonly now = (): number => this.time;

  readonly setTimer = (callback: () => void, milliseconds: number): (() => void) => {
    const timer = { at: this.time + milliseconds, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  };

  /** Goes on by `milliseconds`, timers and what waits for them included. */
  async step(milliseconds: number): Promise<void> {
    const end = this.time + milliseconds;
    for (;;) {
      await new Promise(setImmediate);
      const [next] = [...this.timers].sort((first, second) => first.at - second.at);
      if (next === undefined || next.at > end) break;
      this.timers.delete(next);
      this.time = Math.max(this.time, next.at);
      next.callback();
    }
    this.time = end;
    await new Promise(setImmediate);
  }
}

function limiterOn(clock: SteppedClock, timetable: BandwidthRow[], timeZone = 'UTC'): BandwidthLimiter {
  return new BandwidthLimiter({ timetable, now: clock.now, setTimer: clock.setTimer, timeZone });
}

/** Takes pieces for ever; tells how many bytes it got. */
function startTransfer(limiter: BandwidthLimiter, piece: number, signal?: AbortSignal): { bytes: number } {
  const transfer = { bytes: 0 };
  void (async () => {
    for (;;) {
      await limiter.take(piece, signal);
      transfer.bytes += piece;
    }
  })().catch(() => {});
  return transfer;
}

function assertWithin(actual: number, expected: number, share: number, what = 'bytes'): void {
  assert.ok(Math.abs(actual - expected) <= expected * share, `${actual} ${what} instead of ${expected}`);
}

const ALL_DAY = (bandwidth: number | null): BandwidthRow[] => [{ time: '00:00', bandwidth }];

describe('Bandwidth limit', () => {
  it('lets bytes through at the limit, evenly', async () => {
    const clock = new SteppedClock(Date.parse('2024-01-01T12:00:00Z'));
    const transfer = startTransfer(limiterOn(clock, ALL_DAY(MB)), 64 * KIB);
    let before = 0;
    for (let count = 0; count < 40; count++) {
      await clock.step(250);
      assertWithin(transfer.bytes - before, MB / 4, 0.3);
      before = transfer.bytes;
    }
    assertWithin(transfer.bytes, 10 * MB, 0.01);
  });

  it('lets no more than a fifth of a second through at once after a pause', async () => {
    const clock = new SteppedClock(Date.parse('2024-01-01T12:00:00Z'));
    const limiter = limiterOn(clock, ALL_DAY(MB));
    await clock.step(60_000);
    const transfer = startTransfer(limiter, 1000);
    await clock.step(0);
    assert.ok(transfer.bytes <= MB / 4, `${transfer.bytes}`);
    assert.ok(transfer.bytes > 0);
  });

  it('gives each transfer the same, whatever the size of its pieces', async () => {
    const clock = new SteppedClock(Date.parse('2024-01-01T12:00:00Z'));
    const limiter = limiterOn(clock, ALL_DAY(MB));
    const transfers = [8 * KIB * KIB, 64 * KIB, 64 * KIB].map((piece) => startTransfer(limiter, piece));
    await clock.step(60_000);
    assertWithin(transfers[1]!.bytes, 20 * MB, 0.05);
    assertWithin(transfers[2]!.bytes, 20 * MB, 0.05);
    assert.equal(transfers[0]!.bytes, 2 * 8 * KIB * KIB);
  });

  it('lets a limit of one byte per second through', async () => {
    const clock = new SteppedClock(Date.parse('2024-01-01T12:00:00Z'));
    const transfer = startTransfer(limiterOn(clock, ALL_DAY(1)), 10);
    await clock.step(100_500);
    assert.equal(transfer.bytes, 100);
  });

  it('lets everything through where there is no limit', async () => {
    for (const timetable of [[], ALL_DAY(null)]) {
      const limiter = new BandwidthLimiter({ timetable });
      assert.equal(limiter.limitNow(), null);
      assert.equal(limiter.take(1e12), limiter.take(1e12));
      await limiter.take(1e12);
    }
  });

  it('stops a transfer that is aborted and gives its share to the others', async () => {
    const clock = new SteppedClock(Date.parse('2024-01-01T12:00:00Z'));
    const limiter = limiterOn(clock, ALL_DAY(MB));
    const abort = new AbortController();
    const stopped = limiter.take(100 * MB, abort.signal);
    const other = startTransfer(limiter, 64 * KIB);
    await clock.step(2000);
    abort.abort();
    await assert.rejects(stopped, { code: 'ABORTED' });
    await assert.rejects(limiter.take(1, abort.signal), { code: 'ABORTED' });
    const before = other.bytes;
    await clock.step(10_000);
    assertWithin(other.bytes - before, 10 * MB, 0.02);
  });

  it('changes within a second while a transfer waits', async () => {
    const clock = new SteppedClock(Date.parse('2024-01-01T07:59:50Z'));
    const limiter = limiterOn(clock, [
      { time: '08:00', bandwidth: MB },
      { time: '08:01', bandwidth: 10 * KIB },
      { time: '08:02', bandwidth: null },
      { time: '08:03', bandwidth: 1000 },
    ]);
    assert.equal(limiter.limitNow(), 1000);
    const abort = new AbortController();
    const transfer = startTransfer(limiter, 64 * KIB, abort.signal);
    await clock.step(10_000);
    assert.equal(transfer.bytes, 0);
    await clock.step(60_000);
    assertWithin(transfer.bytes, 60 * MB, 0.02);
    const before = transfer.bytes;
    await clock.step(59_000);
    assert.ok(transfer.bytes - before <= 59 * 10 * KIB + MB / 4);
    abort.abort();
    let unlimited = false;
    void limiter.take(500 * MB).then(() => {
      unlimited = true;
    });
    await clock.step(500);
    assert.equal(unlimited, false);
    await clock.step(1500);
    assert.equal(unlimited, true);
  });

  it('survives a clock that is put back', async () => {
    const clock = new SteppedClock(0);
    const wall = { time: Date.parse('2024-01-01T12:00:00Z') };
    const limiter = new BandwidthLimiter({
      timetable: ALL_DAY(MB),
      now: () => wall.time,
      elapsed: clock.now,
      setTimer: clock.setTimer,
    });
    const transfer = startTransfer(limiter, 64 * KIB);
    await clock.step(1000);
    wall.time -= 86_400_000;
    await clock.step(9000);
    assertWithin(transfer.bytes, 10 * MB, 0.02);
  });
});

describe('Bandwidth limit of a time of day', () => {
  const TIMETABLE: BandwidthRow[] = [
    { time: '02:30', bandwidth: 100 },
    { time: '08:00', bandwidth: 200 },
    { time: '23:00', bandwidth: null },
  ];

  /** Limits at each half hour of a day in Berlin, by the clock that goes on; only changes are named. */
  async function changes(timetable: BandwidthRow[], from: string, hours: number): Promise<string[]> {
    const clock = new SteppedClock(Date.parse(from));
    const limiter = limiterOn(clock, timetable, 'Europe/Berlin');
    const result: string[] = [];
    let last: number | null | undefined;
    for (let step = 0; step <= hours * 60; step++) {
      const limit = limiter.limitNow();
      if (limit !== last) result.push(`${new Date(clock.time).toISOString().slice(11, 16)}Z ${limit}`);
      last = limit;
      clock.time += 60_000;
    }
    return result;
  }

  it("is yesterday's last before the first row", async () => {
    assert.deepEqual(await changes(TIMETABLE, '2024-01-10T20:00:00Z', 24), [
      '20:00Z 200',
      '22:00Z null',
      '01:30Z 100',
      '07:00Z 200',
    ]);
  });

  it('begins with the first minute after the gap where its time is skipped', async () => {
    assert.deepEqual(await changes(TIMETABLE, '2024-03-30T23:00:00Z', 8), [
      '23:00Z null',
      '01:00Z 100',
      '06:00Z 200',
    ]);
  });

  it('goes by the clock on the wall where an hour comes twice', async () => {
    assert.deepEqual(await changes(TIMETABLE, '2024-10-26T22:00:00Z', 10), [
      '22:00Z null',
      '00:30Z 100',
      '01:00Z null',
      '01:30Z 100',
      '07:00Z 200',
    ]);
  });

  it("is that of the machine's time zone, on both days the clock changes", () => {
    const script = `
      const { BandwidthLimiter } = require(${JSON.stringify(join(__dirname, '../../src/engine/bandwidth.ts'))});
      let time = 0;
      const limiter = new BandwidthLimiter({ timetable: ${JSON.stringify(TIMETABLE)}, now: () => time });
      console.log(['2024-03-31T00:59', '2024-03-31T01:00', '2024-10-27T00:30', '2024-10-27T01:00', '2024-10-27T01:30']
        .map((text) => { time = Date.parse(text + 'Z'); return limiter.limitNow(); }).join());`;
    const result = spawnSync(process.execPath, ['--import', 'tsx', '-e', script], {
      encoding: 'utf8',
      env: { ...process.env, TZ: 'Europe/Berlin' },
      cwd: join(__dirname, '../..'),
    });
    assert.equal(result.stdout.trim(), ',100,100,,100', result.stderr);
  });
});

describe('Bandwidth timetable', () => {
  const refuses = (act: () => void, words: RegExp): void => {
    assert.throws(act, (error: unknown) => {
      assert.ok(error instanceof CloudSyncError);
      assert.equal(error.code, 'INVALID_INPUT');
      assert.equal(error.field, 'bandwidthLimit');
      assert.match(error.message, words);
      return true;
    });
  };

  it("reads rclone's text", () => {
    assert.deepEqual(parseBandwidthTimetable('08:00,512k 12:00,10M 13:00,1.5Mi;18:00,100b 23:00,off'), [
      { time: '08:00', bandwidth: 512 * KIB },
      { time: '12:00', bandwidth: 10 * KIB * KIB },
      { time: '13:00', bandwidth: 1.5 * KIB * KIB },
      { time: '18:00', bandwidth: 100 },
      { time: '23:00', bandwidth: null },
    ]);
    assert.deepEqual(parseBandwidthTimetable('10M'), [{ time: '00:00', bandwidth: 10 * KIB * KIB }]);
    assert.deepEqual(parseBandwidthTimetable(' '), []);
  });

  it('reads numbers as rclone reads them', function () {
    if (rcloneVersion() !== REFERENCE_VERSION) {
      console.warn(`      NOT RUN: rclone ${REFERENCE_VERSION} is not installed`);
      this.skip();
    }
    for (const text of [
      '512',
      '1k',
      '1K',
      '2Ki',
      '2KiB',
      '2kib',
      '1.5M',
      '3G',
      '1b',
      '1B',
      '.5k',
      '5.',
      'off',
      'OFF',
      '0',
      '1x',
      '1KB',
      '-1',
      '1MB',
      '',
      'k',
      '1 k',
    ]) {
      const { exitCode, stdout } = runRclone(['rc', '--loopback', 'core/bwlimit', `rate=${text}`]);
      let ours: number | undefined;
      try {
        ours = parseBandwidthTimetable(text)[0]?.bandwidth ?? 0;
      } catch {
        ours = undefined;
      }
      const { bytesPerSecond } = exitCode === 0 ? JSON.parse(stdout) : { bytesPerSecond: undefined };
      const theirs = bytesPerSecond === undefined ? undefined : Math.max(0, bytesPerSecond);
      // Empty and negative are answers of the remote control of rclone alone.
      if (text !== '' && text !== '-1') assert.equal(ours, theirs, JSON.stringify(text));
    }
  });

  it('writes what it reads', () => {
    const rows: BandwidthRow[] = [
      { time: '00:00', bandwidth: 1 },
      { time: '01:00', bandwidth: 1_000_000 },
      { time: '02:00', bandwidth: 3 * KIB },
      { time: '03:00', bandwidth: 5 * KIB * KIB },
      { time: '04:00', bandwidth: null },
    ];
    const text = '00:00,1b 01:00,1000000b 02:00,3k 03:00,5M 04:00,off';
    assert.equal(formatBandwidthTimetable(rows), text);
    assert.deepEqual(parseBandwidthTimetable(text), rows);
  });

  it('says what is wrong', () => {
    refuses(() => parseBandwidthTimetable('Mon-08:00,1M'), /day of the week/);
    refuses(() => parseBandwidthTimetable('08:00,1M:2M'), /two limits/);
    refuses(() => parseBandwidthTimetable('08:00'), /"08:00" is no row/);
    refuses(() => parseBandwidthTimetable('08:00,1M,2M'), /no row/);
    refuses(() => parseBandwidthTimetable('8:00,1M'), /"8:00" is no time/);
    refuses(() => parseBandwidthTimetable('24:00,1M'), /"24:00" is no time/);
    refuses(() => parseBandwidthTimetable('08:00,fast'), /"fast" is no bandwidth/);
    refuses(() => parseBandwidthTimetable('09:00,1M 08:00,2M'), /08:00 behind 09:00/);
    refuses(() => parseBandwidthTimetable('09:00,1M 09:00,2M'), /two rows for 09:00/);
    for (const bandwidth of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '1' as unknown as number]) {
      refuses(() => validateBandwidthTimetable(ALL_DAY(bandwidth)), /limit at 00:00/);
    }
    refuses(() => new BandwidthLimiter({ timetable: ALL_DAY(0) }), /limit at 00:00/);
  });
});

/** As much of a store as is written to and read from here: reads contents whole and keeps their sizes. */
function countingStore(size: number): { store: Store; pieces: number[]; hadBytes: boolean[] } {
  const pieces: number[] = [];
  const hadBytes: boolean[] = [];
  const object = { key: 'a', kind: 'file', size } as StoredObject;
  const consume = async (content: Content): Promise<void> => {
    hadBytes.push(content.bytes !== undefined);
    if (content.bytes !== undefined) return;
    for await (const chunk of content.read()) pieces.push(chunk.byteLength);
  };
  const store = {
    identity: 'counting',
    write: async (_key: string, content: Content) => {
      await consume(content);
      return object;
    },
    createUpload: async () => ({
      partCount: 1,
      sendPart: async (number: number, content: Content) => {
        await consume(content);
        return { number, size: content.size };
      },
    }),
    open: async () => ({
      object,
      async *read(offset = 0, length = size - offset) {
        for (let left = length; left > 0; left -= 300_000) yield new Uint8Array(Math.min(left, 300_000));
      },
    }),
  };
  return { store: store as unknown as Store, pieces, hadBytes };
}

async function drain(opened: OpenedObject, signal?: AbortSignal): Promise<number[]> {
  const pieces: number[] = [];
  for await (const chunk of opened.read(0, undefined, signal)) pieces.push(chunk.byteLength);
  return pieces;
}

/** `BANDWIDTH_SECONDS=20` also measures that no less comes through than the limit: a busy machine alone can fail that. */
const SECONDS = process.env.BANDWIDTH_SECONDS;

describe('Throttled store', () => {
  it('hands the bytes on unchanged and the rest of the store as it is', async () => {
    const { store } = countingStore(0);
    const limited = throttledStore(store, new BandwidthLimiter({ timetable: ALL_DAY(100 * MB) }));
    assert.equal(limited.identity, 'counting');
    const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, index) => index % 251));
    let received: Buffer | undefined;
    store.write = async (_key, content) => {
      received = await readAll(content);
      return {} as StoredObject;
    };
    await throttledStore(store, new BandwidthLimiter({ timetable: ALL_DAY(100 * MB) })).write(
      'a',
      contentOfBytes(bytes),
    );
    assert.deepEqual(received, bytes);
  });

  it('cuts what is sent and read into pieces of 64 KiB while there is a limit', async () => {
    const { store, pieces, hadBytes } = countingStore(1_000_000);
    const limited = throttledStore(store, new BandwidthLimiter({ timetable: ALL_DAY(1e9) }));
    await limited.write('a', contentOfBytes(new Uint8Array(200_000)));
    const upload = await limited.createUpload('a', 200_000);
    await upload.sendPart(1, contentOfBytes(new Uint8Array(200_000)));
    assert.deepEqual(hadBytes, [false, false]);
    assert.ok(pieces.every((piece) => piece <= 64 * KIB));
    assert.equal(
      pieces.reduce((sum, piece) => sum + piece),
      400_000,
    );
    const read = await drain(await limited.open('a'));
    assert.ok(read.every((piece) => piece <= 64 * KIB));
    assert.equal(
      read.reduce((sum, piece) => sum + piece),
      1_000_000,
    );
  });

  it('leaves bytes in memory where they are while there is no limit', async () => {
    const { store, hadBytes } = countingStore(1_000_000);
    const limited = throttledStore(store, new BandwidthLimiter({ timetable: [] }));
    await limited.write('a', contentOfBytes(new Uint8Array(200_000)));
    assert.deepEqual(hadBytes, [true]);
    assert.deepEqual(await drain(await limited.open('a')), [300_000, 300_000, 300_000, 100_000]);
  });

  it('stops waiting when the call is aborted', async () => {
    const { store } = countingStore(10 * MB);
    const limited = throttledStore(store, new BandwidthLimiter({ timetable: ALL_DAY(1000) }));
    const abort = new AbortController();
    const write = limited.write('a', contentOfBytes(new Uint8Array(MB)), { signal: abort.signal });
    const read = drain(await limited.open('a'), abort.signal);
    setImmediate(() => abort.abort());
    await assert.rejects(write, { code: 'ABORTED' });
    await assert.rejects(read, { code: 'ABORTED' });
  });

  for (const limit of [MB, 10 * MB]) {
    it(`keeps ${limit / MB} MB/s over uploads and downloads together`, async function () {
      const seconds = Number(SECONDS ?? 3);
      this.timeout(seconds * 10_000 + 60_000);
      const limiter = new BandwidthLimiter({ timetable: ALL_DAY(limit) });
      const share = (limit * seconds) / 4;
      const { store } = countingStore(share);
      const limited = throttledStore(store, limiter);
      const started = performance.now();
      await Promise.all([
        limited.write('a', contentOfBytes(new Uint8Array(share))),
        (await limited.createUpload('b', share)).sendPart(1, contentOfBytes(new Uint8Array(share))),
        drain(await limited.open('c')),
        drain(await limited.open('d')),
      ]);
      const took = (performance.now() - started) / 1000;
      const measured = (limit * seconds) / took;
      assert.ok(measured <= limit * 1.05, `${measured} bytes per second instead of ${limit}`);
      if (SECONDS === undefined) return;
      console.log(`      ${((measured / limit - 1) * 100).toFixed(2)} %`);
      assertWithin(measured, limit, 0.05, 'bytes per second');
    });
  }
});
