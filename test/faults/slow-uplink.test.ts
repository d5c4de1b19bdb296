/**
 * A large file over a slow uplink, to a far end that cuts every request after a while and closes idle sockets: it arrives,
 * because time-outs count silence and not duration, and what is under way follows the uplink.
 *
 * `SLOW_UPLINK=full`: to all providers, 200 MiB at 2 MB/s, requests cut after 10 s, sockets closed after 5. Else 20 MiB, and
 * to three of them: S3, with many parts at once, Dropbox, with large ones in a row, and Google Cloud Storage, where the last
 * bytes come with the completion.
 */

import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Execution } from '../../src/runner/execute.js';
import { ProgressTracker } from '../../src/runner/progress.js';
import { SlowLink } from '../servers/slow-link.js';
import { FAR_ENDS, type FarEnd } from './far-ends.js';
import { FaultBench } from './fault-bench.js';

const MIB = 1024 * 1024;
const IS_FULL = process.env.SLOW_UPLINK === 'full';
const SIZE = (IS_FULL ? 200 : 20) * MIB;
const LINK = IS_FULL
  ? { bytesPerSecond: 2_000_000, cutAfterMs: 10_000, idleMs: 5_000 }
  : { bytesPerSecond: 3_000_000, cutAfterMs: 5_000, idleMs: 500 };
const PROVIDERS = IS_FULL ? Object.keys(FAR_ENDS) : ['s3', 'dropbox', 'google-cloud-storage'];

/** Looks at a run's progress, as Node-RED is shown it, several times a second. */
function watchProgress(execution: Execution, link: SlowLink) {
  const tracker = new ProgressTracker({ runId: 'run', taskId: 'task', task: 'task' });
  const samples: { percent: number; done: number; total: number; passed: number; raw: number }[] = [];
  const look = () => {
    const now = execution.progress();
    tracker.update(now);
    const { percent, bytes } = tracker.current();
    samples.push({ percent, ...bytes, passed: link.passed, raw: now.bytes.done });
  };
  const timer = setInterval(look, 50);
  void execution.result.then(() => {
    look();
    clearInterval(timer);
  });
  return samples;
}

describe('a slow uplink whose far end cuts requests', function () {
  this.timeout(IS_FULL ? 900_000 : 180_000);

  for (const provider of PROVIDERS) {
    it(`carries a file of ${SIZE / MIB} MiB to ${provider}`, async () => {
      const farEnd: FarEnd = await FAR_ENDS[provider]!();
      const link = await SlowLink.start(farEnd.url, LINK);
      const bench = new FaultBench(farEnd, link.endpoint, 'run');
      const content = randomFillSync(Buffer.alloc(SIZE));
      try {
        mkdirSync(bench.local);
        writeFileSync(join(bench.local, 'large.bin'), content);
        let samples: ReturnType<typeof watchProgress> = [];
        const startedAt = performance.now();
        const run = await bench.run({
          watch: (execution) => {
            samples = watchProgress(execution, link);
          },
        });
        const seconds = (performance.now() - startedAt) / 1000;
        console.log(
          `      ${provider}: ${seconds.toFixed(1)} s, ${link.cuts} requests cut, ${link.closed} sockets closed, ${(link.passed / SIZE).toFixed(2)} of the file sent`,
        );
        assert.deepEqual([run.status, run.said], ['success', []]);
        // Chunks that go one after the other, of 16 MiB at most, may each be through in time.
        if (provider !== 'google-cloud-storage') assert.ok(link.cuts > 0);
        for (const [index, sample] of samples.entries()) {
          const before = samples[index - 1];
          assert.ok(sample.percent <= 100 && sample.done <= sample.total, 'progress passed 100 %');
          assert.ok(
            sample.raw <= sample.passed + 1,
            `${sample.raw} bytes are said to have arrived, ${sample.passed} did`,
          );
          if (before === undefined) continue;
          assert.ok(sample.percent >= before.percent, 'the percentage ran back');
          assert.ok(sample.raw >= before.raw && sample.done >= before.done, 'the bytes ran back');
        }
        assert.equal(samples.at(-1)?.raw, SIZE);
        const direct = new FaultBench(farEnd, farEnd.url, 'run');
        try {
          assert.deepEqual((await direct.pull()).said, []);
          assert.ok(readFileSync(join(direct.restored, 'large.bin')).equals(content));
        } finally {
          direct.dispose();
        }
      } finally {
        await link.stop();
        await farEnd.stop();
        bench.dispose();
      }
    });
  }
});
