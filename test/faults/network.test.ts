/**
 * Whole runs over a network that loses things: some requests at random, or all of them for a while.
 *
 * `NETWORK=full`: 5,000 files to each provider (`NETWORK_PROVIDERS=s3,b2` for some of them), and outages of a minute, broken
 * and silent. Else 200 files, and outages of two seconds; that longer ones are waited for too is shown in
 * `test/stores/outage.test.ts`.
 */

import assert from 'node:assert/strict';
import { readTree, type Tree, writeTree } from '../engine/support.js';
import type { Fault } from '../servers/fault-proxy.js';
import { Random } from '../soak/random.js';
import { EveryFarEnd, type Place } from './every-far-end.js';
import type { BenchRun } from './fault-bench.js';

const IS_FULL = process.env.NETWORK === 'full';
const MANY = IS_FULL ? 5_000 : 200;
const FEW = 200;
const PROVIDERS = process.env.NETWORK_PROVIDERS?.split(',');
const OUTAGE_MS = IS_FULL ? 60_000 : 2_000;
/** Of requests. */
const LOST_SHARE = 0.05;

const treeOf = (files: number): Tree =>
  Object.fromEntries(
    Array.from({ length: files }, (_, at) => [`folder ${at % 20}/${at}.txt`, `content ${at}`]),
  );

describe('a network that loses requests, to every provider', function () {
  this.timeout(IS_FULL ? 3_600_000 : 180_000);
  const farEnds = new EveryFarEnd(PROVIDERS);
  before(() => farEnds.start());
  after(() => farEnds.stop());

  const assertSuccess = (run: BenchRun, files: number) =>
    assert.deepEqual([run.status, run.said, run.transferred.files], ['success', [], files]);
  /** Says how it went; the full numbers are for people. */
  const say = ({ farEnd, proxy }: Place, what: string, lost: number, startedAt: number) => {
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    console.log(`      ${farEnd.provider}: ${what}, ${lost} of ${proxy.requests.length} lost, ${seconds} s`);
  };

  it(`5 % of them at random: ${MANY} files are pushed and pulled`, () =>
    farEnds.each(
      async (place) => {
        const { bench, proxy } = place;
        const tree = treeOf(MANY);
        writeTree(bench.local, tree);
        const seed = Math.floor(Math.random() * 2 ** 31);
        const random = new Random(seed);
        let lost = 0;
        proxy.requests.length = 0;
        proxy.rule = () => {
          if (!random.chance(LOST_SHARE)) return undefined;
          lost++;
          // On its way there, or on its way back.
          return random.chance(0.5) ? { cutRequestAfter: 0 } : { loseAnswer: true };
        };
        const startedAt = performance.now();
        assertSuccess(await bench.run({ lease: true }), MANY);
        assertSuccess(await bench.pull(), MANY);
        say(place, `seed ${seed}`, lost, startedAt);
        assert.ok(lost > 0);
        assert.deepEqual(readTree(bench.restored), tree);
      },
      { oneByOne: true },
    ));

  const OUTAGES: Record<string, Fault> = { broken: { cutRequestAfter: 0 } };
  // A silent one shows only when nothing was heard for a minute.
  if (IS_FULL) OUTAGES.silent = { stall: true };

  for (const [kind, fault] of Object.entries(OUTAGES)) {
    it(`all of them for ${OUTAGE_MS / 1000} s, ${kind}: waits and goes on`, () =>
      farEnds.each(async (place) => {
        const { bench, proxy } = place;
        const tree = treeOf(FEW);
        writeTree(bench.local, tree);
        let requests = 0;
        let end = Number.POSITIVE_INFINITY;
        let lost = 0;
        proxy.requests.length = 0;
        proxy.rule = () => {
          // In the middle of the files.
          if (++requests === 20) end = performance.now() + OUTAGE_MS;
          if (requests < 20 || performance.now() > end) return undefined;
          lost++;
          return fault;
        };
        const startedAt = performance.now();
        assertSuccess(await bench.run({ lease: true }), FEW);
        say(place, kind, lost, startedAt);
        assert.ok(lost > 0 && performance.now() - startedAt > OUTAGE_MS);
        proxy.rule = undefined;
        assertSuccess(await bench.pull(), FEW);
        assert.deepEqual(readTree(bench.restored), tree);
      }));
  }
});
