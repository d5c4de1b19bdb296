/** When a run takes its lease, and what it does where another run wrote before it had it. */

import assert from 'node:assert/strict';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LateLease, PrefixInUse } from '../../src/engine/late-lease.js';
import { Lease } from '../../src/engine/lease.js';
import { CloudSyncError } from '../../src/errors.js';
import type { Store } from '../../src/stores/store.js';
import { until } from '../until.js';
import {
  type Bench,
  memoryBench,
  putObject,
  readStore,
  removeFolder,
  runOnce,
  writeTree,
} from './support.js';

describe('a lease that is taken late', () => {
  let bench: Bench;
  let asked: number;

  beforeEach(() => {
    bench = memoryBench();
    asked = 0;
  });
  afterEach(() => removeFolder(bench.folder));

  /** `meanwhile`: what another run does that has to be waited for. */
  function lateLease(meanwhile?: () => Promise<void>): LateLease {
    return new LateLease(async (signal, onWait) => {
      asked++;
      if (meanwhile !== undefined) {
        onWait();
        await meanwhile();
      }
      const holder = { host: 'here', taskId: 't', task: 'T' };
      const lease = await Lease.take({ store: bench.remote, prefixes: ['p/'], holder, signal });
      assert.ok(lease instanceof Lease);
      return lease;
    });
  }

  async function leases(): Promise<string[]> {
    return Object.keys(await readStore(bench.remote)).filter((key) => key.includes('/leases/'));
  }

  it('is not taken by a run that has nothing to change', async () => {
    writeTree(bench.localRoot, { a: 'one', b: 'two' });
    await runOnce(bench, { prefix: 'p/', lease: lateLease() });
    assert.equal(asked, 1);
    // Files that were just written are looked at again until their times are past, which counts as work.
    await until(async () => {
      asked = 0;
      const again = await runOnce(bench, { prefix: 'p/', lease: lateLease() });
      assert.deepEqual([again.checked, again.transferred.files, again.codes], [2, 0, []]);
      return asked === 0;
    }, 'a run takes no lease');
  });

  it('is taken for a changed file, and for one that is to be deleted, and given back', async () => {
    writeTree(bench.localRoot, { a: 'one', b: 'two', c: 'three' });
    await runOnce(bench, { prefix: 'p/', lease: lateLease() });
    writeFileSync(join(bench.localRoot, 'a'), 'changed');
    await runOnce(bench, { prefix: 'p/', lease: lateLease() });
    assert.equal(asked, 2);
    removeFolder(join(bench.localRoot, 'b'));
    const last = await runOnce(bench, { prefix: 'p/', lease: lateLease() });
    assert.deepEqual([asked, last.deleted, await leases()], [3, 1, []]);
    assert.deepEqual(await readStore(bench.remote, 'p/'), { a: 'changed', c: 'three' });
  });

  it('that had to be waited for makes the run list anew: what the other one sent is not sent again', async () => {
    writeTree(bench.localRoot, { a: 'one' });
    await runOnce(bench, { prefix: 'p/', lease: lateLease() });
    writeTree(bench.localRoot, { a: 'one', b: 'two' });
    const result = await runOnce(bench, {
      prefix: 'p/',
      lease: lateLease(() => putObject(bench.remote, 'p/b', 'two')),
    });
    assert.deepEqual([result.checked, result.transferred.files, result.files], [2, 0, { done: 0, total: 0 }]);
  });

  it('that had to be waited for finds what the other one replaced after it was listed as equal', async () => {
    writeTree(bench.localRoot, { a: 'one', b: 'two' });
    await runOnce(bench, { prefix: 'p/', lease: lateLease() });
    writeFileSync(join(bench.localRoot, 'b'), 'changed');
    const other = () => putObject(bench.remote, 'p/a', 'ONE');
    const result = await runOnce(bench, { prefix: 'p/', lease: lateLease(other) });
    assert.equal(result.transferred.files, 2);
    assert.deepEqual(await readStore(bench.remote, 'p/'), { a: 'one', b: 'changed' });
  });

  it('that had to be waited for lets nothing be deleted that only the first listing knew', async () => {
    writeTree(bench.localRoot, { a: 'one', b: 'two' });
    await runOnce(bench, { prefix: 'p/', lease: lateLease() });
    removeFolder(join(bench.localRoot, 'b'));
    const other = () => bench.remote.delete({ key: 'p/b' });
    const result = await runOnce(bench, { prefix: 'p/', lease: lateLease(other) });
    assert.deepEqual([result.deleted, result.codes], [0, []]);
  });

  it('reports a warning of a listing that was thrown away once', async () => {
    writeTree(bench.localRoot, { a: 'one' });
    await runOnce(bench, { prefix: 'p/', lease: lateLease() });
    symlinkSync('a', join(bench.localRoot, 'a link'));
    writeTree(bench.localRoot, { a: 'one', b: 'two' });
    const result = await runOnce(bench, { prefix: 'p/', lease: lateLease(async () => {}) });
    assert.deepEqual([result.warnings.length, result.transferred.files], [1, 1]);
  });

  it('that is not to be waited for ends the run with nothing done', async () => {
    writeTree(bench.localRoot, { a: 'one' });
    const lease = new LateLease(() =>
      Promise.reject(new PrefixInUse({ host: 'there', task: 'Other', prefix: 'p/' })),
    );
    await assert.rejects(runOnce(bench, { prefix: 'p/', lease }), PrefixInUse);
    assert.deepEqual(await readStore(bench.remote), {});
  });

  it('is not waited for any more by a run that has failed', async () => {
    const lease = new LateLease(
      (signal) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('given up')))),
    );
    // The first run of a task asks for its lease at once.
    writeTree(bench.localRoot, { a: 'one' });
    const wrapLocal = (store: Store) =>
      new Proxy(store, {
        get: (target, name) => {
          if (name === 'list') throw new CloudSyncError('IO_ERROR', 'The disk is gone');
          const value: unknown = Reflect.get(target, name, target);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    const result = await runOnce(bench, { prefix: 'p/', lease, wrapLocal });
    assert.deepEqual(result.codes, ['IO_ERROR']);
  });
});
