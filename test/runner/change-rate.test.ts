import assert from 'node:assert/strict';
import { Runner } from '../../src/runner/runner.js';
import { until } from '../until.js';
import { bundle, Recorder, runRequest, temporaryFolder } from './support.js';

describe('Changes told to the editors', () => {
  let runner: Runner;
  let dataFolder: string;

  before(async () => {
    dataFolder = temporaryFolder();
    runner = new Runner({ dataFolder, childFile: await bundle('fake-child'), maxRuns: 2 });
  });
  after(() => runner.stop());

  it('are at most two a second for each task, however many tasks and messages there are', async () => {
    const nodes = Array.from({ length: 20 }, (_, index) => `node-${index}`);
    const told = new Map<string, number>();
    runner.onChange((nodeId) => told.set(nodeId, (told.get(nodeId) ?? 0) + 1));
    const start = performance.now();
    let submitted = 0;
    await until(() => {
      // Each is a change: the first begins or waits for a slot, the others wait or join the one that waits.
      for (const nodeId of nodes) {
        runner.submit(runRequest(dataFolder, { name: 'slow', taskId: nodeId }, { nodeId }), new Recorder());
        submitted += 1;
      }
      return performance.now() - start > 1600;
    }, 'one and a half seconds of messages');
    const most = 2 + (performance.now() - start) / 500;
    assert.ok(submitted >= 60);
    assert.equal(told.size, nodes.length, 'every task is told of');
    for (const [nodeId, count] of told) assert.ok(count <= most, `${nodeId}: ${count} of ${most}`);
  });
});
