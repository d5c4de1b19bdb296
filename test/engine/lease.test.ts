import assert from 'node:assert/strict';
import { Lease, type LeaseOptions, type LeaseRecord, overlaps } from '../../src/engine/lease.js';
import { CloudSyncError } from '../../src/errors.js';
import { contentOfBytes } from '../../src/stores/content.js';
import { openMemoryStore } from '../../src/stores/memory.js';
import { openS3Account } from '../../src/stores/s3.js';
import type { Store } from '../../src/stores/store.js';
import { type S3Server, startS3Server } from '../servers/s3/server.js';
import { until } from '../until.js';

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
    holder: { host, taskId: `task-${host}`, task: `Task of ${host}` },
    durationMs: 60_000,
    signal: new AbortController().signal,
    ...more,
  };
}

describe('a lease', () => {
  const sensitive = { features: { caseSensitive: true, normalizationSensitive: true } };

  it('compares prefixes segment by segment, as the store tells names apart', () => {
    for (const [a, b] of [
      ['photos/', 'photos/'],
      ['photos/', 'photos/2026/'],
      ['', 'x/'],
    ] as const) {
      assert.equal(overlaps(a, b, sensitive) && overlaps(b, a, sensitive), true, `${a} ${b}`);
    }
    for (const [a, b] of [
      ['photos/', 'photos2/'],
      ['a/b/', 'a/c/'],
    ] as const) {
      assert.equal(overlaps(a, b, sensitive) || overlaps(b, a, sensitive), false, `${a} ${b}`);
    }
    const folding = { features: { caseSensitive: false, normalizationSensitive: false } };
    assert.ok(overlaps('Caf\u00e9/', 'cafe\u0301/2026/', folding));
    assert.ok(!overlaps('Caf\u00e9/', 'cafe\u0301/2026/', sensitive));
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

      it('goes to exactly one of two that begin together, though neither waits', async () => {
        const { store } = place;
        for (let round = 0; round < 25; round++) {
          const both = await Promise.all(
            ['attic', 'cellar'].map((host) => Lease.take(optionsFor(store, host))),
          );
          const holders = both.filter((one) => one instanceof Lease);
          assert.equal(holders.length, 1, `${holders.length} hold it`);
          for (const holder of holders) await holder.release();
        }
      });

      it('is never held by two of many that begin together', async () => {
        const { store } = place;
        const hosts = ['attic', 'cellar', 'shed', 'garage', 'porch'];
        for (let round = 0; round < 10; round++) {
          const all = await Promise.all(hosts.map((host) => Lease.take(optionsFor(store, host))));
          const holders = all.filter((one) => one instanceof Lease);
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
        const theirs = await Lease.wait(optionsFor(store, 'cellar', { durationMs: 1_500 }), () => {});
        await theirs.release();
      });

      it('is known to be lost by a holder that was held up while another took it', async () => {
        const { store } = place;
        const mine = await taken(optionsFor(store, 'attic', { durationMs: 1_000 }));
        await mine.confirm();
        forget(mine);
        const theirs = await Lease.wait(optionsFor(store, 'cellar', { durationMs: 60_000 }), () => {});
        assert.equal(mine.isValid, false);
        await assert.rejects(async () => await mine.confirm(), { code: 'BUSY' });
        // Whoever lost it doesn't write it again, which would keep others out.
        assert.deepEqual((await keysOf(store)).length, 1);
        await mine.release();
        await theirs.confirm();
        await theirs.release();
      });

      it('that a killed run of this installation left is no obstacle; one of a living run is', async () => {
        const { store } = place;
        const record = new RecordInMemory();
        forget(await taken(optionsFor(store, 'attic', { record })));
        const held = await Lease.take(optionsFor(store, 'attic', { record }));
        assert.ok(!(held instanceof Lease));
        // A copy of the installation, which doesn't know of it, is another host, whatever it is called.
        record.killAll();
        assert.ok(!((await Lease.take(optionsFor(store, 'attic'))) instanceof Lease));
        const again = await taken(optionsFor(store, 'attic', { record }));
        assert.equal((await keysOf(store)).length, 1);
        await again.release();
        assert.deepEqual([...record.names], []);
      });

      it('lets nobody write while a late renewal is not through, and renews once for all', async () => {
        const { store } = place;
        const mine = await taken(optionsFor(store, 'attic', { durationMs: 1_000 }));
        forget(mine);
        const theirs = await Lease.wait(optionsFor(store, 'cellar', { durationMs: 60_000 }), () => {});
        const { write } = store;
        let writes = 0;
        store.write = async (...args) => {
          writes++;
          return await write.apply(store, args);
        };
        const outcomes = await Promise.allSettled(
          Array.from({ length: 20 }, async () => await mine.confirm()),
        );
        store.write = write;
        assert.ok(outcomes.every(({ status }) => status === 'rejected'));
        assert.equal(writes, 0);
        await mine.release();
        await theirs.release();
      });

      it('is looked at again where a renewal took so long that another took it meanwhile', async () => {
        const { store } = place;
        // S3 keeps whole seconds.
        const durationMs = place.server === undefined ? 1_000 : 5_000;
        const mine = await taken(optionsFor(store, 'attic', { durationMs }));
        const { write } = store;
        let theirs: Lease | undefined;
        // The renewal, begun in time, hangs until the lease is over and another host has it.
        store.write = async (...args) => {
          store.write = write;
          theirs = await Lease.wait(optionsFor(store, 'cellar', { durationMs: 60_000 }), () => {});
          return await write.apply(store, args);
        };
        await until(() => theirs !== undefined, 'it is theirs');
        await assert.rejects(async () => await mine.confirm(), { code: 'BUSY' });
        await theirs?.confirm();
        await theirs?.release();
        await mine.release();
      });

      it('is looked at again after the machine slept, which its monotonic clock does not show', async () => {
        const { store } = place;
        const mine = await taken(optionsFor(store, 'attic'));
        assert.equal(mine.confirm(), undefined);
        const { now } = Date;
        Date.now = () => now() + 55_000;
        try {
          assert.notEqual(mine.confirm(), undefined);
          await mine.confirm();
          await store.delete({ key: (await keysOf(store))[0]! });
          Date.now = () => now() + 110_000;
          const { list } = store;
          store.list = async function* () {};
          // Its own lease isn't there: somebody took it for over, and held one.
          await assert.rejects(async () => await mine.confirm(), { code: 'BUSY' });
          store.list = list;
        } finally {
          Date.now = now;
        }
        await mine.release();
      });

      it('is not kept from anybody by what is no lease', async () => {
        const { store } = place;
        for (const [index, text] of ['', '{}', 'null', '[1]', '{"prefixes":[1],"durationMs":1}'].entries()) {
          await store.write(`${LEASES}odd-${index}.json`, contentOfBytes(Buffer.from(text)));
        }
        const mine = await taken(optionsFor(store, 'attic'));
        await mine.release();
      });

      it('leaves none of its versions, nor markers of deletes', async () => {
        place.server?.createBucket({ name: 'b', versioning: 'Enabled' });
        const store = place.server === undefined ? openMemoryStore({ versioned: true }) : place.store;
        const mine = await taken(optionsFor(store, 'attic', { durationMs: 900 }));
        const versions = async () => {
          const ids: (string | undefined)[] = [];
          for await (const page of store.list({ versions: true })) {
            ids.push(...page.map(({ versionId }) => versionId));
          }
          return ids;
        };
        const [first] = await versions();
        await until(async () => !(await versions()).includes(first), 'the first one has gone');
        assert.equal((await versions()).length, 1);
        await mine.release();
        assert.deepEqual(await versions(), []);
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

  it('fails where leases may be written but not seen', async () => {
    const store = openMemoryStore();
    store.list = () => {
      throw new CloudSyncError('NO_PERMISSION', 'may not list');
    };
    await assert.rejects(Lease.take(optionsFor(store, 'attic')), { code: 'NO_PERMISSION' });
    const blind = openMemoryStore();
    blind.list = async function* () {};
    await assert.rejects(Lease.take(optionsFor(blind, 'attic', { durationMs: 1_000 })), {
      code: 'BAD_ANSWER',
    });
  });

  it('of a key that is confined to its prefix lies there', async () => {
    const store = openMemoryStore();
    const { list } = store;
    store.list = (options) => {
      if (options?.prefix?.startsWith('photos/') === true) return list.call(store, options);
      throw new CloudSyncError('NO_PERMISSION', 'may not list');
    };
    const mine = await Lease.take(optionsFor(store, 'attic'));
    assert.ok(mine instanceof Lease);
    assert.deepEqual(await Lease.take(optionsFor(store, 'cellar')), {
      host: 'attic',
      task: 'Task of attic',
      prefix: 'photos/',
    });
    await mine.release();
  });

  /** The holder's process is gone, or stopped: it renews nothing. */
  function forget(lease: Lease): void {
    clearTimeout((lease as unknown as { timer: NodeJS.Timeout }).timer);
  }
});

class RecordInMemory implements LeaseRecord {
  readonly names = new Set<string>();
  private readonly dead = new Set<string>();

  begin(name: string): void {
    this.names.add(name);
  }
  end(name: string): void {
    this.names.delete(name);
  }
  isLeftBehind(name: string): Promise<boolean> {
    return Promise.resolve(this.dead.has(name));
  }
  async endOthers(names: ReadonlySet<string>): Promise<void> {
    for (const name of this.dead) if (!names.has(name)) this.end(name);
  }
  killAll(): void {
    for (const name of this.names) this.dead.add(name);
  }
}
