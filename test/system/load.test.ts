/**
 * Twenty tasks started at once, while another flow of the same Node-RED ticks every 100 ms: no tick may be more than 25 ms
 * later than while it is idle. A tick may also be late because the machine is busy with something else. So a process beside
 * Node-RED, of the same priority, does nothing but tick in the same way, and how late that was is allowed for (`ALLOWANCE`).
 * This counts twice: for how late ticks were, and for what is left of that without what Linux says that the thread waited
 * for a processor (`/proc/PID/schedstat`; all waiting since the tick before, so rather too much).
 */

import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { FlowNode } from '../../scripts/demo/node-red.js';
import { until } from '../until.js';
import { BUCKET, Station } from './station.js';

const TASKS = 20;
const FILES = Number(process.env.LOAD_FILES ?? 100);
const TICK_MS = 100;
/** How much later than idle a tick may be. ms. */
const MOST_LATE_MS = 25;
/**
 * Times the latest tick of the process beside it that a tick may be later still: of two processes a busy machine may let
 * one wait much longer. `LOAD_ALLOWANCE=0` asks for the bare {@link MOST_LATE_MS}, on a machine that does nothing else.
 */
const ALLOWANCE = Number(process.env.LOAD_ALLOWANCE ?? 4);
const IDLE_TICKS = 30;
/** What Node-RED itself and the process of one run may grow to. MiB. */
const NODE_RED_MB = 150;
const RUN_MB = 300;

/** Takes down when `tick` was called. */
const TAKE_DOWN = `
const schedule = '/proc/self/task/' + process.pid + '/schedstat';
const waitedMs = () => {
  try {
    return Number(require('node:fs').readFileSync(schedule, 'utf8').split(' ')[1]) / 1e6;
  } catch {
    return 0;
  }
};
let last;
let ticks = [];
const tick = () => {
  const now = { at: performance.now(), waited: waitedMs() };
  if (last !== undefined) {
    ticks.push({ late: now.at - last.at - ${TICK_MS}, waited: now.waited - last.waited });
  }
  last = now;
};
`;

/** A function for flows to call, and a route that gives and forgets what was taken down. */
const TICKER = `${TAKE_DOWN}
module.exports.functionGlobalContext.tick = tick;
module.exports.httpAdminMiddleware = (request, response, next) => {
  if (request.path !== '/ticks') return next();
  response.json(ticks);
  ticks = [];
};
`;

const BARE_TICKER = `${TAKE_DOWN}
setInterval(tick, ${TICK_MS});
process.on('message', () => {
  process.send(ticks);
  ticks = [];
});
process.send('ready');
`;

/** How late it came, and how long of that the thread waited for a processor. ms. */
interface Tick {
  late: number;
  waited: number;
}

interface Summary {
  ticks: number;
  /** ms. */
  latest: number;
  /** Without what the thread waited for a processor, ms. */
  ownLatest: number;
  ownTypical: number;
}

function summaryOf(ticks: readonly Tick[]): Summary {
  const own = ticks.map(({ late, waited }) => late - waited).sort((a, b) => a - b);
  return {
    ticks: ticks.length,
    latest: Math.max(...ticks.map(({ late }) => late)),
    ownLatest: own.at(-1)!,
    ownTypical: own[Math.floor(own.length / 2)]!,
  };
}

interface Bystander {
  pid: number;
  take(): Promise<Tick[]>;
  stop(): void;
}

/** Gives the ticks since it was last asked. */
async function startBystander(file: string): Promise<Bystander> {
  writeFileSync(file, BARE_TICKER);
  const child = fork(file, [], { execArgv: [] });
  const heard = () => new Promise((resolve) => child.once('message', resolve));
  await heard();
  return {
    pid: child.pid!,
    take: async () => {
      const ticks = heard();
      child.send('take');
      return (await ticks) as Tick[];
    },
    stop: () => void child.kill('SIGKILL'),
  };
}

function residentMb(pid: number): number {
  try {
    const [, pages] = readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ');
    return (Number(pages) * 4096) / 1024 / 1024;
  } catch {
    return 0;
  }
}

