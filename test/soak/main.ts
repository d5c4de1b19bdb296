/**
 * The soak on demand: `npm run soak -- --seed N --steps M --store s3`, or `--kills M` to kill the process of a run M times.
 * `--world W` lives that world alone and says all that happens. `--every-store` takes 1,000 steps on S3 and 200 on each
 * other store, from the seed of the test runs unless told another one. Ends with 1 where a rule was broken.
 */

import { parseArgs } from 'node:util';
import { surviveKills } from './kills.js';
import { KINDS } from './places.js';
import { inWords, SEED, soak } from './soak.js';
import { Broken } from './world.js';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      steps: { type: 'string', default: '1000' },
      store: { type: 'string', default: 's3' },
      kills: { type: 'string' },
      world: { type: 'string' },
      'every-store': { type: 'boolean', default: false },
    },
  });
  if (values['every-store']) {
    await soakEveryStore(values.seed === undefined ? SEED : Number(values.seed));
    return;
  }
  const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
  const kind = KINDS.find((one) => one === values.store);
  if (kind === undefined) throw new Error(`--store is one of ${KINDS.join(', ')}`);
  const one = values.world === undefined ? {} : { firstWorld: Number(values.world), verbose: true };
  const steps = values.world === undefined ? Number(values.steps) : 20;
  console.log(`seed ${seed}`);
  await saying(async () => {
    const result =
      values.kills === undefined
        ? await soak({ seed, kind, steps, ...one })
        : await surviveKills({ seed, kills: Number(values.kills), ...one });
    return JSON.stringify(result, undefined, 2);
  });
}

async function soakEveryStore(seed: number): Promise<void> {
  for (const kind of KINDS) {
    await saying(async () => inWords(await soak({ seed, kind, steps: kind === 's3' ? 1_000 : 200 })));
  }
}

/** Prints what comes out, or which rule was broken and what led to it. */
async function saying(work: () => Promise<string>): Promise<void> {
  try {
    console.log(await work());
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    console.log(error.message);
    process.exitCode = 1;
  }
}

void main();
