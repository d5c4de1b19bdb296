import assert from 'node:assert/strict';
import { surviveKills } from './kills.js';
import { SEED } from './soak.js';

/** `npm run soak -- --kills 100` makes more of them, from another seed each time. */
const KILLS = 20;

describe('processes killed in the middle of their runs', function () {
  this.timeout(300_000);

  it('leave what the next run puts right, sending nothing again that had arrived', async () => {
    const { kills, worlds, runs } = await surviveKills({ seed: SEED, kills: KILLS });
    console.log(
      `      seed ${SEED}: ${kills} kills in ${worlds} worlds; after them ${runs.success} runs succeeded`,
    );
    assert.equal(kills, KILLS);
    assert.ok((runs.success ?? 0) > 0);
  });
});
