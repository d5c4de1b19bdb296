/** A soak: world after world from one seed, as many steps as asked for or as fit in a time. */

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Kind, Places } from './places.js';
import { Random } from './random.js';
import { Broken, World, type WorldCounts, worldFolder } from './world.js';

/** The same in every test run, so that a failure is a change's doing; `npm run soak` looks at others. */
export const SEED = Number(process.env.SOAK_SEED ?? 2026);

export interface SoakOptions {
  seed: number;
  kind: Kind;
  /** At least so many. */
  steps: number;
  /** Ends earlier where this time has passed, ms. */
  withinMs?: number;
  stepsPerWorld?: number;
  /** Begins with this world (from 1). */
  firstWorld?: number;
  verbose?: boolean;
}

export interface SoakResult extends WorldCounts {
  seed: number;
  kind: Kind;
  worlds: number;
  steps: number;
  durationMs: number;
  /** Open descriptors and resources of the process, after the first world and at the end. */
  descriptors: [number, number];
  resources: [number, number];
  /** Bytes of the heap, the same. */
  heap: [number, number];
}

/** Throws {@link Broken}, its trace headed by what to run to see it again. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { seed, kind, steps, withinMs = Number.POSITIVE_INFINITY, stepsPerWorld = 20 } = options;
  const parent = mkdtempSync(join(tmpdir(), 'cloud-sync-soak-'));
  const places = new Places();
  const startedAt = performance.now();
  const result: SoakResult = {
    seed,
    kind,
    runs: {},
    faults: {},
    codes: {},
    worlds: 0,
    steps: 0,
    durationMs: 0,
    descriptors: [0, 0],
    resources: [0, 0],
    heap: [0, 0],
  };
  try {
    for (let number = options.firstWorld ?? 1; result.steps < steps; number++) {
      if (performance.now() - startedAt > withinMs) break;
      // Each world from its own seed, so that one can be lived again without those before it.
      const random = new Random(seed * 1_000_003 + number);
      const folder = worldFolder(parent, number);
      const place = await places.make(kind, random, folder);
      const count = Math.min(stepsPerWorld, steps - result.steps);
      try {
        await new World(folder, place, random, result, options.verbose ?? false).live(count);
      } catch (error) {
        if (error instanceof Broken) {
          error.message = `seed ${seed}, world ${number}, step ${error.step}: npm run soak -- --store ${kind} --seed ${seed} --world ${number}\n${error.message}`;
        }
        throw error;
      }
      rmSync(folder, { recursive: true, force: true });
      result.steps += count;
      result.worlds++;
      if (result.worlds === 3) measure(result, 0);
    }
  } finally {
    await places.stop();
    rmSync(parent, { recursive: true, force: true });
  }
  measure(result, 1);
  result.durationMs = performance.now() - startedAt;
  return result;
}

/** One line for people. */
export function inWords(result: SoakResult): string {
  const { seed, kind, worlds, steps, runs, faults, durationMs, heap } = result;
  const struck = Object.values(faults).reduce((sum, count) => sum + count, 0);
  const kinds = Object.keys(faults).length;
  const ends = Object.entries(runs).map(([status, count]) => `${count} ${status}`);
  const megabytes = heap.map((bytes) => Math.round(bytes / 1e6)).join(' to ');
  return (
    `seed ${seed}, ${kind}: ${steps} steps in ${worlds} worlds, ${ends.join(', ')}; ` +
    `${struck} faults of ${kinds} kinds; heap ${megabytes} MB; ${(durationMs / 1000).toFixed(0)} s`
  );
}

function measure(result: SoakResult, at: 0 | 1): void {
  globalThis.gc?.();
  result.descriptors[at] = readdirSync('/proc/self/fd').length;
  result.resources[at] = process.getActiveResourcesInfo().length;
  result.heap[at] = process.memoryUsage().heapUsed;
}
