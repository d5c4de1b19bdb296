/**
 * What can go wrong on the wire, at every provider alike: a push and a pull through each fault; afterwards both sides are
 * compared byte for byte, and the report with what is true.
 */

import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type ProviderDescription, providerById } from '../../src/stores/registry.js';
import { readTree, type Tree, writeTree } from '../engine/support.js';
import { type Fault, type FaultProxy, type LoggedRequest, startFaultProxy } from '../servers/fault-proxy.js';
import { FAR_ENDS, type FarEnd, type RequestKind } from './far-ends.js';
import { type BenchRun, FaultBench } from './fault-bench.js';

const MIB = 1024 * 1024;
/** MiB of a part: the least that providers take. */
const CHUNK = 5;
const SMALL: Tree = Object.fromEntries(
  Array.from({ length: 10 }, (_, at) => [`folder ${at % 3}/${at}.txt`, `content ${at}`]),
);
/** With a file that every provider is sent in parts. */
const WITH_LARGE: Tree = { ...SMALL, 'large.bin': 'abcdefghijklmnop'.repeat((17 * MIB) / 16) };

/** A fault that strikes every third of the requests it is meant for, `times` of them. */
interface WireFault {
  /** Requests it is meant for. */
  kinds: RequestKind[];
  times: number;
  /** Only those with so many bytes, one way or the other. */
  isLarge?: boolean;
  tree?: Tree;
  /** What happens; asked for each of them. */
  fault(farEnd: FarEnd, request: LoggedRequest): Fault;
}

const TRANSFERS: RequestKind[] = ['write', 'read'];
const ALL: RequestKind[] = ['write', 'read', 'list', 'other'];

const FAULTS: Record<string, WireFault> = {
  'connections broken at once': { kinds: ALL, times: 6, fault: () => ({ cutRequestAfter: 0 }) },
  'a request reset after its first bytes': {
    kinds: ['write'],
    times: 3,
    fault: () => ({ cutRequestAfter: 5 }),
  },
  'a large request reset in its middle': {
    kinds: ['write'],
    times: 3,
    isLarge: true,
    tree: WITH_LARGE,
    fault: (_, { bodySize }) => ({ cutRequestAfter: bodySize >> 1 }),
  },
  'half a body, then the end': { kinds: ['read', 'list'], times: 3, fault: () => ({ cutAnswerAfter: 4 }) },
  'half of a large body, then the end': {
    kinds: ['read'],
    times: 3,
    tree: WITH_LARGE,
    fault: () => ({ cutAnswerAfter: 1_000_000 }),
  },
  'answers lost after the work was done': { kinds: ALL, times: 6, fault: () => ({ loseAnswer: true }) },
  'silence instead of an answer': { kinds: TRANSFERS, times: 2, fault: () => ({ stall: true }) },
  'silence in the middle of an answer': {
    kinds: ['read'],
    times: 2,
    fault: () => ({ stallAnswerAfter: 4 }),
  },
  'wrong bytes on their way there': {
    kinds: ['write'],
    times: 2,
    tree: WITH_LARGE,
    fault: () => ({ corruptRequest: true }),
  },
  'wrong bytes on their way back': {
    kinds: ['read'],
    times: 2,
    tree: WITH_LARGE,
    fault: () => ({ corruptAnswer: true }),
  },
  'another content named than the one that was sent': {
    kinds: ['write'],
    times: 1,
    fault: ({ wrongTag }) => wrongTag,
  },
  'a burst of 500': { kinds: ALL, times: 5, fault: ({ failure }) => ({ answer: failure }) },
  'a burst of 503 or 429': { kinds: ALL, times: 5, fault: ({ tooBusy }) => ({ answer: tooBusy(0) }) },
};

/** Opens the provider as runs do, but with a client that doesn't listen to silence for a minute. */
function withoutPatienceForSilence(provider: string): () => void {
  const description = providerById(provider) as { load: ProviderDescription['load'] };
  const { load } = description;
  description.load = async () => {
    const open = await load();
    const patience = { attempts: 4, connectTimeoutMs: 5_000, silenceMs: 1_000 };
    return (config, secrets, context) => open(config, secrets, { ...context, patience });
  };
  return () => {
    description.load = load;
  };
}

