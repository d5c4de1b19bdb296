/**
 * Twenty tasks started at once, while another flow of the same Node-RED ticks every 100 ms. A tick may be late because
 * this package holds Node-RED's thread, or because the machine gives the thread no processor. Linux tells how long it
 * waited for one (`/proc/PID/schedstat`), and a process beside it that does nothing but tick shows what else the
 * machine does.
 */

import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { FlowNode } from '../../scripts/demo/node-red.js';
import { BUCKET, Station, until } from './station.js';

const TASKS = 20;
const FILES = Number(process.env.LOAD_FILES ?? 100);
const TICK_MS = 100;
/** How much later than idle a tick may be. ms. */
const MOST_LATE_MS = 25;
const IDLE_TICKS = 30;
/** What Node-RED itself and the process of one run may grow to. MiB. */
const NODE_RED_MB = 150;
const RUN_MB = 300;

/** Times the latest tick beside Node-RED that one in it may be later still. */
const TIMES_MACHINE = 4;

/** A function for flows that takes down when it was called, and a route that gives and forgets what it took down. */
const TICKER = `
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
module.exports.functionGlobalContext.tick = () => {
  const now = { at: performance.now(), waited: waitedMs() };
  if (last !== undefined) {
    ticks.push({ late: now.at - last.at - ${TICK_MS}, waited: now.waited - last.waited });
  }
  last = now;
};
module.exports.httpAdminMiddleware = (request, response, next) => {
  if (request.path !== '/ticks') return next();
  response.json(ticks);
  ticks = [];
};
`;

const BARE_TICKER = `
let last = performance.now();
let latest = 0;
setInterval(() => {
  const now = performance.now();
  latest = Math.max(latest, now - last - ${TICK_MS});
  last = now;
}, ${TICK_MS});
process.on('message', () => {
  process.send(latest);
  latest = 0;
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

/** Gives how late the latest tick was since it was last asked, ms. */
async function startBareTicker(file: string) {
  writeFileSync(file, BARE_TICKER);
  const child = fork(file, [], { execArgv: [] });
  const heard = () => new Promise((resolve) => child.once('message', resolve));
  await heard();
  return {
    take: async () => {
      const latest = heard();
      child.send('take');
      return (await latest) as number;
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
  // A hypervisor that stops the whole machine shows nowhere as waiting.
  this.retries(2);
  let station: Station;
  let beside: { take(): Promise<number>; stop(): void };

  beforeEach(async () => {
    station = await Station.start({ settings: TICKER });
    beside = await startBareTicker(station.path('ticker.js'));
  });

  afterEach(async () => {
    beside?.stop();
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
    await beside.take();
    const startedAt = performance.now();
    const marks = await Promise.all(
      Array.from({ length: TASKS }, (_, index) => station.press(`task ${index}`)),
    );
    const reports = await Promise.all(marks.map((mark) => station.report(mark, 180_000)));
    const seconds = (performance.now() - startedAt) / 1000;
    const loaded = summaryOf(await takeTicks());
    const machineMs = await beside.take();
    memory.stop();
    const { grown } = memory;
    const inWords = (one: Summary) =>
      `latest ${one.latest.toFixed(0)} ms, of its own doing ${one.ownLatest.toFixed(1)} (half of them ${one.ownTypical.toFixed(1)})`;
    console.log(
      `      idle: ${inWords(idle)}\n      ${TASKS} tasks of ${FILES} files in ${seconds.toFixed(1)} s: ${inWords(loaded)}; beside it latest ${machineMs.toFixed(0)} ms`,
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
    const excess = loaded.ownLatest - Math.max(0, idle.ownLatest);
    const most = MOST_LATE_MS + TIMES_MACHINE * machineMs;
    assert.ok(excess <= most, `a tick came ${excess.toFixed(0)} ms later than idle, of ${most.toFixed(0)}`);
    assert.ok(grown.nodeRed - idleMb <= NODE_RED_MB, `Node-RED grew by ${grown.nodeRed - idleMb} MiB`);
    assert.ok(grown.run <= RUN_MB, `a run took ${grown.run} MiB`);
  });
});
