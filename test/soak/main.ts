/**
 * The soak on demand: `npm run soak -- --seed N --steps M --store s3`. `--world W` begins with that world and says all
 * that happens. Ends with 1 where a rule was broken.
 */

import { parseArgs } from 'node:util';
import { KINDS, type Kind } from './places.js';
import { soak } from './soak.js';
import { Broken } from './world.js';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      steps: { type: 'string', default: '1000' },
      store: { type: 'string', default: 's3' },
      world: { type: 'string' },
    },
  });
  const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
  const kind = KINDS.find((one) => one === values.store);
  if (kind === undefined) throw new Error(`--store is one of ${KINDS.join(', ')}`);
  const world = values.world === undefined ? undefined : Number(values.world);
  const steps = world === undefined ? Number(values.steps) : 20;
  await run(seed, kind, steps, world);
}

async function run(seed: number, kind: Kind, steps: number, firstWorld: number | undefined): Promise<void> {
  console.log(`seed ${seed}`);
  try {
    const result = await soak({
      seed,
      kind,
      steps,
      verbose: firstWorld !== undefined,
      ...(firstWorld === undefined ? {} : { firstWorld }),
    });
    console.log(JSON.stringify(result, undefined, 2));
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    console.log(error.message);
    process.exitCode = 1;
  }
}

void main();
