import assert from 'node:assert/strict';
import fc from 'fast-check';
import { configurationHash } from '../../src/runner/configuration.js';
import { ProgressTracker } from '../../src/runner/progress.js';
import { runRequest } from './support.js';

const NAMES = { runId: 'r', taskId: 't', task: 'Photos' };
const MIB = 1 << 20;

describe('Progress', () => {
  it('never runs back and never passes 100 %, whatever it is told', () => {
    const amount = fc.record({ done: fc.nat(1000), total: fc.nat(1000) });
    fc.assert(
      fc.property(fc.array(fc.record({ files: amount, bytes: amount }), { maxLength: 30 }), (updates) => {
        const tracker = new ProgressTracker(NAMES);
        let before = tracker.current();
        for (const update of updates) {
          tracker.update({ phase: 'transferring', ...update });
          const now = tracker.current();
          assert.ok(now.percent >= before.percent && now.percent <= 100);
          for (const kind of ['files', 'bytes'] as const) {
            assert.ok(now[kind].done >= before[kind].done && now[kind].done <= now[kind].total);
          }
          before = now;
        }
      }),
    );
  });

  it('has a speed measured over some seconds and the time left; both go when nothing arrives any more', () => {
    let time = 0;
    const tracker = new ProgressTracker(NAMES, () => time);
    for (let second = 0; second <= 20; second++) {
      time = second * 1000;
      tracker.update({
        phase: 'transferring',
        files: { done: 0, total: 1 },
        bytes: { done: second * MIB, total: 100 * MIB },
      });
      tracker.current();
    }
    const steady = tracker.current();
    assert.ok(Math.abs(steady.bytesPerSecond - MIB) < MIB / 100);
    assert.ok(Math.abs(steady.etaSeconds! - 80) <= 1, String(steady.etaSeconds));
    assert.equal(steady.percent, 19);
    for (let second = 21; second <= 40; second++) {
      time = second * 1000;
      tracker.current();
    }
    assert.equal(tracker.current().bytesPerSecond, 0);
    assert.equal(tracker.current().etaSeconds, null);
  });

  it('moves with many empty files too', () => {
    const tracker = new ProgressTracker(NAMES);
    tracker.update({ phase: 'transferring', files: { done: 50, total: 100 }, bytes: { done: 0, total: 0 } });
    assert.equal(tracker.current().percent, 50);
  });
});

describe('configurationHash', () => {
  it('is the same for the same configuration, whatever the run, its name and the order of properties', () => {
    const request = runRequest('/data', { include: ['a', 'b'] });
    const reversed = Object.fromEntries(
      Object.entries(request.task).reverse(),
    ) as unknown as typeof request.task;
    const renamed = { ...reversed, name: 'Other', whenBusy: 'skip' as const };
    const runAgain = { ...request, runId: 'x', task: renamed };
    assert.equal(configurationHash(runAgain), configurationHash(request));
  });

  it('changes with everything that changes what a run does, secrets included', () => {
    const request = runRequest('/data');
    const { credential } = request.task;
    const secrets = { ...credential.secrets, secretAccessKey: 'other' };
    const changes = [
      { include: ['a'] },
      { path: '/elsewhere' },
      { transfers: 3 },
      { credential: { ...credential, secrets } },
      { encryptionPassword: 'x' },
    ];
    const hashes = changes.map((change) =>
      configurationHash({ ...request, task: { ...request.task, ...change } }),
    );
    hashes.push(configurationHash(request), configurationHash({ ...request, operation: 'verify' }));
    assert.equal(new Set(hashes).size, changes.length + 2);
    assert.ok(!hashes.some((hash) => hash.includes('other')));
  });
});
