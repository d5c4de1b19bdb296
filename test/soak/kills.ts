/** Kills: world after world, each with some processes killed in the middle of their runs. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { bundle } from './bundle.js';
import { KillChild } from './kill-child.js';
import { Places } from './places.js';
import { Random } from './random.js';
import { Broken, World, type WorldCounts, worldFolder } from './world.js';

export interface KillOptions {
  seed: number;
  kills: number;
  killsPerWorld?: number;
  firstWorld?: number;
  verbose?: boolean;
}

export interface KillResult extends WorldCounts {
  worlds: number;
  kills: number;
}

/** Throws {@link Broken}. */
export async function surviveKills(options: KillOptions): Promise<KillResult> {
  const { seed, kills, killsPerWorld = 5 } = options;
  const parent = mkdtempSync(join(tmpdir(), 'cloud-sync-kills-'));
  const programs = mkdtempSync(resolve('node_modules', '.soak-kills-'));
  const program = join(programs, 'child.cjs');
  const places = new Places();
  const result: KillResult = { runs: {}, faults: {}, codes: {}, worlds: 0, kills: 0 };
  try {
    await bundle('kill-child-main.ts', program);
    for (let number = options.firstWorld ?? 1; result.kills < kills; number++) {
      const random = new Random(seed * 1_000_003 + number);
      const folder = worldFolder(parent, number);
      const place = await places.make('s3', random, folder);
      const count = Math.min(killsPerWorld, kills - result.kills);
      const start = () => new KillChild(place.access!, program);
      try {
        await new World(folder, place, random, result, options.verbose ?? false).liveThroughKills(
          count,
          start,
        );
      } catch (error) {
        if (error instanceof Broken) {
          error.message = `seed ${seed}, world ${number}: npm run soak -- --kills 5 --seed ${seed} --world ${number}\n${error.message}`;
        }
        throw error;
      }
      rmSync(folder, { recursive: true, force: true });
      result.kills += count;
      result.worlds++;
    }
  } finally {
    await places.stop();
    rmSync(parent, { recursive: true, force: true });
    rmSync(programs, { recursive: true, force: true });
  }
  return result;
}
