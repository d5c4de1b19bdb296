/** Staleness in fake time: how soon it is said, how often, and what counts as a success. */

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import sinon from 'sinon';
import type { ConfiguredNode } from '../../nodes/requests.js';
import { isStale, watchStaleness } from '../../nodes/stale-watch.js';
import type { NodeRunState } from '../../src/runner/runner.js';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

class FakeNode extends EventEmitter {
  readonly sent: unknown[][] = [];
  readonly statuses: unknown[] = [];
  readonly saved: ConfiguredNode['saved'];
  constructor(
    readonly id: string,
    staleAfter: unknown,
  ) {
    super();
    this.saved = { id, type: 'cloud-sync', name: 'Photos', staleAfter } as ConfiguredNode['saved'];
  }
  send(outputs: unknown[]): void {
    this.sent.push(outputs);
  }
  status(status: unknown): void {
    this.statuses.push(status);
  }
  warn(text: string): void {
    assert.fail(text);
  }
  get asNode(): ConfiguredNode {
    return this as unknown as ConfiguredNode;
  }
}

describe('a task without a success', () => {
  let clock: sinon.SinonFakeTimers;
  let state: NodeRunState;
  let count = 0;

  beforeEach(() => {
    clock = sinon.useFakeTimers({
      now: Date.UTC(2026, 0, 1),
      toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'],
    });
    state = { status: 'success', succeededAt: new Date().toISOString() } as unknown as NodeRunState;
  });
  afterEach(() => clock.restore());

  const watch = (staleAfter: unknown): FakeNode => {
    count++;
    const node = new FakeNode(`stale-${count}`, staleAfter);
    watchStaleness(node.asNode, async () => state);
    return node;
  };

  it('is stale within a minute of a clock that was moved three days on, once, until it succeeds', async () => {
    const node = watch(48);
    await clock.tickAsync(10 * MINUTE);
    assert.deepEqual([node.sent, isStale(node.asNode, state)], [[], false]);
    clock.setSystemTime(Date.now() + 3 * DAY);
    await clock.tickAsync(MINUTE);
    assert.equal(node.sent.length, 1);
    assert.deepEqual(node.sent[0], [
      null,
      {
        payload: {
          status: 'stale',
          taskId: node.id,
          task: 'Photos',
          staleAfter: 48,
          succeededAt: state.succeededAt,
        },
      },
      null,
    ]);
    assert.ok(isStale(node.asNode, state));
    await clock.tickAsync(3 * DAY);
    assert.equal(node.sent.length, 1);
    state = { ...state, succeededAt: new Date().toISOString() };
    await clock.tickAsync(47 * 60 * MINUTE);
    assert.equal(node.sent.length, 1);
    await clock.tickAsync(61 * MINUTE);
    assert.equal(node.sent.length, 2);
    node.emit('close');
  });

  it('is not stale again because it was deployed again', async () => {
    const node = watch(1);
    await clock.tickAsync(2 * 60 * MINUTE);
    assert.equal(node.sent.length, 1);
    node.emit('close');
    const again = new FakeNode(node.id, 1);
    watchStaleness(again.asNode, async () => state);
    await clock.tickAsync(DAY);
    assert.deepEqual([node.sent.length, again.sent.length], [1, 0]);
    again.emit('close');
  });

  it('counts from its first failure where it never succeeded, and from now on where it never ran', async () => {
    state = {
      status: 'failed',
      failedSince: new Date(Date.now() - DAY).toISOString(),
    } as unknown as NodeRunState;
    const failing = watch(2);
    await clock.tickAsync(MINUTE);
    assert.equal(failing.sent.length, 1);
    state = { status: 'idle' } as unknown as NodeRunState;
    const fresh = watch(2);
    await clock.tickAsync(119 * MINUTE);
    assert.deepEqual([fresh.sent.length, isStale(fresh.asNode, state)], [0, false]);
    await clock.tickAsync(2 * MINUTE);
    assert.deepEqual([fresh.sent.length, isStale(fresh.asNode, state)], [1, true]);
    failing.emit('close');
    fresh.emit('close');
  });

  it('is never said where staleAfter is off', async () => {
    for (const off of ['', null, undefined]) {
      const node = watch(off);
      await clock.tickAsync(30 * DAY);
      assert.deepEqual(node.sent, []);
    }
  });
});
