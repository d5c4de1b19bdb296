/**
 * Whole runs over a network that loses things: some requests at random, or all of them for a while.
 *
 * `NETWORK=full`: 5,000 files to each provider, and outages of a minute, broken and silent. Else 300 files, and outages of
 * two seconds; that longer ones are waited for too is shown in `test/stores/outage.test.ts`.
 */

import assert from 'node:assert/strict';
import { readTree, writeTree } from '../engine/support.js';
import { type Fault, type FaultProxy, startFaultProxy } from '../servers/fault-proxy.js';
import { Random } from '../soak/random.js';
import { FAR_ENDS, type FarEnd } from './far-ends.js';
import { FaultBench } from './fault-bench.js';

const IS_FULL = process.env.NETWORK === 'full';
const FILES = IS_FULL ? 5_000 : 300;
const OUTAGE_MS = IS_FULL ? 60_000 : 2_000;
/** Of requests. */
const LOST_SHARE = 0.05;

const TREE = Object.fromEntries(
  Array.from({ length: FILES }, (_, at) => [`folder ${at % 20}/${at}.txt`, `content ${at}`]),
);

describe('a network that loses requests', function () {
  this.timeout(IS_FULL ? 1_800_000 : 180_000);

  for (const [provider, start] of Object.entries(FAR_ENDS)) {
    describe(provider, () => {
      let farEnd: FarEnd;
      let proxy: FaultProxy;
      let bench: FaultBench;
      let count = 0;
      before(async () => {
        farEnd = await start();
        proxy = await startFaultProxy(farEnd.url);
      });
      after(async () => {
        await proxy?.stop();
        await farEnd?.stop();
      });
      beforeEach(() => {
        bench = new FaultBench(farEnd, proxy.endpoint, `run-${++count}`);
        writeTree(bench.local, TREE);
      });
      afterEach(() => {
        proxy.rule = undefined;
        bench.dispose();
      });

      const assertSuccess = (run: Awaited<ReturnType<FaultBench['run']>>) =>
        assert.deepEqual([run.status, run.said, run.transferred.files], ['success', [], FILES]);

      it(`5 % of them at random: ${FILES} files are pushed and pulled`, async () => {
        const seed = Math.floor(Math.random() * 2 ** 31);
        const random = new Random(seed);
        let lost = 0;
        proxy.rule = () => {
          if (!random.chance(LOST_SHARE)) return undefined;
          lost++;
          // On its way there, or on its way back.
          return random.chance(0.5) ? { cutRequestAfter: 0 } : { loseAnswer: true };
        };
        const startedAt = performance.now();
        assertSuccess(await bench.run({ lease: true }));
        assertSuccess(await bench.pull());
        const seconds = Math.round((performance.now() - startedAt) / 1000);
        console.log(
          `      ${provider}, seed ${seed}: ${lost} of ${proxy.requests.length} lost, ${seconds} s`,
        );
        assert.ok(lost > 0);
        assert.deepEqual(readTree(bench.restored), TREE);
      });

      /** All requests that come within the outage, which begins with the 20th, suffer `fault`. */
      const outage = (fault: Fault) => {
        let requests = 0;
        let end = Number.POSITIVE_INFINITY;
        let lost = 0;
        proxy.rule = () => {
          if (++requests === 20) end = performance.now() + OUTAGE_MS;
          if (requests < 20 || performance.now() > end) return undefined;
          lost++;
          return fault;
        };
        return () => lost;
      };
      const outages: Record<string, Fault> = { broken: { cutRequestAfter: 0 } };
      // A silent one shows only when nothing was heard for a minute.
      if (IS_FULL) outages.silent = { stall: true };

      for (const [kind, fault] of Object.entries(outages)) {
        it(`all of them for ${OUTAGE_MS / 1000} s, ${kind}: waits and goes on`, async () => {
          const lostBy = outage(fault);
          const startedAt = performance.now();
          assertSuccess(await bench.run({ lease: true }));
          const seconds = (performance.now() - startedAt) / 1000;
          if (IS_FULL)
            console.log(`      ${provider}, ${kind}: ${lostBy()} requests lost, ${Math.round(seconds)} s`);
          assert.ok(lostBy() > 0 && seconds * 1000 > OUTAGE_MS);
          proxy.rule = undefined;
          assertSuccess(await bench.pull());
          assert.deepEqual(readTree(bench.restored), TREE);
        });
      }
    });
  }
});
