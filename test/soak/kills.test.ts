import assert from 'node:assert/strict';
import { surviveKills } from './kills.js';

/** `npm run soak -- --kills 100` makes more of them. */
const KILLS = 20;
/** Another one each day; a day can be looked at again. */
const SEED = Number(process.env.SOAK_SEED ?? Math.floor(Date.now() / 86_400_000));

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