describe('faults on the wire', function () {
  this.timeout(120_000);

  for (const [provider, start] of Object.entries(FAR_ENDS)) {
    describe(provider, () => {
      let farEnd: FarEnd;
      let proxy: FaultProxy;
      let bench: FaultBench;
      let restorePatience: () => void;
      let count = 0;
      before(async () => {
        farEnd = await start();
        proxy = await startFaultProxy(farEnd.url);
        restorePatience = withoutPatienceForSilence(provider);
      });
      after(async () => {
        restorePatience?.();
        await proxy?.stop();
        await farEnd?.stop();
      });
      beforeEach(() => {
        bench = new FaultBench(farEnd, proxy.endpoint, `run-${++count}`);
      });
      afterEach(() => {
        proxy.rule = undefined;
        farEnd.setClockOff?.(0);
        bench.dispose();
      });

      /** What is at the provider, read without faults. */
      const stored = async (): Promise<Tree> => {
        const rule = proxy.rule;
        proxy.rule = undefined;
        const path = join(bench.root, 'looked-at');
        rmSync(path, { recursive: true, force: true });
        const run = await bench.pull({ taskId: 'look', path });
        assert.ok(
          run.said.every((text) => text.startsWith('SOURCE_EMPTY')),
          run.said.join(),
        );
        proxy.rule = rule;
        return readTree(path);
      };

      /** What the report says of `source` and what is true of `destination`. */
      const assertTrue = (run: BenchRun, source: Tree, destination: Tree) => {
        const paths = Object.keys(destination);
        for (const path of paths) assert.ok(destination[path] === source[path], `"${path}" has other bytes`);
        const missing = Object.keys(source).filter((path) => destination[path] === undefined);
        const failed = run.errors.map(({ path }) => path).filter((path) => path !== '');
        assert.equal(run.status, run.errors.length === 0 ? 'success' : 'failed');
        assert.deepEqual(
          missing.filter((path) => !failed.includes(path)),
          [],
          'missing, and not reported',
        );
        assert.ok(run.transferred.files <= paths.length, 'more reported than arrived');
      };

      for (const [name, { kinds, times, isLarge = false, tree = SMALL, fault }] of Object.entries(FAULTS)) {
        it(name, async () => {
          writeTree(bench.local, tree);
          let struck = 0;
          let seen = 0;
          const arm = (direction: RequestKind[]) => {
            struck = 0;
            seen = 0;
            proxy.rule = (request) => {
              const kind = farEnd.kindOf(request);
              if (!kinds.includes(kind) || !direction.includes(kind)) return undefined;
              if (isLarge && request.bodySize < MIB) return undefined;
              if (seen++ % 3 !== 0 || struck >= times) return undefined;
              struck++;
              return fault(farEnd, request);
            };
          };
          const strikes = (direction: RequestKind[]) => kinds.some((kind) => direction.includes(kind));
          const pushing: RequestKind[] = ['write', 'list', 'other'];
          const pulling: RequestKind[] = ['read', 'list', 'other'];

          arm(pushing);
          const pushed = await bench.run({ chunkSize: CHUNK });
          if (kinds.includes('write')) assert.ok(struck > 0, 'no push was struck');
          assertTrue(pushed, tree, await stored());
          assert.deepEqual(
            [pushed.status, pushed.said, pushed.transferred.files],
            ['success', [], Object.keys(tree).length],
          );

          if (!strikes(pulling)) return;
          arm(pulling);
          const pulled = await bench.pull({ chunkSize: CHUNK });
          if (kinds.includes('read')) assert.ok(struck > 0, 'no pull was struck');
          assertTrue(pulled, tree, readTree(bench.restored));
          assert.deepEqual(
            [pulled.status, pulled.said, pulled.transferred.files],
            ['success', [], Object.keys(tree).length],
          );
        });
      }

      it('connections refused for a while, in the middle', async () => {
        writeTree(bench.local, SMALL);
        let requests = 0;
        let isBack: Promise<void> | undefined;
        proxy.rule = () => {
          if (++requests !== 8) return undefined;
          isBack = proxy
            .refuseConnections()
            .then(() => delay(300))
            .then(() => proxy.acceptConnections());
          return undefined;
        };
        const pushed = await bench.run({ transfers: 2 });
        await isBack;
        assert.ok(isBack !== undefined);
        assert.deepEqual([pushed.status, pushed.said, pushed.transferred.files], ['success', [], 10]);
        assertTrue(pushed, SMALL, await stored());
      });

      it('wrong bytes each time: refused, reported, and none of them kept', async () => {
        writeTree(bench.local, SMALL);
        const bad = 'folder 1/1.txt';
        await bench.run();
        writeFileSync(join(bench.local, bad), 'changed 1');
        proxy.rule = (request) => (farEnd.kindOf(request) === 'write' ? { corruptRequest: true } : undefined);
        const pushed = await bench.run();
        assert.equal(pushed.status, 'failed');
        assert.deepEqual(
          pushed.errors.map(({ path }) => path),
          [bad],
        );
        assert.deepEqual(pushed.transferred, { files: 0, bytes: 0 });
        // The bytes that were struck may have been those that describe the file.
        assert.match((await stored())[bad] ?? '', /^(content|changed) 1$/);
        proxy.rule = (request) => (farEnd.kindOf(request) === 'read' ? { corruptAnswer: true } : undefined);
        const pulled = await bench.pull();
        assert.equal(pulled.status, 'failed');
        assert.deepEqual(pulled.transferred, { files: 0, bytes: 0 });
        assert.deepEqual(pulled.errors.map(({ path }) => path).sort(), Object.keys(SMALL).sort());
        assert.deepEqual(readTree(bench.restored), {});
      });

      it('a clock that is half an hour off, either way', async () => {
        // Azurite has the clock of this machine.
        if (farEnd.setClockOff === undefined) return assert.equal(provider, 'azure-blob');
        for (const minutes of [30, -30]) {
          writeTree(bench.local, { ...SMALL, [`after ${minutes}`]: 'x' });
          farEnd.setClockOff(minutes * 60_000);
          const pushed = await bench.run();
          assert.deepEqual([pushed.status, pushed.said], ['success', []]);
        }
        assertTrue(await bench.run(), readTree(bench.local), await stored());
      });

      const LISTS: Record<string, (entries: string[]) => string[]> = {
        'a page of the listing missing': (entries) => entries.slice(0, entries.length >> 1),
        'a page of the listing repeated': (entries) => [...entries, ...entries],
        'a listing that shows nothing yet': () => [],
        'a listing in disorder': (entries) => entries.reverse(),
      };
      for (const [name, change] of Object.entries(LISTS)) {
        it(`${name}: nothing is deleted or written anew that should not be`, async () => {
          writeTree(bench.local, SMALL);
          await bench.run();
          await bench.pull();
          proxy.rule = (request) =>
            farEnd.kindOf(request) === 'list'
              ? { editAnswer: (page) => farEnd.editList(page, change) }
              : undefined;
          const pulled = await bench.run({ direction: 'pull', maxDelete: null });
          assert.deepEqual(readTree(bench.restored), SMALL);
          assert.equal(pulled.deleted, 0);
          rmSync(join(bench.local, 'folder 0/0.txt'));
          const pushed = await bench.run({ maxDelete: null });
          proxy.rule = undefined;
          const left: Tree = await stored();
          const { 'folder 0/0.txt': gone, ...kept } = left;
          assert.deepEqual(kept, readTree(bench.local));
          // What isn't listed can't be deleted yet.
          assert.equal(pushed.deleted, gone === undefined ? 1 : 0);
        });
      }
    });
  }
});
