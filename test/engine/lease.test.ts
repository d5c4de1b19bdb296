import assert from 'node:assert/strict';
import { Lease, type LeaseOptions, overlaps } from '../../src/engine/lease.js';
import { CloudSyncError } from '../../src/errors.js';
import { openMemoryStore } from '../../src/stores/memory.js';
import { openS3Account } from '../../src/stores/s3.js';
import type { Store } from '../../src/stores/store.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';

const LEASES = '.node-red-cloud-sync/leases/';

async function keysOf(store: Store): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of store.list()) keys.push(...page.map(({ key }) => key));
  return keys;
}

function optionsFor(store: Store, host: string, more: Partial<LeaseOptions> = {}): LeaseOptions {
  return {
    store,
    prefixes: ['photos/'],
    holder: { installation: host, host, taskId: `task-${host}`, task: `Task of ${host}` },
    durationMs: 60_000,
    signal: new AbortController().signal,
    ...more,
  };
}

describe('a lease', () => {
  it('compares prefixes segment by segment', () => {
    for (const [a, b] of [
      ['photos/', 'photos/'],
      ['photos/', 'photos/2026/'],
      ['', 'x/'],
    ] as const) {
      assert.equal(overlaps(a, b) && overlaps(b, a), true, `${a} ${b}`);
    }
    for (const [a, b] of [
      ['photos/', 'photos2/'],
      ['a/b/', 'a/c/'],
    ] as const) {
      assert.equal(overlaps(a, b) || overlaps(b, a), false, `${a} ${b}`);
    }
  });

  const stores: Record<string, () => Promise<{ store: Store; server?: S3Server; stop(): Promise<void> }>> = {
    memory: async () => ({ store: openMemoryStore(), stop: async () => {} }),
    'S3 that ignores conditions': async () => {
      const server = await startS3Server({ buckets: ['b'] });
      server.faults.add({ action: { type: 'ignore-conditions' } });
      const { accessKeyId, secretAccessKey } = server;
      const account = openS3Account(
        { endpoint: server.url, region: server.region },
        { accessKeyId, secretAccessKey },
        {},
      );
      return {
        store: account.openStore('b'),
        server,
        stop: async () => {
          await account.close();
          await server.stop();
        },
      };
    },
  };

  for (const [name, open] of Object.entries(stores)) {
    describe(`in ${name}`, () => {
      let place: Awaited<ReturnType<typeof open>>;
      beforeEach(async () => {
        place = await open();
      });
      afterEach(() => place.stop());

      const taken = async (options: LeaseOptions): Promise<Lease> => {
        const lease = await Lease.take(options);
        assert.ok(lease instanceof Lease, 'the lease was not given');
        return lease;
      };

      it('keeps another host out of what overlaps, says who holds it, and lets it in afterwards', async () => {
        const { store } = place;
        const mine = await taken(optionsFor(store, 'attic'));
        for (const prefixes of [['photos/'], ['photos/2026/'], ['']]) {
          assert.deepEqual(await Lease.take(optionsFor(store, 'cellar', { prefixes })), {
            host: 'attic',
            task: 'Task of attic',
            prefix: 'photos/',
          });
        }
        const elsewhere = await taken(optionsFor(store, 'cellar', { prefixes: ['photos2/'] }));
        await elsewhere.release();
        await mine.release();
        const theirs = await taken(optionsFor(store, 'cellar'));
        await theirs.release();
        assert.deepEqual(await keysOf(store), []);
      });

      it('is never held by two that begin together', async () => {
        const { store } = place;
        for (let round = 0; round < 25; round++) {
          const both = await Promise.all(
            ['attic', 'cellar', 'shed'].map((host) => Lease.take(optionsFor(store, host))),
          );
          const holders = both.filter((one) => one instanceof Lease);
          assert.ok(holders.length <= 1, `${holders.length} hold it`);
          for (const holder of holders) await holder.release();
        }
      });

      it('is waited for, and had as soon as the holder is gone', async () => {
        const { store } = place;
        const mine = await taken(optionsFor(store, 'attic', { durationMs: 3_000 }));
        let waited = 0;
        const waiting = Lease.wait(optionsFor(store, 'cellar', { durationMs: 600 }), () => {
          waited++;
          if (waited === 2) void mine.release();
        });
        const theirs = await waiting;
        assert.ok(waited >= 2);
        await theirs.release();
      });

      it('ends after its duration where its holder died', async () => {
        const { store } = place;
        await taken(optionsFor(store, 'attic', { durationMs: 1_500 })).then(forget);
        const startedAt = performance.now();
        const theirs = await Lease.wait(optionsFor(store, 'cellar', { durationMs: 1_500 }), () => {});
        const waitedMs = performance.now() - startedAt;
        // S3 keeps whole seconds.
        assert.ok(waitedMs < 4_000, `${waitedMs} ms`);
        await theirs.release();
      });

      it('is known to be lost by a holder that was held up while another took it', async () => {
        const { store } = place;
        const mine = await taken(optionsFor(store, 'attic', { durationMs: 1_000 }));
        await mine.confirm();
        forget(mine);
        const theirs = await Lease.wait(optionsFor(store, 'cellar', { durationMs: 60_000 }), () => {});
        await assert.rejects(mine.confirm(), { code: 'BUSY' });
        await mine.release();
        await theirs.confirm();
        await theirs.release();
      });

      it('of the same installation is no obstacle', async () => {
        const { store } = place;
        const dead = await taken(optionsFor(store, 'attic'));
        forget(dead);
        const again = await taken(optionsFor(store, 'attic'));
        await again.release();
      });

      it('leaves none of its versions', async () => {
        const store = place.server === undefined ? openMemoryStore({ versioned: true }) : place.store;
        const mine = await taken(optionsFor(store, 'attic'));
        await mine.release();
        let versions = 0;
        for await (const page of store.list({ versions: true })) {
          versions += page.filter((object) => object.isDeleteMarker !== true).length;
        }
        assert.equal(versions, 0);
      });

      it('is given back without the right to delete', async () => {
        const { store } = place;
        const remove = store.delete.bind(store);
        store.delete = async () => {
          throw new CloudSyncError('NO_PERMISSION', 'may not delete');
        };
        const mine = await taken(optionsFor(store, 'attic'));
        await mine.release();
        store.delete = remove;
        assert.equal((await keysOf(store)).filter((key) => key.startsWith(LEASES)).length, 1);
        const theirs = await taken(optionsFor(store, 'cellar'));
        await theirs.release();
      });
    });
  }

  /** The holder's process is gone, or stopped: it renews nothing. */
  function forget(lease: Lease): void {
    clearTimeout((lease as unknown as { timer: NodeJS.Timeout }).timer);
  }
});
