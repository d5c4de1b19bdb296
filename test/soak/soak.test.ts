import assert from 'node:assert/strict';
import type { Kind } from './places.js';
import { inWords, SEED, soak } from './soak.js';

/**
 * Steps a store has to reach, and the time it may take for them, ms. Servers are left to `npm run soak`: which of their
 * answers a fault strikes depends on the time, so that a seed alone doesn't make the same run again.
 */
const PLAN: { kind: Kind; steps: number; withinMs: number }[] = [
  { kind: 'memory', steps: 200, withinMs: 30_000 },
  { kind: 'local', steps: 200, withinMs: 30_000 },
];
/** A run of steps shorter than this has shown nothing. */
const LEAST_STEPS = 40;

describe('a soak of random trees, edits, faults and aborts', () => {
  for (const { kind, steps, withinMs } of PLAN) {
    it(`loses nothing and tells no lie: ${kind}`, async function () {
      this.timeout(withinMs + 60_000);
      const result = await soak({ seed: SEED, kind, steps, withinMs });
      console.log(`      ${inWords(result)}`);
      assert.ok(result.steps >= Math.min(steps, LEAST_STEPS), `only ${result.steps} steps`);
      assert.ok((result.runs.success ?? 0) > result.steps / 4, 'hardly a run succeeds');
      assert.ok((result.runs.failed ?? 0) > 0 && (result.runs.aborted ?? 0) > 0, 'nothing ever goes wrong');
      const [descriptorsBefore, descriptors] = result.descriptors;
      const [resourcesBefore, resources] = result.resources;
      assert.ok(
        descriptors <= descriptorsBefore + 10,
        `${descriptorsBefore} descriptors became ${descriptors}`,
      );
      assert.ok(resources <= resourcesBefore + 10, `${resourcesBefore} resources became ${resources}`);
    });
  }
});