describe('Twenty tasks started at once', function () {
  this.timeout(240_000);
  // A busy machine may let one of the two wait alone.
  this.retries(2);
  let station: Station;
  let bystander: Bystander;

  beforeEach(async () => {
    station = await Station.start({ settings: TICKER });
    bystander = await startBystander(station.path('ticker.js'));
    assert.equal(getPriority(bystander.pid), getPriority(station.nodeRed.process.pid));
  });

  afterEach(async () => {
    bystander?.stop();
    await station?.stop();
  });

  async function takeTicks(): Promise<Tick[]> {
    return (await (await fetch(`${station.nodeRed.url}/ticks`)).json()) as Tick[];
  }

  function deploy(): Promise<void> {
    const names = Array.from({ length: TASKS }, (_, index) => `task ${index}`);
    for (const name of names) {
      mkdirSync(station.path(name));
      for (let index = 0; index < FILES; index++) {
        writeFileSync(station.path(name, `${index}.txt`), `${name} ${index} `.repeat(200));
      }
    }
    const ticker: FlowNode[] = [
      { id: 'ticks', type: 'tab', label: 'Lights' },
      {
        id: 'tick',
        z: 'ticks',
        type: 'inject',
        x: 0,
        y: 0,
        repeat: `${TICK_MS / 1000}`,
        once: true,
        wires: [['light']],
      },
      { id: 'light', z: 'ticks', type: 'function', x: 0, y: 0, func: "global.get('tick')();", wires: [[]] },
    ];
    const tasks = names.map((name) => station.task(name, { path: station.path(name) }));
    return station.nodeRed.deploy([...station.flow(tasks), ...ticker]);
  }

  /** Watches the memory of Node-RED and of its runs until it is stopped. */
  function watchMemory(): { grown: { nodeRed: number; run: number; runs: number }; stop(): void } {
    const grown = { nodeRed: 0, run: 0, runs: 0 };
    const timer = setInterval(() => {
      const runs = station.children;
      grown.nodeRed = Math.max(grown.nodeRed, residentMb(station.nodeRed.process.pid!));
      grown.run = Math.max(grown.run, ...runs.map(residentMb));
      grown.runs = Math.max(grown.runs, runs.length);
    }, 200);
    return { grown, stop: () => clearInterval(timer) };
  }

  it('all succeed, no tick of another flow is late, memory stays bounded', async () => {
    await deploy();
    // The first ticks fall into the start of all these nodes.
    await until(async () => (await takeTicks()).length > 0, 'it ticks');
    await delay(IDLE_TICKS * TICK_MS);
    const idle = summaryOf(await takeTicks());
    const idleMb = residentMb(station.nodeRed.process.pid!);
    const memory = watchMemory();
    await bystander.take();
    const startedAt = performance.now();
    const marks = await Promise.all(
      Array.from({ length: TASKS }, (_, index) => station.press(`task ${index}`)),
    );
    const reports = await Promise.all(marks.map((mark) => station.report(mark, 180_000)));
    const seconds = (performance.now() - startedAt) / 1000;
    const loaded = summaryOf(await takeTicks());
    const beside = summaryOf(await bystander.take());
    memory.stop();
    const { grown } = memory;
    const inWords = (one: Summary) =>
      `latest ${one.latest.toFixed(0)} ms, of its own doing ${one.ownLatest.toFixed(1)} (half of them ${one.ownTypical.toFixed(1)})`;
    console.log(
      `      idle: ${inWords(idle)}\n      ${TASKS} tasks of ${FILES} files in ${seconds.toFixed(1)} s: ${inWords(loaded)}\n      a process beside it: ${inWords(beside)}`,
    );
    console.log(
      `      Node-RED ${idleMb.toFixed(0)} MiB idle, at most ${grown.nodeRed.toFixed(0)}; ${grown.runs} processes at once, of at most ${grown.run.toFixed(0)} MiB`,
    );
    for (const { status, errors, transferred } of reports) {
      assert.equal(status, 'success', JSON.stringify(errors));
      assert.equal(transferred.files, FILES);
    }
    assert.equal(station.server.objects.keys(BUCKET).length, TASKS * FILES);
    assert.ok(loaded.ticks > 10, `${loaded.ticks} ticks`);
    for (const which of ['latest', 'ownLatest'] as const) {
      const excess = loaded[which] - Math.max(0, idle[which]);
      const most = MOST_LATE_MS + ALLOWANCE * Math.max(0, beside.latest);
      assert.ok(excess <= most, `${which}: ${excess.toFixed(1)} ms later than idle, of ${most.toFixed(1)}`);
    }
    assert.ok(grown.nodeRed - idleMb <= NODE_RED_MB, `Node-RED grew by ${grown.nodeRed - idleMb} MiB`);
    assert.ok(grown.run <= RUN_MB, `a run took ${grown.run} MiB`);
  });
});
