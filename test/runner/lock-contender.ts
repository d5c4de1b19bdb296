/** One of several processes that want the same lock; finds out whether it ever shared it. */

import { closeSync, openSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LockFiles } from '../../src/runner/lock-files.js';

async function contend(folder: string, shared: string, number: number, rounds: number) {
  const locks = new LockFiles(folder, { pollMs: 2 });
  const inside = join(shared, 'inside');
  let clashes = 0;
  for (let round = 0; round < rounds; round++) {
    const claims = [{ root: 'local', segments: ['a'], write: true, label: '/a' }];
    const lock = { runId: `run-${number}-${round}`, task: `${number}`, claims, pid: process.pid };
    const release = await locks.acquire(lock, new AbortController().signal, () => undefined);
    try {
      closeSync(openSync(inside, 'wx'));
      await delay(1);
      unlinkSync(inside);
    } catch {
      clashes++;
    }
    await release();
  }
  return { rounds, clashes };
}

process.on('message', (message: { folder: string; shared: string; number: number; rounds: number }) => {
  void contend(message.folder, message.shared, message.number, message.rounds).then((result) => {
    process.send?.(result);
  });
});
