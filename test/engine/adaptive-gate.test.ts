/** How many files are in flight at once: as the far end and this process can take them. */

import assert from 'node:assert/strict';
import { setTimeout as after } from 'node:timers/promises';
import { AdaptiveGate } from '../../src/engine/adaptive-gate.js';
import { CloudSyncError } from '../../src/errors.js';

/** Lets so many files through, each of which takes `work`; gives the most that were in flight at once. */
async function most(gate: AdaptiveGate, files: number, work: () => Promise<void>): Promise<number> {
  let inFlight = 0;
  let highest = 0;
  const one = async () => {
    await gate.enter();
    inFlight++;
    highest = Math.max(highest, inFlight);
    await work();
    inFlight--;
    gate.leave();
  };
  await Promise.all(Array.from({ length: files }, one));
  return highest;
}

/** Keeps this process busy. */
function spin(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

describe('files in flight', () => {
  it('are as many as the user says', async () => {
    assert.equal(await most(new AdaptiveGate(3), 50, () => after(1)), 3);
  });

  it('become more where the far end is far away, and no more than there may be', async () => {
    const gate = new AdaptiveGate(null);
    assert.equal(await most(gate, 2_000, () => after(20)), 128);
    assert.equal(gate.maximum, 128);
  });

  it('stay fewer where this process has no time left', async () => {
    const busy = async () => {
      spin(1);
      await after(1);
    };
    assert.equal(await most(new AdaptiveGate(null), 1_000, busy), 64);
  });

  it('stay fewer where the line is full', async () => {
    assert.equal(await most(new AdaptiveGate(null), 400, () => after(300)), 64);
  });

  it('become fewer where the far end asks for it, and never so many again', async () => {
    const gate = new AdaptiveGate(null);
    await most(gate, 1_000, () => after(5));
    await gate.enter();
    gate.leave(new CloudSyncError('RATE_LIMITED', 'Slow down'));
    const next = await most(gate, 20, () => after(5));
    assert.ok(next <= 64, `${next} at once`);
    assert.ok((await most(gate, 3_000, () => after(5))) <= 64);
  });
});
