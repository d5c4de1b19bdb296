import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lowerPriority } from '../../src/runner/low-priority.js';
import { nicenessOfThreads } from './support.js';

/** Has the threads that every Node.js process has, and one of its own; makes another one when it is told to. */
const PROGRAM = `
const { Worker } = require('node:worker_threads');
const another = () => new Worker('setInterval(() => {}, 1000)', { eval: true }).once('online', () => console.log('up'));
another();
process.stdin.on('data', another);
`;

describe('Low priority', () => {
  before(function () {
    if (process.platform !== 'linux') this.skip();
  });

  it('is for all threads a process has and will have', async () => {
    const child = spawn(process.execPath, ['-e', PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      await once(child.stdout, 'data');
      const before = nicenessOfThreads(child.pid!);
      assert.ok(before.length > 2 && before.every((niceness) => niceness < 10), String(before));
      lowerPriority(child.pid!);
      child.stdin.write('another');
      await once(child.stdout, 'data');
      const after = nicenessOfThreads(child.pid!);
      assert.ok(after.length > before.length);
      assert.deepEqual([...new Set(after)], [10]);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('is nothing to a process that has ended', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await once(child, 'exit');
    lowerPriority(child.pid!);
  });
});
