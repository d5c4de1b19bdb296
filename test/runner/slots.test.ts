import assert from 'node:assert/strict';
import { Slots } from '../../src/runner/slots.js';

const never = new AbortController().signal;
const ignore = () => undefined;

describe('Slots', () => {
  it('are given in order, as many as there are, and never two at once', async () => {
    const slots = new Slots(2);
    const granted: { name: number; at: number }[] = [];
    const startedAt = performance.now();
    const reasons: string[] = [];
    const take = async (name: number) => {
      const release = await slots.acquire(never, (why) => reasons.push(why));
      granted.push({ name, at: performance.now() });
      return release;
    };
    const [first, second, third] = [take(1), take(2), take(3)];
    const release = await first;
    await second;
    assert.deepEqual(reasons, ['Waiting for other runs to finish']);
    release();
    release();
    await third;
    assert.deepEqual(
      granted.map(({ name }) => name),
      [1, 2, 3],
    );
    // Timers of Node fire up to a millisecond early, never so much.
    assert.ok(granted[1]!.at - startedAt >= 45);
  });

  it('go to the next when who waits is aborted, in whichever way it waits', async () => {
    const slots = new Slots(1);
    const controller = new AbortController();
    const release = await slots.acquire(never, ignore);
    const waiting = slots.acquire(controller.signal, ignore);
    const last = slots.acquire(never, ignore);
    controller.abort();
    await assert.rejects(waiting, { code: 'ABORTED' });
    release();
    (await last)();
    const late = new AbortController();
    const spaced = slots.acquire(late.signal, ignore);
    late.abort();
    await assert.rejects(spaced, { code: 'ABORTED' });
    (await slots.acquire(never, ignore))();
  });
});
