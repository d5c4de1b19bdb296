/**
 * The bandwidth limit of whole runs, measured on their way to a server and back: many small files and one large one.
 * BANDWIDTH_SECONDS=20 measures for longer than the few seconds that the suite has time for.
 */

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { execute } from '../../src/runner/execute.js';
import type { TaskSettings } from '../../src/runner/task.js';
import { runRequest } from '../runner/support.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { BUCKET } from '../stores/s3-support.js';
import { removeFolder, temporaryFolder, writeTree } from './support.js';

const SECONDS = Number(process.env.BANDWIDTH_SECONDS ?? 4);
/** Files a second: the limit is to be what counts, not the requests. */
const FILES_A_SECOND = 20;
const LIMITS = [1_000_000, 10_000_000];

describe('a bandwidth limit at a server', function () {
  this.timeout(120_000);
  // A machine that is busy with other things doesn't reach the limit for a moment: tried again, for longer, so that a
  // moment weighs less. A limit that is really passed fails every attempt.
  this.retries(3);
  let server: S3Server;
  let folder: string;
  /** Counts attempts: each has files and a prefix of its own, for one that finds its files there transfers nothing. */
  let attempt = 0;
  beforeEach(() => {
    attempt++;
  });

  before(async () => {
    server = await startS3Server({ buckets: [BUCKET] });
    folder = temporaryFolder();
  });
  after(async () => {
    await server.stop();
    removeFolder(folder);
  });

  /** Mean bytes per second over the run, its beginning and end left out, where requests and looks take part. */
  const measure = async (limit: number, task: Partial<TaskSettings>): Promise<number> => {
    const { url: endpoint, region, accessKeyId, secretAccessKey } = server;
    const request = runRequest(join(folder, 'data'), {
      credential: {
        id: 'c',
        name: '',
        provider: 's3',
        config: { endpoint, region },
        secrets: { accessKeyId, secretAccessKey },
      },
      bucket: BUCKET,
      folder: `attempt-${attempt}`,
      path: join(folder, `${attempt}`),
      bandwidthLimit: [{ time: '00:00', bandwidth: limit }],
      chunkSize: 5,
      lease: false,
      ...task,
    });
    const host = { signal: new AbortController().signal, phase: () => {}, log: () => {} };
    const running = execute(request, host);
    const samples: { at: number; bytes: number }[] = [];
    let isOver = false;
    void running.result.then(() => {
      isOver = true;
    });
    while (!isOver) {
      samples.push({ at: performance.now(), bytes: running.progress().bytes.done });
      await delay(20);
    }
    const result = await running.result;
    assert.deepEqual([result.status, result.errors], ['success', []]);
    const total = result.transferred.bytes;
    const counted = samples.filter(
      ({ bytes }, index) =>
        bytes > total * 0.1 && bytes < total * 0.95 && bytes !== samples[index - 1]?.bytes,
    );
    const [first, last] = [counted[0], counted.at(-1)];
    assert.ok(first !== undefined && last !== undefined && last.at > first.at, 'all was there at once');
    const measured = ((last.bytes - first.bytes) / (last.at - first.at)) * 1000;
    if (process.env.BANDWIDTH_SECONDS !== undefined)
      console.log(`      ${task.direction}: ${measured} bytes/s`);
    return measured;
  };

  const kept = (measured: number, limit: number) => {
    const percent = (measured / limit - 1) * 100;
    assert.ok(Math.abs(percent) < 5, `${(measured / 1e6).toFixed(2)} MB/s, ${percent.toFixed(1)} % off`);
  };

  for (const limit of LIMITS) {
    let seconds = SECONDS / 2;
    it(`of ${limit / 1e6} MB/s is kept within 5 %, by a push and a pull`, async () => {
      seconds *= 2;
      const path = join(folder, `${attempt}`);
      const count = FILES_A_SECOND * seconds;
      const content = 'x'.repeat(limit / FILES_A_SECOND);
      writeTree(
        path,
        Object.fromEntries(Array.from({ length: count }, (_, at) => [`${at % 10}/${at}`, content])),
      );
      kept(await measure(limit, { direction: 'push' }), limit);
      rmSync(path, { recursive: true });
      kept(await measure(limit, { direction: 'pull' }), limit);
    });
  }

  it('is kept by the parts of a large file too', async () => {
    const limit = 10_000_000;
    writeTree(join(folder, `${attempt}`), { large: 'x'.repeat(limit * SECONDS) });
    const start = performance.now();
    await measure(limit, { direction: 'push', transfers: 1 });
    const seconds = (performance.now() - start) / 1000;
    // Nothing to be left out here: the hash is taken first, and the file ends with a part.
    assert.ok(seconds > SECONDS * 0.95, `${seconds} s`);
  });
});
