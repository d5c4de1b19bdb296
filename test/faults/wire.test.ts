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
import type { Fault, LoggedRequest } from '../servers/fault-proxy.js';
import { EveryFarEnd, type Place } from './every-far-end.js';
import { FAR_ENDS, type FarEnd, type RequestKind } from './far-ends.js';
import type { BenchRun } from './fault-bench.js';

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

describe('faults on the wire, at every provider', function () {
  this.timeout(180_000);
  const farEnds = new EveryFarEnd();
  let restorePatience: (() => void)[] = [];
  before(async () => {
    await farEnds.start();
    restorePatience = Object.keys(FAR_ENDS).map(withoutPatienceForSilence);
  });
  after(async () => {
    for (const restore of restorePatience) restore();
    await farEnds.stop();
  });

  /** What is at the provider, read without faults. */
  const stored = async ({ bench, proxy }: Place): Promise<Tree> => {
    const { rule } = proxy;
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

  /** All of `source` is at `destination`, to the byte, and the report says just that. */
  const assertArrived = (run: BenchRun, source: Tree, destination: Tree) => {
    assert.deepEqual([run.status, run.said], ['success', []]);
    assert.equal(run.transferred.files, Object.keys(source).length);
    assert.deepEqual(Object.keys(destination).sort(), Object.keys(source).sort());
    for (const path of Object.keys(source))
      assert.ok(destination[path] === source[path], `"${path}" has other bytes`);
  };

  /** Puts the fault in place for requests of these kinds; gives a function that tells how often it struck. */
  const arm = ({ farEnd, proxy }: Place, wire: WireFault, kinds: RequestKind[]) => {
    let struck = 0;
    let seen = 0;
    proxy.rule = (request) => {
      if (!kinds.includes(farEnd.kindOf(request))) return undefined;
      if (wire.isLarge === true && request.bodySize < MIB) return undefined;
      if (seen++ % 3 !== 0 || struck >= wire.times) return undefined;
      struck++;
      return wire.fault(farEnd, request);
    };
    return () => struck;
  };

  for (const [name, wire] of Object.entries(FAULTS)) {
    const { kinds, tree = SMALL } = wire;
    const pushing = kinds.filter((kind) => kind !== 'read');
    const pulling = kinds.filter((kind) => kind !== 'write');
    const throughFault = async (place: Place) => {
      const { bench, farEnd } = place;
      writeTree(bench.local, tree);
      const pushStruck = arm(place, wire, pushing);
      const pushed = await bench.run({ chunkSize: CHUNK });
      assertArrived(pushed, tree, await stored(place));
      if (kinds.includes('write')) assert.ok(pushStruck() > 0, 'no push was struck');
      const pullStruck = arm(place, wire, pulling);
      const pulled = await bench.pull({ chunkSize: CHUNK });
      assertArrived(pulled, tree, readTree(bench.restored));
      if (kinds.includes('read')) assert.ok(pullStruck() > 0, 'no pull was struck');
      assert.equal(farEnd.unfinishedUploads?.() ?? 0, 0);
    };
    it(name, () => farEnds.each(throughFault, { oneByOne: tree === WITH_LARGE }));
  }

  it('connections refused for a while, in the middle', () =>
    farEnds.each(async (place) => {
      const { bench, proxy } = place;
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
      assert.ok(isBack !== undefined);
      await isBack;
      assertArrived(pushed, SMALL, await stored(place));
    }));

  it('wrong bytes each time: refused, reported, and none of them kept', () =>
    farEnds.each(async (place) => {
      const { bench, farEnd, proxy } = place;
      writeTree(bench.local, SMALL);
      const bad = 'folder 1/1.txt';
      await bench.run();
      writeFileSync(join(bench.local, bad), 'changed 1');
      proxy.rule = (request) => (farEnd.kindOf(request) === 'write' ? { corruptRequest: true } : undefined);
      const pushed = await bench.run();
      const paths = ({ errors }: BenchRun) => errors.map(({ path }) => path).sort();
      assert.deepEqual([pushed.status, paths(pushed), pushed.transferred.files], ['failed', [bad], 0]);
      // The bytes that were struck may have been those that describe the file.
      assert.match((await stored(place))[bad] ?? '', /^(content|changed) 1$/);
      proxy.rule = (request) => (farEnd.kindOf(request) === 'read' ? { corruptAnswer: true } : undefined);
      const pulled = await bench.pull();
      assert.deepEqual([pulled.status, paths(pulled)], ['failed', Object.keys(SMALL).sort()]);
      assert.equal(pulled.transferred.files, 0);
      assert.deepEqual(readTree(bench.restored), {});
    }));

  it('a clock that is half an hour off, either way', () =>
    farEnds.each(async (place) => {
      const { bench, farEnd } = place;
      // Azurite has the clock of this machine.
      if (farEnd.setClockOff === undefined) return assert.equal(farEnd.provider, 'azure-blob');
      for (const minutes of [30, -30]) {
        writeTree(bench.local, { ...SMALL, [`after ${minutes}`]: 'x' });
        farEnd.setClockOff(minutes * 60_000);
        const pushed = await bench.run();
        assert.deepEqual([pushed.status, pushed.said], ['success', []]);
      }
      assert.deepEqual(await stored(place), readTree(bench.local));
    }));

  const LISTS: Record<string, (entries: string[]) => string[]> = {
    'a page of the listing missing': (entries) => entries.slice(0, entries.length >> 1),
    'a page of the listing repeated': (entries) => [...entries, ...entries],
    'a listing that shows nothing yet': () => [],
    'a listing in disorder': (entries) => entries.reverse(),
  };
  for (const [name, change] of Object.entries(LISTS)) {
    it(`${name}: nothing is deleted that should not be`, () =>
      farEnds.each(async (place) => {
        const { bench, farEnd, proxy } = place;
        writeTree(bench.local, SMALL);
        await bench.run();
        await bench.pull();
        proxy.rule = (request) =>
          farEnd.kindOf(request) === 'list'
            ? { editAnswer: (page) => farEnd.editList(page, change) }
            : undefined;
        const pulled = await bench.run({ direction: 'pull', maxDelete: null });
        assert.equal(pulled.deleted, 0);
        assert.deepEqual(readTree(bench.restored), SMALL);
        rmSync(join(bench.local, 'folder 0/0.txt'));
        const pushed = await bench.run({ maxDelete: null });
        proxy.rule = undefined;
        const { 'folder 0/0.txt': deleted, ...kept } = await stored(place);
        assert.deepEqual(kept, readTree(bench.local));
        // What isn't listed can't be deleted yet.
        assert.equal(pushed.deleted, deleted === undefined ? 1 : 0);
      }));
  }
});
